"""The retina in a photograph of the fundus: the round field of the camera."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from midclass.images.anatomy.base import Pixels, Spacing, grey_of
from midclass.images.anatomy.regions import Mask, convex_hull, filled, largest, reaching
from midclass.images.anatomy.resolution import enlarge, shrink

_GRID = 224
"""Pixels along the longer side that are enough to see a field."""
_WHITE = 0.97
"""Of the range: what is brighter around a corner is the margin of a page."""
_RIM = 0.02
"""Of an image's width: at its border this much shows how dark the surroundings are."""
_FAINT = 0.016
"""Of the range: the retina is brighter than its surroundings by this, four steps of 8 bit."""
_GLOW = 0.1
"""Of how much brighter most of the field is: what a bright field sheds on its surroundings."""
_TAB = 0.03
"""Of an image's width: what is narrower is a letter, a dust speck or the tab of the mask."""
_FIELD = 0.1
"""Of the image: a smaller field is none."""
_BLACK = 0.2
"""Of the brightest: a border no darker than this is retina, too."""


def retina(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """The field of the camera, however dark a part of it is (2-D, grey or colour).

    A cataract, a small pupil or a flash leave half of the field nearly black, so that any
    threshold between dark and bright lies inside the retina. Only what is as dark as the
    surroundings and reaches the border is no retina, and the field is convex: its hull is
    taken. All of the image where its border is not dark; empty where no field is seen.
    """
    grey_of(pixels, spacing_mm, "retina", (2,))
    red = np.asarray(pixels.max(axis=0))  # what the darkest retina still is
    shape, step_mm = red.shape, max(red.shape) / _GRID * min(spacing_mm)
    bright, _ = shrink(red, spacing_mm, step_mm)
    return enlarge(_field(bright), (shape[0], shape[1]), spacing_mm, step_mm)


def _field(bright: Pixels) -> Mask:
    """The same on the grid."""
    rim = max(2, round(_RIM * max(bright.shape)))
    page = reaching(bright >= _WHITE, corners=True)
    bright = np.where(ndi.binary_dilation(page, iterations=rim), 0, bright)
    smooth = ndi.gaussian_filter(bright, 1.0)
    around = np.ones(bright.shape, bool)
    around[rim:-rim, rim:-rim] = False
    level = float(np.percentile(smooth[around], 5))
    darkest, brightest = np.percentile(smooth, (1, 99))
    if brightest - darkest < _FAINT:
        return np.zeros(bright.shape, bool)
    if level > _BLACK * brightest:
        return np.ones(bright.shape, bool)
    field = smooth > level + _FAINT
    if field.any():
        glow = _GLOW * (float(np.median(smooth[field])) - level)
        field = smooth > level + max(_FAINT, glow)
    width = max(2, round(_TAB * max(bright.shape)))
    opened = ndi.binary_opening(filled(field), np.ones((width, width), bool))
    found = convex_hull(largest(opened))
    return found if found.mean() > _FIELD else np.zeros(found.shape, bool)
