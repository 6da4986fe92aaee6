"""Resolution: an anatomy of a large image is found in a smaller one.

A recipe's samples have 128 to 256 pixels a side, a slice of CT 512, a radiograph 2000 to 4000. What
looks for an anatomy there takes long, and finds it by pixels that no sample shows.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from midclass.images.anatomy.base import Pixels, Spacing
    from midclass.images.anatomy.regions import Mask
    from midclass.recipe.function import AnatomyFunction

MOST, FINE = 256, 512
"""Pixels along the longer side that are enough, and where a film of blood must be seen; of twice as
many, means of blocks are seen."""

Scalar = TypeVar("Scalar", bound=np.generic)


def in_few_pixels(anatomy: AnatomyFunction, most: int = MOST) -> AnatomyFunction:
    """An anatomy that looks at block means of a 2-D image of at least ``2 * most`` pixels a side.

    The mask is as fine as these blocks. Volumes, and smaller images, are looked at as they are.
    """

    @functools.wraps(anatomy)
    def found(pixels: Pixels, spacing_mm: Spacing) -> Mask:
        factor = max(pixels.shape[1:], default=0) // most
        if factor < 2 or pixels.ndim != 3 or len(spacing_mm) != 2 or min(spacing_mm) <= 0:
            return anatomy(pixels, spacing_mm)
        step_mm = factor * min(spacing_mm)
        channels, spacings = zip(*(shrink(one, spacing_mm, step_mm) for one in pixels), strict=True)
        mask = anatomy(np.stack(channels), spacings[0])
        return enlarge(mask, pixels.shape[1:], spacing_mm, step_mm)

    return found


def shrink(grey: Pixels, spacing: Spacing, step_mm: float) -> tuple[Pixels, Spacing]:
    """Block means with pixels of about ``step_mm`` (never enlarged), and their spacing."""
    by, bx = _blocks(spacing, step_mm)
    pad = [(0, -n % b) for n, b in zip(grey.shape, (by, bx), strict=True)]
    padded = np.pad(grey, pad, mode="edge")
    # sums of every n-th line: a tenth of the time of a mean over short axes
    rows: Pixels = functools.reduce(np.add, [padded[first::by] for first in range(by)])
    sums: Pixels = functools.reduce(np.add, [rows[:, first::bx] for first in range(bx)])
    return sums / np.float32(by * bx), (spacing[0] * by, spacing[1] * bx)


def enlarge(
    coarse: NDArray[Scalar], shape: tuple[int, ...], spacing: Spacing, step_mm: float
) -> NDArray[Scalar]:
    """Undo ``shrink``: repeat the blocks and crop to the shape of the image."""
    for axis, block in enumerate(_blocks(spacing, step_mm)):
        coarse = np.repeat(coarse, block, axis=axis)
    return coarse[: shape[0], : shape[1]]


def _blocks(spacing: Spacing, step_mm: float) -> list[int]:
    """How many pixels along each axis make one of about ``step_mm``."""
    return [max(1, round(step_mm / s)) for s in spacing]
