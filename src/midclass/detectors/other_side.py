"""The other side: a place of one breast beside the mirrored place of the other.

Breasts of one woman look alike, and disease is seldom in the same place of both. So what a detector
says of a place counts less where the mirrored place is unusual, too. An asymmetry is a finding of
its own (ACR BI-RADS Atlas, 2013).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from midclass.evaluation.ranking import FloatArray

REACH_MM = 10.0
"""How far off a mirrored place may be: breasts are never positioned alike twice."""
SHARE = 0.75
"""How much is taken off of what the other side is there more than it is elsewhere."""


@dataclass(frozen=True)
class Places:
    """What a detector says of the places of one image.

    Attributes:
        said: ``(k, h, w)``, by k detectors.
        mask: anatomy ``(h, w)``; somewhere there is some.
        mirrored: the image was mirrored before.
        spacing_mm: from one place to the next.
    """

    said: FloatArray
    mask: NDArray[np.bool_]
    mirrored: bool
    spacing_mm: float

    @property
    def highest(self) -> FloatArray:
        """``(k,)``: of each detector the highest of the anatomy."""
        found: FloatArray = self.said[:, self.mask].max(1)
        return found

    def beside(self, other: Places) -> FloatArray:
        """``(k,)``: the highest of the anatomy, less what is unusual of the other side there.

        Mirrored places are found by the boxes around both anatomies. Of the places around one, the
        highest counts, by how much it is above the median of its anatomy.
        """
        mine, theirs = _box(self.mask), _box(other.mask)
        rows, columns = (_along(one, another) for one, another in zip(mine, theirs, strict=True))
        if self.mirrored == other.mirrored:
            columns = columns[::-1]
        inside, reach = self.mask[mine], round(REACH_MM / other.spacing_mm)
        found = []
        for said, there in zip(self.said, other.said, strict=True):
            if not np.isfinite(there[other.mask]).all():
                found.append(np.nan)
                continue
            more = np.where(other.mask, there - np.median(there[other.mask]), 0)[theirs].clip(0)
            around = maximum_filter(more, 2 * reach + 1)[np.ix_(rows, columns)]
            found.append((said[mine] - SHARE * around)[inside].max())
        return np.array(found)


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _along(mine: slice, theirs: slice) -> NDArray[np.int64]:
    """Of each place along one box that of the other: ``(n,)``, from where that begins."""
    n, there = mine.stop - mine.start, theirs.stop - theirs.start
    found: NDArray[np.int64] = (2 * np.arange(n) + 1) * there // (2 * n)
    return found
