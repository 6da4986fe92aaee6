"""Exact: limits of shares and AUROCs where a bootstrap says nothing, because nothing can differ.

Of 12 cases without a false alarm every resample has none, and of a perfect AUROC every resample is
perfect; that is no certainty. And of three patients a bootstrap knows three things. Here limits
come from how many patients there are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from midclass.evaluation.ranking import FloatArray, IntArray

FEW = 6
"""Patients of a class below which resamples of them say too little."""
LEVEL = 0.95


def binomial_limits(share: float, number: float, level: float = LEVEL) -> tuple[float, float]:
    """The interval of Clopper and Pearson (Biometrika 26:404, 1934) of a share of ``number`` cases.

    Args:
        share: found, from 0 to 1.
        number: of independent cases; need not be whole, as that of clustered cases is not.
        level: of the interval.

    >>> [round(limit, 3) for limit in binomial_limits(0, 12)]
    [0.0, 0.265]
    """
    from scipy.special import betaincinv

    found, rest, out = share * number, (1 - share) * number, (1 - level) / 2
    low = float(betaincinv(found, rest + 1, out)) if share > 0 else 0.0
    high = float(betaincinv(found + 1, rest, 1 - out)) if share < 1 else 1.0
    return low, high


def share_limits(found: FloatArray, cases: FloatArray) -> tuple[float, float]:
    """The interval of a share of cases that are of patients with several each.

    The exact one of as many independent cases as would vary as much (Korn and Graubard, Survey
    Methodology 24:193, 1998), never more than there are; at 0 and 1, where nothing varies, of as
    many as there are patients. With one case a patient it is that of Clopper and Pearson.

    Args:
        found: of each patient, float64 ``(patients,)``: cases that count.
        cases: of each patient, above 0.
    """
    patients, number = len(cases), float(cases.sum())
    share = min(float(found.sum()) / number, 1.0)
    if patients == 1 or share in (0.0, 1.0):
        return binomial_limits(share, patients)
    varies = float(np.square(found - share * cases).sum()) / number**2
    alike = share * (1 - share) / varies if varies > 0 else math.inf
    if (cases <= 1).all():  # no cluster
        return binomial_limits(share, min(patients, alike))
    return binomial_limits(share, min(number, alike) * _fewer(number, patients))


def _fewer(number: float, patients: int) -> float:
    """What is lost because the variance between few patients is hardly known."""
    from scipy.stats import t

    return float((t.ppf(0.975, max(number - 1, 1)) / t.ppf(0.975, patients - 1)) ** 2)


def auroc_limits(area: float, given: int, target: int) -> tuple[float, float]:
    """The interval of an AUROC by method 5 of Newcombe (Stat Med 25:559, 2006).

    It solves for the areas from which the one measured is 1.96 standard errors away, so that a
    perfect one has an interval too.

    Args:
        area: measured.
        given: patients of the given class.
        target: patients of the target class.

    >>> [round(limit, 2) for limit in auroc_limits(1.0, 10, 10)]
    [0.8, 1.0]
    """
    from scipy.optimize import brentq
    from scipy.stats import norm

    z = float(norm.ppf((1 + LEVEL) / 2))

    def apart(true: float) -> float:
        half = (given + target) / 2 - 1
        spread = true * (1 - true) * (1 + half * ((1 - true) / (2 - true) + true / (1 + true)))
        return abs(area - true) - z * math.sqrt(max(spread, 0.0) / (given * target))

    def end(of: float) -> float:
        near = area + (of - area) * 1e-9
        if area == of or apart(near) >= 0:
            return area
        return of if apart(of) <= 0 else float(brentq(apart, near, of))

    return end(0.0), end(1.0)


def p_of_reach(difference: float, reach: float) -> float:
    """The p-value of a difference whose 95 % interval reaches so far towards zero, two-sided."""
    from scipy.stats import norm

    z = float(norm.ppf((1 + LEVEL) / 2))
    return 1.0 if difference == 0 else float(2 * norm.sf(z * abs(difference) / max(reach, 1e-12)))


def holm_corrected(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number (Holm, Scand J Stat 6:65, 1979).

    >>> [round(p, 3) for p in holm_corrected([0.04, 0.01])]
    [0.04, 0.02]
    """
    corrected, least = [1.0] * len(p_values), 0.0
    for place, row in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[row]))
        corrected[row] = least
    return corrected


def patients_of(label: IntArray, unit: IntArray) -> tuple[int, int]:
    """How many patients have cases of the given class, and of the target class."""
    return len(np.unique(unit[label == 0])), len(np.unique(unit[label == 1]))


def too_few(given: int, target: int) -> str:
    """A word where patients are too few for figures to be worth much, or "".

    >>> too_few(40, 2)
    '2 target-class patients are few: what the next one would change, these figures do not know'
    """
    few = [(n, name) for n, name in ((given, "given"), (target, "target")) if n < FEW]
    if not few:
        return ""
    said = " and ".join(f"{n} {name}-class patient{'' if n == 1 else 's'}" for n, name in few)
    is_are = "is" if len(few) == 1 and few[0][0] == 1 else "are"
    return f"{said} {is_are} few: what the next one would change, these figures do not know"
