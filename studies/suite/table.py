"""Put a row for each collection, ours beside the best of the others, into README and results."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from midclass import ScoreTable
from midclass.evaluation.report import auroc_of
from midclass.study.file import Study
from midclass.study.markdown import figure, page_command, pages_with, table

HERE = Path(__file__).resolve().parent
PAGES = (HERE.parents[1] / "README.md", HERE.parents[1] / "docs" / "results.md")
OURS, CONTROL = "middle_class", "middle_class_control"


def figures() -> str:
    """AUROC of each collection, mean over the repeats."""
    study = Study.load(HERE / "study.yaml")
    rows = []
    for task in study.tasks:
        found = {name: _mean(task, name, study) for name in study.detectors_of(task)}
        best = max(found.keys() - {OURS, CONTROL}, key=lambda name: found[name])
        ours, control = figure(found[OURS], 2), figure(found[CONTROL], 2)
        other = f"{figure(found[best], 2)} ({study.title(best)})"
        rows.append([study.task_title(task), f"**{ours}**", control, other])
    return table(["", "middle classes", "without knowledge", "best published method"], rows)


def _mean(task: str, detector: str, study: Study) -> float:
    files = [HERE / "scores" / f"{cell}.csv" for cell in study.names_of(task, detector)]
    return float(np.mean([auroc_of(ScoreTable.read(file)) for file in files]))


def pages() -> dict[Path, str]:
    """The pages with the table as the scores on disk have it."""
    blocks = {"suite": figures()}
    return pages_with(dict.fromkeys(PAGES, blocks))


def main() -> int:
    """Write the tables, or with ``--check`` compare them."""
    return page_command(__doc__, pages)


if __name__ == "__main__":
    sys.exit(main())
