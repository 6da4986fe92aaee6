"""Table files: score tables as CSV, or as Parquet.

A text that a spreadsheet would take for a formula has an apostrophe before it in CSV, which is no
part of it (see ``cells``).
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.evaluation.cells import LineEnds, as_cell, from_cell
from midclass.evaluation.parquet import SUFFIX, parquet_file, read_parquet
from midclass.files import new_text

if TYPE_CHECKING:
    from midclass.evaluation.table import ScoreTable

UNKNOWN = -1
"""The label of a case whose class is not known: an empty cell in the file."""


@contextmanager
def table_file(path: str | Path) -> Iterator[Callable[[ScoreTable], None]]:
    """A score table written part by part, whole or not at all: for more cases than memory holds.

    The block gets a function that adds the rows of a table; all parts have the same columns. The
    file is Parquet where its name ends in ``.parquet``, else CSV.
    """
    if Path(path).suffix == SUFFIX:
        with parquet_file(Path(path)) as add_part:
            yield add_part
        return
    with new_text(path) as file:
        writer = csv.writer(LineEnds(file))
        header: list[str] = []

        def add(table: ScoreTable) -> None:
            columns = cells_of(table)
            if not header:
                header.extend(columns)
                writer.writerow(header)
            writer.writerows(zip(*(columns[name] for name in header), strict=True))

        yield add


def cells_of(table: ScoreTable) -> dict[str, list[str]]:
    """The columns of a table as they stand in a file; every float is read back exactly."""
    return {name: _as_cells(name, values) for name, values in table.columns().items()}


def _as_cells(name: str, values: NDArray[Any]) -> list[str]:
    if name == "label":
        return ["" if value == UNKNOWN else str(value) for value in values.tolist()]
    if values.dtype.kind == "f":
        return ["" if np.isnan(value) else repr(value) for value in values.tolist()]
    return [as_cell(str(value)) for value in values.tolist()]


def read_columns(path: Path) -> dict[str, list[str]]:
    """The columns of a file as text.

    Raises:
        InputError: it is no table with rows.
    """
    if not path.exists():
        raise InputError("no such score table")
    if path.suffix == SUFFIX:
        return read_parquet(path)
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:  # spreadsheets add a mark
            header, *rows = list(csv.reader(file, strict=True)) or [[]]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"is no readable CSV file ({error}); give a score table") from error
    if not rows:
        raise InputError("no row with a case; give a score table")
    if len(set(header)) < len(header):
        raise InputError(f"row 1: a column is there twice: {', '.join(header)}")
    for number, row in enumerate(rows, start=2):
        if len(row) != len(header):
            raise InputError(f"row {number}: {len(row)} cells, but row 1 has {len(header)} columns")
    return {name: [from_cell(row[column]) for row in rows] for column, name in enumerate(header)}
