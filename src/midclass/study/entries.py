"""Entries of a study file: its tasks and its detectors."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from midclass.recipe.parts import Part


class Task(Part):
    """A recipe and the cases that it is measured on.

    Attributes:
        recipe: shipped name, or a ``.yaml`` file beside the study file.
        cohort: manifest, relative to the study's data folder.
        root: folder to which the manifest's paths are relative, itself relative to the study's data
            folder; by default that of the manifest.
        split: column of the split; ``{repeat}`` becomes the number of the repeat.
        change: fields that replace those of its recipes, for every detector alike; goes before
            the study's ``common``. Files in both are relative to the study file.
        title: its name for readers; by default its name in the file.
        known_patients: share of the test part's target-class patients who are learned from and
            not tested, drawn by the number of the repeat. It is for detectors with positives,
            where the split leaves no target-class case to learn from.
        max_fpr: promised false-alarm rate where it is another than the study's: few cases of the
            given class cannot promise a small one.
        redraw: draw the patients of the given class anew in each repeat, by its number, as many
            to learn from as the split has; those with any target-class case stay where they are.
    """

    recipe: str
    cohort: str
    root: str | None = None
    split: str | None = None
    change: dict[str, Any] = Field(default_factory=dict)
    title: str = ""
    known_patients: float = Field(default=0.0, ge=0, lt=1)
    max_fpr: float | None = Field(default=None, gt=0, lt=1)
    redraw: bool = False


class Contender(Part):
    """A detector of the study, and what it changes in every task's recipe.

    Attributes:
        detector: module of ``midclass.detectors`` (``module.Class`` where it has several), or
            ``package.module:Class`` of a trusted package, or ``file.py:Class`` beside the study
            file; by default the one of the entry's name, else ours.
        recipe: instead of the task's; ``{recipe}`` stands for the task's, without its suffix.
        change: fields of every recipe that this detector alone has otherwise, such as its learning
            rate; goes before the task's and the study's.
        only: the middle classes to train on; the others are left out.
        without: middle classes to leave out.
        tasks: the tasks it is run on; all of them by default.
        positives: how many target-class cases of the training part it learns from too. They are
            drawn by the number of the repeat, the same for all detectors. A larger number of
            positives includes the cases of a smaller one.
        title: its name for readers; by default its name in the file.
    """

    detector: str = "middle_class"
    recipe: str = "{recipe}"
    change: dict[str, Any] = Field(default_factory=dict)
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    tasks: tuple[str, ...] | None = None
    positives: int = Field(default=0, ge=0, le=1_000_000)
    title: str = ""

    @property
    def kind(self) -> str:
        """The same for entries that differ in positives, tasks and title alone: one curve."""
        return self.model_dump_json(exclude={"positives", "tasks", "title"})

    def apart(self, other: Contender) -> bool:
        """Whether no task has both."""
        return not (self.tasks is None or other.tasks is None or {*self.tasks} & {*other.tasks})
