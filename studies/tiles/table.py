"""Put the figures of whole mammograms by tiles into docs/results.md and docs/research-log.md."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from midclass import ScoreTable
from midclass.evaluation.report import summary
from midclass.study.markdown import figure, page_command, pages_with, table

HERE = Path(__file__).resolve().parent
DOCS = HERE.parents[1] / "docs"
RESULTS, LOG = DOCS / "results.md", DOCS / "research-log.md"
SCORES = HERE / "scores" / "mammography" / "middle_class" / "0.csv"
MAX_FPR = 0.1


def figures() -> str:
    """AUROC of all lesions with its interval, and of each kind."""
    found = summary(ScoreTable.read(SCORES), MAX_FPR)
    ends = {name: figure(found["auroc"][name]) for name in ("value", "low", "high")}
    rows = [["all", f"{ends['value']} ({ends['low']} to {ends['high']})"]]
    rows += [[name, figure(value)] for name, value in sorted(found["auroc_per_class"].items())]
    return table(["lesions", "AUROC"], rows)


def other_side() -> str:
    """What the other side is worth, by how far off a place may be and how much is taken off."""
    detectors = sorted((HERE / "mirrored").glob("*.csv"))
    columns = []
    for file in detectors:
        with file.open(encoding="utf-8", newline="") as lines:
            columns.append({(row["reach_mm"], row["share"]): row for row in csv.DictReader(lines)})
    rows = []
    for reach, share in columns[0]:
        found = [figure(float(column[reach, share]["auroc"])) for column in columns]
        rows.append([f"{reach} mm, {share}" if reach else "alone", *found])
    return table(["reach, share taken off", *(file.stem for file in detectors)], rows)


def pages() -> dict[Path, str]:
    """The pages with their tables as the numbers on disk have them."""
    return pages_with({RESULTS: {"tiles": figures()}, LOG: {"mirrored": other_side()}})


def main() -> int:
    """Write the table, or with ``--check`` compare it."""
    return page_command(__doc__, pages)


if __name__ == "__main__":
    sys.exit(main())
