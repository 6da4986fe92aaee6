"""What known cases are worth, from ``scores`` and ``rules.csv``, put into the documents."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np

from midclass import ScoreTable
from midclass.detectors.image_scores import Combination
from midclass.detectors.known import HALF_A_SAY
from midclass.evaluation.metrics import auroc
from midclass.evaluation.ranking import FloatArray
from midclass.evaluation.report import auroc_of
from midclass.study.file import Study
from midclass.study.markdown import bold, figure, page_command, pages_with, table

HERE = Path(__file__).resolve().parent
DOCS = HERE.parents[1] / "docs"
LOG, RESULTS = DOCS / "research-log.md", DOCS / "results.md"
PARTS = ("held out", "test")
Together: TypeAlias = Callable[[list[FloatArray]], FloatArray]


def _mean(said: list[FloatArray]) -> FloatArray:
    together: FloatArray = np.mean(said, axis=0)
    return together


BEFORE = "soft maximum of probe and own network, chosen before"
CHOSEN_SPEAKERS = "**the same, against the given class alone, chosen**"
SPEAKERS: dict[str, tuple[tuple[str, ...], Together]] = {
    "probe (before)": (("probe",), np.logaddexp.reduce),
    "own network": (("network, rest",), np.logaddexp.reduce),
    "heads": (("heads, rest",), np.logaddexp.reduce),
    "soft maximum of the three": (("probe", "network, rest", "heads, rest"), np.logaddexp.reduce),
    BEFORE: (
        ("probe", "network, rest"),
        np.logaddexp.reduce,
    ),
    CHOSEN_SPEAKERS: (("probe", "network, given"), np.logaddexp.reduce),
    "mean of probe and own network": (("probe", "network, rest"), _mean),
}
"""Columns of ``learned.py``, and how they speak together."""
CHOSEN, ALONE, WITHOUT = "soft maximum + n / (n + 20) known", "known alone, C = 0.1", "without"


def study_figures(folder: Path) -> str:
    """AUROC of each kind of detector, of each task and number of known cases of a study."""
    study = Study.load(folder / "study.yaml")
    numbers = sorted({entry.positives for entry in study.detectors.values()})
    rows = []
    for task in study.tasks:
        found = defaultdict[str, dict[int, float]](dict)
        for name in study.detectors_of(task):
            entry = study.detectors[name]
            table_of_cell = ScoreTable.read(folder / "scores" / task / name / "0.csv")
            found[entry.kind][entry.positives] = auroc_of(table_of_cell)
        best = {n: max(areas.get(n, 0) for areas in found.values()) for n in numbers}
        for kind, areas in found.items():
            cells = [
                bold(figure(areas[n]), areas[n] == best[n]) if n in areas else "" for n in numbers
            ]
            rows.append([study.task_title(task), study.kind_title(kind), *cells])
    return table(["", "known cases", *map(str, numbers)], rows)


def rule_figures() -> str:
    """Mean AUROC of each rule over the collections, and where it is worst beside two others."""
    found = defaultdict[str, dict[tuple[str, int], float]](dict)
    with open(HERE / "rules.csv", newline="", encoding="utf-8") as text:
        for row in csv.DictReader(text):
            found[row["rule"]][row["task"], int(row["positives"])] = float(row["auroc"])
    cells = list(found[WITHOUT])
    numbers = sorted({number for _, number in cells})

    def areas(rule: str) -> FloatArray:
        return np.array([found[rule][cell] for cell in cells])

    def mean(rule: str, number: int) -> str:
        return figure(
            float(np.mean([area for cell, area in found[rule].items() if cell[1] == number]))
        )

    rows = [
        [
            f"**{rule}, chosen**" if rule == CHOSEN else rule,
            *(mean(rule, number) for number in numbers),
            *(figure(float((areas(rule) - areas(other)).min())) for other in (WITHOUT, ALONE)),
        ]
        for rule in found
    ]
    worst = ["worst beside without", "worst beside known alone"]
    return table(["rule", *(f"{number} known" for number in numbers), *worst], rows)


def learned_figures() -> str:
    """AUROC by what may speak for the known cases, of each collection and number of them."""
    found = defaultdict[str, dict[tuple[str, int], list[float]]](lambda: defaultdict(list))
    for file in (HERE / "learned").glob("*.csv"):
        task, number, _ = file.stem.rsplit("_", 2)
        with open(file, newline="", encoding="utf-8") as text:
            rows = list(csv.DictReader(text))
        for rule, area in _speaking(rows, int(number)):
            found[rule][task.replace("_", " "), int(number)].append(area)
    cells = sorted({cell for areas in found.values() for cell in areas})
    titles = [f"{task}, {number} known" for task, number in cells]
    lines = [
        [rule, *(figure(float(np.mean(areas[one])), 4) if one in areas else "" for one in cells)]
        for rule, areas in found.items()
    ]
    return table(["who speaks for the known cases", *titles], lines)


MOVED = {
    "none of them": "what knows none of them",
    BEFORE: "all witnesses, own network against all other classes (before)",
    CHOSEN_SPEAKERS: "**all witnesses, own network against the given class, chosen**",
    ("network, given",): "own network, of known cases",
    ("heads, given",): "heads, of known cases",
}
"""Rules, and columns of ``moved.py``, by what they are called in the table."""


def moved_figures() -> str:
    """AUROC without and with lesions of known cases in normal images."""
    lines = []
    for file in sorted((HERE / "moved").glob("*.csv")):
        task, number, repeat = file.stem.rsplit("_", 2)
        with open(file, newline="", encoding="utf-8") as text:
            rows = list(csv.DictReader(text))
        without, moved = (
            _areas([row for row in rows if row["way"] == way], int(number))
            for way in ("without", "with")
        )
        found = [f"{figure(without[one])} to {figure(moved[one])}" for one in MOVED]
        lines.append([task.replace("_", " "), number, repeat, *found])
    return table(["collection", "known", "splitting", *MOVED.values()], lines)


def _areas(rows: list[dict[str, str]], number: int) -> dict[str | tuple[str, ...], float]:
    """AUROC by rule, and by the column that speaks alone."""
    found: dict[str | tuple[str, ...], float] = dict(_speaking(rows, number))
    test = [row for row in rows if row["part"] == "test"]
    label = np.array([int(row["label"]) for row in test])
    for column in (one for one in MOVED if isinstance(one, tuple)):
        found[column] = auroc(label, np.array([float(row[column[0]]) for row in test]))
    return found


def _speaking(rows: list[dict[str, str]], number: int) -> Iterator[tuple[str, float]]:
    """Rule and AUROC, of what ``learned.py`` wrote."""
    held_out, test = ([row for row in rows if row["part"] == part] for part in PARTS)
    label = np.array([int(row["label"]) for row in test])

    def column(name: str, rows: list[dict[str, str]] = test) -> FloatArray:
        return np.array([float(row[name]) for row in rows])

    def in_units(name: str) -> FloatArray:
        units = Combination.of(column(name, held_out)[:, None], (name,))
        return units.relative(column(name)[:, None])[:, 0]

    others = np.logaddexp(column("knowledge"), column("novelty"))
    yield "none of them", auroc(label, others)
    for rule, (names, together) in SPEAKERS.items():
        known = together([in_units(name) for name in names])
        score = np.logaddexp(others, known) + number / (number + HALF_A_SAY) * known
        yield rule, auroc(label, score)
    yield "own network, without all others", auroc(label, column("network, rest"))
    if all(row.get("oversampling") for row in test):
        yield "a network that oversamples them, alone", auroc(label, column("oversampling"))


def pages() -> dict[Path, str]:
    """The pages with the tables as the numbers on disk have them."""
    studies = {"known": HERE, "known on the tasks": HERE.parent / "known_cases"}
    measured = {name: study_figures(folder) for name, folder in studies.items()}
    log = {
        "rules of known cases": rule_figures(),
        "who has learned them": learned_figures(),
        "moved lesions": moved_figures(),
    }
    blocks = {LOG: log, RESULTS: measured}
    return pages_with(blocks)


def main() -> int:
    """Write the tables, or with ``--check`` compare them."""
    return page_command(__doc__, pages)


if __name__ == "__main__":
    sys.exit(main())
