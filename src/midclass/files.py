"""Files: what a user names is there; what is written appears whole or not at all.

It is made beside its place under another name and renamed, so an interrupted command leaves what
was there before. A folder gets a list of its files, by which it is known that midclass wrote them
(see ``owned``); only such a folder is replaced.
"""

from __future__ import annotations

import codecs
import errno
import hashlib
import io
import json
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeAlias

from midclass.errors import InputError, did_you_mean
from midclass.owned import refuse_foreign, write_list

_OF_THE_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO}
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
NewFile: TypeAlias = Callable[[str], AbstractContextManager[BinaryIO]]
"""Makes a file to fill, of a name."""
_NAMES = 2000
"""Names beside one that is not there that are compared with it: among more it takes too long."""
_LONGEST = 200
"""Bytes of a name that are kept in a temporary one; file systems allow 255."""


class CannotWriteError(InputError):
    """A place cannot be written: it is read-only, full, of somebody else, or its name too long."""

    def __init__(
        self, path: Path | str, error: OSError | str, way_out: str = "give another place"
    ) -> None:
        self.path, self.error, self.way_out = path, error, way_out
        reason = error if isinstance(error, str) else (error.strerror or str(error))
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        room = "free some space, or " if full else ""
        super().__init__(f"{path}: cannot be written ({reason}); {room}{way_out}")

    def __reduce__(self) -> tuple[type, tuple[object, ...]]:  # to come back from another process
        return type(self), (self.path, self.error, self.way_out)


def refuse_no_file(path: Path, what: str = "file") -> None:
    """Raise InputError where a path is no file; ``what`` is what it should be."""
    if path.is_dir():
        raise InputError(f"{path}: is a folder, expected a {what}")
    if not path.is_file():
        raise InputError(f"{path}: no such {what}{_meant(path, os.DirEntry.is_file)}")


def refuse_no_folder(path: Path, way_out: str) -> None:
    """Raise InputError where a path is no folder."""
    if not path.is_dir():
        raise InputError(f"{path}: is no folder{_meant(path, os.DirEntry.is_dir)}; {way_out}")


def refuse_no_path(path: Path) -> None:
    """Raise InputError where nothing has this name; a broken link counts as something."""
    if not os.path.lexists(path):
        raise InputError(f"{path}: no such file or folder{_meant(path, os.path.exists)}")


def _meant(path: Path, fits: Callable[[os.DirEntry[str]], bool]) -> str:
    """What a path that is not there may have meant, in brackets, or ""; ``fits`` says of what."""
    if not path.parent.is_dir():
        return f" (nor a folder {path.parent})"
    with suppress(OSError), os.scandir(path.parent) as entries:  # it may not be readable
        return did_you_mean(path.name, [one.name for one in islice(entries, _NAMES) if fits(one)])
    return ""


