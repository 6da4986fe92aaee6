"""Raster files: PNG, JPEG and TIFF, one page -> values, their range, and what is white."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
from PIL import TiffImagePlugin

from midclass.errors import InputError
from midclass.images.formats import pillow, png
from midclass.images.formats.contents import contents
from midclass.images.formats.raw import Raw, Values, finite_range, integer_range

BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339  # tags of TIFF
SIGNED, WHITE_IS_ZERO = 2, 0
PLAIN = ("1", "L", "I", "F", "RGB", "I;16", "I;16L", "I;16B", "I;16N")
"""Modes of Pillow that numpy takes as they are; all others but LAB become one of them."""


def stored_values(path: Path, kind: str) -> Values:
    """The first page as Pillow decodes it."""
    with pillow.opened(path, kind, frame=0) as (image, turn):
        return pillow.as_stored(_signed(image, pillow.array_of(image)), turn)


def read_raster(
    path: Path, kind: str, frame: int | None, window: tuple[float, float] | None
) -> Raw:
    """One page; ``kind`` is PNG, JPEG or TIFF, see ``read`` for the other arguments.

    A window that begins below the lowest value that the file can hold is left out: a picture of a
    CT slice holds no Hounsfield units, and was windowed when it was made.
    """
    with pillow.opened(path, kind, frame) as (image, turn):
        if image.mode == "LAB":
            raise InputError(f"{path}: colours in L*a*b* are not read; save it as RGB")
        bits, signed, white_is_zero = _depth(image)
        values = _signed(image, pillow.array_of(image, _shown))
        if bits == 32 and not signed and values.dtype == np.int32:
            values = values.view(np.uint32)
        if kind == "PNG":
            values = _as_png(path, image, values)
        low, high = (
            finite_range(values) if image.mode == "F" else integer_range(bits, signed=signed)
        )
        values = pillow.as_stored(values, turn)
    # A window below the least value, and below 0, is of other units than a picture's, such as HU.
    if window is not None and window[0] >= min(low, 0):
        low, high = window
    return Raw(values, high, low) if white_is_zero else Raw(values, low, high, values.ndim == 3)


def _shown(image: PIL.Image.Image) -> Values:
    """Grey ``(rows, cols)`` or RGB ``(rows, cols, 3)``, with alpha laid over black."""
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    elif image.mode not in (*PLAIN, "LA", "La", "RGBA"):
        image = image.convert("RGBA" if image.mode in ("PA", "RGBa") else "RGB")
    values = np.array(image)
    if image.mode == "La":  # has been laid over black
        return values[..., 0]
    if image.mode in ("LA", "RGBA"):
        values = values[..., :-1] * (values[..., -1:] / np.float32(255))
    return values[..., 0] if image.mode == "LA" else values


def _as_png(path: Path, image: PIL.Image.Image, values: Values) -> Values:
    """What Pillow leaves out: the one transparent colour, and that grey of 16 bits stays grey."""
    depth, colour = png.depth_and_colour(contents(path))
    if (depth, colour) == (16, 4):
        return values[..., 0]
    key = image.info.get("transparency")
    if key is None or image.mode == "P":
        return values
    if (depth, colour) == (16, 2):
        raise InputError(f"{path}: RGB of 16 bits with a transparent colour; save it with 8 bits")
    return png.without_key(values, key, depth)


def _depth(image: PIL.Image.Image) -> tuple[int, bool, bool]:
    """Bits per sample as decoded, whether signed, and whether the lowest value is still white."""
    if image.mode == "1":
        return 1, False, False
    grey = image.mode.startswith(("I", "F"))
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 16 if grey else 8, False, False  # a PNG, of mode "I" in older versions of Pillow
    tags = image.tag_v2
    signed = tags.get(SAMPLE_FORMAT, (1,))[0] == SIGNED
    if not grey:
        return 8, signed, False  # Pillow brings 2 and 4 bits to 8, and white to 255
    return int(tags.get(BITS, (8,))[0]), signed, tags.get(PHOTOMETRIC) == WHITE_IS_ZERO


def _signed(image: PIL.Image.Image, values: Values) -> Values:
    """Values of 8 bits as the signed ones that they are, for which Pillow has no mode."""
    return values.view(np.int8) if image.mode == "L" and _depth(image)[1] else values
