"""Comparison: detectors on the same tasks and repeats, with intervals and corrected p-values.

The unit of chance is the patient and the repeat: each resample draws patients and repeats with
replacement and is the same for all detectors of a task, so that differences are paired. Repeats are
few, and resamples of five say too little of how much a sixth would differ: their intervals are
widened (see ``midclass.evaluation.uncertainty``).

A detector's figures are of the cases that it assessed. Where detectors did not assess the same
cases, they are compared with each other on those that all assessed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.evaluation import bootstrap, exact
from midclass.evaluation.exact import FEW, auroc_limits, binomial_limits, p_of_reach, too_few
from midclass.evaluation.ranking import Ranked
from midclass.evaluation.table import ScoreTable
from midclass.evaluation.uncertainty import Chance

RESAMPLES = 10_000
"""Of the AUROC, whose p-values are corrected for many comparisons."""
FEWER = 1_000
"""Resamples of the other figures, which take longer and need an interval alone."""
FIGURES = ("auroc", "average_precision", "sensitivity_at_5", "sensitivity_at_10")
"""Sensitivities are at 5 % and 10 % false alarms, points of the ROC curve."""


class Estimate(NamedTuple):
    """A figure, its 95 % interval and its standard deviation over the repeats."""

    value: float
    low: float
    high: float
    spread: float


class Difference(NamedTuple):
    """A figure of ours minus that of another detector; ``corrected`` is set by ``holm``."""

    value: float
    low: float
    high: float
    p_value: float
    corrected: float = float("nan")


@dataclass(frozen=True)
class TaskComparison:
    """All detectors of one task.

    Attributes:
        drawn: detector -> figure -> its values in the resamples, float64 ``(resamples,)`` or fewer,
            means over the drawn repeats; one resample is the same draw for all detectors.
        seen: measured figures, float64 ``(repeats, figures)``.
        alike: the same of the cases that all detectors assessed; None where these are all that any
            of them assessed.
        patients: of the given and of the target class, the fewest of any detector and repeat.
    """

    drawn: Mapping[str, Mapping[str, NDArray[np.float64]]]
    seen: Mapping[str, NDArray[np.float64]]
    alike: TaskComparison | None = None
    patients: tuple[int, int] = (FEW, FEW)

    @classmethod
    def of(
        cls,
        tables: Mapping[str, Mapping[int, ScoreTable]],
        *,
        resamples: int = RESAMPLES,
        seed: int = 0,
    ) -> TaskComparison:
        """Resample.

        Args:
            tables: detector -> repeat -> scores; all detectors have the same repeats and cases.
            resamples: how many; of figures other than the AUROC ``FEWER`` at most.
            seed: of the draws.

        Raises:
            InputError: detectors were measured on other repeats or other cases.
        """
        _check_same(tables)
        common = _assessed_by_all(tables)
        alike = None if common is tables else cls.of(common, resamples=resamples, seed=seed)
        rng = np.random.default_rng(seed)
        first = next(iter(tables.values()))
        patients = np.unique(np.concatenate([table.patient_id for table in first.values()]))
        runs = {
            name: [_ranked(by_repeat[repeat], patients) for repeat in sorted(by_repeat)]
            for name, by_repeat in tables.items()
        }
        drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in runs}
        blocks = bootstrap.resamples(rng, (len(patients), len(first)), resamples)
        for number, (times, often) in enumerate(blocks):
            figures = _figures if number * bootstrap.AT_ONCE < FEWER else _area
            for name, repeats in runs.items():
                found = np.stack([figures(run, times) for run in repeats], 1)
                drawn[name].append(_mean(found, often))
        once = np.ones((1, len(patients)), np.int64)
        return cls(
            {name: _by_figure(parts) for name, parts in drawn.items()},
            {
                name: np.concatenate([_figures(run, once) for run in repeats])
                for name, repeats in runs.items()
            },
            alike,
            _patients(tables),
        )

    @property
    def few(self) -> str:
        """A word where patients are too few, or ""; see ``too_few``."""
        return too_few(*self.patients)

    def estimate(self, detector: str, figure: str = "auroc") -> Estimate:
        """Mean over the repeats with its interval."""
        column = FIGURES.index(figure)
        seen = self.seen[detector][:, column]
        low, high = Chance.of(seen, self.drawn[detector][figure]).interval()
        if low == high or self.few:  # no resample can differ, or resamples say too little
            ends = self._exact(detector, figure)
            low, high = min(low, ends[0]), max(high, ends[1])
        spread = float(seen.std(ddof=1)) if len(seen) > 1 else float("nan")
        return Estimate(float(seen.mean()), max(low, 0.0), min(high, 1.0), spread)

    def difference(self, ours: str, other: str, figure: str = "auroc") -> Difference:
        """Ours minus the other's, on the cases that all detectors assessed."""
        if self.alike is not None:
            return self.alike.difference(ours, other, figure)
        seen = (self.seen[ours] - self.seen[other])[:, FIGURES.index(figure)]
        chance = Chance.of(seen, self.drawn[ours][figure] - self.drawn[other][figure])
        value, p_value, (low, high) = float(seen.mean()), chance.p_value(), chance.interval()
        edge = low == high and {0.0, 1.0} & {self._seen(one, figure) for one in (ours, other)}
        if edge or self.few:
            mine, theirs = self._ends(ours, figure), self._ends(other, figure)
            below, above = math.hypot(mine[0], theirs[1]), math.hypot(mine[1], theirs[0])
            low, high = min(low, value - below), max(high, value + above)
            p_value = max(p_value, p_of_reach(abs(value), below if value > 0 else above))
        return Difference(value, max(low, -1.0), min(high, 1.0), p_value)

    def _seen(self, detector: str, figure: str) -> float:
        return float(self.seen[detector][:, FIGURES.index(figure)].mean())

    def _ends(self, detector: str, figure: str) -> tuple[float, float]:
        """How far the exact limits are below and above the measured figure.

        Those of a difference follow by squaring and adding (Newcombe, Stat Med 17:873, 1998).
        """
        value, (low, high) = self._seen(detector, figure), self._exact(detector, figure)
        return value - low, high - value

    def _exact(self, detector: str, figure: str) -> tuple[float, float]:
        """The interval that the number of patients gives, see ``metrics.interval``."""
        value = self._seen(detector, figure)
        if figure == "auroc":
            return auroc_limits(value, *self.patients)
        return binomial_limits(value, self.patients[1])


