"""Drift: whether what a detector is shown by now still looks like what its threshold was set with.

Three questions, asked of each table or week: are more cases flagged than promised, are scores
spread as those of the calibration cases (p-values uniform), are more cases not assessed? All
answers are exact for few cases and few calibration cases, take one case of each patient, count
calibration cases by what they are worth (see ``clusters``), and are corrected for how many were
asked (Holm). A detector at work is asked every week: whoever does not count that finds drift where
there is none.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.evaluation.clusters import one_of_each, p_of_alike
from midclass.evaluation.conformal import conformal_p_values, p_of_flags
from midclass.evaluation.equipment import equipment_of
from midclass.evaluation.exact import holm_corrected
from midclass.evaluation.metrics import share_interval
from midclass.evaluation.ranking import FloatArray
from midclass.evaluation.table import ScoreTable

WEEK = "week"
"""The column of ``score --equipment``."""
CLEARLY = 0.05
"""The chance that anything is said to differ, over all that is asked in one call, where nothing
does."""
QUESTIONS = {
    "p_flagged": "more flagged than promised",
    "p_scores": "scores are spread otherwise",
    "p_not_assessed": "more not assessed",
}


@dataclass(frozen=True)
class Baseline:
    """What a detector's threshold was set with.

    Attributes:
        calibration: scores, ascending.
        threshold: of the flags.
        max_fpr: promised.
        cases: of the given class that were held out, or of all folds.
        not_assessed: of them.
        independent: as how many independent ones the assessed count, see ``independent_cases``.
    """

    calibration: FloatArray
    threshold: float
    max_fpr: float
    cases: int
    not_assessed: int
    independent: float | None = None


@dataclass(frozen=True)
class Period:
    """What is found in one table or week; names are those of the columns of the CSV.

    ``rate`` and ``share_not_assessed`` have exact 95 % intervals. The p-values are corrected by
    ``drift``; None where nothing could be asked. ``devices`` and the spacing (median, lowest and
    highest) are of all cases of tables that have such columns; nothing is asked of them.
    """

    period: str
    cases: int
    patients: int
    assessed: int
    flagged: int
    rate: float
    low: float
    high: float
    promised: float
    share_not_assessed: float
    not_assessed_low: float
    not_assessed_high: float
    p_flagged: float | None
    p_scores: float | None
    p_not_assessed: float | None
    devices: str = ""
    spacing_mm: float | None = None
    spacing_low: float | None = None
    spacing_high: float | None = None

    @property
    def differs(self) -> list[str]:
        """In which ways, in words; none where there is no sign of drift."""
        found = {name: getattr(self, name) for name in QUESTIONS}
        return [
            said for n, said in QUESTIONS.items() if found[n] is not None and found[n] < CLEARLY
        ]

    @property
    def verdict(self) -> str:
        """In words."""
        if not self.patients:
            return "no case"
        if self.differs:
            return f"differs: {', '.join(self.differs)}"
        return f"no sign of drift at n={self.patients}"


def drift(periods: Mapping[str, ScoreTable], baseline: Baseline) -> list[Period]:
    """Ask all questions of all periods, and correct for how many they are.

    Cases of the target class are left out where labels say so; of unknown class they are in, and
    disease is flagged too.

    Args:
        periods: name -> score table of the same detector.
        baseline: of that detector.
    """
    found = [_period(name, table, baseline) for name, table in periods.items()]
    asked = [
        (row, n) for row, one in enumerate(found) for n in QUESTIONS if getattr(one, n) is not None
    ]
    p_values = holm_corrected([getattr(found[row], name) for row, name in asked])
    for (row, name), p in zip(asked, p_values, strict=True):
        changed: dict[str, Any] = {name: p}
        found[row] = replace(found[row], **changed)
    return found


def _period(name: str, table: ScoreTable, baseline: Baseline) -> Period:
    kept = np.flatnonzero(table.label != 1)
    if not len(kept):
        return Period(
            name, 0, 0, 0, 0, *(np.nan,) * 3, baseline.max_fpr, *(np.nan,) * 3, *(None,) * 3
        )
    table = table.take(kept)
    scored = table.take(np.flatnonzero(table.assessed)) if table.assessed.any() else None
    unseen_low, unseen_high = share_interval(~table.assessed, table.patient_id)
    flags = np.zeros(0, bool) if scored is None else scored.score > baseline.threshold
    rate = (np.nan,) * 3
    if scored is not None:
        rate = (float(flags.mean()), *share_interval(flags, scored.patient_id))
    one = one_of_each(table.patient_id)
    return Period(
        name,
        len(table),
        len(one),
        len(flags),
        int(flags.sum()),
        *rate,
        baseline.max_fpr,
        float((~table.assessed).mean()),
        unseen_low,
        unseen_high,
        None if scored is None else _p_flagged(flags[one_of_each(scored.patient_id)], baseline),
        None if scored is None else _p_scores(scored, baseline),
        _p_not_assessed(~table.assessed[one], baseline),
        **equipment_of(table),
    )


def _p_flagged(flags: NDArray[np.bool_], baseline: Baseline) -> float:
    """Of so many flags or more, where the calibration cases are of the same kind."""
    return p_of_flags(flags, baseline.calibration, baseline.threshold, baseline.independent)


def _p_scores(scored: ScoreTable, baseline: Baseline) -> float:
    """Of p-values against uniform; see ``p_of_alike``."""
    known, independent = baseline.calibration, baseline.independent
    return p_of_alike(known, independent, scored.score, scored.patient_id)


def _p_not_assessed(unseen: NDArray[np.bool_], baseline: Baseline) -> float:
    """Of so many or more, by Fisher's exact test; as alike as their scores are, so are cases."""
    from scipy.stats import fisher_exact

    now, m = int(unseen.sum()), len(baseline.calibration)
    worth = 1.0 if baseline.independent is None else baseline.independent / m
    before, others = baseline.not_assessed, baseline.cases - baseline.not_assessed
    table = [[now, len(unseen) - now], [round(before * worth), round(others * worth)]]
    return float(fisher_exact(table, alternative="greater").pvalue)


