"""TIFF: the pages of a file, found without decoding them (TIFF 6.0, section 2; BigTIFF)."""

from __future__ import annotations

import struct
from functools import lru_cache
from pathlib import Path

from midclass.errors import InputError
from midclass.images.formats.contents import State, contents, state_of
from midclass.images.formats.raw import pick_frame

MOST_PAGES = 1_000_000


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
