"""How well scores tell the target class from the given class; intervals resample patients.

Labels are 0 (given class) and 1 (target class); a higher score is more abnormal. A score of -inf is
allowed: a case that a method cannot assess counts with its lowest score. NaN is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext, suppress
from functools import partial
from numbers import Real
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from midclass.errors import InputError
from midclass.evaluation import bootstrap
from midclass.evaluation.exact import FEW, auroc_limits, binomial_limits, patients_of, share_limits
from midclass.evaluation.ranking import FloatArray, IntArray, Ranked

Figure: TypeAlias = Callable[[Ranked, IntArray], FloatArray]
"""A figure of ranked cases, such as ``Ranked.auroc``."""

BLOCK = 2_000_000
"""Cases of all resamples that are computed together, at most: 16 MB an array."""


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


def checked_fpr(max_fpr: object) -> float:
    """The rate itself; raises InputError unless it is between 0 and 1, both excluded."""
    if not isinstance(max_fpr, Real) or not 0 < float(max_fpr) < 1:
        raise InputError(f"max_fpr is {max_fpr!r}; give a rate between 0 and 1, for example 0.05")
    return float(max_fpr)


def auroc(y: ArrayLike, s: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a target case scores above a given case.

    Raises InputError for one class only and for constant scores, which assess nothing.

    >>> auroc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    return value(Ranked.auroc, y, s)


def average_precision(y: ArrayLike, s: ArrayLike) -> float:
    """Average precision: precision at each distinct score, weighted by the gain in sensitivity.

    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 4)
    0.8333
    """
    return value(Ranked.average_precision, y, s)


def sensitivity_at_fpr(y: ArrayLike, s: ArrayLike, max_fpr: float) -> float:
    """The best sensitivity with a false-alarm rate <= max_fpr: a point of the ROC curve.

    Its threshold is chosen on these very cases, so it is no operating point.
    """
    at_rate = partial(Ranked.sensitivity_at_fpr, max_fpr=checked_fpr(max_fpr))
    return value(at_rate, y, s)


def value(figure: Figure, y: ArrayLike, s: ArrayLike) -> float:
    """A figure as measured; InputError where a class is missing, or all scores are equal."""
    return _measured(figure, _ranked(y, s))


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
        area = partial(Ranked.auroc, constant=0.5)  # of this class alone they may be equal
        areas[str(name)] = value(area, labels[part], scores[part])
    return areas


TOP = 3
"""Cases of a patient whose mean is the patient's score."""


def by_patient(
    scores: ArrayLike,
    labels: ArrayLike,
    patients: ArrayLike,
    top: int = TOP,
) -> tuple[NDArray[Any], IntArray, FloatArray]:
    """One label and one score for each patient: ``(patients, labels, scores)``, sorted by patient.

    A patient is a target patient if any case is. The score is the mean of the ``top`` highest case
    scores. Cases scored -inf are left out; a patient with no other cases scores -inf.

    >>> by_patient([1, 2, 6, 0], [0, 0, 1, 0], ["a", "a", "a", "b"], top=2)[2].tolist()
    [4.0, 0.0]
    """
    y, s = _checked(labels, scores)
    if top < 1:
        raise InputError(f"top is {top}; give 1 or more")
    names, index = _grouped(patients, len(s))
    members = np.split(np.lexsort((s, index)), np.cumsum(np.bincount(index))[:-1])
    highest = [s[case][np.isfinite(s[case])][-top:] for case in members]
    values = [seen.mean() if len(seen) else -np.inf for seen in highest]
    return names, np.array([y[case].max() for case in members]), np.array(values)


