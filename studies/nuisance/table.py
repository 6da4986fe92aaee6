"""Write docs/nuisance.md, recomputed from the score tables of this study."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

from midclass import ScoreTable
from midclass.evaluation.report import false_alarms
from midclass.study.markdown import filled, page_command, percent

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parents[1] / "docs" / "nuisance.md"
TASKS = {"chest_xray": "Chest X-ray", "head_ct": "Head CT", "mammography_roi": "Mammography"}


def section(title: str, scores: ScoreTable) -> dict[str, Any]:
    """The rates of one task: nuisances by strengths."""
    rates = false_alarms(scores)
    still = rates.pop("none")[0.0]
    strengths = sorted({strength for row in rates.values() for strength in row})
    return {
        "title": title,
        "cases": len(scores),
        "unseen": int((~scores.assessed).sum()),
        "patients": len(set(scores.patient_id)),
        "still": cell(still),
        "head": ["nuisance", *(f"x {strength:g}" for strength in strengths)],
        "rows": [[part, *(cell(row[s]) for s in strengths)] for part, row in rates.items()],
    }


def cell(rate: dict[str, float]) -> str:
    """``6 % (3 to 10)``; of a nuisance under which no case can be assessed, that."""
    return (
        "not assessed"
        if math.isnan(rate["value"])
        else percent(rate["value"], rate["low"], rate["high"])
    )


def markdown(scores: Path) -> str:
    """The page; a task whose table is not there yet is left out."""
    found = {title: scores / f"{task}.csv" for task, title in TASKS.items()}
    parts = [section(t, ScoreTable.read(file)) for t, file in found.items() if file.exists()]
    if not parts:
        sys.exit(f"{scores}: no score table; run studies/nuisance/run.sh first")
    return filled("nuisance.md.j2", HERE, tasks=parts)


def main() -> int:
    """Write the page, or with ``--check`` compare it."""
    return page_command(__doc__, lambda: {DOCUMENT: markdown(HERE / "scores")})


if __name__ == "__main__":
    sys.exit(main())
