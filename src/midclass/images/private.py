"""Private: a folder and files that no other user can read, or have put there.

What another user could have written is not believed: it would come out as somebody's scores.
On Windows a user's cache is private by the rights of its folder, and nothing is checked here.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from midclass.errors import InputError

CHECKED = hasattr(os, "geteuid")
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


@contextmanager
def unwritten(data: bytes) -> Iterator[Path]:
    """A path at which these bytes can be read while the block lasts.

    On Linux it is a file in memory without a name (``memfd_create``), of which nothing is on any
    disk and which ends with the process, however that ends. Elsewhere it is a temporary file that
    this user alone can read, removed at the end of the block, also after an error.

    >>> with unwritten(b"abc") as path:
    ...     path.read_bytes()
    b'abc'
    """
    if hasattr(os, "memfd_create"):
        number = os.memfd_create("midclass")
        try:
            with open(number, "wb", closefd=False) as file:
                file.write(data)
            yield Path(f"/proc/self/fd/{number}")
        finally:
            os.close(number)
        return
    with tempfile.TemporaryDirectory(prefix="midclass-") as folder:  # of this user alone
        path = Path(folder, "image")
        path.write_bytes(data)
        yield path


def private_folder(folder: Path) -> Path:
    """The folder, made for this user alone; of one to which others can write, a part of one's own.

    Raises:
        OSError: it cannot be made.
        InputError: the part belongs to somebody else.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not CHECKED or _is_own(folder.stat()):
        return folder
    own = folder / f"user-{os.geteuid()}"
    own.mkdir(mode=0o700, exist_ok=True)
    status = own.lstat()
    if not (stat.S_ISDIR(status.st_mode) and _is_own(status)):
        raise InputError(
            f"{own}: other users can write to it, so that nothing in it can be believed; "
            "set MIDCLASS_CACHE to another folder"
        )
    return own


def open_new(path: Path) -> BinaryIO:
    """A new file to write and read, which only this user can open.

    Raises:
        OSError: there is one, or it cannot be made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o600), "w+b")


def open_own(path: Path) -> BinaryIO:
    """A file to read that nobody else can have written.

    Raises:
        OSError: there is none, it is a link, a folder or a pipe, or belongs or is open to others.
    """
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)  # a pipe would wait
    number = os.open(path, flags)
    status = os.fstat(number)
    if not stat.S_ISREG(status.st_mode) or (CHECKED and not _is_own(status)):
        os.close(number)
        raise PermissionError(f"{path}: others can write to it, or it is no file")
    return os.fdopen(number, "rb")


def _is_own(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and not status.st_mode & _OTHERS_WRITE
