"""Write README.md of this study, recomputed from its score tables."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from midclass import ScoreTable
from midclass.evaluation.metrics import auroc
from midclass.evaluation.ranking import FloatArray
from midclass.study.markdown import figure, filled, page_command, percent

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE / "README.md"
TASKS = {
    "head_ct": "head CT",
    "chest_ct": "chest CT",
    "brain_mr": "brain MR",
    "fundus": "fundus",
}
DETECTORS = {
    "middle_class": "middle classes",
    "mahalanobis": "Mahalanobis, untrained network",
    "intensity": "mean and spread",
    "one_class_svm": "one-class SVM",
}
PROMISED = 0.05
ENOUGH = 5
"""Redraws of which a mean and its interval say something."""


@dataclass(frozen=True)
class Redraw:
    """The figures of one score table."""

    given: int
    false_alarms: float
    false_alarms_split: float
    sensitivity: float
    sensitivity_at_split_rate: float
    sensitivity_split: float
    auroc: float
    auroc_units: float
    auroc_split: float
    split_rate: float

    @classmethod
    def of(cls, table: ScoreTable) -> Redraw:
        """Of the assessed cases."""
        seen = table.assessed
        given, target = seen & (table.label == 0), seen & (table.label == 1)
        extra, label = table.extra, table.label[seen]
        rate = float(extra["split_rate"][0])
        split = extra["split_score"] > extra["split_threshold"]
        at_rate = extra["p_value"] <= rate + 1e-6  # both have six decimals
        return cls(
            int(given.sum()),
            table.flagged[given].mean(),
            split[given].mean(),
            table.flagged[target].mean(),
            at_rate[target].mean(),
            split[target].mean(),
            auroc(label, table.score[seen]),
            auroc(label, extra["units"][seen]),
            auroc(label, extra["split_score"][seen]),
            rate,
        )


def interval(rates: FloatArray) -> tuple[float, float]:
    """Where the mean over all splits lies (95 %): bootstrap over redraws, which are independent."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(rates, (10_000, len(rates))).mean(1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def rows_of(redraws: list[Redraw], title: list[str]) -> tuple[list[str], list[str]]:
    """A row of the table of false alarms and one of the table of what is found."""

    def column(name: str) -> FloatArray:
        return np.array([getattr(redraw, name) for redraw in redraws], float)

    def rate(name: str) -> list[str]:
        values = column(name)
        spread = f"{100 * values.min():.0f} to {100 * values.max():.0f} %"
        return [percent(values.mean(), *interval(values), digits=1), spread]

    def mean(name: str) -> str:
        return figure(column(name).mean())

    low = interval(column("false_alarms"))[0]
    alarms = [
        *title,
        str(len(redraws)),
        str(round(column("given").mean())),
        *rate("false_alarms"),
        "yes" if low <= PROMISED else "no",
        *rate("false_alarms_split"),
    ]
    names = ("sensitivity", "sensitivity_at_split_rate", "sensitivity_split")
    areas = ("auroc", "auroc_units", "auroc_split")
    return alarms, [*title, *map(mean, names), *map(mean, areas)]


def markdown(scores: Path) -> str:
    """The page; what is not there yet is left out."""
    alarms, found, everything = [], [], []
    rates = set[float]()
    for task, title in TASKS.items():
        for detector, name in DETECTORS.items():
            files = sorted((scores / task / detector).glob("*.csv"), key=lambda f: int(f.stem))
            redraws = [Redraw.of(ScoreTable.read(file)) for file in files]
            if len(redraws) >= ENOUGH:
                everything += redraws
                rates |= {redraw.split_rate for redraw in redraws}
                for table, row in zip(
                    (alarms, found), rows_of(redraws, [title, name]), strict=True
                ):
                    table.append(row)
    if not everything:
        sys.exit(f"{scores}: no score table; run studies/few/run.py first")
    lowest, highest = (f"{100 * rate:.1f}" for rate in (min(rates), max(rates)))
    values: dict[str, Any] = {
        "alarms": alarms,
        "found": found,
        "apart": figure(max(abs(redraw.auroc - redraw.auroc_units) for redraw in everything)),
        "trained": any(row[1] == DETECTORS["middle_class"] for row in alarms),
        "split_rate": lowest if lowest == highest else f"{lowest} to {highest}",
    }
    return filled("few.md.j2", HERE, **values)


def main() -> int:
    """Write the page, or with ``--check`` compare it."""
    return page_command(__doc__, lambda: {DOCUMENT: markdown(HERE / "scores")})


if __name__ == "__main__":
    sys.exit(main())
