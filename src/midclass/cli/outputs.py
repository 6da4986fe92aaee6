"""Outputs: what a command writes; refused before the work, or held until it ends.

An output is held by a lock on a hidden file beside it, which the system drops with the process,
however that ends: two commands never write one output.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from midclass.cli.commands.source import Source
from midclass.cli.recognised import anything, no_table
from midclass.errors import InputError
from midclass.files import CannotWriteError, hidden_name, remove_leftovers
from midclass.images.case import Case
from midclass.owned import holds, refuse_foreign

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

Reads: TypeAlias = Callable[[], Iterable[Path]]
"""What a command reads; asked for only where something would be replaced."""
FILLED = ".midclass.lock"
"""The lock of a folder that is filled and not replaced lies in it."""
_NEVER_HELD = (OSError,) if sys.platform == "win32" else (BlockingIOError,)


@dataclass(frozen=True)
class Output:
    """One file or folder that a command writes.

    Attributes:
        path: as the user gave it.
        kind: a file, a folder that appears whole, or one that is filled over time.
        option: that names it.
        strange: of a file that is there: why it must not be replaced, or "".
        unasked: replaced without ``--overwrite``, if it is not strange.
        empty: a filled folder must be empty.
        beside: ends of further names that are written beside it.
    """

    path: Path
    kind: Literal["file", "folder", "filled"] = "folder"
    option: str = "--out"
    strange: Callable[[Path], str] = anything
    unasked: bool = False
    empty: bool = False
    beside: tuple[str, ...] = ()

    @classmethod
    def table(cls, path: Path) -> Output:
        """A score table."""
        return cls(path, "file", strange=no_table)

    @property
    def real(self) -> Path:
        """Where it is, through links."""
        return Path(os.path.realpath(self.path))

    @property
    def lock(self) -> Path:
        """The file by which it is held."""
        if self.kind == "filled":
            return self.real / FILLED
        return self.real.with_name(f"{hidden_name(self.real.name)}.lock")

    def failed(self, error: OSError) -> CannotWriteError:
        """In one line."""
        return CannotWriteError(self.path, error, f"give another {self.option}")


@contextmanager
def claimed(
    *outputs: Output, reads: Reads = tuple[Path, ...], overwrite: bool = False
) -> Iterator[None]:
    """Hold outputs while a command works; folders that are missing above them are made.

    What killed commands left beside them is removed. Where the command is interrupted, it is said
    which outputs are there.

    Args:
        outputs: none lies in another.
        reads: files and folders that the command reads.
        overwrite: what midclass wrote may be replaced.

    Raises:
        InputError: an output is held by another process, cannot be written, or would take the
            place of what is read, of what midclass did not write, or of what is not to be replaced.
    """
    _refuse_nested(outputs)
    with ExitStack() as stack:
        for one in outputs:
            for folder in _missing(one):
                _make(folder, one)
                stack.callback(_remove_empty, folder)
            stack.enter_context(_held(one))
            remove_leftovers(one.real)
        for one in outputs:
            _refuse(one, reads, overwrite)
        before = [_identity(one) for one in outputs]
        try:
            yield
        except KeyboardInterrupt as stop:
            there = [one for one, old in zip(outputs, before, strict=True) if _identity(one) != old]
            if stop.args or not there:
                raise
            raise type(stop)(
                _in_words(there, [one for one in outputs if one not in there])
            ) from None


def read_by(source: Source | None, *more: Path | str) -> Reads:
    """What a command with a source reads: its manifest, its images, and more."""

    def reads() -> Iterator[Path]:
        yield from map(Path, more)
        if source is not None:
            yield source.manifest
            split, _, _ = (source.split or "").rpartition(":")
            if split:
                yield source.manifest.parent / split
            yield from files_of(source.whole())

    return reads


def files_of(cohort: Iterable[Case]) -> Iterator[Path]:
    """The files of its cases, and their masks."""
    for case in cohort:
        yield case.path
        if case.mask is not None:
            yield case.mask


def _in_words(there: Sequence[Output], missing: Sequence[Output]) -> str:
    written = f"{' and '.join(str(one.path) for one in there)} is whole"
    if not missing:
        return f"all was written: {written}"
    return f"{written}; {' and '.join(str(one.path) for one in missing)} was not written"


def _refuse_nested(outputs: Sequence[Output]) -> None:
    # Without regard to case: on some file systems these are one name.
    names = [Path(str(one.real).casefold()) for one in outputs]
    for i, (one, name) in enumerate(zip(outputs, names, strict=True)):
        for j, (other, where) in enumerate(zip(outputs, names, strict=True)):
            if i != j and name.is_relative_to(where):
                raise InputError(
                    f"{one.path}: is or lies in {other.path}, which this command writes too; "
                    f"give another {one.option}"
                )


def _refuse(one: Output, reads: Reads, overwrite: bool) -> None:
    for end in ("", *one.beside):
        try:
            os.lstat(f"{one.real}{end}")
        except FileNotFoundError:
            pass
        except OSError as error:
            raise one.failed(error) from None
    if not one.real.exists():
        return
    if one.kind == "file":
        _refuse_file(one, reads, overwrite)
        return
    if not one.real.is_dir():
        raise InputError(f"{one.path}: is a file; give a folder with {one.option}")
    filled = any(path.name != FILLED for path in one.real.iterdir())
    if one.kind == "filled":
        if one.empty and filled:
            raise InputError(f"{one.path}: is not empty; give a new folder with {one.option}")
        return
    refuse_foreign(one.real, one.option)
    if not filled:
        return
    if read := holds(one.real, reads()):
        raise InputError(
            f"{one.path}: is or holds {read}, which this command reads; nothing was replaced; give "
            f"another {one.option}"
        )
    if not overwrite:
        raise InputError(
            f"{one.path}: is not empty; give another {one.option}, or --overwrite to replace what "
            "midclass wrote there"
        )


def _refuse_file(one: Output, reads: Reads, overwrite: bool) -> None:
    if one.real.is_dir():
        raise InputError(f"{one.path}: is a folder; give a file with {one.option}")
    if not one.real.is_file():
        raise InputError(f"{one.path}: is a device or a pipe; give a file with {one.option}")
    if holds(one.real, reads()):
        raise InputError(
            f"{one.path}: is read by this command; nothing was replaced; give another {one.option}"
        )
    try:
        strange = one.strange(one.real)
    except OSError as error:
        raise one.failed(error) from None
    if strange:
        raise InputError(
            f"{one.path}: {strange}; nothing was replaced; give another {one.option}, or move that "
            "file away"
        )
    if not overwrite and not one.unasked:
        raise InputError(f"{one.path}: is there already; give another {one.option}, or --overwrite")


def _missing(one: Output) -> list[Path]:
    """The folders that must be made, from above."""
    place = one.lock.parent
    missing = [folder for folder in (place, *place.parents) if not os.path.lexists(folder)]
    return missing[::-1]


def _make(folder: Path, one: Output) -> None:
    try:
        folder.mkdir(exist_ok=True)  # another command may have made it
    except OSError as error:
        raise one.failed(error) from None


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


@contextmanager
def _held(one: Output) -> Iterator[None]:
    """Hold the output's lock; writing it shows, too, whether anything can be written there."""
    try:
        number = _locked(one)
        me = {"process": os.getpid(), "host": socket.gethostname()}
        try:
            os.ftruncate(number, 0)
            os.write(number, json.dumps(me).ljust(4096).encode())
        except OSError:
            _release(number, one.lock)
            raise
    except OSError as error:
        raise one.failed(error) from None
    try:
        yield
    finally:
        _release(number, one.lock)


def _locked(one: Output) -> int:
    """An open file with the lock on it, which has its name still."""
    while True:
        number = os.open(one.lock, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(number)
        except _NEVER_HELD:
            said = os.pread(number, 4096, 0) if hasattr(os, "pread") else b""
            os.close(number)
            raise InputError(
                f"{one.path}: {_who(said)} is writing it; wait until that has ended, or give "
                f"another {one.option}"
            ) from None
        with suppress(OSError):
            if os.path.samestat(os.fstat(number), os.stat(one.lock)):
                return number
        os.close(number)  # it was removed by the one who held it, just now


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


def _release(number: int, path: Path) -> None:
    with suppress(OSError):
        path.unlink()  # first, so that nobody can lock a file that is about to vanish
    os.close(number)


def _who(said: bytes) -> str:
    try:
        about = json.loads(said)
        here = about["host"] == socket.gethostname()
        return f"process {about['process']}" + ("" if here else f" on {about['host']}")
    except (ValueError, KeyError, TypeError):
        return "another process"


def _identity(one: Output) -> tuple[int, int] | None:
    try:
        there = os.stat(one.real)
    except OSError:
        return None
    return there.st_ino, 0 if one.kind == "filled" else there.st_mtime_ns
