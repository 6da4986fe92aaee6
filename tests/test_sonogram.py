"""The sonogram on a scanner's screen: what is dark in it is looked at, what is beside it is not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage as ndi

from makers import dice
from midclass import Cohort, Recipe
from midclass.images import anatomy
from midclass.images.formats.read import read
from midclass.images.rules import Rules
from midclass.knowledge.focal import Focal
from midclass.knowledge.sonography import SonographicMass
from midclass.preview.phantoms import for_phantoms, phantom_cohort
from midclass.testing import anatomy_overlaps

MM = (0.4, 0.4)
GREAT = {
    "a cyst": Focal(sign="dark", diameter_mm=(10, 30), contrast_sigma=(10, 14)),
    "a mass and its shadow": SonographicMass(
        behind="shadow", diameter_mm=(10, 25), lost=(1, 1), changed=(1, 1), reach_mm=(40, 80)
    ),
}


def speckle(shape: tuple[int, int]) -> NDArray[np.float64]:
    rng = np.random.default_rng(0)
    grain = np.hypot(*(ndi.gaussian_filter(rng.normal(size=shape), 1) for _ in range(2)))
    return np.asarray(0.4 + 0.1 * np.log(grain / grain.mean() + 0.1))


def sector() -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A curved probe's sector on a dark screen, with letters, a grey bar and a row of buttons."""
    y, x = np.mgrid[:300, :400]
    radius, angle = np.hypot(y + 20, x - 200), np.arctan2(x - 200, y + 20)
    inside = (radius > 60) & (radius < 270) & (np.abs(angle) < 0.7)
    pixels = np.where(inside, speckle((300, 400)), 0.01)
    for row in range(10, 90, 12):  # letters are lines of a few pixels
        pixels[row : row + 7, 6:60:4] = 0.9
    pixels[60:200, 385:391] = np.linspace(1, 0, 140)[:, None]
    pixels[284:296, 60:340] = 0.3
    return pixels.clip(0, 1).astype(np.float32)[None], inside


def linear() -> NDArray[np.float32]:
    """A linear probe's picture, cut out of its screen: dark where the depth takes the echoes."""
    y = np.mgrid[:240, :280][0]
    return (speckle((240, 280)) * np.exp(-y / 90)).clip(0, 1).astype(np.float32)[None]


def test_a_sector_is_found_without_letters_scales_and_buttons() -> None:
    pixels, inside = sector()
    found = anatomy.sonogram(pixels, MM)
    assert found[inside].mean() > 0.97
    assert dice(found, inside) > 0.9  # the hull closes the hollow of the probe
    assert not found[:, 380:].any()
    assert not found[284:].any()
    assert not found[:100, :62].any()


@pytest.mark.parametrize(("inset", "width"), [(0, 1), (0, 3), (0, 10), (2, 1), (2, 3)])
def test_a_frame_around_the_screen_is_no_sonogram(inset: int, width: int) -> None:
    pixels, inside = sector()
    frame = np.ones(inside.shape, bool)
    within = inset + width
    frame[within:-within, within:-within] = False
    outer = slice(inset, None if inset == 0 else -inset)
    pixels[0, outer, outer][frame[outer, outer]] = 0.8
    assert dice(anatomy.sonogram(pixels, MM), inside) > 0.85


def test_a_header_with_letters_is_no_sonogram() -> None:
    pixels, inside = sector()
    pixels[0, 20:100, :62] = 0.01  # letters that touch it would be one with it
    pixels[0, :20] = 0.3
    pixels[0, 6:14, 20:300:5] = 0.9
    assert dice(anatomy.sonogram(pixels, MM), inside) > 0.85


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_a_file_that_uses_little_of_its_range_shows_the_same_sonogram(share: float) -> None:
    pixels, _ = sector()
    same = anatomy.sonogram((share * pixels).astype(np.float32), MM)
    assert dice(same, anatomy.sonogram(pixels, MM)) > 0.99


@pytest.mark.parametrize("place", [(130, 200), (200, 130), (215, 250)])
def test_a_cyst_in_a_sector_is_looked_at(place: tuple[int, int]) -> None:
    """As dark as the screen, also where it opens to the border of the sector."""
    pixels, inside = sector()
    y, x = np.mgrid[:300, :400]
    cyst = inside & (np.hypot(y - place[0], x - place[1]) < 35)
    pixels[0, cyst] = 0.01
    assert anatomy.sonogram(pixels, MM)[cyst].mean() > 0.9


def test_depth_and_shadow_are_no_screen() -> None:
    pixels = linear()
    pixels[0, 60:, 40:200] *= 0.02
    pixels[0, 110:] = 0
    assert anatomy.sonogram(pixels, MM).all()


def test_no_mass_moves_it_or_falls_out_of_it() -> None:
    recipe = Recipe.load("breast_ultrasound")
    rules = Rules(for_phantoms(recipe))
    with phantom_cohort(recipe, 4, seed=3) as cohort:
        seen = [rules.seen_by_anatomy(case, cohort.read(k)) for k, case in enumerate(cohort)]
    screen, _ = sector()
    images = [*((pixels, spacing) for pixels, spacing, _ in seen), (linear(), MM), (screen, MM)]
    found = anatomy_overlaps(anatomy.sonogram, images, GREAT, recipe.nuisance_operator())
    assert not [one.name for one in found if not one.kept]
    assert min(one.held.mean() for one in found if one.of_disease) > 0.95
    foreground = anatomy_overlaps(anatomy.foreground, images, GREAT, None)
    assert not any(one.holds for one in foreground)  # the law tells them apart


@pytest.mark.realdata
def test_the_law_holds_on_real_breasts(shared_data: Path) -> None:
    """Also on those that show a mass: 28 pixels of each, normal and benign."""
    cohort = Cohort.from_manifest(shared_data / "breastmnist" / "manifest.csv")
    recipe = Recipe.load("breast_ultrasound")
    rows = [row for row, case in enumerate(cohort) if case.label == 0][:200:10]
    rules = Rules(recipe)
    seen = [rules.seen_by_anatomy(cohort.cases[row], cohort.read(row)) for row in rows]
    images = [(pixels, spacing) for pixels, spacing, _ in seen]
    found = anatomy_overlaps(
        recipe.anatomy_function(), images, recipe.operators(), recipe.nuisance_operator()
    )
    assert not [one.name for one in found if not one.kept]
    assert not anatomy_overlaps(anatomy.foreground, images, recipe.operators(), None)[0].holds


@pytest.mark.realdata
def test_the_sector_of_a_real_screen_is_found(shared_data: Path) -> None:
    """An adult's heart, whose chambers are as dark as the screen."""
    folder = shared_data / "reader_tests" / "dicom" / "pydicom-data"
    image = read(folder / "JPGLosslessP14SV1_1s_1f_8b.dcm")
    assert image.spacing_mm is not None
    found = anatomy.sonogram(image.pixels, image.spacing_mm)
    rows, columns = np.nonzero(found)
    assert found[[250, 400, 500], [500, 600, 500]].all()  # in chambers and walls
    assert (rows.min(), rows.max()) == pytest.approx((157, 649), abs=15)
    assert (columns.min(), columns.max()) == pytest.approx((159, 901), abs=20)
