"""Lengths: what a recipe asks for that no image can hold, such as centimetres taken for mm."""

from __future__ import annotations

from collections.abc import Iterator
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from midclass.knowledge.base import Knowledge
from midclass.knowledge.composition import Composition
from midclass.knowledge.where import Where

if TYPE_CHECKING:
    from midclass.images.prepared import Prepared
    from midclass.recipe.recipe import Recipe

OF_LESION = (
    *("diameter_mm", "size_mm", "region_mm", "core_mm", "thickness_mm", "length_mm"),
    *("cluster_mm", "radius_mm"),
)
"""Arguments that say how large a lesion is; others may reach beyond an image."""


def out_of_scale(recipe: Recipe, prepared: Prepared) -> list[str]:
    """Middle classes whose lesions cannot be seen at this scale, a line for each.

    The smallest is larger than all that a sample shows, or the largest is smaller than what lies
    between two of its values.

    Args:
        recipe: whose operators are looked at; of one's own those whose arguments have these names.
        prepared: images by the recipe.

    >>> from midclass import Recipe, prepare_array
    >>> recipe = Recipe.load("phantoms")
    >>> pixels = np.random.default_rng(0).random((2, 64, 64))
    >>> out_of_scale(recipe, prepare_array(pixels, recipe, spacing_mm=1.0))
    []
    """
    apart_mm = float(np.median(prepared.spacing_mm))
    side_mm = apart_mm * max(recipe.geometry.size)
    found = [
        f"{name}: {argument} {said}; are lengths in mm, and is the spacing right?"
        for name, operator in recipe.operators().items()
        for argument, least, most in _lengths(operator)
        for said in _beside(least, most, apart_mm, side_mm)
    ]
    return list(dict.fromkeys(found))


def _beside(least: float, most: float, apart_mm: float, side_mm: float) -> Iterator[str]:
    if least > side_mm:
        yield f"begins at {least:g} mm, and a sample shows {side_mm:.3g} mm"
    if most < apart_mm:
        yield f"ends at {most:g} mm, and a sample has a value every {apart_mm:.3g} mm"


def _lengths(operator: Knowledge) -> Iterator[tuple[str, float, float]]:
    """Of its lesions and those of its parts: argument, shortest and longest length."""
    if isinstance(operator, Composition):
        for part in operator.parts:
            yield from _lengths(part)
    elif isinstance(operator, Where):
        yield from _lengths(operator.operator)
    for name in OF_LESION:
        value = getattr(operator, name, None)
        ends = value if isinstance(value, tuple | list) else (value,)
        if ends and all(isinstance(one, Real) for one in ends):
            yield name, float(min(ends)), float(max(ends))
