"""Study recipes: a task's recipe as the study, the task and the detector change it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from midclass.errors import InputError
from midclass.recipe.file import SUFFIXES, with_files
from midclass.recipe.recipe import Recipe
from midclass.recipe.resolve import did_you_mean

Fields = Mapping[str, Any]


@dataclass(frozen=True)
class Plan:
    """What becomes of a recipe in a study.

    Attributes:
        study: the study file, to which the files named in ``changes`` are relative.
        detector: its name there.
        file: of the recipe.
        changes: place in the study file -> fields that replace those of the recipe, a later one
            before an earlier one.
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
        except InputError as error:
            wrong = str(error)
        with_it = [self._mistake(fields, trust) == wrong for fields in stages]
        place = [None, *self.changes][with_it.index(True)]
        if place is None:  # the recipe's own
            raise InputError(wrong)
        raise InputError(f"{self.study}: {place}: {wrong.removeprefix(f'{self.file}: ')}")

    def _mistake(self, fields: Fields, trust: Collection[Path]) -> str:
        try:
            self._built(fields, trust)
        except InputError as error:
            return str(error)
        return ""

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
    """The entry's recipe for a task's: ``{recipe}`` stands for it without its suffix.

    >>> named("{recipe}_control", "chest_xray"), named("{recipe}_control", "mine.yaml")
    ('chest_xray_control', 'mine_control.yaml')
    """
    if "{recipe}" not in wanted:
        return wanted
    path = Path(recipe)
    suffix = path.suffix if path.suffix in SUFFIXES else ""
    return wanted.replace("{recipe}", recipe.removesuffix(suffix)) + suffix


def merged(fields: Fields, changes: Fields) -> dict[str, Any]:
    """Fields with others put over them, a mapping merged with the mapping in its place.

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
    """Fields of a study file with the whole paths of the files that they name."""
    placed: dict[str, Any] = with_files(change, lambda file: str((folder / file).resolve()))
    return placed
