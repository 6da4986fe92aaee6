"""Laws of the operators that ring, move, roughen and resize."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from makers import seeded as rng
from midclass import ImageBatch, InputError, Knowledge, Params, example_batch
from midclass.knowledge._blur import blurred
from midclass.knowledge._box import Box
from midclass.knowledge.mass_effect import MassEffect
from midclass.knowledge.resize import Resize
from midclass.knowledge.rim import Rim
from midclass.knowledge.texture import TextureChange

MIDDLE: dict[str, Any] = {"centre_jitter_mm": 0.0}
STILL: dict[str, Any] = {"roughness": (0, 0), "axis_ratio": (1, 1), **MIDDLE}


def grating(per_mm: float, spacing: float = 0.5, side_mm: float = 96, n: int = 1) -> ImageBatch:
    """Stripes of so many cycles per mm."""
    size = round(side_mm / spacing)
    along = (torch.arange(size) - (size - 1) / 2) * spacing
    stripes = 0.5 + 0.05 * torch.sin(2 * math.pi * per_mm * along)
    return ImageBatch.of(stripes.expand(n, 1, size, size), spacing_mm=spacing)


def positions_mm(batch: ImageBatch) -> Tensor:
    """Position of every sample from the image's centre, in mm: ``(n, *spatial, d)``."""
    parts = Box.whole(batch).away_mm(torch.zeros_like(batch.spacing_mm))
    return torch.cat(torch.broadcast_tensors(*parts), 1).movedim(1, -1)


def disc(radius_mm: float, spacing: float, side_mm: float = 128) -> ImageBatch:
    """A bright soft disc in the middle of a grey square."""
    flat = ImageBatch.of(torch.zeros(2, 1, *(round(side_mm / spacing),) * 2), spacing_mm=spacing)
    distance = positions_mm(flat).norm(dim=-1).unsqueeze(1)
    return flat.with_pixels(0.3 + 0.4 * torch.sigmoid(2 * (radius_mm - distance)))


def middle_of(pixels: Tensor, share: float = 0.3) -> Tensor:
    """The square in the middle, of so much of the side."""
    size = pixels.shape[-1]
    edge = round(size * (1 - share) / 2)
    return pixels[..., edge : size - edge, edge : size - edge]


def power_at(pixels: Tensor, per_mm: float) -> float:
    """Mean power of images of 1 mm per sample at about so many cycles per mm."""
    spectrum = torch.fft.fft2(pixels - pixels.mean((2, 3), keepdim=True)).abs().square()
    along = torch.fft.fftfreq(pixels.shape[-1])
    radius = (along[:, None].square() + along[None].square()).sqrt()
    return float(spectrum[..., (radius - per_mm).abs() < 0.03].mean())


def shift_of(operator: MassEffect | Resize, batch: ImageBatch, params: Params) -> Tensor:
    """Where every sample is fetched from, in mm, 0 outside the box: ``(n, *spatial, d)``."""
    box, parts = operator._shift(batch, params)
    return torch.cat([box.alone(part) for part in parts], 1).movedim(1, -1)


def smallest_jacobian(batch: ImageBatch, shift_mm: Tensor) -> float:
    """Least determinant of the fetching map, from differences of neighbouring samples."""
    places = positions_mm(batch) + shift_mm
    columns = []
    dims = len(batch.spatial)
    for axis in range(dims):
        others = (slice(None) if other == axis else slice(None, -1) for other in range(dims))
        step = places.diff(dim=axis + 1)[(slice(None), *others)]
        spacing = batch.spacing_mm[:, axis].view(-1, *(1,) * (step.ndim - 1))
        columns.append(step / spacing)
    return float(torch.linalg.det(torch.stack(columns, -1)).min())


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(
    "operator",
    [
        MassEffect(direction="source", peak_mm=(15, 15), radius_mm=(5, 40)),
        MassEffect(direction="sink", peak_mm=(15, 15), radius_mm=(5, 40)),
        Resize(structure="place", change="larger", larger=(1.6, 1.6)),
        Resize(structure="dark", change="larger", larger=(1.6, 1.6)),
        Resize(structure="place", change="smaller", smaller=(0.6, 0.6)),
        Resize(structure="bright", change="smaller", smaller=(0.6, 0.6), margin_mm=(1, 5)),
    ],
)
def test_tissue_never_folds_even_where_the_largest_movement_is_asked_for(
    operator: MassEffect | Resize, dims: int
) -> None:
    batch = example_batch(dims, n=40)
    for seed in range(5 if dims == 2 else 2):
        shift = shift_of(operator, batch, operator.draw(batch, rng(seed)))
        assert smallest_jacobian(batch, shift) > 0
        assert shift.norm(dim=-1).amax() > 0.5


