"""Score tables: what a detector said of each case, from which every figure is computed anew.

One CSV for each task, detector and repeat.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from midclass.errors import InputError
from midclass.files import new_file

COLUMNS = ("case_id", "patient_id", "label", "class_name", "score", "threshold")
UNKNOWN = -1
"""The label of a case whose class is not known: an empty cell in the file."""


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of n cases; a case is flagged where ``score > threshold``.

    Attributes:
        case_id: str ``(n,)``, each different.
        patient_id: str ``(n,)``.
        label: int ``(n,)``, 0 given class, 1 target class, -1 unknown.
        class_name: str ``(n,)``, may be empty.
        score: float64 ``(n,)``, higher is more abnormal; -inf where a case cannot be assessed.
        threshold: float64 ``(n,)``, NaN (an empty cell) where there is none.
        extra: more columns by name, each ``(n,)``. When read, a column of numbers is float64 (an
            empty cell is NaN) and any other is str.

    Raises InputError that names row and column; as in the file, row 2 is the first case.

    >>> table = ScoreTable.of(["a", "b"], ["p", "q"], [0, 1], [0.25, 0.5], threshold=0.4)
    >>> table.flagged.tolist(), table.class_name.tolist()
    ([False, True], ['', ''])
    """

    case_id: NDArray[np.str_]
    patient_id: NDArray[np.str_]
    label: NDArray[np.int64]
    class_name: NDArray[np.str_]
    score: NDArray[np.float64]
    threshold: NDArray[np.float64]
    extra: Mapping[str, NDArray[Any]] = field(default_factory=dict)

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
    ) -> ScoreTable:
        """Make a table from lists or arrays; one threshold or class name stands for all cases."""
        cases = np.asarray(case_id, dtype=np.str_)
        return cls(
            cases,
            np.asarray(patient_id, dtype=np.str_),
            np.asarray(label).astype(np.int64, casting="same_kind"),  # 0.5 is no label
            np.array(np.broadcast_to(np.asarray(class_name, dtype=np.str_), cases.shape)),
            np.asarray(score, dtype=np.float64),
            np.array(np.broadcast_to(np.asarray(threshold, dtype=np.float64), cases.shape)),
            {name: np.asarray(values) for name, values in (extra or {}).items()},
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
        if doubled := sorted(set(self.extra) & set(COLUMNS)):
            raise InputError(f"extra column {doubled[0]} has a standard column's name; rename it")
        first = np.unique(self.case_id, return_index=True)[1]
        again = np.ones(n, dtype=bool)
        again[first] = False
        self._refuse("case_id", self.case_id == "", "every case needs a name")
        self._refuse("case_id", again, "is there twice; give each case one row")
        self._refuse("patient_id", self.patient_id == "", "every case needs a patient")
        self._refuse("label", ~np.isin(self.label, (0, 1, UNKNOWN)), "0, 1 or -1 (unknown)")
        no_score = np.isnan(self.score) | (self.score == np.inf)
        self._refuse("score", no_score, "a score is finite, or -inf for a case not assessed")

    def _refuse(self, name: str, wrong: NDArray[np.bool_], reason: str) -> None:
        if wrong.any():
            row = int(np.argmax(wrong))
            found = str(self.columns()[name][row])
            raise InputError(f"row {row + 2}, column {name}: found {found!r}; {reason}")

    def columns(self) -> dict[str, NDArray[Any]]:
        """All columns by name, in the order of the file."""
        return {name: getattr(self, name) for name in COLUMNS} | dict(self.extra)

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Which cases are called abnormal, bool ``(n,)``; none where there is no threshold."""
        return np.asarray(self.score > self.threshold)

    def __len__(self) -> int:
        return len(self.case_id)

    def write(self, path: str | Path) -> None:
        """Write the CSV, whole or not at all; every float is read back exactly."""
        with table_file(path) as add:
            add(self)

    @classmethod
    def read(cls, path: str | Path) -> ScoreTable:
        """Read a CSV; raises InputError that names the file, the row and the column."""
        try:
            cells = _read_columns(Path(path))
            return cls.of(
                case_id=cells["case_id"],
                patient_id=cells["patient_id"],
                label=_numbers("label", [cell or UNKNOWN for cell in cells["label"]], int),
                class_name=cells["class_name"],
                score=_numbers("score", cells["score"], float),
                threshold=_numbers("threshold", [c or "nan" for c in cells["threshold"]], float),
                extra={k: _guessed(v) for k, v in cells.items() if k not in COLUMNS},
            )
        except InputError as error:
            raise InputError(f"{path}: {error}") from error


@contextmanager
def table_file(path: str | Path) -> Iterator[Callable[[ScoreTable], None]]:
    """A score table written part by part, whole or not at all: for more cases than memory holds.

    The block gets a function that adds the rows of a table; all parts have the same columns.
    """
    with new_file(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        header: list[str] = []

        def add(table: ScoreTable) -> None:
            columns = {name: _as_cells(name, values) for name, values in table.columns().items()}
            if not header:
                header.extend(columns)
                writer.writerow(header)
            writer.writerows(zip(*(columns[name] for name in header), strict=True))

        yield add


def _as_cells(name: str, values: NDArray[Any]) -> list[str]:
    if name == "label":
        return ["" if value == UNKNOWN else str(value) for value in values.tolist()]
    if values.dtype.kind == "f":
        return ["" if np.isnan(value) else repr(value) for value in values.tolist()]
    return [str(value) for value in values.tolist()]


def _read_columns(path: Path) -> dict[str, list[str]]:
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:  # spreadsheets add a mark
            header, *rows = list(csv.reader(file, strict=True)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"is no readable CSV file ({error}); give a score table") from error
    if not rows:
        raise InputError("no row with a case; give a score table")
    for name in COLUMNS:
        if name not in header:
            raise InputError(f"row 1: no column {name}; a score table has {', '.join(COLUMNS)}")
    if len(set(header)) < len(header):
        raise InputError(f"row 1: a column is there twice: {', '.join(header)}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise InputError(f"row {number}: {len(row)} cells, but row 1 has {len(header)} columns")
    return {name: [row[column] for row in rows] for column, name in enumerate(header)}


def _numbers(name: str, cells: Sequence[object], kind: Callable[[Any], float]) -> list[float]:
    numbers = []
    for number, cell in enumerate(cells, start=2):
        try:
            numbers.append(kind(cell))
        except ValueError:
            reason = "give 0, 1 or nothing" if name == "label" else "give a number"
            raise InputError(f"row {number}, column {name}: found {cell!r}; {reason}") from None
    return numbers


def _guessed(cells: list[str]) -> NDArray[Any]:
    try:
        return np.array([float(cell or "nan") for cell in cells])
    except ValueError:
        return np.array(cells, dtype=np.str_)
