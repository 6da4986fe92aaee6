"""On the source: a sample's image as its file shows it, with the heat map on the file's pixels."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from midclass.errors import InputError
from midclass.evaluation.ranking import FloatArray
from midclass.images.identity import content_if_readable
from midclass.images.placement import Placement
from midclass.images.prepared import Prepared
from midclass.images.sample import Pixels, apply_intensity, with_channels
from midclass.recipe.recipe import Recipe

LONGEST = 1024
"""Pixels of a picture's longer side, at most."""


class View(NamedTuple):
    """The source image of a sample, as a picture.

    Attributes:
        pixels: float32 ``(c, h, w)`` in [0, 1], all of the image, not the sample's part alone.
        heat: ``(h, w)``, 0 where the sample shows none of it; None without a heat map.
    """

    pixels: Pixels
    heat: FloatArray | None


def view(prepared: Prepared, row: int, recipe: Recipe, heat: NDArray[Any] | None) -> View:
    """The source of a sample with the brightness of the sample, and a heat map laid on it.

    The file is read again; its pixels are made square, and at most ``LONGEST`` a side.

    Args:
        prepared: the samples.
        row: which of them.
        recipe: by which they were prepared.
        heat: of the sample, ``(h, w)``.

    Raises:
        InputError: the file cannot be read, or is no longer the one that was prepared.
    """
    number, placement = int(prepared.case_index[row]), prepared.placement(row)
    refuse_changed(prepared, row)
    image = prepared.cases.read(number, recipe.intensity.window)
    pixels = with_channels(image.pixels, recipe.geometry.channels)
    shape = picture_shape(placement, recipe.geometry.grid)
    small = [Image.fromarray(channel).resize(shape[::-1], BILINEAR) for channel in pixels]
    values = np.stack([np.asarray(channel) for channel in small])
    mask = prepared.masks([row])[0, 0]
    shown = placement.on_source(np.ones_like(mask), shape)
    try:
        values = apply_intensity(values, placement.on_source(mask, shape), shown, recipe.intensity)
    except InputError:  # what was not one grey in the sample may be so by its pixels here
        values = values.clip(0, 1)
    heat = None if heat is None else placement.on_source(heat, shape, smooth=True)
    return View(values, heat)


def refuse_changed(prepared: Prepared, row: int) -> None:
    """Raise InputError where the file of a sample is no longer the one that was prepared."""
    case = prepared.cases.cases[int(prepared.case_index[row])]
    if content_if_readable(case).encode() != prepared.store.contents[prepared.rows[row]]:
        raise InputError(f"{case.path}: was changed while it was scored; score it again")


BILINEAR = Image.Resampling.BILINEAR


def picture_shape(placement: Placement, size: tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a picture, with square pixels, of the source of a sample of this size.

    >>> picture_shape(Placement((0, 0, 2000, 1000), (2000, 1000)), (64, 32))
    (1024, 512)
    """
    tall, wide = placement.shape[0] * placement.aspect(size), float(placement.shape[1])
    scale = min(1.0, LONGEST / max(tall, wide))
    return max(1, round(tall * scale)), max(1, round(wide * scale))
