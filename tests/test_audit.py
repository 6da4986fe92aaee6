"""The audit calls bad recipes bad and good ones good, from given-class images alone."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from makers import discs, tiny_phantoms
from midclass import (
    Cohort,
    ImageBatch,
    InputError,
    Knowledge,
    Prepared,
    Recipe,
    example_batch,
    prepare,
    prepare_array,
)
from midclass.cli.app import app
from midclass.images import phantoms
from midclass.knowledge._visibility import box_mean
from midclass.preview.advice import advice, verdict
from midclass.preview.audit import audit
from midclass.preview.lengths import out_of_scale
from midclass.preview.probe import best_cue, probe_auroc
from midclass.preview.statistics import coarse
from midclass.recipe.names import shipped

MASS = {"operator": "focal.Focal", "diameter_mm": [8, 30]}
BAD = {
    "glaring": {"operator": "focal.Focal", "diameter_mm": [20, 40], "contrast_sigma": [20, 30]},
    "faint": {"operator": "focal.Focal", "contrast_sigma": [0.01, 0.05]},
    "mass": MASS,
    "again": MASS,
    "specks": {"operator": "calcification.Calcification", "particle_mm": [0.2, 0.5]},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Breast phantoms; what is no given-class training image cannot be read."""
    folder = tmp_path_factory.mktemp("audit") / "phantoms"
    manifest = phantoms.write(folder, "breast", 0, 100, 4, size=64)
    text = manifest.read_text()
    manifest.write_text(text.replace(",test,", ",train,"))  # targets among the training cases
    for case in Cohort.from_manifest(manifest).target_class():
        case.path.write_bytes(b"no image")
    return folder


def recipe(**changes: Any) -> Recipe:
    fields = Recipe.load("phantoms").to_dict()
    return Recipe.from_dict(fields | {"geometry": {"size": [64, 64]}} | changes)


@pytest.fixture(scope="module")
def given(folder: Path) -> Prepared:
    cohort = Cohort.from_manifest(folder / "manifest.csv").given_class()
    return prepare(cohort, recipe(anatomy="anatomy.whole"), cache=folder.parent / "cache")


@pytest.fixture(scope="module")
def bad(given: Prepared) -> dict[str, Any]:
    return audit(given, recipe(anatomy="anatomy.whole", middle_classes=BAD))


def test_a_glaring_lesion_gives_itself_away_and_its_cue_is_named(bad: dict[str, Any]) -> None:
    found = bad["classes"]["glaring"]
    assert verdict(found) == "gives itself away"
    assert found["cue"]["auroc"] > 0.9
    text = next(line for line in advice(bad) if line.startswith("glaring"))
    assert found["cue"]["statistic"] in text


def test_a_faint_lesion_is_too_weak_and_a_usual_one_is_usable(bad: dict[str, Any]) -> None:
    classes = bad["classes"]
    assert [verdict(classes[name]) for name in ("faint", "mass")] == ["too weak", "usable"]
    assert classes["faint"]["severity"] < 0.05 < classes["mass"]["severity"]


def test_only_the_same_operator_twice_is_redundant(bad: dict[str, Any]) -> None:
    lines = [line for line in advice(bad) if "redundant" in line]
    assert [line.partition(":")[0] for line in lines] == ["mass and again"]


def test_an_operator_that_refuses_the_images_is_said_first_in_its_words(
    bad: dict[str, Any],
) -> None:
    assert verdict(bad["classes"]["specks"]) == "refused"
    first = advice(bad)[0]
    assert first.startswith("specks: refuses 104 of 104 images")
    assert "cannot show a particle of 0.50 mm" in first


def test_the_same_seed_gives_the_same_figures(given: Prepared) -> None:
    small = recipe(middle_classes={"mass": MASS})
    few = given.subset(given.cases[:30])
    assert audit(few, small, 1) == audit(few, small, 1) != audit(few, small, 2)


