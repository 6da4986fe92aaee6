"""Score tables: what a detector said of each case, from which every figure is computed anew.

One file for each task, detector and repeat, see ``table_file``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from midclass.errors import InputError
from midclass.evaluation.table_file import UNKNOWN, read_columns, table_file

COLUMNS = ("case_id", "patient_id", "label", "class_name", "score", "threshold")
OUTCOMES = ("assessed", "reason", "flagged", "review")
"""More columns of every file; ``flagged`` and ``review`` follow from the others."""
FLAGGED_CASES = "cases_flagged"
"""In a table of patients or series: how many of their cases are flagged by a threshold of cases."""
NotAssessed: TypeAlias = Literal["review", "leave"]
"""What becomes of a case that could not be assessed: a person looks at it, or it is left out."""
__all__ = ["COLUMNS", "FLAGGED_CASES", "OUTCOMES", "UNKNOWN", "NotAssessed", "ScoreTable"]


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of n cases; a case is flagged where ``score > threshold``.

    A case that the detector could not assess is an outcome of its own, never "normal": it has a
    reason in place of a score, and its cells of score, p-value and flag are empty.

    Attributes:
        case_id: str ``(n,)``, each different.
        patient_id: str ``(n,)``.
        label: int ``(n,)``, 0 given class, 1 target class, -1 unknown.
        class_name: str ``(n,)``, may be empty.
        score: float64 ``(n,)``, higher is more abnormal; NaN where a case was not assessed.
        threshold: float64 ``(n,)``, NaN (an empty cell) where there is none.
        reason: str ``(n,)``, why a case was not assessed; empty of the others.
        extra: more columns by name, each ``(n,)``. When read, a column of numbers is float64 (an
            empty cell is NaN) and any other is str.
        not_assessed: whether ``review`` sends a case that was not assessed to a person.

    Raises InputError that names row and column; as in the file, row 2 is the first case.

    >>> table = ScoreTable.of([*"abc"], [*"pqr"], [0, 1, 1], [0.25, 0.5, np.nan], threshold=0.4)
    >>> table.flagged.tolist(), table.assessed.tolist(), table.review.tolist()
    ([False, True, False], [True, True, False], [False, True, True])
    """

    case_id: NDArray[np.str_]
    patient_id: NDArray[np.str_]
    label: NDArray[np.int64]
    class_name: NDArray[np.str_]
    score: NDArray[np.float64]
    threshold: NDArray[np.float64]
    reason: NDArray[np.str_]
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    not_assessed: NotAssessed = "review"

    @classmethod
    def of(
        cls,
        case_id: ArrayLike,
        patient_id: ArrayLike,
        label: ArrayLike,
        score: ArrayLike,
        threshold: ArrayLike = np.nan,
        class_name: ArrayLike = "",
        extra: Mapping[str, ArrayLike] | None = None,
        reason: ArrayLike = "",
        not_assessed: NotAssessed = "review",
    ) -> ScoreTable:
        """Make a table from lists or arrays; one threshold or text stands for all cases.

        A score of -inf is what earlier versions wrote for NaN.
        """
        cases = np.asarray(case_id, dtype=np.str_)
        scores = np.asarray(score, dtype=np.float64)
        return cls(
            cases,
            np.asarray(patient_id, dtype=np.str_),
            np.asarray(label).astype(np.int64, casting="same_kind"),  # 0.5 is no label
            np.array(np.broadcast_to(np.asarray(class_name, dtype=np.str_), cases.shape)),
            np.where(np.isneginf(scores), np.nan, scores),
            np.array(np.broadcast_to(np.asarray(threshold, dtype=np.float64), cases.shape)),
            np.array(np.broadcast_to(np.asarray(reason, dtype=np.str_), cases.shape)),
            {name: np.asarray(values) for name, values in (extra or {}).items()},
            not_assessed,
        )

    def __post_init__(self) -> None:
        n = len(self.case_id)
        if not n:
            raise InputError("a score table needs at least one case")
        for name, values in self.columns().items():
            if values.shape != (n,):
                raise InputError(
                    f"column {name} has the shape {values.shape}, case_id has {n} rows"
                )
        if doubled := sorted(set(self.extra) & {*COLUMNS, *OUTCOMES}):
            raise InputError(f"extra column {doubled[0]} has a standard column's name; rename it")
        first = np.unique(self.case_id, return_index=True)[1]
        again = np.ones(n, dtype=bool)
        again[first] = False
        self._refuse("case_id", self.case_id == "", "every case needs a name")
        self._refuse("case_id", again, "is there twice; give each case one row")
        self._refuse("patient_id", self.patient_id == "", "every case needs a patient")
        self._refuse("label", ~np.isin(self.label, (0, 1, UNKNOWN)), "0, 1 or -1 (unknown)")
        self._refuse("score", np.isinf(self.score), "a score is finite, or NaN: not assessed")
        self._refuse("threshold", np.isinf(self.threshold), "a threshold is finite, or left out")
        unasked = self.assessed & (self.reason != "")
        self._refuse("reason", unasked, "only a case without a score has a reason")

    def _refuse(self, name: str, wrong: NDArray[np.bool_], reason: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            found = str(self.columns()[name][row])
            raise InputError(f"row {row + 2}, column {name}: found {found!r}; {reason}")

    def columns(self) -> dict[str, NDArray[Any]]:
        """All columns by name, in the order of the file."""
        known = self.assessed & ~np.isnan(self.threshold)
        left = ~self.assessed if self.not_assessed == "leave" else np.zeros(len(self), bool)
        outcomes = {
            "assessed": self.assessed.astype(np.int64),
            "reason": self.reason,
            "flagged": np.where(known, self.flagged.astype(np.int64).astype(np.str_), ""),
            "review": np.where(left, "", self.review.astype(np.int64).astype(np.str_)),
        }
        return {name: getattr(self, name) for name in COLUMNS} | outcomes | dict(self.extra)

    @property
    def assessed(self) -> NDArray[np.bool_]:
        """Which cases the detector could judge, bool ``(n,)``."""
        return ~np.isnan(self.score)

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Which cases are called abnormal, bool ``(n,)``; none where there is no threshold."""
        return np.asarray(self.score > self.threshold)

    @property
    def review(self) -> NDArray[np.bool_]:
        """Which cases a person should look at: the flagged, and by default the not assessed.

        Of patients without a threshold also those with a flagged case.
        """
        of_cases = np.asarray(self.extra.get(FLAGGED_CASES, np.zeros(len(self))), np.float64) > 0
        found = self.flagged | (np.isnan(self.threshold) & of_cases)
        return found if self.not_assessed == "leave" else found | ~self.assessed

    def take(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> ScoreTable:
        """Some of the cases, by a mask or by their rows."""
        columns = [one.name for one in fields(self) if one.name not in ("extra", "not_assessed")]
        extra = {name: values[rows] for name, values in self.extra.items()}
        return replace(self, extra=extra, **{name: getattr(self, name)[rows] for name in columns})

    @staticmethod
    def joined(tables: Sequence[ScoreTable]) -> ScoreTable:
        """The rows of several tables with the same extra columns, one after the other."""
        first = tables[0]
        names = [one.name for one in fields(first) if one.name not in ("extra", "not_assessed")]
        columns: Any = {n: np.concatenate([getattr(one, n) for one in tables]) for n in names}
        extra = {n: np.concatenate([one.extra[n] for one in tables]) for n in first.extra}
        return replace(first, extra=extra, **columns)

    def __len__(self) -> int:
        return len(self.case_id)

    def to_frame(self) -> Any:
        """The table as a ``pandas.DataFrame``: its columns, the outcomes as true or false.

        Raises:
            InputError: pandas is not installed; midclass does not need it.
        """
        try:
            import pandas
        except ImportError:
            raise InputError(
                "to_frame: pandas is not installed; pip install pandas, or take columns()"
            ) from None
        return pandas.DataFrame(self.columns() | {name: getattr(self, name) for name in OUTCOMES})

    def write(self, path: str | Path) -> None:
        """Write CSV, or Parquet by the name; whole or not at all, every float as it is."""
        with table_file(path) as add:
            add(self)

    @classmethod
    def read(cls, path: str | Path) -> ScoreTable:
        """Read CSV or Parquet; raises InputError that names the file, the row and the column."""
        try:
            cells = read_columns(Path(path))
            _check_names(cells)
            assessed = _assessed(cells)
            sent = [c for c, one in zip(cells.get("review", []), assessed, strict=False) if not one]
            return cls.of(
                case_id=cells["case_id"],
                patient_id=cells["patient_id"],
                label=_numbers("label", [cell or UNKNOWN for cell in cells["label"]], int),
                class_name=cells["class_name"],
                score=_numbers("score", [c or "nan" for c in cells["score"]], float),
                threshold=_numbers("threshold", [c or "nan" for c in cells["threshold"]], float),
                extra={k: _guessed(v) for k, v in cells.items() if k not in {*COLUMNS, *OUTCOMES}},
                reason=cells.get("reason", ""),
                not_assessed="leave" if sent and not any(sent) else "review",
            )
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


def _check_names(cells: Mapping[str, Sequence[str]]) -> None:
    for name in COLUMNS:
        if name not in cells:
            raise InputError(f"row 1: no column {name}; a score table has {', '.join(COLUMNS)}")
    if not cells["case_id"]:
        raise InputError("no row with a case; give a score table")


def _numbers(name: str, cells: Sequence[object], kind: Callable[[Any], float]) -> list[float]:
    numbers = []
    for number, cell in enumerate(cells, start=2):
        try:
            numbers.append(kind(cell))
        except ValueError:
            reason = "give 0, 1 or nothing" if name == "label" else "give a number"
            raise InputError(f"row {number}, column {name}: found {cell!r}; {reason}") from None
    return numbers


def _assessed(cells: Mapping[str, Sequence[str]]) -> list[bool]:
    """Which rows have a score; raises InputError where that and ``assessed`` differ."""
    scores = cells["score"]
    said = cells.get("assessed") or ["0" if score == "-inf" else "1" for score in scores]
    for number, (score, one) in enumerate(zip(scores, said, strict=True), start=2):
        if one not in ("0", "1"):
            raise InputError(f"row {number}, column assessed: found {one!r}; give 0 or 1")
        if one == "1" and score.lower() in ("", "nan", "-inf", "-infinity"):
            raise InputError(
                f"row {number}, column score: found {score!r}; give a number, or assessed 0"
            )
        if one == "0" and score not in ("", "-inf"):
            raise InputError(
                f"row {number}, column score: found {score!r} of a case with assessed 0; "
                "leave it empty, or give assessed 1"
            )
    return [one == "1" for one in said]


def _guessed(cells: list[str]) -> NDArray[Any]:
    try:
        return np.array([float(cell or "nan") for cell in cells])
    except ValueError:
        return np.array(cells, dtype=np.str_)
