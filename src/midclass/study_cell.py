"""Study cells: one detector on one repeat of one task, as a process gets it."""

from __future__ import annotations

import csv
import shutil
import time
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from midclass.errors import InputError
from midclass.fitting import digest

if TYPE_CHECKING:
    from midclass.images.cohort import Cohort

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


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Attributes:
        name: ``TASK/DETECTOR/REPEAT``.
        seconds: that it took; of an interrupted one, since it went on.
        error: one line, "" where its score table was written.
        settings: see ``Cell.settings``.
    """

    name: str
    seconds: float
    error: str = ""
    settings: str = ""


def run_cell(cell: Cell, folder: Path, cache: Path | None = None) -> Outcome:
    """Fit the cell's detector, score its test cases and write the score table.

    One thread, so that the bytes do not depend on how many cells run at once. An interrupted
    training goes on from its last checkpoint, kept in ``FOLDER/work`` under the cell's settings.
    Errors are caught and told, so that the other cells go on.
    """
    started, wrong, settings = time.monotonic(), "", ""
    try:
        settings = cell.settings
        _score(cell, folder, cache, folder / "work" / cell.name / settings)
    except Exception as error:  # one cell must not end the others, whatever went wrong in it
        text = " ".join(str(error).split()) or "no message"
        kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
        wrong = f"{kind}{text}"
    return Outcome(cell.name, time.monotonic() - started, wrong, settings)


def _score(cell: Cell, folder: Path, cache: Path | None, work: Path) -> None:
    import torch

    from midclass import evaluation
    from midclass.fitting import detector_class
    from midclass.images.cohort import Cohort
    from midclass.images.prepare import prepare
    from midclass.recipe import Recipe

    torch.set_num_threads(1)
    recipe = Recipe.from_dict(cell.recipe, cell.trust, cell.source)
    cohort = Cohort.from_manifest(cell.cohort, cell.split)
    train, test = parts(cohort, cell)
    train.check_no_leak(test)
    positives = train.some_of_target_class(cell.positives, cell.repeat)
    detector = detector_class(cell.module, cell.trust)(recipe)
    detector.fit(
        prepare(train.given_class(), recipe, cache=cache),
        positives=prepare(positives, recipe, cache=cache) if len(positives) else None,
        seed=cell.repeat,
        max_fpr=cell.max_fpr,
        workdir=work,
    )
    slices = evaluation.slice_numbers(cell.cohort, test)
    table = evaluation.score_table(detector, prepare(test, recipe, cache=cache), slices)
    table.write(table_of(folder, cell.name))
    shutil.rmtree(work.parent, ignore_errors=True)  # also what other settings left


def parts(cohort: Cohort, cell: Cell) -> tuple[Cohort, Cohort]:
    """The cases to learn from and those to score; see ``Task.known_patients``."""
    train, test = cohort.part("train"), cohort.part("test")
    target = test.target_class().patients
    count = round(cell.known_patients * len(target))
    if not count:
        return train, test
    known = set(np.random.default_rng(cell.repeat).permutation(target)[:count].tolist())
    learn = np.array([c.part == "train" or c.patient_id in known for c in cohort])
    score = np.array([c.part == "test" and c.patient_id not in known for c in cohort])
    return cohort[learn], cohort[score]


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


def add_to_log(folder: Path, outcome: Outcome) -> None:
    """One line a cell: how long it took; kept apart from the scores, whose bytes are repeatable."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("a", encoding="utf-8", newline="") as file:
        row = outcome.name, f"{outcome.seconds:.0f}", outcome.error, outcome.settings
        csv.writer(file, lineterminator="\n").writerow(row)
