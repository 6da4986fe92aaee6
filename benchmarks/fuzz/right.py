"""A right file, and what all of them show."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import PIL.Image

NAME, NUMBER, BORN = "FUZZINGTON^PAT", "ID31415926", "19370203"
IDENTITY = ("FUZZINGTON", "31415926", BORN)
"""Planted in every header that has a place for it."""


@dataclass(frozen=True)
class Seed:
    """A right file.

    Attributes:
        kind: such as ``"PNG"``.
        name: of the seed.
        data: the bytes of the file that is damaged.
        beside: the other files of its folder, by name.
        identity: what must not stand in an error.
    """

    kind: str
    name: str
    data: bytes
    beside: dict[str, bytes] = field(default_factory=dict)
    identity: tuple[str, ...] = IDENTITY


def picture(kind: str = "u1", side: int = 32) -> np.ndarray:
    """A noisy disc."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    noise = np.random.default_rng(7).normal(0, 0.03, (side, side))
    values = (0.6 * (np.hypot(x, y) < 0.8) + 0.2 + noise).clip(0, 1)
    limits = {"u1": 255, "u2": 65_535, "i2": 4095, "i4": 10**6, "f4": 1}
    return np.asarray(values * limits[kind]).astype("<" + kind)


def encoded(array: np.ndarray, form: str, mode: str | None = None, **options: Any) -> bytes:
    out = io.BytesIO()
    image = PIL.Image.fromarray(array)
    image = image.convert(mode) if mode else image
    image.save(out, form, **options)
    return out.getvalue()


def discs(n: int = 60) -> np.ndarray:
    noise = np.random.default_rng(3).normal(0, 0.05, (n, 1, 32, 32))
    level = np.random.default_rng(4).uniform(0.5, 1, (n, 1, 1, 1))
    return (picture("f4") * level + noise).clip(0, 1).astype(np.float32)
