"""The sonogram on a scanner's screen: a sector, or the rectangle of a linear probe."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from midclass.images.anatomy.base import Pixels, Spacing, grey_of, within_frame
from midclass.images.anatomy.regions import Mask, convex_hull, without_specks
from midclass.images.anatomy.resolution import enlarge, shrink

_GRID = 224
"""Pixels along the longer side that are enough to see a sector."""
_FAINT = 0.02
"""Of the brightest: tissue is brighter than the screen by this, five steps of 8 bit."""
_LETTER = 0.03
"""Of an image's width: what is narrower is a letter or a scale."""
_BAR = 0.1
"""Of an image's width: a thinner rectangle beside the sonogram is a bar of buttons or levels."""
_CORNER = 0.06
"""Of an image's shorter side: echoes that come so near to a corner reach it."""
_LEAST = 0.05
"""Of the image: a smaller sonogram is none."""


def sonogram(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """Where a scanner shows tissue (2-D, grey or colour), dark masses and shadows included.

    Cysts, masses and what lies in their shadow are as dark as the screen, so that any threshold
    between dark and bright cuts them out. Only the convex hull of all echoes tells them from the
    screen. Letters, scales and bars of buttons beside it are dropped. Where echoes reach both upper
    corners of the image there is no screen around them, and all of it counts: dark is where no
    sound came back from.
    """
    grey = grey_of(pixels, spacing_mm, "sonogram", (2,))
    step_mm = max(grey.shape) / _GRID * min(spacing_mm)
    coarse, _ = shrink(grey, spacing_mm, step_mm)
    return enlarge(_echoes(coarse), (grey.shape[0], grey.shape[1]), spacing_mm, step_mm)


def _echoes(grey: Pixels) -> Mask:
    """The hull of all echoes, on the grid."""
    found = np.zeros(grey.shape, bool)
    box = within_frame(grey)
    found[box] = _hull(grey[box], max(grey.shape))
    if _CORNER * min(grey.shape) > _from_corner(found):
        return np.ones(grey.shape, bool)
    return found if found.mean() > _LEAST else np.zeros(grey.shape, bool)


def _hull(grey: Pixels, size: int) -> Mask:
    """The hull of what is brighter than the screen; ``size`` is the image's longer side."""
    smooth = ndi.gaussian_filter(grey, 1.0)
    screen, brightest = np.percentile(smooth, (5, 99.5))
    if float(np.ptp(smooth)) <= _FAINT * brightest:
        return np.zeros(grey.shape, bool)
    bright = smooth > screen + _FAINT * brightest
    wide = max(2, round(_LETTER * size))
    solid = ndi.binary_opening(bright, np.ones((wide, wide)))
    return convex_hull(_without_bars(without_specks(solid, frames=False)))


def _from_corner(hull: Mask) -> float:
    """Pixels from the farther of the upper corners to the hull."""
    y, x = np.nonzero(hull)
    last = hull.shape[1] - 1
    return max(float(np.hypot(y, x - corner).min(initial=np.inf)) for corner in (0, last))


def _without_bars(parts: Mask) -> Mask:
    """All parts but flat rectangles, and flat ones at the border; the largest stays in any case."""
    labels, count = ndi.label(parts)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    kept = np.ones(count + 1, bool)
    for number, box in enumerate(ndi.find_objects(labels), start=1):
        height, width = (side.stop - side.start for side in box)
        flat = min(height, width) < _BAR * max(parts.shape)
        full = sizes[number - 1] > 0.9 * height * width
        sides = zip(box, parts.shape, strict=True)
        outer = any(side.start == 0 or side.stop == n for side, n in sides)
        kept[number] = sizes[number - 1] == sizes.max() or not (flat and (full or outer))
    return np.asarray(parts & kept[labels])
