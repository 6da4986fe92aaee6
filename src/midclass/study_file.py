"""Study files: tasks, detectors and repeats as YAML, checked and laid out as a list of cells."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from midclass.errors import InputError
from midclass.fitting import detector_class
from midclass.recipe import Recipe
from midclass.recipe_file import SUFFIXES, find, parse_yaml
from midclass.resolve import did_you_mean
from midclass.study_cell import Cell


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Task(_Part):
    """A recipe and the cases that it is measured on.

    Attributes:
        recipe: shipped name, or a ``.yaml`` file beside the study file.
        cohort: manifest, relative to the study's data folder.
        split: column of the split; ``{repeat}`` becomes the number of the repeat.
        change: fields that replace those of its recipes, for every detector alike; goes before
            the study's ``common``.
        title: its name for readers; by default its name in the file.
        known_patients: share of the test part's target-class patients who are learned from and
            not tested, drawn by the number of the repeat. For detectors with positives, where the
            split leaves none to learn from.
        max_fpr: promised false-alarm rate where it is another than the study's: few cases of the
            given class cannot promise a small one.
    """

    recipe: str
    cohort: str
    split: str | None = None
    change: dict[str, Any] = {}
    title: str = ""
    known_patients: float = Field(default=0.0, ge=0, lt=1)
    max_fpr: float | None = Field(default=None, gt=0, lt=1)


class Entry(_Part):
    """A detector of the study, and what it changes in every task's recipe.

    Attributes:
        detector: module of ``midclass.detectors`` (``module.Class`` where it has several), or
            ``file.py:Class`` beside the study file.
        recipe: instead of the task's; ``{recipe}`` stands for the task's, without its suffix.
        change: fields of every recipe that this detector alone has otherwise, such as its learning
            rate; goes before the task's and the study's.
        only: the middle classes to train on; the others are left out.
        without: middle classes to leave out.
        tasks: the tasks it is run on; all of them by default.
        positives: how many target-class cases of the training part it learns from too. Those of a
            repeat are drawn by its number, the same for all detectors, and the fewer are among
            the more.
        title: its name for readers; by default its name in the file.
    """

    detector: str = "middle_class"
    recipe: str = "{recipe}"
    change: dict[str, Any] = {}
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    tasks: tuple[str, ...] | None = None
    positives: int = Field(default=0, ge=0)
    title: str = ""


class Study(_Part):
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
    repeats: int = Field(default=5, gt=0)
    max_fpr: float = Field(default=0.05, gt=0, lt=1)
    common: dict[str, Any] = {}
    tasks: dict[str, Task] = Field(min_length=1)
    detectors: dict[str, Entry] = Field(min_length=1)

    _source: Path = PrivateAttr(default=Path("study.yaml"))

    @classmethod
    def load(cls, path: str | Path) -> Study:
        """Read and check a study file.

        Raises:
            InputError: names the file, the field and the way out.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(f"{path}: no such study file")
        try:
            study = cls.model_validate(parse_yaml(path))
        except ValidationError as error:
            raise InputError(f"{path}: {_first(error)}") from error
        study._source = path
        study._check_names()
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
            for task in entry.tasks or ():
                if task not in self.tasks:
                    raise InputError(
                        f"{self._source}: detectors.{name}.tasks: no task {task!r}"
                        f"{did_you_mean(task, self.tasks)}; there are {', '.join(self.tasks)}"
                    )

    def detectors_of(self, task: str) -> list[str]:
        """The names of the detectors that are run on a task."""
        return [n for n, e in self.detectors.items() if e.tasks is None or task in e.tasks]

    def max_fpr_of(self, task: str) -> float:
        """The false-alarm rate that is promised in a task."""
        return self.tasks[task].max_fpr or self.max_fpr

    def cells(self, data: Path, trust: Collection[Path] = ()) -> list[Cell]:
        """All cells, repeat by repeat, so that a part of a study has all tasks and detectors.

        Args:
            data: folder to which the manifests are relative.
            trust: files of the user's that may run.

        Raises:
            InputError: a recipe or one of its fields is wrong, or a middle class does not exist.
        """
        for name, entry in self.detectors.items():
            detector_class(self._module(name), trust).check_number_of_positives(
                entry.positives, f"{self._source}: detectors.{name}: {entry.detector}"
            )
        made = {
            (task, name): self._recipe(task, name, trust)
            for task in self.tasks
            for name in self.detectors_of(task)
        }
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
            )
            for repeat in range(self.repeats)
            for (task, name), (recipe, source) in made.items()
        ]

    def _module(self, name: str) -> str:
        """The detector's module, or its file relative to where the command runs."""
        file, colon, cls = self.detectors[name].detector.rpartition(":")
        return f"{self._source.parent / file}:{cls}" if colon else cls

    def _recipe(self, task: str, name: str, trust: Collection[Path]) -> tuple[Recipe, Path]:
        """The task's recipe as the detector and the study change it, and its file."""
        entry, where = self.detectors[name], f"{self._source}: detectors.{name}"
        asked = _named(entry.recipe, self.tasks[task].recipe)
        file = find(asked, self._source.parent)
        fields = _merged(Recipe.load(file, trust).to_dict(), self.common)
        fields = _merged(_merged(fields, self.tasks[task].change), entry.change)
        fields["middle_classes"] = _selected(fields["middle_classes"], entry, f"{where}: {asked}")
        changed = Recipe.from_dict(fields, trust, source=file)
        changed.check()
        return changed, file


