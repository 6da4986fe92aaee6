"""Writing: files and folders appear whole or not at all.

They are made beside their place under another name and renamed, so an interrupted command leaves
what was there before.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from midclass.errors import InputError


@contextmanager
def new_file(path: str | Path) -> Iterator[TextIO]:
    """A UTF-8 text file to fill, which gets its name when the block ends without an error.

    Makes the folder if needed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(path)
    try:
        # Not tempfile: its files are readable by their owner alone, and would stay so.
        with open(temporary, "x", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomic(path: str | Path, text: str) -> None:
    """Write a UTF-8 text file, whole or not at all; makes the folder if needed."""
    with new_file(path) as file:
        file.write(text)


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
def new_folder(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder to fill, which gets its name ``path`` when the block ends without an error.

    On an error what was made is removed and what was at ``path`` stays. With ``overwrite`` a folder
    at ``path`` is replaced with all it contains.

    Raises InputError, before the block, for a file or (without overwrite) a folder not empty.
    """
    path = Path(path).resolve()
    if path.exists() and not path.is_dir():
        raise InputError(f"{path}: is a file; give a folder")
    if not overwrite and path.is_dir() and any(path.iterdir()):
        raise InputError(f"{path}: the folder is not empty; give a new one, or ask to overwrite it")
    path.parent.mkdir(parents=True, exist_ok=True)
    new, old = _beside(path), _beside(path)
    new.mkdir()
    try:
        yield new
        if overwrite and path.is_dir():
            os.rename(path, old)
        elif path.is_dir():
            path.rmdir()
        os.rename(new, path)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists() and not path.exists():
            os.rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def refuse_existing(out: Path, overwrite: bool) -> None:
    """Say before hours of work that the results would have no place.

    Raises:
        InputError: ``out`` is a file, or (without ``overwrite``) a folder that is not empty.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give a folder with --out")
    if not overwrite and out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out}: is not empty; give another --out, or --overwrite to replace it")


def refuse_existing_file(out: Path, overwrite: bool) -> None:
    """The same for a file.

    Raises:
        InputError: ``out`` is a folder, or (without ``overwrite``) a file.
    """
    if out.exists() and (out.is_dir() or not overwrite):
        raise InputError(f"{out}: is there already; give another --out, or --overwrite")


def digest(*values: Any) -> str:
    """Short hash of values that JSON can write."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
