"""Likeness: does a whole image look, from afar, as the given class does?

A knee has an outline, a grain and a spread as a chest has. Seen in 16 x 16 squares it is another
picture. Where images of the given class look alike from afar, the correlation with their mean tells
another organ from them. Disease changes some of these squares, acquisition all of them a little;
the limit is wide, and where the given class itself varies there is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from midclass.detectors.limits import told_apart
from midclass.images.from_afar import ALIKE, SIDE, Pictures, from_afar, pictures_of, unit
from midclass.knowledge.acquisition import acquired

if TYPE_CHECKING:
    from midclass.images.prepared import Prepared
    from midclass.knowledge.nuisance import Nuisance

LIKENESS = "likeness"
"""Its name beside the traits in a saved detector."""
TAIL, BEYOND, APART = 0.1, 3.0, 0.55
"""A limit lies so many times as far beyond this quantile as it lies from the median, and so far
from the median at least."""
MOVED, SLACK = 100, 0.25
"""Samples that are looked at under nuisance, and how much farther than it a limit lies."""


class Likeness(NamedTuple):
    """Of the given class from afar.

    Attributes:
        picture: their mean, ``SIDE * SIDE`` numbers of mean 0 and length 1.
        low: a correlation with it below this is like nothing of the given class.
        middle: the given class's median.
    """

    picture: tuple[float, ...]
    low: float
    middle: float

    @classmethod
    def of(cls, given: Prepared, link: int, nuisance: Nuisance | None) -> dict[int, Likeness]:
        """Learn it of samples, by the number of their anatomy; nothing where they differ."""
        pictures = pictures_of(given)
        picture = unit(pictures.mean(axis=0, keepdims=True))[0]
        found = cls(tuple(picture.tolist()), -1.0, 1.0)
        low, middle = np.quantile(found.correlations(pictures), (TAIL, 0.5))
        if middle < ALIKE:
            return {}
        lowest = min(low - BEYOND * (middle - low), middle - APART)
        if nuisance is not None:
            some = given.at(np.linspace(0, len(given) - 1, min(MOVED, len(given))).astype(np.int64))
            rng = torch.Generator().manual_seed(0)
            moved = acquired(some.batch(slice(None)), nuisance, rng).pixels
            led = found.correlations(from_afar(moved.numpy()))
            least, centre = np.quantile(led, (0.01, 0.5))
            lowest = min(lowest, least - SLACK * (centre - least))
        return {link: found._replace(low=float(lowest), middle=float(middle))}

    def correlations(self, pictures: Pictures) -> NDArray[np.float64]:
        """``(n,)``; each image's is its own, whatever stands beside it."""
        return np.asarray((pictures * np.array(self.picture)).sum(axis=1))

    def reasons(self, prepared: Prepared) -> list[str]:
        """Why each of the samples is not plausible; "" where it is."""
        found = self.correlations(pictures_of(prepared)).tolist()
        return ["" if value >= self.low else self._reason(value) for value in found]

    def _reason(self, value: float) -> str:
        one, least = told_apart(value, self.low, ".2f")
        return (
            f"not like the given class: another picture as a whole (correlation {one}, at least "
            f"{least} is like the given class)"
        )

    def to_json(self) -> list[float]:
        """Limit, median and picture, in one list."""
        return [self.low, self.middle, *self.picture]

    @classmethod
    def from_json(cls, saved: Any) -> Likeness:
        """What ``to_json`` gave; raises ValueError or TypeError for anything else."""
        low, middle, *picture = np.asarray(saved, np.float64).tolist()
        if len(picture) != SIDE * SIDE or not np.isfinite(saved).all() or low > middle:
            raise ValueError("plausible: likeness is no picture with its limit")
        return cls(tuple(picture), low, middle)
