"""Compressed streams: do they hold what the header promises? Found out before any is decoded.

A decoder makes room for what a stream says of itself. One that says something else than Rows,
Columns and the others, or unfolds without end, is refused here. Sources: ITU-T T.81 (JPEG), T.87
(JPEG-LS), T.800 (JPEG 2000), PS3.5 annex G (RLE).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from itertools import pairwise

from midclass.images.formats.dicom_attributes import Unusable
from midclass.images.formats.dicom_layout import Layout

FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""Start of frame, of JPEG and JPEG-LS."""
JPEG_2000_START = b"\xff\x4f\xff\x51"
MOST_PACKETS = 2**22
"""Layers x precincts of a JPEG 2000 image; a decoder keeps tens of bytes for each."""
UNTESTED_RLE = 2**20
"""Bytes of an RLE frame, which become 64 times as many at most, that are decoded untested."""


def check_stream(stream: bytes, layout: Layout, syntax: str) -> None:
    """Refuse the encoded frame that is not one of this layout.

    Args:
        stream: one frame.
        layout: of the file.
        syntax: the keyword of its transfer syntax, such as ``JPEG2000Lossless``.

    Raises:
        Unusable: its size differs, or it would unfold to more.
    """
    if syntax.startswith("RLE"):
        _check_rle(stream, layout)
        return
    size = _jpeg_2000_size(stream) if "2000" in syntax or "2K" in syntax else _jpeg_size(stream)
    if size and size != (layout.rows, layout.columns, layout.samples):
        rows, columns, samples = size
        raise Unusable(
            f"PixelData holds {rows} x {columns} pixels of {samples} samples, but Rows, Columns "
            f"and SamplesPerPixel say {layout.rows} x {layout.columns} of {layout.samples}"
        )


def _jpeg_size(stream: bytes) -> tuple[int, int, int] | None:
    """Rows, columns and samples; None where no frame begins, as every decoder will say."""
    at = 2
    while at + 10 <= len(stream):
        if stream[at] != 0xFF:
            return None
        marker = stream[at + 1]
        if marker in FRAME_MARKERS:
            rows, columns, samples = struct.unpack(">HHB", stream[at + 5 : at + 10])
            return rows, columns, samples
        # A byte of FF alone fills; markers of restart and start have no length.
        alone = marker == 0x01 or 0xD0 <= marker <= 0xD8
        at += 1 if marker == 0xFF else 2 if alone else 2 + int.from_bytes(stream[at + 2 : at + 4])
    return None


def _jpeg_2000_size(stream: bytes) -> tuple[int, int, int] | None:
    start = stream.find(JPEG_2000_START, 0, 2**16)
    if start < 0 or len(stream) < start + 42:
        return None
    x1, y1, x0, y0, tile_x, tile_y = struct.unpack(">6I", stream[start + 8 : start + 32])
    samples = int.from_bytes(stream[start + 40 : start + 42])
    columns, rows = x1 - x0, y1 - y0
    tiles = math.ceil(columns / max(tile_x, 1)) * math.ceil(rows / max(tile_y, 1))
    packets = max((_packets(*code, rows, columns) for code in _codings(stream[start:])), default=1)
    if tiles > 2**16 or (tiles + packets) * samples > MOST_PACKETS:
        raise Unusable(
            f"PixelData is JPEG 2000 of {tiles} tiles and {packets} packets, more than an image "
            f"of {rows} x {columns} pixels needs"
        )
    return rows, columns, samples


def _codings(stream: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Layers, resolutions and precincts of the segments COD and COC in the main header."""
    at, layers = 2, 1
    while at + 4 <= len(stream) and stream[at] == 0xFF and stream[at + 1] != 0x90:
        marker, length = stream[at + 1], int.from_bytes(stream[at + 2 : at + 4])
        segment = stream[at + 4 : at + 2 + length]
        if marker == 0x52 and len(segment) >= 10:
            layers = int.from_bytes(segment[2:4])
            yield layers, segment[5] + 1, segment[10:] if segment[0] & 1 else b""
        elif marker == 0x53 and len(segment) >= 7:
            yield layers, segment[2] + 1, segment[7:] if segment[1] & 1 else b""
        at += 2 + max(length, 2)


def _packets(layers: int, resolutions: int, precincts: bytes, rows: int, columns: int) -> int:
    """Layers x precincts, of all resolutions."""
    count = 0
    for level in range(min(resolutions, 33)):
        size = precincts[level] if level < len(precincts) else 0xFF  # no word of it: 2^15
        scale = 2 ** (resolutions - 1 - level)
        wide, high = scale << (size & 15), scale << (size >> 4)
        count += math.ceil(columns / wide) * math.ceil(rows / high)
    return layers * count


def _check_rle(stream: bytes, layout: Layout) -> None:
    """The header of a frame, and how much its segments unfold to (PS3.5 G.3 and G.5)."""
    count = layout.samples * layout.allocated // 8
    said = struct.unpack("<16I", stream[:64]) if len(stream) >= 64 else (0,)
    starts = [*said[1 : 1 + count], len(stream)]
    if said[0] != count or starts[0] != 64 or sorted(starts) != starts:
        raise Unusable(
            f"PixelData is RLE of {said[0]} segments, expected {count} one behind the other with "
            f"SamplesPerPixel {layout.samples} and BitsAllocated {layout.allocated}"
        )
    for start, stop in pairwise(starts):
        if len(stream) > UNTESTED_RLE:
            _check_segment(stream[start:stop], layout.rows * layout.columns)


def _check_segment(segment: bytes, most: int) -> None:
    at = unfolded = 0
    end = len(segment)
    while at < end:
        head = segment[at]
        if head < 128:
            at, unfolded = at + 2 + head, unfolded + 1 + head
        elif head > 128:
            at, unfolded = at + 2, unfolded + 257 - head
        else:
            at += 1
        if unfolded > most + 1:  # one for a segment of an even number of bytes
            raise Unusable(f"PixelData is RLE that unfolds to more than Rows x Columns, {most}")
