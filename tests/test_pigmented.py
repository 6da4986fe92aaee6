"""The pigmented lesion in dermoscopy: the mole, not the skin, the hair or the black corners."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage as ndi

from makers import dice
from midclass import Recipe
from midclass.images import anatomy
from midclass.images.rules import Rules
from midclass.preview.phantoms import for_phantoms, phantom_cohort
from midclass.testing import anatomy_overlaps

MM = (0.1, 0.1)
Picture = tuple[NDArray[np.float32], NDArray[np.bool_]]


def mole(radius: int = 40, corners: bool = False, hairs: bool = False) -> Picture:
    """A brown mole in pink skin, 180 pixels; where it is."""
    y, x = np.mgrid[:180, :180]
    inside = np.hypot(y - 95, (x - 85) * 1.2) < radius
    grain = ndi.gaussian_filter(np.random.default_rng(0).normal(size=(180, 180)), 1) * 0.05
    pixels = np.where(inside, np.array([0.5, 0.35, 0.3])[:, None, None], 0.0)
    pixels = np.where(inside, pixels, np.array([0.85, 0.7, 0.65])[:, None, None]) + grain
    if hairs:
        for shift in (20, 60, 150):
            pixels[:, np.abs(x - shift - 0.3 * y) < 1.5] = 0.15
    if corners:
        pixels[:, np.hypot(y - 90, x - 90) > 100] = 0.02
    return pixels.clip(0, 1).astype(np.float32), inside


@pytest.mark.parametrize("hair", [0.02, 0.1])
@pytest.mark.parametrize("level", [1.0, 0.35])
def test_a_hair_from_the_corner_leads_nowhere(hair: float, level: float) -> None:
    """Also to a mole that is nearly as dark as the edge of the dermoscope."""
    pixels, inside = mole()
    pixels[:, inside] *= level
    y, x = np.mgrid[:180, :180]
    pixels[:, np.abs(x - y) < 2.5] = hair
    assert anatomy.pigmented(pixels, MM)[inside].mean() > 0.97


def test_a_dark_mole_that_reaches_the_edge_of_the_dermoscope_is_found() -> None:
    pixels, inside = mole(105, corners=True)
    pixels[:, inside] *= 0.25
    y, x = np.mgrid[:180, :180]
    seen = inside & (np.hypot(y - 90, x - 90) < 100)
    assert anatomy.pigmented(pixels, MM)[seen].mean() > 0.6  # not where it is taken for the edge


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_a_file_that_uses_little_of_its_range_shows_the_same_mole(share: float) -> None:
    pixels, _ = mole()
    same = anatomy.pigmented((share * pixels).astype(np.float32), MM)
    assert dice(same, anatomy.pigmented(pixels, MM)) > 0.99


@pytest.mark.parametrize("radius", [15, 40, 70])
@pytest.mark.parametrize(("corners", "hairs"), [(False, False), (True, False), (False, True)])
def test_the_mole_is_found_with_a_rim_of_skin(radius: int, corners: bool, hairs: bool) -> None:
    pixels, inside = mole(radius, corners, hairs)
    found = anatomy.pigmented(pixels, MM)
    assert found[inside].mean() > 0.97
    from_mole = ndi.distance_transform_edt(~inside)
    assert from_mole[found].max() < 0.6 * radius + 6
    if corners:
        assert not found[pixels.mean(0) < 0.05].any()


def test_of_two_moles_the_middle_one_is_taken() -> None:
    pixels, inside = mole(30)
    y, x = np.mgrid[:180, :180]
    pixels[:, np.hypot(y - 15, x - 165) < 12] = 0.3
    found = anatomy.pigmented(pixels, MM)
    assert found[inside].mean() > 0.97
    assert not found[:30, 150:].any()


def test_regression_as_light_as_skin_stays_inside() -> None:
    pixels, inside = mole()
    y, x = np.mgrid[:180, :180]
    veil = inside & (np.hypot(y - 80, x - 110) < 20)  # up to the border
    pixels[:, veil] = pixels[:, 0, :1]
    assert anatomy.pigmented(pixels, MM)[veil].mean() > 0.9


def test_where_nothing_is_darker_all_counts_but_the_corners() -> None:
    pixels, _ = mole(0, corners=True)
    found = anatomy.pigmented(pixels, MM)
    assert found[60:120, 60:120].all()
    assert not found[[0, 0, -1, -1], [0, -1, 0, -1]].any()


def test_a_mole_in_grey_is_the_same_mole() -> None:
    pixels, _ = mole()
    grey = pixels.mean(0, keepdims=True)
    assert dice(anatomy.pigmented(pixels, MM), anatomy.pigmented(grey, MM)) > 0.97


def test_what_a_melanoma_adds_moves_it_little_and_stays_inside() -> None:
    recipe = for_phantoms(Recipe.load("dermoscopy"))
    rules = Rules(recipe)
    with phantom_cohort(recipe, 6, seed=3) as cohort:
        seen = [rules.seen_by_anatomy(case, cohort.read(k)) for k, case in enumerate(cohort)]
    images = [(pixels, spacing) for pixels, spacing, _ in seen]
    found = anatomy_overlaps(
        anatomy.pigmented, images, recipe.operators(), recipe.nuisance_operator()
    )
    assert not [one.name for one in found if not one.kept]
