"""Folder: the files of a saved detector, by their names."""

from __future__ import annotations

import os
from pathlib import Path

from midclass.errors import InputError

ABOUT, WEIGHTS = "detector.json", "weights.safetensors"


def refuse_no_detector(folder: Path, name: str = ABOUT) -> None:
    """Raise InputError where a folder has no file of that name of a saved detector."""
    if not os.path.lexists(folder / name):
        raise InputError(
            f"{folder}: no saved detector here ({name} is missing); make one with `midclass fit`"
        )