def holm(differences: Mapping[tuple[str, str], Difference]) -> dict[tuple[str, str], Difference]:
    """P-values corrected for the number of comparisons (Holm, Scand J Stat 6:65, 1979).

    >>> found = {("t", name): Difference(0.1, 0, 0.2, p) for name, p in (("a", 0.01), ("b", 0.04))}
    >>> [round(one.corrected, 3) for one in holm(found).values()]
    [0.02, 0.04]
    """
    corrected = exact.holm_corrected([one.p_value for one in differences.values()])
    return {
        name: one._replace(corrected=p)
        for (name, one), p in zip(differences.items(), corrected, strict=True)
    }


def mean_ranks(values: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Mean rank of each detector over the tasks, 1 is best; ties share their ranks' mean.

    Args:
        values: task -> detector -> figure, higher is better; detectors with every task only.

    >>> mean_ranks({"t": {"a": 0.9, "b": 0.8}, "u": {"a": 0.7, "b": 0.7}})
    {'a': 1.25, 'b': 1.75}
    """
    from scipy.stats import rankdata

    first, *others = values.values()
    common = [name for name in first if all(name in found for found in others)]
    ranks = [rankdata([-found[name] for name in common]) for found in values.values()]
    return dict(zip(common, np.mean(ranks, 0).tolist(), strict=True))


def _patients(tables: Mapping[str, Mapping[int, ScoreTable]]) -> tuple[int, int]:
    """The fewest patients of each class among the assessed cases of any table."""
    found = [
        [len(set(t.patient_id[t.assessed & (t.label == label)].tolist())) for label in (0, 1)]
        for by_repeat in tables.values()
        for t in by_repeat.values()
    ]
    given, target = np.min(found, 0).tolist()
    return given, target


def _ranked(table: ScoreTable, patients: NDArray[np.str_]) -> Ranked:
    """The assessed cases of a table; ``patients`` are all of the task, sorted."""
    units, seen = np.searchsorted(patients, table.patient_id), table.assessed
    return Ranked.of(table.label[seen], table.score[seen], units[seen])


def _area(run: Ranked, times: NDArray[np.int64]) -> NDArray[np.float64]:
    """The AUROC alone, ``(m, 1)``: of p-values, which need more resamples than a figure's limits.

    A detector whose scores are all equal tells nothing; it is ranked, not refused.
    """
    return run.auroc(times, constant=0.5)[:, None]


def _figures(run: Ranked, times: NDArray[np.int64]) -> NDArray[np.float64]:
    """All figures, ``(m, figures)``; NaN where no patient of one class is drawn."""
    curve = run.roc(times)
    others = (
        curve.average_precision(),
        curve.sensitivity_at_fpr(0.05),
        curve.sensitivity_at_fpr(0.10),
    )
    return np.column_stack([_area(run, times), *others])


def _by_figure(parts: Sequence[NDArray[np.float64]]) -> dict[str, NDArray[np.float64]]:
    """Figure -> its values, of parts ``(m, figures)`` some of which have the first figures only."""
    columns = [[part[:, i] for part in parts if part.shape[1] > i] for i in range(len(FIGURES))]
    return {name: np.concatenate(found) for name, found in zip(FIGURES, columns, strict=True)}


def _mean(figures: NDArray[np.float64], often: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean over repeats: ``(m, r, f)`` that count ``(m, r)`` times; undefined ones do not."""
    defined = np.isfinite(figures[..., 0]) * often
    total = (np.nan_to_num(figures) * defined[..., None]).sum(1)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = total / defined.sum(1)[:, None]
    return mean


def _check_same(tables: Mapping[str, Mapping[int, ScoreTable]]) -> None:
    (first, by_repeat), *others = tables.items()
    for name, found in others:
        if sorted(found) != sorted(by_repeat):
            raise InputError(
                f"{name} has the repeats {sorted(found)}, {first} has {sorted(by_repeat)}; "
                "run the study again, which computes what is missing"
            )
        for repeat, table in found.items():
            same = by_repeat[repeat]
            if sorted(zip(table.case_id, table.label, strict=True)) != sorted(
                zip(same.case_id, same.label, strict=True)
            ):
                raise InputError(f"repeat {repeat}: {name} and {first} scored other cases")


def _assessed_by_all(
    tables: Mapping[str, Mapping[int, ScoreTable]],
) -> Mapping[str, Mapping[int, ScoreTable]]:
    """The tables with the cases that every detector assessed; themselves where all have the same.

    Raises:
        InputError: in a repeat there is no such case of one class.
    """
    seen = {
        repeat: [set(found[repeat].case_id[found[repeat].assessed]) for found in tables.values()]
        for repeat in next(iter(tables.values()))
    }
    if all(one == cases[0] for cases in seen.values() for one in cases):
        return tables
    common = {repeat: sorted(set.intersection(*cases)) for repeat, cases in seen.items()}
    found = {
        name: {
            repeat: table.take(np.isin(table.case_id, common[repeat]))
            for repeat, table in by_repeat.items()
            if common[repeat]
        }
        for name, by_repeat in tables.items()
    }
    first = next(iter(found.values()))
    for repeat in common:
        if repeat not in first or len(np.unique(first[repeat].label)) < 2:
            raise InputError(
                f"repeat {repeat}: of one class there is no case that all of "
                f"{', '.join(tables)} assessed, so that they cannot be compared"
            )
    return found
