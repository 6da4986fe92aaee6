"""Study recipes: a task's recipe as the study, the task and the detector change it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from midclass.errors import InputError, did_you_mean
from midclass.recipe.file import with_files
from midclass.recipe.names import SUFFIXES
from midclass.recipe.recipe import Recipe

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """A task's recipe and what the study, the task and the detector change in it.

    Attributes:
        study: the study file, to which the files named in ``changes`` are relative.
        detector: its name there.
        file: of the recipe.
        changes: place in the study file -> fields that replace those of the recipe, in order: where
            two give the same field, the later one counts.
        only, without: see ``Contender``.
    """

    study: Path
    detector: str
    file: Path
    changes: Mapping[str, Fields]
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()

    def recipe(self, trust: Collection[Path]) -> Recipe:
        """The recipe, checked.

        Raises:
            InputError: the recipe or a change of it is wrong; names the file and the place.
        """
        placed = (_placed(change, self.study.parent) for change in self.changes.values())
        first = Recipe.load(self.file, trust).to_dict()
        stages = list(accumulate(placed, merged, initial=first))
        try:
            return self._built(stages[-1], trust)
        except InputError:
            everything = replace(self, only=(), without=())
            everything._blame(stages, trust)
            raise  # of what is selected: no change is wrong by itself

    def _blame(self, stages: Sequence[Fields], trust: Collection[Path]) -> None:
        """Raise the mistake of the first stage that has one: the recipe, or a change by its place.

        Only after the last stage has failed, since a change may put right what one before it did.
        """
        recipe, *changed = stages
        self._built(recipe, trust)
        for place, fields in zip(self.changes, changed, strict=True):
            try:
                self._built(fields, trust)
            except InputError as error:
                mistake = str(error).removeprefix(f"{self.file}: ")
                raise InputError(f"{self.study}: {place}: {mistake}") from error

    def _built(self, fields: Fields, trust: Collection[Path]) -> Recipe:
        """The recipe of these fields with the middle classes that are trained on."""
        whole = Recipe.from_dict(fields, trust, self.file).to_dict()
        whole["middle_classes"] = self._selected(whole["middle_classes"])
        recipe = Recipe.from_dict(whole, trust, self.file)
        recipe.check()
        return recipe

    def _selected(self, classes: Fields) -> dict[str, Any]:
        where = f"{self.study}: detectors.{self.detector}: {self.file.stem}"
        for name in (*self.only, *self.without):
            if name not in classes:
                raise InputError(
                    f"{where} has no middle class {name!r}{did_you_mean(name, classes)}; "
                    f"it has {', '.join(classes)}"
                )
        left = {
            name: one
            for name, one in classes.items()
            if (not self.only or name in self.only) and name not in self.without
        }
        if not left:
            raise InputError(f"{where}: no middle class is left to train on")
        return left


def named(wanted: str, recipe: str) -> str:
    """The recipe that a detector of a study takes in a task.

    Args:
        wanted: the detector's ``recipe`` in the study file.
        recipe: the task's. Where ``wanted`` has ``{recipe}``, this name is put in; the suffix of a
            file moves to the end.

    >>> named("{recipe}_control", "chest_xray"), named("{recipe}_control", "mine.yaml")
    ('chest_xray_control', 'mine_control.yaml')
    """
    if "{recipe}" not in wanted:
        return wanted
    path = Path(recipe)
    suffix = path.suffix if path.suffix in SUFFIXES else ""
    return wanted.replace("{recipe}", recipe.removesuffix(suffix)) + suffix


def merged(fields: Fields, changes: Fields) -> dict[str, Any]:
    """The fields after the changes; of a field that is a mapping, only what the changes name.

    >>> merged({"sham": 0.1, "budget": {"steps": 1, "batch": 8}}, {"budget": {"steps": 2}})
    {'sham': 0.1, 'budget': {'steps': 2, 'batch': 8}}
    """
    both = dict(fields)
    for name, value in changes.items():
        old = both.get(name)
        nested = isinstance(value, Mapping) and isinstance(old, Mapping)
        both[name] = merged(old, value) if nested else value  # type: ignore[arg-type]
    return both


def _placed(change: Fields, folder: Path) -> dict[str, Any]:
    """The fields of a study file, with full paths where they name files."""
    placed: dict[str, Any] = with_files(change, lambda file: str((folder / file).resolve()))
    return placed
