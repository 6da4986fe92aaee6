"""Contents: the bytes of a file, opened once for its format, its hash and its pixels."""

from __future__ import annotations

import stat
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from midclass.errors import InputError
from midclass.images.formats.limits import check_file


class State(NamedTuple):
    """What tells a file from another, and from itself before a change, without opening it.

    Length and time of change do not: ``cp -p``, ``touch -r`` and ``rsync -t`` set the time. The
    inode, and the time at which it was changed (ctime), are set by the system alone.
    """

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


def state_of(path: Path) -> State:
    """The state of a file.

    Raises:
        OSError: there is none.
        InputError: it is a folder, a pipe or a device: reading it might never end.
    """
    status = path.stat()
    refuse_special(path, status.st_mode)
    return State(
        status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns
    )


def contents(path: Path) -> bytes:
    """All bytes of a file; those of the last two (an image and its mask) are at hand.

    Raises:
        InputError: it is no plain file, of which a read may never end, or too large.
        OSError: it cannot be opened.
    """
    state = state_of(path)
    check_file(path, state.size)
    return _read(path, state)


def refuse_special(path: Path, mode: int) -> None:
    """Raise InputError for what is no plain file: a folder, a named pipe, a socket, a device."""
    if stat.S_ISDIR(mode):
        raise InputError(f"{path}: is a folder, expected a file")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: is a named pipe, socket or device, expected a file")


@lru_cache(maxsize=2)
def _read(path: Path, state: State) -> bytes:
    return path.read_bytes()
