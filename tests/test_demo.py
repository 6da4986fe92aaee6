"""The demo twice, in two folders: the same bytes of scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from midclass.cli.commands import demo


@pytest.mark.slow
@pytest.mark.usefixtures("coarse_maps")
@pytest.mark.parametrize("runs", [1, pytest.param(2, marks=pytest.mark.thorough)])
def test_runs_of_the_demo_give_the_same_bytes_of_scores(tmp_path: Path, runs: int) -> None:
    small = {"steps": 4, "n_train": 63, "n_test": 6, "size": 32}
    tables = []
    for run in ("first", "second")[:runs]:
        demo.run("head", tmp_path / run, 0, max_fpr=0.2, **small)
        tables.append((tmp_path / run / "evaluation" / "scores.csv").read_bytes())
        assert "demo_head" in (tmp_path / run / "evaluation" / "page.html").read_text()
    assert len(set(tables)) == 1
    assert tables[0].count(b"\n") == 1 + 2 * 6