SAME_SIZE: dict[str, Knowledge] = {
    "rim": Rim(core_mm=(16, 16), rim_mm=(4, 4), halo_mm=(10, 10), **STILL),
    "mass": MassEffect(direction="source", peak_mm=(6, 6), radius_mm=(36, 36), **MIDDLE),
    "texture": TextureChange(
        frequency_per_mm=(0.1, 0.1), region_mm=(40, 40), roughness=(0, 0), **MIDDLE
    ),
    "resize": Resize(structure="bright", size_mm=(40, 40), margin_mm=(10, 10)),
}


@pytest.mark.parametrize("name", SAME_SIZE)
def test_the_same_mm_give_the_same_picture_at_two_resolutions(name: str) -> None:
    coarse, fine = (
        disc(20, spacing).with_pixels(
            disc(20, spacing).pixels + grating(0.1, spacing, 128, 2).pixels - 0.5
        )
        for spacing in (1.0, 0.5)
    )
    pixels = SAME_SIZE[name](coarse, rng(3)).pixels
    shrunk = torch.nn.functional.avg_pool2d(SAME_SIZE[name](fine, rng(3)).pixels, 2)
    change = (pixels - coarse.pixels).square().mean().sqrt()
    assert (pixels - shrunk).square().mean().sqrt() < 0.25 * change


WEAK_AND_STRONG: dict[str, tuple[Knowledge, Knowledge]] = {
    "rim": (
        Rim(core_sigma=(1, 1), rim_sigma=(1, 1), halo_sigma=(0.5, 0.5)),
        Rim(core_sigma=(3, 3), rim_sigma=(3, 3), halo_sigma=(1.5, 1.5)),
    ),
    "mass": (MassEffect(peak_mm=(1, 1)), MassEffect(peak_mm=(3, 3))),
    "texture": (TextureChange(gain=(1.3, 1.3)), TextureChange(gain=(3, 3))),
    "larger": (
        Resize(change="larger", larger=(1.1, 1.1)),
        Resize(change="larger", larger=(1.5, 1.5)),
    ),
    "smaller": (
        Resize(change="smaller", smaller=(0.9, 0.9)),
        Resize(change="smaller", smaller=(0.6, 0.6)),
    ),
}


@pytest.mark.parametrize("name", WEAK_AND_STRONG)
def test_a_stronger_change_is_more_severe(name: str) -> None:
    batch = example_batch(n=12)
    weak, strong = (operator(batch, rng()).severity for operator in WEAK_AND_STRONG[name])
    assert (strong > weak).all()


