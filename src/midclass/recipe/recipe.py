"""Recipe: one task as YAML, with its geometry, intensity, anatomy, knowledge and nuisance.

Reading a recipe checks its structure and imports nothing heavy; ``check`` resolves every name and
argument, which imports torch and the operators.
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from midclass.errors import InputError, did_you_mean
from midclass.recipe.budget import Budget, weights_file
from midclass.recipe.build import build
from midclass.recipe.entry import Entry, built
from midclass.recipe.file import read_fields
from midclass.recipe.function import AnatomyFunction, anatomy_function
from midclass.recipe.names import find
from midclass.recipe.parts import Accepts, Geometry, Intensity, Part
from midclass.recipe.resolve import resolve

if TYPE_CHECKING:
    from midclass.knowledge.base import Knowledge
    from midclass.knowledge.nuisance import Nuisance


def _name_or_names(value: Any) -> Any:
    names = value if isinstance(value, list | tuple) else [value]
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError("give the name of an anatomy function, or a list of such names")
    return value if isinstance(value, str) else tuple(names)


class Recipe(Part):
    """One task; see ``shipped/chest_xray.yaml`` for one to read, ``blank.yaml`` for all fields.

    >>> recipe = Recipe.load("chest_xray")
    >>> recipe.geometry.size, recipe.anatomy
    ((128, 128), 'anatomy.lungs')
    """

    name: str = Field(min_length=1)
    summary: str = ""
    given_class: str
    target_class: str
    geometry: Geometry
    intensity: Intensity = Intensity()
    accepts: Accepts = Accepts()
    anatomy: Annotated[str | tuple[str, ...], BeforeValidator(_name_or_names)]
    middle_classes: dict[str, Entry] = Field(min_length=1)
    nuisance: dict[str, Any] | None = Field(default_factory=dict)
    held_out: dict[str, Entry] = Field(default_factory=dict)
    sham: float = Field(default=0.25, ge=0, le=1)
    floor: float = Field(default=0.05, ge=0, lt=1)
    budget: Budget = Budget()

    _source: Path | None = PrivateAttr(default=None)
    _trust: tuple[Path, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if self.given_class.strip().lower() == self.target_class.strip().lower():
            raise ValueError(
                f"given_class and target_class are both {self.given_class!r}; name what is "
                "looked for"
            )
        if "given" in self.middle_classes:
            raise ValueError("a middle class cannot be called 'given'; rename it")
        for name, one in self.held_out.items():
            if any(one.same_knowledge(trained) for trained in self.middle_classes.values()):
                raise ValueError(f"held_out.{name} is also a middle class; remove one of them")
        return self

    @classmethod
    def load(cls, name_or_path: str | Path, trust: Collection[Path] = ()) -> Recipe:
        """Read a shipped recipe by its name, or a ``.yaml`` file, and check its structure.

        Args:
            name_or_path: such as ``"chest_xray"`` or ``"my.yaml"``.
            trust: files with operators or anatomy functions of the user's that may run.

        Raises:
            InputError: no such recipe, or a field is wrong.
        """
        path = find(name_or_path)
        return cls._parse(read_fields(path), path, trust)

    @classmethod
    def from_dict(
        cls,
        fields: Mapping[str, Any],
        trust: Collection[Path] = (),
        source: Path | None = None,
    ) -> Recipe:
        """The recipe that ``to_dict`` gave.

        Args:
            fields: of the recipe.
            trust: files of the user's that may run.
            source: the file that the fields are from, to which names of files are relative.

        Raises:
            InputError: a field is wrong.
        """
        return cls._parse(fields, source, trust)

    @classmethod
    def _parse(
        cls, fields: Mapping[str, Any], source: Path | None, trust: Collection[Path]
    ) -> Recipe:
        try:
            recipe = cls.model_validate(dict(fields))
        except ValidationError as error:
            raise InputError(_one_line(error, str(source or "recipe"))) from error
        recipe._source, recipe._trust = source, tuple(map(Path, trust))
        return recipe

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values that JSON can hold."""
        return self.model_dump(mode="json")

    def check(self) -> None:
        """Resolve every name and argument, before any work begins.

        Raises:
            InputError: names the recipe, the field and the way out.
        """
        self.operators()
        self.held_out_operators()
        self.nuisance_operator()
        self.anatomy_functions()
        self.crop_function()

    def operators(self) -> dict[str, Knowledge]:
        """The knowledge operators of the middle classes, by name, in order."""
        return {
            name: self._operator(one, f"middle_classes.{name}")
            for name, one in self.middle_classes.items()
        }

    def held_out_operators(self) -> dict[str, Knowledge]:
        """The operators that are never trained on."""
        return {
            name: self._operator(one, f"held_out.{name}") for name, one in self.held_out.items()
        }

    def nuisance_operator(self) -> Nuisance | None:
        """The nuisance, or None where the recipe says null."""
        from midclass.knowledge.nuisance import Nuisance

        if self.nuisance is None:
            return None
        return build(Nuisance, self.nuisance, self._where("nuisance"))

    @property
    def anatomies(self) -> tuple[str, ...]:
        """The names of the anatomy functions: of several, the first that is plausible counts."""
        return (self.anatomy,) if isinstance(self.anatomy, str) else self.anatomy

    def anatomy_functions(self) -> tuple[AnatomyFunction, ...]:
        """The functions that find where disease can be, in the order of ``anatomies``."""
        return tuple(self._function(name, "anatomy") for name in self.anatomies)

    def anatomy_function(self) -> AnatomyFunction:
        """The first of them."""
        return self.anatomy_functions()[0]

    def crop_function(self) -> AnatomyFunction | None:
        """The function whose bounding box an image is cropped to, if any."""
        crop = self.geometry.crop
        return None if crop is None else self._function(crop, "geometry.crop")

    def weights(self) -> Path | None:
        """The file of a pretrained network's weights, if any is asked for."""
        return weights_file(self.budget.pretrained, self._folder)

    def _operator(self, one: Entry, field: str) -> Knowledge:
        def find(name: str, field: str) -> tuple[Any, str]:
            return self._resolve(name, "midclass.knowledge", field), self._where(field)

        return built(one, field, find)

    def _function(self, reference: str, field: str) -> AnatomyFunction:
        found = self._resolve(reference, "midclass.images", field)
        return anatomy_function(found, f"{self._where(field)}: {reference}")

    def _resolve(self, reference: str, shorthand: str, field: str) -> Any:
        return resolve(reference, shorthand, self._where(field), self._folder, self._trust)

    @property
    def _folder(self) -> Path:
        """To which the files that it names are relative."""
        return self._source.parent if self._source else Path()

    def _where(self, field: str) -> str:
        return f"{self._source or self.name}: {field}"


