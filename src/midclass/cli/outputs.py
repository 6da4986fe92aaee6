"""Outputs: what a command writes; refused before the work, or held until it ends.

An output is held by a lock on a hidden file beside it, which the system drops with the process,
however that ends: two commands never write one output.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from midclass.cli import locks
from midclass.cli.recognised import anything, no_provenance, no_table
from midclass.detectors.provenance import beside
from midclass.errors import InputError
from midclass.files import CannotWriteError, hidden_name, remove_leftovers
from midclass.images import keys
from midclass.owned import holds, refuse_foreign

if TYPE_CHECKING:
    from midclass.cli.commands.source import Source
    from midclass.images.case import Case

Reads: TypeAlias = Callable[[], Iterable[Path]]
"""What a command reads; asked for only where something would be replaced."""
FILLED = ".midclass.lock"
"""The lock of a folder that is filled and not replaced lies in it."""


@dataclass(frozen=True)
class Place:
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
    def table(cls, path: Path) -> Place:
        """A score table."""
        return cls(path, "file", strange=no_table)

    @classmethod
    def provenance(cls, table: Path) -> Place:
        """What a score table comes from, beside it."""
        return cls(beside(table), "file", strange=no_provenance, unasked=True)

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
    *outputs: Place, reads: Reads = tuple[Path, ...], overwrite: bool = False
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
            if one.kind != "file" and os.path.isfile(one.real):
                raise InputError(f"{one.path}: is a file; give a folder with {one.option}")
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
            stop.args = (_in_words(there, [one for one in outputs if one not in there]),)
            raise


def read_by(source: Source | None, *more: Path | str) -> Reads:
    """What a command with a source reads: its manifest, its images, and more."""

    def reads() -> Iterator[Path]:
        yield from map(Path, more)
        if source is not None:
            if not source.is_folder:
                yield source.manifest
            split, _, _ = (source.split or "").rpartition(":")
            if split:
                yield source.manifest.parent / split
            yield from files_of(source.whole())

    return reads


def files_of(cohort: Iterable[Case]) -> Iterator[Path]:
    """The files of its cases, and their masks."""
    for case in cohort:
        yield from keys.files_of(case)


def _in_words(there: Sequence[Place], missing: Sequence[Place]) -> str:
    written = f"{' and '.join(str(one.path) for one in there)} is whole"
    if not missing:
        return f"all was written: {written}"
    return f"{written}; {' and '.join(str(one.path) for one in missing)} was not written"


def _refuse_nested(outputs: Sequence[Place]) -> None:
    # Without regard to case: on some file systems these are one name.
    names = [Path(str(one.real).casefold()) for one in outputs]
    for i, (one, name) in enumerate(zip(outputs, names, strict=True)):
        for j, (other, where) in enumerate(zip(outputs, names, strict=True)):
            if i != j and name.is_relative_to(where):
                raise InputError(
                    f"{one.path}: is or lies in {other.path}, which this command writes too; "
                    f"give another {one.option}"
                )


def _refuse(one: Place, reads: Reads, overwrite: bool) -> None:
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


def _refuse_file(one: Place, reads: Reads, overwrite: bool) -> None:
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


def _missing(one: Place) -> list[Path]:
    """The folders that must be made, from above."""
    place = one.lock.parent
    missing = [folder for folder in (place, *place.parents) if not os.path.lexists(folder)]
    return missing[::-1]


def _make(folder: Path, one: Place) -> None:
    try:
        folder.mkdir(exist_ok=True)  # another command may have made it
    except OSError as error:
        raise one.failed(error) from None


def _remove_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()


@contextmanager
def _held(one: Place) -> Iterator[None]:
    """Hold the output's lock; writing it shows, too, whether anything can be written there."""
    try:
        number = locks.take(one.lock)
    except locks.TakenError as taken:
        raise InputError(
            f"{one.path}: {taken} is writing it; wait until that has ended, or give another "
            f"{one.option}"
        ) from None
    except OSError as error:
        raise one.failed(error) from None
    try:
        yield
    finally:
        locks.release(number, one.lock)


def _identity(one: Place) -> tuple[int, int] | None:
    try:
        there = os.stat(one.real)
    except OSError:
        return None
    return there.st_ino, 0 if one.kind == "filled" else there.st_mtime_ns
