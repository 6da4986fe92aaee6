"""Folder: the files of a saved detector, by their names."""

from __future__ import annotations

from pathlib import Path

from midclass.errors import InputError

ABOUT, WEIGHTS = "detector.json", "weights.safetensors"


def refuse_no_detector(folder: Path, name: str = ABOUT) -> None:
    """Raise InputError where a folder has no file of that name of a saved detector.

    A broken link counts as one. Raises OSError where the folder may not be read.
    """
    file = folder / name
    if not file.exists() and not file.is_symlink():
        raise InputError(
            f"{folder}: no saved detector here ({name} is missing); make one with `midclass fit`"
        )
