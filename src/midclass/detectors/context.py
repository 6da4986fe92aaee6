"""Context: a slice is scored with its neighbours in its series, one side with the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
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
"""Slices further apart than so many usual steps of their series are no neighbours."""
FEWEST = 20
"""Calibration slices with neighbours; fewer do not tell how rare a mean is."""
FEWEST_SIDES = 10
"""Calibration cases with another side, which must also be half of all. Where all have one the scale
keeps their order, and with it the promise, however few they are. Where few of many have one the
threshold lies beyond the scale: of sides that are compared 6 % and more are flagged for 5 %."""


def _nothing() -> FloatArray:
    return np.empty(0)


@dataclass(frozen=True)
class EquallyRare:
    """Turns a score together with others into the score that is as rare for a case alone.

    Attributes:
        alone: scores of calibration cases, ascending.
        together: those of the same cases together with others, ascending.
    """

    alone: FloatArray = field(default_factory=_nothing)
    together: FloatArray = field(default_factory=_nothing)

    @classmethod
    def of(cls, alone: FloatArray, together: FloatArray, fewest: int = FEWEST) -> EquallyRare:
        """What calibration cases show; nothing where they are too few."""
        return cls(np.sort(alone), np.sort(together)) if len(alone) >= fewest else cls()

    def __call__(self, means: FloatArray) -> FloatArray:
        """Scores ``(n,)`` of some together with others; beyond all of calibration as far beyond."""
        place, first = np.unique(self.together, return_index=True)
        scores = self.alone[first]  # of equal means the lowest: it is the least alarming
        below = np.minimum(means - place[0], 0)
        above = np.maximum(means - place[-1], 0)
        found: FloatArray = np.interp(means, place, scores) + below + above
        return found


@dataclass(frozen=True)
class Context:
    """The score of a slice in its series, or beside the other side, on the scale of a case alone.

    Disease extends over neighbouring slices and noise does not. So the weighted mean of a slice and
    its neighbours takes the place of its own score. Means spread less than scores, and those of
    three slices less than those of two, so that no threshold fits all. Each mean becomes the score
    that is as rare among calibration slices. A slice without neighbours keeps its score.

    What is said of places beside the other side is another number, too, and becomes a score in the
    same way, see ``other_side``.

    Without anything learned every score stays as it is.

    Attributes:
        one: of slices with one neighbour.
        both: of slices with one on either side.
        sides: of cases whose other side is there.
    """

    one: EquallyRare = EquallyRare()
    both: EquallyRare = EquallyRare()
    sides: EquallyRare = EquallyRare()

    @classmethod
    def of(
        cls,
        scores: FloatArray,
        cases: Sequence[Case],
        geometry: Geometry,
        compared: FloatArray | None = None,
    ) -> Context:
        """What calibration cases show; nothing where each is scored alone.

        Args:
            scores: ``(n,)``; NaN of what cannot be assessed.
            cases: n of them.
            geometry: the recipe's.
            compared: ``(n,)``: scores beside the other side; NaN where there is none.
        """
        if compared is not None and geometry.compare:
            has, assessed = ~np.isnan(compared), int((~np.isnan(scores)).sum())
            fewest = max(FEWEST_SIDES, -(-assessed // 2))
            return cls(sides=EquallyRare.of(scores[has], compared[has], fewest))
        if not geometry.in_context:
            return cls()
        before, after = neighbours(scores, cases)
        twice, sides = np.tile(scores, 2), np.concatenate([before, after])
        with_one, with_both = ~np.isnan(sides), ~np.isnan(before + after)
        return cls(
            EquallyRare.of(twice[with_one], _mean(twice, sides)[with_one]),
            EquallyRare.of(scores[with_both], _mean(scores, before, after)[with_both]),
        )

    def __bool__(self) -> bool:
        """Whether anything was learned."""
        return len(self.one.alone) + len(self.sides.alone) > 0

    def __call__(
        self, scores: FloatArray, cases: Sequence[Case], compared: FloatArray | None = None
    ) -> FloatArray:
        """Scores ``(n,)`` of cases in their context; see ``of``."""
        if not self:
            return scores
        if compared is not None and len(self.sides.alone):
            return np.where(np.isnan(compared), scores, self.sides(compared))
        before, after = neighbours(scores, cases)
        side = np.where(np.isnan(before), after, before)
        both, found = ~np.isnan(before + after), scores.copy()
        for scale, has, means in (
            (self.one, ~np.isnan(side) & ~both, _mean(scores, side)),
            (self.both, both, _mean(scores, before, after)),
        ):
            if len(scale.alone):
                found[has] = scale(means[has])
        return found

    @classmethod
    def from_json(cls, facts: Mapping[str, Any] | None) -> Context:
        """Take back what ``in_json`` says; None is nothing."""
        if facts is None:
            return cls()
        return cls(
            **{
                which: EquallyRare(
                    *(np.array(scale[name], float) for name in ("alone", "together"))
                )
                for which, scale in facts.items()
                if scale is not None
            }
        )


def in_json(context: Context) -> dict[str, Any]:
    """What a saved detector says of it: ``context``, where anything was learned."""
    if not context:
        return {}
    facts = asdict(context)
    learned = ("sides",) if len(context.sides.alone) else ("one", "both")
    lists = {
        which: {name: values.tolist() for name, values in facts[which].items()} for which in learned
    }
    return {"context": lists}


def neighbours(scores: FloatArray, cases: Sequence[Case]) -> tuple[FloatArray, FloatArray]:
    """Scores of the slice before each case in its series and of that after it: ``(n,)`` each.

    NaN where there is none, where the next is further away than the series' slices usually lie
    apart, and where either cannot be assessed. A series with two slices at one place holds more
    than one pile; nobody can tell which lie on which, and none has neighbours.

    Args:
        scores: ``(n,)``; NaN of what cannot be assessed.
        cases: n of them, in any order.

    >>> from pathlib import Path
    >>> cases = [Case(f"{place}", Path("a"), 0, "p", slice=place) for place in (3.0, 1.0, 2.0)]
    >>> before, after = neighbours(np.array([6.0, 0.0, 3.0]), cases)
    >>> before.tolist(), after.tolist()
    ([3.0, nan, 0.0], [nan, 3.0, 6.0])
    """
    before, after = np.full(len(scores), np.nan), np.full(len(scores), np.nan)
    series: dict[tuple[str, ...], list[int]] = {}
    for row, case in enumerate(cases):
        if case.slice is not None:
            series.setdefault(case.stack, []).append(row)
    for members in series.values():
        place = np.array([cases[row].slice for row in members], float)
        rows = np.array(members)[np.argsort(place)]
        near = _near(np.sort(place)) & ~np.isnan(scores[rows[1:]] + scores[rows[:-1]])
        before[rows[1:][near]] = scores[rows[:-1][near]]
        after[rows[:-1][near]] = scores[rows[1:][near]]
    return before, after


def _near(place: FloatArray) -> NDArray[np.bool_]:
    """Which slices of a series, at ascending places, have the next as a neighbour: ``(n - 1,)``.

    The usual step is the median; where slices are thicker, as in the upper half of many a head, it
    is that of the steps around.
    """
    step = np.diff(place)
    if not len(step) or step.min() <= 0:
        return np.zeros(len(step), bool)
    below, above = np.append(np.inf, step[:-1]), np.append(step[1:], np.inf)
    usual = np.maximum(np.median(step), np.minimum(below, above))
    return np.asarray(step <= APART * usual)


def _mean(scores: FloatArray, *others: FloatArray) -> FloatArray:
    found: FloatArray = (OWN * scores + sum(others)) / (OWN + len(others))
    return found
