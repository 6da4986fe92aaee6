"""Parquet: score tables of archives, with a type for each column.

Needs pyarrow (extra ``parquet``). Cells that are empty in CSV are null; all else is the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.files import new_file

if TYPE_CHECKING:
    from midclass.evaluation.table import ScoreTable

SUFFIX = ".parquet"
MARK = b"midclass.score_table"
"""In the schema of a table that midclass wrote."""
_FLAGS = ("label", "assessed", "flagged", "review")


def check_installed(path: Path) -> None:
    """Refuse a path that ends in ``.parquet`` where pyarrow is not installed.

    Raises:
        InputError: with the way out.
    """
    if path.suffix == SUFFIX:
        _arrow(path)


def _arrow(path: Path) -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(
            f"{path}: Parquet needs pyarrow: pip install 'midclass[parquet]', or name a .csv"
        ) from None
    return pyarrow, pyarrow.parquet


@contextmanager
def parquet_file(path: Path) -> Iterator[Callable[[ScoreTable], None]]:
    """A score table written part by part, whole or not at all; see ``table_file``."""
    arrow, parquet = _arrow(path)
    writers: list[Any] = []
    with new_file(path) as file:

        def add(table: ScoreTable) -> None:
            columns = {n: _column(arrow, n, values) for n, values in table.columns().items()}
            part = arrow.table(columns).replace_schema_metadata({MARK: b"1"})
            if not writers:
                writers.append(parquet.ParquetWriter(file, part.schema))
            writers[0].write_table(part)

        try:
            yield add
        finally:
            for writer in writers:
                writer.close()


def _column(arrow: Any, name: str, values: NDArray[Any]) -> Any:
    """Labels and flags are small integers, null where CSV has an empty cell."""
    if name in _FLAGS:
        cells = ["" if cell in ("", "-1") else cell for cell in values.astype(str).tolist()]
        return arrow.array([int(cell) if cell else None for cell in cells], arrow.int8())
    if values.dtype.kind == "f":
        return arrow.array(values, arrow.float64(), mask=np.isnan(values))
    return arrow.array(values.tolist())


def read_parquet(path: Path) -> dict[str, list[str]]:
    """The columns of a file as cells of text, as they would stand in CSV.

    Raises:
        InputError: the file cannot be read, or holds no rows.
    """
    arrow, parquet = _arrow(path)
    try:
        table = parquet.ParquetFile(path).read()
        columns = {name: table[name].to_pylist() for name in table.column_names}
    except (OSError, arrow.ArrowException) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"is no readable Parquet file ({said}); give a score table") from error
    return {name: [_cell(value) for value in values] for name, values in columns.items()}


def _cell(value: object) -> str:
    if value is None:
        return ""
    return str(int(value)) if isinstance(value, bool) else str(value)