@pytest.mark.slow
def test_the_command_needs_nothing_changed_in_a_good_recipe(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(
        "extends: phantoms\nname: small\ngeometry: {size: [64, 64]}\n"
    )
    result = CliRunner().invoke(
        app,
        [
            "audit",
            str(tmp_path / "small.yaml"),
            f"--cohort={folder / 'manifest.csv'}",
            f"--cache={tmp_path / 'cache'}",
            f"--out={tmp_path / 'audit.json'}",
            "--n=60",
            "--json",
        ],
    )
    assert result.exit_code == 0, result.output
    assert "nothing needs to change" in result.stderr
    figures = json.loads((tmp_path / "audit.json").read_text())
    assert figures.items() <= json.loads(result.stdout).items()
    assert (tmp_path / "audit.outlines.png").stat().st_size > 10_000
    assert (figures["advice"], figures["images"], figures["failed"]) == ([], 60, 0)
    assert 0.2 < figures["anatomy"]["covers"]["median"] < 0.6
    strengths = figures["nuisance"]["strengths"]
    assert [one["strength"] for one in strengths] == [0.5, 1, 2]
    assert 0 < strengths[0]["change"] < strengths[2]["change"]  # beyond 1 it hardly grows


def test_a_lesion_that_stays_in_one_place_is_told_where_a_sample_shows_all(
    bad: dict[str, Any],
) -> None:
    classes = {
        name: one | {"touched": 0.01, "touched_if_even": 0.9}
        for name, one in bad["classes"].items()
    }
    figures = bad | {"classes": classes}
    assert any("places where anatomy usually is" in line for line in advice(figures))
    said = advice(figures, shows_all=False)
    assert not any("places where anatomy usually is" in line for line in said)


def test_images_in_which_no_anatomy_is_found_are_counted(folder: Path, tmp_path: Path) -> None:
    code = "def some(pixels, spacing_mm):\n    return (pixels[0] > 0) & (pixels[0, 32, 20] > 0.3)\n"
    (tmp_path / "own.py").write_text("import numpy as np\n\n\n" + code)
    (tmp_path / "own.yaml").write_text(
        "extends: phantoms\nname: own\ngeometry: {size: [64, 64]}\nanatomy: own.py:some\n"
    )
    own = Recipe.load(tmp_path / "own.yaml", trust=[tmp_path / "own.py"])
    cohort = Cohort.from_manifest(folder / "manifest.csv").given_class()
    prepared = prepare(cohort, own, cache=tmp_path / "cache")
    figures = audit(prepared, own)
    none = 1 - prepared.assessable.mean()
    assert figures["anatomy"]["none"] == pytest.approx(none)
    assert none > 0.1, "the test needs images without anatomy"
    missing = int((~prepared.assessable).sum())
    said = f"anatomy: in {missing} of {len(prepared)} images no anatomy was found"
    assert advice(figures, picture="x.png")[0].startswith(said)
    assert "look at x.png" in advice(figures, picture="x.png")[0]


@pytest.mark.parametrize(
    ("at_half", "at_2", "lines"), [(0.1, 0.5, 1), (0.1, 0.1, 0), (0.31, 0.28, 1), (0.31, 0.1, 0)]
)
def test_a_nuisance_is_blamed_if_more_of_it_does_no_less_or_half_of_it_all(
    bad: dict[str, Any], at_half: float, at_2: float, lines: int
) -> None:
    alarms = {0.5: at_half, 1: 0.3, 2: at_2}
    strengths = [{"strength": s, "false_alarms": f} for s, f in alarms.items()]
    figures = bad | {"nuisance": {"strengths": strengths}}
    said = [line for line in advice(figures) if line.startswith("nuisance: ")]
    assert len(said) == lines


@pytest.mark.parametrize("bits", [16, 12])
def test_images_that_use_a_part_of_their_bits_are_told(bits: int) -> None:
    wanted = recipe(intensity={"rule": "none"}, anatomy="anatomy.foreground")
    images = discs(40, seed=0) / np.float32(2 ** (16 - bits))
    figures = audit(prepare_array(images, wanted, 2.0), wanted)
    said = [line for line in advice(figures) if line.startswith("images: ")]
    assert len(said) == (bits < 16)
    assert all("intensity.window, [0, 4095] of 12 bits" in line for line in said)


def test_too_few_images_are_refused_with_their_number(given: Prepared) -> None:
    with pytest.raises(InputError, match="10 images of 5 patients show the anatomy"):
        audit(given.subset(given.cases[:10]), recipe())


def test_the_probe_keeps_both_versions_of_an_image_on_one_side() -> None:
    rng = np.random.default_rng(0)
    first = rng.normal(size=(60, 80))
    second = first + 1e-3 * rng.normal(size=(60, 80))  # the image is known again, not its class
    area = probe_auroc(first, second, np.arange(60), np.arange(60))
    assert area is not None
    assert 0.4 < area < 0.6
    assert probe_auroc(first[:5], second, np.arange(5), np.arange(60)) is None


@pytest.mark.parametrize("dims", [2, 3])
def test_coarse_statistics_name_what_was_changed(dims: int) -> None:
    batch = example_batch(dims, n=30)
    brighter = batch.with_pixels((batch.pixels + 0.4).clamp(0, 1))
    values, names = coarse(batch)
    column, area = best_cue(values, coarse(brighter)[0])
    assert "brightness" in names[column]
    assert area == 1
    smooth = box_mean(batch.pixels, 3)
    drop = coarse(batch.with_pixels(smooth))[0] - values
    assert (drop[:, names.index("median Laplacian in the anatomy")] < 0).all()


def test_an_empty_anatomy_has_statistics_of_0() -> None:
    batch = example_batch(n=2)
    values, names = coarse(
        ImageBatch(batch.pixels, torch.zeros_like(batch.anatomy), batch.spacing_mm)
    )
    inside = [name.endswith("in the anatomy") for name in names]
    assert not values[:, inside].any()
    assert values[:, ~np.array(inside)].any()


@pytest.mark.slow
@pytest.mark.realdata
def test_the_chest_recipe_does_not_give_itself_away(shared_data: Path, tmp_path: Path) -> None:
    cohort = Cohort.from_manifest(shared_data / "kermany_cxr" / "manifest.csv", "split")
    chest = Recipe.load("chest_xray")
    cases = cohort.part("train").given_class()[:60]
    figures = audit(prepare(cases, chest, cache=tmp_path), chest)
    assert verdict(figures["classes"]["own_tissue"]) == "usable"
    assert figures["anatomy"]["none"] == 0


def test_a_lesion_that_no_image_can_hold_or_show_is_named(tmp_path: Path) -> None:
    (tmp_path / "cm.yaml").write_text(
        "name: cm\ngiven_class: normal\ntarget_class: cyst\n"
        "geometry: {size: [32, 32], field_of_view_mm: 250}\nanatomy: anatomy.whole\n"
        "middle_classes:\n"
        "  cyst: {operator: focal.Focal, why: Large (one 2011)., diameter_mm: [600, 900]}\n"
        "  few: {operator: focal.Focal, foci: [2, 3], why: Many (one 2011)., "
        "diameter_mm: [300, 900]}\n"
        "  pair:\n    why: Two (one 2011).\n    one_of:\n"
        "      - {operator: focal.Focal, diameter_mm: [600, 900]}\n"
        "      - {operator: mass_effect.MassEffect, radius_mm: [600, 900]}\n"
        "  dark: {operator: focal.Focal, where: dark, why: Dark (one 2011)., "
        "diameter_mm: [600, 900]}\n"
        "  fits: {operator: focal.Focal, why: Small (one 2011)., diameter_mm: [200, 900]}\n"
        "  specks: {operator: focal.Focal, why: Tiny (one 2011)., diameter_mm: [0.5, 7.8]}\n"
        "  seen: {operator: focal.Focal, why: Tiny (one 2011)., diameter_mm: [0.5, 7.9]}\n"
    )
    recipe = Recipe.load(tmp_path / "cm.yaml")
    images = prepare_array(np.random.default_rng(0).random((8, 32, 32)), recipe)
    said = out_of_scale(recipe, images)
    assert [line.split(":")[0] for line in said] == [
        "cyst",
        "few",
        "pair",
        "pair",
        "dark",
        "specks",
    ]
    assert "diameter_mm begins at 600 mm, and a sample shows 250 mm" in said[0]
    assert "diameter_mm ends at 7.8 mm, and a sample has a value every 7.81 mm" in said[-1]


@pytest.mark.parametrize("name", shipped())
def test_lesions_of_shipped_recipes_are_of_the_scale_of_their_images(name: str) -> None:
    of = Recipe.load(name)
    geometry = of.geometry
    shape = (2, *((3,) if geometry.channels == 3 else ()), *geometry.size)
    pixels = np.random.default_rng(0).random(shape).astype(np.float32)
    spacing = 200 / max(geometry.size) if geometry.field_of_view_mm is None else None
    assert out_of_scale(of, prepare_array(pixels, of, spacing_mm=spacing)) == []


def test_classes_of_one_name_are_refused() -> None:
    fields = Recipe.load("phantoms").to_dict()
    with pytest.raises(InputError, match="are both 'Normal'; name what is looked for"):
        Recipe.from_dict({**fields, "given_class": "Normal", "target_class": "normal "})


@pytest.mark.slow
def test_audit_and_fit_name_a_lesion_that_no_image_can_hold(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cm.yaml").write_text(
        tiny_phantoms(steps=2).replace("name: tiny", "name: cm")
        + "middle_classes:\n  mass: {operator: focal.Focal, diameter_mm: [900, 950]}\n"
    )
    place = [str(tmp_path / "cm.yaml"), f"--cohort={folder / 'manifest.csv'}"]
    cache = [f"--cache={tmp_path / 'cache'}"]
    said = CliRunner().invoke(app, ["audit", *place, *cache, "--n=40"])
    assert "1. mass: diameter_mm begins at 900 mm, and a sample shows 200 mm" in said.output
    said = CliRunner().invoke(app, ["fit", *place, *cache, f"--out={tmp_path / 'run'}"])
    assert "mass: diameter_mm begins at 900 mm, and a sample shows 200 mm" in said.output


def test_arguments_of_operators_of_ones_own_are_no_lengths_unless_they_are_numbers() -> None:
    images = prepare_array(np.random.default_rng(0).random((2, 32, 32)), recipe(), spacing_mm=1.0)

    class Own(Knowledge):
        """Of any arguments."""

        def __init__(self, size_mm: object) -> None:
            self.size_mm = size_mm

        draw = render = None  # type: ignore[assignment]

    def said(size_mm: object) -> list[str]:
        known = {"own": Own(size_mm)}
        of_one = SimpleNamespace(geometry=recipe().geometry, operators=lambda: known)
        return out_of_scale(of_one, images)  # type: ignore[arg-type]

    for size_mm in ("large", None, (), {"a": 3}, torch.tensor([900.0]), len, ("a", "b")):
        assert said(size_mm) == []
    assert len(said(900)) == len(said([900, 950])) == 1
