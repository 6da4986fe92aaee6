"""Bones in X-rays: a limb whose truth is known, and a real one where it is at hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage as ndi

from midclass import InputError
from midclass.images.anatomy.limb_xray import bones
from midclass.images.formats.read import read


def limb(half_mm: float = 18) -> tuple[np.ndarray, np.ndarray]:
    """A slanting bone in soft tissue in the dark, between shutters; pixels of 1.5 mm."""
    y, x = np.mgrid[:200, :200]
    across = np.abs(x - 100 - 0.1 * (y - 100))
    bone = across < half_mm / 1.5
    pixels = np.select([bone, across < 40, np.abs(x - 100) > 80], [0.75, 0.45, 1.0], 0.05)
    noise = np.random.default_rng(0).normal(0, 0.01, pixels.shape)
    noise[np.abs(x - 100) > 80] = 0
    return np.clip(pixels + noise, 0, 1).astype(np.float32)[None], bone


def test_the_bone_is_found_with_little_soft_tissue_and_no_shutters() -> None:
    pixels, bone = limb()
    found = bones(pixels, (1.5, 1.5))
    assert found[bone].mean() > 0.99
    from_bone_mm = ndi.distance_transform_edt(~bone, sampling=1.5)
    assert from_bone_mm[found].max() < 8


def test_an_even_bone_that_reaches_the_border_is_no_shutter() -> None:
    pixels, bone = limb()
    pixels[0, bone] = 0.75
    assert bones(pixels, (1.5, 1.5))[bone].mean() > 0.95


def test_the_blurred_edge_of_a_shutter_is_no_bone() -> None:
    pixels, bone = limb()
    x = np.arange(200)
    pixels[0] += np.interp(np.abs(x - 100), [60, 80], [0, 0.9]) * (np.abs(x - 100) <= 80)
    found = bones(pixels, (1.5, 1.5))
    assert found[bone].mean() > 0.9
    assert not found[:, np.abs(x - 100) > 60].any()


def test_a_lytic_lesion_stays_inside() -> None:
    pixels, _ = limb()
    y, x = np.mgrid[:200, :200]
    lesion = np.hypot(y - 100, x - 100) < 5
    pixels[0, lesion] = 0.35
    assert bones(pixels, (1.5, 1.5))[lesion].all()


@pytest.mark.parametrize("level", [0.35, 0.0])
@pytest.mark.parametrize("row", [40, 100])
@pytest.mark.parametrize(("half_mm", "length_mm"), [(6, 15), (6, 30), (18, 30), (18, 40)])
def test_a_lesion_that_takes_all_of_a_shaft_stays_inside(
    half_mm: float, length_mm: float, level: float, row: int
) -> None:
    """As dark as soft tissue or as air: what is cut out nobody looks at."""
    pixels, bone = limb(half_mm)
    lesion = bone & (np.abs(np.mgrid[:200, :200][0] - row) * 1.5 < length_mm / 2)
    pixels[0, lesion] = level
    assert bones(pixels, (1.5, 1.5))[lesion].mean() > 0.8


def test_pixels_of_a_hundredth_of_a_millimetre_take_no_more_memory() -> None:
    pixels, _ = limb()
    assert bones(pixels, (0.01, 0.01)).shape == pixels.shape[1:]


def test_where_no_bone_stands_out_it_is_the_whole_limb() -> None:
    pixels, bone = limb()
    pixels[0, bone] = 0.45
    found = bones(pixels, (1.5, 1.5))
    assert found[:, 65:135].mean() > 0.95


def test_a_volume_is_refused() -> None:
    with pytest.raises(InputError, match="takes 2-D images"):
        bones(np.zeros((1, 8, 8, 8), np.float32), (1.0, 1.0, 1.0))


@pytest.mark.realdata
def test_the_shin_and_ankle_of_a_real_image_are_bone(shared_data: Path) -> None:
    pixels = read(shared_data / "reader_tests/dicom/wg04/RG3_RLE.dcm").pixels
    low, high = np.percentile(pixels, [0.5, 99.5])
    small = np.clip((pixels - low) / (high - low), 0, 1)[:, ::8, ::8].astype(np.float32)
    found = bones(small, (300 / 220, 300 / 220))
    assert found[195, 100]  # the ankle
    assert found[:120:20, 108].all()  # the shaft, up to the border
    assert not found[100, 70]  # air
    assert not found[100, 20]  # a shutter


def test_the_bone_has_the_same_area_in_mm2_at_two_resolutions() -> None:
    pixels, _ = limb()
    fine = np.repeat(np.repeat(pixels, 2, axis=1), 2, axis=2)
    coarse = bones(pixels, (1.5, 1.5)).sum() * 1.5**2
    assert bones(fine, (0.75, 0.75)).sum() * 0.75**2 == pytest.approx(coarse, rel=0.1)
