"""Place: the folder of an evaluation, and the names of its files."""

from __future__ import annotations

from pathlib import Path

from midclass.errors import InputError

ABOUT, SUMMARY, SCORES, PATIENTS = "run.json", "summary.json", "scores.csv", "patients.csv"


def folder_of(place: Path) -> Path:
    """The folder of an evaluation: the place itself, or ``evaluation`` in a detector's folder.

    Raises:
        InputError: it is neither.
    """
    for folder in (place, place / "evaluation"):
        if (folder / SUMMARY).is_file() and (folder / SCORES).is_file():
            return folder
    missing = "is no folder" if not place.is_dir() else f"has no {SUMMARY} and {SCORES}"
    raise InputError(f"{place}: {missing}; give the folder that `midclass evaluate` wrote")
