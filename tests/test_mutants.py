"""The mutation score in the documentation is that of the results on disk."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LEAST = 0.8


def test_the_page_says_how_many_mutants_were_killed() -> None:
    text = (ROOT / "tools" / "mutation" / "results.jsonl").read_text(encoding="utf-8")
    last = {row["name"]: row["is"] for row in map(json.loads, text.splitlines())}
    became = Counter(last.values())
    alive, total = became["alive"], became.total()
    page = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
    assert f"{total} of {total} mutants" in page
    assert f"**{total - alive} killed, {100 * (total - alive) / total:.0f} %**" in page
    assert f"{alive} alive" in page
    assert (total - alive) / total >= LEAST
