"""The manifest of a folder as a file, which ``manifest.read_manifest`` reads."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from midclass.evaluation.cells import LineEnds, as_cell
from midclass.files import new_text
from midclass.images.case import Case
from midclass.images.columns import REMARKS
from midclass.images.inventory import Inventory


def write_manifest(
    out: Path, found: Inventory, parts: Mapping[str, Sequence[str]], start: str, folder: Path
) -> None:
    """Write the manifest of a folder; a column in which nothing stands is not there.

    Args:
        out: the file.
        found: the cases.
        parts: name of a column -> the part of each case.
        start: stands before each path.
        folder: to which paths are relative after that.
    """
    top = folder.absolute()

    def path_of(case: Case) -> str:
        name = f"{start}{case.path.absolute().relative_to(top).as_posix()}"
        return f"./{name}" if as_cell(name) != name or name != name.strip() else name

    paths = [path_of(case) for case in found.cases]
    usual = [
        path if case.frame is None else f"{path}#{case.frame}"
        for path, case in zip(paths, found.cases, strict=True)
    ]
    texts: dict[str, Callable[[Case], str]] = {
        "frame": lambda case: "" if case.frame is None else str(case.frame),
        "label": lambda case: "" if case.label is None else str(case.label),
        "class_name": lambda case: as_cell(case.class_name),
        "patient_id": lambda case: case.patient_id,
    }
    further: dict[str, Callable[[Case], str]] = {
        "laterality": lambda case: case.laterality,
        "view_position": lambda case: case.view_position,
        "study_id": lambda case: case.study_id,
        "spacing_mm": lambda case: _spacing(case),
        "slice": lambda case: "" if case.slice is None else f"{case.slice:g}",
        "series_id": lambda case: case.series_id,
    }
    columns: dict[str, Sequence[str]] = {"path": paths}
    columns |= {name: [text(case) for case in found.cases] for name, text in texts.items()}
    columns |= parts
    columns |= {name: [text(case) for case in found.cases] for name, text in further.items()}
    columns |= {name: [one.remarks[name] for one in found.entries] for name in REMARKS}
    columns["case_id"] = [
        "" if f"./{case.case_id}" == name or case.case_id == name else case.case_id
        for case, name in zip(found.cases, usual, strict=True)
    ]
    must = {"path", "label", "patient_id", *parts}
    kept = [name for name, values in columns.items() if name in must or any(values)]
    write_rows(out, kept, list(zip(*(columns[name] for name in kept), strict=True)))


def _spacing(case: Case) -> str:
    if case.spacing_mm is None:
        return ""
    rows, columns = case.spacing_mm
    return f"{rows!r}" if rows == columns else f"{rows!r};{columns!r}"


def write_rows(file: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table, whole or not at all."""
    with new_text(file) as text:
        writer = csv.writer(LineEnds(text))
        writer.writerow(header)
        writer.writerows(rows)
