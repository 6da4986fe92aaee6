"""Laws of knowledge: shapes stay what they are, and a severity is a number with a meaning."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from makers import STILL, seeded
from midclass import ImageBatch
from midclass.knowledge._visibility import severity, tissue_sigma
from midclass.knowledge.acquisition import moved
from midclass.knowledge.focal import Focal
from midclass.types import Middle


@pytest.mark.parametrize("angle", [-40.0, 25.0, 90.0])
@pytest.mark.parametrize("shape", [(48, 96), (96, 48), (64, 64)])
def test_a_disc_that_is_rotated_stays_a_disc_whatever_the_shape_of_the_image(
    shape: tuple[int, int], angle: float
) -> None:
    y, x = np.ogrid[: shape[0], : shape[1]]
    away = np.hypot(y - (shape[0] - 1) / 2, x - (shape[1] - 1) / 2)
    disc = torch.from_numpy(np.exp(-((away / 9) ** 2)).astype(np.float32))[None, None]
    batch = ImageBatch.of(disc)
    params = STILL.draw(batch, seeded()) | {"rotation_deg": torch.tensor([angle])}
    turned = moved(STILL, batch, params).pixels
    torch.testing.assert_close(turned, disc, atol=0.01, rtol=0)


@pytest.mark.parametrize(("angle", "place"), [(90.0, (4, -9)), (-90.0, (-4, 9)), (180.0, (9, 4))])
def test_a_rotation_is_by_the_angle_that_it_says(angle: float, place: tuple[int, int]) -> None:
    """Of a spot 9 rows above and 4 columns left of the middle."""
    pixels = torch.zeros(1, 1, 33, 65)
    pixels[0, 0, 16 - 9, 32 - 4] = 1
    batch = ImageBatch.of(pixels)
    params = STILL.draw(batch, seeded()) | {"rotation_deg": torch.tensor([angle])}
    turned = moved(STILL, batch, params).pixels[0, 0]
    row, column = np.unravel_index(int(turned.argmax()), turned.shape)
    assert (row - 16, column - 32) == place


@pytest.mark.parametrize("spacing_mm", [0.5, 1.0])
@pytest.mark.parametrize(
    ("sigmas", "side_mm", "expected"), [(3, 5, 0.5), (6, 5, 2 / 3), (3, 10, 2 / 3), (1.5, 5, 1 / 3)]
)
def test_three_sigma_over_five_millimetres_have_the_severity_one_half(
    sigmas: float, side_mm: float, expected: float, spacing_mm: float
) -> None:
    noise = 0.5 + 0.02 * torch.randn(1, 1, 128, 128, generator=seeded())
    batch = ImageBatch.of(noise, spacing_mm=spacing_mm)
    side = round(side_mm / spacing_mm)
    change = torch.zeros_like(noise)
    change[..., 40 : 40 + side, 50 : 50 + side] = 1
    seen = severity(batch, noise + sigmas * 0.02 * change, change)
    assert float(tissue_sigma(batch)) == pytest.approx(0.02, rel=0.05)
    assert float(seen) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("times", [1e-3, 0.1, 2.0])
def test_in_a_small_field_a_lesion_is_as_visible_in_other_units(times: float) -> None:
    """A section of tissue of half a mm is looked at as a photograph of 13 mm is."""

    def middle(scale: float) -> Middle:
        pixels = 0.5 + 0.05 * torch.randn(4, 1, 64, 64, generator=seeded())
        batch = ImageBatch.of(pixels, spacing_mm=0.2 * scale)
        lesion = Focal(diameter_mm=(2 * scale, 4 * scale), edge_mm=(0.5 * scale, 1.0 * scale))
        return lesion.apply(batch, lesion.draw(batch, seeded()))

    usual, other = middle(1.0), middle(times)
    torch.testing.assert_close(other.severity, usual.severity, rtol=1e-3, atol=1e-4)
    assert (usual.severity > 0.2).all()


def test_the_edge_of_a_lesion_is_no_wider_than_the_lesion() -> None:
    lesion = Focal(diameter_mm=(0.01, 0.02))
    batch = ImageBatch.of(torch.rand(8, 1, 64, 64, generator=seeded()), spacing_mm=0.001)
    change = lesion(batch, seeded()).change
    assert (change.mean((1, 2, 3)) < 0.3).all()


def test_what_does_not_change_has_no_severity() -> None:
    batch = ImageBatch.of(torch.rand(2, 1, 32, 32, generator=seeded()))
    assert severity(batch, batch.pixels, torch.zeros(2, 1, 32, 32)).tolist() == [0, 0]
