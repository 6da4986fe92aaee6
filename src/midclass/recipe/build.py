"""Building: the arguments in a recipe -> an operator, with every mistake in one line."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, TypeVar, get_type_hints

from pydantic import TypeAdapter, ValidationError

from midclass.errors import InputError, did_you_mean

T = TypeVar("T")

LARGEST, MOST = 1_000_000, 10_000
"""The largest number, and the largest whole one, that an operator is given."""


def build(cls: type[T], arguments: Mapping[str, Any], where: str) -> T:
    """A frozen dataclass from the arguments in a recipe.

    Raises:
        InputError: no such argument, a missing one, or one of the wrong type or range.

    >>> from midclass.knowledge.focal import Focal
    >>> build(Focal, {"diameter_mm": [8, 50]}, "my.yaml: held_out.blood").diameter_mm
    (8.0, 50.0)
    """
    if not dataclasses.is_dataclass(cls):
        raise InputError(
            f"{where}: {cls.__name__} must be a dataclass; add @dataclass(frozen=True)"
        )
    settable = [field for field in dataclasses.fields(cls) if field.init]
    names = [field.name for field in settable]
    for name in arguments:
        if name not in names:
            raise InputError(
                f"{where}: no argument {name!r}{did_you_mean(name, names)}; "
                f"{cls.__name__} has {', '.join(names)}"
            )
    for field in settable:
        needed = field.default is field.default_factory is dataclasses.MISSING
        if needed and field.name not in arguments:
            raise InputError(f"{where}: {cls.__name__} needs the argument {field.name!r}")
    hints = get_type_hints(cls, include_extras=True)
    checked = {
        name: _checked(value, hints[name], f"{where}.{name}") for name, value in arguments.items()
    }
    try:
        return cls(**checked)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: {' '.join(str(error).split())}") from error


def _checked(value: Any, hint: Any, where: str) -> Any:
    """A value as its type asks for; numbers finite, and two of them in order."""
    try:
        checked = TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        mistake = error.errors()[0]
        own = mistake["type"] == "value_error"  # such as of ``Lengths``
        reason = f", {mistake['ctx']['error']}" if own else f": {mistake['msg']}"
        raise InputError(f"{where} is {value!r}{reason}") from error
    bounds = checked if isinstance(checked, tuple) and len(checked) == 2 else (checked,)
    numbers = [bound for bound in bounds if isinstance(bound, int | float)]
    if not all(math.isfinite(number) for number in numbers):
        raise InputError(f"{where} is {value!r}, expected finite numbers")
    if any(abs(number) > LARGEST for number in numbers):
        raise InputError(f"{where} is {value!r}, expected numbers up to {LARGEST:,}")
    if any(isinstance(n, int) and abs(n) > MOST for n in numbers):
        raise InputError(f"{where} is {value!r}, expected counts up to {MOST:,}")
    if len(numbers) == 2 and numbers[0] > numbers[1]:
        raise InputError(f"{where} is {value!r}, expected [low, high] with low <= high")
    return checked
