"""Manifest: a CSV file that lists cases, one a row; every mistake in it is named with its row."""

from __future__ import annotations

import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np

from midclass.errors import InputError
from midclass.images.case import NOBODY, Case, Folder, across_parts
from midclass.images.columns import (
    SPLIT,
    Divided,
    refuse_near_misses,
    refuse_part,
    unused,
)
from midclass.images.lines import Line, check_column, columns_of, lines_of
from midclass.images.row import Row


def read_manifest(
    path: str | Path,
    split: str | None,
    root: str | Path | None,
    needed: str | None = None,
    *,
    some_missing: bool = False,
) -> tuple[Case, ...]:
    """Read all cases of a manifest and check them; see ``Cohort.from_manifest``.

    Files must be there; where a part is ``needed``, those of other parts need not. With
    ``some_missing`` a case whose file is not there fails when it is read, as one with a damaged
    file does; where that are most, the folder is another one, and it is an error here, too.

    Columns, separated by commas, semicolons or tabs. Only ``path`` is required; others than these
    are not used, unless they are nearly one of these (``Split``, ``PatientID``, ``lable``), which
    is an error (see ``refuse_divided`` for another):

    * ``path``: of the file, relative to the manifest's folder.
    * ``label``: 0 given class, 1 target class, empty unknown.
    * ``patient_id``: the unit of splits. Where it is empty (or ``nan``, as programs write for
      nothing), the file (or the row of an npz array) is taken for a patient of its own; then images
      of one person may fall on two sides. Names that differ in upper case, zeros before a number
      or ``.0`` behind it alone are an error.
    * ``class_name``; ``laterality``: L or R; ``view_position``: such as MLO or CC;
      ``study_id``: of the examination. By these both sides of a patient are found.
    * ``spacing_mm``: one number, or ``rows;columns``.
    * ``x``, ``y``: the centre of a region of interest in pixels, origin top left.
    * ``radius``: of the lesion there, in pixels; evaluation tells whether a detector points at it.
    * ``array``, ``index``: of an npz file; ``frame``: of a file with several.
    * ``mask``: a file that says where in the image disease can be, named like ``path``; where it is
      empty, the recipe's anatomy does. See ``midclass.images.formats.mask``.
    * ``slice``: the image's place among those of its patient or series, a number in any unit.
    * ``series_id``: of the images that were taken in one go, such as the slices of a CT.
    * ``case_id`` or ``roi_id``: by default the path with ``#array[index]``, ``#frame``, ``@x,y``.
    """
    path, root = Path(path), None if root is None else Path(root)
    columns = columns_of(path)
    asked = [] if split is None else [split.rpartition(":")[2]]
    refuse_near_misses(path, columns, asked)
    check_column(path, columns, "path")
    parts = _part_of(path, columns, split)
    folder = Folder(root or path.parent)
    there, cases = lru_cache(maxsize=64)(Path.is_file), list[Case]()
    missing, asked_of = list[tuple[int, Path, str]](), Counter[str]()
    patients: dict[str, tuple[str, int]] = {}
    for line in lines_of(path, columns):
        _refuse_other_spelling(line, patients)
        case = _case(line, line.parsed(), parts(line), root, folder)
        files = (case.path, case.mask) if case.mask else (case.path,)
        asked_for = needed is None or case.part in ("", needed)
        asked_of[case.part] += asked_for
        if asked_for and (absent := [file for file in files if not there(file)]):
            missing.append((case.row, absent[0], case.part))
        cases.append(case)
    if not cases:
        raise InputError(f"{path}: has a header but no rows")
    counted = [needed] if needed is not None and needed in asked_of else list(asked_of)
    lost = len([part for _, _, part in missing if part in counted])
    if missing and not (some_missing and 2 * lost <= sum(asked_of[part] for part in counted)):
        more = f" (and {len(missing) - 1} more rows)" if len(missing) > 1 else ""
        raise InputError(
            f"{path}, row {missing[0][0]}: no such file {missing[0][1]}{more}; "
            + _way_out(missing[0][1])
        )
    _check_unique(path, cases)
    _check_sides(path, cases)
    return tuple(cases)


def refuse_divided(path: Path) -> None:
    """Raise InputError where a column that nothing is read from divides cases into parts."""
    columns = columns_of(path)
    divided = Divided([] if SPLIT in columns else unused(columns))
    for line in lines_of(path, columns):
        divided.look(line.fields)
    divided.refuse(path)


def unused_columns(path: Path, split: str | None = None) -> tuple[str, ...]:
    """The columns of a manifest that nothing is read from."""
    return unused(columns_of(path), [] if split is None else [split.rpartition(":")[2]])


def _part_of(path: Path, columns: list[str], split: str | None) -> Callable[[Line], str]:
    """What tells the part of a line."""
    name, _, column = ("", "", "split") if split is None else split.rpartition(":")
    if not name:
        if split is not None:
            check_column(path, columns, column)
        return lambda line: _part(line, column)
    other = path.parent / name
    others = columns_of(other)
    check_column(other, others, column)
    key = next((k for k in ("case_id", "roi_id") if k in columns and k in others), "path")
    check_column(other, others, key)
    known: dict[str, tuple[str, int]] = {}
    for line in lines_of(other, others):
        part, number = known.setdefault(line.text(key), (_part(line, column), line.number))
        if part != line.text(column):
            raise line.wrong(column, f"but row {number} of the same {key} says {part!r}")

    def part_of(line: Line) -> str:
        if line.text(key) not in known:
            raise line.wrong(key, f"which has no row in {other}")
        return sys.intern(known[line.text(key)][0])

    return part_of


