"""Limits: how much a file may become in memory, one number for all formats; and true spacings.

A few thousand bytes can promise an image of any size. What a header promises is therefore compared
with one limit *before* anything is decoded, and no more is unpacked than the header promises. The
limit is in megapixels, 300 unless ``MIDCLASS_MAX_MEGAPIXELS`` says otherwise: a mammogram of 200
megapixels is read, and an image at the limit takes less than 2 GiB. What counts is every number:
three for a pixel in colour, all frames of what is read as a volume, and two for a number of 8
bytes.

For the wrappers of the formats: call ``check_size`` with the shape that the header promises, before
decoding; ``gunzip`` instead of ``gzip.decompress``; ``check_spacing`` where lengths are used.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

from midclass.errors import InputError

VARIABLE = "MIDCLASS_MAX_MEGAPIXELS"
MEGAPIXELS = 300.0
"""The limit where the variable is not set."""
HONEST = 20
"""Images are packed to a fifth at best, air around a head to a tenth; bombs to a thousandth."""
SLACK = 1 << 20
"""Bytes that may follow what a header promises: some writers pad."""
BLOCK, INPUT = 1 << 20, 1 << 16
GZIP = b"\x1f\x8b"

LEAST_MM, MOST_MM = 2e-4, 100.0
"""Of a pixel: a microscope of 40x has 0.00025 mm, and nothing medical has 10 cm."""


def most_megapixels() -> float:
    """The limit, in millions of numbers.

    Raises:
        InputError: the variable is no number above 0.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        most = float(text or MEGAPIXELS)
    except ValueError:
        most = math.nan
    if not most > 0:
        raise InputError(f"{VARIABLE} is {text!r}, expected a number of megapixels above 0")
    return most


def check_size(
    path: Path, shape: Sequence[int], itemsize: int = 1, packed: int | None = None
) -> None:
    """Refuse what would take too much memory; call it before anything is decoded.

    Args:
        path: the file.
        shape: of all that is going to be in memory at once, with colours and frames.
        itemsize: bytes of one number as it is decoded.
        packed: for files of many images, of which the first makes the others be unpacked too: the
            size of the file. As much as ``HONEST`` times it is then allowed whatever the limit.

    Raises:
        InputError: it is more than the limit, which is named.

    >>> check_size(Path("a.png"), (14200, 14200))
    >>> check_size(Path("a.png"), (60000, 60000))
    Traceback (most recent call last):
    midclass.errors.InputError: a.png: 60000 x 60000 are 3600 megapixels, the limit is 300; if \
the file is right, set MIDCLASS_MAX_MEGAPIXELS=3601
    """
    numbers = math.prod(shape)
    megapixels = numbers * max(1.0, itemsize / 4) / 1e6
    if packed is not None and numbers * itemsize <= HONEST * packed:
        return
    most = most_megapixels()
    if megapixels > most:
        sides = " x ".join(map(str, shape))
        raise InputError(
            f"{path}: {sides} are {megapixels:.6g} megapixels, the limit is {most:g}; if the file "
            f"is right, set {VARIABLE}={math.ceil(megapixels) + 1}"
        )


def check_file(path: Path, size: int) -> None:
    """Refuse a file of so many bytes that it alone would take more than an image at the limit.

    Raises:
        InputError: it is larger.
    """
    most = most_megapixels()
    if size > 8e6 * most:
        raise InputError(
            f"{path}: a file of {size / 1e9:.3g} GB, the limit is {8e-3 * most:g} (8 bytes each of "
            f"{most:g} megapixels); if it is right, set {VARIABLE}={math.ceil(size / 8e6) + 1}"
        )


def gunzip(path: Path, data: bytes, most: int) -> memoryview:
    """What gzipped bytes unpack to, with their checksum compared, of at most so many bytes.

    Raises:
        InputError: it is more.
        EOFError, zlib.error: it is cut off or damaged.

    >>> import gzip
    >>> bytes(gunzip(Path("a.gz"), gzip.compress(b"abc"), 3))
    b'abc'
    """
    unpacked = BytesIO()
    for block in _gunzipped(data, BLOCK):
        unpacked.write(block)
        if unpacked.tell() > most:
            raise InputError(
                f"{path}: unpacks to more than the {most} bytes that its header promises; "
                "write the file again"
            )
    return unpacked.getbuffer()


def gunzipped_head(data: bytes, size: int) -> bytes:
    """The first so many bytes of what gzipped bytes unpack to, or all where it is less.

    Raises:
        EOFError, zlib.error: they are cut off or damaged before that.

    >>> import gzip
    >>> gunzipped_head(gzip.compress(b"abc"), 2)
    b'ab'
    """
    head = BytesIO()
    for block in _gunzipped(data, min(size, BLOCK)):
        head.write(block)
        if head.tell() >= size:
            break
    return head.getvalue()[:size]


def _gunzipped(data: bytes, most: int) -> Iterator[bytes]:
    """Blocks of at most so many bytes, of all members of a gzip file (RFC 1952).

    Not by ``gzip``, which reads the name of a file in its header byte by byte.
    """
    at = 0
    while data[at : at + 2] == GZIP or not at:  # zeros may follow the last member
        stream = zlib.decompressobj(wbits=31)
        while not stream.eof:
            piece = data[at : at + INPUT]
            if not piece:
                raise EOFError("the compressed data end too early")
            block = stream.decompress(piece, most)
            at += len(piece) - len(stream.unconsumed_tail or stream.unused_data)
            if block:
                yield block


def check_spacing(spacing_mm: Sequence[float]) -> None:
    """Refuse what cannot be the size of a pixel in mm: not a number, 0, nanometres, metres.

    Raises:
        InputError: names it; the caller knows of which file.

    >>> check_spacing((0.8, 0.8))
    >>> check_spacing((1e-6, 0.8))
    Traceback (most recent call last):
    midclass.errors.InputError: a spacing of 1e-06 x 0.8 mm, expected 0.0002 to 100; give \
spacing_mm (a column of the manifest)
    """
    if not all(LEAST_MM <= one <= MOST_MM for one in spacing_mm):
        found = " x ".join(f"{one:g}" for one in spacing_mm)
        raise InputError(
            f"a spacing of {found} mm, expected {LEAST_MM:g} to {MOST_MM:g}; "
            "give spacing_mm (a column of the manifest)"
        )
