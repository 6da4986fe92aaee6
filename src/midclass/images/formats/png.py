"""PNG: what of the file the pixels need, and what Pillow leaves out (PNG, third edition)."""

from __future__ import annotations

import struct

import numpy as np

from midclass.images.formats.raw import Values

NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"acTL", b"fcTL", b"fdAT"}


def without_remarks(data: bytes) -> bytes:
    """The file without text, colour profile and all else that the pixels do not need.

    Such chunks may unpack to a thousand times their size, or be a million. What is damaged is left
    for the decoder to say.
    """
    kept, start, at = [], 0, 8
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if name not in NEEDED and end <= len(data):
            if start < at:
                kept.append(data[start:at])
            start = end
        at = end
    return b"".join([*kept, data[start:]]) if start else data


def depth_and_colour(data: bytes) -> tuple[int, int]:
    """Bits of a sample and colour type (section 11.2.1) of a file that was decoded."""
    return data[24], data[25]


def without_key(values: Values, key: int | tuple[int, ...], depth: int) -> Values:
    """Grey or RGB values with 0 where they are the one transparent colour (section 11.3.1.1).

    >>> without_key(np.array([[85, 170]], np.uint8), 1, depth=2)
    array([[  0, 170]], dtype=uint8)
    """
    if isinstance(key, tuple):
        hidden = (values == np.array(key)).all(axis=-1)
    elif values.dtype == np.bool_:
        hidden = values == (key > 0)
    else:
        hidden = values == (key * 255 // (2**depth - 1) if depth < 8 else key)
    values[hidden] = 0
    return values
