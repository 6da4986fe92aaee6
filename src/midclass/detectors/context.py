"""Context: slices of a series are scored together with their neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from midclass.evaluation.ranking import FloatArray
from midclass.images.case import Case

if TYPE_CHECKING:
    from midclass.recipe.parts import Geometry

OWN = 2.0
"""Weight of a slice beside each of its neighbours. Noise that differs from slice to slice falls to
.61 by weights of 1, 2 and 1, hardly less than to .58 by equal ones; of what is seen in one slice
alone a half is left, and not a third."""
APART = 1.5
"""Slices further apart than so many of their series' smallest steps are no neighbours."""


def _nothing() -> FloatArray:
    return np.empty(0)


@dataclass(frozen=True)
class Context:
    """The score of a slice in its series, on the scale of a slice alone.

    Disease extends over neighbouring slices and noise does not. So the weighted mean of a slice and
    its neighbours on both sides takes the place of its own score. Means spread less than scores, so
    that no threshold fits both: each mean becomes the score that is as rare among calibration
    slices alone as the mean is among their means. A slice without neighbours keeps its score, and
    one threshold holds for all.

    Without anything learned every score stays as it is.

    Attributes:
        alone: scores of calibration slices, ascending.
        together: their means with their neighbours, ascending, as many.
    """

    alone: FloatArray = field(default_factory=_nothing)
    together: FloatArray = field(default_factory=_nothing)

    @classmethod
    def of(cls, scores: FloatArray, cases: Sequence[Case], geometry: Geometry) -> Context:
        """What calibration cases show; nothing where the view is another, or none has neighbours.

        Args:
            scores: ``(n,)``; NaN of what cannot be assessed.
            cases: n of them.
            geometry: the recipe's.
        """
        if not geometry.in_context:
            return cls()
        means, several = with_neighbours(scores, cases)
        if not several.any():
            return cls()
        seen = ~np.isnan(scores)
        return cls(np.sort(scores[seen]), np.sort(means[seen]))

    def __call__(self, scores: FloatArray, cases: Sequence[Case]) -> FloatArray:
        """Scores ``(n,)`` of cases, those of slices with neighbours in their context."""
        if not len(self.alone):
            return scores
        means, several = with_neighbours(scores, cases)
        found: FloatArray = scores.copy()
        found[several] = self._as_alone(means[several])
        return found

    def _as_alone(self, means: FloatArray) -> FloatArray:
        """The scores of slices alone that are as rare; beyond all of them, as far beyond."""
        place, first = np.unique(self.together, return_index=True)
        scores = self.alone[first]  # of equal means the lowest: it is the least alarming
        below = np.minimum(means - place[0], 0)
        above = np.maximum(means - place[-1], 0)
        found: FloatArray = np.interp(means, place, scores) + below + above
        return found

    @classmethod
    def from_json(cls, facts: Mapping[str, Any] | None) -> Context:
        """Take back what ``in_json`` says; None is nothing."""
        if facts is None:
            return cls()
        return cls(*(np.array(facts[name], float) for name in ("alone", "together")))


def in_json(context: Context) -> dict[str, Any]:
    """What a saved detector says of it: ``context``, where anything was learned."""
    if not len(context.alone):
        return {}
    return {"context": {"alone": context.alone.tolist(), "together": context.together.tolist()}}


def with_neighbours(
    scores: FloatArray, cases: Sequence[Case]
) -> tuple[FloatArray, NDArray[np.bool_]]:
    """The mean of each case and its neighbours in its series, and which cases have any.

    Neighbours are the slices next to it among those of its patient and series, no further away
    than the series' slices lie apart. One that cannot be assessed is none.

    Args:
        scores: ``(n,)``; NaN of what cannot be assessed, which stays NaN.
        cases: n of them, in any order.

    >>> from pathlib import Path
    >>> cases = [Case(f"{place}", Path("a"), 0, "p", slice=place) for place in (3.0, 1.0, 2.0)]
    >>> with_neighbours(np.array([6.0, 0.0, 3.0]), cases)[0].tolist()
    [5.0, 1.0, 3.0]
    """
    several = np.zeros(len(scores), bool)
    placed = np.array([row for row, case in enumerate(cases) if case.slice is not None], np.intp)
    if len(placed) < 2:
        return scores, several
    stacks = [cases[row].stack for row in placed]
    numbers = {stack: number for number, stack in enumerate(dict.fromkeys(stacks))}
    series = np.array([numbers[stack] for stack in stacks])
    place = np.array([cases[row].slice for row in placed], float)
    order = np.lexsort((place, series))
    rows, series, place = placed[order], series[order], place[order]
    near = _near(series, place) & ~np.isnan(scores[rows[1:]]) & ~np.isnan(scores[rows[:-1]])
    total, count = OWN * scores, np.full(len(scores), OWN)
    for one, other in ((rows[:-1], rows[1:]), (rows[1:], rows[:-1])):
        total[one[near]] += scores[other[near]]
        count[one[near]] += 1
    return total / count, count > OWN


def _near(series: NDArray[np.int64], place: FloatArray) -> NDArray[np.bool_]:
    """Which slices, in order, have the one after them as a neighbour: ``(n - 1,)``."""
    step = np.where(series[1:] == series[:-1], np.diff(place), np.inf)
    smallest = np.full(series.max() + 1, np.inf)
    apart = step > 0
    np.minimum.at(smallest, series[1:][apart], step[apart])
    return np.asarray(apart & np.isfinite(step) & (step <= APART * smallest[series[1:]]))
