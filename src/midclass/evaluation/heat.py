"""Heat: on what scale a heat map is shown, which is the same for every image of a detector."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logit

from midclass.evaluation.conformal import conformal_threshold
from midclass.evaluation.ranking import FloatArray

FULL = 4.0
"""Logits from where colour begins to where it is full: the odds are 55 times as high."""
TINY = 1e-6
"""Heat is kept so far from 0 and from 1, between which alone odds are finite."""


@dataclass(frozen=True)
class HeatScale:
    """Where the colour of a heat map begins.

    An image alone has the colours that it has among others, and an image as they usually are has
    none.

    Attributes:
        begins: heat that few images of the given class show anywhere.
        rate: how few, of those that were held out.
    """

    begins: float = 0.5
    rate: float = 0.05

    @classmethod
    def of(cls, hottest: ArrayLike, rate: float) -> HeatScale:
        """Begin where a new case of the given class shows any colour with that probability at most.

        Args:
            hottest: the highest heat of each held-out case of the given class ``(n,)``; without
                any, as where nothing is known.
            rate: see ``conformal_threshold``, which needs enough cases for it.

        >>> HeatScale.of([0.1, 0.2, 0.3, 0.4], rate=0.25).begins
        0.4
        """
        return cls(conformal_threshold(hottest, rate), rate) if np.size(hottest) else cls()

    def __call__(self, heat: ArrayLike) -> FloatArray:
        """Heat in [0, 1] as strength of colour in [0, 1]: 0 as far as it is usual.

        >>> HeatScale(begins=0.5)([0.3, 0.5, 0.9, 0.99]).round(2).tolist()
        [0.0, 0.0, 0.55, 1.0]
        """
        odds = logit(np.clip(np.asarray(heat, np.float64), TINY, 1 - TINY))
        begins = logit(np.clip(self.begins, TINY, 1 - TINY))
        return np.asarray(((odds - begins) / FULL).clip(0, 1))
