"""Cache: prepared samples on disk as memory maps, written whole or not at all, oldest removed.

An entry is a folder with the name ``keys.key_of`` gives it: what the cohort shows, and how it was
prepared. It is found without opening an image where the files are known to be those that were
read (``change.settled``), or else by what they hold. Only entries that nobody else can have
written are believed, and only those whose every file has its type and length.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from midclass.errors import InputError
from midclass.images.change import settled
from midclass.images.cohort import Cohort
from midclass.images.entries import ABOUT, UNFINISHED, tidy
from midclass.images.identity import content_if_readable, mask_content
from midclass.images.keys import files_of, key_of, likeness_of, state_of_cohort
from midclass.images.private import open_new, open_own
from midclass.images.store import DIED, Attempt, Attempts, Store

if TYPE_CHECKING:
    from midclass.types import Progress

LARGE = ("pixels", "anatomy")
"""What is not read into memory."""


def fetch(
    root: Path,
    cohort: Cohort,
    rules: str,
    shape: tuple[int, ...],
    each: int,
    attempts: Attempts,
    progress: Progress | None,
) -> Store:
    """The samples of a cohort: from disk, or filled and kept there.

    ``root`` is ``keys.own_folder``, and ``shape`` that of all pixels, with ``each`` rows for each
    case.

    An entry that cannot be believed is made again, as is one in which a case failed that no longer
    fails (the reason may lie outside the file).

    Raises:
        InputError: the cache cannot be written, or the disk has too little space.
    """
    started, state = time.time(), state_of_cohort(cohort, rules)
    for entry in _candidates(root, cohort, rules, state):
        store = _load(entry, shape, each)
        if store is not None:
            again = _tried_again(store.failed, attempts)
            if not any(attempt.samples for attempt in again.values()):
                # A copy's reasons name its own files.
                store.failed.update({row: attempt.reason for row, attempt in again.items()})
                with suppress(OSError):  # without it, the files are compared again
                    _know(entry, cohort, state, started)
                return store
    try:
        entry, failed = _build(root, cohort, rules, state, started, shape, each, attempts, progress)
    except OSError as error:
        way_out = "set MIDCLASS_CACHE to another folder"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            way_out = f"`midclass cache --clear` makes room, or {way_out}"
        raise InputError(
            f"{root}: the cache of prepared images cannot be written ({error.strerror}); {way_out}"
        ) from error
    store = _load(entry, shape, each)
    if store is None:
        raise InputError(
            f"{entry}: was removed while it was written, or its drive keeps no owners of files; "
            "start again, or set MIDCLASS_CACHE to a folder on another drive"
        )
    store.failed.update(failed)
    return store


def _tried_again(failed: Mapping[int, str], attempts: Attempts) -> dict[int, Attempt]:
    """Failed cases, tried again; those at which a process died not in this one."""
    deadly = [row for row, reason in sorted(failed.items()) if DIED in reason]
    rows = sorted(failed.keys() - set(deadly))
    return dict(attempts(rows)) | dict(attempts(deadly, apart=True))


def _candidates(root: Path, cohort: Cohort, rules: str, state: str) -> list[Path]:
    """Where the samples may lie: those of these very files, or else those of a copy of them.

    The files are opened to be compared only where those of an entry are as many and as long.
    """
    known = [file.parent for file in root.glob(f"*/{state}.known")]
    if not known and any(root.glob(f"*/{likeness_of(cohort, rules)}.like")):
        shown = ((content_if_readable(case), mask_content(case)) for case in cohort)
        known = [root / key_of(cohort, rules, shown)]
    return known


def _know(entry: Path, cohort: Cohort, state: str, started: float) -> None:
    """Note that an entry is of these very files, where their state can tell so next time."""
    file = entry / f"{state}.known"
    if not file.exists() and settled((f for case in cohort for f in files_of(case)), started):
        open_new(file).close()


def _build(
    root: Path,
    cohort: Cohort,
    rules: str,
    state: str,
    started: float,
    shape: tuple[int, ...],
    each: int,
    attempts: Attempts,
    progress: Progress | None,
) -> tuple[Path, dict[int, str]]:
    """Fill an entry beside its place and move it there at once.

    Returns:
        The place, and why cases failed. There the reasons are kept without the folders of the
        files, which may say who it is.
    """
    needed = 3 * int(np.prod(shape)) + 2**20
    free = shutil.disk_usage(root).free
    if needed > free:
        raise InputError(
            f"{root}: {needed / 2**30:.1f} GiB are needed for prepared images, "
            f"{free / 2**30:.1f} are free; `midclass cache --clear` makes room, or set "
            "MIDCLASS_CACHE to another folder"
        )
    shown = [("", "")] * len(cohort)

    def noted() -> Iterator[tuple[int, Attempt]]:
        for case, attempt in attempts(list(range(len(cohort)))):
            shown[case] = attempt.content, attempt.mask
            yield case, attempt

    with tempfile.TemporaryDirectory(dir=root, prefix=UNFINISHED) as scratch:
        new = Path(scratch) / "entry"
        new.mkdir(mode=0o700)
        store = _filled(new, shape, each, noted(), progress)
        failed = {
            row: reason.replace(str(cohort[row].path), cohort[row].path.name)
            for row, reason in store.failed.items()
        }
        _write(new / "failed.json", json.dumps(failed).encode())
        entry = root / key_of(cohort, rules, shown)
        about = {"key": entry.name, "cohort": cohort.title, "cases": len(cohort)}
        _write(new / ABOUT, json.dumps(about).encode())
        _write(new / f"{likeness_of(cohort, rules)}.like", b"")
        _know(new, cohort, state, started)
        old = _load(entry, shape, each)
        if old is not None and old.failed == failed:  # the same images, elsewhere
            _know(entry, cohort, state, started)
            return entry, store.failed
        if entry.exists() or entry.is_symlink():
            entry.rename(Path(scratch) / "old")
        new.rename(entry)
    tidy(root, keep=entry)
    return entry, store.failed


def _filled(
    new: Path,
    shape: tuple[int, ...],
    each: int,
    attempts: Iterable[tuple[int, Attempt]],
    progress: Progress | None,
) -> Store:
    """All arrays of an entry, written and on the disk."""
    layout = Store.layout(shape)
    large = {name: _Rows(new / f"{name}.npy", *layout[name]) for name in LARGE}
    try:
        store = Store.empty(shape, each, **large)
        store.fill(attempts, progress)
    finally:
        for rows in large.values():
            rows.close()
    for name in layout.keys() - large.keys():
        with open_new(new / f"{name}.npy") as file:
            np.save(file, getattr(store, name))
    return store


def _write(path: Path, content: bytes) -> None:
    with open_new(path) as file:
        file.write(content)


class _Rows:
    """The rows of an array that go into a file.

    Its room on the disk is reserved first, and rows are written, not put into a memory map: on a
    full disk that would not be an error, but the end of the process (SIGBUS).
    """

    def __init__(self, path: Path, kind: DTypeLike, shape: tuple[int, ...]) -> None:
        self._kind = np.dtype(kind)
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


def _load(entry: Path, shape: tuple[int, ...], each: int) -> Store | None:
    """An entry from disk; None where there is none, or none that can be believed."""
    try:
        if json.loads(_read(entry / ABOUT))["key"] != entry.name:
            return None
        failed = json.loads(_read(entry / "failed.json"))
        layout = Store.layout(shape).items()
        arrays: dict[str, Any] = {
            name: _array(entry / f"{name}.npy", np.dtype(kind), of, large=name in LARGE)
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


def _array(path: Path, kind: np.dtype[Any], shape: tuple[int, ...], *, large: bool) -> NDArray[Any]:
    """The array of a file that holds one of this type and shape, and nothing else.

    Raises:
        ValueError: it does not.
        OSError: it cannot be opened, or others could have written it.
    """
    with open_own(path) as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError("another version of npy")
        header = np.lib.format.read_array_header_1_0(file)
        start = file.tell()
        length = start + int(np.prod(shape)) * kind.itemsize
        if header != (shape, False, kind) or os.fstat(file.fileno()).st_size != length:
            raise ValueError("another array")
        if large:
            return np.memmap(file, kind, "r", start, shape)
        return np.frombuffer(file.read(), kind).reshape(shape)
