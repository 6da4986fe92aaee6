"""Laws of fluid, asymmetry, erasure and the nuisance's artefacts."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from makers import STILL, seeded
from midclass import ImageBatch, InputError, Knowledge, example_batch
from midclass.knowledge._box import Box
from midclass.knowledge.asymmetry import AsymmetryGain, AsymmetrySwap
from midclass.knowledge.erasure import Erasure, pull_push
from midclass.knowledge.fluid import Fluid
from midclass.knowledge.nuisance import Nuisance
from midclass.testing import findings

POOLED_3D = (functional.avg_pool3d, "trilinear")
ALL_ON = {"dose": (0.5, 2.0), "window": 0.1, "collimation": 1.0, "markers": 1.0, "compression": 1.0}


def two_lungs(spacing: float, n: int = 6, wide_mm: int = 192) -> ImageBatch:
    """Dark lungs of unequal height in brighter tissue, ``wide_mm`` across."""
    size = round(wide_mm / spacing)
    place = (torch.arange(size) + 0.5) * spacing
    y, x = place.view(-1, 1), place.view(1, -1)
    left = (x > 24) & (x < 80) & (y > 32) & (y < 144)
    right = (x > 112) & (x < 168) & (y > 32) & (y < 160)
    lungs = (left | right).expand(n, 1, size, size)
    grain = 0.01 * torch.randn(n, 1, size, size, generator=seeded())
    return ImageBatch(0.7 - 0.5 * lungs + grain, lungs.clone(), torch.full((n, 2), spacing))


def acquired(nuisance: Nuisance, batch: ImageBatch, seed: int = 0) -> Tensor:
    nothing = torch.zeros(batch.anatomy.shape)
    return nuisance.apply(batch, nuisance.draw(batch, seeded(seed)), nothing)[0].pixels


def nuisance(**on: object) -> Nuisance:
    """Nothing but the artefacts that are named."""
    return Nuisance(**{**vars(STILL), **on})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "operator",
    [Fluid(), AsymmetryGain(), AsymmetrySwap()],
    ids=lambda operator: type(operator).__name__,
)
def test_a_change_has_the_same_area_in_mm_at_two_resolutions(operator: Knowledge) -> None:
    coarse, fine = (
        operator(two_lungs(mm), seeded(3)).change.sum((1, 2, 3)) * mm**2 for mm in (2.0, 1.0)
    )
    assert coarse.min() > 30
    torch.testing.assert_close(coarse, fine, rtol=0.12, atol=0)


@pytest.mark.parametrize("mm", [2.0, 1.0])
def test_an_erased_blob_has_the_area_of_its_diameter_in_mm(mm: float) -> None:
    erasure = Erasure(shape="blob", size_mm=(20, 20), roughness=(0, 0), strength=(1, 1))
    area = erasure(two_lungs(mm, n=9), seeded()).change.sum((1, 2, 3)) * mm**2
    # The median, as some reach the border of their lung.
    assert float(area.median()) == pytest.approx(math.pi * 10**2, rel=0.1)


@pytest.mark.parametrize(
    ("faint", "clear"),
    [
        (Fluid(strength=(0.2, 0.2)), Fluid(strength=(0.8, 0.8))),
        (AsymmetryGain(gain=(0.05, 0.05)), AsymmetryGain(gain=(0.25, 0.25))),
        (AsymmetrySwap(share=(0.3, 0.3)), AsymmetrySwap(share=(1, 1))),
        (Erasure(strength=(0.3, 0.3)), Erasure(strength=(1, 1))),
    ],
    ids=lambda operator: type(operator).__name__,
)
def test_more_strength_is_more_severe(faint: Knowledge, clear: Knowledge) -> None:
    batch = example_batch()
    low, high = (operator(batch, seeded()).severity for operator in (faint, clear))
    assert (high > low).all()


def test_fluid_fills_the_asked_share_of_each_lung_from_its_own_lowest_point() -> None:
    batch = two_lungs(1.0)
    fluid = Fluid(sides="both", level="flat", share=(0.25, 0.25), edge_mm=(1, 1))
    change = fluid(batch, seeded()).change > 0.5
    middle_of_left, middle_of_right = change[:, 0, :, 52].sum(1), change[:, 0, :, 140].sum(1)
    assert ((middle_of_left - 112 * 0.25).abs() <= 4).all()
    assert ((middle_of_right - 128 * 0.25).abs() <= 4).all()
    assert not change[:, 0, :110].any()


def test_a_meniscus_is_higher_at_the_lateral_wall_and_a_flat_level_is_not() -> None:
    batch = two_lungs(1.0)
    for level, rises in (("meniscus", True), ("flat", False)):
        fluid = Fluid(sides="both", level=level, share=(0.2, 0.3), edge_mm=(3, 3))  # type: ignore[arg-type]
        height = (fluid(batch, seeded()).change > 0.5).sum(2)[:, 0]  # (n, w)
        assert (height[:, 30] > height[:, 70] + 4).all() == rises
        assert (height[:, 162] > height[:, 122] + 4).all() == rises


def test_fluid_on_one_side_leaves_the_other_and_darkens_nothing() -> None:
    batch = two_lungs(2.0, n=16)
    middle = Fluid(sides="one")(batch, seeded())
    sides = torch.stack([part.flatten(1).any(1) for part in (middle.change > 0).chunk(2, -1)], 1)
    assert (sides.sum(1) == 1).all()
    assert sides.any(0).all()  # either side has its turn
    assert (middle.pixels >= batch.pixels - 1e-6).all()


def test_fluid_follows_gravity_in_3d_and_refuses_slices_in_2d() -> None:
    batch = ImageBatch.of(torch.full((2, 1, 24, 24, 24), 0.2), spacing_mm=5.0)
    for dependent, lowest in (
        ("bottom", (slice(None), 0, slice(None), slice(20, None))),
        ("last_slice", (slice(None), 0, slice(20, None))),
    ):
        fluid = Fluid(dependent=dependent, sides="both", share=(0.3, 0.3))  # type: ignore[arg-type]
        change = fluid(batch, seeded()).change
        assert change[lowest].mean() > 0.8 > 0.5 > change.mean()
    with pytest.raises(InputError, match="'last_slice' needs 3-D images"):
        Fluid(dependent="last_slice")(two_lungs(2.0), seeded())
    kept = findings(Fluid(dependent="first_slice"), example_batch(3))
    assert {finding.state for finding in kept} == {"ok", "refused"}  # refused are the 2-D scenes


def test_a_gain_changes_one_side_by_the_asked_share() -> None:
    batch = ImageBatch.of(torch.full((8, 1, 96, 96), 0.4), spacing_mm=2.0)
    for sign, factor in (("bright", 1.2), ("dark", 0.8)):
        gain = AsymmetryGain(sign=sign, gain=(0.2, 0.2), patchiness=(0, 0))  # type: ignore[arg-type]
        pixels = gain(batch, seeded()).pixels[:, 0]
        left, right = pixels[:, 20:70, 20].mean(1), pixels[:, 20:70, 75].mean(1)
        changed = torch.where((left - 0.4).abs() > 0.01, left, right)
        other = torch.where((left - 0.4).abs() > 0.01, right, left)
        torch.testing.assert_close(changed, torch.full((8,), 0.4 * factor), atol=1e-3, rtol=0)
        torch.testing.assert_close(other, torch.full((8,), 0.4), atol=1e-6, rtol=0)


def test_a_swap_of_a_mirror_image_is_invisible_and_of_another_patient_is_not() -> None:
    half = example_batch(n=4).pixels[..., :32]
    symmetric = ImageBatch.of(torch.cat([half, half.flip(-1)], -1))
    swap = AsymmetrySwap(share=(1, 1))
    params = swap.draw(symmetric, seeded())
    own = {**params, "donor": symmetric.pixels}
    assert torch.allclose(swap.apply(symmetric, own).pixels, symmetric.pixels, atol=1e-5)
    assert torch.allclose(swap.sham(symmetric, params), symmetric.pixels, atol=1e-5)
    change = (swap.apply(symmetric, params).pixels - symmetric.pixels).abs()
    assert (change.amax((1, 2, 3)) > 0.05).all()


def test_a_swap_fits_a_donor_of_another_size_and_exposure() -> None:
    small, large = two_lungs(2.0, n=1, wide_mm=192), two_lungs(1.5, n=1, wide_mm=144)
    shifted = large.pixels.roll((5, -4), (2, 3)) * 0.5 + 0.3
    batch = ImageBatch(
        torch.cat([small.pixels, shifted]),
        torch.cat([small.anatomy, large.anatomy.roll((5, -4), (2, 3))]),
        torch.cat([small.spacing_mm, large.spacing_mm]),
    )
    middle = AsymmetrySwap()(batch, seeded())
    assert ((middle.pixels - batch.pixels).abs() * batch.anatomy).max() < 0.1  # lung for lung


def test_erasure_removes_structure_and_keeps_level_and_noise() -> None:
    stripes = (torch.arange(128) % 12 < 4).float() * 0.2
    noise = 0.02 * torch.randn(8, 1, 128, 128, generator=seeded())
    batch = ImageBatch.of(0.4 + stripes + noise)
    erasure = Erasure(shape="blob", size_mm=(40, 40), strength=(1, 1), lucency=(0, 0))
    middle = erasure(batch, seeded(1))
    for row in range(8):
        inside = middle.change[row, 0] > 0.97
        assert inside.sum() > 300
        erased, old = middle.pixels[row, 0][inside], batch.pixels[row, 0][inside]
        assert abs(float(erased.mean()) - 0.4 - 0.2 / 3) < 0.03
        assert erased.std() < 0.5 * old.std()
        assert 0.01 < _fine(middle.pixels[row, 0])[inside[1:-1, 1:-1]].std() / 6 < 0.03


def _fine(image: Tensor) -> Tensor:
    """Second differences along both axes, which stripes and slopes do not have."""
    once = image[2:] + image[:-2] - 2 * image[1:-1]
    return once[:, 2:] + once[:, :-2] - 2 * once[:, 1:-1]


def test_erasure_never_takes_more_than_its_share_of_the_organ() -> None:
    batch = example_batch(n=8)
    erasure = Erasure(size_mm=(40, 40), most=0.05, roughness=(0, 0), edge_mm=(0.5, 0.5))
    share = erasure(batch, seeded()).change.sum((1, 2, 3)) / batch.anatomy.sum((1, 2, 3))
    assert (share < 0.06).all()


def test_a_filled_hole_in_a_slope_is_the_slope_and_an_unknown_image_is_0() -> None:
    slope = torch.linspace(0, 1, 64).expand(2, 1, 64, 64)
    known = torch.ones(2, 1, 64, 64, dtype=torch.bool)
    known[:, :, 20:40, 20:40] = False
    whole = Box.whole(ImageBatch.of(slope))
    hole = pull_push((slope,), known, whole)[:, :, 20:40, 20:40]
    assert (hole - slope[:, :, 20:40, 20:40]).abs().max() < 0.06  # over a step of 0.3
    assert not pull_push((slope,), torch.zeros_like(known), whole).any()


def test_what_is_filled_in_a_box_is_that_of_the_whole_image() -> None:
    rng = seeded()
    for shape in ((33, 40), (5, 16, 21), (1, 16, 21)):  # odd sides and single slices, too
        values = torch.rand(2, 2, *shape, generator=rng)
        batch = ImageBatch.of(values, torch.rand(2, 1, *shape, generator=rng) < 0.3)
        whole = Box.whole(batch)
        everywhere = pull_push((values,), batch.anatomy, whole)
        pool, mode = (functional.avg_pool2d, "bilinear") if len(shape) == 2 else POOLED_3D
        halved = pool(values, [min(2, side) for side in shape], ceil_mode=True)
        all_known = pull_push((values,), torch.ones_like(batch.anatomy), whole)
        as_torch = functional.interpolate(halved, size=shape, mode=mode)
        torch.testing.assert_close(all_known, as_torch)
        there = batch.anatomy.clone()
        there[..., :7, :] = False
        there[..., 12:] = False
        box = Box.holding(batch, there.float())
        assert box.size != whole.size
        torch.testing.assert_close(pull_push((values,), batch.anatomy, box), box.cut(everywhere))


def test_artefacts_are_off_by_default_and_leave_the_random_stream_as_it_was() -> None:
    batch, rng = example_batch(n=2), seeded()
    params = Nuisance().draw(batch, rng)
    assert float(torch.rand(1, generator=rng)) == pytest.approx(0.0929988, abs=1e-6)
    pixels = Nuisance().apply(batch, params, torch.zeros(2, 1, 64, 64))[0].pixels
    assert float(pixels.double().mean()) == pytest.approx(0.3860717, abs=1e-6)
    off = Nuisance(dose=(1, 1), window=0, collimation=0, markers=0, compression=0)
    assert torch.equal(acquired(off, batch), pixels)
    more = Nuisance(**ALL_ON).draw(batch, seeded())  # type: ignore[arg-type]
    assert set(more) > set(params)
    assert all(torch.equal(more[name], values) for name, values in params.items())


@pytest.mark.parametrize("dims", [2, 3])
def test_artefacts_move_neither_anatomy_nor_change_map(dims: int) -> None:
    batch = example_batch(dims, channels=3)
    change = torch.rand(batch.anatomy.shape, generator=seeded())
    on = nuisance(**ALL_ON)
    params = on.draw(batch, seeded())
    assert all(len(values) == len(batch) for values in params.values())
    moved, map_ = on.apply(batch, params, change)
    assert torch.equal(moved.anatomy, batch.anatomy)
    torch.testing.assert_close(map_, change * batch.anatomy, atol=1e-4, rtol=0)
    assert ((moved.pixels - batch.pixels).abs().amax((1, 2)) > 0.05).any()
    assert 0 <= moved.pixels.min() <= moved.pixels.max() <= 1


def test_strips_and_markers_have_their_size_in_mm_and_keep_to_the_border() -> None:
    areas: dict[str, list[Tensor]] = {"collimation": [], "markers": []}
    for name, found in areas.items():
        on = nuisance(**{name: 1.0}, collimation_mm=(10, 10), marker_mm=(14, 14))
        coarse, fine = (
            ImageBatch.of(torch.full((12, 1, 192 // mm, 192 // mm), 0.5), spacing_mm=mm)
            for mm in (2, 1)
        )
        same = on.draw(coarse, seeded())  # its noise does not fit, but there is none
        for batch in (coarse, fine):
            params = {**same, "grain": torch.zeros_like(batch.pixels)}
            pixels = on.apply(batch, params, torch.zeros_like(batch.pixels))[0].pixels
            ink = (pixels - 0.5).abs() / (pixels - 0.5).abs().amax((1, 2, 3), True).clamp_min(0.1)
            found.append(ink.sum((1, 2, 3)) * batch.spacing_mm.prod(1))
            quarter = batch.spatial[0] // 4
            assert not ink[..., quarter:-quarter, quarter:-quarter].any()
    for coarse, fine in areas.values():
        torch.testing.assert_close(coarse, fine, rtol=0.1, atol=4)
    sides = areas["collimation"][1] / (192 * 10)  # 2 strips that cross have a corner less
    assert set(sides.mul(10).round().tolist()) <= {0, 10, 19, 20, 28, 29, 36, 38}
    assert sides.max() > 1
    assert (areas["markers"][1] < 1.1 * 14 * 10).all()


def test_artefacts_come_to_the_asked_share_of_the_images() -> None:
    batch = ImageBatch.of(torch.rand(200, 1, 16, 16, generator=seeded()))
    for name in ("markers", "compression"):
        touched = (acquired(nuisance(**{name: 0.3}), batch) - batch.pixels).abs().amax((1, 2, 3))
        assert 0.2 < (touched > 1e-3).float().mean() < 0.4


@pytest.mark.parametrize("quality", [50, 75, 95])
def test_compression_is_that_of_a_jpeg_file(quality: int) -> None:
    pixels = (example_batch(n=1).pixels * 255).round()[..., :60, :52] / 255  # no multiple of 8
    on = nuisance(compression=1.0, quality=(quality, quality))
    ours = acquired(on, ImageBatch.of(pixels))[0, 0]
    file = io.BytesIO()
    grey = Image.fromarray((pixels[0, 0] * 255).round().numpy().astype(np.uint8))
    grey.save(file, "JPEG", quality=quality)
    theirs = torch.from_numpy(np.asarray(Image.open(file)).copy()) / 255
    error = (ours - pixels[0, 0]).abs().mean()
    assert (ours - theirs).abs()[:56, :48].mean() < min(0.6 / 255, 0.5 * float(error))


def test_noise_follows_the_dose_and_grows_with_the_signal() -> None:
    slope = torch.linspace(0.2, 0.8, 96).expand(8, 1, 96, 96)
    batch = ImageBatch.of(slope + 0.02 * torch.randn(8, 1, 96, 96, generator=seeded()))
    for dose in (0.5, 2.0):
        pixels = acquired(nuisance(dose=(dose, dose)), batch)
        ratio = (pixels - slope).square().mean() / 0.02**2
        assert float(ratio) == pytest.approx(1 / dose, rel=0.1)
    noise = (acquired(nuisance(dose=(0.5, 0.5)), batch) - batch.pixels).square()
    dark, bright = noise[..., :32].mean(), noise[..., -32:].mean()
    assert float(bright / dark) == pytest.approx(0.7 / 0.3, rel=0.2)


def test_a_moved_window_is_a_line_that_saturates() -> None:
    batch = ImageBatch.of(torch.linspace(0, 1, 64).expand(16, 1, 64, 64))
    pixels = acquired(nuisance(window=0.1), batch)[:, 0, 0]
    slope = pixels[:, 40] - pixels[:, 24]
    assert (slope.sub(16 / 63).abs() < 0.1).all()
    assert slope.std() > 0.005
    assert math.isclose(float(pixels.min()), 0)
    assert math.isclose(float(pixels.max()), 1)
    assert (pixels.diff(dim=1) >= 0).all()
