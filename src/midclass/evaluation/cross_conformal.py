"""Cross-conformal calibration: every case calibrates, each in a fold that did not learn from it.

Of few given-class cases a part that is large enough to calibrate with leaves too few to learn from.
So they are divided into K folds; fold k is scored by what was learned from the others, and a new
case is compared with the cases of each fold by that fold's own scores (Vovk, "Cross-conformal
predictors", Ann Math Artif Intell 74:9, 2015):

    p = (1 + sum over folds of #{scores of the fold's cases >= the new case's by it}) / (n + 1)

The promise ``p <= a`` with probability at most a is then no theorem. It is kept where what is
learned hardly depends on which fold is left out; where it depends, the sum is an average of several
opinions, and extreme values are rarer still: rates lie at or below a in simulation and, within
chance, in ``studies/few``. What is proven, whatever is learned, is ``guaranteed_rate``: 2 a with as
many folds as cases, and more with fewer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from midclass.evaluation.ranking import FloatArray, IntArray

EDGE = 1e-3
"""Smallest distance of a score from a step, in cases: more than rounding takes away."""
FAR = 1e300
"""Spreads beyond which one is as far as another."""


def fewest_cases(max_fpr: float) -> int:
    """The calibration cases with which ``max_fpr`` is promised: ``2 / max_fpr - 1``, rounded up.

    Twice as many as the smallest p-value needs: with those alone a case would be flagged only above
    every calibration case, and a single odd one among these would blind the detector.

    >>> fewest_cases(0.05)
    39
    """
    return math.ceil(round(2 / max_fpr, 6)) - 1


def guaranteed_rate(cases: int, folds: int, max_fpr: float) -> float:
    """What the mean false-alarm rate cannot exceed, whatever is learned, for folds of equal size.

    ``2 a + min(2 (1 - a)(K - 1) / (n + K), (1 - K / n) / (K + 1))`` (Vovk and Wang, "Combining
    p-values via averaging", Biometrika 107:791, 2020; Barber, Candès, Ramdas, Tibshirani,
    "Predictive inference with the jackknife+", Annals of Statistics 49:486, 2021, theorem 4). With
    as many folds as cases this is 2 a.

    >>> round(guaranteed_rate(60, 5, 0.05), 3), guaranteed_rate(60, 60, 0.05)
    (0.217, 0.1)
    """
    few = 2 * (1 - max_fpr) * (folds - 1) / (cases + folds)
    many = (1 - folds / cases) / (folds + 1)
    return min(1.0, 2 * max_fpr + min(few, many))


def counts(calibrations: Sequence[FloatArray], scores: FloatArray) -> IntArray:
    """How many calibration cases score at least as high, each by its own fold: ``(n,)``.

    Args:
        calibrations: of each of K folds the scores of its cases, ascending; may be empty.
        scores: ``(n, K)``: of each case by each fold.

    >>> counts([np.array([1.0, 2.0]), np.array([10.0, 30.0])], np.array([[1.5, 20.0]])).tolist()
    [2]
    """
    below = [
        np.searchsorted(c, s, side="left") for c, s in zip(calibrations, scores.T, strict=True)
    ]
    return np.asarray(sum(map(len, calibrations)) - np.sum(below, axis=0), np.int64)


def in_units(calibrations: Sequence[FloatArray], scores: FloatArray) -> FloatArray:
    """Mean over the folds of the scores in units of each fold's calibration scores: ``(n,)``.

    ``asinh((score - median) / spread)`` with 1.4826 median absolute deviations for the spread, as
    in ``midclass.detectors.image_scores.Combination``.
    """
    each = []
    for values, column in zip(calibrations, scores.T, strict=True):
        if len(values):
            middle, spread = units_of(values)
            with np.errstate(over="ignore"):  # a spread of next to nothing is no reason for a NaN
                away = np.clip((column - middle) / spread, -FAR, FAR)
            each.append(np.arcsinh(away))
    return np.asarray(np.mean(each, axis=0))


def units_of(values: FloatArray) -> tuple[float, float]:
    """Median and spread of a fold's calibration scores, see ``in_units``."""
    middle = np.median(values)
    apart = np.abs(values - middle)
    return float(middle), float(1.4826 * np.median(apart) or apart.mean() or 1.0)


def cross_conformal_scores(calibrations: Sequence[FloatArray], scores: FloatArray) -> FloatArray:
    """One score of each case ``(n,)``, higher is more abnormal: minus the logarithm of its p-value.

    ``-log10((count + h) / (n + 1))`` where h in (0, 1) orders cases of equal count by ``in_units``:
    a step of p-values is filled and never left, so ``score > -log10(p)`` exactly where the case's
    p-value is p or less, for every p-value that there is. Beyond all calibration cases, where the
    count is 0, it grows on.
    """
    found = counts(calibrations, scores)
    total = sum(map(len, calibrations))
    between = np.exp(-np.logaddexp(0, in_units(calibrations, scores)))  # falls from 1 to 0
    between = np.clip(between, np.where(found == 0, np.finfo(float).tiny, EDGE), 1 - EDGE)
    return np.asarray(-np.log10((found + between) / (total + 1)))


def steps(cases: int) -> FloatArray:
    """The calibration scores ``(n,)``, ascending, that stand for the folds' on the scale of scores.

    ``conformal_p_values(steps(n), cross_conformal_scores(...))`` are the cross-conformal p-values,
    and ``conformal_threshold(steps(n), max_fpr)`` is the threshold that goes with them.
    """
    return np.asarray(-np.log10(np.arange(cases, 0, -1) / (cases + 1)))
