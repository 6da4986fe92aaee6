"""Put the first study's table into the README, recomputed from the score tables."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from midclass.evaluation.metrics import auroc
from midclass.evaluation.report import report
from midclass.evaluation.table import ScoreTable
from midclass.files import fill_blocks, write_or_check

HERE = Path(__file__).resolve().parent
README = HERE.parents[1] / "README.md"
MAX_FPR = 0.05
TASKS = {
    "chest_xray": "Chest X-ray (images)",
    "head_ct": "Head CT (slices)",
    "mammography_roi": "Mammography (regions)",
}
DETECTORS = {"middle_class": "knowledge", "middle_class_control": "no knowledge (control)"}


def figures(task: str, detector: str) -> dict[str, Any]:
    """All figures of one score table."""
    table = ScoreTable.read(HERE / "scores" / task / detector / "0.csv")
    return report(table, MAX_FPR)


def cell(figure: dict[str, float]) -> str:
    """``.90 (.88 to .92)``."""
    value, low, high = (f"{figure[k]:.2f}".removeprefix("0") for k in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def chance() -> str:
    """AUROC of head CT slices by this alone: those with too little brain to assess score -inf."""
    table = ScoreTable.read(HERE / "scores" / "head_ct" / "middle_class" / "0.csv")
    return f"{auroc(table.label, np.isfinite(table.score).astype(float)):.2f}".removeprefix("0")


def markdown() -> str:
    """The table, one row for each task and detector."""
    lines = [
        "| task | middle classes from | AUROC | average precision | sensitivity "
        "| false alarms, 5 % promised |",
        "|---|---|---|---|---|---|",
    ]
    names = ("auroc", "average_precision", "sensitivity", "false_alarm_rate")
    for task, title in TASKS.items():
        for detector, knowledge in DETECTORS.items():
            found = figures(task, detector)
            cells = [cell(found[name]) for name in names]
            lines.append(f"| {title} | {knowledge} | " + " | ".join(cells) + " |")
            if task == "head_ct":
                per_patient = cell(found["auroc_per_patient"])
                lines.append(f"| Head CT (patients) | {knowledge} | {per_patient} | | | |")
        if task == "head_ct":
            lines.append(
                f"| Head CT (slices) | chance: too little brain, last | {chance()} | | | |"
            )
    return "\n".join(lines)


def main() -> int:
    """Write the table, or with ``--check`` compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; 1 where they differ")
    check = parser.parse_args().check
    new = fill_blocks(README.read_text(encoding="utf-8"), {"first study": markdown()})
    return int(not write_or_check(README, new, check=check))


if __name__ == "__main__":
    sys.exit(main())
