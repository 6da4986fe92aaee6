"""Locks: who writes a place; the system drops them with the process, however that ends."""

from __future__ import annotations

import json
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_TAKEN = (OSError,) if sys.platform == "win32" else (BlockingIOError,)
_ROOM = 4096
"""Bytes of a lock's file: a full disk refuses them."""


class TakenError(Exception):
    """Another process has the lock; the message says which."""


def take(path: Path) -> int:
    """Lock a file, which is made; returns its number, for ``release``.

    Not the package filelock, which empties the file that says who has the lock.

    Raises:
        TakenError: another process has it.
        OSError: the file cannot be written.
    """
    while True:
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(number)
        except _TAKEN:
            said = os.pread(number, _ROOM, 0) if hasattr(os, "pread") else b""
            os.close(number)
            raise TakenError(_who(said)) from None
        with suppress(OSError):
            if os.path.samestat(os.fstat(number), os.stat(path)):
                break
        os.close(number)  # it was removed by the one who had it, just now
    me = {"process": os.getpid(), "host": socket.gethostname()}
    try:
        os.ftruncate(number, 0)
        os.write(number, json.dumps(me).ljust(_ROOM).encode())
    except OSError:
        release(number, path)
        raise
    return number


def release(number: int, path: Path) -> None:
    """Remove the file and drop its lock."""
    with suppress(OSError):
        path.unlink()  # first, so that nobody can lock a file that is about to vanish
    os.close(number)


def _lock(number: int) -> None:
    if sys.platform == "win32":
        os.lseek(number, 1 << 20, os.SEEK_SET)  # behind what is written, which others may read
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)
        return
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        return  # a file system without locks: better unlocked than not at all


def _who(said: bytes) -> str:
    try:
        about = json.loads(said)
        here = about["host"] == socket.gethostname()
        return f"process {about['process']}" + ("" if here else f" on {about['host']}")
    except (ValueError, KeyError, TypeError):
        return "another process"
