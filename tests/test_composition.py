"""Several operators in one middle class: the contract, the laws, and how a recipe writes them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from makers import NAMES, every_kind_of_image, loaded
from makers import seeded as rng
from midclass import (
    ImageBatch,
    InputError,
    Knowledge,
    Middle,
    Recipe,
    check_operator,
    example_batch,
)
from midclass.knowledge.calcification import Calcification
from midclass.knowledge.composition import AllOf, Composition, Foci, OneOf
from midclass.knowledge.crescent import Crescent
from midclass.knowledge.deformation import Deformation
from midclass.knowledge.focal import Focal
from midclass.knowledge.opacity import Opacity
from midclass.knowledge.spiculation import Spiculation
from midclass.knowledge.transplant import Transplant

COMPOSITIONS: dict[str, Composition] = {
    "a mass that pulls and calcifies": AllOf((Focal(), Spiculation(), Calcification())),
    "apart, at the wall and inside": AllOf((Crescent(), Transplant(tissue="own")), together=False),
    "either": OneOf((Focal(), Opacity(), Transplant())),
    "metastases": Foci(Focal(diameter_mm=(5, 12)), (1, 6)),
    "spiculated masses": Foci(AllOf((Focal(), Spiculation())), (1, 2)),
}


@pytest.mark.parametrize("operator", COMPOSITIONS.values(), ids=COMPOSITIONS)
@every_kind_of_image
def test_a_composition_keeps_the_contract(operator: Composition, dims: int, channels: int) -> None:
    check_operator(operator, example_batch(dims, channels=channels))


def close(one: Middle, other: Middle) -> None:
    for name in ("pixels", "change", "severity"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=1e-6)


@pytest.mark.parametrize("part", [Focal(), Deformation(), Transplant()], ids=repr)
def test_a_composition_of_one_part_is_that_part(part: Knowledge) -> None:
    batch = example_batch()
    params = part.draw(batch, rng())
    for composition in (AllOf((part,)), OneOf((part,)), Foci(part, (1, 1))):
        drawn = composition.draw(batch, rng())
        close(composition.apply(batch, drawn), part.apply(batch, params))
        assert torch.equal(composition.sham(batch, drawn), part.sham(batch, params))


def test_all_of_is_one_operator_after_the_other() -> None:
    batch = example_batch()
    first, second = Focal(), Spiculation()
    both = AllOf((first, second), together=False)
    generator = rng()
    one = first.apply(batch, first.draw(batch, generator))
    two = second.apply(batch.with_pixels(one.pixels), second.draw(batch, generator))
    middle = both(batch, rng())
    torch.testing.assert_close(middle.pixels, two.pixels, rtol=0, atol=1e-6)
    union = 1 - (1 - one.change) * (1 - two.change)
    torch.testing.assert_close(middle.change, union, rtol=0, atol=1e-6)


def centres(change: torch.Tensor) -> torch.Tensor:
    rows, cols = torch.meshgrid(*map(torch.arange, change.shape[2:]), indexing="ij")
    mass = change.sum((1, 2, 3))
    return torch.stack([(change[:, 0] * axis).sum((1, 2)) / mass for axis in (rows, cols)], 1)


@pytest.mark.parametrize("together", [True, False])
def test_what_belongs_together_is_at_one_place(together: bool) -> None:
    batch = example_batch(n=24)
    parts = (Focal(diameter_mm=(5, 8)), Calcification(cluster_mm=(5, 6)))
    both = AllOf(parts, together)
    params = both.draw(batch, rng())
    mass, cluster = (
        part.apply(batch, {n[2:]: v for n, v in params.items() if n.startswith(f"{k}.")}).change
        for k, part in enumerate(parts)
    )
    apart = (centres(mass) - centres(cluster)).norm(dim=1)  # samples of about a millimetre
    assert (apart.max() < 6) if together else (apart.median() > 10)
    assert torch.equal(params["0.place"], params["1.place"]) == together


def test_the_shams_of_the_parts_follow_each_other() -> None:
    batch = example_batch()
    parts = (Transplant(tissue="own"), Deformation())
    params = AllOf(parts).draw(batch, rng())
    pixels = batch.pixels
    for k, part in enumerate(parts):
        drawn = {n[2:]: v for n, v in params.items() if n.startswith(f"{k}.")}
        pixels = part.sham(batch.with_pixels(pixels), drawn)
    assert torch.equal(AllOf(parts).sham(batch, params), pixels)
    assert not torch.equal(pixels, batch.pixels)


def test_each_of_three_is_drawn_for_about_a_third_of_the_images() -> None:
    either = OneOf((Focal(), Focal(sign="dark"), Opacity()))
    batch = ImageBatch.of(torch.full((3000, 1, 4, 4), 0.5))
    present = either.present(len(batch), rng())
    assert (present.sum(1) == 1).all()
    assert ((present.float().mean(0) - 1 / 3).abs() < 0.03).all()  # 3.5 standard errors


def test_one_of_bright_and_dark_makes_an_image_brighter_or_darker_never_both() -> None:
    batch = example_batch(n=24)
    change = OneOf((Focal(), Focal(sign="dark")))(batch, rng()).pixels - batch.pixels
    up, down = (change > 1e-6).flatten(1).any(1), (change < -1e-6).flatten(1).any(1)
    assert (up ^ down).all()
    assert up.any()
    assert down.any()


def test_more_foci_are_more_severe_and_no_brighter() -> None:
    batch = example_batch(n=24)
    focal = Focal(diameter_mm=(6, 12), contrast_sigma=(3, 3), texture=(0, 0))
    one, three, eight = (Foci(focal, (k, k))(batch, rng()) for k in (1, 3, 8))
    assert (three.severity >= one.severity).float().mean() > 0.9
    assert eight.severity.mean() > three.severity.mean() > one.severity.mean() + 0.05
    brightest = [(m.pixels - batch.pixels).flatten(1).amax(1) for m in (one, eight)]
    assert (brightest[1] <= brightest[0] + 0.01).all()  # overlapping foci do not add up


@pytest.mark.parametrize("count", [(0, 2), (3, 2)])
def test_no_foci_and_no_operators_are_refused(count: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"expected \(low, high\)"):
        Foci(Focal(), count)
    for kind in (AllOf, OneOf):
        with pytest.raises(InputError, match="no operators"):
            kind(())


RECIPE = (
    NAMES
    + """\
