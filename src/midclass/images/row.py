"""Row: the columns of a manifest that mean something, and what may stand in them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict

LATERALITIES = {"": "", "L": "L", "LEFT": "L", "R": "R", "RIGHT": "R"}
LABELS = {"": None, "0": 0, "0.0": 0, "1": 1, "1.0": 1}  # ".0": written by tables with gaps


def _one_of(known: dict[str, Any], expected: str) -> Callable[[str], Any]:
    def find(text: str) -> Any:
        if text.upper() not in known:
            raise ValueError(f"expected {expected}")
        return known[text.upper()]

    return find


NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")
DECIMAL_COMMA = re.compile(r"[-+]?[0-9]+,[0-9]+")
FINEST_MM, COARSEST_MM = 1e-5, 1e5


def _number(text: str) -> float | None:
    """A finite number, or None where the field is empty."""
    if not text:
        return None
    if DECIMAL_COMMA.fullmatch(text):
        raise ValueError(f"expected a number with a point: {text.replace(',', '.')}")
    number = float(text) if NUMBER.fullmatch(text) else math.nan
    if not math.isfinite(number):
        raise ValueError("expected a number")
    return number


def _count(text: str) -> int | None:
    """A whole number from 0 up, or None where the field is empty."""
    if text and not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise ValueError("expected a whole number from 0 up, below a thousand million")
    return int(text) if text else None


def _spacing(text: str) -> tuple[float, float] | None:
    """``a`` or ``a;b`` (rows; columns) in mm."""
    if not text:
        return None
    numbers = [_number(part) or 0.0 for part in text.split(";")]
    if len(numbers) > 2 or min(numbers) <= 0:
        raise ValueError("expected mm above 0, one number or rows;columns")
    if not FINEST_MM <= min(numbers) <= max(numbers) <= COARSEST_MM:
        raise ValueError(f"expected mm, from {FINEST_MM:g} to {COARSEST_MM:g}")
    return numbers[0], numbers[-1]


def _radius(text: str) -> float | None:
    """A number above 0, or None where the field is empty."""
    number = _number(text)
    if number is not None and number <= 0:
        raise ValueError("expected a number of pixels above 0")
    return number


def _place(text: str) -> float | None:
    """A number, or None where it says no place among others."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _named(text: str) -> str:
    if not text:
        raise ValueError("expected the name of a file")
    return text


Name: TypeAlias = Annotated[str, BeforeValidator(_named)]
Number: TypeAlias = Annotated[float | None, BeforeValidator(_number)]
Count: TypeAlias = Annotated[int | None, BeforeValidator(_count)]
Label: TypeAlias = Annotated[
    int | None,
    BeforeValidator(_one_of(LABELS, "0 (given class), 1 (target class) or nothing, in numbers")),
]
Laterality: TypeAlias = Annotated[str, BeforeValidator(_one_of(LATERALITIES, "L, R or nothing"))]
Spacing: TypeAlias = Annotated[tuple[float, float] | None, BeforeValidator(_spacing)]
Radius: TypeAlias = Annotated[float | None, BeforeValidator(_radius)]
Place: TypeAlias = Annotated[float | None, BeforeValidator(_place)]


class Row(BaseModel):
    """The columns of a manifest that mean something; see ``columns`` for the others."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    path: Name
    label: Label = None
    patient_id: str = ""
    case_id: str = ""
    roi_id: str = ""
    class_name: str = ""
    laterality: Laterality = ""
    view_position: Annotated[str, AfterValidator(str.upper)] = ""
    study_id: str = ""
    spacing_mm: Spacing = None
    x: Number = None
    y: Number = None
    radius: Radius = None
    array: str = ""
    index: Count = None
    frame: Count = None
    mask: str = ""
    slice: Place = None
    series_id: str = ""
