"""Ranking: cases in the order of their scores, from which every figure without a threshold comes.

A figure is computed for many resamples at once. A resample says how often each *unit* counts: a
patient, with all cases of that patient, or a single case where none are named. So nothing is sorted
again, and thousands of resamples take seconds. A score of -inf is the lowest there is
(scikit-learn refuses it).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
Counts: TypeAlias = NDArray[np.signedinteger[Any]]


class Curve(NamedTuple):
    """The ROC curves of m resamples, in cases: flagged at each of k distinct scores and above.

    Attributes:
        given: false alarms, int ``(m, k)``, from the highest score down.
        target: target cases found, int ``(m, k)``.
    """

    given: Counts
    target: Counts

    def rates(self) -> tuple[FloatArray, FloatArray]:
        """False-alarm rates and sensitivities, ``(m, k + 1)`` each, from 0 to 1."""
        given, target = (np.pad(counts, ((0, 0), (1, 0))) for counts in self)
        return given / given[:, -1:], target / target[:, -1:]

    def average_precision(self) -> FloatArray:
        """Precision at each distinct score, weighted by the gain in sensitivity: ``(m,)``."""
        precision = self.target / np.maximum(self.target + self.given, 1)
        gain = np.diff(self.target, prepend=0)
        return self._where_both((precision * gain).sum(1))

    def sensitivity_at_fpr(self, max_fpr: float) -> FloatArray:
        """The best sensitivity with a false-alarm rate <= max_fpr: ``(m,)``."""
        allowed = self.given / np.maximum(self.given[:, -1:], 1) <= max_fpr
        return self._where_both((self.target * allowed).max(1))

    def _where_both(self, found: NDArray[Any]) -> FloatArray:
        """The share of target cases, NaN where one of the classes is missing."""
        given, target = self.given[:, -1], self.target[:, -1]
        share: FloatArray = np.full(len(found), np.nan)
        np.divide(found, target, out=share, where=(given > 0) & (target > 0))
        return share


@dataclass(frozen=True, eq=False)
class Ranked:
    """The n cases of one score table, lowest score first; k of their scores are distinct.

    Every figure takes ``times``, int ``(m, units)``: how often each unit counts in m resamples. It
    gives ``(m,)`` values, NaN where a class that it needs has no case.

    Attributes:
        unit: int ``(n,)``, the number of each case's unit.
        target: bool ``(n,)``, whether a case is of the target class.
        start: int ``(k,)``, where each distinct score begins.

    >>> ranked = Ranked.of(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    >>> ranked.auroc(np.array([[1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 0]])).tolist()
    [0.75, 1.0, nan]
    """

    unit: IntArray
    target: NDArray[np.bool_]
    start: IntArray

    @classmethod
    def of(
        cls, label: NDArray[Any], score: NDArray[Any], unit: NDArray[Any] | None = None
    ) -> Ranked:
        """Rank cases: labels 0 and 1, scores without NaN, and units, all ``(n,)``."""
        order = np.argsort(score, kind="stable")
        ordered = score[order]
        start = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        return cls(order if unit is None else unit[order], label[order] == 1, start)

    @property
    def once(self) -> IntArray:
        """The times in which each unit counts once, ``(1, units)``: the figures as measured."""
        return np.ones((1, int(self.unit.max()) + 1), np.int64)

    def roc(self, times: IntArray) -> Curve:
        """The ROC curve of each resample, in cases."""
        case = times.astype(np.int32)[:, self.unit]  # memory is what takes the time
        target = np.where(self.target, case, np.int32(0))
        # Summed up, the given cases cost nothing more; from the highest score down.
        found, flagged = (
            np.add.reduceat(part, self.start, axis=1)[:, ::-1].cumsum(1, dtype=np.int32)
            for part in (target, case)
        )
        return Curve(flagged - found, found)

    def auroc(self, times: IntArray, constant: float = np.nan) -> FloatArray:
        """The chance that a target case scores above a given case; a tie counts half.

        ``constant`` is the value where all scores are equal: they assess nothing.
        """
        # Rows are copied whole; small integers, because memory is what takes the time.
        by_unit = np.ascontiguousarray(times.T, np.int32)
        given = by_unit[self.unit[~self.target]]
        target = by_unit[self.unit[self.target]]
        below = np.zeros((len(given) + 1, len(times)), np.int32)
        given.cumsum(0, out=below[1:])
        lower, upper = self._ties
        twice = (target * (below[lower] + below[upper])).sum(0, np.int64)
        with np.errstate(invalid="ignore"):
            area = np.asarray(twice / (2 * below[-1] * target.sum(0, np.int64)))
        for row in np.flatnonzero(area == 0.5):
            if self._is_constant(times[row]):
                area[row] = constant
        return area

    def average_precision(self, times: IntArray) -> FloatArray:
        """See ``Curve``."""
        return self.roc(times).average_precision()

    def sensitivity_at_fpr(self, times: IntArray, max_fpr: float) -> FloatArray:
        """See ``Curve``."""
        return self.roc(times).sensitivity_at_fpr(max_fpr)

    @cached_property
    def _ties(self) -> tuple[IntArray, IntArray]:
        """For each target case the given cases with lower scores, and with these and equal ones."""
        given = np.append(0, np.cumsum(~self.target))
        end = np.append(self.start[1:], len(self.target))
        group = np.searchsorted(self.start, np.flatnonzero(self.target), side="right") - 1
        return given[self.start[group]], given[end[group]]

    def _is_constant(self, times: IntArray) -> bool:
        """Whether all cases that count in one resample ``(units,)`` have one score."""
        there = np.flatnonzero(times[self.unit])
        first, last = np.searchsorted(self.start, there[[0, -1]], side="right")
        return bool(first == last)
