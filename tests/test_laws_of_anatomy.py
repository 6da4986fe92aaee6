"""Laws of anatomy: millimetres count, not pixels, and a mask is where the body is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage as ndi

from makers import dice
from midclass.images import anatomy
from midclass.images.anatomy import chest_ct
from midclass.images.anatomy.regions import disc

Mask = NDArray[np.bool_]
Picture = tuple[NDArray[np.float32], Mask]


def ellipse(size: int, centre: tuple[float, float], radii: tuple[float, float]) -> Mask:
    """Centre (y, x) and radii as shares of the image."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    return np.hypot((y - centre[0]) / radii[0], (x - centre[1]) / radii[1]) <= 1


def picture(pixels: NDArray[np.float64], truth: Mask) -> Picture:
    noise = np.random.default_rng(0).normal(0, 0.02, pixels.shape)
    blurred = ndi.gaussian_filter(pixels, 0.6) + noise
    return blurred.clip(0, 1).astype(np.float32)[None], truth


def breast() -> Picture:
    """With a bright pectoral muscle in its upper corner, which is no breast."""
    tissue = ellipse(256, (0.5, 0.0), (0.4, 0.55))
    tissue[:80, :60] = True
    y, x = np.mgrid[:256, :256]
    muscle = x / 60 + y / 120 < 1
    return picture(np.select([muscle, tissue], [0.85, 0.5], 0.0), tissue & ~muscle)


def head() -> Picture:
    """Scalp, skull and brain."""
    scalp, skull, brain = (
        ellipse(320, (0.5, 0.5), radii) for radii in ((0.42, 0.34), (0.4, 0.32), (0.37, 0.29))
    )
    return picture(np.select([brain, skull, scalp], [0.45, 1.0, 0.6], 0.0), brain)


def chest(down: float = 0.0, dark: float = 0.33, air: float = 0.22) -> Picture:
    """Two lungs in a body, some share of the image lower than usual."""
    lungs = ellipse(360, (0.52 + down, 0.29), (0.3, 0.15))
    lungs |= ellipse(360, (0.52 + down, 0.71), (0.3, 0.15))
    body = ellipse(360, (0.52 + down, 0.5), (0.42, 0.47))
    return picture(np.select([lungs, body], [dark, 0.9], air), lungs)


@pytest.mark.parametrize("along", ["rows", "columns", "neither"])
@pytest.mark.parametrize(
    ("function", "made", "pixel_mm", "every"),
    [
        (anatomy.breast, breast, 0.8, 6),
        (anatomy.intracranial, head, 235 / 320, 3),
        (chest_ct.lungs, chest, 1.0, 3),
    ],
    ids=["breast", "brain", "lungs"],
)
def test_an_anatomy_is_the_same_in_pixels_that_are_not_square(
    function: Callable[..., Mask],
    made: Callable[[], Picture],
    pixel_mm: float,
    every: int,
    along: str,
) -> None:
    """Only every third, or sixth, row or column of the same body."""
    pixels, truth = made()
    rows, columns = (every if along == name else 1 for name in ("rows", "columns"))
    found = function(pixels[:, ::rows, ::columns], (rows * pixel_mm, columns * pixel_mm))
    assert dice(found, truth[::rows, ::columns]) > 0.97


def test_lungs_of_a_radiograph_move_with_the_body() -> None:
    """A template that stays where lungs usually are would hold most of them, too."""
    heights = []
    for down in (0.0, 0.06):
        pixels, truth = chest(down, dark=0.25, air=0.0)
        found = anatomy.lungs(pixels, (1.0, 1.0))
        assert dice(found, truth) > 0.7
        heights.append(ndi.center_of_mass(found)[0] / len(found))
    assert heights[1] - heights[0] == pytest.approx(0.06, abs=0.025)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0), (1.0, 2.5), (2.5, 1.0), (0.5, 0.25)])
def test_a_disc_is_round_in_millimetres(spacing_mm: tuple[float, float]) -> None:
    inside = disc(5.0, spacing_mm)
    rows, columns = (np.flatnonzero(inside.any(axis)).size for axis in (1, 0))
    assert rows == 2 * round(5 / spacing_mm[0]) + 1
    assert columns == 2 * round(5 / spacing_mm[1]) + 1
    assert inside.sum() * np.prod(spacing_mm) == pytest.approx(np.pi * 25, rel=0.15)
