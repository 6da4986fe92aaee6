"""Put what recipes see in phantoms into docs/results.md."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

from midclass.study.markdown import figure, page_command, pages_with, table

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parents[1] / "docs" / "results.md"


def rows() -> str:
    """A row for each recipe."""
    with (HERE / "results.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    body = [
        [f"`{row['recipe']}`", row["drawn"], figure(float(row["auroc"])), row["not_assessed"]]
        for row in found
    ]
    return table(["recipe", "drawn", "AUROC", "not assessed of 90"], body)


def main() -> int:
    """Write the table, or with ``--check`` compare it."""
    return page_command(__doc__, lambda: pages_with({RESULTS: {"phantoms": rows()}}))


if __name__ == "__main__":
    sys.exit(main())
