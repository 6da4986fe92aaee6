"""Answers: what a DICOMweb server says, in DICOM's model of JSON (PS3.18 annex F)."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

PAGE = 200
"""Answers to one question that are asked for at once."""
UID = re.compile(r"[0-9]+(\.[0-9]+)*")
REASONS = {"a": "it has no room, or does not take objects of this class", "c": "cannot be read"}
"""First hexadecimal digit of a FailureReason (PS3.18 table 10.5.3-2), in words."""


class RemoteSeries(NamedTuple):
    """A series as a server lists it; "" where it does not say."""

    study: str
    uid: str
    modality: str
    description: str


class RemoteImage(NamedTuple):
    """An instance as a server lists it."""

    study: str
    series: str
    uid: str


def paged(ask: Callable[..., Any], tag: str, **given: Any) -> dict[str, Any]:
    """All answers by their UID; servers give a part at a time, as many as they like."""
    found: dict[str, Any] = {}
    while True:
        page = ask(limit=PAGE, offset=len(found), **given)
        named = {text_at(one, tag): one for one in page}
        new = {uid: one for uid, one in named.items() if UID.fullmatch(uid) and uid not in found}
        found |= new
        if not new:  # the end, or a server that begins anew
            return found


def values_at(found: Mapping[str, Any], tag: str) -> Sequence[Any]:
    """The values of an attribute, by its tag.

    >>> values_at({"00080060": {"vr": "CS", "Value": ["CR"]}}, "00080060")
    ['CR']
    """
    values: Sequence[Any] = (found.get(tag) or {}).get("Value") or ()
    return values


def text_at(found: Mapping[str, Any], tag: str) -> str:
    """The first of them; "" where there is none."""
    values = values_at(found, tag)
    return str(values[0]).strip(" \0") if values and values[0] is not None else ""


def number_at(found: Mapping[str, Any], tag: str) -> float:
    """The same as a number; 0 where it is none."""
    try:
        return float(text_at(found, tag))
    except ValueError:
        return 0.0


def reason_of(code: int) -> str:
    """Why an object was not stored.

    >>> reason_of(0xA700)
    'it has no room, or does not take objects of this class (FailureReason 0xA700)'
    """
    shown = f"{code:04x}"
    said = REASONS.get(shown[0], "the server could not process it")
    return f"{said} (FailureReason 0x{shown.upper()})"
