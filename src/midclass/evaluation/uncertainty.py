"""Chance: how much of a mean over few repeats could be otherwise, from bootstrap resamples."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Chance:
    """How much of a mean over repeats is chance.

    Resamples of r repeats show (r - 1) / r of the variance between them (Hesterberg, "What teachers
    should know about the bootstrap", Am Stat 69:371, 2015); the rest is added. What lies between
    patients is known well; what lies between repeats is known from r figures alone, so that
    deviations follow t and not the normal distribution, with the degrees of freedom of such a sum
    (Satterthwaite, Biometrics Bulletin 2:110, 1946): about r - 1 where all chance is between
    repeats, and very many where it is between patients. For one repeat nothing is added: the
    interval is then about this training alone.

    Attributes:
        value: the mean.
        drawn: its finite values in the resamples.
        missing: variance that the resamples do not show.
        freedom: degrees of freedom.
    """

    value: float
    drawn: NDArray[np.float64]
    missing: float
    freedom: float

    @classmethod
    def of(cls, seen: NDArray[np.float64], drawn: NDArray[np.float64]) -> Chance:
        """Of the figures of the repeats ``(r,)`` and their means in the resamples."""
        drawn, repeats = drawn[np.isfinite(drawn)], len(seen)
        between = float(seen.var(ddof=1)) / repeats if repeats > 1 else 0.0
        missing, freedom = between / repeats, math.inf
        if between > 0:
            share = (float(drawn.var()) + missing) / between
            freedom = (repeats - 1) * max(1.0, share) ** 2
        return cls(float(seen.mean()), drawn, missing, freedom)

    @property
    def widening(self) -> float:
        """Standard error over the standard deviation of the resamples."""
        shown = float(self.drawn.var())
        return math.sqrt(1 + self.missing / shown) if shown > 0 else 1.0

    def interval(self) -> tuple[float, float]:
        """Of 95 %: the quantiles of the resamples, farther from their median."""
        from scipy.stats import norm, t

        low, middle, high = np.quantile(self.drawn, [0.025, 0.5, 0.975]).tolist()
        factor = self.widening * float(t.ppf(0.975, self.freedom) / norm.ppf(0.975))
        return middle - factor * (middle - low), middle + factor * (high - middle)

    def p_value(self) -> float:
        """Of the mean being zero, two-sided: by t, or by the resamples if that is more."""
        from scipy.stats import t

        rarer = min(np.sum(self.drawn <= 0), np.sum(self.drawn >= 0))
        counted = min(1.0, float(2 * (1 + rarer) / (1 + len(self.drawn))))
        error = self.widening * float(self.drawn.std())
        if error == 0:
            return counted
        return max(counted, float(2 * t.sf(abs(self.value) / error, self.freedom)))
