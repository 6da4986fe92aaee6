"""The contract of every operator, found automatically, and laws of single ones."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from typing import Literal

import pytest
import torch

import midclass.knowledge
from makers import every_kind_of_image
from midclass import ImageBatch, InputError, Knowledge, check_operator, example_batch
from midclass.knowledge.calcification import Calcification
from midclass.knowledge.crescent import Crescent
from midclass.knowledge.deformation import Deformation
from midclass.knowledge.focal import Focal
from midclass.knowledge.opacity import Opacity
from midclass.knowledge.spiculation import Spiculation
from midclass.knowledge.transplant import Transplant


def stands_alone(operator: type[Knowledge]) -> bool:
    """Whether every argument has a default."""
    arguments = inspect.signature(operator).parameters.values()
    return all(argument.default is not argument.empty for argument in arguments)


def operators() -> list[type[Knowledge]]:
    """Every operator that needs no argument: a new file is found without an edit here.

    Compositions need their parts; test_composition.py has them.
    """
    found = []
    for module in pkgutil.iter_modules(midclass.knowledge.__path__):
        loaded = importlib.import_module(f"midclass.knowledge.{module.name}")
        for _, item in inspect.getmembers(loaded, inspect.isclass):
            own = item.__module__ == loaded.__name__  # to Python 3.10 `list[int]` is a class, too
            concrete = own and issubclass(item, Knowledge) and not inspect.isabstract(item)
            if concrete and stands_alone(item):
                found.append(item)
    return sorted(set(found), key=lambda item: item.__name__)


@pytest.mark.parametrize("operator", operators(), ids=lambda item: item.__name__)
@every_kind_of_image
def test_every_operator_keeps_the_contract(
    operator: type[Knowledge], dims: int, channels: int
) -> None:
    check_operator(operator(), example_batch(dims, channels=channels))


@pytest.mark.parametrize("shape", [(1, 24, 32), (3, 40, 24), (6, 48), (33, 5)])
@pytest.mark.parametrize("operator", operators(), ids=lambda item: item.__name__)
def test_every_operator_takes_thin_volumes_and_narrow_images(
    operator: type[Knowledge], shape: tuple[int, ...]
) -> None:
    rng = torch.Generator().manual_seed(0)
    batch = ImageBatch.of(torch.rand(3, 1, *shape, generator=rng), spacing_mm=2.0)
    params = operator().draw(batch, rng)
    middle = operator().apply(batch, params)
    for made in (middle.pixels, operator().sham(batch, params)):
        assert made.shape == batch.pixels.shape
        assert ((made >= 0) & (made <= 1)).all()
    assert ((middle.change >= 0) & (middle.change <= 1)).all()
    assert torch.isfinite(middle.severity).all()


def test_a_focal_lesion_has_the_same_size_in_mm_at_two_resolutions() -> None:
    areas = []
    for spacing in (1.0, 0.5):
        batch = ImageBatch.of(torch.full((8, 1, round(96 / spacing), round(96 / spacing)), 0.4))
        batch = ImageBatch.of(batch.pixels, spacing_mm=spacing)
        focal = Focal(diameter_mm=(20, 20), roughness=(0, 0), centre_jitter_mm=0.0)
        change = focal(batch, torch.Generator().manual_seed(3)).change
        areas.append(change.sum((1, 2, 3)) * spacing**2)
    torch.testing.assert_close(areas[0], areas[1], rtol=0.02, atol=0)
    disc = math.pi * 10**2
    assert (areas[1] / disc - 1).abs().max() < 0.1


@pytest.mark.parametrize("sign", [("bright", 1), ("dark", -1)])
def test_a_bright_lesion_is_brighter_and_a_dark_one_darker(sign: tuple[str, int]) -> None:
    batch = example_batch()
    middle = Focal(sign=sign[0])(batch, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    assert ((middle.pixels - batch.pixels) * sign[1]).min() >= -1e-6


def test_more_contrast_is_more_severe() -> None:
    batch = example_batch()
    faint, clear = (
        Focal(contrast_sigma=(sigma, sigma))(batch, torch.Generator().manual_seed(0)).severity
        for sigma in (1.0, 4.0)
    )
    assert (clear > faint).all()


def test_a_crescent_lies_against_the_wall() -> None:
    batch = example_batch()
    crescent = Crescent(shape="crescent", thickness_mm=(6, 6), arc_mm=(50, 50))
    change = crescent(batch, torch.Generator().manual_seed(0)).change > 0.5
    core = ImageBatch.of(batch.pixels).anatomy
    axes = torch.linspace(-1, 1, 64)
    radius = (axes[:, None].square() + axes[None].square()).sqrt()
    assert change[core & (radius < 0.5)].sum() == 0  # 6 mm of a wall at 0.8 reach no deeper
    assert change.any()


def test_particles_that_a_pixel_cannot_show_are_refused() -> None:
    batch = ImageBatch.of(torch.rand(2, 1, 32, 32), spacing_mm=2.5)
    with pytest.raises(InputError, match=r"a pixel of 2\.50 mm cannot show a particle of 1\.00 mm"):
        Calcification()(batch, torch.Generator().manual_seed(0))


def test_a_small_particle_raises_its_pixel_by_the_share_that_it_fills() -> None:
    rng = torch.Generator().manual_seed(0)
    batch = ImageBatch.of(0.3 + 0.02 * torch.rand(4, 1, 64, 64, generator=rng), spacing_mm=0.5)
    peaks = [
        Calcification(particle_mm=(size, size), contrast_sigma=(8, 8), centre_jitter_mm=0.0)(
            batch, torch.Generator().manual_seed(1)
        ).change.amax((1, 2, 3))
        for size in (0.25, 0.5)
    ]
    assert (peaks[0] < 0.4 * peaks[1]).all()


def test_opacity_covers_the_share_of_the_organ_that_is_asked_for() -> None:
    batch = example_batch(n=24)
    for share in (0.1, 0.4):
        opacity = Opacity(share=(share, share), patch_mm=(12, 12), edge=(0.1, 0.1))
        change = opacity(batch, torch.Generator().manual_seed(0)).change > 0.5
        covered = change.sum((1, 2, 3)) / batch.anatomy.sum((1, 2, 3))
        assert 0.6 * share < covered.mean() < share + 0.02  # its soft border takes a part


@pytest.mark.parametrize(("sign", "way"), [("bright", 1), ("dark", -1)])
def test_spicules_and_their_core_are_brighter_or_darker_than_the_tissue(
    sign: Literal["bright", "dark"], way: int
) -> None:
    batch = ImageBatch.of(torch.full((2, 1, 64, 64), 0.5), spacing_mm=1.0)
    star = Spiculation(sign=sign, centre_jitter_mm=0.0, contrast_sigma=(20, 20))
    step = star(batch, torch.Generator().manual_seed(0)).pixels - 0.5
    assert float((way * step).max()) > 0.05
    assert float((way * step).min()) > -1e-4


def test_spicules_radiate_from_the_middle_and_pull_tissue_to_it() -> None:
    batch = ImageBatch.of(torch.full((4, 1, 96, 96), 0.3), spacing_mm=0.5)
    star = Spiculation(centre_jitter_mm=0.0, pull_mm=(3, 3))
    params = star.draw(batch, torch.Generator().manual_seed(0))
    change = star.apply(batch, params).change
    assert (change[:, 0, 46:50, 46:50].amax((1, 2)) > 0.8).all()
    edge = torch.linspace(0, 1, 96).expand(4, 1, 96, 96)
    pulled = star.apply(ImageBatch.of(edge, spacing_mm=0.5), params).pixels
    right_of_centre = (pulled - edge)[:, 0, 40:56, 56:64].mean((1, 2))
    assert (right_of_centre > 0).all()  # brighter tissue from further out came nearer


def test_foreign_tissue_comes_from_another_image_and_own_from_the_same() -> None:
    pixels = torch.linspace(0.1, 0.9, 4).view(4, 1, 1, 1).expand(4, 1, 64, 64)
    batch = ImageBatch.of(pixels)
    own = Transplant(tissue="own")(batch, torch.Generator().manual_seed(0))
    foreign = Transplant(tissue="foreign")(batch, torch.Generator().manual_seed(0))
    assert torch.allclose(own.pixels, batch.pixels, atol=1e-6)
    assert ((foreign.pixels - batch.pixels).abs().amax((1, 2, 3)) > 0.1).all()


def test_a_deformation_of_a_flat_image_changes_nothing_that_can_be_seen() -> None:
    batch = ImageBatch.of(torch.full((3, 1, 64, 64), 0.5))
    middle = Deformation()(batch, torch.Generator().manual_seed(0))
    assert torch.allclose(middle.pixels, batch.pixels, atol=1e-6)
    assert (middle.severity < 1e-3).all()
