"""How well scores tell the target class from the given class; intervals resample patients.

Labels are 0 (given class) and 1 (target class); a higher score is more abnormal. A score of -inf is
allowed: a case that a method cannot assess counts with its lowest score. NaN is refused.

The AUROC and its relatives are computed from the number of cases of each class at each distinct
score: it accepts -inf (scikit-learn does not) and is fast enough for thousands of resamples.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from midclass.errors import InputError

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
Metric: TypeAlias = Callable[[NDArray[Any], NDArray[Any]], float]
"""``(labels (n,), scores (n,)) -> value``; raises InputError where it is not defined."""


class Counts(NamedTuple):
    """Given-class and target-class cases at each distinct score, ascending: ``(..., k)`` each.

    The leading axes, if any, are resamples of the same cases.
    """

    given: NDArray[Any]
    target: NDArray[Any]

    def auroc(self) -> FloatArray:
        """Area under the ROC curve: ``(...)``; a tie counts half."""
        below = self.given.cumsum(-1) - self.given / 2
        pairs = self.given.sum(-1) * self.target.sum(-1)
        return np.asarray((self.target * below).sum(-1) / pairs)

    def average_precision(self) -> FloatArray:
        """Precision at each distinct score, weighted by the gain in sensitivity: ``(...)``."""
        given, target = self.given[..., ::-1], self.target[..., ::-1]  # from the highest down
        found = target.cumsum(-1)
        precision = found / np.maximum(found + given.cumsum(-1), 1)
        return np.asarray((precision * target).sum(-1) / found[..., -1])

    def sensitivity_at_fpr(self, max_fpr: float) -> FloatArray:
        """The best sensitivity with a false-alarm rate <= max_fpr: ``(...)``."""
        given, target = (counts[..., ::-1].cumsum(-1) for counts in self)
        allowed = given / given[..., -1:] <= max_fpr
        return np.asarray((target * allowed).max(-1, initial=0) / target[..., -1])


def checked_scores(scores: ArrayLike, what: str = "scores") -> FloatArray:
    """The scores as float64 ``(n,)``; raises InputError for NaN, +inf, another shape or none."""
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 1 or not len(array):
        raise InputError(f"{what}: expected one score for each case, got the shape {array.shape}")
    bad = np.flatnonzero(np.isnan(array) | (array == np.inf))
    if len(bad):
        raise InputError(
            f"{what}: number {bad[0]} (of {len(array)}, from 0) is {array[bad[0]]}; give a finite "
            f"number, or -inf for a case that cannot be assessed"
        )
    return array


def checked_fpr(max_fpr: float) -> float:
    """The rate itself; raises InputError unless it is between 0 and 1, both excluded."""
    if not 0 < max_fpr < 1:
        raise InputError(f"max_fpr is {max_fpr}; give a rate between 0 and 1, for example 0.05")
    return float(max_fpr)


def auroc(y: ArrayLike, s: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a target case scores above a given case.

    Raises InputError for one class only and for constant scores, which assess nothing.

    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    counts = _counts(y, s)
    if len(counts.given) == 1:
        raise InputError(f"all {np.size(y)} scores are equal; check their detector")
    return float(counts.auroc())


def average_precision(y: ArrayLike, s: ArrayLike) -> float:
    """Average precision: precision at each distinct score, weighted by the gain in sensitivity.

    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    """
    return float(_counts(y, s).average_precision())


def sensitivity_at_fpr(y: ArrayLike, s: ArrayLike, max_fpr: float) -> float:
    """The best sensitivity with a false-alarm rate <= max_fpr: a point of the ROC curve.

    Its threshold is chosen on these very cases, so it is no operating point.
    """
    return float(_counts(y, s).sensitivity_at_fpr(checked_fpr(max_fpr)))


def sensitivity(y: ArrayLike, flagged: ArrayLike) -> float:
    """The share of target cases that are flagged; InputError without a target case.

    >>> sensitivity([0, 1, 1], [False, True, False])
    0.5
    """
    return _flagged_share(y, flagged, label=1)


def false_alarm_rate(y: ArrayLike, flagged: ArrayLike) -> float:
    """The share of given-class cases that are flagged; InputError without a given-class case."""
    return _flagged_share(y, flagged, label=0)


def per_class(y: ArrayLike, s: ArrayLike, class_names: ArrayLike) -> dict[str, float]:
    """AUROC of each target class, by its name, against all given-class cases.

    >>> per_class([0, 0, 1, 1], [1, 2, 3, 1], ["normal", "normal", "mass", "distortion"])
    {'distortion': 0.25, 'mass': 1.0}
    """
    auroc(y, s)  # the errors for the set as a whole
    labels, scores, names = np.asarray(y), np.asarray(s), np.asarray(class_names)
    if names.shape != labels.shape:
        raise InputError(f"{len(labels)} labels but {len(names)} class names; give one for each")
    areas = {}
    for name in np.unique(names[labels == 1]):
        part = (labels == 0) | (names == name)
        areas[str(name)] = float(_counts(labels[part], scores[part]).auroc())
    return areas


def by_patient(
    scores: ArrayLike,
    labels: ArrayLike,
    patients: ArrayLike,
    order: ArrayLike | None = None,
    top: int = 3,
) -> tuple[NDArray[Any], IntArray, FloatArray]:
    """One label and one score for each patient: ``(patients, labels, scores)``, sorted by patient.

    A patient is a target patient if any case is. The score is the mean of the ``top`` highest case
    scores. With ``order`` (a slice number for each case) the scores are first smoothed along it by
    a moving mean of 3, because disease extends over neighbouring slices and noise does not.
    Cases scored -inf are left out of both means; a patient with no other cases scores -inf.

    >>> by_patient([1, 2, 6, 0], [0, 0, 1, 0], ["a", "a", "a", "b"], top=2)[2].tolist()
    [4.0, 0.0]
    """
    y, s = _checked(labels, scores)
    if top < 1:
        raise InputError(f"top is {top}; give 1 or more")
    names, index = _grouped(patients, len(s))
    place = np.zeros(len(s)) if order is None else np.asarray(order, dtype=np.float64)
    if place.shape != s.shape or np.isnan(place).any():
        raise InputError(f"order: give one number for each of the {len(s)} cases")
    members = np.split(np.lexsort((place, index)), np.cumsum(np.bincount(index))[:-1])
    values = [_patient_score(s[case], top, smooth=order is not None) for case in members]
    return names, np.array([y[case].max() for case in members]), np.array(values)


def interval(
    metric: Metric,
    y: ArrayLike,
    s: ArrayLike,
    patients: ArrayLike,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The bootstrap percentile interval of ``metric(y, s)``, resampling patients with their cases.

    Resamples on which the metric is not defined (one class is missing) are drawn again, with a
    warning where they are more than 5 %. The interval always contains ``metric(y, s)``. It is a
    single point where no resample can differ (a perfect AUROC, no false alarm): read it with the
    number of patients. For more arguments use ``partial(sensitivity_at_fpr, max_fpr=0.05)``.

    Raises InputError for a single patient and where most resamples miss a class.
    """
    labels, scores = np.asarray(y), np.asarray(s)
    value = metric(labels, scores)

    def resampled(case: IntArray) -> float:
        return metric(labels[case], scores[case])

    return _range(_resampled(resampled, patients, len(labels), n_resamples, seed), value, level)


