"""Large images: an anatomy is found in no more pixels than it takes, and is that of the small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage as ndi

import midclass.images.anatomy
from makers import dice, recipe
from midclass import InputError, Recipe, prepare_array
from midclass.images import anatomy
from midclass.images.anatomy.resolution import FINE, MOST, in_few_pixels, shrink
from midclass.preview.phantoms import phantom_cohort

SHIPPED = Path(midclass.recipe.__file__).parent / "shipped"
RECIPES = sorted(
    {
        Recipe.load(file.stem).anatomies: file.stem
        for file in sorted(SHIPPED.glob("*.yaml"))
        if file.stem != "blank"
    }.values()
)
"""One for every anatomy of the shipped recipes."""
TIMES = 4


def large(pixels: NDArray[np.float32], least: int, seed: int = 0) -> NDArray[np.float32]:
    """The image with at least so many pixels a side, each with noise of its own.

    Block means have less of it, and an even end of a bone may then be taken for a shutter.
    """
    factor = -(-least // max(pixels.shape[1:]))
    fine = ndi.zoom(pixels, (1, factor, factor), order=1, grid_mode=True, mode="nearest")
    noise = np.random.default_rng(seed).normal(0, 0.01, fine.shape)
    return (fine + noise).clip(0, 1).astype(np.float32)


@pytest.mark.parametrize("name", RECIPES)
def test_an_anatomy_is_found_in_few_pixels_however_many_there_are(name: str) -> None:
    wanted = Recipe.load(name)
    with phantom_cohort(wanted, 1, seed=0) as cohort:
        image = cohort.read(0)
    pixels = image.pixels[:1]
    for find in wanted.anatomy_functions():
        most = FINE if find.__module__.endswith("head_ct") else MOST
        fine = large(pixels, TIMES * most)
        factor = fine.shape[1] / pixels.shape[1]
        spacing = (1.0, 1.0) if image.spacing_mm is None else image.spacing_mm
        mask = find(fine, tuple(s / factor for s in spacing))
        assert mask.shape == fine.shape[1:]
        for axis in (0, 1):  # where it is not of blocks, it was found in as many pixels
            edges = np.flatnonzero(np.diff(mask, axis=axis).any(1 - axis)) + 1
            assert len(edges) <= most
            assert (np.diff(edges) >= TIMES).all()
        few = large(pixels, most)
        factor_of_few = few.shape[1] / pixels.shape[1]
        usual = find(few, tuple(s / factor_of_few for s in spacing))
        back = ndi.zoom(
            usual, fine.shape[1] / few.shape[1], order=0, grid_mode=True, mode="nearest"
        )
        assert dice(mask, back) > (0.94 if find.__name__ == "bones" else 0.99)


def test_blocks_are_means_also_at_an_edge_that_they_do_not_fill() -> None:
    rows = np.arange(5, dtype=np.float32)[:, None] * np.ones((5, 7), np.float32)
    means, spacing = shrink(rows, (1.0, 0.5), 2.0)
    assert spacing == (2.0, 2.0)
    np.testing.assert_allclose(means, np.array([[0.5, 0.5], [2.5, 2.5], [4.0, 4.0]]))


def test_smaller_images_and_volumes_are_seen_as_they_are() -> None:
    seen = []

    @in_few_pixels
    def find(pixels: NDArray[np.float32], spacing_mm: tuple[float, ...]) -> NDArray[np.bool_]:
        """Note what it is shown."""
        seen.append((pixels.shape, spacing_mm))
        return np.ones(pixels.shape[1:], bool)

    for shape in ((1, 511, 500), (3, 512, 350), (1, 1026, 4), (1, 2, 600, 600)):
        spacing = (0.5,) * (len(shape) - 1)
        assert find(np.zeros(shape, np.float32), spacing).shape == shape[1:]
    assert seen == [
        ((1, 511, 500), (0.5, 0.5)),
        ((3, 256, 175), (1.0, 1.0)),
        ((1, 257, 1), (2.0, 2.0)),
        ((1, 2, 600, 600), (0.5, 0.5, 0.5)),
    ]
    assert find.__name__ == "find"


def test_wrong_shapes_of_large_images_are_told_by_the_anatomy() -> None:
    for shape, spacing in (((1, 1024, 1024), (1.0,)), ((1, 1024, 1024), (0.0, 1.0))):
        with pytest.raises(InputError, match="spacing_mm must be 2 numbers"):
            anatomy.foreground(np.zeros(shape, np.float32), spacing)
    with pytest.raises(InputError, match="spacing_mm must be 3 numbers"):
        anatomy.foreground(np.zeros((1, 2, 1024, 1024), np.float32), (1.0, 1.0))


def test_what_an_image_is_cropped_to_is_not_looked_for_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = []
    usual = anatomy.foreground

    def counted(pixels: NDArray[np.float32], spacing_mm: tuple[float, ...]) -> NDArray[np.bool_]:
        found.append(pixels.shape)
        return usual(pixels, spacing_mm)

    counted.__name__ = "foreground"
    monkeypatch.setattr(anatomy, "foreground", counted)
    image = np.zeros((1, 64, 64), np.float32)
    image[0, 20:50, 10:40] = 0.6
    both = recipe(
        geometry={"size": [32, 32], "crop": "anatomy.foreground"}, anatomy="anatomy.foreground"
    )
    samples = prepare_array(image[None], both, 1.0)
    assert len(found) == 1
    assert samples.masks().mean() > 0.8  # cropped to it