def _part(line: Line, column: str) -> str:
    """The part that a line names; two spellings of one part would be two parts."""
    part = line.text(column)
    if wrong := refuse_part(part):
        raise line.wrong(column, wrong)
    return sys.intern(part)


def _case(line: Line, row: Row, part: str, root: Path | None, folder: Folder) -> Case:
    for column in ("path", "mask"):
        if root is None and _leads_out(line.text(column)):
            raise line.wrong(column, "which leads out of the manifest's folder; give a root")
    if (row.x is None) != (row.y is None):
        raise line.wrong("x" if row.x is None else "y", "expected both x and y, or neither")
    if row.radius is not None and row.x is None:
        raise line.wrong("x", "expected x and y of the lesion of which there is a radius")
    if row.array and row.index is None:
        raise line.wrong("index", f"expected the row of the array {row.array}")
    source, where = _names(line, row)
    patient = "" if row.patient_id in NOBODY else sys.intern(row.patient_id)
    case_id = row.case_id or row.roi_id or where
    return Case(
        case_id=case_id,
        path=cast(Path, folder) if case_id == row.path else Path(folder, row.path),
        label=row.label,
        patient_id=patient or (source if row.array else row.path),
        class_name=sys.intern(row.class_name),
        part=part,
        spacing_mm=row.spacing_mm,
        centre=None if row.x is None or row.y is None else (row.x, row.y),
        radius=row.radius,
        laterality=row.laterality,
        view_position=sys.intern(row.view_position),
        study_id=sys.intern(row.study_id),
        array=sys.intern(row.array) if row.array else None,
        index=row.index,
        frame=row.frame,
        mask=Path(folder, row.mask) if row.mask else None,
        slice=row.slice,
        series_id=sys.intern(row.series_id),
        row=line.number,
    )


def _refuse_other_spelling(line: Line, patients: dict[str, tuple[str, int]]) -> None:
    """Refuse 7.0, 007 or P1 where a row before it says 7 or p1: one patient would be two.

    Programs write so: a column of whole numbers with a gap in it becomes 7.0 in pandas, and a
    spreadsheet takes zeros away.

    Args:
        line: the next row.
        patients: those of the rows before and their lines, by what is left of their names; gets
            this one.
    """
    patient = line.text("patient_id")
    if patient in NOBODY:
        return
    number = _NUMBER.fullmatch(patient)
    name = number[1] if number else patient.casefold()
    other, row = patients.setdefault(name, (patient, line.number))
    if other != patient:
        raise line.wrong(
            "patient_id",
            f"and in row {row} {other!r}: two patients, or one that is written in two ways; write "
            "one patient in one way, and two so that they differ by more",
        )


def _way_out(missing: Path) -> str:
    """What to do about a file that is not there: often it is, under a name that looks alike."""
    name = str(missing)
    if "\\" in name and Path(name.replace("\\", "/")).is_file():
        return "write slashes for its backslashes"
    if any(Path(unicodedata.normalize(form, name)).is_file() for form in ("NFC", "NFD")):
        return (
            "a file's name there looks the same, but has its accents in another form of Unicode; "
            "write the manifest with names as the folder lists them"
        )
    return "leave such rows out, or name the folder from which the paths go (--root)"


_NUMBER = re.compile(r"0*([0-9]+?)(?:\.0*)?")


def _leads_out(name: str) -> bool:
    return os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == ".."


def _names(line: Line, row: Row) -> tuple[str, str]:
    """Of the file, or of its row; and of the image: ``#array[index]``, ``#frame``, ``@x,y``."""
    source = row.path
    if row.array:
        source += f"#{row.array}"
    if row.index is not None:
        source += f"[{row.index}]"
    where = source if row.frame is None else f"{source}#{row.frame}"
    if row.x is not None:
        where += f"@{line.text('x')},{line.text('y')}"
    return source, where


def _check_unique(path: Path, cases: Sequence[Case]) -> None:
    hashes = np.fromiter((hash(case.case_id) for case in cases), np.int64, len(cases))
    if len(np.unique(hashes)) == len(cases):
        return
    first: dict[str, Case] = {}
    for case in cases:
        known = first.setdefault(case.case_id, case)
        if known is not case:
            raise InputError(
                f"{path}, rows {known.row} and {case.row}: the same case {case.case_id!r}; "
                "remove one, or tell them apart by a column case_id"
            )


def _check_sides(path: Path, cases: Sequence[Case]) -> None:
    for known, case in across_parts(cases):
        raise InputError(
            f"{path}: patient {case.patient_id} is in {known.part} (row {known.row}) and in "
            f"{case.part} (row {case.row}); keep all rows of a patient in one part"
        )
