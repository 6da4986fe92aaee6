"""Study files: tasks, detectors and repeats as YAML, checked and laid out as a list of cells."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from itertools import combinations
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, field_validator

from midclass.detectors.catalogue import detector_class, detector_names
from midclass.errors import InputError, did_you_mean
from midclass.files import refuse_no_file
from midclass.recipe.file import parse_yaml, with_files
from midclass.recipe.names import find
from midclass.recipe.parts import Part
from midclass.recipe.recipe import Recipe
from midclass.study.cell import Cell
from midclass.study.entries import Contender, Task
from midclass.study.plan import Plan, named

NEARLY = 0.8
"""How alike the name of an entry that says nothing is to a detector's, if it is a slip."""


class Study(Part):
    """Tasks x detectors x repeats; see ``studies/ablation/study.yaml`` for one to read.

    Attributes:
        name: of the study.
        summary: one line for readers.
        repeats: how many; repeat r trains with seed r.
        max_fpr: promised false-alarm rate.
        common: fields that replace those of every recipe, for every detector alike, such as
            ``{geometry: {size: [96, 96]}, budget: {steps: 100}}``.
        tasks: by name.
        detectors: by name.
    """

    name: str = Field(min_length=1)
    summary: str = ""
    repeats: int = Field(default=5, gt=0, le=1000)
    max_fpr: float = Field(default=0.05, gt=0, lt=1)
    common: dict[str, Any] = Field(default_factory=dict)
    tasks: dict[str, Task] = Field(min_length=1)
    detectors: dict[str, Contender] = Field(min_length=1)

    _source: Path = PrivateAttr(default=Path("study.yaml"))

    @field_validator("detectors", mode="before")
    @classmethod
    def _named_alone(cls, detectors: Any) -> Any:
        """``pca:`` with nothing behind it is the detector ``pca`` as it is."""
        if not isinstance(detectors, dict):
            return detectors
        said = {name: {} if entry is None else entry for name, entry in detectors.items()}
        return {
            name: {"detector": name} | entry
            if isinstance(entry, dict) and name in detector_names()
            else entry
            for name, entry in said.items()
        }

    @classmethod
    def load(cls, path: str | Path) -> Study:
        """Read and check a study file.

        Raises:
            InputError: names the file, the field and the way out.
        """
        path = Path(path)
        refuse_no_file(path, "study file")
        try:
            study = cls.model_validate(parse_yaml(path))
        except ValidationError as error:
            raise InputError(f"{path}: {_first(error)}") from error
        study._source = path
        study._check_names()
        study._check_titles()
        return study

    def _check_names(self) -> None:
        for kind, names in (("task", self.tasks), ("detector", self.detectors)):
            for name in names:
                if not name.replace("_", "").replace("-", "").isalnum():
                    raise InputError(
                        f"{self._source}: {kind} {name!r} must be letters, digits, - and _, "
                        "because it becomes the name of a folder"
                    )
        for name, entry in self.detectors.items():
            close = difflib.get_close_matches(name, detector_names(), n=1, cutoff=NEARLY)
            if close and not entry.model_fields_set - {"tasks", "title"}:
                raise InputError(
                    f"{self._source}: detectors.{name}: no detector is called so; did you mean "
                    f"{close[0]}? If not, give detector: NAME"
                )
            for task in entry.tasks or ():
                if task not in self.tasks:
                    raise InputError(
                        f"{self._source}: detectors.{name}.tasks: no task {task!r}"
                        f"{did_you_mean(task, self.tasks)}; there are {', '.join(self.tasks)}"
                    )

    def _check_titles(self) -> None:
        """Rows and lines of a report are told apart by their titles."""
        for one, other in combinations(self.tasks, 2):
            if self.task_title(one) == self.task_title(other):
                self._refuse_title("tasks", one, other, self.task_title(one))
        lines = {name: self.kind_title(entry.kind) for name, entry in self.detectors.items()}
        for one, other in combinations(self.detectors, 2):
            a, b = self.detectors[one], self.detectors[other]
            points = a.kind == b.kind and a.positives != b.positives  # of one line
            if self.title(one) == self.title(other) and not points:
                self._refuse_title("detectors", one, other, self.title(one))
            if a.positives and b.positives and a.kind != b.kind and lines[one] == lines[other]:
                self._refuse_title("detectors", one, other, lines[one])
            if a.kind == b.kind and a.positives == b.positives > 0 and not a.apart(b):
                raise InputError(
                    f"{self._source}: detectors.{one} and detectors.{other} are the same, with "
                    f"{a.positives} positives each on one task; leave one out"
                )

    def _refuse_title(self, part: str, one: str, other: str, title: str) -> None:
        raise InputError(
            f"{self._source}: {part}.{one} and {part}.{other} would both be called {title!r} in "
            "the report; give each a title"
        )

    def title(self, detector: str) -> str:
        """A detector's name for readers."""
        return self.detectors[detector].title or detector.replace("_", " ")

    def kind_title(self, kind: str) -> str:
        """The name for readers of entries of one kind: the first title, or what they share."""
        entries = {name: one for name, one in self.detectors.items() if one.kind == kind}
        titles = [one.title for one in entries.values() if one.title]
        titles += [self.title(name) for name, one in entries.items() if not one.positives]
        return [*titles, next(iter(entries.values())).detector.replace("_", " ")][0]

    def task_title(self, task: str) -> str:
        """A task's name for readers."""
        return self.tasks[task].title or task.replace("_", " ")

    def detectors_of(self, task: str) -> list[str]:
        """The names of the detectors that are run on a task."""
        return [n for n, e in self.detectors.items() if e.tasks is None or task in e.tasks]

    def names_of(self, task: str, detector: str) -> list[str]:
        """``TASK/DETECTOR/REPEAT`` of each repeat."""
        return [f"{task}/{detector}/{repeat}" for repeat in range(self.repeats)]

    def max_fpr_of(self, task: str) -> float:
        """The false-alarm rate that is promised in a task."""
        return self.tasks[task].max_fpr or self.max_fpr

    def cells(self, data: Path, trust: Collection[Path] = ()) -> list[Cell]:
        """All cells, repeat by repeat: a study that is cut short has all tasks and detectors.

        Args:
            data: folder to which the manifests are relative.
            trust: files of the user's that may run.

        Raises:
            InputError: a recipe or one of its fields is wrong, or a middle class does not exist.
        """
        for name, entry in self.detectors.items():
            place = f"{self._source}: detectors.{name}"
            try:
                kind = detector_class(self._module(name), trust)
            except InputError as error:
                raise InputError(f"{place}: {error}") from error
            kind.check_number_of_positives(entry.positives, f"{place}: {entry.detector}")
        made = {
            (task, name): self._recipe(task, name, trust)
            for task in self.tasks
            for name in self.detectors_of(task)
        }
        for (_, name), (recipe, _) in made.items():
            if self.detectors[name].positives:
                what = f"{self._source}: detectors.{name}: positives cannot be learned from"
                recipe.geometry.refuse_tiles(what)
        return [
            Cell(
                task=task,
                detector=name,
                repeat=repeat,
                recipe=recipe.to_dict(),
                module=self._module(name),
                cohort=data / self.tasks[task].cohort,
                split=_numbered(self.tasks[task].split, repeat),
                max_fpr=self.max_fpr_of(task),
                source=source,
                trust=tuple(trust),
                positives=self.detectors[name].positives,
                known_patients=self.tasks[task].known_patients,
                root=None if (root := self.tasks[task].root) is None else data / root,
                redraw=self.tasks[task].redraw,
            )
            for repeat in range(self.repeats)
            for (task, name), (recipe, source) in made.items()
        ]

    def _module(self, name: str) -> str:
        """The detector's module, or its file relative to where the command runs."""
        module = self.detectors[name].detector
        placed: str = with_files(module, lambda file: str(self._source.parent / file))
        return placed

    def _recipe(self, task: str, name: str, trust: Collection[Path]) -> tuple[Recipe, Path]:
        """The task's recipe as the detector and the study change it, and its file."""
        entry = self.detectors[name]
        try:
            file = find(named(entry.recipe, self.tasks[task].recipe), self._source.parent)
        except InputError as error:
            place = f"recipe of tasks.{task} and detectors.{name}"
            raise InputError(f"{self._source}: {place}: {error}") from error
        changes = {
            "common": self.common,
            f"tasks.{task}.change": self.tasks[task].change,
            f"detectors.{name}.change": entry.change,
        }
        plan = Plan(self._source, name, file, changes, entry.only, entry.without)
        return plan.recipe(trust), file


def _numbered(split: str | None, repeat: int) -> str | None:
    return None if split is None else split.replace("{repeat}", str(repeat))


def _first(error: ValidationError) -> str:
    """The first mistake in a study file, and the way out."""
    # A field that is nearly one of ours says more than that ours is missing.
    mistakes = error.errors()
    extra = [one for one in mistakes if one["type"] == "extra_forbidden"]
    mistake = [*extra, *mistakes][0]
    *parents, last = map(str, mistake["loc"])
    if mistake["type"] != "extra_forbidden":
        return f"{'.'.join((*parents, last))}: {mistake['msg'].removeprefix('Value error, ')}"
    parts: dict[str, type[BaseModel]] = {"tasks": Task, "detectors": Contender}
    part = parts.get(parents[0] if parents else "", Study)
    known = list(part.model_fields)
    inside = f"{'.'.join(parents)}: " if parents else ""
    return f"{inside}no field {last!r}{did_you_mean(last, known)}; there are {', '.join(known)}"
