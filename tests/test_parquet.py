"""Parquet: the same table as CSV, with a type for each column."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from midclass import Cohort, InputError, ScoreTable
from midclass.cli.commands import score
from midclass.cli.recognised import no_table
from midclass.evaluation.table_file import table_file


def table(first: int = 0) -> ScoreTable:
    return ScoreTable.of(
        [f"=c{first}", f"d{first}", f"é{first}"],
        ["p", "q", "1"],
        [0, 1, -1],
        [0.1 + first, np.nan, 1 / 3],
        threshold=0.2,
        class_name=["", "007", "b"],
        reason=["", "too dark", ""],
        extra={"p_value": [0.5, np.nan, 1e-17], "assumed_spacing": [0, 1, 1]},
    )


def test_what_is_read_back_is_what_csv_gives(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="extra [parquet]")
    found = {}
    for name in ("a.csv", "a.parquet"):
        with table_file(tmp_path / name) as add:
            add(table())
            add(table(1))
        found[name] = ScoreTable.read(tmp_path / name)
    columns = {name: one.columns() for name, one in found.items()}
    assert columns["a.csv"].keys() == columns["a.parquet"].keys()
    for name, values in columns["a.csv"].items():
        assert np.array_equal(values, columns["a.parquet"][name], equal_nan=values.dtype == float)
    kinds = {field.name: str(field.type) for field in parquet.read_schema(tmp_path / "a.parquet")}
    assert kinds["score"] == kinds["p_value"] == "double"
    assert kinds["label"] == kinds["flagged"] == kinds["review"] == "int8"
    assert kinds["case_id"] == "string"
    nulls = parquet.read_table(tmp_path / "a.parquet")
    assert [nulls[name].null_count for name in ("score", "label", "flagged", "p_value")] == [2] * 4


def test_a_file_is_whole_or_not_there_and_no_other_is_replaced(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow", reason="extra [parquet]")
    parquet = pytest.importorskip("pyarrow.parquet", reason="extra [parquet]")
    out = tmp_path / "a.parquet"
    with pytest.raises(KeyboardInterrupt), table_file(out) as add:  # noqa: PT012
        add(table())
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())
    table().write(out)
    assert no_table(out) == ""
    parquet.write_table(parquet.read_table(out).replace_schema_metadata({}), out)
    assert no_table(out) == "is no score table of midclass"
    out.write_bytes(out.read_bytes()[:50])
    with pytest.raises(InputError, match=r"a\.parquet: is no readable Parquet file"):
        ScoreTable.read(out)
    parquet.write_table(arrow.table({"case_id": ["a"]}), out)
    with pytest.raises(InputError, match=r"a\.parquet: row 1: no column patient_id"):
        ScoreTable.read(out)


def test_without_pyarrow_there_is_one_line_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"pip install 'midclass\[parquet\]'"):
        score.run(tmp_path / "none", Cohort(()), out=tmp_path / "a.parquet")
