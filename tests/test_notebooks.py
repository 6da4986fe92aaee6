"""Notebooks: each runs from its first cell to its last, in an empty folder, in one Python.

Cells are executed as they are in the file, without Jupyter: a kernel for two files of plain Python
would be a dozen packages more for everybody who runs the tests. Training is cut to a few steps:
that the code runs is tested, not what is learned.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

FOLDER = Path(__file__).resolve().parents[1] / "examples" / "notebooks"
STEPS = '"steps": 400, "batch": 16, "width": 16'
NAMES = [file.stem for file in sorted(FOLDER.glob("*.ipynb"))]


def cells(name: str) -> list[dict[str, Any]]:
    book = json.loads((FOLDER / f"{name}.ipynb").read_text(encoding="utf-8"))
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    return list(book["cells"])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_to_its_end(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    known: dict[str, Any] = {"__name__": "__main__"}
    code = ["".join(one["source"]) for one in cells(name) if one["cell_type"] == "code"]
    if name == "first_detector":
        assert sum(STEPS in text for text in code) == 1
        code = [text.replace(STEPS, '"steps": 4, "batch": 8, "width": 8') for text in code]
    try:
        for number, text in enumerate(code, start=1):
            exec(compile(text, f"{name}, cell {number}", "exec"), known)
        assert plt.get_fignums()  # each shows a picture
    finally:
        plt.close("all")


def test_notebooks_are_kept_without_what_they_said() -> None:
    """Outputs differ between machines, and hide that a notebook was not run."""
    assert set(NAMES) == {"first_detector", "own_knowledge"}
    for name in NAMES:
        for one in cells(name):
            assert not one.get("outputs")
            assert one.get("execution_count") is None
