"""Bounded: the fields of JSON from a stranger, without endless depth or numbers that are none."""

from __future__ import annotations

import json
import math
from typing import Any

REMARKS = ("history", "training")
"""What a training tells of itself; no score depends on it, and some of it may be no number."""
DEEPEST = 32
"""Lists and mappings inside each other."""


def bounded_fields(raw: bytes) -> dict[str, Any]:
    """The fields of a file.

    Raises:
        ValueError: it is no JSON, no mapping, has a key twice, a number that is none or too much
            inside each other.
    """
    fields = json.loads(raw.decode("utf-8"), object_pairs_hook=_once)
    if not isinstance(fields, dict):
        raise ValueError(f"a {type(fields).__name__} and no fields")
    _refuse_beyond(fields)
    return fields


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def _refuse_beyond(value: Any, depth: int = 0) -> None:
    """No number that is none, and no depth without end."""
    if depth > DEEPEST:
        raise ValueError(f"more than {DEEPEST} lists and fields inside each other")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} is no number")
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in REMARKS:
                _refuse_beyond(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            _refuse_beyond(inner, depth + 1)
