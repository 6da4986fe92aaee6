"""Entry: the folder of prepared samples on disk, written once and read again if it can be believed.

Only entries that nobody else can have written are, and only those whose every file has its type
and length.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from midclass.images.entries import ABOUT
from midclass.images.private import open_new, open_own
from midclass.images.store import Store

LARGE = ("pixels", "anatomy")
"""What is not read into memory."""
INDEX = "index.npy"
"""In an entry: of each case the four columns that ``taken`` names."""


def filled(new: Path, shape: tuple[int, ...], each: int, fill: Callable[[Store], object]) -> Store:
    """All arrays of an entry, written and on the disk.

    Args:
        new: its folder.
        shape: of all pixels.
        each: rows of each case.
        fill: writes its samples; what is in the large arrays can be read back then.
    """
    layout = Store.layout(shape)
    large = {name: _Rows(new / f"{name}.npy", *layout[name]) for name in LARGE}
    try:
        store = Store.empty(shape, each, **large)
        fill(store)
    finally:
        for rows in large.values():
            rows.close()
    for name in layout.keys() - large.keys():
        write_array(new / f"{name}.npy", getattr(store, name))
    return store


def write_array(path: Path, values: NDArray[Any]) -> None:
    """A new file of an array, for this user alone."""
    with open_new(path) as file:
        np.save(file, values)


def write_bytes(path: Path, content: bytes) -> None:
    """A new file for this user alone."""
    with open_new(path) as file:
        file.write(content)


class _Rows:
    """The rows of an array that go into a file.

    Its room on the disk is reserved first, and rows are written, not put into a memory map: on a
    full disk that would not be an error, but the end of the process (SIGBUS).
    """

    def __init__(self, path: Path, kind: DTypeLike, shape: tuple[int, ...]) -> None:
        self._kind = np.dtype(kind)
        self._shape = shape[1:]
        self._bytes = int(np.prod(shape[1:])) * self._kind.itemsize
        self._file = open_new(path)
        descr = np.lib.format.dtype_to_descr(self._kind)
        header = {"descr": descr, "fortran_order": False, "shape": shape}
        try:
            np.lib.format.write_array_header_1_0(self._file, header)
            self._start = self._file.tell()
            self._file.flush()
            _reserve(self._file.fileno(), self._start + shape[0] * self._bytes)
        except BaseException:
            self._file.close()
            raise

    def __setitem__(self, row: int, values: NDArray[Any]) -> None:
        self._file.seek(self._start + row * self._bytes)
        self._file.write(np.asarray(values).astype(self._kind).tobytes())

    def __getitem__(self, row: int) -> NDArray[Any]:
        self._file.seek(self._start + row * self._bytes)
        return np.frombuffer(self._file.read(self._bytes), self._kind).reshape(self._shape)

    def close(self) -> None:
        """Make them last."""
        with self._file:
            self._file.flush()
            os.fsync(self._file.fileno())


def _reserve(file: int, size: int) -> None:
    """Room for so many bytes, where the system can; else rows are written as long as there is."""
    try:
        os.posix_fallocate(file, 0, size)
    except AttributeError:  # not on macOS and Windows
        os.truncate(file, size)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        os.truncate(file, size)


def load(entry: Path, shape: tuple[int, ...], each: int) -> Store | None:
    """An entry from disk; None where there is none, or none that can be believed."""
    try:
        if json.loads(_read(entry / ABOUT))["key"] != entry.name:
            return None
        failed = json.loads(_read(entry / "failed.json"))
        layout = Store.layout(shape).items()
        arrays: dict[str, Any] = {
            name: array_of(entry / f"{name}.npy", np.dtype(kind), of, large=name in LARGE)
            for name, (kind, of) in layout
        }
        by_case = {int(case): str(reason) for case, reason in failed.items()}
        os.utime(entry)  # used now
    except (OSError, ValueError, EOFError, AttributeError, KeyError, TypeError):
        return None
    return Store(**arrays, failed=by_case, each=each)


def _read(path: Path) -> bytes:
    with open_own(path) as file:
        return file.read()


def array_of(
    path: Path, kind: np.dtype[Any], asked: tuple[int | None, ...], *, large: bool
) -> NDArray[Any]:
    """The array of a file that holds one of this type and shape, and nothing else.

    Args:
        path: of the file.
        kind: its type.
        asked: its shape, None being any length.
        large: left on the disk.

    Raises:
        ValueError: it does not.
        OSError: it cannot be opened, or others could have written it.
    """
    with open_own(path) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("another version of npy")
        header = np.lib.format.read_array_header_1_0(file)
        start, found = file.tell(), header[0]
        shape = tuple(n if one is None else one for n, one in zip(found, asked, strict=True))
        length = start + int(np.prod(shape)) * kind.itemsize
        if header != (shape, False, kind) or os.fstat(file.fileno()).st_size != length:
            raise ValueError("another array")
        if large:
            return np.memmap(file, kind, "r", start, shape)
        return np.frombuffer(file.read(), kind).reshape(shape)
