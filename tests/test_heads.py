"""Heads on pretrained maps: they learn, the network below them does not, and both are saved."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional

from makers import discs, seeded, trained_recipe
from midclass import ImageBatch, InputError, MiddleClassDetector, load_detector, prepare_array
from midclass.detectors.image_scores import BY_HEADS, NAMES, log_odds, top_change
from midclass.detectors.judge import look
from midclass.evaluation.metrics import auroc
from midclass.training.heads import Heads, KnowledgeNetworks
from midclass.training.networks import Network
from midclass.training.published import read_network

pytestmark = pytest.mark.usefixtures("coarse_maps")
RECIPE = trained_recipe(steps=30, pretrained="imagenet")


def of(n: int, seed: int, **square: float) -> ImageBatch:
    samples = prepare_array(discs(n, seed, **square), RECIPE, spacing_mm=1.0)
    return samples.batch(np.arange(n))


@pytest.fixture(scope="module")
def fitted() -> MiddleClassDetector:
    given = prepare_array(discs(100, seed=0), RECIPE, spacing_mm=1.0)
    detector = MiddleClassDetector(RECIPE).fit(given, max_fpr=0.1)
    assert isinstance(detector, MiddleClassDetector)
    return detector


def found_by(networks: KnowledgeNetworks) -> dict[str, float]:
    both = ImageBatch.joined([of(60, seed=5), of(60, seed=6, square=0.3)])
    _, output = look(networks, both)
    scores = {"odds": log_odds(output.logits), "top": top_change(output.change, both.anatomy)}
    label = np.repeat([0, 1], 60)
    return {name: auroc(label, score.numpy()) for name, score in scores.items()}


def test_heads_beat_untrained_heads_on_the_same_maps(fitted: MiddleClassDetector) -> None:
    networks = fitted.networks_
    assert networks.heads is not None
    torch.manual_seed(1)
    fresh = Heads(2, networks.heads.settings["channels"])
    untrained = found_by(KnowledgeNetworks(networks.own, networks.pretrained, fresh))
    for name, area in found_by(networks).items():
        assert area > 0.9
        assert area > untrained[name] + 0.1, name


def test_heads_are_a_witness_and_the_soft_maximum_of_witnesses_counts(
    fitted: MiddleClassDetector,
) -> None:
    combination = fitted.combination_
    assert combination.chosen == combination.names == NAMES + BY_HEADS
    raw = np.random.default_rng(0).normal(size=(9, 5)) * combination.spread + combination.centre
    relative = np.arcsinh((raw - combination.centre) / combination.spread)
    own, heads = relative[:, :3].mean(1), relative[:, 3:].mean(1)
    np.testing.assert_allclose(combination(raw), np.log(np.exp(own) + np.exp(heads)))
    assert auroc([0] * 4 + [1] * 5, replace(combination, chosen=BY_HEADS)(raw)) == auroc(
        [0] * 4 + [1] * 5, heads
    )


def test_the_network_below_is_as_it_was_and_is_saved_once(
    fitted: MiddleClassDetector, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "d")
    saved = load_file(tmp_path / "d" / "weights.safetensors")
    file = RECIPE.weights()
    assert file is not None
    before = read_network(file).backbone.state_dict()
    ours = "novelty.weights.network.backbone."
    for name, value in before.items():
        torch.testing.assert_close(saved[ours + name], value, rtol=0, atol=0)
    assert not [name for name in saved if name.startswith("heads.") and "backbone" in name]


def test_a_saved_detector_scores_and_marks_the_same(
    fitted: MiddleClassDetector, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "d")
    again = load_detector(tmp_path / "d")
    samples = prepare_array(discs(9, seed=7, square=0.3), RECIPE, spacing_mm=1.0)
    assert again.score_samples(samples).tobytes() == fitted.score_samples(samples).tobytes()
    np.testing.assert_array_equal(again.heat_maps(samples), fitted.heat_maps(samples))


@pytest.mark.parametrize(
    "change", [{"width": 8}, {"hidden": 10**9}, {"channels": [24, 40]}, {"classes": 1}, {"x": 1}]
)
def test_heads_of_another_size_are_refused_in_one_line(
    fitted: MiddleClassDetector, tmp_path: Path, change: dict[str, object]
) -> None:
    fitted.save(tmp_path / "d")
    file = tmp_path / "d" / "detector.json"
    about = json.loads(file.read_text())
    about["state"]["heads"].update(change)
    del about["sha256"]
    file.write_text(json.dumps(about))
    with pytest.raises(InputError, match="the saved detector is damaged"):
        load_detector(tmp_path / "d")


def test_what_is_outside_the_anatomy_does_not_reach_the_heads(
    fitted: MiddleClassDetector,
) -> None:
    batch = of(4, seed=8)
    changed = batch.pixels.clone()
    for image, inside in zip(changed, batch.anatomy, strict=True):
        image[~inside] = image[~inside].flip(0)  # other pixels with the same mean and variance
    one, other = (look(fitted.networks_, b)[1] for b in (batch, batch.with_pixels(changed)))
    assert not torch.equal(batch.pixels, changed)
    torch.testing.assert_close(one.logits, other.logits)
    torch.testing.assert_close(one.change, other.change)


def test_a_small_lesion_reaches_the_class_head_by_the_top_of_the_map() -> None:
    """The means of the maps hardly know of it."""
    torch.manual_seed(0)
    heads = Heads(2, [2] * 4).eval()
    for part in (heads.hidden, heads.change_head):
        for weight in part.parameters():
            torch.nn.init.constant_(weight, 0)
    torch.nn.init.constant_(heads.class_head.weight, 1)
    maps = [torch.zeros(1, 2, side, side) for side in (32, 16, 8, 4)]
    anatomy = torch.ones(1, 1, 128, 128, dtype=torch.bool)
    cold = heads(maps, anatomy).logits
    heads.change_head[2].weight.data[0, 0] = 5.0
    heads.change_head[0].weight.data[0, 0, 1, 1] = 1.0
    heads.lateral[0].weight.data[:] = 1.0
    spot = [functional.pad(torch.ones(1, 2, 2, 2), (9, 21, 9, 21)), *maps[1:]]
    assert float((heads(spot, anatomy).logits - cold).detach().min()) > 1


def test_training_that_was_interrupted_goes_on_to_the_same_heads(tmp_path: Path) -> None:
    recipe = trained_recipe(steps=4, pretrained="imagenet")
    given = prepare_array(discs(30, seed=0), recipe, spacing_mm=1.0)

    def stop(step: int, steps: int, text: str) -> None:
        if step == 4:
            raise KeyboardInterrupt

    (tmp_path / "w").mkdir()
    whole = MiddleClassDetector(recipe).fit(given, max_fpr=0.2)
    with pytest.raises(KeyboardInterrupt):
        MiddleClassDetector(recipe).fit(given, max_fpr=0.2, workdir=tmp_path / "w", progress=stop)
    assert list((tmp_path / "w").iterdir())
    again = MiddleClassDetector(recipe).fit(given, max_fpr=0.2, workdir=tmp_path / "w")
    assert again.score_samples(given).tobytes() == whole.score_samples(given).tobytes()


def test_without_weights_there_is_one_network_as_before() -> None:
    networks = KnowledgeNetworks(Network(classes=2, width=8))
    images = ImageBatch.of(torch.rand(2, 1, 32, 32, generator=seeded()))
    assert networks.maps(images) == []
    assert len(networks(images)) == 1


def test_the_maps_of_held_out_images_are_made_once_for_all_checkpoints(
    fitted: MiddleClassDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [prepare_array(discs(24, seed), RECIPE, spacing_mm=1.0) for seed in (1, 2)]
    judge, looks = fitted.judge(*parts, seed=0), []
    whole = KnowledgeNetworks.maps

    def counted(networks: KnowledgeNetworks, images: ImageBatch) -> list[torch.Tensor]:
        looks.append(len(images))
        return whole(networks, images)

    monkeypatch.setattr(KnowledgeNetworks, "maps", counted)
    first, at_once = judge.choose(fitted.networks_), len(looks)
    again = judge.choose(fitted.networks_)
    assert again.figures == first.figures
    assert again.combination == first.combination
    assert at_once == len(looks) > 0
