"""The tables of docs/research-log.md, from the witnesses' numbers in ``scores``."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from midclass.detectors.image_scores import Combination
from midclass.evaluation.metrics import auroc
from midclass.evaluation.ranking import FloatArray
from midclass.files import fill_blocks
from midclass.study.markdown import figure, page_command, signed, table

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parents[1] / "docs" / "research-log.md"
SEEN = "select seen through the nuisance"
KNOWLEDGE = ("log_odds", "change", "distance")
NOVELTY = ("neighbours", "patches")
Rule = Callable[[FloatArray, FloatArray], FloatArray]
RULES: dict[str, Rule] = {
    "knowledge alone": lambda knows, new: knows,
    "novelty alone": lambda knows, new: new,
    "mean": lambda knows, new: (knows + new) / 2,
    "knowledge twice, novelty once": lambda knows, new: (2 * knows + new) / 3,
    "maximum": np.maximum,
    "**log(exp + exp), chosen**": np.logaddexp,
}


TAILS = (0.84, 0.9, 0.95)
"""Quantiles as units."""


class Numbers:
    """What the witnesses said in one repeat of one task."""

    def __init__(self, file: Path) -> None:
        with open(file, newline="", encoding="utf-8") as text:
            head, *rows = list(csv.reader(text))
        self.names = head[2:]
        self.part = np.array([row[0] for row in rows])
        self.label = np.array([int(row[1]) for row in rows])
        self.raw = np.array([row[2:] for row in rows], float)

    def of(self, part: str, names: tuple[str, ...], tail: float | None = None) -> FloatArray:
        """Some witnesses together, in units of held-out images of the given class.

        Args:
            part: which images.
            names: the witnesses.
            tail: a quantile that takes the place of the median absolute deviation; normal scores
                that are skewed, as distances are, have a longer upper tail.
        """
        columns = [self.names.index(name) for name in names]
        given = self.raw[self.part == SEEN][:, columns]
        units = Combination.of(given, names)
        if tail is not None:
            above = np.quantile(given, tail, axis=0) - np.median(given, axis=0)
            spread = np.maximum(above / norm.ppf(tail), 1e-6)
            units = replace(units, spread=tuple(spread.tolist()))
        return units(self.raw[self.part == part][:, columns])

    def area(self, rule: Rule, tail: float | None = None) -> float:
        """AUROC of both witnesses by a rule; for the tail see ``of``."""
        return auroc(
            self.truth, rule(self.of("test", KNOWLEDGE, tail), self.of("test", NOVELTY, tail))
        )

    @property
    def truth(self) -> NDArray[np.int64]:
        """Labels of the test cases."""
        return self.label[self.part == "test"]

    def skill(self, name: str) -> float:
        """How well a witness tells the recipe's own middle classes of held-out patients apart."""
        given, ill = (
            self.of(part, (name,))
            for part in ("calibrate seen through the nuisance", "middle classes of the recipe")
        )
        return auroc(np.repeat([0, 1], [len(given), len(ill)]), np.concatenate([given, ill]))


def main() -> int:
    """Write the page, or with ``--check`` compare it."""
    return page_command(__doc__, lambda: {DOCUMENT: page()})


def page() -> str:
    """The document with its tables as the numbers on disk have them."""
    files = sorted((HERE / "scores").glob("*/*.csv"))
    tasks = sorted({file.parent.name for file in files})
    numbers = {
        task: [Numbers(file) for file in files if file.parent.name == task] for task in tasks
    }
    names = numbers[tasks[0]][0].names
    tails = [(name, rule, None) for name, rule in RULES.items()] + [
        (f"log(exp + exp), units of the {100 * tail:g} % quantile", np.logaddexp, tail)
        for tail in TAILS
    ]
    rules = {
        name: [float(np.mean([n.area(rule, tail) for n in numbers[task]])) for task in tasks]
        for name, rule, tail in tails
    }
    single = {
        name: [
            float(np.mean([auroc(n.truth, n.of("test", (name,))) for n in numbers[task]]))
            for task in tasks
        ]
        for name in names
    }
    skill = {
        name: [float(np.mean([n.skill(name) for n in numbers[task]])) for task in tasks]
        for name in names
    }
    blocks = {
        "heads": heads(),
        "framing": framing(),
        "series": series(),
        "channels": channels(),
        "reading": reading(),
        "witnesses": _table("witness", tasks, single),
        "skill": _table("witness", tasks, skill),
        "rules": _table("rule", tasks, rules),
    }
    return fill_blocks(DOCUMENT.read_text(encoding="utf-8"), blocks)


