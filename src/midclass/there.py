"""There: what a user names is there, which can be told before what reads it is imported."""

from __future__ import annotations

import os
from pathlib import Path

from midclass.errors import InputError


def refuse_no_file(path: Path, what: str = "file") -> None:
    """Raise InputError where a path is no file; ``what`` is what it should be."""
    if not path.is_file():
        raise InputError(f"{path}: no such {what}")


def refuse_nothing(path: Path) -> None:
    """Raise InputError where there is neither file nor folder, nor a link to none."""
    if not os.path.lexists(path):
        raise InputError(f"{path}: no such file or folder")


def refuse_no_folder(path: Path, way_out: str) -> None:
    """Raise InputError where a path is no folder."""
    if not path.is_dir():
        raise InputError(f"{path}: is no folder; {way_out}")


def refuse_no_detector(folder: Path, name: str = "detector.json") -> None:
    """Raise InputError where a folder has no file of that name of a saved detector."""
    file = folder / name
    if not file.exists() and not file.is_symlink():
        raise InputError(
            f"{folder}: no saved detector here ({name} is missing); make one with `midclass fit`"
        )
