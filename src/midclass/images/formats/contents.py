"""Contents: the bytes of a file, opened once for its format, its hash and its pixels."""

from __future__ import annotations

import stat
from functools import lru_cache
from pathlib import Path

from midclass.errors import InputError
from midclass.images.formats.limits import check_file


def contents(path: Path) -> bytes:
    """All bytes of a file; those of the last two (an image and its mask) are at hand.

    Raises:
        InputError: it is no plain file, of which a read may never end, or too large.
        OSError: it cannot be opened.
    """
    status = path.stat()
    refuse_special(path, status.st_mode)
    check_file(path, status.st_size)
    return _read(path, status.st_size, status.st_mtime_ns)


def refuse_special(path: Path, mode: int) -> None:
    """Raise InputError for what is no plain file: a folder, a named pipe, a socket, a device."""
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: is a folder, expected a file")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: is a named pipe, socket or device, expected a file")


@lru_cache(maxsize=2)
def _read(path: Path, size: int, modified: int) -> bytes:
    return path.read_bytes()
