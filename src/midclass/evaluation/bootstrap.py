"""Bootstrap: patients drawn with replacement, as how often each counts; cases go with them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from midclass.errors import InputError
from midclass.evaluation.ranking import FloatArray, IntArray

Draw: TypeAlias = Callable[[np.random.Generator, int, int], IntArray]
"""(generator, units, m) -> how often each unit counts in m resamples, ``(m, units)``."""
Statistic: TypeAlias = Callable[[IntArray], FloatArray]
"""How often each patient counts, ``(m, patients)`` -> ``(m,)``, NaN where it is not defined."""

AT_ONCE = 100
"""Resamples computed together, so that they fit into the processor's cache."""


# Two ways to draw from the same distribution. Figures are committed that were drawn in each, and
# the other one would move their last digits.
def one_by_one(rng: np.random.Generator, units: int, m: int) -> IntArray:
    """Draw unit after unit and count."""
    drawn = rng.integers(units, size=(m, units)) + units * np.arange(m)[:, None]
    return np.bincount(drawn.ravel(), minlength=m * units).reshape(m, units)


def together(rng: np.random.Generator, units: int, m: int) -> IntArray:
    """Draw the counts themselves."""
    return rng.multinomial(units, np.full(units, 1 / units), size=m)


def resamples(
    rng: np.random.Generator,
    units: tuple[int, ...],
    n: int,
    draw: Draw = together,
    at_once: int = AT_ONCE,
) -> Iterator[tuple[IntArray, ...]]:
    """Blocks of resamples, n of them together.

    Args:
        rng: of the draws.
        units: numbers of units, of each kind that is drawn: patients, and repeats perhaps.
        n: how many resamples.
        draw: one of the two ways.
        at_once: the most in a block. With several kinds it is a part of the draw, because the
            kinds take turns at the generator.

    Yields:
        How often each unit counts, ``(m, units)`` for each kind.

    >>> rng = np.random.default_rng(0)
    >>> [times.shape for times, in resamples(rng, (7,), 250)]
    [(100, 7), (100, 7), (50, 7)]
    """
    for start in range(0, n, at_once):
        m = min(at_once, n - start)
        yield tuple(draw(rng, number, m) for number in units)


def interval(
    statistic: Statistic,
    value: float,
    patients: int,
    *,
    draw: Draw = together,
    at_once: int = AT_ONCE,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval of a statistic whose measured value is ``value``, which it contains.

    Resamples on which the statistic is not defined are drawn again, with a warning where they are
    more than 5 %.

    Raises:
        InputError: ``level`` is no share, or most resamples are not defined.
    """
    if not 0 < level < 1:
        raise InputError(f"level is {level}; give a share between 0 and 1, for example 0.95")
    rng = np.random.default_rng(seed)
    drawn, redrawn = np.empty(0), 0
    while len(drawn) < n_resamples:
        blocks = resamples(rng, (patients,), n_resamples - len(drawn), draw, at_once)
        found = np.concatenate([statistic(times) for (times,) in blocks])
        defined = np.isfinite(found)
        drawn, redrawn = np.append(drawn, found[defined]), redrawn + int((~defined).sum())
        if redrawn > n_resamples:
            raise InputError(
                f"{patients} patients are too few: on most resamples of them a class is missing, "
                "or all scores are equal"
            )
    if redrawn > 0.05 * n_resamples:
        warnings.warn(
            f"{redrawn} resamples without both classes drawn again: too few patients of one class",
            stacklevel=4,
        )
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return min(float(low), value), max(float(high), value)
