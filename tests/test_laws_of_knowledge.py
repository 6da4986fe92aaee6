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
from midclass.knowledge.mass_effect import MassEffect
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
    """A scan of half a mm is looked at as a photograph of 13 mm is, also in a thin layer."""

    def middle(scale: float) -> Middle:
        pixels = 0.5 + 0.05 * torch.randn(4, 1, 64, 160, generator=seeded())
        layer = torch.zeros(4, 1, 64, 160, dtype=torch.bool)
        layer[:, :, 24:40] = True
        batch = ImageBatch.of(pixels, layer, spacing_mm=0.2 * scale)
        lesion = Focal(diameter_mm=(2 * scale, 4 * scale), edge_mm=(0.5 * scale, 1.0 * scale))
        return lesion.apply(batch, lesion.draw(batch, seeded()))

    usual, other = middle(1.0), middle(times)
    torch.testing.assert_close(other.severity, usual.severity, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(other.change, usual.change, rtol=1e-3, atol=1e-4)
    assert (usual.severity > 0.1).all()


def test_in_a_small_field_a_mass_lies_as_deep_as_elsewhere() -> None:
    disc = (torch.cartesian_prod(*[torch.arange(64.0) - 31.5] * 2).norm(dim=1) < 27).view(64, 64)
    batch = ImageBatch.of(torch.rand(20, 1, 64, 64), disc.expand(20, 1, -1, -1), spacing_mm=0.22)
    effect = MassEffect(radius_mm=(2, 3), peak_mm=(0.5, 1))
    centre = effect._centre(batch, torch.rand(20, 2, generator=seeded()))
    assert (27 * 0.22 - centre.norm(dim=1) > 1.8).all()


def test_the_edge_of_a_lesion_is_no_wider_than_the_lesion() -> None:
    lesion = Focal(diameter_mm=(0.01, 0.02))
    batch = ImageBatch.of(torch.rand(8, 1, 64, 64, generator=seeded()), spacing_mm=0.001)
    change = lesion(batch, seeded()).change
    assert (change.mean((1, 2, 3)) < 0.3).all()


@pytest.mark.parametrize("sigma_mm", [0.2, 0.8, 1.2, 2.5])
@pytest.mark.parametrize("spacing_mm", [0.4, 1.0])
def test_a_blur_is_as_wide_as_it_says(sigma_mm: float, spacing_mm: float) -> None:
    """The variance of a spot along an axis, also where that is more than a sample."""
    sigma_mm = min(sigma_mm, 4 * spacing_mm)
    pixels = torch.full((1, 1, 65, 65), 0.1)
    pixels[..., 32, 32] = 1.0
    batch = ImageBatch.of(pixels, spacing_mm=spacing_mm)
    params = STILL.draw(batch, seeded()) | {"blur_mm": torch.tensor([sigma_mm])}
    found = moved(STILL, batch, params).pixels[0, 0].double() - 0.1
    share = found.sum(0) / found.sum()
    at = (torch.arange(65) - 32) * spacing_mm
    assert float((share * at.square()).sum().sqrt()) == pytest.approx(sigma_mm, rel=0.04)


def test_a_blur_stays_in_its_slice() -> None:
    """Slices of 5 mm with pixels of 1 mm."""
    pixels = torch.full((2, 1, 5, 33, 33), 0.1)
    pixels[:, :, 1, 16, 16] = 1.0
    batch = ImageBatch.of(pixels, spacing_mm=(5.0, 1.0, 1.0))
    params = STILL.draw(batch, seeded()) | {"blur_mm": torch.tensor([2.5, 0.0])}
    both = moved(STILL, batch, params).pixels
    torch.testing.assert_close(both[1], pixels[1])
    found = both[0, 0] - 0.1
    assert float(found[[0, 2, 3, 4]].abs().max()) < 1e-4
    share = found[1].sum(0) / found[1].sum()
    at = torch.arange(33) - 16.0
    assert float((share * at.square()).sum().sqrt()) == pytest.approx(2.5, rel=0.04)


def test_blurs_of_a_batch_do_not_mix() -> None:
    pixels = torch.rand(2, 1, 32, 32, generator=seeded())
    batch = ImageBatch.of(pixels, spacing_mm=1.0)
    params = STILL.draw(batch, seeded()) | {"blur_mm": torch.tensor([0.3, 3.0])}
    both = moved(STILL, batch, params).pixels
    alone = {name: value[:1] for name, value in params.items()}
    torch.testing.assert_close(moved(STILL, batch[[0]], alone).pixels, both[:1])


def test_what_does_not_change_has_no_severity() -> None:
    batch = ImageBatch.of(torch.rand(2, 1, 32, 32, generator=seeded()))
    assert severity(batch, batch.pixels, torch.zeros(2, 1, 32, 32)).tolist() == [0, 0]
