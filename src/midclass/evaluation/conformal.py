"""Conformal calibration: a threshold with a stated false-alarm rate from given-class cases alone.

The calibration cases are given-class cases that had no part in training or in any choice. If a new
given-class case is exchangeable with them, its p-value is <= a with probability at most a, whatever
the detector and the distribution (Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random
World", 2005; Bates, Candès, Lei, Romano, Sesia, "Testing for outliers with conformal p-values",
Annals of Statistics, 2023). The promise is marginal: it holds on average over calibration sets and
cases, so the rate of one threshold varies, and ``promised_range`` says how much.

Cases of one patient resemble each other and are not exchangeable with those of a new patient. For
new patients of several cases the promise holds only approximately (simulated: 0.06 for 0.05 with 12
patients of 30 slices each, whose scores correlate by 0.5; 0.10 with 5 patients of 40 that correlate
by 0.8). So the rate of a threshold is told by how many independent cases they count as, and where
these are too few for it, it is aimed at and not promised: see ``clusters``, ``aim``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from midclass.errors import InputError
from midclass.evaluation.metrics import checked_fpr, checked_scores
from midclass.evaluation.ranking import FloatArray


def conformal_p_values(calibration: ArrayLike, scores: ArrayLike) -> FloatArray:
    """The p-value of each score ``(n,)``: ``(1 + #{calibration >= score}) / (m + 1)``.

    ``p <= max_fpr`` exactly where ``score > conformal_threshold(calibration, max_fpr)``.

    >>> conformal_p_values([1.0, 2.0, 3.0, 4.0], [0.0, 3.5, 9.0]).tolist()
    [1.0, 0.4, 0.2]
    """
    values = _ascending(calibration)
    below = np.searchsorted(values, checked_scores(scores), side="left")
    return np.asarray((1 + len(values) - below) / (1 + len(values)))


def conformal_threshold(calibration: ArrayLike, max_fpr: float) -> float:
    """The threshold t: ``score > t`` flags a given-class case with probability <= ``max_fpr``.

    This is the ceil((1 - max_fpr)(m + 1))-th smallest calibration score, and the probability is at
    least ``max_fpr - 1 / (m + 1)`` where scores have no ties. Equal scores only lower it.

    Raises InputError where there are too few cases to promise ``max_fpr``.

    >>> conformal_threshold(range(1, 20), max_fpr=0.1)
    18.0
    """
    checked_fpr(max_fpr)
    values = _ascending(calibration)
    m = len(values)
    refuse_too_few(m, max_fpr)
    above = m - np.searchsorted(values, values, side="right")
    return float(values[np.argmax((1 + above) / (1 + m) <= max_fpr)])


def smallest_rate(cases: int) -> float:
    """The smallest false-alarm rate that so many calibration cases can promise.

    >>> smallest_rate(19)
    0.05
    """
    return 1 / (1 + cases)


def refuse_too_few(cases: int, max_fpr: float, share: float | None = None) -> None:
    """Raise InputError where so many calibration cases cannot promise ``max_fpr``.

    Args:
        cases: that calibrate.
        max_fpr: to promise.
        share: of all given-class cases, which these are.

    >>> refuse_too_few(19, max_fpr=0.05)
    """
    if smallest_rate(cases) > max_fpr:
        need = fewest(max_fpr)
        in_all = "" if share is None else f" (about {math.ceil(round(need / share, 6))} in all)"
        raise InputError(
            f"max_fpr {max_fpr:g} cannot be promised with {cases} calibration cases: the smallest "
            f"rate is {smallest_rate(cases):.3g}; hold out {need} given-class cases{in_all} or "
            f"raise max_fpr to {math.ceil(1000 * smallest_rate(cases)) / 1000:g}"
        )


def promised_range(
    calibration: ArrayLike,
    *,
    threshold: float,
    level: float = 0.95,
    independent: float | None = None,
) -> tuple[float, float]:
    """Where the false-alarm rate of ``threshold`` lies, given this finite calibration set.

    With k calibration cases above the threshold the rate follows Beta(1 + k, m - k): exact for
    independent cases, continuous scores and a conformal threshold (Vovk, "Conditional validity of
    inductive conformal predictors", 2012). Where patients have several cases k and m are scaled to
    as many independent ones.

    Args:
        calibration: scores ``(m,)``.
        threshold: whose rate it is.
        level: of the interval.
        independent: how many independent cases they count as, see ``clusters.independent_cases``;
            None is all of them.

    >>> low, high = promised_range(range(1, 100), threshold=95)
    >>> round(low, 3), round(high, 3)
    (0.017, 0.1)
    >>> low, high = promised_range(range(1, 100), threshold=95, independent=20)
    >>> round(low, 3), round(high, 3)
    (0.009, 0.235)
    """
    from scipy.special import betaincinv

    a, b = rate_distribution(calibration, threshold, independent)
    if not b:
        raise InputError(
            f"threshold {threshold:g} is below every calibration score; check that it belongs "
            f"to the same detector"
        )
    if not 0 < level < 1:
        raise InputError(f"level is {level}; give a share between 0 and 1, for example 0.95")
    low, high = betaincinv(a, b, np.array([(1 - level) / 2, (1 + level) / 2]))
    return float(low), float(high)


def rate_distribution(
    calibration: ArrayLike, threshold: float, independent: float | None = None
) -> tuple[float, float]:
    """Both parameters of the beta distribution of a false-alarm rate; see ``promised_range``.

    >>> rate_distribution([1.0, 2.0, 3.0, 4.0], 3.0)
    (2.0, 3.0)
    >>> rate_distribution([1.0, 2.0, 3.0, 4.0], 3.0, independent=2)
    (1.5, 1.5)
    """
    values = _ascending(calibration)
    m = len(values)
    above = m - int(np.searchsorted(values, threshold, side="right"))
    worth = 1.0 if independent is None else min(independent / m, 1.0)
    return 1 + above * worth, (m - above) * worth


def p_of_flags(
    flags: ArrayLike, calibration: ArrayLike, threshold: float, independent: float | None = None
) -> float:
    """The chance of so many flags or more among normal cases like those that calibrated.

    Their number follows the mixture of binomials over ``rate_distribution``.

    Args:
        flags: bool ``(n,)``, of one case of each patient.
        calibration: scores ``(m,)``.
        threshold: above which a case is flagged.
        independent: see ``promised_range``.

    >>> round(p_of_flags([True] * 6 + [False] * 4, range(1, 100), threshold=95), 6)
    1.9e-05
    """
    from scipy.stats import betabinom

    flagged = np.asarray(flags, bool)
    a, b = rate_distribution(calibration, threshold, independent)
    if not b:  # all that calibrated would be flagged
        return 1.0
    return float(betabinom.sf(int(flagged.sum()) - 1, len(flagged), a, b))


def aim(promised: Mapping[str, float]) -> str:
    """What the rate of a threshold is; of ``Detector.promise``.

    >>> aim({"max_fpr": 0.05, "low": 0.01, "high": 0.1}), aim({"max_fpr": 0.05, "moved": 0.3})
    ('promised', 'aimed at')
    >>> aim({"max_fpr": 0.05, "low": 0.01, "high": 0.4, "independent": 7.9, "needed": 19})
    'aimed at'
    """
    return "aimed at" if "moved" in promised or too_alike(promised) else "promised"


def too_alike(promised: Mapping[str, float]) -> bool:
    """Whether the calibration cases are of too few patients for the rate; see ``aim``."""
    return "independent" in promised and promised["independent"] < promised["needed"]


def worth_in_words(promised: Mapping[str, float]) -> str:
    """As how many independent ones the calibration cases count, never rounded up.

    >>> worth_in_words({"max_fpr": 0.05, "independent": 18.9, "needed": 19})
    'count as 18 independent ones'
    """
    return f"count as {math.floor(promised['independent'])} independent ones"


def fewest(max_fpr: float) -> int:
    """How many independent calibration cases it takes to promise a rate.

    >>> fewest(0.05)
    19
    """
    return math.ceil(round(1 / max_fpr - 1, 6))


def _ascending(calibration: ArrayLike) -> FloatArray:
    return np.sort(checked_scores(calibration, "calibration scores"))
