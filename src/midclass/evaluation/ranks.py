"""Ranks: the mean rank of detectors over tasks, and how much of it is chance."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from midclass.evaluation.comparison import mean_ranks


def rank_limits(
    drawn: Mapping[str, Mapping[str, NDArray[np.float64]]],
) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each detector's mean rank over the tasks, 1 is best.

    Detectors are ranked anew in each resample. What it knows is chance among the patients and the
    repeats of these tasks, not how ranks would be in others.

    Args:
        drawn: task -> detector -> figure in each resample ``(resamples,)``, higher is better; one
            resample of a task is the same draw for all detectors. Detectors with every task count.

    >>> better, worse = np.full(9, 0.9), np.full(9, 0.7)
    >>> rank_limits({"t": {"a": better, "b": worse}, "u": {"a": better, "b": worse}})
    {'a': (1.0, 1.0), 'b': (2.0, 2.0)}
    """
    from scipy.stats import rankdata

    common = list(mean_ranks({task: dict.fromkeys(found, 0.0) for task, found in drawn.items()}))
    if not common:
        return {}
    ranks = []
    for found in drawn.values():
        values = np.stack([found[name] for name in common])  # (detectors, resamples)
        ranks.append(rankdata(-values[:, np.isfinite(values).all(0)], axis=0))
    least = min(one.shape[1] for one in ranks)
    mean = np.mean([one[:, :least] for one in ranks], 0)
    low, high = np.quantile(mean, [0.025, 0.975], axis=1)
    return dict(zip(common, zip(low.tolist(), high.tolist(), strict=True), strict=True))
