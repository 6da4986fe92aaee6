"""Where: conditions on the header of a file, as ``--where "Modality=CR,DX"``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from midclass.errors import InputError
from midclass.images.formats.dicom_attributes import keyword_of
from midclass.images.planes import PLANE
from midclass.recipe.parts import PLANES

_FORM = re.compile(r"\s*(\w+)\s*(!=|<=|>=|=|<|>)(.*)", re.DOTALL)
_ORDERS: dict[str, Callable[[float, float], bool]] = {
    "<": lambda found, limit: found < limit,
    ">": lambda found, limit: found > limit,
    "<=": lambda found, limit: found <= limit,
    ">=": lambda found, limit: found >= limit,
}


@dataclass(frozen=True)
class Condition:
    """One attribute and what it must be.

    Attributes:
        keyword: of the attribute, as the standard spells it; or ``PLANE``.
        sign: ``=``, ``!=``, ``<``, ``>``, ``<=`` or ``>=``.
        wanted: the values; of ``=`` any, of ``!=`` none must be there, of the others there is one.

    >>> one = Condition.parsed("viewposition = PA, AP")
    >>> str(one), one.holds({"ViewPosition": ("PA",)}), one.holds({"ViewPosition": ("LL",)})
    ('ViewPosition=PA,AP', True, False)
    >>> Condition.parsed("KVP>=100").holds({"KVP": ("120",)})
    True
    """

    keyword: str
    sign: str
    wanted: tuple[str, ...]

    @classmethod
    def parsed(cls, text: str) -> Condition:
        """What a user typed.

        Raises:
            InputError: it is no condition, or on no attribute of DICOM.
        """
        match = _FORM.fullmatch(text)
        if match is None:
            raise InputError(
                f"--where {text[:80]!r}: expected ATTRIBUTE=VALUE, such as Modality=CR"
            )
        try:
            keyword = PLANE if match[1].casefold() == PLANE else keyword_of(match[1])
        except InputError as error:
            raise InputError(f"--where {text[:80]!r}: {error}") from None
        wanted = tuple(value.strip() for value in match[3].split(","))
        known = match[2] in ("=", "!=") and {one.casefold() for one in wanted} <= {"", *PLANES}
        if keyword == PLANE and not known:
            raise InputError(
                f"--where {text[:80]!r}: expected {PLANE}= or {PLANE}!= and of {', '.join(PLANES)}"
            )
        if match[2] in _ORDERS and (len(wanted) > 1 or _number(wanted[0]) is None):
            raise InputError(f"--where {text[:80]!r}: expected a number after {match[2]}")
        return cls(keyword, match[2], wanted)

    def holds(self, values: Mapping[str, Sequence[str]]) -> bool:
        """Whether a header fulfils it; one without the attribute is equal to nothing but "".

        Args:
            values: of the header's attributes by keyword; those of an attribute with several are
                looked at one by one.
        """
        found = values.get(self.keyword) or ("",)
        if self.sign in _ORDERS:
            numbers = [_number(one) for one in found]
            limit = float(self.wanted[0])
            return any(one is not None and _ORDERS[self.sign](one, limit) for one in numbers)
        there = any(_equal(one, value) for one in found for value in self.wanted)
        return there == (self.sign == "=")

    def __str__(self) -> str:
        return f"{self.keyword}{self.sign}{','.join(self.wanted)}"


def _equal(one: str, other: str) -> bool:
    numbers = _number(one), _number(other)
    if None not in numbers:
        return numbers[0] == numbers[1]
    return one.casefold() == other.casefold()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
