"""Study results: the score tables of a study, compared; what its report is written from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from midclass.detectors.provenance import images_of
from midclass.errors import InputError, did_you_mean
from midclass.evaluation import comparison
from midclass.evaluation.comparison import Difference, Estimate, TaskComparison
from midclass.evaluation.ranks import RankTest
from midclass.evaluation.report import bounds, reasons
from midclass.evaluation.table import ScoreTable
from midclass.study.cell import table_of
from midclass.study.file import Study

Tables = dict[str, dict[int, ScoreTable]]
"""Detector -> repeat -> scores, of one task."""


class Unseen(NamedTuple):
    """Cases that a detector did not assess, means over the repeats.

    Attributes:
        given, target: their share of each class.
        low, high: the least and the most that the AUROC can be, whatever they would score.
    """

    given: float
    target: float
    low: float
    high: float


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
            InputError: no detector ``ours``, no task has all its repeats, or a score table is
                wrong.
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
        """The tasks that get a table of their detectors without positives.

        A task with a single such detector gets none if it has a curve over the number of
        positives, which shows the detector too. If no task is left, all with a detector get one.
        """
        alone = [task for task in self.tables if self.ordered(task)]
        compared = [t for t in alone if len(self.ordered(t)) > 1 or not self.curve(t)]
        return compared or alone

    @cached_property
    def differences(self) -> dict[tuple[str, str], Difference]:
        """(task, detector) -> our AUROC minus that detector's, in the tasks of ``main``.

        Only detectors that learn from the given class alone are compared. Their p-values are
        corrected for all comparisons together.
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
        return len(next(iter(self.compared.values())).drawn[self.ours]["auroc"])

    @property
    def least_p(self) -> float:
        """The smallest p-value, after correction, that this number of resamples can show."""
        return min(1.0, len(self.differences) * 2 / (1 + self.resamples))

    @cached_property
    def ranks(self) -> dict[str, float]:
        """Mean rank of each detector without positives that every task of ``main`` has.

        Ranks are of the AUROC on the cases that all detectors assessed.
        """
        return comparison.mean_ranks(self._alike_values) if self.main else {}

    @cached_property
    def rank_test(self) -> RankTest | None:
        """Whether these differ over the tasks; None where there is nothing to compare."""
        return RankTest.of(self._alike_values)

    @cached_property
    def _alike_values(self) -> dict[str, dict[str, float]]:
        return {
            task: {name: self._alike(task).estimate(name).value for name in self.ordered(task)}
            for task in self.main
        }

    def unseen(self, task: str, detector: str) -> Unseen:
        """The cases that the detector did not assess."""
        found = [
            (
                *(np.mean(~table.assessed[table.label == label]) for label in (0, 1)),
                *bounds(table)["auroc"],
            )
            for table in self.tables[task][detector].values()
        ]
        return Unseen(*np.mean(found, 0).tolist())

    def reasons(self, task: str, detector: str) -> list[str]:
        """Why it did not assess them, without figures, the most frequent first."""
        found = Counter[str]()
        for table in self.tables[task][detector].values():
            found.update(reasons(table))
        return [reason for reason, _ in found.most_common()]

    def assesses_all(self, task: str) -> bool:
        """Whether every detector of the task, with positives too, assessed every case."""
        tables = (table for found in self.tables[task].values() for table in found.values())
        return all(table.assessed.all() for table in tables)

    def _alike(self, task: str) -> TaskComparison:
        return self.compared[task].alike or self.compared[task]

    def ordered(self, task: str) -> list[str]:
        """The task's detectors without positives, best first."""
        names = [name for name in self.tables[task] if not self.study.detectors[name].positives]
        return sorted(names, key=lambda name: -self.compared[task].estimate(name).value)

    def curve(self, task: str) -> dict[str, dict[int, Estimate]]:
        """``Contender.kind`` -> number of positives -> AUROC, where the study varies the number.

        A kind that can do without positives starts at 0 with its figure of the main table.
        """
        entries = {name: self.study.detectors[name] for name in self.tables[task]}
        curves: dict[str, dict[int, Estimate]] = {
            entry.kind: {} for entry in entries.values() if entry.positives
        }
        for name, entry in entries.items():
            if entry.kind in curves:
                curves[entry.kind][entry.positives] = self.compared[task].estimate(name)
        return {kind: dict(sorted(points.items())) for kind, points in curves.items()}

    @cached_property
    def known_differences(self) -> dict[tuple[str, str], Difference]:
        """(task, detector with positives) -> our AUROC minus its, with as many positives.

        Ours is the entry of the same kind as ``ours``. P-values are corrected for all of these
        comparisons together.
        """
        entries, found = self.study.detectors, dict[tuple[str, str], Difference]()
        kind = entries[self.ours].kind
        for task, tables in self.tables.items():
            by_number = {
                entries[name].positives: name for name in tables if entries[name].kind == kind
            }
            for name in tables:
                own = by_number.get(entries[name].positives)
                if own and entries[own].positives and name != own:
                    found[task, name] = self.compared[task].difference(own, name)
        return comparison.holm(found)

    def known_curves(self, task: str) -> dict[str, dict[int, Difference]]:
        """The same of a task by ``Contender.kind`` and number of positives."""
        curves: dict[str, dict[int, Difference]] = {}
        for (where, name), one in self.known_differences.items():
            if where == task:
                entry = self.study.detectors[name]
                curves.setdefault(entry.kind, {})[entry.positives] = one
        return {kind: dict(sorted(points.items())) for kind, points in curves.items()}


def read(study: Study, folder: Path) -> tuple[dict[str, Tables], tuple[str, ...]]:
    """The score tables of detectors with every repeat, by task; and the cells without one."""
    tables: dict[str, Tables] = {}
    missing = []
    for task in study.tasks:
        for name in study.detectors_of(task):
            cells = study.names_of(task, name)
            lost = [cell for cell in cells if not table_of(folder, cell).exists()]
            missing += lost
            if not lost:
                found = [_read(table_of(folder, cell)) for cell in cells]
                tables.setdefault(task, {})[name] = dict(enumerate(found))
    for task, found_of in tables.items():
        for repeat in range(study.repeats):
            _refuse_other_images([table_of(folder, f"{task}/{n}/{repeat}") for n in found_of])
    return tables, tuple(missing)


def _refuse_other_images(files: Sequence[Path]) -> None:
    """Refuse score tables of one task and repeat whose images changed between them."""
    known = {images: file for file in files if (images := images_of(file))}
    if len(known) > 1:
        one, other = list(known.values())[:2]
        raise InputError(
            f"{one} and {other} are of other images: files changed between them, and a comparison "
            "would pair what is no pair; remove those of before, and run the study again"
        )


def _read(path: Path) -> ScoreTable:
    table = ScoreTable.read(path)
    for label, which in ((table.label, "cases"), (table.label[table.assessed], "assessed cases")):
        if set(label.tolist()) != {0, 1}:
            raise InputError(
                f"{path}: its {which} are not of both classes (labels 0 and 1), so that there is "
                "nothing to measure; remove it and run the study with another split or anatomy"
            )
    return table