def interval(
    figure: Figure,
    y: ArrayLike,
    s: ArrayLike,
    patients: ArrayLike,
    *,
    level: float = 0.95,
    n_resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """The bootstrap percentile interval of a figure, resampling patients with their cases.

    Resamples on which the figure is not defined (one class is missing) are drawn again, with a
    warning where they are more than 5 %. The interval always contains the figure as measured.

    Where a figure is 0 or 1, so that no resample can differ, or a class has fewer than ``FEW``
    patients, it is made as wide as the one that their number gives: of an AUROC see
    ``auroc_limits``, of others, which are shares of the target class, ``binomial_limits``. Of a
    single patient nothing is known. For more arguments use ``partial(Ranked.sensitivity_at_fpr,
    max_fpr=0.05)``.

    >>> interval(Ranked.auroc, [0, 0, 0, 1, 1, 1], [1, 2, 4, 3, 5, 6], range(6), n_resamples=200)
    (0.40100785791052485, 1.0)
    """
    ranked = _ranked(y, s, patients)
    measured, units = _measured(figure, ranked), ranked.once.shape[1]
    if units < 2:
        return 0.0, 1.0
    given, target = patients_of(ranked.target.astype(np.int64), ranked.unit)
    limits = [(measured, measured)]
    if 0 < measured < 1 or min(given, target) >= FEW:
        with suppress(InputError) if min(given, target) < FEW else nullcontext():
            found = bootstrap.interval(
                partial(figure, ranked),
                measured,
                units,
                draw=bootstrap.one_by_one,
                at_once=max(1, min(bootstrap.AT_ONCE, BLOCK // len(ranked.unit))),
                level=level,
                n_resamples=n_resamples,
                seed=seed,
            )
            limits.append(found)
    if measured in (0.0, 1.0) or min(given, target) < FEW:
        limits.append(exact_limits(figure, measured, given, target))
    low, high = zip(*limits, strict=True)
    return min(low), max(high)


def exact_limits(figure: Figure, value: float, given: int, target: int) -> tuple[float, float]:
    """The interval that the number of patients gives; see ``interval``."""
    if figure == Ranked.auroc:
        return auroc_limits(value, given, target)
    return binomial_limits(value, target)


def share_interval(
    flagged: ArrayLike, patients: ArrayLike, among: ArrayLike = True
) -> tuple[float, float]:
    """The 95 % interval of a share: of the cases ``among`` those flagged, at a threshold.

    See ``share_limits``; with one case a patient it is the exact one.

    Args:
        flagged: ``(n,)`` true or false, or the share in which a case is flagged.
        patients: ``(n,)``.
        among: ``(n,)``, the cases that count, or in which share; all of them by default.

    Raises:
        InputError: no case counts.

    >>> [round(x, 3) for x in share_interval([False, False, True, True], [*"pqrs"])]
    [0.068, 0.932]
    """
    flags = np.asarray(flagged, dtype=np.float64)
    _, index = _grouped(patients, len(flags))
    counted = np.broadcast_to(np.asarray(among, dtype=np.float64), flags.shape)
    found: FloatArray = np.bincount(index, flags * counted).astype(np.float64)
    cases: FloatArray = np.bincount(index, counted).astype(np.float64)
    if not cases.any():
        raise InputError("no case counts, so that there is no share of them")
    return share_limits(found[cases > 0], cases[cases > 0])


def _checked(y: ArrayLike, s: ArrayLike) -> tuple[IntArray, FloatArray]:
    scores, labels = checked_scores(s), np.asarray(y)
    if labels.shape != scores.shape:
        raise InputError(f"{labels.size} labels but {len(scores)} scores; give one for each case")
    known = (labels == 0) | (labels == 1)
    if not known.all():
        first = int(np.argmin(known))
        raise InputError(f"label number {first} is {labels[first]!r}; give 0 (given) or 1 (target)")
    return labels.astype(np.int64), scores


def _ranked(y: ArrayLike, s: ArrayLike, patients: ArrayLike | None = None) -> Ranked:
    """Checked cases in the order of their scores; both classes must be there."""
    labels, scores = _checked(y, s)
    target = int(labels.sum())
    if not 0 < target < len(labels):
        raise InputError(
            f"{len(labels) - target} given-class and {target} target-class cases; this needs both"
        )
    index = None if patients is None else _grouped(patients, len(labels))[1]
    return Ranked.of(labels, scores, index)


def _measured(figure: Figure, ranked: Ranked) -> float:
    found = float(figure(ranked, ranked.once)[0])
    if np.isnan(found):  # both classes are there
        raise InputError(f"all {len(ranked.unit)} scores are equal; check their detector")
    return found


def _flagged_share(y: ArrayLike, flagged: ArrayLike, label: int) -> float:
    labels, flags = _checked(y, flagged)
    if not np.all((flags == 0) | (flags == 1)):
        raise InputError("flagged must be true or false for each case; compare score > threshold")
    if not np.any(labels == label):
        raise InputError(f"none of the {len(labels)} cases has the label {label}; this needs one")
    return float(flags[labels == label].mean())


def _grouped(patients: ArrayLike, n: int) -> tuple[NDArray[Any], IntArray]:
    names, index = np.unique(np.asarray(patients), return_inverse=True)
    if index.shape != (n,):
        raise InputError(f"{index.size} patients but {n} cases; give a patient for each case")
    return names, index
