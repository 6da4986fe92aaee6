"""One nuisance at a time: where it stands, what it does to scores, and the study's page."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from makers import Brightness, phantom_folder, tiny_phantoms
from midclass import Cohort, InputError, Recipe, ScoreTable, example_batch, prepare
from midclass.cli.app import app
from midclass.cli.commands import nuisance as command
from midclass.detectors.cohort_scores import STRENGTHS, nuisance_scores
from midclass.evaluation.metrics import false_alarm_rate, share_interval
from midclass.evaluation.report import false_alarms
from midclass.knowledge.acquisition import at_strength, one_part, sides
from midclass.knowledge.nuisance import Nuisance

STUDY = Path(__file__).resolve().parents[1] / "studies" / "nuisance"
NUISANCE = """\
nuisance: {aspect: [0.9, 1.1], scale: [1, 1], shift: 0, gamma: [1, 1], offset: 0, bias: 0}
"""
RECIPE = tiny_phantoms(steps=4, checkpoints=1) + NUISANCE


def applied(nuisance: Nuisance, part: str, side: int, strength: float) -> tuple[Tensor, Tensor]:
    batch = example_batch(n=4)
    params = one_part(nuisance, part, side, strength, batch, seed=0)
    moved, _ = nuisance.apply(batch, params, torch.zeros_like(batch.pixels))
    return batch.pixels, moved.pixels


@pytest.mark.parametrize("part", list(sides(Nuisance(aspect=(0.9, 1.1)))))
def test_a_part_at_strength_0_leaves_the_image_and_more_strength_changes_more(part: str) -> None:
    nuisance = Nuisance(aspect=(0.9, 1.1))
    for side in sides(nuisance)[part]:
        before, still = applied(nuisance, part, side, 0.0)
        torch.testing.assert_close(still, before, atol=2e-4, rtol=0)
        little, much = (
            (applied(nuisance, part, side, strength)[1] - before).square().mean()
            for strength in (0.25, 2.0)
        )
        assert 0 < little < much


def test_the_ends_of_gain_are_those_of_the_recipe_to_the_power_of_the_strength() -> None:
    before, moved = applied(Nuisance(gain=(0.8, 1.1)), "gain", -1, 2.0)
    torch.testing.assert_close(moved, before * 0.64, atol=1e-3, rtol=0)


def test_a_draw_at_strength_0_only_mirrors_and_at_1_is_the_draw() -> None:
    batch = example_batch(n=6)
    nuisance = Nuisance(mirrored=True)
    params = nuisance.draw(batch, torch.Generator().manual_seed(0))
    assert all(torch.equal(value, params[name]) for name, value in at_strength(params, 1).items())
    moved, _ = nuisance.apply(batch, at_strength(params, 0), torch.zeros_like(batch.pixels))
    flipped = torch.where(
        (params["flip"] < 0).view(-1, 1, 1, 1), batch.pixels.flip(-1), batch.pixels
    )
    assert (params["flip"] < 0).any()
    torch.testing.assert_close(moved.pixels, flipped, atol=2e-4, rtol=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return phantom_folder(tmp_path_factory.mktemp("nuisance") / "phantoms", RECIPE, data=".")


def test_brightness_alarms_under_gain_and_never_under_rotation(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = Recipe.load(folder / "tiny.yaml")
    cohort = Cohort.from_manifest(folder / "manifest.csv").part("test")
    detector = Brightness(recipe)
    given = prepare(cohort.given_class(), recipe, cache=folder.parent / "cache")
    scores = detector.score_samples(given)
    detector.threshold_ = float(scores.max() * 1.05)
    table = nuisance_scores(detector, given)
    np.testing.assert_allclose(table.score, scores, atol=1e-6)
    rates = false_alarms(table)
    assert rates["none"][0.0]["value"] == 0
    gains = [rates["gain"][strength]["value"] for strength in STRENGTHS]
    assert gains == sorted(gains)
    assert 0 < gains[-1] <= 0.5  # the low end darkens
    assert rates["rotation_deg"][0.25]["value"] == 0
    assert (table.extra["gain +2"] > table.extra["gain +1"]).all()
    for rate, words in (
        ({}, "; promised: at most 5.0%"),
        ({"moved": 0.1}, "; aimed at: at"),
    ):
        command._tell(table, {"max_fpr": 0.05, **rate})
        assert words in capsys.readouterr().out
    target = prepare(cohort.target_class(), recipe, cache=folder.parent / "cache")
    with pytest.raises(InputError, match="label 0"):
        nuisance_scores(detector, target)


@pytest.mark.slow
def test_the_command_writes_a_table_of_which_the_study_makes_its_page(
    folder: Path, tmp_path: Path
) -> None:
    def run(*arguments: str) -> str:
        common = ["--cohort", str(folder / "manifest.csv"), "--cache", str(tmp_path / "cache")]
        result = CliRunner().invoke(app, [*arguments, *common])
        assert result.exit_code == 0, result.output
        return result.stdout

    detector, scores = str(tmp_path / "detector"), tmp_path / "scores"
    run("fit", str(folder / "tiny.yaml"), "--max-fpr", "0.1", "--out", detector)
    shown = run("nuisance", detector, "--out", str(scores / "head_ct.csv"), "--n", "8")
    assert "false alarms of 8 given-class cases of 6 patients" in shown
    table = ScoreTable.read(scores / "head_ct.csv")
    assert (table.label == 0).all()
    assert {name.split()[0] for name in table.extra} == {
        "rotation_deg",
        "gain",
        "noise",
        "blur_mm",
        "aspect",
    }
    spec = importlib.util.spec_from_file_location("nuisance_table", STUDY / "table.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    rate = false_alarms(table)["blur_mm"][2.0]["value"]
    page = module.markdown(scores)
    row = next(line for line in page.splitlines() if line.startswith("| blur_mm"))
    assert row.split("|")[-2].startswith(f" {100 * rate:.0f} %")
    assert "## Head CT" in page
    assert "## Mammography" not in page


def test_intervals_are_those_of_the_bootstrap_over_patients() -> None:
    rng = np.random.default_rng(0)
    names, patients = [str(i) for i in range(120)], [str(i // 3) for i in range(120)]
    scores = rng.normal(size=120)
    table = ScoreTable.of(names, patients, [0] * 120, scores, threshold=0.8)
    rate = false_alarms(table)["none"][0.0]
    low, high = share_interval(table.flagged, table.patient_id)
    assert rate["value"] == pytest.approx(false_alarm_rate(table.label, table.flagged))
    assert (rate["low"], rate["high"]) == pytest.approx((low, high), abs=0.015)


def test_a_recipe_without_nuisance_is_refused(folder: Path) -> None:
    fields = Recipe.load(folder / "tiny.yaml").to_dict() | {"nuisance": None}
    recipe = Recipe.from_dict(fields)
    given = prepare(
        Cohort.from_manifest(folder / "manifest.csv").given_class()[:2],
        recipe,
        cache=folder.parent / "cache",
    )
    with pytest.raises(InputError, match="tiny: the recipe has no nuisance to test"):
        nuisance_scores(Brightness(recipe), given)
