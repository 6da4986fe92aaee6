"""Start: how long a mistake takes to be told."""

from __future__ import annotations

from collections.abc import Iterator

from rows import Asked, Row, midclass

LIMIT_S = 1.0
WRONG = (
    ("fit", "no_recipe", "images"),
    ("fit", "chest_xray", "--cohort", "none.csv"),
    ("score", "none", "none.png"),
    ("evaluate", "none", "--cohort", "none.csv"),
    ("audit", "no_recipe"),
    ("show", "no_recipe"),
    ("nuisance", "none", "--cohort", "none.csv"),
    ("manifest", "none"),
    ("view", "none"),
    ("study", "none.yaml"),
)


def mistakes(asked: Asked) -> Iterator[Row]:
    """The fastest of three runs: the others tell what else ran on the machine."""
    for words in WRONG:
        seconds = min(midclass(asked.folder, *words, fails=True)[0] for _ in range(3))
        yield Row(f"midclass {' '.join(words)}, s", seconds, LIMIT_S, seconds / LIMIT_S, "<= 1")