middle_classes:
  malignant:
    why: Cancers pull tissue.
    all_of:
      - {operator: focal.Focal, diameter_mm: [5, 25]}
      - {operator: spiculation.Spiculation, why: Scirrhous., foci: 2}
    together: false
  metastases: {operator: focal.Focal, foci: [2, 6]}
  infiltrate:
    foci: [1, 3]
    one_of:
      - {operator: opacity.Opacity, why: Filled.}
      - {operator: transplant.Transplant, why: Replaced., tissue: own}
held_out:
  cluster: {all_of: [{operator: focal.Focal}, {operator: calcification.Calcification}]}
"""
)


def test_a_recipe_composes_operators_and_survives_json(tmp_path: Path) -> None:
    recipe = loaded(tmp_path, RECIPE)
    again = Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())))
    for one in (recipe, again):
        assert one.operators() == {
            "malignant": AllOf((Focal(diameter_mm=(5, 25)), Foci(Spiculation(), (2, 2))), False),
            "metastases": Foci(Focal(), (2, 6)),
            "infiltrate": Foci(OneOf((Opacity(), Transplant(tissue="own"))), (1, 3)),
        }
        assert one.held_out_operators() == {"cluster": AllOf((Focal(), Calcification()))}
    assert again.to_dict() == recipe.to_dict()


def test_a_plain_operator_is_stored_as_its_name_why_and_arguments(tmp_path: Path) -> None:
    stored = Recipe.load("chest_xray").to_dict()["middle_classes"]["own_tissue"]
    assert list(stored) == ["operator", "why", "tissue", "away"]


def test_a_middle_class_says_what_it_is_made_of_and_why(tmp_path: Path) -> None:
    classes = loaded(tmp_path, RECIPE).middle_classes
    assert classes["malignant"].title == "focal.Focal + 2 x spiculation.Spiculation"
    assert classes["infiltrate"].title == "1 to 3 x (opacity.Opacity or transplant.Transplant)"
    assert classes["malignant"].reason == "Cancers pull tissue."
    assert classes["infiltrate"].reason == "Filled. Replaced."


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("{operator: focal.Focal, diameter_mm", "{operator: focal.Focal, diametr_mm"),
            ".malignant.all_of[0]: no argument 'diametr_mm' (did you mean 'diameter_mm'?); Focal",
        ),
        (("[5, 25]", "[25, 5]"), ".malignant.all_of[0].diameter_mm is [25, 5], expected [low"),
        (("spiculation.Sp", "spiculatio.Sp"), ".malignant.all_of[1]: no module 'spiculatio' (did"),
        (("{operator: opacity.Opacity", "{operatr: opacity.Opacity"), ".infiltrate.one_of[0]: has "
         "none of operator, all_of, one_of (did you mean 'operator'?); give one"),
        (("{operator: opacity.Opacity", "{operator: 3"), ".infiltrate.one_of[0].operator is 3: "),
        (("one_of:", "one_off:"), ".infiltrate: has none of operator, all_of, one_of (did you"),
        (("one_of:", "operator: focal.Focal\n    one_of:"), ".infiltrate: has operator and one_of"),
        (("together: false", "togethr: false"), ".malignant: no field 'togethr' beside all_of (did "
         "you mean 'together'?)"),
        (("[2, 6]}", "[2, 6], together: false}"), ".metastases: together belongs to all_of"),
        (("[2, 6]", "[6, 2]"), ".metastases.foci: [6, 2] is no number of foci; give one from 1 to"),
        (("[2, 6]", "0"), ".metastases.foci: 0 is no number of foci"),
        (("[2, 6]", "many"), ".metastases.foci: 'many' is no number of foci"),
        (("focal.Focal, foci: [2, 6]", "composition.Foci"), ".metastases: composition.Foci is "
         "written as all_of, one_of, foci or where"),
        (("calcification.Cal", "calcification.Col"), "held_out.cluster.all_of[1]: no 'Colcificat"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_part_is_named_in_one_line(
    tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in RECIPE
    with pytest.raises(InputError) as caught:
        loaded(tmp_path, RECIPE.replace(*change)).check()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "my.yaml") in str(caught.value)


def test_a_held_out_composition_that_is_trained_on_is_refused(tmp_path: Path) -> None:
    twice = RECIPE.replace("  cluster: {all_of", "  again: {operator: focal.Focal, foci: [2, 6], "
                           "why: x}\n  cluster: {all_of")  # fmt: skip
    with pytest.raises(InputError, match=r"held_out\.again is also a middle class"):
        loaded(tmp_path, twice)


def test_a_users_file_in_a_list_is_found_from_a_recipe_elsewhere(tmp_path: Path) -> None:
    code = tmp_path / "own.py"
    code.write_text("from midclass.knowledge.focal import Focal as Mine\n")
    loaded(tmp_path, RECIPE.replace("opacity.Opacity", "own.py:Mine"))
    (tmp_path / "below").mkdir()
    child = tmp_path / "below" / "child.yaml"
    child.write_text("extends: ../my.yaml\nname: child\n")
    built = Recipe.load(child, trust=[code]).operators()["infiltrate"]
    assert built == Foci(OneOf((Focal(), Transplant(tissue="own"))), (1, 3))
