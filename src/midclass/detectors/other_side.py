"""The other side: a place of one breast beside the mirrored place of the other.

Breasts of one woman look alike, and disease is seldom in the same place of both. So what a detector
says of a place counts less where the mirrored place is unusual, too. An asymmetry is a finding of
its own (ACR BI-RADS Atlas, 2013).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from midclass.detectors.places import Places
from midclass.evaluation.ranking import FloatArray

REACH_MM = 10.0
"""How far off a mirrored place may be, along rows and along columns: breasts are never positioned
alike twice."""
SHARE = 0.75
"""How much is taken off of what the other side is there more than it is elsewhere."""


def beside(one: Places, other: Places) -> tuple[FloatArray, FloatArray]:
    """The scores of both sides, each beside the other: of each detector, ``()`` or ``(K,)``.

    The highest place of the anatomy, less what is unusual of the other side there. Mirrored places
    are found by the boxes around both anatomies. Of the places around one, the highest counts, by
    how much it is above the median of its anatomy.

    NaN where any detector has no number for a place of either: such a side is not assessed.
    """
    found = []
    for mine, theirs in zip(one.said(), other.said(), strict=True):
        if np.isfinite(mine[one.mask]).all() and np.isfinite(theirs[other.mask]).all():
            found.append((_less(mine, one, theirs, other), _less(theirs, other, mine, one)))
        else:
            found.append((np.nan, np.nan))
    both = np.array(found)
    both[:, np.isnan(both).any(0)] = np.nan
    kind = one.scores.shape[1:]
    return both[:, 0].reshape(kind), both[:, 1].reshape(kind)


def _less(said: FloatArray, one: Places, there: FloatArray, other: Places) -> float:
    mine, theirs = _box(one.mask), _box(other.mask)
    rows, columns = (_along(*lines) for lines in zip(mine, theirs, strict=True))
    if one.mirrored == other.mirrored:
        columns = columns[::-1]
    more = np.where(other.mask, there - np.median(there[other.mask]), 0)[theirs].clip(0)
    reach = round(REACH_MM / other.spacing_mm)
    around = maximum_filter(more, 2 * reach + 1)[np.ix_(rows, columns)]
    return float((said[mine] - SHARE * around)[one.mask[mine]].max())


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _along(mine: slice, theirs: slice) -> NDArray[np.int64]:
    """Of each place along one box that of the other: ``(n,)``, from where that begins."""
    n, there = mine.stop - mine.start, theirs.stop - theirs.start
    found: NDArray[np.int64] = (2 * np.arange(n) + 1) * there // (2 * n)
    return found
