"""Study cells: one detector on one repeat of one task, as a process gets it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any


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
    def name(self) -> str:
        """``TASK/DETECTOR/REPEAT``."""
        return f"{self.task}/{self.detector}/{self.repeat}"


def table_of(folder: Path, cell: str) -> Path:
    """``FOLDER/scores/TASK/DETECTOR/REPEAT.csv`` of the cell with this name."""
    return folder / "scores" / f"{cell}.csv"
