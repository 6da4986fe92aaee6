"""Entries: what lies in the cache of prepared images: listed, and removed oldest first or all.

Only what midclass made is ever removed, by its names: a folder that was named by mistake keeps
everything else.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from midclass.images.private import open_own

LIMIT_BYTES = 20 * 2**30
"""Least recently used entries beyond this are removed."""
STALE_S = 24 * 3600.0
"""An unfinished entry that is older belongs to a process that was killed."""
ABOUT = "about.json"
"""In an entry: what it is of, and its own name, so that no other passes for it."""
UNFINISHED = ".new-"
"""How the names of entries begin that are being made."""
FINGERPRINTS = "fingerprints.sqlite"
_NAME = re.compile("[0-9a-f]{40}")
_FILES = re.compile(r"[a-z_]+\.(npy|json)|[0-9a-f]{40}\.(known|like|rules)")


@dataclass(frozen=True)
class KeptCohort:
    """What was prepared in one go.

    Attributes:
        folder: where it lies.
        size: in bytes.
        used: when it was made or used last, in seconds since 1970.
        cohort: name of the cohort; "" where it does not say.
        cases: how many; 0 where it does not say.
    """

    folder: Path
    size: int
    used: float
    cohort: str = ""
    cases: int = 0


def entries(root: Path) -> list[KeptCohort]:
    """The entries of a cache, those used last first."""
    found = []
    for folder in root.iterdir() if root.is_dir() else ():
        with suppress(OSError):  # another process was faster
            if _NAME.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
                size = sum(file.lstat().st_size for file in folder.iterdir())
                found.append(KeptCohort(folder, size, folder.stat().st_mtime, *_said(folder)))
    return sorted(found, key=lambda entry: (-entry.used, entry.folder))


def _said(folder: Path) -> tuple[str, int]:
    try:
        with open_own(folder / ABOUT) as file:
            about = json.loads(file.read())
        return str(about["cohort"]), int(about["cases"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", 0


def tidy(root: Path, keep: Path) -> None:
    """Remove what killed processes left, and the least recently used entries over the limit.

    Args:
        root: of the cache.
        keep: an entry that stays.
    """
    _remove_stale(root)
    total = 0
    for entry in sorted(entries(root), key=lambda entry: entry.folder != keep):
        total += entry.size
        if entry.folder != keep and total > LIMIT_BYTES:
            remove(entry.folder)


def clear(root: Path) -> int:
    """Remove everything from a cache but what is being made; returns how many bytes."""
    _remove_stale(root)
    found = entries(root)
    before = sum(entry.size for entry in found)
    for entry in found:
        remove(entry.folder)
    removed = before - sum(entry.size for entry in entries(root))
    for name in (FINGERPRINTS, f"{FINGERPRINTS}-journal"):
        with suppress(OSError):
            size = (root / name).lstat().st_size
            (root / name).unlink()
            removed += size
    return removed


def remove(entry: Path) -> None:
    """An entry: its files by their names; anything else keeps the folder."""
    with suppress(OSError):
        for file in entry.iterdir():
            if _FILES.fullmatch(file.name):
                file.unlink(missing_ok=True)
        entry.rmdir()


def _remove_stale(root: Path) -> None:
    for folder in root.glob(f"{UNFINISHED}*"):
        with suppress(OSError):
            old = time.time() - folder.lstat().st_mtime > STALE_S
            if old and {path.name for path in folder.iterdir()} <= {"entry", "old"}:
                shutil.rmtree(folder, ignore_errors=True)
