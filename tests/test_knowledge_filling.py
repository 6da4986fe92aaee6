"""Laws of what fills the fluid spaces of an organ: it follows them and keeps to them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from makers import seeded
from midclass import ImageBatch
from midclass.knowledge._visibility import tissue_sigma
from midclass.knowledge.filling import Filling

NOISE = 0.02
FLUID = 0.3
ALL = {"diameter_mm": (500.0, 500.0), "replaced": (1.0, 1.0), "roughness": (0.0, 0.0)}


def brain(fluid: float = FLUID, mm: float = 2.0, n: int = 8) -> tuple[ImageBatch, Tensor]:
    """A disc 140 mm across with an upright and a lying space; where they are."""
    size = round(160 / mm)
    place = (torch.arange(size) + 0.5) * mm - 80
    y, x = place.view(-1, 1), place.view(1, -1)
    anatomy = (y.square() + x.square()).sqrt() < 70
    spaces = ((x.abs() < 8) & (y.abs() < 40)) | ((y.abs() < 6) & (x.abs() < 50))
    pixels = torch.where(anatomy, torch.where(spaces, fluid, 0.5), 0.0)
    grain = NOISE * torch.randn(n, 1, size, size, generator=seeded()) * anatomy
    masks = anatomy.expand(n, 1, size, size).clone()
    return ImageBatch.of((pixels + grain).clamp(0, 1), masks, mm), spaces


def test_it_takes_the_form_of_the_spaces() -> None:
    batch, spaces = brain()
    change = Filling(**ALL)(batch, seeded()).change  # type: ignore[arg-type]
    found, tissue = change > 0.5, batch.anatomy & ~spaces
    assert found[:, :, spaces].float().mean() > 0.95
    assert found[tissue].float().mean() < 0.05  # half a sample around them


@pytest.mark.parametrize(("spaces", "fluid", "way"), [("dark", 0.3, 1), ("bright", 0.7, -1)])
def test_what_fills_them_is_beyond_the_tissue_by_the_contrast_and_as_noisy(
    spaces: str, fluid: float, way: int
) -> None:
    batch, there = brain(fluid)
    filling = Filling(spaces=spaces, contrast_sigma=(2.0, 2.0), **ALL)  # type: ignore[arg-type]
    none = Filling(spaces=spaces, contrast_sigma=(0.0, 0.0), **ALL)  # type: ignore[arg-type]
    filled, level = (one(batch, seeded()).pixels[:, :, there] for one in (filling, none))
    assert float(level.mean()) == pytest.approx(0.5, abs=0.01)
    assert way * float((filled - level).mean()) == pytest.approx(
        2 * float(tissue_sigma(batch)[0]), rel=0.1
    )
    assert float(filled.std()) == pytest.approx(NOISE, rel=0.4)


@pytest.mark.parametrize("mm", [1.0, 1.84, 2.5])
def test_where_there_are_no_spaces_nothing_is_made_that_counts(mm: float) -> None:
    """Noise is dark in single samples; a speck of blood in each would be taught as disease."""
    batch, _ = brain(fluid=0.5, mm=mm, n=32)
    assert (Filling()(batch, seeded()).severity < 0.05).float().mean() > 0.9  # the usual floor


def test_a_small_filling_begins_in_a_space_and_ends_near_there() -> None:
    batch, _ = brain()
    small = Filling(diameter_mm=(30, 30), edge_mm=(5, 5), replaced=(1, 1))
    change = small(batch, seeded()).change > 0.5
    sizes = change.flatten(1).sum(1) * 2.0**2
    assert (sizes > 100).all()  # mm2 of the space
    for one in change[:, 0]:
        rows, columns = one.nonzero().unbind(1)
        assert max(int(rows.max() - rows.min()), int(columns.max() - columns.min())) * 2 < 45
    assert len({tuple(one.nonzero()[0].tolist()) for one in change[:, 0]}) > 4


def test_it_replaces_no_more_than_the_drawn_share() -> None:
    batch, _ = brain()
    half = Filling(diameter_mm=(500, 500), replaced=(0.5, 0.5), roughness=(0, 0))
    assert float(half(batch, seeded()).change.max()) == pytest.approx(0.5, abs=0.01)


def test_the_same_area_in_mm_is_filled_at_two_resolutions() -> None:
    areas = []
    for mm in (2.0, 1.0):
        batch, _ = brain(mm=mm)
        change = Filling(diameter_mm=(60, 60))(batch, seeded(5)).change
        areas.append(change.sum((1, 2, 3)).mean() * mm**2)
    assert float(areas[0] / areas[1]) == pytest.approx(1, abs=0.15)
