"""Put what unlabelled cases do to a threshold into docs/research-log.md and docs/results.md."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

from midclass.study.markdown import figure, page_command, pages_with, table

HERE = Path(__file__).resolve().parent
DOCS = HERE.parents[1] / "docs"
THRESHOLDS = ("before", "moved", "best")
OURS = "middle_class"


def rows_of(name: str) -> list[dict[str, str]]:
    """The rows of a table on disk."""
    with open(HERE / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pair(rows: list[dict[str, str]], threshold: str) -> str:
    """Mean false alarms and sensitivity."""
    false_alarms, found = (
        np.mean([float(row[f"{what}_{threshold}"]) for row in rows])
        for what in ("false_alarms", "sensitivity")
    )
    return f"{100 * false_alarms:.1f} % / {figure(float(found))}"


def moves() -> str:
    """Means over collections, repeats and detectors, a row for each move and share of ill cases."""
    groups = defaultdict[tuple[str, ...], list[dict[str, str]]](list)
    for row in rows_of("moves.csv"):
        groups[row["by"], row["wider"], row["cases"], row["ill"]].append(row)
    head = ["moved by", "wider", "unlabelled cases", "of them ill", *THRESHOLDS]
    body = [
        [by, wider, cases, f"{float(ill):.0%}", *(pair(rows, one) for one in THRESHOLDS)]
        for (by, wider, cases, ill), rows in sorted(
            groups.items(), key=lambda one: [*map(float, one[0])]
        )
    ]
    return table(head, body)


def official() -> str:
    """A row for each detector on the official chest test, means over its repeats."""
    rows = defaultdict[str, list[dict[str, str]]](list)
    for row in rows_of("official.csv"):
        rows[row["detector"]].append(row)
    head = ["detector", "repeats", "looks normal", *THRESHOLDS, "moved, least and most"]
    body = []
    for name, some in rows.items():
        normal = np.mean([float(row["estimated"]) for row in some])
        each = (pair(some, one) for one in THRESHOLDS)
        ends = _range(some, "false_alarms_moved") if len(some) > 1 else ""
        body.append([name, str(len(some)), f"{normal:.0%}", *each, ends])
    return table(head, body)


def said() -> str:
    """Of each task, where ``score`` says that normal cases score higher, and the least and most."""
    rows = defaultdict[tuple[str, str], list[dict[str, str]]](list)
    for row in rows_of("said.csv"):
        rows[row["task"], row["said"]].append(row)
    body = [
        [
            task,
            "yes" if said == "1" else "no",
            *(_range(some, name) for name in ("told", "low", "high", "true")),
            f"{sum(_within(row) for row in some)} of {len(some)}",
            ", ".join(row["detector"] for row in some),
        ]
        for (task, said), some in sorted(rows.items())
    ]
    ends = ["lower end", "upper end", "in truth", "truth between the ends"]
    return table(["task", "said", "flagged, as told", *ends, "detectors"], body)


def _within(row: dict[str, str]) -> bool:
    return float(row["low"]) <= float(row["true"]) <= float(row["high"])


def _range(rows: list[dict[str, str]], name: str) -> str:
    values = [100 * float(row[name]) for row in rows]
    return f"{min(values):.0f} to {max(values):.0f} %"


def ours() -> str:
    """The method alone, mean over its repeats."""
    some = [row for row in rows_of("official.csv") if row["detector"] == OURS]
    head = ["threshold", "false alarms, 5 % aimed at", "sensitivity"]
    names = {
        "before": "normals of `fit`",
        "moved": "half of the patients, unlabelled",
        "best": "5 % of the other half's normals",
    }
    body = [[said, *pair(some, name).split(" / ")] for name, said in names.items()]
    return table(head, body)


def pages() -> dict[Path, str]:
    """The pages with their tables as the files on disk have them."""
    blocks = {
        DOCS / "research-log.md": {
            "moves": moves(),
            "moved_official": official(),
            "moved_said": said(),
        },
        DOCS / "results.md": {"unlabelled": ours()},
    }
    return pages_with(blocks)


def main() -> int:
    """Write the tables, or with ``--check`` compare them."""
    return page_command(__doc__, pages)


if __name__ == "__main__":
    sys.exit(main())
