"""Study results: the score tables of a study, compared; what its report is written from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from midclass import comparison
from midclass.comparison import Difference, Estimate, TaskComparison
from midclass.errors import InputError
from midclass.metrics import auroc
from midclass.resolve import did_you_mean
from midclass.results import ScoreTable
from midclass.study_cell import table_of
from midclass.study_file import Study

Tables = dict[str, dict[int, ScoreTable]]
"""Detector -> repeat -> scores, of one task."""


class NotAssessed(NamedTuple):
    """Cases that score -inf, means over the repeats.

    Attributes:
        given, target: their numbers in each class.
        auroc: of telling the classes by this alone, the chance level where there are any.
    """

    given: float
    target: float
    auroc: float


@dataclass(frozen=True)
class Results:
    """What a study found.

    Attributes:
        study: as planned.
        ours: the detector that the others are compared with.
        tables: task -> detector -> repeat -> scores, of detectors with every repeat.
        missing: names of the cells without a score table.
        compared: task -> its comparison, with all detectors of ``tables``.
    """

    study: Study
    ours: str
    tables: Mapping[str, Tables]
    missing: tuple[str, ...]
    compared: Mapping[str, TaskComparison]

    @classmethod
    def of(
        cls, study: Study, folder: Path, ours: str, resamples: int = comparison.RESAMPLES
    ) -> Results:
        """Read the score tables under ``folder/scores`` and compare.

        Raises:
            InputError: no detector ``ours``, or no task has all its repeats.
        """
        if ours not in study.detectors:
            raise InputError(
                f"the study has no detector {ours!r}{did_you_mean(ours, study.detectors)}; "
                f"there are {', '.join(study.detectors)}"
            )
        tables, missing = read(study, folder)
        tables = {task: found for task, found in tables.items() if ours in found}
        if not tables:
            raise InputError(
                f"{folder / 'scores'}: no task has all repeats of {ours}; run the study first"
            )
        compared = {
            task: TaskComparison.of(found, resamples=resamples) for task, found in tables.items()
        }
        return cls(study, ours, tables, missing, compared)

    @cached_property
    def main(self) -> list[str]:
        """The tasks on which there is something to compare with; the others have curves alone."""
        return [task for task in self.tables if len(self.ordered(task)) > 1]

    @cached_property
    def differences(self) -> dict[tuple[str, str], Difference]:
        """(task, detector) -> ours minus that detector's AUROC, of the tasks in ``main``.

        P-values are corrected for all of them together. Detectors that learn from the given class
        alone.
        """
        found = {
            (task, name): self.compared[task].difference(self.ours, name)
            for task in self.main
            for name in self.ordered(task)
            if name != self.ours
        }
        return comparison.holm(found)

    @property
    def resamples(self) -> int:
        """How many were drawn."""
        return len(self.compared[self.main[0]].drawn[self.ours]["auroc"])

    @property
    def least_p(self) -> float:
        """The smallest corrected p-value that so many resamples can show."""
        return min(1.0, len(self.differences) * 2 / (1 + self.resamples))

    @cached_property
    def ranks(self) -> dict[str, float]:
        """Mean rank over the tasks of these detectors and ours."""
        values = {
            task: {name: self.compared[task].estimate(name).value for name in self.ordered(task)}
            for task in self.main
        }
        return comparison.mean_ranks(values) if values else {}

    def not_assessed(self, task: str) -> NotAssessed:
        """The cases that show too little anatomy to be assessed, which score -inf."""
        tables = self.tables[task][self.ours].values()
        counts, areas = [], []
        for table in tables:
            assessed = np.isfinite(table.score)
            counts.append([np.sum(~assessed & (table.label == label)) for label in (0, 1)])
            areas.append(0.5 if assessed.all() else auroc(table.label, assessed.astype(float)))
        given, target = np.mean(counts, 0).tolist()
        return NotAssessed(given, target, float(np.mean(areas)))

    def auroc_of_assessed(self, task: str, detector: str) -> float:
        """Mean AUROC over the repeats without the cases that score -inf; NaN if one class is."""
        areas = []
        for table in self.tables[task][detector].values():
            assessed = np.isfinite(table.score)
            if len(np.unique(table.label[assessed])) == 2:
                areas.append(auroc(table.label[assessed], table.score[assessed]))
        return float(np.mean(areas)) if areas else float("nan")

    def title(self, detector: str) -> str:
        """The detector's name for readers."""
        return self.study.detectors[detector].title or detector.replace("_", " ")

    def kind_title(self, kind: str) -> str:
        """The name for readers of a detector of ``curve``: the first title of its entries."""
        entries = [one for one in self.study.detectors.values() if one.detector == kind]
        return next((one.title for one in entries if one.title), kind.replace("_", " "))

    def task_title(self, task: str) -> str:
        """The task's name for readers."""
        return self.study.tasks[task].title or task.replace("_", " ")

    def ordered(self, task: str) -> list[str]:
        """The task's detectors without positives, best first."""
        names = [name for name in self.tables[task] if not self.study.detectors[name].positives]
        return sorted(names, key=lambda name: -self.compared[task].estimate(name).value)

    def curve(self, task: str) -> dict[str, dict[int, Estimate]]:
        """Detector -> number of positives -> AUROC, where the study varies the number.

        A detector that can do without positives starts at 0 with its figure of the main table.
        """
        curves: dict[str, dict[int, Estimate]] = {}
        for name in self.tables[task]:
            entry = self.study.detectors[name]
            if entry.positives:
                kind = curves.setdefault(entry.detector, {})
                kind[entry.positives] = self.compared[task].estimate(name)
        for name in self.tables[task]:
            entry = self.study.detectors[name]
            plain = not (entry.positives or entry.only or entry.without)
            if plain and entry.recipe == "{recipe}" and entry.detector in curves:
                curves[entry.detector][0] = self.compared[task].estimate(name)
        return {kind: dict(sorted(points.items())) for kind, points in curves.items()}


def read(study: Study, folder: Path) -> tuple[dict[str, Tables], tuple[str, ...]]:
    """The score tables of detectors with every repeat, by task; and the cells without one."""
    tables: dict[str, Tables] = {}
    missing = []
    for task in study.tasks:
        for name in study.detectors_of(task):
            cells = [f"{task}/{name}/{repeat}" for repeat in range(study.repeats)]
            lost = [cell for cell in cells if not table_of(folder, cell).exists()]
            missing += lost
            if not lost:
                found = [ScoreTable.read(table_of(folder, cell)) for cell in cells]
                tables.setdefault(task, {})[name] = dict(enumerate(found))
    return tables, tuple(missing)
