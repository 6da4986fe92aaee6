"""The inside of the skull in brain MR of any sequence, with or without skull."""

from __future__ import annotations

import numpy as np
from scipy import ndimage as ndi

from midclass.images.anatomy.base import Pixels, Spacing, against_dark, grey_of
from midclass.images.anatomy.regions import Mask, convex_hull
from midclass.images.anatomy.resolution import in_few_pixels

_STEP = 0.01
"""Thickness of a layer of the head, as a share of its width: some 1.5 mm."""
_SCALP, _DEEPEST, _BRAIN = 0.02, 0.13, (0.14, 0.20)
"""Depths at which the scalp ends at least, the skull ends at most, and brain surely lies."""
_DARK = 0.8
"""A layer darker than this share of the brain is skull."""


@in_few_pixels
def brain(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """Inside the skull, in one MR slice of any sequence and direction (2-D).

    The head is the convex hull of what is brighter than air. Compact bone gives no signal in any
    sequence, so the skull is the darkest of the layers below the surface, and the brain begins
    where it grows half as bright as brain again. Of every layer the median counts: a tumour is
    in no layer for long, so that it cannot move the border. Where no layer is dark (a skull that
    was stripped, thick slices) all of the head is taken. Empty only for a constant image.
    """
    grey = grey_of(pixels, spacing_mm, "brain", (2,))
    head = convex_hull(against_dark(ndi.gaussian_filter(grey, 0.7), share=0.35))
    if not head.any():
        return head
    beyond = np.pad(head, 1)  # what lies beyond the image is not head
    to_surface = ndi.distance_transform_edt(beyond, sampling=spacing_mm)[1:-1, 1:-1]
    width_mm = 2 * np.sqrt(head.sum() * spacing_mm[0] * spacing_mm[1] / np.pi)
    depth = to_surface / width_mm
    return np.asarray(head & (depth > _end_of_skull(grey[head], depth[head])))


def _end_of_skull(grey: Pixels, depth: Pixels) -> float:
    """The depth at which the brain begins; 0 where no skull is seen."""
    middle = (depth >= _BRAIN[0]) & (depth < _BRAIN[1])
    if not middle.any():
        return 0.0
    of_brain = float(np.median(grey[middle]))
    layers = np.arange(_SCALP, _DEEPEST, _STEP)
    of_layer = np.array(
        [
            np.median(grey[here]) if (here := (depth > d) & (depth <= d + _STEP)).any() else np.inf
            for d in layers
        ]
    )
    darkest = int(of_layer.argmin())
    if of_layer[darkest] >= _DARK * of_brain:
        return 0.0
    half = (of_layer[darkest] + of_brain) / 2
    bright = np.flatnonzero(of_layer[darkest:] >= half)
    return float(layers[darkest + bright[0]]) if len(bright) else _DEEPEST