def _named(wanted: str, recipe: str) -> str:
    """The entry's recipe for a task's: ``{recipe}`` stands for it without its suffix.

    >>> _named("{recipe}_control", "chest_xray"), _named("{recipe}_control", "mine.yaml")
    ('chest_xray_control', 'mine_control.yaml')
    """
    if "{recipe}" not in wanted:
        return wanted
    path = Path(recipe)
    suffix = path.suffix if path.suffix in SUFFIXES else ""
    return wanted.replace("{recipe}", recipe.removesuffix(suffix)) + suffix


def _numbered(split: str | None, repeat: int) -> str | None:
    return None if split is None else split.replace("{repeat}", str(repeat))


def _merged(fields: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with others put over them, a mapping merged with the mapping in its place."""
    both = dict(fields)
    for name, value in changes.items():
        old = both.get(name)
        nested = isinstance(value, Mapping) and isinstance(old, Mapping)
        both[name] = _merged(old, value) if nested else value  # type: ignore[arg-type]
    return both


def _selected(classes: Mapping[str, Any], entry: Entry, where: str) -> dict[str, Any]:
    """The middle classes that an entry trains on."""
    for name in (*entry.only, *entry.without):
        if name not in classes:
            raise InputError(
                f"{where} has no middle class {name!r}{did_you_mean(name, classes)}; "
                f"it has {', '.join(classes)}"
            )
    left = {
        name: one
        for name, one in classes.items()
        if (not entry.only or name in entry.only) and name not in entry.without
    }
    if not left:
        raise InputError(f"{where}: no middle class is left to train on")
    return left


def _first(error: ValidationError) -> str:
    """The first mistake in a study file, and the way out."""
    mistake = error.errors()[0]
    *parents, last = map(str, mistake["loc"])
    if mistake["type"] != "extra_forbidden":
        return f"{'.'.join((*parents, last))}: {mistake['msg'].removeprefix('Value error, ')}"
    parts: dict[str, type[BaseModel]] = {"tasks": Task, "detectors": Entry}
    part = parts.get(parents[0] if parents else "", Study)
    known = list(part.model_fields)
    inside = f"{'.'.join(parents)}: " if parents else ""
    return f"{inside}no field {last!r}{did_you_mean(last, known)}; there are {', '.join(known)}"
