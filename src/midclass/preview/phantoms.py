"""Phantoms that stand in where a recipe is looked at without images."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from midclass.images import phantoms
from midclass.images.cohort import Cohort

if TYPE_CHECKING:
    from midclass.recipe.recipe import Recipe


PHANTOM_OF = {
    "anatomy.breast": "breast",
    "anatomy.intracranial": "head",
    "anatomy.lungs": "chest",
    "anatomy.brain": "stripped_brain",
    "anatomy.retina": "eye",
    "bone.bones": "limb",
    "anatomy.pigmented": "naevus",
    "anatomy.sonogram": "ultrasound",
    "breast_ultrasound": "ultrasound",
    "ct.body": "axial_chest",
    "ct.lungs": "axial_chest",
    "dermoscopy": "naevus",
    "fundus": "eye",
}
"""Anatomy or name of a recipe -> the kind of phantom that has it."""


def phantom_of(recipe: Recipe) -> str | None:
    """The kind of phantom that has the recipe's anatomy, if there is one."""
    name = recipe.name.removesuffix("_control")
    return PHANTOM_OF.get(name, PHANTOM_OF.get(recipe.anatomies[0]))


def words_of_phantoms(recipe: Recipe) -> str:
    """What the sheet says of the images where phantoms are shown."""
    if phantom_of(recipe) is None:
        return "Generated breast phantoms, since there are none of this kind"
    return "Generated phantoms"


def for_phantoms(recipe: Recipe) -> Recipe:
    """The recipe without its window and colours: phantoms are grey, not in a device's units."""
    intensity = recipe.intensity.model_copy(update={"window": None})
    geometry = recipe.geometry.model_copy(update={"channels": 1})
    return recipe.model_copy(update={"intensity": intensity, "geometry": geometry})


@contextmanager
def phantom_cohort(recipe: Recipe, n: int, seed: int) -> Iterator[Cohort]:
    """Given-class phantoms that fit the recipe's anatomy, in a folder that is then removed.

    Where none fits, breast phantoms stand in, at the scale that the recipe assumes.
    """
    at_home = phantom_of(recipe)
    kind = at_home or "breast"
    size = 128 if recipe.geometry.shows_all else 512  # a square of it must show something
    with tempfile.TemporaryDirectory(prefix="midclass-") as scratch:
        manifest = phantoms.write(Path(scratch) / kind, kind, seed, n, 0, size=size)
        cohort = Cohort.from_manifest(manifest)
        if at_home is None:
            unscaled = tuple(replace(case, spacing_mm=None) for case in cohort)
            cohort = replace(cohort, cases=unscaled)
        if recipe.geometry.view == "roi":
            cases = tuple(
                replace(case, centre=_middle_of_anatomy(cohort, i, recipe))
                for i, case in enumerate(cohort)
            )
            cohort = replace(cohort, cases=cases)
        yield cohort


def _middle_of_anatomy(cohort: Cohort, i: int, recipe: Recipe) -> tuple[float, float]:
    image = cohort.read(i)
    spacing = cohort.cases[i].spacing_mm or (1.0, 1.0)
    rows, cols = np.nonzero(recipe.anatomy_function()(image.pixels, spacing))
    return float(np.median(cols)), float(np.median(rows))
