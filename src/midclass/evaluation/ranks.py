"""Ranks: the mean rank of detectors over tasks, and how much of it is chance.

Two questions that are not one. ``rank_limits`` asks what other patients of these tasks would
change. ``RankTest`` asks what other tasks would: it takes tasks for a sample of all tasks (Demsar,
J Mach Learn Res 7:1, 2006), and of few tasks it can say little, which it says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from midclass.evaluation.comparison import mean_ranks
from midclass.evaluation.exact import holm_corrected

CLEARLY = 0.05
"""A corrected p-value below it is a difference."""
PERMUTATIONS = 10_000


def rank_limits(
    drawn: Mapping[str, Mapping[str, NDArray[np.float64]]],
) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each detector's mean rank over the tasks, 1 is best.

    Detectors are ranked anew in each resample. What it knows is chance among the patients and the
    repeats of these tasks, not how ranks would be in others.

    Args:
        drawn: task -> detector -> figure in each resample ``(resamples,)``, higher is better; one
            resample of a task is the same draw for all detectors. Detectors with every task count.

    >>> better, worse = np.full(9, 0.9), np.full(9, 0.7)
    >>> rank_limits({"t": {"a": better, "b": worse}, "u": {"a": better, "b": worse}})
    {'a': (1.0, 1.0), 'b': (2.0, 2.0)}
    """
    from scipy.stats import rankdata

    common = list(mean_ranks({task: dict.fromkeys(found, 0.0) for task, found in drawn.items()}))
    if not common:
        return {}
    ranks = []
    for found in drawn.values():
        values = np.stack([found[name] for name in common])  # (detectors, resamples)
        ranks.append(rankdata(-values[:, np.isfinite(values).all(0)], axis=0))
    least = min(one.shape[1] for one in ranks)
    mean = np.mean([one[:, :least] for one in ranks], 0)
    low, high = np.quantile(mean, [0.025, 0.975], axis=1)
    return dict(zip(common, zip(low.tolist(), high.tolist(), strict=True), strict=True))


@dataclass(frozen=True)
class RankTest:
    """Do detectors differ over tasks, if these tasks are a sample of all?

    Each task counts once, by one figure: its repeats share patients and are no further tasks.

    Attributes:
        tasks: how many.
        ranks: mean rank of each detector that has every task, best first.
        p_all: that no detector differs from another (Friedman's statistic, by permutation, which
            holds for few tasks too).
        pairs: p-value of each pair, in the order of ``ranks``: Wilcoxon's signed ranks over the
            tasks, with Holm's correction for the number of pairs (Benavoli and others, J Mach
            Learn Res 17:1, 2016: unlike Nemenyi's test it asks the two detectors alone).
    """

    tasks: int
    ranks: Mapping[str, float]
    p_all: float
    pairs: Mapping[tuple[str, str], float]

    @classmethod
    def of(cls, values: Mapping[str, Mapping[str, float]], seed: int = 0) -> RankTest | None:
        """Test; None where there are fewer than two tasks, or detectors with every task.

        Args:
            values: task -> detector -> figure, higher is better.
            seed: of the permutations.

        >>> found = RankTest.of({task: {"a": 0.9, "b": 0.8} for task in "tuvwxy"})
        >>> found.ranks, round(found.p_all, 2), found.pairs, found.least_p, found.enough
        ({'a': 1.0, 'b': 2.0}, 0.03, {('a', 'b'): 0.03125}, 0.03125, 6)
        """
        ranks = mean_ranks(values) if values else {}
        if len(values) < 2 or len(ranks) < 2:
            return None
        ranks = dict(sorted(ranks.items(), key=lambda one: one[1]))
        table = np.array([[found[name] for name in ranks] for found in values.values()])
        pairs = list(combinations(range(len(ranks)), 2))
        p_values = holm_corrected([_wilcoxon(table[:, i] - table[:, j]) for i, j in pairs])
        names = list(ranks)
        return cls(
            len(table),
            ranks,
            _friedman(table, np.random.default_rng(seed)),
            {(names[i], names[j]): p for (i, j), p in zip(pairs, p_values, strict=True)},
        )

    @property
    def least_p(self) -> float:
        """The smallest p-value of a pair that so many tasks can show, if one wins all of them."""
        return min(1.0, len(self.pairs) * 2.0 ** (1 - self.tasks))

    @property
    def enough(self) -> int:
        """So many tasks could show a difference of a pair."""
        return 1 + math.ceil(math.log2(len(self.pairs) / CLEARLY))

    @property
    def too_few(self) -> bool:
        """Whether no pair could differ, whatever its figures."""
        return self.least_p >= CLEARLY

    @property
    def groups(self) -> list[tuple[str, ...]]:
        """Neighbours in rank of which no pair differs, as many as can be; none alone.

        Where tasks are too few there are none: that no difference can be seen is no likeness.
        """
        if self.too_few:
            return []
        names, found, last = list(self.ranks), list[tuple[str, ...]](), 0
        for first in range(len(names)):
            end = first + 1
            while end < len(names) and self._alike(names[first : end + 1]):
                end += 1
            if end - first > 1 and end > last:
                found.append(tuple(names[first:end]))
                last = end
        return found

    def _alike(self, names: Sequence[str]) -> bool:
        return all(self.pairs[pair] >= CLEARLY for pair in combinations(names, 2))


def _friedman(table: NDArray[np.float64], rng: np.random.Generator) -> float:
    """Whether ranks differ, by permutation within each task of ``(tasks, detectors)``."""
    from scipy.stats import rankdata

    ranks = rankdata(-table, axis=1)

    def spread(of: NDArray[np.float64]) -> NDArray[np.float64]:
        total: NDArray[np.float64] = (of.sum(-2) ** 2).sum(-1)  # the statistic but for constants
        return total

    seen, more = spread(ranks), 0
    for _ in range(PERMUTATIONS // 100):
        many = np.repeat(ranks[None], 100, 0)
        more += int((spread(rng.permuted(many, axis=2)) >= seen - 1e-9).sum())
    return (1 + more) / (1 + PERMUTATIONS)


def _wilcoxon(difference: NDArray[np.float64]) -> float:
    from scipy.stats import wilcoxon

    return float(wilcoxon(difference).pvalue) if difference.any() else 1.0
