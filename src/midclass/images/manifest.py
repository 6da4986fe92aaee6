"""Manifest: a CSV file that lists cases, one a row; every mistake in it is named with its row."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError

LATERALITIES = {"": "", "L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}
LABELS = {"": None, "0": 0, "0.0": 0, "1": 1, "1.0": 1}  # ".0": written by tables with gaps


@dataclass(frozen=True)
class Case:
    """One image and what is known about it.

    Attributes:
        case_id: unique in its cohort.
        path: the file.
        label: 0 given class, 1 target class, None unknown.
        patient_id: the unit of splits.
        class_name: a finer name of the class, or "".
        part: the part of the split to which it belongs, such as ``"train"``, or "".
        spacing_mm: ``(rows, cols)`` where the manifest gives it.
        centre: ``(x, y)`` of a region of interest, in pixels of the file, origin top left.
        laterality: ``"L"``, ``"R"`` or "".
        array: npz only, the name of the array.
        index: npz: the row of the array; NIfTI: the time point.
        frame: the frame or slice of a file with several.
        row: the line of the manifest, the header being line 1; 0 without a manifest.
    """

    case_id: str
    path: Path
    label: int | None
    patient_id: str
    class_name: str = ""
    part: str = ""
    spacing_mm: tuple[float, float] | None = None
    centre: tuple[float, float] | None = None
    laterality: str = ""
    array: str | None = None
    index: int | None = None
    frame: int | None = None
    row: int = 0


@dataclass(frozen=True)
class Row:
    """One row of a CSV file; it knows where it stands, for messages."""

    file: Path
    line: int
    fields: dict[str, str]

    def text(self, column: str) -> str:
        """A field without blanks around it; "" where the column is missing."""
        return self.fields.get(column, "")

    def number(self, column: str) -> float | None:
        """A finite number, or None where the field is empty."""
        return self._parsed(column, self.text(column)) if self.text(column) else None

    def count(self, column: str) -> int | None:
        """A whole number from 0 up, or None where the field is empty."""
        text = self.text(column)
        if text and not (text.isascii() and text.isdigit()):
            raise self.wrong(column, "expected a whole number from 0 up")
        return int(text) if text else None

    def spacing(self) -> tuple[float, float] | None:
        """``a`` or ``a;b`` (rows; columns) in mm."""
        text = self.text("spacing_mm")
        if not text:
            return None
        numbers = [self._parsed("spacing_mm", part) for part in text.split(";")]
        if len(numbers) > 2 or min(numbers) <= 0:
            raise self.wrong("spacing_mm", "expected mm above 0, one number or rows;columns")
        return numbers[0], numbers[-1]

    def wrong(self, column: str, expected: str) -> InputError:
        """The error for one field."""
        return InputError(
            f"{self.file}, row {self.line}: {column} is {self.text(column)!r}, {expected}"
        )

    def _parsed(self, column: str, text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            raise self.wrong(column, "expected a number")
        return number


def read_manifest(path: Path, split: str | None, root: Path | None) -> tuple[Case, ...]:
    """Read all cases of a manifest and check them; see ``Cohort.from_manifest``.

    Columns (only ``path`` is required; others than these are ignored):

    * ``path``: of the file, relative to the manifest's folder.
    * ``label``: 0 given class, 1 target class, empty unknown.
    * ``patient_id``: the unit of splits. Where it is empty, the file (or the row of an npz array)
      is taken for a patient of its own; then images of one person may fall on two sides.
    * ``class_name``; ``laterality``: L or R.
    * ``spacing_mm``: one number, or ``rows;columns``.
    * ``x``, ``y``: the centre of a region of interest in pixels, origin top left.
    * ``array``, ``index``: of an npz file; ``frame``: of a file with several.
    * ``case_id`` or ``roi_id``: by default the path with ``#array[index]``, ``#frame``, ``@x,y``.
    """
    columns, rows = _table(path)
    if "path" not in columns:
        raise InputError(f"{path}: no column 'path'; the columns are {', '.join(columns)}")
    if not rows:
        raise InputError(f"{path}: has a header but no rows")
    parts = _parts(path, columns, rows, split)
    cases = tuple(_case(row, part, root) for row, part in zip(rows, parts, strict=True))
    _check_files(path, cases)
    _check_unique(path, cases)
    _check_sides(path, cases)
    return cases


def _table(path: Path) -> tuple[list[str], list[Row]]:
    """The header and the rows of a CSV file; blank lines do not count as rows."""
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    columns: list[str] = []
    rows: list[Row] = []
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader, line = csv.reader(file, strict=True), 1
            for fields in reader:
                if not columns:
                    columns = [name.strip() for name in fields]
                elif any(fields):
                    if len(fields) != len(columns):
                        raise InputError(
                            f"{path}, row {line}: {len(fields)} fields, "
                            f"the header has {len(columns)}"
                        )
                    values = (field.strip() for field in fields)
                    rows.append(Row(path, line, dict(zip(columns, values, strict=True))))
                line = reader.line_num + 1
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: is not a CSV file in UTF-8: {error}") from error
    if not columns:
        raise InputError(f"{path}: is empty")
    twice = [name for k, name in enumerate(columns) if name and name in columns[:k]]
    if twice:
        raise InputError(f"{path}: column {twice[0]!r} stands twice in the header")
    return columns, rows


def _parts(path: Path, columns: list[str], rows: list[Row], split: str | None) -> list[str]:
    """The part of each row."""
    if split is None:
        return [row.text("split") for row in rows]
    name, _, column = split.rpartition(":")
    if not name:
        _check_column(path, columns, column)
        return [row.text(column) for row in rows]
    other = path.parent / name
    other_columns, other_rows = _table(other)
    _check_column(other, other_columns, column)
    key = next((k for k in ("case_id", "roi_id") if k in columns and k in other_columns), "path")
    _check_column(other, other_columns, key)
    part_of: dict[str, Row] = {}
    for row in other_rows:
        known = part_of.setdefault(row.text(key), row)
        if known.text(column) != row.text(column):
            raise row.wrong(
                column, f"but row {known.line} of the same {key} says {known.text(column)!r}"
            )
    for row in rows:
        if row.text(key) not in part_of:
            raise row.wrong(key, f"which has no row in {other}")
    return [part_of[row.text(key)].text(column) for row in rows]


def _check_column(path: Path, columns: Sequence[str], column: str) -> None:
    if column not in columns:
        raise InputError(f"{path}: no column {column!r}; the columns are {', '.join(columns)}")


def _case(row: Row, part: str, root: Path | None) -> Case:
    name, array = row.text("path"), row.text("array") or None
    index, frame = row.count("index"), row.count("frame")
    x, y = row.number("x"), row.number("y")
    if not name:
        raise row.wrong("path", "expected the name of a file")
    if root is None and (os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == ".."):
        raise row.wrong("path", "which leads out of the manifest's folder; give a root")
    if row.text("label") not in LABELS:
        raise row.wrong("label", "expected 0 (given class), 1 (target class) or nothing")
    if (x is None) != (y is None):
        raise row.wrong("x" if x is None else "y", "expected both x and y, or neither")
    if row.text("laterality").upper() not in LATERALITIES:
        raise row.wrong("laterality", "expected L, R or nothing")
    if array is not None and index is None:
        raise row.wrong("index", f"expected the row of the array {array}")
    source = name + (f"#{array}" if array else "") + (f"[{index}]" if index is not None else "")
    where = source + (f"#{frame}" if frame is not None else "")
    where += f"@{row.text('x')},{row.text('y')}" if x is not None else ""
    return Case(
        case_id=row.text("case_id") or row.text("roi_id") or where,
        path=(root or row.file.parent) / name,
        label=LABELS[row.text("label")],
        patient_id=row.text("patient_id") or (source if array else name),
        class_name=row.text("class_name"),
        part=part,
        spacing_mm=row.spacing(),
        centre=None if x is None or y is None else (x, y),
        laterality=LATERALITIES[row.text("laterality").upper()],
        array=array,
        index=index,
        frame=frame,
        row=row.line,
    )


def _check_files(path: Path, cases: Sequence[Case]) -> None:
    exists = {file: file.is_file() for file in {case.path for case in cases}}
    missing = [case for case in cases if not exists[case.path]]
    if missing:
        more = f" (and {len(missing) - 1} more rows)" if len(missing) > 1 else ""
        raise InputError(f"{path}, row {missing[0].row}: no such file {missing[0].path}{more}")


def _check_unique(path: Path, cases: Sequence[Case]) -> None:
    first: dict[str, Case] = {}
    for case in cases:
        known = first.setdefault(case.case_id, case)
        if known is not case:
            raise InputError(
                f"{path}, rows {known.row} and {case.row}: the same case {case.case_id!r}; "
                "remove one, or tell them apart by a column case_id"
            )


def _check_sides(path: Path, cases: Sequence[Case]) -> None:
    first: dict[str, Case] = {}
    for case in cases:
        known = first.setdefault(case.patient_id, case) if case.part else case
        if known.part != case.part:
            raise InputError(
                f"{path}: patient {case.patient_id} is in {known.part} (row {known.row}) and in "
                f"{case.part} (row {case.row}); keep all rows of a patient in one part"
            )


def slice_numbers(manifest: Path, cohort: Sequence[Case]) -> NDArray[np.float64] | None:
    """The column ``slice`` of the manifest for each case ``(n,)``.

    None where the manifest has no such column, or not a number for every case: then nothing says
    which images of a patient are neighbours.
    """
    with manifest.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader)]
        if "slice" not in header:
            return None
        of_line, line = {}, reader.line_num + 1
        for fields in reader:
            of_line[line] = fields[header.index("slice")] if any(fields) else ""
            line = reader.line_num + 1
    try:
        numbers = np.array([float(of_line[case.row]) for case in cohort])
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None
