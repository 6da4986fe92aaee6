"""Folder: the files of a saved detector by their names, and which detectors are refused."""

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


def moving(moved: bool) -> str:
    """How unlabelled cases move a threshold, in words; of one that was moved, that of before."""
    return "--unlabelled" + (" of the detector of before, with these cases, too" if moved else "")


def refuse_unmovable(folder: Path, *, in_folds: bool, moved: bool) -> None:
    """Raise InputError where unlabelled cases cannot move the threshold of a detector."""
    if in_folds:
        raise InputError(
            f"{folder}: learned in folds, whose scores are ranks and cannot be moved; calibrate "
            "with cases that are known to be normal, or fit with more normals (--folds 0)"
        )
    if moved:
        raise InputError(
            f"{folder}: was moved by unlabelled cases already; move the detector of before, with "
            "all of the cases"
        )
