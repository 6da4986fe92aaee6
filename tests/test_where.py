"""Knowledge in a part of the anatomy: the contract, the laws, and how a recipe writes it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from makers import NAMES, loaded
from makers import seeded as rng
from midclass import ImageBatch, InputError, Knowledge, Recipe, example_batch
from midclass.knowledge._visibility import tissue_sigma
from midclass.knowledge.composition import AllOf, Foci
from midclass.knowledge.crescent import Crescent
from midclass.knowledge.deformation import Deformation
from midclass.knowledge.focal import Focal
from midclass.knowledge.spiculation import Spiculation
from midclass.knowledge.texture import TextureChange
from midclass.knowledge.transplant import Transplant
from midclass.knowledge.where import Where
from midclass.testing.contract import findings

PARTS: dict[str, Where] = {
    "nodules": Where(Foci(Focal(diameter_mm=(5, 12)), (1, 3)), "dark"),
    "a spiculated mass": Where(AllOf((Focal(), Spiculation())), "bright"),
    "tissue of others": Where(Transplant(), "dark"),
    "tissue that has moved": Where(Deformation(), "bright"),
}


KINDS = [(2, 1), (3, 1), (3, 3)]
"""Dimensions and channels; all of them for one operator, for the others grey slices and volumes."""


@pytest.mark.parametrize(
    ("name", "dims", "channels"),
    [(name, *kind) for name in PARTS for kind in (KINDS if name == "nodules" else KINDS[:2])],
)
def test_an_operator_in_a_part_keeps_the_contract(name: str, dims: int, channels: int) -> None:
    operator = PARTS[name]
    batch = example_batch(dims, channels=channels)
    for finding in findings(operator, batch):
        # in 24 samples of noise the parts are crumbs, and another sampling has others; see below
        crumbs = dims == 3 and finding.promise == "works in millimetres"
        assert crumbs or finding.state == "ok", finding


def chest(n: int = 8, spacing_mm: float = 2.0) -> ImageBatch:
    """A body with two lungs, a vessel of 4 mm in each, and a spine brighter than all."""
    side = round(256 / spacing_mm)
    y, x = ((torch.arange(side) + 0.5 - side / 2) * spacing_mm for _ in range(2))
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    body = (rows / 100) ** 2 + (columns / 120) ** 2 < 1
    lungs = (rows / 60) ** 2 + ((columns.abs() - 55) / 40) ** 2 < 1
    vessels = lungs & ((columns.abs() - 55).abs() < 2)
    spine = (rows - 75) ** 2 + columns**2 < 15**2
    pixels = 0.7 * body - 0.6 * (lungs & ~vessels) + 0.3 * spine
    noise = 0.02 * torch.randn(n, 1, side, side, generator=rng())
    return ImageBatch.of(
        (pixels + noise).clamp(0, 1), body.expand(n, 1, -1, -1).contiguous(), spacing_mm
    )


def air(batch: ImageBatch) -> torch.Tensor:
    """The lungs with their vessels."""
    return Where(Focal(), "dark")._part(batch).anatomy


@pytest.mark.parametrize("spacing_mm", [1.0, 2.0, 4.0])
def test_the_dark_of_a_chest_is_its_lungs_with_the_vessels_in_them(spacing_mm: float) -> None:
    batch = chest(2, spacing_mm)
    side = batch.spatial[0]
    at = (torch.arange(side) + 0.5 - side / 2) * spacing_mm
    rows, columns = torch.meshgrid(at, at, indexing="ij")
    lungs = (rows / 60) ** 2 + ((columns.abs() - 55) / 40) ** 2 < 1
    found = air(batch)
    overlap = 2 * (found & lungs).sum() / (found.sum() + 2 * lungs.sum())
    assert overlap > 0.95
    vessels = lungs & ((columns.abs() - 55).abs() < 2) & (rows.abs() < 50)
    assert (found & vessels).sum() > 0.98 * 2 * vessels.sum()


def test_dark_and_bright_share_the_anatomy_between_them() -> None:
    batch = chest(2)
    dark, bright = (Where(Focal(), one)._part(batch).anatomy for one in ("dark", "bright"))
    assert not (dark & bright).any()
    assert torch.equal(dark | bright, batch.anatomy)


@pytest.mark.parametrize("operator", [Focal(diameter_mm=(20, 40)), TextureChange()], ids=repr)
def test_nothing_changes_in_the_other_part(operator: Knowledge) -> None:
    batch = chest()
    lungs = air(batch)
    dark, bright = (Where(operator, one)(batch, rng()) for one in ("dark", "bright"))
    assert not dark.change[~lungs].any()
    assert not bright.change[lungs].any()
    assert (dark.severity > 0).all()
    assert (bright.severity > 0).all()
    assert torch.equal(dark.pixels[~lungs], batch.pixels[~lungs])


def test_a_contrast_is_measured_against_that_part_alone() -> None:
    """The border between lung and chest wall is no unrest in which a nodule would hide."""
    batch = chest()
    focal = Focal(diameter_mm=(20, 20), contrast_sigma=(2, 2), texture=(0, 0), roughness=(0, 0))
    lungs = ImageBatch(batch.pixels, air(batch), batch.spacing_mm)
    assert (tissue_sigma(lungs) < 0.9 * tissue_sigma(batch)).all()
    brighter = (Where(focal, "dark")(batch, rng()).pixels - batch.pixels).flatten(1).amax(1)
    torch.testing.assert_close(brighter, 2 * tissue_sigma(lungs), rtol=0.02, atol=0)


@pytest.mark.parametrize("outside", [0.0, 1.0])
def test_what_is_outside_the_anatomy_does_not_part_it(outside: float) -> None:
    batch = chest(2)
    other = batch.with_pixels(torch.where(batch.anatomy, batch.pixels, outside))
    assert torch.equal(air(other), air(batch))


def test_a_small_body_in_a_large_image_is_parted_as_in_a_small_one() -> None:
    batch = chest(2)
    wide = (120, 120, 120, 120)
    pixels, anatomy = (
        torch.nn.functional.pad(one, wide) for one in (batch.pixels, batch.anatomy.float())
    )
    found = air(ImageBatch.of(pixels, anatomy > 0, batch.spacing_mm))[:, :, 120:-120, 120:-120]
    assert (found != air(batch)).float().mean() < 0.002  # cells lie otherwise


def test_a_thin_bright_wall_is_told_from_a_large_dark_space() -> None:
    """The parts may be of very different size, and thinner than a thirtieth of the image."""
    batch = ImageBatch.of(torch.full((1, 1, 128, 128), 0.2), spacing_mm=3.0)
    batch.pixels[:, :, 40:44, 20:108] = 0.9
    bright = Where(Focal(), "bright")._part(batch).anatomy[0, 0]
    assert bright[41:43, 24:104].all()
    assert bright.float().mean() < 0.06


def test_draw_and_sham_see_that_part_alone() -> None:
    batch = chest(3)
    part = ImageBatch(batch.pixels, air(batch), batch.spacing_mm)
    for operator in (Transplant(), Deformation()):
        within = Where(operator, "dark")
        drawn, expected = within.draw(batch, rng()), operator.draw(part, rng())
        assert drawn.keys() == expected.keys()
        assert all(torch.equal(drawn[name], expected[name]) for name in drawn)
        assert torch.equal(within.sham(batch, drawn), operator.sham(part, expected))
        assert not torch.equal(within.sham(batch, drawn), operator.sham(batch, expected))


def test_a_change_ends_at_the_border_as_the_operator_ends_it() -> None:
    """Not softly a second time: blood lies against the skull."""
    batch = chest(2, 1.0)
    part = Where(Focal(), "bright")._part(batch)
    operator = Crescent(thickness_mm=(15, 20))
    params = operator.draw(part, rng())
    change = Where(operator, "bright").apply(batch, params).change
    torch.testing.assert_close(change, operator.apply(part, params).change)


def test_each_image_is_parted_by_its_own_brightness() -> None:
    bright = chest(1)
    dim = bright.with_pixels(0.4 * bright.pixels)
    both = ImageBatch.joined([bright, dim])
    assert torch.equal(air(both)[:1], air(both)[1:])
    assert torch.equal(air(both)[1:], air(dim))


def test_an_image_without_any_anatomy_is_left_as_it_is() -> None:
    batch = chest(2)
    batch.anatomy[0] = False
    middle = Where(Focal(), "dark")(batch, rng())
    assert torch.equal(middle.pixels[0], batch.pixels[0])
    assert middle.severity[0] == 0
    assert middle.severity[1] > 0


def test_nodules_of_the_shipped_recipe_lie_in_the_lungs() -> None:
    """Its anatomy is the body, because infiltrates hide lungs: heart and spine are in it, too."""
    batch = chest(16)
    change = Recipe.load("chest_ct").operators()["nodules"](batch, rng()).change
    assert not change[~air(batch)].any()
    assert (change.flatten(1).amax(1) > 0.5).all()


RECIPE = (
    NAMES
    + """\
