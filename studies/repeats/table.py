"""Put what the repeats say, ours beside the best of the others, into docs/results.md."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from midclass.evaluation.calibrated import CalibratedPatients
from midclass.evaluation.comparison import Estimate, TaskComparison
from midclass.evaluation.patients import patient_table
from midclass.study.file import Study
from midclass.study.markdown import (
    figure,
    page_command,
    pages_with,
    rows_under,
    signed,
    table,
    with_limits,
)
from midclass.study.results import read

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "docs" / "results.md"
SHOWN = ("AUROC", "sd of AUROC", "false alarms, 5 % asked for")
OURS, STACKS = "middle_class", "head_ct"
"""The task whose patients have many slices each, and a label of their own."""


def overview() -> str:
    """A row for each task: the report puts the best detector first; and one of patients."""
    report = (HERE / "RESULTS.md").read_text(encoding="utf-8")
    study = Study.load(HERE / "study.yaml")
    ours = study.title(OURS)
    rows = []
    for task in study.tasks:
        head, *body = rows_under(report, f"## {study.task_title(task)}")
        found = [dict(zip(head, row, strict=True)) for row in body]
        own = next(row for row in found if ours in row["detector"])
        best = next(row for row in found if ours not in row["detector"])
        ahead = best[f"AUROC of {ours} minus it"]
        named = f"{best['AUROC'].split(' ')[0]} ({best['detector']})"
        rows.append([study.task_title(task), *(own[name] for name in SHOWN), named, ahead])
        if task == STACKS:
            rows.append(of_patients(study))
    return table(["", *SHOWN, "best of the others", "ahead by"], rows)


def of_patients(study: Study) -> list[str]:
    """The row of patients; as in ``evaluate`` the mean of the three highest slices is the score."""
    tables = read(study, HERE)[0][STACKS]
    nobody = CalibratedPatients(np.empty(0))
    compared = TaskComparison.of(
        {
            name: {repeat: patient_table(one, nobody, 0.05) for repeat, one in found.items()}
            for name, found in tables.items()
        }
    )
    areas: dict[str, Estimate] = {name: compared.estimate(name) for name in tables}
    own = areas.pop(OURS)
    best = max(areas, key=lambda name: areas[name].value)
    ahead = compared.difference(OURS, best)
    return [
        "the same, patients",
        with_limits(*own[:3]),
        figure(own.spread),
        "",
        f"{figure(areas[best].value)} ({study.title(best)})",
        f"{signed(ahead.value)} ({signed(ahead.low)} to {signed(ahead.high)})",
    ]


def pages() -> dict[Path, str]:
    """The page with its table as the report has it."""
    return pages_with({RESULTS: {"repeats": overview()}})


def main() -> int:
    """Write the table, or with ``--check`` compare it."""
    return page_command(__doc__, pages)


if __name__ == "__main__":
    sys.exit(main())
