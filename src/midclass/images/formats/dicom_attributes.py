"""DICOM attributes as numbers and codes: each is understood whole, or an error names it.

No message quotes text: in a damaged file the value of one attribute may be the patient's name. Only
short numbers, and words that the standard or its users know, are repeated.
"""

from __future__ import annotations

import difflib
import math
import re
import struct
from collections.abc import Iterable
from typing import Any, TypeAlias

from midclass.errors import InputError

Dataset: TypeAlias = Any  # pydicom.Dataset; pydicom is imported when the first file is read

TEXT_VRS = ("DS", "IS", "LO", "SH", "CS", "UN", "ST", "LT", "UT", "PN", "AS", "DA", "TM", "DT")
SHORT_VRS = {"US": "H", "SS": "h", "US or SS": "H"}
"""Integers of 16 bits; where the sign is not told, whoever uses them knows it."""
DECIMAL = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)([eE][-+]?\d+)?")
THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2},\d{3}")
SHORT_NUMBER = re.compile(r"[-+]?\d{0,5}(\.\d*)?([eE][-+]?\d{1,3})?")
PLAIN_WORDS = ("auto", "default", "inf", "n/a", "na", "nan", "none", "null", "undefined", "unknown")


class Unusable(ValueError):  # noqa: N818 (it never leaves these files)
    """An attribute that cannot be used; the message names it and what it holds, not the file."""


def numbers(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """The numbers of an attribute; none where it is absent or empty.

    A decimal comma is taken for a point: nothing else separates in a Decimal String but the
    backslash (PS3.5 section 6.2). ``1,024`` may be meant as a thousand, and is refused.

    Raises:
        Unusable: something else than finite numbers.
    """
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    element = dataset.get_item(tag_for_keyword(keyword))
    if element is None or element.value is None:
        return ()
    value = element.value
    if isinstance(value, bytes):  # as it is in the file
        vr = dictionary_VR(element.tag) if element.VR in (None, "UN") else element.VR
        if vr in TEXT_VRS:
            value = value.decode("latin-1")
        elif vr in SHORT_VRS:
            order = "<" if element.is_little_endian else ">"
            value = [n for (n,) in struct.iter_unpack(f"{order}{SHORT_VRS[vr]}", _even(value))]
        else:  # other binary numbers under the name of a decimal string
            value = _converted(dataset, keyword)
    if isinstance(value, str):
        value = value.strip(" \0").split("\\") if value.strip(" \0") else ()
    return tuple(_number(part, keyword, value) for part in _several(value))


def number(dataset: Dataset, keyword: str) -> float | None:
    """The one number of an attribute; None where it is absent or empty.

    Raises:
        Unusable: something else.
    """
    found = numbers(dataset, keyword)
    if len(found) > 1:
        raise Unusable(f"{keyword} is {shown(found)}, expected one number")
    return found[0] if found else None


def whole(dataset: Dataset, keyword: str, default: int | None = None) -> int:
    """The one integer of an attribute.

    Raises:
        Unusable: something else; or it is absent or empty and there is no default.
    """
    found = tuple(_number(part, keyword, part) for part in _several(_converted(dataset, keyword)))
    if not found and default is not None:
        return default
    if len(found) != 1 or found[0] != int(found[0]):
        raise Unusable(f"{keyword} is {shown(found) if found else 'missing'}, expected an integer")
    return int(found[0])


def keyword_of(text: str) -> str:
    """The keyword of an attribute as the standard spells it (PS3.6), whatever its case.

    >>> keyword_of("modality")
    'Modality'
    >>> keyword_of("Modalty")
    Traceback (most recent call last):
    midclass.errors.InputError: 'Modalty' is no attribute of DICOM; did you mean Modality?

    Raises:
        InputError: there is none.
    """
    from pydicom.datadict import keyword_dict

    spelled = {str(keyword).casefold(): str(keyword) for keyword in keyword_dict}
    if (name := text.strip().casefold()) in spelled:
        return spelled[name]
    near = difflib.get_close_matches(name, spelled, 1)
    meant = f"; did you mean {spelled[near[0]]}?" if near else ", such as Modality or ViewPosition"
    raise InputError(f"{text.strip()[:80]!r} is no attribute of DICOM{meant}")


def code(dataset: Dataset, keyword: str, known: Iterable[str], default: str = "") -> str:
    """A code string, one of those that are known; the default where it is absent or empty.

    Raises:
        Unusable: another.
    """
    text = _first_word(dataset, keyword)
    if text and text not in known:
        raise Unusable(f"{keyword} is none of {', '.join(known)}, which can be used here")
    return text or default


def shown(value: Any) -> str:
    """What an attribute holds, for a message: numbers as they are, other text by its length.

    >>> shown("0,143"), shown(("0.2", "auto")), shown("Doe^Jane"), shown("19700101")
    ("'0,143'", "'0.2\\\\auto'", 'text of 8 characters', 'text of 8 characters')
    """
    parts = [f"{part:g}" if isinstance(part, float) else str(part) for part in _several(value)]
    text = "\\".join(parts)
    harmless = all(
        SHORT_NUMBER.fullmatch(piece) or piece.lower() in PLAIN_WORDS
        for piece in re.split(r"[\\, ]", text)
    )
    return f"'{text}'" if harmless and len(text) <= 60 else f"text of {len(text)} characters"


def _converted(dataset: Dataset, keyword: str) -> Any:
    try:
        return dataset.get(keyword)
    except Exception:  # pydicom's words may quote the header
        raise Unusable(f"{keyword} is damaged: its bytes are no value of its kind") from None


def _several(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return [value] if isinstance(value, str | bytes) or not hasattr(value, "__iter__") else [*value]


def _number(part: Any, keyword: str, all_of_it: Any) -> float:
    if isinstance(part, bytes | str):
        text = part.decode("latin-1") if isinstance(part, bytes) else part
        text = text.strip(" \0")
        if THOUSANDS.fullmatch(text):
            raise Unusable(
                f"{keyword} is {shown(all_of_it)}, which may mean a thousand or a decimal comma; "
                "write a point"
            )
        if not DECIMAL.fullmatch(text):
            raise Unusable(f"{keyword} is {shown(all_of_it)}, expected numbers")
        part = text.replace(",", ".")
    try:
        found = float(part)
    except (TypeError, ValueError, OverflowError):
        raise Unusable(f"{keyword} holds no numbers") from None
    if not math.isfinite(found):
        raise Unusable(f"{keyword} is not a finite number")
    return found


def _even(value: bytes) -> bytes:
    return value[: len(value) // 2 * 2]


def word(dataset: Dataset, keyword: str) -> str:
    """The first value of a code string in capitals, for comparing alone; "" where there is none."""
    try:
        return _first_word(dataset, keyword)
    except Unusable:
        return ""


def _first_word(dataset: Dataset, keyword: str) -> str:
    first = next(iter(_several(_converted(dataset, keyword))), "")
    return str(first).strip(" \0").upper()
