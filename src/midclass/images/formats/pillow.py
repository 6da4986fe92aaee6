"""Pillow: one page of a PNG, JPEG or TIFF file, with our limit of size and without its remarks."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
from PIL import TiffImagePlugin

from midclass.errors import InputError
from midclass.images.formats import png, tiff
from midclass.images.formats.contents import contents
from midclass.images.formats.limits import check_size
from midclass.images.formats.raw import Values, pick_frame
from midclass.images.formats.silence import silent_library

BAND = 1 << 18
"""Pixels that are brought from Pillow to numpy at once: what both need on the way is small."""
FEW_SCANS, MOST_SCANS, SCANNED = 20, 500, 3 * 10**9
"""Of a JPEG: real ones have about ten, and each is one more pass over the whole image. More than a
few are read as long as all pass over so many pixels."""
SCAN = b"\xff\xda"
BITS, COMPRESSION, ORIENTATION, SAMPLES, PLANAR = 258, 259, 274, 277, 284  # tags of TIFF
TILE = 322, 323

logging.getLogger("PIL").addHandler(logging.NullHandler())  # or Python prints what it logs
_lock, _readers, _own_limit = threading.Lock(), 0, PIL.Image.MAX_IMAGE_PIXELS


@contextmanager
def opened(path: Path, kind: str, frame: int | None) -> Iterator[tuple[PIL.Image.Image, object]]:
    """One page, decoded, and the orientation tag by which Pillow has turned it: see ``as_stored``.

    Args:
        path: the file.
        kind: PNG, JPEG or TIFF.
        frame: of a file with several pages.

    Raises:
        InputError: the page does not exist, or is larger than the limit.
    """
    data = contents(path)
    if kind == "TIFF":
        data = tiff.page(path, frame)
    elif kind == "PNG":
        data = png.without_remarks(data)
    with _our_limit(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = PIL.Image.open(BytesIO(data), formats=[kind])
        except PIL.UnidentifiedImageError as error:
            reason = "damaged, or of a kind that Pillow does not read"
            raise InputError(f"{path}: this {kind} is {reason}; save it in another way") from error
        with image:
            if kind != "TIFF":
                image.seek(pick_frame(path, getattr(image, "n_frames", 1), frame))
            colours = 3 if image.mode == "P" else len(image.getbands())
            check_size(path, (image.height, image.width, colours)[: 2 + (colours > 1)])
            if kind == "JPEG":
                _refuse_promises(path, data, image)
            turn = None
            if isinstance(image, TiffImagePlugin.TiffImageFile):
                _refuse_misread(path, image)
                turn = image.getexif().get(ORIENTATION)  # or what XMP says, as Pillow takes it
            with silent_library() if kind == "TIFF" else nullcontext():
                image.load()
            yield image, turn


def _refuse_misread(path: Path, image: TiffImagePlugin.TiffImageFile) -> None:
    """Raise InputError for the layouts that Pillow 13 reads to wrong values without a word."""
    tags = image.tag_v2
    check_size(path, [tags.get(side, 1) for side in TILE])
    packed = tags.get(COMPRESSION, 1) != 1
    if tags.get(PLANAR, 1) == 2 and tags.get(SAMPLES, 1) == 1:  # one plane is no plane
        tags[PLANAR] = 1
        image._setup()
    if tags.get(PLANAR, 1) == 2 and max(tags.get(BITS, (1,))) > 8 and not packed:
        raise InputError(f"{path}: a TIFF of 16 bits in colour planes; save it interleaved")
    if tags.prefix == b"MM" and packed and image.mode in ("I", "F"):  # bytes are swapped twice
        raise InputError(
            f"{path}: a compressed big-endian TIFF of signed values or floats; save it "
            "uncompressed or little-endian"
        )


def _refuse_promises(path: Path, data: bytes, image: PIL.Image.Image) -> None:
    """Raise InputError for a JPEG that cannot hold its own pixels, or that takes hours.

    Pillow fills the rest of an image with grey where its data end too early with an end marker.
    Huffman codes take a bit at least for each block of 64 pixels (ITU-T T.81).
    """
    least = image.width * image.height // 64 // 8
    if len(data) < least:
        raise InputError(
            f"{path}: is truncated or damaged: {image.width} x {image.height} pixels take {least} "
            f"bytes at least, there are {len(data)}"
        )
    scans, most = data.count(SCAN), max(FEW_SCANS, SCANNED // (image.width * image.height))
    if scans > min(most, MOST_SCANS):
        raise InputError(f"{path}: a JPEG of {scans} scans; save it again")


def array_of(
    image: PIL.Image.Image, convert: Callable[[PIL.Image.Image], Values] = np.array
) -> Values:
    """``convert(image)``, band by band, so that few copies are in memory at once."""
    rows = max(1, BAND // image.width)
    if rows >= image.height:
        return convert(image)
    values: Values | None = None
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        band = convert(image.crop((0, top, image.width, bottom)))
        if values is None:
            values = np.empty((image.height, *band.shape[1:]), band.dtype)
        values[top:bottom] = band
    assert values is not None
    return values


def as_stored(values: Values, turn: object) -> Values:
    """Undo what Pillow does to the pixels ``(rows, cols, ...)`` of a TIFF by its orientation tag.

    A TIFF, a PNG and a JPEG of one image are then read alike: as stored.

    >>> as_stored(np.array([[3, 1], [4, 2]]), turn=6).tolist()  # was turned clockwise
    [[1, 2], [3, 4]]
    """
    if turn in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    down, right = turn in (3, 4, 7, 6), turn in (2, 3, 7, 8)
    return values[:: -1 if down else 1, :: -1 if right else 1]


@contextmanager
def _our_limit() -> Iterator[None]:
    """Without Pillow's own limit, as long as any thread reads; ours was compared before."""
    global _readers, _own_limit
    with _lock:
        if not _readers:
            _own_limit = PIL.Image.MAX_IMAGE_PIXELS
            PIL.Image.MAX_IMAGE_PIXELS = None
        _readers += 1
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if not _readers:
                PIL.Image.MAX_IMAGE_PIXELS = _own_limit
