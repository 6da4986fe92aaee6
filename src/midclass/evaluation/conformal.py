"""Conformal calibration: a threshold with a stated false-alarm rate from given-class cases alone.

The calibration cases are given-class cases that had no part in training or in any choice. If a new
given-class case is exchangeable with them, its p-value is <= a with probability at most a, whatever
the detector and the distribution (Vovk, Gammerman, Shafer, "Algorithmic Learning in a Random
World", 2005; Bates, Candès, Lei, Romano, Sesia, "Testing for outliers with conformal p-values",
Annals of Statistics, 2023). The promise is marginal: it holds on average over calibration sets and
cases, so the rate of one threshold varies, and ``promised_range`` says how much.

Cases of one patient resemble each other and are not exchangeable with those of a new patient. With
``groups`` (the patient of each case) every patient weighs the same and the promise becomes: a case
drawn at random from a *new given-class patient* is flagged with probability at most ``max_fpr``
(hierarchical conformal prediction: Lee, Barber, Willett, "Distribution-free inference with
hierarchical data", arXiv 2306.06342, 2023). It takes ``1 / max_fpr - 1`` patients, however many
cases each has, and errs on the safe side. Without ``groups`` the rate for new patients is
met only approximately (simulated: 0.11 for 0.10 with 12 patients of 30 slices). With one case for
each patient both are the same.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from midclass.errors import InputError
from midclass.evaluation.metrics import checked_fpr, checked_scores
from midclass.evaluation.ranking import FloatArray, IntArray


def conformal_p_values(
    calibration: ArrayLike, scores: ArrayLike, groups: ArrayLike | None = None
) -> FloatArray:
    """The p-value of each score ``(n,)``: ``(1 + #{calibration >= score}) / (m + 1)``.

    With ``groups (m,)`` a case counts 1 / (cases of its patient) and m becomes their number.
    ``p <= max_fpr`` exactly where ``score > conformal_threshold(calibration, max_fpr, groups)``.

    >>> conformal_p_values([1.0, 2.0, 3.0, 4.0], [0.0, 3.5, 9.0]).tolist()
    [1.0, 0.4, 0.2]
    """
    values, mass = _tail_mass(calibration, groups)
    first = np.searchsorted(values, checked_scores(scores), side="left")
    return np.asarray((1 + mass[first]) / (1 + mass[0]))


def conformal_threshold(
    calibration: ArrayLike, max_fpr: float, groups: ArrayLike | None = None
) -> float:
    """The threshold t: ``score > t`` flags a given-class case with probability <= ``max_fpr``.

    Without ``groups`` this is the ceil((1 - max_fpr)(m + 1))-th smallest calibration score, and the
    probability is at least ``max_fpr - 1 / (m + 1)`` where scores have no ties. Equal scores only
    lower it. With ``groups (m,)`` the promise is for a case of a new patient (see the module).

    Raises InputError where there are too few cases (with groups: patients) to promise ``max_fpr``.

    >>> conformal_threshold(range(1, 20), max_fpr=0.1)
    18.0
    """
    checked_fpr(max_fpr)
    values, mass = _tail_mass(calibration, groups)
    above = np.searchsorted(values, values, side="right")
    allowed = (1 + mass[above]) / (1 + mass[0]) <= max_fpr
    if not allowed.any():
        found, needed = round(mass[0]), math.ceil(round(1 / max_fpr - 1, 6))
        unit = "cases" if groups is None else "patients"
        raise InputError(
            f"max_fpr {max_fpr:g} cannot be promised with {found} calibration {unit}: the smallest "
            f"rate is {1 / (found + 1):.3g}; hold out {needed} given-class {unit} or raise max_fpr"
        )
    return float(values[np.argmax(allowed)])


def promised_range(
    calibration: ArrayLike,
    *,
    threshold: float,
    groups: ArrayLike | None = None,
    level: float = 0.95,
) -> tuple[float, float]:
    """Where the false-alarm rate of ``threshold`` lies, given this finite calibration set.

    With k calibration cases above the threshold the rate follows Beta(1 + k, m - k): exact for
    independent cases, continuous scores and a conformal threshold (Vovk, "Conditional validity of
    inductive conformal predictors", 2012). With ``groups`` k / m is the mean over patients and m
    the effective number of cases, ``patients / (r + (1 - r) mean(1 / cases of a patient))``, where
    r is the correlation of ranks within patients: an approximation, between the number of patients
    (r = 1) and about the number of cases (r = 0).

    >>> low, high = promised_range(range(1, 100), threshold=95)
    >>> round(low, 3), round(high, 3)
    (0.017, 0.1)
    """
    from scipy.special import betaincinv

    values, mass = _tail_mass(calibration, groups)
    share = mass[np.searchsorted(values, threshold, side="right")] / mass[0]
    if not share < 1:
        raise InputError(
            f"threshold {threshold:g} is below every calibration score; check that it belongs "
            f"to the same detector"
        )
    if not 0 < level < 1:
        raise InputError(f"level is {level}; give a share between 0 and 1, for example 0.95")
    m = len(values) if groups is None else _effective_cases(calibration, groups)
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    low, high = betaincinv(1 + m * share, m * (1 - share), tails)
    return float(low), float(high)


def _tail_mass(calibration: ArrayLike, groups: ArrayLike | None) -> tuple[FloatArray, FloatArray]:
    """Ascending scores ``(m,)``; the mass of each and all above ``(m + 1,)``, 0 at the end."""
    scores = checked_scores(calibration, "calibration scores")
    if groups is None:
        weights = np.ones(len(scores))
    else:
        index = _patient_index(groups, len(scores))
        weights = 1 / np.bincount(index)[index]
    order = np.argsort(scores)
    # Rounded so that three thirds of a patient are one patient, as the promise needs.
    mass = np.round(np.cumsum(weights[order][::-1])[::-1], 9)
    return scores[order], np.append(mass, 0.0)


def _patient_index(groups: ArrayLike, n: int) -> IntArray:
    index = np.unique(np.asarray(groups), return_inverse=True)[1]
    if index.shape != (n,):
        raise InputError(f"{index.size} groups but {n} calibration scores; give one for each case")
    return index


def _effective_cases(calibration: ArrayLike, groups: ArrayLike) -> float:
    """The number of independent cases worth as much, for a mean in which patients weigh the same.

    A patient's mean over n cases has the variance r + (1 - r) / n, in units of one case's.
    """
    scores = np.asarray(calibration, dtype=np.float64)
    index = _patient_index(groups, len(scores))
    sizes = np.bincount(index)
    r = _rank_correlation(scores, index, sizes)
    return float(len(sizes) / (r + (1 - r) * np.mean(1 / sizes)))


def _rank_correlation(scores: FloatArray, index: IntArray, sizes: IntArray) -> float:
    """Intraclass correlation of the ranks (one-way analysis of variance), in [0, 1]."""
    m, k = len(scores), len(sizes)
    if k == 1 or k == m:
        return 1.0  # one patient says nothing of others; without repeats it makes no difference
    _, place, times = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(times) - (times - 1) / 2)[place]
    means = np.bincount(index, weights=ranks) / sizes
    between = np.sum(sizes * (means - ranks.mean()) ** 2) / (k - 1)
    within = np.sum((ranks - means[index]) ** 2) / (m - k)
    size = (m - np.sum(sizes**2) / m) / (k - 1)  # of a patient, on average
    total = between + (size - 1) * within
    return float(np.clip((between - within) / total, 0, 1)) if total > 0 else 1.0
