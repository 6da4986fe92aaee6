"""Lengths: what a recipe asks for that no image can hold, such as centimetres taken for mm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from midclass.images.prepared import Prepared
from midclass.knowledge.base import Knowledge

OF_LESION = ("diameter_mm", "size_mm", "region_mm", "core_mm", "thickness_mm", "length_mm")
"""Arguments that say how large a lesion is; others may reach beyond an image."""


def too_long(operators: Mapping[str, Knowledge], prepared: Prepared) -> list[str]:
    """Middle classes of which the smallest lesion is larger than an image, one line for each.

    Args:
        operators: of the recipe.
        prepared: images.

    >>> from midclass import Recipe, prepare_array
    >>> recipe = Recipe.load("phantoms")
    >>> pixels = np.random.default_rng(0).random((2, 64, 64))
    >>> images = prepare_array(pixels, recipe, spacing_mm=1.0)
    >>> too_long(recipe.operators(), images)
    []
    """
    side_mm = float(np.median(prepared.spacing_mm)) * max(prepared.shape[2:])
    return [
        f"{name}: {argument} begins at {least:g} mm, and an image shows {side_mm:.3g} mm; are "
        "lengths in mm, and is the spacing right?"
        for name, operator in operators.items()
        for argument, least in _lengths(operator)
        if least > side_mm
    ]


def _lengths(operator: Knowledge) -> Iterator[tuple[str, float]]:
    """Of its lesions and those of its parts: argument and shortest length."""
    for name, value in vars(operator).items():
        if name in OF_LESION and value is not None:
            yield name, float(np.min(value))
        for part in value if isinstance(value, tuple) else (value,):
            if isinstance(part, Knowledge):
                yield from _lengths(part)
