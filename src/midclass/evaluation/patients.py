"""Patients: one outcome for all cases of a patient, with a promise of its own.

At a kept promise of 5 % a slice, most patients of forty slices have a flagged one. What a hospital
acts on is the patient, so that thresholds are set over patients, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from midclass.evaluation.calibrated import CalibratedPatients
from midclass.evaluation.conformal import (
    conformal_p_values,
    conformal_threshold,
    smallest_rate,
)
from midclass.evaluation.metrics import TOP, by_patient
from midclass.evaluation.ranking import IntArray
from midclass.evaluation.table import FLAGGED_CASES, UNKNOWN, ScoreTable


def patient_table(table: ScoreTable, calibrated: CalibratedPatients, max_fpr: float) -> ScoreTable:
    """A row for each patient of a score table.

    The score is the mean of the three highest of the patient's cases. Flagged is a patient whose
    p-value among those who calibrated is ``max_fpr`` at most, where each counts with as few cases
    as the patient has; where these are too few for that rate, there is no threshold, and nobody is
    flagged or not flagged: then a person should look at the patients with a flagged case. So it is
    with a patient who has many more cases than those that calibrated. A patient is not assessed
    where no case is.

    Args:
        table: of cases.
        calibrated: given-class patients that learning has not seen.
        max_fpr: false-alarm rate to promise.

    Returns:
        The table, with the extra columns ``p_value``, ``cases``, ``cases_not_assessed`` and
        ``cases_flagged``.

    >>> cases = ScoreTable.of([*"abc"], [*"ppq"], [0, 1, 0], [1, 7, 2])
    >>> patients = patient_table(cases, CalibratedPatients(np.arange(4.0)), max_fpr=0.2)
    >>> patients.case_id.tolist(), patients.flagged.tolist(), patients.extra["cases"].tolist()
    (['p', 'q'], [True, False], [2, 1])
    """
    cases = _counted(table.patient_id, table.assessed)
    judged = ~calibrated.too_many(cases)
    return _grouped(table, table.patient_id, "patient", calibrated, max_fpr, cases, judged)


def with_more_cases(table: ScoreTable, calibrated: CalibratedPatients) -> str:
    """Of how many patients with too many cases nothing is promised, or "".

    Args:
        table: of patients.
        calibrated: as for ``patient_table``.
    """
    cases = table.extra["cases"] - table.extra["cases_not_assessed"]
    count = int(calibrated.too_many(cases).sum())
    if not count:
        return ""
    who = "1 patient has" if count == 1 else f"{count} patients have"
    return (
        f"{who} many more cases than those who calibrated (nine of ten have at most "
        f"{calibrated.most}); the highest of many are higher, so that they have no flag of their "
        "own: look at those with a flagged case (column review), or calibrate with normal patients "
        "who have as many"
    )


def series_of(patients: Sequence[str], series: Sequence[str]) -> NDArray[np.str_]:
    """What the series of each case is called in tables ``(n,)``; "" where it has none.

    Where two patients have a series of one name, each is called by its patient, too.

    >>> series_of(["p", "q", "q", "q"], ["1", "1", "2", ""]).tolist()
    ['p/1', 'q/1', '2', '']
    """
    patients_of: dict[str, set[str]] = {}
    for patient, one in zip(patients, series, strict=True):
        patients_of.setdefault(one, set()).add(patient)
    return np.array(
        [
            f"{patient}/{one}" if one and len(patients_of[one]) > 1 else one
            for patient, one in zip(patients, series, strict=True)
        ],
        np.str_,
    )


def has_series(series: Sequence[str]) -> bool:
    """Whether any series has several cases; "" is none.

    >>> has_series(["s", "s"]), has_series(["s", "t", "", ""])
    (True, False)
    """
    known = [one for one in series if one]
    return len(set(known)) < len(known)


def labelled_as_one(table: ScoreTable, series: ArrayLike) -> int:
    """Series of several cases that are all of the target class, where none holds both classes.

    Such labels are of series and not of cases: of an ill patient most slices show no disease, and
    figures by case count each as missed.

    Args:
        table: of cases.
        series: of each case ``(n,)``; "" is none.

    >>> cases = ScoreTable.of([*"abcdef"], [*"ppqqrr"], [1, 1, 1, 1, 0, 0], [0.0] * 6)
    >>> labelled_as_one(cases, [*"ssttuu"]), labelled_as_one(cases, [*"ssttts"])
    (2, 0)
    """
    named = np.asarray(series, np.str_)
    known = (named != "") & (table.label != UNKNOWN)
    _, index = np.unique(named[known], return_inverse=True)
    cases = np.bincount(index)
    ill = np.bincount(index, table.label[known] == 1)
    if ((ill > 0) & (ill < cases)).any():
        return 0
    return int(((ill > 1) & (ill == cases)).sum())


def as_one_in_words(series: int) -> str:
    """What that means for who reads the figures.

    >>> as_one_in_words(1)[:55]
    '1 series is of the target class in every image, as if o'
    """
    return (
        f"{series:,} series {'is' if series == 1 else 'are'} of the target class in every image, "
        "as if one label were that of the whole series: images in it that show no disease count "
        "as missed, and figures by patient are those to look at"
    )


def series_table(
    table: ScoreTable,
    series: ArrayLike,
    calibrated: CalibratedPatients,
    max_fpr: float,
) -> ScoreTable:
    """A row for each series, judged by the threshold of *patients*.

    The score is the mean of the three highest of the series' cases, so that it is never above that
    of its patient: of normal patients at most ``max_fpr`` have any flagged series, however many
    they have. A threshold of series alone would promise that of each, and series of one patient
    are no independent ones. A series with fewer assessed cases than that mean takes, of a patient
    with more, may score higher than its patient: it has a score, but neither p-value nor flag.

    Args:
        table: of cases.
        series: ``(n,)``, see ``series_of``; cases without one are in no row.
        calibrated: *patients*, as for ``patient_table``; series of a patient who has many more
            cases than they are not flagged either.
        max_fpr: false-alarm rate that is promised of patients.

    Returns:
        The table, with the extra columns ``p_value``, ``cases``, ``cases_not_assessed`` and
        ``cases_flagged``; the column ``case_id`` names the series.

    >>> cases = ScoreTable.of([*"abcd"], [*"pppp"], [0] * 4, [1, 2, 9, 3])
    >>> known = CalibratedPatients(np.arange(4.0))
    >>> found = series_table(cases, ["s", "s", "t", "s"], known, max_fpr=0.2)
    >>> found.case_id.tolist(), found.score.tolist(), found.columns()["flagged"].tolist()
    (['s', 't'], [2.0, 9.0], ['0', ''])
    """
    everybody, seen_of = np.unique(table.patient_id), _counted(table.patient_id, table.assessed)
    of_patient = dict(zip(everybody, seen_of, strict=True))
    named = np.asarray(series, np.str_)
    table, named = table.take(named != ""), named[named != ""]
    seen = _counted(named, table.assessed)
    first = np.unique(named, return_index=True)[1]
    all_of = np.array([of_patient[table.patient_id[row]] for row in first])
    judged = ((seen >= TOP) | (seen == all_of)) & ~calibrated.too_many(all_of)
    found = _grouped(table, named, "series", calibrated, max_fpr, all_of, judged)
    return replace(found, patient_id=table.patient_id[first])


def _grouped(
    table: ScoreTable,
    groups: NDArray[np.str_],
    what: str,
    calibrated: CalibratedPatients,
    max_fpr: float,
    cases: IntArray,
    judged: NDArray[np.bool_],
) -> ScoreTable:
    """A row for each group; ``what`` it is, ``cases`` of its patient, and which can be judged."""
    lowest = np.where(table.assessed, table.score, -np.inf)
    names, label, score = by_patient(lowest, np.maximum(table.label, 0), groups)
    label = np.where(_counted(groups, table.label != UNKNOWN) > 0, label, UNKNOWN)
    score = np.where(np.isfinite(score), score, np.nan)
    assessed = ~np.isnan(score)
    p_value, threshold = np.full((2, len(score)), np.nan)
    few = np.minimum(cases, TOP)
    for number in np.unique(few[judged]) if len(calibrated) else ():
        alike, known = calibrated.for_cases(number, max_fpr), judged & (few == number)
        if smallest_rate(len(alike)) <= max_fpr:
            threshold[known] = conformal_threshold(alike, max_fpr)
        known &= assessed
        if known.any():
            p_value[known] = conformal_p_values(alike, score[known])
    return ScoreTable.of(
        names,
        names,
        label,
        score,
        threshold=threshold,
        extra={
            "p_value": p_value,
            "cases": _counted(groups, np.ones(len(table), bool)),
            "cases_not_assessed": _counted(groups, ~table.assessed),
            FLAGGED_CASES: _counted(groups, table.flagged),
        },
        reason=np.where(assessed, "", f"no case of the {what} could be assessed"),
        not_assessed=table.not_assessed,
    )


def _counted(groups: ArrayLike, which: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Of how many cases of each group it holds, sorted by group."""
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    return np.bincount(index, which).astype(np.int64)
