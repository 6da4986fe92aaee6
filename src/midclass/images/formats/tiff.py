"""TIFF: the pages of a file, found without decoding them (TIFF 6.0, section 2; BigTIFF)."""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path

from midclass.errors import InputError
from midclass.images.formats.contents import State, contents, state_of
from midclass.images.formats.raw import pick_frame

MOST_PAGES = 1_000_000
KIND, WIDTH, LENGTH = 254, 256, 257
"""Tags: NewSubfileType, ImageWidth and ImageLength."""
NO_IMAGE = 1 | 4
"""Bits of NewSubfileType: the page is another one in less resolution, or a mask."""
NUMBER = {1: "B", 3: "H", 4: "I", 16: "Q"}
"""How types are unpacked of which a value stands in the entry itself."""


def page(path: Path, frame: int | None) -> bytes:
    """The bytes of the file with the wanted page as its first: all that a decoder then looks at.

    Pillow compares each page with all before it: 100,000 take it minutes to count.

    Raises:
        InputError: the page does not exist, or none was named of several.
    """
    data, pages = contents(path), _pages(path, state_of(path))
    index = pick_frame(path, len(pages), frame)
    if index == 0:
        return data
    order, big = _kind(data)
    first = struct.pack(f"{order}{'Q' if big else 'I'}", pages[index])
    at = 8 if big else 4
    return data[:at] + first + data[at + len(first) :]


def images_in_tiff(path: Path) -> int:
    """How many images its pages are: all of one size, and no thumbnail or mask; else 1.

    Raises:
        InputError: it is cut off, or has too many pages.
        struct.error: a page is damaged.
    """
    data, pages = contents(path), _pages(path, state_of(path))
    kinds = {_numbers(data, at, (KIND, WIDTH, LENGTH)) for at in pages}
    alike = len(kinds) == 1 and not next(iter(kinds))[0] & NO_IMAGE
    return len(pages) if alike else 1


def _numbers(data: bytes, at: int, tags: tuple[int, ...]) -> tuple[int, ...]:
    """The single numbers that a page's directory has under these tags, 0 where it has none."""
    order, big = _kind(data)
    count, entry, value = ("Q", 20, 12) if big else ("H", 12, 8)
    (entries,) = struct.unpack_from(order + count, data, at)
    first, found = at + struct.calcsize(order + count), dict.fromkeys(tags, 0)
    for start in range(first, first + entry * entries, entry):
        tag, kind = struct.unpack_from(f"{order}HH", data, start)
        if tag in found and kind in NUMBER:
            (found[tag],) = struct.unpack_from(order + NUMBER[kind], data, start + value)
    return tuple(found.values())


@lru_cache(maxsize=2)
def _pages(path: Path, state: State) -> tuple[int, ...]:
    """Where the directory of each page begins; ``state`` keeps the cache honest."""
    data = contents(path)
    order, big = _kind(data)
    count, entry, offset = ("Q", 20, "Q") if big else ("H", 12, "I")
    pages: dict[int, None] = {}
    (at,) = struct.unpack_from(order + offset, data, 8 if big else 4)
    while at and at not in pages:  # a page that was there is the end, as for Pillow
        if len(pages) == MOST_PAGES:
            raise InputError(f"{path}: more than {MOST_PAGES} pages; save them in several files")
        try:
            (entries,) = struct.unpack_from(order + count, data, at)
            start = at + struct.calcsize(order + count) + entry * entries
            (following,) = struct.unpack_from(order + offset, data, start)
        except struct.error as error:
            raise InputError(
                f"{path}: is cut off or damaged: page {len(pages)} should begin at byte {at} of "
                f"{len(data)}"
            ) from error
        pages[at] = None
        at = following
    return tuple(pages)


def _kind(data: bytes) -> tuple[str, bool]:
    """Byte order for ``struct``, and whether it is a BigTIFF."""
    order = "<" if data[:2] == b"II" else ">"
    return order, data[2:4] in (b"+\0", b"\0+")
