"""Entry: one entry of a recipe's middle classes, with its arguments, or what it is made of."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from midclass.errors import InputError, did_you_mean
from midclass.recipe.build import build

if TYPE_CHECKING:
    from midclass.knowledge.base import Knowledge


MOST_FOCI = 1000
"""In one image."""


def _range_of_numbers(value: Any) -> tuple[int, int]:
    """``3`` as ``(3, 3)``, ``[2, 6]`` as ``(2, 6)``."""
    bounds = tuple(value) if isinstance(value, list | tuple) else (value, value)
    whole = all(type(bound) is int for bound in bounds)
    if len(bounds) != 2 or not whole or not 1 <= bounds[0] <= bounds[1] <= MOST_FOCI:
        raise ValueError(
            f"{value!r} is no number of foci; give one from 1 to {MOST_FOCI}, or [low, high]"
        )
    return bounds


class Entry(BaseModel):
    """The name of an operator, why it holds, and its arguments as further fields.

    In place of ``operator`` there may be ``all_of`` or ``one_of``: a list of such entries.
    ``where`` keeps it in the dark or the bright tissue of the anatomy.

    >>> Entry.model_validate({"operator": "focal.Focal", "foci": [2, 6]}).title
    '2 to 6 x focal.Focal'
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    operator: str | None = None
    why: str = ""
    all_of: tuple[Entry, ...] = ()
    together: bool = True
    one_of: tuple[Entry, ...] = ()
    foci: Annotated[tuple[int, int], BeforeValidator(_range_of_numbers)] = (1, 1)
    where: Literal["anywhere", "dark", "bright"] = "anywhere"

    @model_validator(mode="after")
    def _consistent(self) -> Entry:
        kinds = ("operator", "all_of", "one_of")
        given = [kind for kind in kinds if getattr(self, kind)]
        if not given:
            hints = [hint for name in self.arguments if (hint := did_you_mean(name, kinds))]
            raise ValueError(f"has none of {', '.join(kinds)}{''.join(hints[:1])}; give one")
        if len(given) > 1:
            raise ValueError(f"has {' and '.join(given)}; give one of them")
        if self.arguments and not self.operator:
            name = next(iter(self.arguments))
            hint = did_you_mean(name, type(self).model_fields)
            raise ValueError(f"no field {name!r} beside {given[0]}{hint}; give it to an operator")
        if not self.together and not self.all_of:
            raise ValueError("together belongs to all_of; leave it out")
        if self.together and any(part.where != "anywhere" for part in self.all_of):
            raise ValueError(
                "parts of all_of that lie together have no where of their own; give it to the "
                "entry, or together: false"
            )
        return self

    @model_serializer(mode="wrap")
    def _given_fields(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without what is left out, so that a plain operator is its name, why and arguments."""
        fields = type(self).model_fields
        every: dict[str, Any] = handler(self)
        return {
            name: value
            for name, value in every.items()
            if name in ("why", *self.arguments) or getattr(self, name) != fields[name].default
        }

    @property
    def arguments(self) -> dict[str, Any]:
        """The further fields."""
        return dict(self.model_extra or {})

    @property
    def title(self) -> str:
        """What it is made of, for people."""
        low, high = self.foci
        many = "" if self.foci == (1, 1) else f"{low} x " if low == high else f"{low} to {high} x "
        joint = " + " if self.all_of else " or "
        name = self.operator or joint.join(part.title for part in self.all_of or self.one_of)
        place = "" if self.where == "anywhere" else f" where it is {self.where}"
        return many + (f"({name})" if (many or place) and not self.operator else name) + place

    @property
    def reason(self) -> str:
        """Why it holds; where it does not say itself, why its parts do."""
        parts = [part.reason for part in self.all_of or self.one_of]
        return self.why or " ".join(dict.fromkeys(part for part in parts if part))

    def same_knowledge(self, other: Entry) -> bool:
        """Whether the two make the same images, whatever the reasons given."""
        same: bool = _without_why(self.model_dump()) == _without_why(other.model_dump())
        return same


Find = Callable[[str, str], tuple[Any, str]]
"""A name and the field where it stands -> what it names, and file and field for messages."""


def built(one: Entry, field: str, find: Find) -> Knowledge:
    """The knowledge that an entry of a recipe describes.

    Args:
        one: the entry.
        field: where it stands, such as ``middle_classes.mass``.
        find: resolves names.

    Raises:
        InputError: a name or an argument is wrong.
    """
    from midclass.knowledge.composition import AllOf, Foci, OneOf
    from midclass.knowledge.where import Where

    if one.operator:
        knowledge = _built_alone(one, one.operator, field, find)
    elif one.all_of:
        knowledge = AllOf(_all(one.all_of, f"{field}.all_of", find), one.together)
    else:
        knowledge = OneOf(_all(one.one_of, f"{field}.one_of", find))
    if one.foci != (1, 1):
        knowledge = Foci(knowledge, one.foci)
    return knowledge if one.where == "anywhere" else Where(knowledge, one.where)


def _all(parts: tuple[Entry, ...], field: str, find: Find) -> tuple[Knowledge, ...]:
    return tuple(built(part, f"{field}[{i}]", find) for i, part in enumerate(parts))


def _built_alone(one: Entry, name: str, field: str, find: Find) -> Knowledge:
    from midclass.knowledge.base import Knowledge
    from midclass.knowledge.composition import Composition
    from midclass.knowledge.where import Where

    found, where = find(name, field)
    if not (isinstance(found, type) and issubclass(found, Knowledge)):
        raise InputError(f"{where}: {name} is no class derived from Knowledge")
    if issubclass(found, Composition | Where):
        ways = "all_of, one_of, foci or where"
        raise InputError(f"{where}: {name} is written as {ways}; see blank.yaml")
    cls: type[Knowledge] = found
    if inspect.isabstract(cls):
        raise InputError(f"{where}: {name} leaves draw or render open; name a subclass")
    taken = sorted(inspect.signature(cls).parameters.keys() & Entry.model_fields.keys())
    if taken:
        raise InputError(
            f"{where}: {name} has an argument {taken[0]!r}, which is a field of every entry of a "
            "recipe; rename the argument"
        )
    return build(cls, one.arguments, where)


def _without_why(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_why(inner) for key, inner in value.items() if key != "why"}
    if isinstance(value, list | tuple):
        return [_without_why(inner) for inner in value]
    return value