def _checked(y: ArrayLike, s: ArrayLike) -> tuple[IntArray, FloatArray]:
    scores, labels = checked_scores(s), np.asarray(y)
    if labels.shape != scores.shape:
        raise InputError(f"{labels.size} labels but {len(scores)} scores; give one for each case")
    known = (labels == 0) | (labels == 1)
    if not known.all():
        first = int(np.argmin(known))
        raise InputError(f"label number {first} is {labels[first]!r}; give 0 (given) or 1 (target)")
    return labels.astype(np.int64), scores


def _counts(y: ArrayLike, s: ArrayLike) -> Counts:
    """Given and target cases at each distinct score, ascending; both classes must be there."""
    labels, scores = _checked(y, s)
    distinct, place = np.unique(scores, return_inverse=True)
    target = np.bincount(place[labels == 1], minlength=len(distinct))
    given = np.bincount(place[labels == 0], minlength=len(distinct))
    if not given.any() or not target.any():
        raise InputError(
            f"{given.sum()} given-class and {target.sum()} target-class cases; this needs both"
        )
    return Counts(given, target)


def _flagged_share(y: ArrayLike, flagged: ArrayLike, label: int) -> float:
    labels, flags = _checked(y, flagged)
    if not np.all((flags == 0) | (flags == 1)):
        raise InputError("flagged must be true or false for each case; compare score > threshold")
    if not np.any(labels == label):
        raise InputError(f"none of the {len(labels)} cases has the label {label}; this needs one")
    return float(flags[labels == label].mean())


def _patient_score(scores: FloatArray, top: int, smooth: bool) -> float:
    scores = scores[np.isfinite(scores)]
    if not len(scores):
        return -np.inf
    if smooth:
        width = np.convolve(np.ones(len(scores)), np.ones(3))[1:-1]  # 2 at the ends, else 3
        scores = np.convolve(scores, np.ones(3))[1:-1] / width
    return float(np.sort(scores)[-top:].mean())


def _grouped(patients: ArrayLike, n: int) -> tuple[NDArray[Any], IntArray]:
    names, index = np.unique(np.asarray(patients), return_inverse=True)
    if index.shape != (n,):
        raise InputError(f"{index.size} patients but {n} cases; give a patient for each case")
    return names, index


def _resampled(
    statistic: Callable[[IntArray], float], patients: ArrayLike, n: int, n_resamples: int, seed: int
) -> FloatArray:
    """The statistic on resampled patients; it gets the numbers of the cases, repeats included."""
    names, index = _grouped(patients, n)
    if len(names) < 2:
        raise InputError("all cases are of one patient; an interval needs at least 2 patients")
    rng = np.random.default_rng(seed)
    drawn: list[float] = []
    redrawn = 0
    while len(drawn) < n_resamples:
        times = np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))
        try:
            drawn.append(statistic(np.repeat(np.arange(n), times[index])))
        except InputError as error:
            redrawn += 1
            if redrawn > n_resamples:
                raise InputError(
                    f"{len(names)} patients are too few: most resamples fail ({error})"
                ) from error
    if redrawn > 0.05 * n_resamples:
        warnings.warn(
            f"{redrawn} resamples without both classes drawn again: too few patients of one class",
            stacklevel=3,
        )
    return np.array(drawn)


def _range(drawn: FloatArray, value: float, level: float) -> tuple[float, float]:
    if not 0 < level < 1:
        raise InputError(f"level is {level}; give a share between 0 and 1, for example 0.95")
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return min(float(low), value), max(float(high), value)
