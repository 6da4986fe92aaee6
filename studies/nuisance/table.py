"""Write docs/nuisance.md, recomputed from the score tables of this study."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from midclass.evaluation.report import false_alarms
from midclass.evaluation.table import ScoreTable
from midclass.files import write_or_check

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parents[1] / "docs" / "nuisance.md"
TASKS = {"chest_xray": "Chest X-ray", "head_ct": "Head CT", "mammography_roi": "Mammography"}
INTRODUCTION = """\
# False alarms under each single nuisance

Given-class test cases of each task, scored by the detector of the [first study](../studies/first)
after one part of the recipe's nuisance was applied to them, at an extreme of its range: strength 1
is the most that training has seen, 2 is twice as far (of factors: squared). Both ends of a range
count, so a rate is over twice the cases where there are two. The images are moved after
preparation, as in training, with their anatomy: what a changed file would do to finding the
anatomy is not part of this. Thresholds promise 5 % false alarms, on average over calibration sets.
In brackets the 95 % interval by bootstrap over patients.

`studies/nuisance/run.sh` makes the scores, `python studies/nuisance/table.py` this page of them.
"""


def section(title: str, table: ScoreTable) -> str:
    """The rates of one task: nuisances by strengths."""
    rates = false_alarms(table)
    still = rates.pop("none")[0.0]
    strengths = sorted({strength for row in rates.values() for strength in row})
    lines = [
        f"## {title}",
        "",
        f"{len(table)} cases of {len(set(table.patient_id))} patients; without nuisance "
        f"{cell(still)}.",
        "",
        "| nuisance | " + " | ".join(f"x {strength:g}" for strength in strengths) + " |",
        "|---" * (1 + len(strengths)) + "|",
    ]
    for part, row in rates.items():
        cells = " | ".join(cell(row[strength]) for strength in strengths)
        lines.append(f"| {part} | {cells} |")
    return "\n".join(lines) + "\n"


def cell(rate: dict[str, float]) -> str:
    """``6 % (3 to 10)``."""
    value, low, high = (f"{100 * rate[key]:.0f}" for key in ("value", "low", "high"))
    return f"{value} % ({low} to {high})"


def markdown(scores: Path) -> str:
    """The page; a task whose table is not there yet is left out."""
    found = {title: scores / f"{task}.csv" for task, title in TASKS.items()}
    parts = [section(t, ScoreTable.read(file)) for t, file in found.items() if file.exists()]
    if not parts:
        sys.exit(f"{scores}: no score table; run studies/nuisance/run.sh first")
    return "\n".join([INTRODUCTION, *parts])


def main() -> int:
    """Write the page, or with ``--check`` compare it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scores", type=Path, default=HERE / "scores")
    parser.add_argument("--out", type=Path, default=DOCUMENT)
    parser.add_argument("--check", action="store_true", help="compare only; 1 where they differ")
    given = parser.parse_args()
    return int(not write_or_check(given.out, markdown(given.scores), check=given.check))


if __name__ == "__main__":
    sys.exit(main())
