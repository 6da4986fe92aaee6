"""Put the figures of breast ultrasound into docs/results.md."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from midclass import ScoreTable
from midclass.evaluation.metrics import auroc
from midclass.study.file import Study
from midclass.study.markdown import figure, page_command, pages_with, rows_under, table
from midclass.study.results import read

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "docs" / "results.md"
TASK = "breast"
KINDS = ("malignant", "benign mass")


def of_kind(one: ScoreTable, kind: str) -> float:
    """AUROC of one kind of mass against normal images, of assessed cases."""
    those = one.assessed & ((one.label == 0) | (one.class_name == kind))
    return auroc(one.label[those], one.score[those])


def overview() -> str:
    """A row for each detector, in the report's order: all masses, and each kind."""
    study = Study.load(HERE / "study.yaml")
    tables = read(study, HERE)[0][TASK]
    titles = {study.title(name): name for name in tables}
    report = (HERE / "RESULTS.md").read_text(encoding="utf-8")
    head, *body = rows_under(report, f"## {study.task_title(TASK)}")
    rows = []
    for cells in body:
        row = dict(zip(head, cells, strict=True))
        found = tables[titles[row["detector"].strip("*")]]
        kinds = (np.mean([of_kind(one, kind) for one in found.values()]) for kind in KINDS)
        rows.append([row["detector"], row["AUROC"], *(figure(float(kind)) for kind in kinds)])
    return table(["detector", "all masses", *KINDS], rows)


def main() -> int:
    """Write the table, or with ``--check`` compare it."""
    return page_command(__doc__, lambda: pages_with({RESULTS: {"ultrasound": overview()}}))


if __name__ == "__main__":
    sys.exit(main())
