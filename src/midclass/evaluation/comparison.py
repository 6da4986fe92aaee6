"""Comparison: detectors on the same tasks and repeats, with intervals and corrected p-values.

The unit of chance is the patient and the repeat: each resample draws patients and repeats with
replacement and is the same for all detectors of a task, so that differences are paired. Repeats are
few, and resamples of five say too little of how much a sixth would differ: their intervals are
widened (see ``midclass.evaluation.uncertainty``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.evaluation.metrics import Counts
from midclass.evaluation.table import ScoreTable
from midclass.evaluation.uncertainty import Chance

RESAMPLES = 10_000
"""Of the AUROC, whose p-values are corrected for many comparisons."""
FEWER = 1_000
"""Resamples of the other figures, which take longer and need an interval alone."""
RESAMPLES_AT_ONCE = 100
"""Resamples computed together, so that they fit into the processor's cache."""
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
    """

    drawn: Mapping[str, Mapping[str, NDArray[np.float64]]]
    seen: Mapping[str, NDArray[np.float64]]

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
        rng = np.random.default_rng(seed)
        first = next(iter(tables.values()))
        patients = np.unique(np.concatenate([table.patient_id for table in first.values()]))
        runs = {
            name: [_Ranked.of(by_repeat[repeat], patients) for repeat in sorted(by_repeat)]
            for name, by_repeat in tables.items()
        }
        drawn: dict[str, list[NDArray[np.float64]]] = {name: [] for name in runs}
        for start in range(0, resamples, RESAMPLES_AT_ONCE):
            n = min(RESAMPLES_AT_ONCE, resamples - start)
            times = rng.multinomial(len(patients), [1 / len(patients)] * len(patients), size=n)
            often = rng.multinomial(len(first), [1 / len(first)] * len(first), size=n)
            for name, repeats in runs.items():
                if start < FEWER:
                    found = [run.figures(times) for run in repeats]
                else:
                    found = [run.areas(times)[:, None] for run in repeats]
                drawn[name].append(_mean(np.stack(found, 1), often))
        return cls(
            {name: _by_figure(parts) for name, parts in drawn.items()},
            {name: np.stack([run.own for run in repeats]) for name, repeats in runs.items()},
        )

    def estimate(self, detector: str, figure: str = "auroc") -> Estimate:
        """Mean over the repeats with its interval."""
        column = FIGURES.index(figure)
        seen = self.seen[detector][:, column]
        low, high = Chance.of(seen, self.drawn[detector][figure]).interval()
        spread = float(seen.std(ddof=1)) if len(seen) > 1 else float("nan")
        return Estimate(float(seen.mean()), max(low, 0.0), min(high, 1.0), spread)

    def difference(self, ours: str, other: str, figure: str = "auroc") -> Difference:
        """Ours minus the other's."""
        seen = (self.seen[ours] - self.seen[other])[:, FIGURES.index(figure)]
        chance = Chance.of(seen, self.drawn[ours][figure] - self.drawn[other][figure])
        low, high = chance.interval()
        return Difference(float(seen.mean()), max(low, -1.0), min(high, 1.0), chance.p_value())


def holm(differences: Mapping[tuple[str, str], Difference]) -> dict[tuple[str, str], Difference]:
    """P-values corrected for the number of comparisons (Holm, Scand J Stat 6:65, 1979).

    >>> found = {("t", name): Difference(0.1, 0, 0.2, p) for name, p in (("a", 0.01), ("b", 0.04))}
    >>> [round(one.corrected, 3) for one in holm(found).values()]
    [0.02, 0.04]
    """
    order = sorted(differences, key=lambda name: differences[name].p_value)
    corrected, least = {}, 0.0
    for place, name in enumerate(order):
        least = max(least, min(1.0, (len(order) - place) * differences[name].p_value))
        corrected[name] = differences[name]._replace(corrected=least)
    return {name: corrected[name] for name in differences}


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


@dataclass(frozen=True)
class _Ranked:
    """The cases of one score table in the order of their scores."""

    patient: NDArray[np.int64]  # (n,): number among all patients of the task
    target: NDArray[np.bool_]  # (n,)
    start: NDArray[np.int64]  # (k,): where each distinct score begins

    @classmethod
    def of(cls, table: ScoreTable, patients: NDArray[np.str_]) -> _Ranked:
        """Ranked cases of a table; ``patients`` are all of the task, sorted."""
        order = np.argsort(table.score, kind="stable")
        score = table.score[order]
        start = np.flatnonzero(np.append(True, score[1:] != score[:-1]))
        patient = np.searchsorted(patients, table.patient_id[order])
        return cls(patient, table.label[order] == 1, start)

    def counts(self, times: NDArray[np.int64]) -> Counts:
        """Given ``(..., n)`` how often each case counts."""
        both = (np.where(self.target, 0, times), np.where(self.target, times, 0))
        return Counts(*(np.add.reduceat(part, self.start, axis=-1) for part in both))

    @cached_property
    def own(self) -> NDArray[np.float64]:
        """The measured figures, ``(figures,)``."""
        return _figures(self.counts(np.ones(len(self.target), np.int64)))

    def figures(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        """Figures ``(m, figures)`` where the patients count ``(m, p)`` times.

        NaN where no patient of one class is drawn.
        """
        return _figures(self.counts(times[:, self.patient]))

    def areas(self, times: NDArray[np.int64]) -> NDArray[np.float64]:
        """The AUROC alone, ``(m,)``: quicker, since only given cases are summed up."""
        by_patient = np.ascontiguousarray(times.T)  # rows are copied whole
        given = by_patient[self.patient[~self.target]]
        target = by_patient[self.patient[self.target]]
        below = np.zeros((len(given) + 1, len(times)), np.int64)
        given.cumsum(0, out=below[1:])
        lower, upper = self.ties
        twice = (target * (below[lower] + below[upper])).sum(0)
        with np.errstate(invalid="ignore"):
            return np.asarray(twice / (2 * below[-1] * target.sum(0)))

    @cached_property
    def ties(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For each target case the given cases with lower scores, and with these and equal ones."""
        given = np.append(0, np.cumsum(~self.target))
        end = np.append(self.start[1:], len(self.target))
        group = np.searchsorted(self.start, np.flatnonzero(self.target), side="right") - 1
        return given[self.start[group]], given[end[group]]


def _figures(counts: Counts) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        found = [
            counts.auroc(),
            counts.average_precision(),
            counts.sensitivity_at_fpr(0.05),
            counts.sensitivity_at_fpr(0.10),
        ]
    undefined = (counts.given.sum(-1) == 0) | (counts.target.sum(-1) == 0)
    figures: NDArray[np.float64] = np.stack(found, -1)
    figures[undefined] = np.nan
    return figures


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
