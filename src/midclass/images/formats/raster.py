"""Raster files: PNG, JPEG and TIFF, read by Pillow."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
from PIL import TiffImagePlugin

from midclass.images.formats.contents import contents
from midclass.images.formats.raw import Raw, Values, finite_range, integer_range, pick_frame


def stored_values(path: Path, kind: str) -> Values:
    """The first page as Pillow decodes it."""
    with PIL.Image.open(BytesIO(contents(path)), formats=[kind]) as image:
        return np.array(image)


def read_raster(
    path: Path, kind: str, frame: int | None, window: tuple[float, float] | None
) -> Raw:
    """One page; ``kind`` is PNG, JPEG or TIFF, see ``read`` for the other arguments.

    A window that begins below the lowest value that the file can hold is left out: a picture of a
    CT slice holds no Hounsfield units, and was windowed when it was made.
    """
    with PIL.Image.open(BytesIO(contents(path)), formats=[kind]) as file:
        file.seek(pick_frame(path, getattr(file, "n_frames", 1), frame))
        file.load()
        bits, signed, white_is_zero = _depth(file)
        image: PIL.Image.Image = file
        if "transparency" in image.info and image.mode in ("L", "RGB", "P"):
            image = image.convert("LA" if image.mode == "L" else "RGBA")
        elif image.mode in ("P", "CMYK", "YCbCr", "HSV", "PA"):
            image = image.convert("RGBA" if image.mode == "PA" else "RGB")
        values, colour = np.array(image), image.mode.startswith("RGB")
        if image.mode in ("LA", "RGBA"):
            values = values[..., :-1] * (values[..., -1:] / np.float32(255))
            values = values if colour else values[..., 0]
        if bits == 32 and not signed and values.dtype == np.int32:
            values = values.view(np.uint32)
        low, high = (
            finite_range(values) if image.mode == "F" else integer_range(bits, signed=signed)
        )
    if window is not None and window[0] >= low:  # else of other units than a picture's, such as HU
        low, high = window
    return Raw(values, high, low) if white_is_zero else Raw(values, low, high, colour)


def _depth(image: PIL.Image.Image) -> tuple[int, bool, bool]:
    """Bits per sample as decoded, whether signed, and whether the lowest value is still white."""
    if image.mode == "1":
        return 1, False, False
    if not image.mode.startswith(("I", "F")):
        return 8, False, False  # Pillow brings 2 and 4 bits to 8, and white to 255
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return 16, False, False  # a PNG, of mode "I" in older versions of Pillow
    tags = image.tag_v2
    bits, signed = tags.get(258, (8,))[0], tags.get(339, (1,))[0] == 2
    return int(bits), signed, tags.get(262) == 0
