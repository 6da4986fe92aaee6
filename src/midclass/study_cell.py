"""Study cells: one detector on one repeat of one task, as a process gets it."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from midclass.fitting import digest

LOG = "log.csv"
"""In a study's folder: cell, seconds, error and settings of each one that has ended."""


@dataclass(frozen=True)
class Cell:
    """One detector on one repeat of one task: what a process needs to compute its score table.

    Attributes:
        task, detector, repeat: where its score table lies.
        recipe: fields of the recipe.
        module: of the detector.
        cohort: path of the manifest.
        split: column, or None.
        max_fpr: promised false-alarm rate.
        source: the recipe's file, to which the files that it names are relative.
        trust: files of the user's that may run.
        positives: number of target-class cases to learn from.
        known_patients: see ``Task``.
    """

    task: str
    detector: str
    repeat: int
    recipe: dict[str, Any]
    module: str
    cohort: Path
    split: str | None
    max_fpr: float
    source: Path
    trust: tuple[Path, ...] = ()
    positives: int = 0
    known_patients: float = 0.0

    def absolute(self) -> Cell:
        """The same with paths that mean the same in any folder."""
        file, colon, cls = self.module.rpartition(":")
        return replace(
            self,
            module=f"{Path(file).resolve()}:{cls}" if colon else self.module,
            cohort=self.cohort.resolve(),
            source=self.source.resolve(),
            trust=tuple(path.resolve() for path in self.trust),
        )

    @property
    def settings(self) -> str:
        """Hash of what its scores depend on beside the images; the same in any folder."""
        file, _, _ = (self.split or "").rpartition(":")
        read = [self.cohort, *([self.cohort.parent / file] if file else []), *self.trust]
        return digest(
            self.recipe,
            Path(self.module).name,
            self.split,
            self.max_fpr,
            self.repeat,
            self.positives,
            self.known_patients,
            *(sha256(path.read_bytes()).hexdigest() for path in read if path.is_file()),
        )

    @property
    def name(self) -> str:
        """``TASK/DETECTOR/REPEAT``."""
        return f"{self.task}/{self.detector}/{self.repeat}"


def table_of(folder: Path, cell: str) -> Path:
    """``FOLDER/scores/TASK/DETECTOR/REPEAT.csv`` of the cell with this name."""
    return folder / "scores" / f"{cell}.csv"


def read_log(folder: Path) -> list[list[str]]:
    """Rows of the study's log, ``[cell, seconds, error, settings]``, in the order of their ends."""
    log = folder / LOG
    if not log.exists():
        return []
    with log.open(encoding="utf-8", newline="") as file:
        return [[*row, *[""] * (4 - len(row))] for row in csv.reader(file)]
