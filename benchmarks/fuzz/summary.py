"""A table of results -> counts by kind and outcome, and the distinct failures."""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest
from pathlib import Path

GOOD = ("right", "error")


def rows_of(table: Path) -> list[dict[str, str]]:
    """The rows of a table of results."""
    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def summary(table: Path, seed: int) -> tuple[str, int]:
    """Markdown, and the number of inputs that were neither right nor answered by a clear line."""
    rows = rows_of(table)
    bad = [row for row in rows if row["outcome"] not in GOOD]
    outcomes = [*GOOD, *sorted({row["outcome"] for row in bad})]
    counts = Counter((row["kind"], row["outcome"]) for row in rows)
    lines = [
        f"{len(rows)} inputs of seed {seed}, {len(bad)} neither right nor one clear line; "
        f"slowest {max(float(r['cpu']) for r in rows):.1f} s, "
        f"most memory {max(int(r['peak_mib'] or 0) for r in rows)} MiB.",
        "",
        "| kind | inputs | " + " | ".join(outcomes) + " |",
        "|---|" + "---|" * (len(outcomes) + 1),
    ]
    for kind in [*sorted({row["kind"] for row in rows}), "all"]:
        each = [
            sum(n for (k, o), n in counts.items() if o == outcome and kind in (k, "all"))
            for outcome in outcomes
        ]
        lines.append(f"| {kind} | {sum(each)} | " + " | ".join(map(str, each)) + " |")
    if bad:
        lines += [
            "",
            "| n | kind | outcome | call | where | text | e.g. |",
            "|---|---|---|---|---|---|---|",
        ]
        groups: dict[tuple[str, ...], list[dict[str, str]]] = {}
        for row in bad:
            groups.setdefault(alike(row), []).append(row)
        for group in sorted(groups.values(), key=len, reverse=True):
            row, numbers = group[0], " ".join(one["number"] for one in group[:3])
            text = " ".join(row["text"].split())[:160].replace("|", "/")
            about = [row[name] for name in ("kind", "outcome", "call", "where")]
            lines.append("| " + " | ".join([str(len(group)), *about, text, numbers]) + " |")
    return "\n".join(lines) + "\n", len(bad)


def telling(rows: Iterable[dict[str, str]], count: int) -> list[int]:
    """Numbers of inputs that differ most: kinds in turn, and of a kind a new outcome first.

    Args:
        rows: of one table, or of several, of which the first are asked first.
        count: how many.
    """
    kinds: dict[str, dict[tuple[str, ...], list[int]]] = {}
    for row in rows:
        groups = kinds.setdefault(row["kind"], {})
        groups.setdefault((*alike(row), row["call"]), []).append(int(row["number"]))
    ordered = [_in_turn(groups.values()) for groups in kinds.values()]
    return sorted(list(dict.fromkeys(_in_turn(ordered)))[:count])


def _in_turn(lists: Iterable[list[int]]) -> list[int]:
    """The first of each list, then the second of each."""
    return [n for row in zip_longest(*lists) for n in row if n is not None]


def alike(row: dict[str, str]) -> tuple[str, ...]:
    """What two failures of one cause share."""
    text = re.sub(r"'[^']*'|\"[^\"]*\"|[\d.e+-]+", "#", row["text"])[:50]
    return row["kind"].removeprefix("real "), row["outcome"], row["where"], text
