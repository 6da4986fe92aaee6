"""Sample: one image -> one sample on the recipe's grid, with its anatomy, by pure functions.

Boxes are ``(top, left, bottom, right)`` in pixels of the image, measured at pixel edges: a whole
image of h x w pixels is ``(0, 0, h, w)`` and the middle of its first pixel lies at 0.5.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from midclass.errors import InputError
from midclass.images.formats.limits import most_megapixels
from midclass.images.traits import Traits, traits_of

if TYPE_CHECKING:
    from midclass.recipe.parts import Geometry, Intensity

Pixels: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.bool_]
Box: TypeAlias = tuple[float, float, float, float]

LEAST_PIXELS = 8
"""Fewer pixels of a file along a side of a sample show no anatomy."""

OF_USER = -1
"""In place of the number of an anatomy: a mask of the manifest."""

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)  # Rec. ITU-R BT.601


@dataclass(frozen=True)
class Sample:
    """One image on the recipe's grid.

    Attributes:
        pixels: float32 ``(c, h, w)`` in [0, 1].
        anatomy: bool ``(h, w)``.
        spacing_mm: ``(rows, cols)``; both are the same.
        traits: see ``images.traits``.
        link: which of the recipe's anatomies found it, from 0 on; ``OF_USER`` a mask of the user's.
        box: which part of the image it shows.
        source: ``(rows, columns)`` of the image.
        mirrored: the image was mirrored before.
    """

    pixels: Pixels
    anatomy: Mask
    spacing_mm: tuple[float, float]
    traits: Traits
    link: int = 0
    box: Box = (0.0, 0.0, 1.0, 1.0)
    source: tuple[int, int] = (1, 1)
    mirrored: bool = False


def with_channels(pixels: Pixels, channels: int) -> Pixels:
    """The image with the recipe's number of channels: colour becomes luminance.

    Raises:
        InputError: a grey image where the recipe asks for colour.

    >>> with_channels(np.ones((3, 2, 2), np.float32), 1).shape
    (1, 2, 2)
    """
    if len(pixels) == channels:
        return pixels
    if channels == 1 and len(pixels) == 3:
        return np.tensordot(LUMINANCE, pixels, axes=1)[None]
    raise InputError(
        f"wrong channel count {len(pixels)}, the recipe's geometry.channels is {channels}; "
        "use channels: 1 for grey images"
    )


def whole_box(mask: Mask | None, shape: tuple[int, int], margin: float) -> Box:
    """The bounding box of a mask with a margin on each side, inside the image; or all of it.

    Raises:
        InputError: the mask is empty.
    """
    if mask is None:
        return 0, 0, *shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        raise InputError("geometry.crop found nothing in the image to crop to")
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    dy, dx = margin * (bottom - top), margin * (right - left)
    return (
        max(0.0, top - dy),
        max(0.0, left - dx),
        min(float(shape[0]), bottom + dy),
        min(float(shape[1]), right + dx),
    )


def fit_box(box: Box, size: tuple[int, int], spacing_mm: tuple[float, float]) -> Box:
    """The box made larger, in mm, to the aspect of the sample, so that nothing is stretched.

    >>> fit_box((0, 0, 10, 20), (64, 64), (1.0, 1.0))
    (-5.0, 0.0, 15.0, 20.0)
    """
    top, left, bottom, right = box
    dy, dx = spacing_mm
    step_mm = max((bottom - top) * dy / size[0], (right - left) * dx / size[1])
    half_y, half_x = step_mm * size[0] / dy / 2, step_mm * size[1] / dx / 2
    y, x = (top + bottom) / 2, (left + right) / 2
    return y - half_y, x - half_x, y + half_y, x + half_x


def roi_box(
    centre: tuple[float, float],
    roi_mm: float,
    spacing_mm: tuple[float, float],
    shape: tuple[int, int],
) -> Box:
    """The square around a centre ``(x, y)``, which is the middle of a pixel.

    Raises:
        InputError: the centre is not in the image.
    """
    x, y = centre[0] + 0.5, centre[1] + 0.5
    if not (0 <= y <= shape[0] and 0 <= x <= shape[1]):
        raise InputError(
            f"the centre x = {centre[0]:g}, y = {centre[1]:g} is outside the image of "
            f"{shape[1]} x {shape[0]} pixels"
        )
    half_y, half_x = roi_mm / spacing_mm[0] / 2, roi_mm / spacing_mm[1] / 2
    return y - half_y, x - half_x, y + half_y, x + half_x


def make_sample(
    pixels: Pixels,
    anatomy: Mask,
    spacing_mm: tuple[float, float],
    box: Box,
    geometry: Geometry,
    intensity: Intensity,
) -> Sample:
    """The part of an image in a box, resampled and with the recipe's intensity.

    Outside the image there is no anatomy and, after the intensity rule, 0.

    Raises:
        InputError: the box holds too few pixels, or nothing but one value.
    """
    shape = (pixels.shape[1], pixels.shape[2])
    seen = min(box[2], shape[0]) - max(box[0], 0), min(box[3], shape[1]) - max(box[1], 0)
    if min(seen) < LEAST_PIXELS:
        raise InputError(
            f"the sample would show {seen[0]:.1f} x {seen[1]:.1f} pixels of the file, at least "
            f"{LEAST_PIXELS} x {LEAST_PIXELS} are needed; check spacing, centre and crop"
        )
    size = geometry.grid
    values = _resampled(pixels, box, size, mode="edge")
    mask = _resampled(anatomy[None].astype(np.float32), box, size, mode="constant")[0] >= 0.5
    inside = _inside(box[0], box[2], size[0], shape[0])[:, None]
    inside = inside & _inside(box[1], box[3], size[1], shape[1])
    mask &= inside
    values = apply_intensity(values, mask, inside, intensity)
    step_mm = (box[2] - box[0]) * spacing_mm[0] / size[0]
    shown = _shown(mask, step_mm, geometry.outside) * inside
    spacing, pixels = (step_mm, step_mm), values * shown
    fineness = (box[2] - box[0]) / size[0]
    traits = traits_of(pixels, mask, spacing, inside, before=values, fineness=fineness)
    return Sample(pixels, mask, spacing, traits, box=box, source=shape)


FADE_MM = 10.0
"""What lies so far outside the anatomy is black where it fades."""


def _shown(mask: Mask, step_mm: float, outside: Literal["keep", "fade", "blank"]) -> Pixels:
    """Factors ``(h, w)`` of the pixels: 1 inside the anatomy, less outside."""
    if outside == "keep":
        return np.ones(mask.shape, np.float32)
    if outside == "blank" or not mask.any():
        return mask.astype(np.float32)
    from scipy import ndimage as ndi

    away_mm = ndi.distance_transform_edt(~mask) * step_mm
    return np.asarray((1 - away_mm / FADE_MM).clip(0, 1), np.float32)


DARK, BRIGHT = 0.1, 0.8
"""Where the percentiles lie: a lesion brighter than all normal tissue must not be cut off at 1."""


def apply_intensity(values: Pixels, mask: Mask, inside: Mask, intensity: Intensity) -> Pixels:
    """Values in [0, 1] by the recipe's rule.

    Args:
        values: ``(c, h, w)``.
        mask: the anatomy ``(h, w)``; where it is empty, the whole image takes its place.
        inside: ``(h, w)``, what shows the image, not padding.
        intensity: the rule.

    Raises:
        InputError: the percentiles fall together.
    """
    if intensity.rule == "none":
        return values.clip(0, 1)
    in_anatomy = mask.any() and (intensity.rule == "relative" or intensity.within == "anatomy")
    counted = values[:, mask if in_anatomy else inside]
    if intensity.rule == "relative":
        out = 0.5 + (values - np.median(counted)) / intensity.scale * 0.5
        return np.asarray(out.clip(0, 1), np.float32)
    low, high = np.percentile(counted, (intensity.low, intensity.high))
    if high - low < 1e-4:
        raise InputError(
            f"nothing to see: the percentiles {intensity.low:g} and {intensity.high:g} are both "
            f"{low:.4f}; check the file, or use intensity rule none"
        )
    scaled = DARK + (BRIGHT - DARK) * (values - low) / (high - low)
    return np.asarray(scaled.clip(0, 1), np.float32)


def _inside(start: float, stop: float, samples: int, pixels: int) -> Mask:
    """Which samples along one axis have their middle in the image."""
    middle = start + (np.arange(samples) + 0.5) * (stop - start) / samples
    return np.asarray((middle > 0) & (middle < pixels))


PADDED = 16e6
"""Pixels that a box may always have, image and padding; a larger one is mostly padding where it has
four times what it shows of the image."""


def _resampled(values: Pixels, box: Box, size: tuple[int, int], mode: str) -> Pixels:
    """A box of ``(c, h, w)`` on a grid: linear, and a mean over the samples where it is coarser.

    A long thin image must not become a square of its length. It is resampled along its longer side
    first, so that what is padded is as narrow as the sample.

    Raises:
        InputError: that would still take more memory than the largest image that is read.
    """
    height, width = values.shape[1:]
    top, left, bottom, right = (
        max(box[0], 0),
        max(box[1], 0),
        min(box[2], height),
        min(box[3], width),
    )
    tall, wide, shown = box[2] - box[0], box[3] - box[1], (bottom - top) * (right - left)
    if tall * wide <= max(PADDED, 4 * shown):
        return _of_padded(values, box, size, mode)
    columns, rows = (
        max((bottom - top) * wide, tall * size[1]),
        max(tall * (right - left), wide * size[0]),
    )
    if not min(columns, rows) <= 1e6 * most_megapixels():
        raise InputError(
            f"the sample would cover {tall:.4g} x {wide:.4g} pixels, of which the image has "
            f"{bottom - top:.0f} x {right - left:.0f}; check spacing, centre and crop"
        )
    first, last = (math.floor(top), math.ceil(bottom)), (math.floor(left), math.ceil(right))
    if columns <= rows:
        narrow = _of_padded(
            values, (first[0], box[1], first[1], box[3]), (first[1] - first[0], size[1]), mode
        )
        box = (box[0] - first[0], 0, box[2] - first[0], size[1])
    else:
        narrow = _of_padded(
            values, (box[0], last[0], box[2], last[1]), (size[0], last[1] - last[0]), mode
        )
        box = (0, box[1] - last[0], size[0], box[3] - last[0])
    return _of_padded(narrow, box, size, mode)


def _of_padded(values: Pixels, box: Box, size: tuple[int, int], mode: str) -> Pixels:
    """The same with all of the box in memory, image and padding."""
    top, left = math.floor(box[0]), math.floor(box[1])
    bottom, right = math.ceil(box[2]), math.ceil(box[3])
    height, width = values.shape[1:]
    part = values[:, max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    around = (
        (0, 0),
        (max(-top, 0), max(bottom - height, 0)),
        (max(-left, 0), max(right - width, 0)),
    )
    needed = any(map(any, around))
    padded = np.pad(part, around, mode=mode) if needed else part  # type: ignore[call-overload]
    where = (box[1] - left, box[0] - top, box[3] - left, box[2] - top)
    return np.stack(
        [
            np.asarray(
                Image.fromarray(channel).resize(
                    (size[1], size[0]), Image.Resampling.BILINEAR, box=where
                )
            )
            for channel in padded
        ]
    )
