"""Put the figures of whole mammograms by tiles into docs/results.md."""

from __future__ import annotations

import sys
from pathlib import Path

from midclass import ScoreTable
from midclass.evaluation.report import summary
from midclass.files import fill_blocks
from midclass.study.markdown import figure, page_command, table

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "docs" / "results.md"
SCORES = HERE / "scores" / "mammography" / "middle_class" / "0.csv"
MAX_FPR = 0.1


def figures() -> str:
    """AUROC of all lesions with its interval, and of each kind."""
    found = summary(ScoreTable.read(SCORES), MAX_FPR)
    ends = {name: figure(found["auroc"][name]) for name in ("value", "low", "high")}
    rows = [["all", f"{ends['value']} ({ends['low']} to {ends['high']})"]]
    rows += [[name, figure(value)] for name, value in sorted(found["auroc_per_class"].items())]
    return table(["lesions", "AUROC"], rows)


def pages() -> dict[Path, str]:
    """The page with its table as the scores on disk have it."""
    return {RESULTS: fill_blocks(RESULTS.read_text(encoding="utf-8"), {"tiles": figures()})}


def main() -> int:
    """Write the table, or with ``--check`` compare it."""
    return page_command(__doc__, pages)


if __name__ == "__main__":
    sys.exit(main())