def refuse_other(table: ScoreTable, baseline: Baseline, name: object) -> None:
    """Raise InputError where a table is not of the detector's cases.

    Its p-values are computed anew from its scores.
    """
    if "cases" in table.extra:
        raise InputError(f"{name}: is a table of patients; give that of their cases")
    said = table.extra.get("p_value")
    if said is None or said.dtype.kind != "f":
        raise InputError(f"{name}: has no column p_value; give a table of `midclass score`")
    there = table.assessed
    if there.any():
        found = conformal_p_values(baseline.calibration, table.score[there])
        if not np.array_equal(found, said[there]):
            row = int(np.flatnonzero(there)[np.flatnonzero(found != said[there])[0]])
            raise InputError(
                f"{name}: was not made by this detector (row {row + 2} says p_value "
                f"{said[row]:g}); give the detector that made it, or score the cases anew"
            )


def by_week(tables: Mapping[str, ScoreTable], column: str) -> dict[str, ScoreTable]:
    """The cases of all tables by the ISO week of a column of dates.

    Args:
        tables: by name.
        column: ``YYYY-MM-DD`` or, as in DICOM (PS3.5 6.2, DA and DT), ``YYYYMMDD``, with a time of
            day or without: the day counts as it is written, whatever the time zone. Or weeks such
            as ``2026-W48``. Cases without any in a column ``WEEK`` are a period of their own.

    Raises:
        InputError: a table has no such column, or a cell is no date.
    """
    rows: dict[str, list[ScoreTable]] = {}
    for name, table in tables.items():
        if column not in table.extra:
            raise InputError(f"{name}: no column {column} with dates")
        weeks = np.array(
            [_week(cell, row, name, column) for row, cell in enumerate(table.extra[column])]
        )
        for week in np.unique(weeks):
            rows.setdefault(str(week), []).append(table.take(weeks == week))
    return {week: joined(rows[week]) for week in sorted(rows)}


DAY = re.compile(
    r"(\d{4})(-?)(\d\d)\2(\d\d)"
    r"([T ]?\d\d(:?\d\d(:?\d\d([.,]\d{1,9})?)?)? ?(Z|[+-]\d\d(:?\d\d)?)?)?"
)
"""A day and perhaps a time of day, as ISO 8601 and DICOM write them."""


def _week(cell: object, row: int, name: str, column: str) -> str:
    text = "" if cell != cell else f"{cell:.0f}" if isinstance(cell, float) else str(cell)
    if re.fullmatch(r"\d{4}-W\d\d", text):
        return text
    if not text and column == WEEK:
        return "no week"
    try:
        year, week, _ = _day(text).isocalendar()
    except ValueError:
        raise InputError(
            f"{name}: row {row + 2}, column {column}: found {text!r}; give YYYY-MM-DD"
        ) from None
    return f"{year}-W{week:02d}"


def _day(text: str) -> datetime.date:
    found = DAY.fullmatch(text.strip())
    if found is None:
        raise ValueError(text)
    year, _, month, day = found.groups()[:4]
    return datetime.date(int(year), int(month), int(day))


def joined(tables: Sequence[ScoreTable]) -> ScoreTable:
    """Several tables as one, with what a drift is asked of; cases are named by table and case.

    Patients who are called after a file, as by ``score FOLDER``, are those of that table alone:
    001.png of next week's folder shows another person.
    """
    names = [f"{number}/{case}" for number, table in enumerate(tables) for case in table.case_id]
    return ScoreTable.of(
        names,
        [patient for number, table in enumerate(tables) for patient in _people(number, table)],
        np.concatenate([table.label for table in tables]),
        np.concatenate([table.score for table in tables]),
        reason=np.concatenate([table.reason for table in tables]),
        extra={
            name: np.concatenate([table.extra[name] for table in tables])
            for name in ("device", "spacing_mm")
            if all(name in table.extra for table in tables)
        },
    )


def _people(number: int, table: ScoreTable) -> list[str]:
    files = {name for case in table.case_id.tolist() for name in (case, case.rpartition("#")[0])}
    people = table.patient_id.tolist()
    return [f"{number}/{patient}" if patient in files else patient for patient in people]
