"""Contents: the bytes of a file, opened once for its format, its hash and its pixels."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path


def contents(path: Path) -> bytes:
    """All bytes of a file; those of the last two (an image and its mask) are at hand."""
    status = path.stat()
    return _read(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=2)
def _read(path: Path, size: int, modified: int) -> bytes:
    return path.read_bytes()
