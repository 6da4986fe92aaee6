"""Curves with bands: ROC, precision over sensitivity, false alarms over what is promised.

Bands resample patients, as intervals do. They are pointwise: at each place of the curve 95 % of the
resamples lie within.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from midclass.evaluation import bootstrap
from midclass.evaluation.exact import FEW, patients_of
from midclass.evaluation.metrics import BLOCK, share_interval
from midclass.evaluation.ranking import Curve, FloatArray, IntArray, Ranked
from midclass.evaluation.table import UNKNOWN, ScoreTable

GRID = np.linspace(0, 1, 101)
"""Where bands are computed."""
RESAMPLES = 500


class Band(NamedTuple):
    """A curve, and between which limits it lies.

    Attributes:
        x: float64 ``(k,)``, ascending.
        value: as measured.
        low: of the 95 % interval; NaN everywhere where patients are too few to say.
        high: the same.
    """

    x: FloatArray
    value: FloatArray
    low: FloatArray
    high: FloatArray

    @property
    def known(self) -> bool:
        """Whether there are limits."""
        return not bool(np.isnan(self.low).any())


def roc_curve(table: ScoreTable) -> tuple[FloatArray, FloatArray]:
    """False-alarm rate and sensitivity at every distinct score, from the highest down.

    Of assessed cases of known class; ``(k + 1,)`` each.
    """
    known = (table.label != UNKNOWN) & table.assessed
    ranked = Ranked.of(table.label[known], table.score[known])
    (false_alarms,), (found,) = ranked.roc(ranked.once).rates()
    return false_alarms, found


def roc_band(table: ScoreTable, *, n_resamples: int = RESAMPLES, seed: int = 0) -> Band:
    """Sensitivity over the false-alarm rate, of assessed cases of known class.

    >>> table = ScoreTable.of([*"abcd"], [*"pqrs"], [0, 0, 1, 1], [1, 3, 2, 4])
    >>> roc_band(table).value[[0, 49, 50, 100]].tolist()
    [0.5, 0.5, 1.0, 1.0]
    """

    def sensitivity(curve: Curve) -> FloatArray:
        alarms, found = curve.rates()
        at = [np.searchsorted(row, GRID, side="right") - 1 for row in alarms]
        return np.take_along_axis(found, np.array(at), axis=1)

    return _band(table, sensitivity, n_resamples, seed)


def precision_band(table: ScoreTable, *, n_resamples: int = RESAMPLES, seed: int = 0) -> Band:
    """Precision at each sensitivity, of assessed cases of known class.

    Precision is the share of flagged cases that are of the target class. It holds for the mix of
    classes in the table.

    >>> table = ScoreTable.of([*"abcd"], [*"pqrs"], [0, 0, 1, 1], [1, 3, 2, 4])
    >>> precision_band(table).value[[50, 51]].round(3).tolist()
    [1.0, 0.667]
    """

    def precision(curve: Curve) -> FloatArray:
        given, target = (counts.astype(np.float64) for counts in curve)
        found = target / np.maximum(target[:, -1:], 1)
        right = target / np.maximum(target + given, 1)
        at = [np.searchsorted(row, GRID - 1e-12, side="left") for row in found]
        first = np.argmax(target > 0, axis=1)[:, None]  # below it nothing of the class is found
        return np.take_along_axis(right, np.maximum(np.array(at), first), axis=1)

    return _band(table, precision, n_resamples, seed)


def _band(
    table: ScoreTable, at_grid: Callable[[Curve], FloatArray], n_resamples: int, seed: int
) -> Band:
    seen = table.assessed & (table.label != UNKNOWN)
    label = table.label[seen]
    _, unit = np.unique(table.patient_id[seen], return_inverse=True)
    ranked = Ranked.of(label, table.score[seen], unit)
    (value,) = at_grid(ranked.roc(ranked.once))
    if min(patients_of(label, unit)) < FEW:
        nothing = np.full(len(GRID), np.nan)
        return Band(GRID, value, nothing, nothing)
    rng = np.random.default_rng(seed)
    at_once = max(1, min(bootstrap.AT_ONCE, BLOCK // len(label)))
    blocks = bootstrap.resamples(rng, ranked.once.shape[1:], n_resamples, at_once=at_once)
    drawn = np.concatenate([_defined(at_grid, ranked, times) for (times,) in blocks])
    low, high = np.quantile(drawn, [0.025, 0.975], axis=0)
    return Band(GRID, value, np.minimum(low, value), np.maximum(high, value))


def _defined(at_grid: Callable[[Curve], FloatArray], ranked: Ranked, times: IntArray) -> FloatArray:
    """Of the resamples with cases of both classes."""
    curve = ranked.roc(times)
    both = (curve.given[:, -1] > 0) & (curve.target[:, -1] > 0)
    return at_grid(Curve(curve.given[both], curve.target[both]))


def measured_rate(table: ScoreTable, rates: FloatArray) -> Band:
    """The share of given-class cases that would be flagged, over the rate that is promised.

    Flagged at a promised rate is a case whose p-value is that rate at most. Limits are those of
    ``metrics.share_interval``.

    Args:
        table: with the extra column ``p_value``.
        rates: promised, float64 ``(k,)``.

    >>> table = ScoreTable.of([*"ab"], [*"pq"], [0, 0], [1, 2], extra={"p_value": [0.5, 0.02]})
    >>> measured_rate(table, np.array([0.01, 0.05, 0.5])).value.tolist()
    [0.0, 0.5, 1.0]
    """
    given = table.take(table.assessed & (table.label == 0))
    flagged = given.extra["p_value"][None] <= np.asarray(rates)[:, None]  # (k, n)
    _, patients = np.unique(given.patient_id, return_inverse=True)  # numbers, looked up faster
    limits = [share_interval(row, patients) for row in flagged]
    low, high = np.array(limits).T
    return Band(np.asarray(rates), flagged.mean(1), low, high)