@contextmanager
def new_file(path: str | Path, *, synced: bool = True) -> Iterator[BinaryIO]:
    """A file to fill, which gets its name when the block ends without an error.

    Makes the folder if needed, and writes through a link to a file. What has its name is on the
    disk, also after a loss of power; ``synced=False`` is for what can be made again.

    Raises CannotWriteError where the file system refuses.
    """
    given, path = path, Path(os.path.realpath(path))
    temporary = _beside(path)
    if path.exists() and not path.is_file():
        raise CannotWriteError(given, "is a folder or a device, and no file")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not tempfile: its files are readable by their owner alone, and would stay so.
        opened = open(temporary, "xb")  # noqa: SIM115
    except OSError as error:
        raise CannotWriteError(given, error) from error
    try:
        with opened as file:
            yield file
            file.flush()
            if synced:
                os.fsync(file.fileno())
        os.replace(temporary, path)
        if synced:
            _sync_folder(path.parent)
    except OSError as error:
        if error.filename == str(temporary) or (
            error.filename is None and error.errno in _OF_THE_DISK
        ):
            raise CannotWriteError(given, error) from error
        raise
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def new_text(path: str | Path) -> Iterator[TextIO]:
    """The same for text in UTF-8, with line ends as they are written."""
    with new_file(path) as file:
        text = io.TextIOWrapper(file, "utf-8", newline="")
        yield text
        text.detach()  # flushes; the file is closed where it was opened


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all; makes the folder if needed."""
    with new_file(path) as file:
        file.write(text.encode())


def write_or_check(path: Path, text: str, *, check: bool) -> bool:
    """Write a page made of score tables; with ``check`` only say whether it reads so already."""
    if check:
        return path.exists() and path.read_text(encoding="utf-8") == text
    write_text_atomic(path, text)
    return True


def fill_blocks(text: str, blocks: Mapping[str, str]) -> str:
    """Put each block between its marks ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``.

    Args:
        text: a Markdown page.
        blocks: Markdown by name; what is between the marks of that name is replaced.

    Raises InputError where a name's two marks are not there exactly once, in this order.

    >>> fill_blocks("a <!-- t: begin --> old <!-- t: end --> b", {"t": "new"})
    'a <!-- t: begin -->\\nnew\\n<!-- t: end --> b'
    """
    for name, block in blocks.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        once = text.count(begin) == text.count(end) == 1
        if not once or text.index(end) < text.index(begin):
            raise InputError(f"the page must have {begin!r} once and {end!r} once after it")
        before, after = text.split(begin)[0], text.split(end)[1]
        text = f"{before}{begin}\n{block.strip()}\n{end}{after}"
    return text


@contextmanager
def new_folder(path: str | Path, *, overwrite: bool = False, synced: bool = True) -> Iterator[Path]:
    """A folder to fill, which gets its name ``path`` when the block ends without an error.

    On an error what was made is removed and what was at ``path`` stays. With ``overwrite`` a folder
    at ``path`` is replaced if midclass wrote all that it contains. ``synced=False`` is for many
    files that can be made again: they are not forced onto the disk one by one.

    Raises InputError, before the block, for a file, a folder not empty (without overwrite) or one
    that holds anything else; CannotWriteError where the file system refuses.
    """
    given, path = path, Path(os.path.realpath(path))
    _refuse_replacing(path, overwrite)
    new, old = _beside(path), _beside(path, "old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.mkdir()
    except OSError as error:
        raise CannotWriteError(given, error) from error
    try:
        yield new
        write_list(new)
        if synced:
            for file in new.rglob("*"):
                _sync_folder(file) if file.is_dir() else _sync_file(file)
            _sync_folder(new)
        _refuse_replacing(path, overwrite)  # it may have been filled since
        if path.is_dir():
            os.rename(path, old)
        os.rename(new, path)
        _sync_folder(path.parent)
    except BaseException as error:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists() and not path.exists():
            os.rename(old, path)
        if isinstance(error, OSError) and _is_about(error, new):
            raise CannotWriteError(given, error) from error
        raise
    shutil.rmtree(old, ignore_errors=True)


def _refuse_replacing(path: Path, overwrite: bool) -> None:
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file; give a folder")
    if not path.is_dir():
        return
    filled = any(path.iterdir())
    refuse_foreign(path)
    if filled and not overwrite:
        raise InputError(f"{path}: the folder is not empty; give a new one, or ask to overwrite it")


def remove_leftovers(path: Path) -> None:
    """Remove what killed commands left beside an output that nobody writes now.

    A folder that was being replaced when its command was killed gets its name again.
    """
    path = Path(os.path.realpath(path))
    name = re.compile(rf"{re.escape(hidden_name(path.name))}\.[0-9a-f]{{8}}\.(tmp|old)")
    if not path.parent.is_dir():
        return
    for left in [one for one in path.parent.iterdir() if name.fullmatch(one.name)]:
        if left.suffix == ".old" and not path.exists():
            os.rename(left, path)
        else:
            _remove(left)


def remove_leftovers_in(folder: Path) -> None:
    """The same of all outputs in a folder and below."""
    for here, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            if re.fullmatch(r"\..+\.[0-9a-f]{8}\.tmp", name):
                _remove(Path(here, name))


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _is_about(error: OSError, folder: Path) -> bool:
    """Whether an error is of the disk, or names a file in the folder."""
    if error.filename is None:
        return error.errno in _OF_THE_DISK
    return Path(os.fsdecode(error.filename)).is_relative_to(folder)


def _sync_file(path: Path) -> None:
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    """Make renames in it last; Windows does so by itself, and opens no folder."""
    if os.name == "nt":
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _beside(path: Path, kind: str = "tmp") -> Path:
    return path.with_name(f"{hidden_name(path.name)}.{secrets.token_hex(4)}.{kind}")


def hidden_name(name: str) -> str:
    """A hidden name that says which it stands for; of one that is very long the beginning."""
    whole = os.fsencode(name)
    if len(whole) <= _LONGEST:
        return f".{name}"
    return f".{whole[:_LONGEST].decode(errors='ignore')}.{hashlib.sha256(whole).hexdigest()[:8]}"


def coding_of(raw: bytes) -> str:
    """The encoding of a text by the mark at its beginning; UTF-8 where it has none.

    >>> coding_of("a".encode("utf-16")), coding_of(b"a")
    ('utf-16', 'utf-8')
    """
    return next((name for mark, name in _MARKS.items() if raw.startswith(mark)), "utf-8")


def digest(*values: Any) -> str:
    """Short hash of values that JSON can write."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