def heads() -> str:
    """The scores of a network of its own, and of heads that see the whole image or its anatomy."""
    files = sorted((HERE / "heads").glob("*.csv"))
    rows: dict[str, list[float]] = {}
    for file in files:
        with open(file, newline="", encoding="utf-8") as text:
            head, *cells = list(csv.reader(text))
        numbers = np.array(cells, float)
        for column, name in enumerate(head[1:], start=1):
            area = auroc(numbers[:, 0].astype(int), numbers[:, column])
            rows.setdefault(name.replace("_", " ").replace(".", ": "), []).append(area)
    return _table("score", [file.stem for file in files], rows)


def framing() -> str:
    """Traits of cohorts beside those to learn from, and the largest share on one side."""
    with open(HERE / "framed.csv", newline="", encoding="utf-8") as text:
        most = {row["cohort"]: row["most"] for row in csv.DictReader(text)}
    with open(HERE / "framing.csv", newline="", encoding="utf-8") as text:
        found = list(csv.DictReader(text))
    traits = list(dict.fromkeys(row["trait"] for row in found))
    rows = dict[tuple[str, str], list[str]]()
    for row in found:
        rows.setdefault((row["cohort"], row["class"]), []).append(figure(float(row["auroc"])))
    cells = [[f"{cohort}, {kind}", *areas] for (cohort, kind), areas in rows.items()]
    said = ", ".join(f"{name} {figure(float(share))}" for name, share in most.items())
    return f"{table(['cohort', *traits], cells)}\n\nLargest share on one side: {said}."


def series() -> str:
    """Slices that show blood, alone and with their neighbours: means over the splittings."""
    with open(HERE / "series.csv", newline="", encoding="utf-8") as text:
        found = list(csv.DictReader(text))
    rows = []
    for name in dict.fromkeys(row["detector"] for row in found):
        own = [row for row in found if row["detector"] == name]
        ways = {way: [float(row[way]) for row in own] for way in ("alone", "with neighbours")}
        gains = np.subtract(ways["with neighbours"], ways["alone"])
        least, most = signed(float(gains.min())), signed(float(gains.max()))
        means = [figure(float(np.mean(areas))) for areas in ways.values()]
        rows.append([name, *means, f"{least} to {most}"])
    return table(["detector", "alone", "with neighbours", "gained, least and most"], rows)


def channels() -> str:
    """What networks see of one slice and of three: means over the splittings."""
    with open(HERE / "channels.csv", newline="", encoding="utf-8") as text:
        found = list(csv.DictReader(text))
    ways, forms = ("alone", "with neighbours"), ("slice", "three slices")
    rows = []
    for lesion in dict.fromkeys(row["lesion"] for row in found):
        areas = {
            (form, way): np.array(
                [
                    float(row[way])
                    for row in found
                    if (row["lesion"], row["network sees"]) == (lesion, form)
                ]
            )
            for form in forms
            for way in ways
        }
        gains = areas[forms[1], ways[1]] - areas[forms[0], ways[1]]
        least, most = signed(float(gains.min())), signed(float(gains.max()))
        means = [figure(float(np.mean(one))) for one in areas.values()]
        rows.append([lesion, *means, f"{least} to {most}"])
    head = ["lesion", *(f"{form}, {way}" for form in forms for way in ways)]
    return table([*head, "three beside one, with neighbours, least and most"], rows)


def reading() -> str:
    """A class head that reads the anatomy beside one that reads means, of the same splittings."""
    with open(HERE / "reading.csv", newline="", encoding="utf-8") as text:
        found = list(csv.DictReader(text))
    columns = {
        "log_odds": "log-odds",
        "change": "change map",
        "distance": "distance",
        "all": "all three",
        "held_out": "held-out middle classes",
    }
    rows = []
    for task in dict.fromkeys(row["task"] for row in found):
        ways = [
            {row["repeat"]: row for row in found if (row["task"], row["reads"]) == (task, way)}
            for way in ("mean", "inside")
        ]
        both = sorted(ways[0].keys() & ways[1].keys())
        if not both:
            continue
        areas = np.array(
            [[[float(way[repeat][name]) for name in columns] for repeat in both] for way in ways]
        )
        before, now = areas.mean(1)
        cells = [
            f"{figure(one)} to {figure(other)}" for one, other in zip(before, now, strict=True)
        ]
        rows.append([task, str(len(both)), *cells])
    return table(["collection", "splittings", *columns.values()], rows)


def _table(first: str, tasks: list[str], rows: dict[str, list[float]]) -> str:
    head = [first, *tasks, "mean"]
    return table(
        head, [[name, *map(figure, row), figure(float(np.mean(row)))] for name, row in rows.items()]
    )


if __name__ == "__main__":
    sys.exit(main())