@pytest.mark.parametrize("scale", ["head", "chest", "breast"])
@pytest.mark.parametrize("operator", [Rim(), MassEffect(), TextureChange(), Resize()])
def test_the_defaults_show_at_the_scale_of_every_task(operator: Knowledge, scale: str) -> None:
    size, spacing = {"head": (128, 235 / 128), "chest": (128, 220 / 128), "breast": (96, 38 / 96)}[
        scale
    ]
    coarse = torch.rand(16, 1, size // 4, size // 4, generator=rng())
    smooth = torch.nn.functional.interpolate(coarse, size=(size, size), mode="bicubic")
    grain = torch.randn(16, 1, size, size, generator=rng(1))
    batch = ImageBatch.of((0.4 + 0.1 * smooth + 0.02 * grain).clamp(0, 1), spacing_mm=spacing)
    severity = operator(batch, rng()).severity
    assert (severity > 0.05).float().mean() > 0.7  # the floor below which a label is noise


def test_a_ring_is_bright_around_a_dark_core_and_leaves_out_what_has_no_sign() -> None:
    batch = ImageBatch.of(torch.full((4, 1, 97, 97), 0.4), spacing_mm=1.0)
    ring = Rim(halo="none", core_mm=(20, 20), rim_mm=(5, 5), edge_mm=(0.5, 0.5), **STILL)
    middle = ring(batch, rng())
    step = (middle.pixels - batch.pixels)[:, 0, 48]
    assert (step[:, 48] < 0).all()
    assert (step[:, 48 + 12] > 0).all()  # core 10 mm, wall from 10 to 15 mm
    assert (step[:, 48 + 20] == 0).all()
    assert not middle.change[:, 0, 48, 48 + 20].any()


def test_the_boundaries_of_a_rough_rim_follow_one_another() -> None:
    batch = ImageBatch.of(torch.full((8, 1, 96, 96), 0.4), spacing_mm=0.5)
    ring = Rim(core_mm=(20, 20), rim_mm=(3, 3), roughness=(0.2, 0.2), centre_jitter_mm=0.0)
    params = ring.draw(batch, rng())
    core, rim = (
        (Rim(**{"core": "none", "rim": "none", "halo": "none", part: "bright"}, **MIDDLE))
        .apply(batch, params)
        .change
        for part in ("core", "rim")
    )
    widened = torch.nn.functional.max_pool2d(core, 9, 1, 4)  # by 2 mm, the thinnest wall
    assert (core > 0.5).sum((1, 2, 3)).float().std() > 0  # rough, so each has its own area
    assert (rim[(widened > 0.5) & (core < 0.05)] > 0.3).float().mean() > 0.9


def test_a_source_pushes_tissue_outwards_by_the_peak_and_a_sink_draws_it_in() -> None:
    edge = torch.linspace(0, 1, 193).expand(2, 1, 193, 193)
    batch = ImageBatch.of(edge, spacing_mm=0.5)
    for direction, sign in (("source", -1), ("sink", 1)):
        mass = MassEffect(
            direction=direction,  # type: ignore[arg-type]
            peak_mm=(4, 4),
            radius_mm=(40, 40),
            **MIDDLE,
        )
        moved = (mass(batch, rng()).pixels - edge)[:, 0, 96] * 96  # mm to the right of the middle
        assert (sign * moved[:, 97:177]).min() >= -1e-3
        torch.testing.assert_close(
            (sign * moved[:, 97:177]).amax(1), torch.full((2,), 4.0), rtol=0.02, atol=0
        )
        assert moved[:, 180:].abs().max() < 1e-3  # beyond the ball nothing moves


def test_the_wall_holds_the_tissue() -> None:
    batch = example_batch(n=24)
    mass = MassEffect(radius_mm=(5, 60), peak_mm=(15, 15))
    shift = shift_of(mass, batch, mass.draw(batch, rng()))
    assert shift[~batch.anatomy.squeeze(1)].abs().max() < 1e-4


def test_texture_of_the_band_is_amplified_and_coarser_texture_left() -> None:
    change = TextureChange(
        change="more",
        gain=(3, 3),
        frequency_per_mm=(0.2, 0.2),
        region_mm=(80, 80),
        keep_variance=False,
        **MIDDLE,
    )
    for per_mm, gain, within in ((0.2, 3.0, 0.05), (0.02, 1.0, 0.15)):
        batch = grating(per_mm)
        before, after = middle_of(batch.pixels), middle_of(change(batch, rng()).pixels)
        ratio = (after - 0.5).norm() / (before - 0.5).norm()
        assert abs(float(ratio) / gain - 1) < within


@pytest.mark.parametrize("way", ["more", "less"])
def test_mean_and_variance_of_the_region_are_kept_and_its_spectrum_is_not(way: str) -> None:
    noise = 0.5 + 0.05 * torch.randn(6, 1, 128, 128, generator=rng())
    batch = ImageBatch.of(noise, spacing_mm=1.0)
    change = TextureChange(
        change=way,  # type: ignore[arg-type]
        gain=(3, 3),
        frequency_per_mm=(0.2, 0.2),
        region_mm=(80, 80),
        **MIDDLE,
    )
    before, after = middle_of(noise), middle_of(change(batch, rng()).pixels)
    torch.testing.assert_close(after.mean((1, 2, 3)), before.mean((1, 2, 3)), rtol=0, atol=2e-3)
    torch.testing.assert_close(after.std((1, 2, 3)), before.std((1, 2, 3)), rtol=0.1, atol=0)
    gain = power_at(after, 0.2) / power_at(before, 0.2)
    assert gain > 2 if way == "more" else gain < 0.5


def test_texture_that_a_pixel_cannot_show_is_refused() -> None:
    batch = ImageBatch.of(torch.rand(2, 1, 32, 32), spacing_mm=5.0)
    with pytest.raises(InputError, match=r"a pixel of 5\.00 mm cannot show 0\.1 cycles per mm"):
        TextureChange()(batch, rng())


@pytest.mark.parametrize("factor", [0.7, 1.4])
def test_a_structure_that_stands_out_is_found_and_scaled_by_the_factor(factor: float) -> None:
    batch = disc(16, 1.0)
    resize = Resize(
        structure="bright",
        change="larger" if factor > 1 else "smaller",
        larger=(1.4, 1.4),
        smaller=(0.7, 0.7),
        size_mm=(32, 32),
        margin_mm=(16, 16),
    )
    areas = [(p > 0.5).sum((1, 2, 3)).float() for p in (batch.pixels, resize(batch, rng()).pixels)]
    torch.testing.assert_close(areas[1], areas[0] * factor**2, rtol=0.12, atol=0)


def test_where_nothing_stands_out_a_drawn_place_is_resized() -> None:
    flat = ImageBatch.of(torch.full((4, 1, 64, 64), 0.5))
    params = Resize().draw(flat, rng())
    dark, place = (shift_of(Resize(structure=one), flat, params) for one in ("dark", "place"))  # type: ignore[arg-type]
    assert torch.equal(dark, place)


def test_a_blur_is_the_same_for_an_image_alone_and_leaves_a_flat_image_flat() -> None:
    values = torch.rand(3, 2, 20, 24, generator=rng())
    spacing = torch.tensor([[1.0, 1.0], [0.5, 2.0], [1.0, 0.7]])
    sigma = torch.tensor([0.5, 3.0, 10.0])
    together = blurred(values, spacing, sigma)
    alone = blurred(values[1:2], spacing[1:2], sigma[1:2])
    torch.testing.assert_close(alone[0], together[1])
    flat = torch.full_like(values, 0.3)
    torch.testing.assert_close(blurred(flat, spacing, sigma), flat)
    torch.testing.assert_close(together.mean((2, 3)), values.mean((2, 3)), rtol=0.02, atol=0)


def test_a_mass_effect_lies_near_the_lesion_that_is_drawn_at_its_place() -> None:
    batch = example_batch(n=16)
    effect, lesion = MassEffect(direction="source"), Rim(core_mm=(3, 6), halo="none")
    pushed, ring = (each.draw(batch, torch.Generator().manual_seed(0)) for each in (effect, lesion))
    centres = []
    for place in (pushed["place"], ring["place"].flip(0)):
        of_ring = centre_of_mass(lesion.apply(batch, {**ring, "place": place}).change)
        of_push = centre_of_mass(effect.apply(batch, pushed).change)
        centres.append(float((of_push - of_ring).norm(dim=1).mean()))
    together, apart = centres
    assert together < 8 < 15 < apart


def centre_of_mass(change: torch.Tensor) -> torch.Tensor:
    """``(n, 2)`` samples, of ``(n, 1, h, w)``."""
    places = torch.stack(
        torch.meshgrid(*(torch.arange(float(s)) for s in change.shape[2:]), indexing="ij")
    )
    return (change * places).sum((2, 3)) / change.sum((2, 3))
