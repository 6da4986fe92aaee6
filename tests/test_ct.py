"""Lungs in CT: a body whose truth is known, in 2-D and 3-D, and a real slice if there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from makers import dice
from midclass import InputError
from midclass.images.anatomy.chest_ct import lungs
from midclass.images.formats.read import read


def body(size: int = 180) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Two lungs of 2 mm pixels in a body in air, with a vessel and a nodule in one of them."""
    y, x = (np.mgrid[:size, :size] - size / 2) * 2.0

    def ellipse(cy: float, cx: float, ry: float, rx: float) -> NDArray[np.bool_]:
        return ((y - cy) / ry) ** 2 + ((x - cx) / rx) ** 2 <= 1

    both = ellipse(0, -70, 75, 45) | ellipse(0, 70, 75, 45)
    pixels = np.select([both, ellipse(0, 0, 110, 150)], [0.33, 0.93], 0.22)
    pixels[ellipse(0, 0, 6, 6)] = 0.22  # the trachea
    pixels[ellipse(20, 60, 8, 8)] = 0.9  # a nodule
    pixels[(np.abs(y) < 2) & (x > 40) & (x < 100)] = 0.9  # a vessel
    noise = np.random.default_rng(0).normal(0, 0.02, pixels.shape)
    return np.clip(pixels + noise, 0, 1).astype(np.float32)[None], both


def test_lungs_are_found_with_vessels_and_nodules_and_without_the_trachea() -> None:
    pixels, truth = body()
    found = lungs(pixels, (2.0, 2.0))
    assert dice(found, truth) > 0.95
    assert found[100, 120]  # the nodule
    assert not found[90, 90]  # the trachea


def test_air_outside_the_body_is_no_lung() -> None:
    pixels, _ = body()
    assert not lungs(np.where(pixels < 0.5, 0.22, pixels)[:, :, :60], (2.0, 2.0))[:, :15].any()
    assert not lungs(np.full((1, 64, 64), 0.22, np.float32), (2.0, 2.0)).any()


def test_a_volume_gives_the_same_lungs_as_its_slices() -> None:
    pixels, truth = body()
    volume = np.repeat(pixels[:, None], 12, axis=1)
    found = lungs(volume, (5.0, 2.0, 2.0))
    assert found.shape == (12, 180, 180)
    assert dice(found[6], truth) > 0.95


def test_a_spacing_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="a spacing > 0 per axis"):
        lungs(np.zeros((1, 8, 8), np.float32), (1.0,))


@pytest.mark.realdata
def test_the_lungs_of_a_real_slice_are_two_and_cover_a_fifth_of_it(shared_data: Path) -> None:
    image = read(shared_data / "reader_tests/dicom/wg04/CT1_UNC.dcm", window=(-1350, 150))
    found = lungs(image.pixels, image.spacing_mm or (0.66, 0.66))
    assert 0.15 < found.mean() < 0.25
    assert found[250, 150]
    assert found[250, 380]
    assert not found[200, 250]  # the heart
