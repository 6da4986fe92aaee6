"""Empirical null: how far the normal cases of another place score from those that calibrated.

Of the cases of another place nobody may know which are normal. Their lower scores tell: disease
scores high, so that the lower half is of normal cases mostly, and has the form of the lower part
of the normal scores of before where these were only moved. The move is what fits best, together
with the share of all cases that is normal (the empirical null: Efron, J Am Stat Assoc 99:96, 2004;
the share: Storey, J R Stat Soc B 64:479, 2002).

That is an estimate and no promise: it takes for granted that normal scores moved as one, and that
few ill cases score low. Ill cases that do make the move look longer, and the threshold higher.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import gaussian_filter1d

from midclass.errors import InputError
from midclass.evaluation.bootstrap import resamples
from midclass.evaluation.metrics import checked_scores
from midclass.evaluation.ranking import FloatArray, IntArray

FEWEST = 50
"""Patients with unknown cases that tell enough."""
LEVELS = (np.arange(50) + 0.5) / 100
"""Shares of the unknown cases below the scores that are compared: the lower half."""
MOSTLY = 0.4
"""Share of normal cases below which the lower half may be of ill ones."""
_EVERY, _CANDIDATES = 5, 101
_GRID = 2000
_RESAMPLES = 200


@dataclass(frozen=True)
class Null:
    """The normal cases among unknown ones, as far as their scores tell.

    Attributes:
        shift: how much higher they score than those that calibrated; never below 0.
        normal: which share of the unknown cases they are, at most 1.
    """

    shift: float
    normal: float

    @classmethod
    def among(cls, calibration: ArrayLike, unknown: ArrayLike) -> Null:
        """Estimate both from scores.

        Args:
            calibration: of normal cases ``(m,)``.
            unknown: of cases of another place ``(n,)``, normal and ill.

        >>> rng = np.random.default_rng(0)
        >>> ill = rng.normal(4, 1, 100)
        >>> null = Null.among(rng.normal(0, 1, 300), np.append(rng.normal(1, 1, 300), ill))
        >>> round(null.shift, 1), round(null.normal, 1)
        (1.1, 0.8)
        """
        below = _Below(checked_scores(calibration, "calibration scores"))
        return below.null(np.quantile(checked_scores(unknown), LEVELS))


def shift_interval(
    calibration: ArrayLike,
    unknown: ArrayLike,
    patients: ArrayLike,
    independent: float | None = None,
) -> FloatArray:
    """The shift, and what chance alone could make of it: a 95 % interval, ``(3,)``.

    The bootstrap draws patients of the other place, and calibration cases. It knows nothing of ill
    cases that score low, or of normal scores that were stretched.

    Args:
        calibration: of normal cases ``(m,)``.
        unknown: of cases of another place ``(n,)``.
        patients: of each of these.
        independent: as how many independent ones the calibration cases count, and so many of them
            are drawn; None is all.

    Raises:
        InputError: there are fewer than ``FEWEST`` patients.
    """
    names, of_patient = np.unique(np.asarray(patients), return_inverse=True)
    refuse_too_few(len(names))
    known, scores = checked_scores(calibration, "calibration scores"), checked_scores(unknown)
    order = np.argsort(scores)
    ascending, of_patient = scores[order], of_patient[order]
    value = _Below(known).null(np.quantile(scores, LEVELS)).shift
    rng, shifts = np.random.default_rng(0), list[float]()
    evenly = np.full(len(known), 1 / len(known))
    for drawn in resamples(rng, (len(names), len(known)), _RESAMPLES, at_once=1):
        for there, here in zip(*drawn, strict=True):
            if independent is not None:
                here = rng.multinomial(max(1, round(independent)), evenly)
            below = _Below(np.repeat(known, here))
            shifts.append(below.null(_levels(ascending, there[of_patient])).shift)
    low, high = np.quantile(shifts, (0.025, 0.975))
    return np.array([value, min(low, value), max(high, value)])


def refuse_too_few(patients: int) -> None:
    """Raise InputError where cases of so many patients do not tell a move."""
    if patients < FEWEST:
        raise InputError(
            f"{patients} patients with unknown cases do not tell how far normal scores moved; "
            f"give {FEWEST} or more, or cases that are known to be normal"
        )


def _levels(ascending: FloatArray, times: IntArray) -> FloatArray:
    """Scores at ``LEVELS`` where each counts so many times."""
    middle = np.cumsum(times) - times / 2
    there = times > 0
    return np.asarray(np.interp(LEVELS, middle[there] / times.sum(), ascending[there]))


class _Below:
    """Which share of normal scores lies below a value: smooth, so that a move can be told.

    A normal kernel by Silverman's rule of thumb (Density Estimation, 1986, 3.31).
    """

    def __init__(self, calibration: FloatArray) -> None:
        quarters = np.subtract(*np.quantile(calibration, (0.75, 0.25))) / 1.34
        spread = min(float(calibration.std()), float(quarters)) or float(calibration.std())
        spread = max(spread, 1e-9 * float(np.abs(calibration).max()), 1e-12)  # all are equal
        width = 0.9 * spread * len(calibration) ** -0.2
        lowest, highest = np.quantile(calibration, (0.01, 0.99)).tolist()
        edges = np.linspace(lowest - 6 * width, highest + 6 * width, _GRID)
        below = np.searchsorted(np.sort(calibration), edges) / len(calibration)
        self.at = edges
        self.lower = np.quantile(calibration, LEVELS)
        self.share = gaussian_filter1d(below, width / (edges[1] - edges[0]), mode="nearest")

    def null(self, scores: FloatArray) -> Null:
        """The best fit to scores at ``LEVELS``: first of what would bring one level to another."""
        apart = scores[::_EVERY, None] - self.lower[::_EVERY]
        shifts = np.unique(np.append(apart.ravel().clip(0), 0.0))
        _, misfit = self._fits(scores, shifts)
        best = int(np.argmin(misfit))
        around = shifts[max(best - 1, 0)], shifts[min(best + 1, len(shifts) - 1)]
        shifts = np.linspace(*around, _CANDIDATES)
        normal, misfit = self._fits(scores, shifts)
        best = int(np.argmin(misfit))
        return Null(float(shifts[best]), float(normal[best]))

    def _fits(self, scores: FloatArray, shifts: FloatArray) -> tuple[FloatArray, FloatArray]:
        """For each shift the share of normal cases that fits best, and how badly it does.

        Squares are weighted by the variance of a share.
        """
        below = np.interp(scores - shifts[:, None], self.at, self.share, left=0.0, right=1.0)
        weight = 1 / (LEVELS * (1 - LEVELS))
        fitting = (weight * below * LEVELS).sum(1) / np.maximum((weight * below**2).sum(1), 1e-12)
        normal = np.clip(fitting, 0, 1)
        misfit = (weight * (LEVELS - normal[:, None] * below) ** 2).sum(1)
        return normal, misfit