def _one_line(error: ValidationError, file: str) -> str:
    """The first mistake, where it is and the way out; and how many more there are."""
    mistakes = error.errors()
    # A field that is nearly one of ours says more than that ours is missing.
    mistakes.sort(key=lambda one: one["type"] != "extra_forbidden")
    line = f"{file}: {_mistake(mistakes[0])}"
    return line + (f" (and {len(mistakes) - 1} more mistakes)" if len(mistakes) > 1 else "")


def _mistake(mistake: ErrorDetails) -> str:
    *parents, last = mistake["loc"] or ("recipe",)
    path = _path((*parents, last))
    if mistake["type"] == "extra_forbidden":
        known = _fields_of(parents)
        inside = f"{_path(parents)}: " if parents else ""
        hint = did_you_mean(str(last), known)
        return f"{inside}no field {reprlib.repr(last)}{hint}; the fields are {', '.join(known)}"
    if mistake["type"] == "missing":
        return f"{path} is missing; blank.yaml explains every field"
    message = mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] == "value_error":
        return f"{path}: {message}" if mistake["loc"] else message
    return f"{path} is {reprlib.repr(mistake['input'])}: {message}"


def _path(steps: Iterable[int | str]) -> str:
    """``middle_classes.mass.all_of[1]``."""
    return "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in steps).removeprefix(".")


def _fields_of(parents: list[int | str]) -> list[str]:
    """The names of the fields of a part of a recipe."""
    parts: dict[str, type[BaseModel]]
    parts = {"geometry": Geometry, "intensity": Intensity, "budget": Budget}
    return list(parts.get(str(parents[0]) if parents else "", Recipe).model_fields)
