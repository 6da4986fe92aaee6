"""Traits: what a sample and its anatomy look like in a few numbers that disease hardly moves.

Size, place and form of the mask (``anatomy.shape``), and of the image what tells a picture of
something else: grain, flat areas and what lies around the anatomy. Brightness inside is not among
them, since disease changes it; of the spread inside only too little says anything.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from midclass.images.anatomy.base import Pixels
from midclass.images.anatomy.regions import Mask
from midclass.images.anatomy.shape import feature_names, mask_features

Traits: TypeAlias = NDArray[np.float64]
"""One number for each of ``TRAITS``; NaN where it cannot be told."""

TEXTURE = ("grain", "roughness", "detail", "flat", "spread")
TRAITS = (*feature_names(2), "area_mm2", "border", "rim", "fineness", *TEXTURE)
"""The names:

* those of ``anatomy.shape``, and ``area_mm2``.
* ``border``: share of the edge of the image at which there is anatomy.
* ``rim``: how much brighter the surroundings of the anatomy are than it (medians), before what is
  outside is made blank.
* ``fineness``: pixels of the file along a side of a sample, at most 1. A thumbnail that is enlarged
  shows nothing that it had lost.
* ``grain``: robust standard deviation (1.4826 medians) of the Laplacian inside, which edges do not
  move; that of white noise is 4.5 times its own.
* ``roughness``: grain over the standard deviation of the pixels inside: 4.5 for white noise.
* ``detail``: the same with the plain standard deviation of the Laplacian: edges count.
* ``flat``: share of the inside that is flat, or an even slope.
* ``spread``: standard deviation of the pixels inside. A file of 12 bits in a container of 16 has a
  sixteenth of it, and nothing can be seen in it.
"""
_RIM = 3  # samples
_FEWEST = 16  # samples that can tell anything
_FLAT = 2 / 65535  # as much as rounding leaves


def traits_of(
    pixels: Pixels,
    mask: Mask,
    spacing_mm: tuple[float, ...],
    image: Mask,
    before: Pixels,
    fineness: float = 1.0,
) -> Traits:
    """The traits of one sample.

    Args:
        pixels: ``(c, h, w)`` in [0, 1], as detectors see it.
        mask: its anatomy ``(h, w)``.
        spacing_mm: ``(rows, cols)``.
        image: where the sample shows the image, and not padding: ``(h, w)``.
        before: the pixels before what is outside the anatomy is made blank.
        fineness: pixels of the file along a side of a sample; more than one count as one.
    """
    area_mm2 = float(mask.sum()) * math.prod(spacing_mm)
    edge = image & ~ndi.binary_erosion(image)
    around = mask[edge].mean() if edge.any() else np.nan
    return np.array(
        [
            *mask_features(mask)[0],
            area_mm2 if area_mm2 else np.nan,
            around,
            _rim(before.mean(axis=0, dtype=np.float32), mask, image),
            min(fineness, 1.0),
            *texture_of(pixels, mask),
        ]
    )


def texture_of(pixels: Pixels, mask: Mask) -> tuple[float, ...]:
    """The traits of ``TEXTURE`` inside the mask, a sample away from its border."""
    core = ndi.binary_erosion(mask, np.ones((3, 3)), border_value=1)
    if core.sum() < _FEWEST:
        return (np.nan,) * len(TEXTURE)
    grey = pixels.mean(axis=0, dtype=np.float32)
    inside, bent = grey[core], ndi.laplace(grey, mode="nearest")[core]
    grain, spread = 1.4826 * float(np.median(np.abs(bent))), float(inside.std())
    flat = float((np.abs(bent) <= _FLAT).mean())
    if spread <= _FLAT:
        return grain, np.nan, np.nan, flat, spread
    return grain, grain / spread, float(bent.std()) / spread, flat, spread


def _rim(grey: Pixels, mask: Mask, image: Mask) -> float:
    ring = ndi.binary_dilation(mask, iterations=_RIM) & ~mask & image
    if min(ring.sum(), mask.sum()) < _FEWEST:
        return float("nan")
    return float(np.median(grey[ring]) - np.median(grey[mask]))
