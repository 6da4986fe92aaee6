"""Anatomy: where in an image disease can be, found by fixed rules without any learned model.

Every anatomy is a function ``name(pixels, spacing_mm) -> mask``: pixels float32 ``(c, *spatial)``
in [0, 1] (channels are averaged), one spacing per spatial axis, mask bool ``(*spatial)``. All are
deterministic; wrong shapes raise InputError. Lengths are in mm, so that a patient gets the same
mask at any resolution: the work is done on a grid of 1 to 2 mm.

>>> square = np.zeros((1, 32, 32), np.float32)
>>> square[0, 8:24, 8:24] = 0.7
>>> int(whole(square, (1.0, 1.0)).sum()), int(foreground(square, (1.0, 1.0)).sum()) >= 16 * 16
(1024, True)
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from midclass.errors import InputError

Mask: TypeAlias = NDArray[np.bool_]
Pixels: TypeAlias = NDArray[np.float32]
Spacing: TypeAlias = tuple[float, ...]
Scalar = TypeVar("Scalar", bound=np.generic)


def whole(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """Everywhere, in 2-D and 3-D."""
    return np.ones(grey_of(pixels, spacing_mm, "whole", (2, 3)).shape, bool)


def foreground(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """The body, breast or head against a dark background, in 2-D and 3-D, holes filled.

    All False only for a constant image.
    """
    grey = grey_of(pixels, spacing_mm, "foreground", (2, 3))
    return against_dark(ndi.gaussian_filter(grey, 0.7), share=0.35)


def grey_of(pixels: Pixels, spacing_mm: Spacing, name: str, dims: tuple[int, ...]) -> Pixels:
    """The mean of the channels (*spatial), after checking the shapes."""
    if pixels.ndim - 1 not in dims:
        allowed = " or ".join(f"{d}-D" for d in dims)
        raise InputError(
            f"anatomy {name} takes {allowed} images (c, *spatial), got shape {pixels.shape}; "
            "use foreground or whole"
        )
    if len(spacing_mm) != pixels.ndim - 1 or min(spacing_mm) <= 0:
        raise InputError(
            f"spacing_mm must be {pixels.ndim - 1} numbers > 0, one per axis, got {spacing_mm}"
        )
    return np.asarray(pixels.mean(axis=0, dtype=np.float32))


def against_dark(grey: Pixels, share: float, opening: Mask | None = None) -> Mask:
    """What is brighter than the dark background by a share of Otsu's threshold, holes filled.

    Parts smaller than a tenth of the largest are dropped (labels, the head holder, noise).
    """
    if grey.max() - grey.min() < 1e-6:
        return np.zeros(grey.shape, bool)
    counts, edges = np.histogram(grey, 256)
    below = np.cumsum(counts)
    level = np.cumsum(counts * (edges[1:] + edges[:-1]) / 2)
    split = np.argmax(  # between-class variance, Otsu, IEEE Trans SMC 9:62, 1979
        (level[-1] / grey.size * below - level)[:-1] ** 2 / (below * (grey.size - below))[:-1]
    )
    low, high = level[split] / below[split], (level[-1] - level[split]) / (grey.size - below[split])
    threshold = (low + high) / 2  # steadier than the split itself where nothing lies between
    background = float(np.median(grey[grey <= threshold]))
    found = grey > background + share * (threshold - background) + 0.01  # above film noise
    opened = ndi.binary_opening(found, opening)
    return np.asarray(ndi.binary_fill_holes(without_specks(opened if opened.any() else found)))


def without_specks(mask: Mask) -> Mask:
    """Its connected parts, but those smaller than a tenth of the largest; holes stay."""
    labels, _ = ndi.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray((sizes >= max(1, 0.1 * sizes.max()))[labels])


def largest(mask: Mask) -> Mask:
    """The largest connected part."""
    labels, n = ndi.label(mask)
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]) if n else mask


def disc(radius_mm: float, spacing: Spacing) -> Mask:
    """A structuring element that is round in mm."""
    ry, rx = (int(radius_mm / s) for s in spacing)
    y, x = np.ogrid[-ry : ry + 1, -rx : rx + 1]
    return np.asarray((y * spacing[0]) ** 2 + (x * spacing[1]) ** 2 <= radius_mm**2)


def _blocks(spacing: Spacing, step_mm: float) -> list[int]:
    """How many pixels along each axis make one of about ``step_mm``."""
    return [max(1, round(step_mm / s)) for s in spacing]


def shrink(grey: Pixels, spacing: Spacing, step_mm: float) -> tuple[Pixels, Spacing]:
    """Block means with pixels of about ``step_mm`` (never enlarged), and their spacing."""
    by, bx = _blocks(spacing, step_mm)
    pad = [(0, -n % b) for n, b in zip(grey.shape, (by, bx), strict=True)]
    padded = np.pad(grey, pad, mode="edge")
    means = padded.reshape(padded.shape[0] // by, by, -1, bx).mean(axis=(1, 3))
    return means, (spacing[0] * by, spacing[1] * bx)


def enlarge(
    coarse: NDArray[Scalar], shape: tuple[int, ...], spacing: Spacing, step_mm: float
) -> NDArray[Scalar]:
    """Undo ``shrink``: repeat the blocks and crop to the shape of the image."""
    for axis, block in enumerate(_blocks(spacing, step_mm)):
        coarse = np.repeat(coarse, block, axis=axis)
    return coarse[: shape[0], : shape[1]]
