"""Patients: one outcome for all cases of a patient, with a promise of its own.

At a kept promise of 5 % a slice, most patients of forty slices have a flagged one. What a hospital
acts on is the patient, so that thresholds are set over patients, too.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from midclass.evaluation.conformal import (
    conformal_p_values,
    conformal_threshold,
    smallest_rate,
)
from midclass.evaluation.metrics import by_patient
from midclass.evaluation.ranking import FloatArray
from midclass.evaluation.table import UNKNOWN, ScoreTable


def patient_scores(scores: ArrayLike, patients: ArrayLike) -> FloatArray:
    """The score of each patient with an assessed case, ascending; see ``metrics.by_patient``.

    >>> patient_scores([1.0, 5.0, float("nan"), 2.0], ["a", "a", "a", "b"]).tolist()
    [2.0, 3.0]
    """
    found = np.asarray(scores, np.float64)
    lowest = np.where(np.isnan(found), -np.inf, found)
    _, _, each = by_patient(lowest, np.zeros(len(found), np.int64), patients)
    return np.sort(each[np.isfinite(each)])


def patient_table(table: ScoreTable, calibration: FloatArray, max_fpr: float) -> ScoreTable:
    """A row for each patient of a score table.

    The score is the mean of the three highest of the patient's cases. Flagged is a patient whose
    p-value among ``calibration`` is ``max_fpr`` at most; where these are too few for that rate,
    there is no threshold, and nobody is flagged or not flagged. A patient is not assessed where no
    case is.

    Args:
        table: of cases.
        calibration: scores of given-class patients that learning has not seen, ascending.
        max_fpr: false-alarm rate to promise.

    Returns:
        The table, with the extra columns ``p_value``, ``cases``, and ``cases_not_assessed``.

    >>> cases = ScoreTable.of([*"abc"], [*"ppq"], [0, 1, 0], [1, 7, 2])
    >>> patients = patient_table(cases, np.array([0.0, 1.0, 2.0, 3.0]), max_fpr=0.2)
    >>> patients.case_id.tolist(), patients.flagged.tolist(), patients.extra["cases"].tolist()
    (['p', 'q'], [True, False], [2, 1])
    """
    lowest = np.where(table.assessed, table.score, -np.inf)
    known = np.maximum(table.label, 0)
    names, label, score = by_patient(lowest, known, table.patient_id)
    label = np.where(_any(table.label != UNKNOWN, table.patient_id), label, UNKNOWN)
    score = np.where(np.isfinite(score), score, np.nan)
    assessed = ~np.isnan(score)
    p_value = np.full(len(score), np.nan)
    enough = smallest_rate(len(calibration)) <= max_fpr
    if assessed.any() and len(calibration):
        p_value[assessed] = conformal_p_values(calibration, score[assessed])
    _, index = np.unique(table.patient_id, return_inverse=True)
    return ScoreTable.of(
        names,
        names,
        label,
        score,
        threshold=conformal_threshold(calibration, max_fpr) if enough else np.nan,
        extra={
            "p_value": p_value,
            "cases": np.bincount(index),
            "cases_not_assessed": np.bincount(index, ~table.assessed).astype(np.int64),
        },
        reason=np.where(assessed, "", "no case of the patient could be assessed"),
        not_assessed=table.not_assessed,
    )


def _any(which: ArrayLike, patients: ArrayLike) -> NDArray[np.bool_]:
    """Whether it holds for any case of each patient, sorted by patient."""
    _, index = np.unique(np.asarray(patients), return_inverse=True)
    held: NDArray[np.bool_] = np.bincount(index, np.asarray(which, np.float64)) > 0
    return held
