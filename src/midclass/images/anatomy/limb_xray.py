"""Bone: anatomy of bones in X-rays of limbs, by brightness against the soft tissue around them."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage as ndi

from midclass.errors import InputError
from midclass.images.anatomy.base import Pixels, Spacing, foreground
from midclass.images.anatomy.regions import Mask, reaching
from midclass.images.anatomy.resolution import in_few_pixels

_AROUND_MM = 25.0
"""Bone is brighter than the mean of the limb over about twice this width."""
_LEAST_MM2 = 400.0
"""The smallest part that counts as a bone: those of the hand and foot are larger."""

_GAP_MM, _BESIDE_MM = 28.0, 5.0
"""Radius of the disc that closes what a lytic lesion takes out of a bone; and how far beside a bone
what grows out of it lies."""

_EVEN, _BLADE = 0.01, 0.6
"""Of the image's range: a shutter varies by less over 3 mm, and is brighter."""
_FALL = 0.01
"""Of the image's range a mm: where a line is darker than the one before by less, the edge ends."""
_PENUMBRA_MM = 14.0
"""A shutter's edge is blurred: this much of the image beside it is not trusted."""


@in_few_pixels
def bones(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """Long bones and joints in an X-ray of a limb (2-D), and what can grow out of them.

    Shutters are even areas that touch the image's border. Bone is what is brighter than the limb
    around it (normalised mean over 5 cm), in parts of at least 4 cm2. A lytic lesion is as dark as
    soft tissue: gaps of 3 cm (in a thick shaft 4) are closed, and with them what lies between two
    bones, be it soft tissue or air; 5 mm beside a bone belong to it. Where none stands out, it is
    the whole limb.

    Args:
        pixels: float32 ``(c, h, w)`` in [0, 1], bone bright.
        spacing_mm: two numbers.

    Raises:
        InputError: the image is not 2-D, or the spacing does not fit.
    """
    grey = np.asarray(pixels.mean(axis=0, dtype=np.float32))
    if grey.ndim != 2 or len(spacing_mm) != 2 or min(spacing_mm) <= 0:
        raise InputError(
            f"anatomy bones takes 2-D images with two spacings > 0, got shape {pixels.shape} and "
            f"spacing {spacing_mm}; use anatomy.foreground"
        )
    shut = _shutters(grey, spacing_mm)
    limb = foreground(np.where(shut, 0, grey)[None], spacing_mm) & ~shut
    inside = limb.astype(np.float32)
    sigma = [_AROUND_MM / s for s in spacing_mm]
    around = ndi.gaussian_filter(grey * inside, sigma) / np.maximum(
        ndi.gaussian_filter(inside, sigma), 1e-3
    )
    smooth = ndi.gaussian_filter(grey, [0.7 / s for s in spacing_mm])
    bright = limb & (smooth > around + 0.02)
    step = max(1, round(2.0 / min(spacing_mm)))
    beyond = np.pad(bright, 3 * step, mode="edge")  # a bone does not end where the image does
    closed = ndi.binary_closing(ndi.binary_opening(beyond, iterations=step), iterations=2 * step)
    inner = closed[3 * step : -3 * step, 3 * step : -3 * step]
    labels, _ = ndi.label(inner & limb)
    sizes = np.bincount(labels.ravel()) * math.prod(spacing_mm)
    sizes[0] = 0
    found = (sizes >= _LEAST_MM2)[labels] & limb
    return _with_gaps(found, spacing_mm) & ~shut if found.any() else limb


def _with_gaps(bone: Mask, spacing_mm: Spacing) -> Mask:
    """Bone closed by a disc of ``_GAP_MM``, and ``_BESIDE_MM`` more."""
    wanted = [round((_GAP_MM + _BESIDE_MM) / s) + 1 for s in spacing_mm]
    side = [min(n, most) for n, most in zip(wanted, bone.shape, strict=True)]
    beyond = np.pad(bone, [(n, n) for n in side], mode="edge")
    near = ndi.distance_transform_edt(~beyond, sampling=spacing_mm) <= _GAP_MM
    within = ndi.distance_transform_edt(near, sampling=spacing_mm) > _GAP_MM - _BESIDE_MM
    return np.asarray(within[side[0] : -side[0], side[1] : -side[1]])


def _shutters(grey: Pixels, spacing_mm: Spacing) -> Mask:
    """Bright even areas in the image's corners: collimator blades, or film that was masked.

    A bone may reach the border, and be as even; a blade ends in a corner. A side that is mostly
    blade is shut line by line, up to its edge, which may be blurred over centimetres.
    """
    width = [max(3, round(3.0 / s)) for s in spacing_mm]
    mean = ndi.uniform_filter(grey, width)
    spread = np.sqrt(np.maximum(ndi.uniform_filter(grey * grey, width) - mean * mean, 0))
    even = reaching((spread < _EVEN) & (grey > _BLADE), corners=True)
    if not even.any():
        return even
    shut = ndi.distance_transform_edt(~even, sampling=spacing_mm) <= _PENUMBRA_MM
    for lines, blade, of_lines, spacing in (
        (shut, even, grey, spacing_mm[0]),
        (shut.T, even.T, grey.T, spacing_mm[1]),
    ):
        for end in (1, -1):
            if blade[::end][0].mean() >= 0.5:
                lines[::end][: _to_edge(of_lines[::end], spacing)] = True
    return np.asarray(shut)


def _to_edge(lines: Pixels, spacing: float) -> int:
    """How many lines, from the first, are of a blade: bright along all, then ever darker."""
    low, level = np.percentile(lines, (10, 50), axis=1)
    bright = (low > _BLADE / 2) & (level > _BLADE)
    falling = np.diff(level, prepend=level[0]) < -_FALL * spacing
    count = int(np.argmin(np.append(bright, False)))
    return count + int(np.argmin(np.append(falling[count:], False)))
