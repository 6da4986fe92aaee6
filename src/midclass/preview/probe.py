"""Probe: how well a linear model tells two sets of images apart by their coarse statistics."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from midclass.evaluation.metrics import auroc
from midclass.evaluation.ranking import FloatArray, Ranked
from midclass.testing.seams import linear

FOLDS = 5
FEWEST = 20
"""Images of each set below which a probe says nothing."""


def probe_auroc(
    first: FloatArray,
    second: FloatArray,
    first_patients: NDArray[Any],
    second_patients: NDArray[Any],
) -> float | None:
    """AUROC of a linear probe, cross-validated by patient; None where there are too few images.

    Args:
        first: ``(n, f)`` statistics of one set.
        second: ``(m, f)`` of the other; both versions of an image fall on one side.
        first_patients: ``(n,)``.
        second_patients: ``(m,)``.

    >>> rng = np.random.default_rng(0)
    >>> dark, bright = rng.normal(0, 1, (40, 3)), rng.normal(3, 1, (40, 3))
    >>> probe_auroc(dark, bright, np.arange(40), np.arange(40)) > 0.99
    True
    """
    from sklearn.model_selection import GroupKFold, cross_val_predict

    patients = np.concatenate([first_patients, second_patients])
    folds = min(FOLDS, len(np.unique(patients)))
    if min(len(first), len(second)) < FEWEST or folds < 2:
        return None
    values, labels = np.concatenate([first, second]), np.repeat([0, 1], [len(first), len(second)])
    scores = cross_val_predict(
        linear(),
        values,
        labels,
        groups=patients,
        cv=GroupKFold(folds),
        method="decision_function",
    )
    return auroc(labels, scores)


def best_cue(first: FloatArray, second: FloatArray) -> tuple[int, float]:
    """The statistic that alone tells most, by its column, and its AUROC in either direction.

    >>> best_cue(np.array([[0.0, 5.0], [1.0, 6.0]]), np.array([[0.5, 2.0], [0.4, 1.0]]))
    (1, 1.0)
    """
    values, labels = np.concatenate([first, second]), np.repeat([0, 1], [len(first), len(second)])
    ranked = [Ranked.of(labels, column) for column in values.T]
    areas = np.array([one.auroc(one.once, constant=0.5)[0] for one in ranked])
    either = np.maximum(areas, 1 - areas)
    best = int(either.argmax())
    return best, float(either[best])
