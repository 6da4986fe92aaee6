"""The pigmented lesion in a dermoscopic image of skin."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from midclass.images.anatomy.base import Pixels, Spacing, grey_of, otsu
from midclass.images.anatomy.regions import Mask, convex_hull, filled, reaching
from midclass.images.anatomy.resolution import enlarge, shrink

_GRID = 128
"""Pixels along the longer side that are enough to see a mole."""
_HAIR = 0.05
"""Of an image's width: what is dark and narrower is a hair."""
_BLACK, _CORNERS = 0.15, 0.85
"""Of the brightest: what is darker and reaches a corner is the edge of the dermoscope; of half an
image's width: nearer to the middle it is none."""
_PIGMENT = 0.04
"""Of the brightest: pigment is darker than skin by more."""
_LEAST = 0.004
"""Of the image: a smaller spot is no mole that was imaged."""
_AROUND = 0.15
"""Of a mole's width: so much of the skin around it belongs to it."""


def pigmented(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """A mole or melanoma with a rim of skin (2-D, grey or colour); light parts of it included.

    What is darker than skin by Otsu's threshold, without hairs and the dermoscope's black corners;
    of several spots the one that is large and near the middle, and its convex hull, since
    regression and a veil are as light as skin. All that is no corner where nothing is darker.
    """
    grey_of(pixels, spacing_mm, "pigmented", (2,))
    shades = np.asarray(pixels.min(axis=0))  # pigment takes most of the blue
    step_mm = max(shades.shape) / _GRID * min(spacing_mm)
    coarse, _ = shrink(shades, spacing_mm, step_mm)
    return enlarge(_mole(coarse), (shades.shape[0], shades.shape[1]), spacing_mm, step_mm)


def _mole(shades: Pixels) -> Mask:
    """The same on the grid."""
    size = max(shades.shape)
    brightest = float(np.percentile(shades, 99))
    if float(np.ptp(shades)) <= _PIGMENT * brightest:
        return np.zeros(shades.shape, bool)
    y, x = (np.linspace(-1, 1, side) for side in shades.shape)
    from_middle = np.hypot(y[:, None], x)
    hairless = ndi.grey_closing(shades / brightest, max(2, round(_HAIR * size)))
    black = reaching((hairless < _BLACK) & (from_middle > _CORNERS), corners=True)
    field = np.asarray(~ndi.binary_dilation(black, iterations=2))
    smooth = ndi.gaussian_filter(hairless, 1.0)
    dark = field & (smooth < otsu(smooth[field])) if field.any() else field
    labels, count = ndi.label(ndi.binary_opening(dark))
    if not count or np.median(smooth[field & ~dark]) - np.median(smooth[dark]) < _PIGMENT:
        return field
    central = np.exp(-2 * from_middle**2)
    weights = ndi.sum_labels(central, labels, np.arange(count + 1))
    weights[0] = 0
    mole = convex_hull(filled(labels == np.argmax(weights)))
    if mole.mean() < _LEAST:
        return field
    rim = _AROUND * np.sqrt(mole.sum())
    return np.asarray((ndi.distance_transform_edt(~mole) <= rim) & field)