middle_classes:
  nodules: {operator: focal.Focal, foci: [1, 4], where: dark}
  fracture:
    all_of: [{operator: focal.Focal}, {operator: spiculation.Spiculation}]
    where: bright
  mass: {operator: focal.Focal, where: anywhere}
"""
)


def test_a_recipe_says_where_and_survives_being_stored(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, RECIPE)
    for one in (recipe, Recipe.from_dict(recipe.to_dict())):
        assert one.operators() == {
            "nodules": Where(Foci(Focal(), (1, 4)), "dark"),
            "fracture": Where(AllOf((Focal(), Spiculation())), "bright"),
            "mass": Focal(),
        }
    assert recipe.middle_classes["nodules"].title == "1 to 4 x focal.Focal where it is dark"
    fracture = "(focal.Focal + spiculation.Spiculation) where it is bright"
    assert recipe.middle_classes["fracture"].title == fracture
    stored = recipe.to_dict()["middle_classes"]
    assert "where" not in stored["mass"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("where: dark", "where: darkest"), "nodules.where is 'darkest'"),
        (("where: dark", "wher: dark"), "no argument 'wher'"),
        (
            ("[{operator: focal.Focal}", "[{operator: focal.Focal, where: dark}"),
            "that lie together",
        ),
        (("focal.Focal, where", "where.Where, where"), "where.Where is written as all_of, one_of"),
    ],
)
def test_a_mistake_about_where_is_named(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in RECIPE
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, RECIPE.replace(*change)).check()
    assert message in str(caught.value)


def test_parts_that_lie_apart_may_say_where_each(tmp_path: Path) -> None:
    text = RECIPE.replace("[{operator: focal.Focal}", "[{operator: focal.Focal, where: dark}")
    recipe = loaded(tmp_path, text.replace("where: bright", "together: false"))
    apart = AllOf((Where(Focal(), "dark"), Spiculation()), together=False)
    assert recipe.operators()["fracture"] == apart


def test_an_operator_whose_argument_is_a_field_of_an_entry_is_refused(tmp_path: Path) -> None:
    code = tmp_path / "own.py"
    code.write_text(
        "from dataclasses import dataclass\n"
        "from midclass.knowledge.focal import Focal\n"
        "@dataclass(frozen=True)\n"
        "class Mine(Focal):\n"
        "    where: str = 'rim'\n"
    )
    (tmp_path / "my.yaml").write_text(RECIPE.replace("focal.Focal, foci", "own.py:Mine, foci"))
    with pytest.raises(InputError, match="an argument 'where', which is a field of every entry"):
        Recipe.load(tmp_path / "my.yaml", trust=[code]).check()
