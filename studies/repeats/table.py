"""Put what the repeats say, ours beside the best of the others, into docs/results.md."""

from __future__ import annotations

import sys
from pathlib import Path

from midclass.study.file import Study
from midclass.study.markdown import page_command, pages_with, rows_under, table

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "docs" / "results.md"
SHOWN = ("AUROC", "sd of AUROC", "false alarms, 5 % promised")


def overview() -> str:
    """A row for each task: the report puts the best detector first."""
    report = (HERE / "RESULTS.md").read_text(encoding="utf-8")
    study = Study.load(HERE / "study.yaml")
    ours = study.title("middle_class")
    rows = []
    for task in study.tasks:
        head, *body = rows_under(report, f"## {study.task_title(task)}")
        found = [dict(zip(head, row, strict=True)) for row in body]
        own = next(row for row in found if ours in row["detector"])
        best = next(row for row in found if ours not in row["detector"])
        ahead = best[f"AUROC of {ours} minus it"]
        named = f"{best['AUROC'].split(' ')[0]} ({best['detector']})"
        rows.append([study.task_title(task), *(own[name] for name in SHOWN), named, ahead])
    return table(["", *SHOWN, "best of the others", "ahead by"], rows)


def pages() -> dict[Path, str]:
    """The page with its table as the report has it."""
    return pages_with({RESULTS: {"repeats": overview()}})


def main() -> int:
    """Write the table, or with ``--check`` compare it."""
    return page_command(__doc__, pages)


if __name__ == "__main__":
    sys.exit(main())
