"""Put the first study's table into docs/results.md, recomputed from the score tables."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from midclass import ScoreTable, report
from midclass.files import fill_blocks
from midclass.study.markdown import figure, page_command, table, with_limits

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "docs" / "results.md"
MAX_FPR = 0.05
TASKS = {
    "chest_xray": "Chest X-ray (images)",
    "head_ct": "Head CT (slices)",
    "mammography_roi": "Mammography (regions)",
}
FIGURES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "sensitivity": "sensitivity",
    "false_alarm_rate": "false alarms, 5 % asked for",
}
DETECTORS = {"middle_class": "knowledge", "middle_class_control": "no knowledge (control)"}


def scores(task: str, detector: str) -> ScoreTable:
    """One score table."""
    return ScoreTable.read(HERE / "scores" / task / detector / "0.csv")


def figures(task: str, detector: str) -> dict[str, Any]:
    """All figures of one score table."""
    return report(scores(task, detector), MAX_FPR)


def cell(found: dict[str, float]) -> str:
    """``.90 (.88 to .92)``."""
    return with_limits(found["value"], found["low"], found["high"], digits=2)


def not_assessed(task: str) -> list[str]:
    """Which share of the cases was not assessed, and where the AUROC would lie with them."""
    found = figures(task, "middle_class")
    shares = " and ".join(
        f"{100 * share['value']:.1f} % of the {name} class"
        for name, share in found["share_not_assessed"].items()
    )
    low, high = (figure(limit, digits=2) for limit in found["bounds"]["auroc"])
    return [f"knowledge, with what was not assessed ({shares})", f"{low} to {high}", "", "", ""]


def markdown() -> str:
    """The table, one row for each task and detector."""
    rows = []
    for task, title in TASKS.items():
        for detector, knowledge in DETECTORS.items():
            found = figures(task, detector)
            rows.append([title, knowledge, *(cell(found[name]) for name in FIGURES)])
            if task == "head_ct":
                per_patient = cell(found["auroc_per_patient"])
                rows.append(["Head CT (patients)", knowledge, per_patient, "", "", ""])
        if any(figures(task, "middle_class")["not_assessed"].values()):
            rows.append([title, *not_assessed(task)])
    return table(["task", "middle classes from", *FIGURES.values()], rows, tight=True)


def page() -> str:
    """The page with the table as the scores on disk have it."""
    return fill_blocks(RESULTS.read_text(encoding="utf-8"), {"first study": markdown()})


def main() -> int:
    """Write the table, or with ``--check`` compare it."""
    return page_command(__doc__, lambda: {RESULTS: page()})


if __name__ == "__main__":
    sys.exit(main())
