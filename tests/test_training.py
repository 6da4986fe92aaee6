"""The training loop, the network and the scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from makers import seeded, trained
from midclass import InputError, example_batch
from midclass.detectors.image_scores import (
    CLEARLY,
    NAMES,
    USABLE,
    Combination,
    GivenClass,
    log_odds,
    top_change,
)
from midclass.knowledge.focal import Focal
from midclass.recipe.budget import Budget
from midclass.training.heads import KnowledgeNetworks
from midclass.training.loop import History
from midclass.training.loss import batch_loss, loss_of, precision
from midclass.training.middle import LabelledBatch, MiddleClasses
from midclass.training.networks import Network

CLASSES = MiddleClasses({"ball": Focal(diameter_mm=(10, 20))}, None)


def make_batch(rng: torch.Generator) -> LabelledBatch:
    return CLASSES(example_batch(n=4), rng)


def network(dims: int = 2) -> Network:
    torch.manual_seed(0)
    return Network(classes=2, dims=dims, width=8)


def run(steps: int, workdir: Path | None = None, stop: int | None = None) -> tuple[History, list]:
    def progress(step: int, steps: int, text: str) -> None:
        if step == stop:
            raise KeyboardInterrupt

    budget = Budget(steps=steps, batch=4, checkpoints=2, width=8)

    def loss(net: nn.Module, rng: torch.Generator) -> torch.Tensor:
        return batch_loss(net, make_batch(rng), budget)

    return trained(KnowledgeNetworks(network()), loss, budget, workdir=workdir, progress=progress)


def test_the_loss_falls() -> None:
    history, _ = run(30)
    batch = make_batch(seeded(5))
    untrained = loss_of(network()(batch.images.pixels), batch, Budget())
    assert history.loss[-1] < untrained.item()


def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(tmp_path: Path) -> None:
    _, unbroken = run(8)
    with pytest.raises(KeyboardInterrupt):
        run(8, tmp_path, stop=7)
    _, resumed = run(8, tmp_path)
    assert len(resumed) == len(unbroken)
    for name, weight in unbroken[-1].items():
        assert torch.equal(weight, resumed[-1][name]), name


def test_the_last_checkpoint_is_chosen_unless_another_is_clearly_better() -> None:
    assert History([1, 2, 3], [0, 0, 0], [0.7, 0.8, 0.8]).best() == 2
    assert History([1, 2, 3], [0, 0, 0], [0.7, 0.84, 0.8]).best(0.05) == 2  # may be chance
    assert History([1, 2, 3], [0, 0, 0], [0.7, 0.9, 0.8]).best(0.05) == 1


def test_an_earlier_checkpoint_at_chance_is_not_chosen() -> None:
    history = History([1, 2, 3], [0, 0, 0], [0.48, 0.53, 0.41])
    assert history.best(CLEARLY) == 1
    assert history.best(CLEARLY, USABLE) == 2


def test_a_middle_class_without_weight_does_not_move_the_class_loss() -> None:
    batch = make_batch(seeded())
    batch.weight[-1] = 0
    output = network()(batch.images.pixels)
    as_middle = loss_of(output, batch, Budget(map_weight=0))
    batch.label[-1] = 0
    assert torch.equal(as_middle, loss_of(output, batch, Budget(map_weight=0)))


def test_precision_hardly_changes_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = make_batch(seeded())
    losses = []
    for name in ("float32", "bfloat16"):
        monkeypatch.setenv("MIDCLASS_PRECISION", name)
        with precision(torch.device("cpu")):
            output = network()(batch.images.pixels)
        losses.append(float(loss_of(output, batch, Budget()).detach()))
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[0] != losses[1]


def test_an_unknown_precision_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDCLASS_PRECISION", "half")
    with pytest.raises(InputError, match="'half'; use auto, float32 or bfloat16"):
        precision(torch.device("cpu"))


@pytest.mark.parametrize("dims", [2, 3])
def test_the_change_map_has_the_size_of_the_image(dims: int) -> None:
    size = (48, 40) if dims == 2 else (32, 24, 40)
    output = network(dims)(torch.rand(2, 1, *size))
    assert output.change.shape == (2, 1, *size)
    assert output.logits.shape == (2, 2)


def test_a_standardising_network_does_not_see_gain_and_offset() -> None:
    images = torch.rand(3, 1, 32, 32)
    net: nn.Module = network().eval()
    with torch.no_grad():
        torch.testing.assert_close(
            net(images).logits, net(images * 0.5 + 0.2).logits, rtol=1e-3, atol=1e-3
        )


def test_log_odds_are_those_of_any_middle_class() -> None:
    probability = torch.tensor([[0.5, 0.3, 0.2], [0.8, 0.1, 0.1]])
    expected = torch.tensor([0.5 / 0.5, 0.2 / 0.8]).log()
    torch.testing.assert_close(log_odds(probability.log()), expected)


def test_change_outside_the_anatomy_does_not_count() -> None:
    change = torch.zeros(1, 1, 32, 32)
    change[..., :4] = 9.0
    anatomy = torch.ones_like(change, dtype=torch.bool)
    inside = anatomy.clone()
    inside[..., :4] = False
    assert float(top_change(change, anatomy)) == 9.0
    assert float(top_change(change, inside)) == 0.0


def test_the_given_class_is_near_itself() -> None:
    rng = seeded()
    features = torch.randn(200, 16, generator=rng)
    place = GivenClass.of(features)
    assert place.distance(features + 6).min() > place.distance(features).max()


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(0.5, 20), st.floats(-5, 5))
def test_a_combination_does_not_depend_on_the_units_of_the_scores(
    seed: int, factor: float, offset: float
) -> None:
    rng = np.random.default_rng(seed)
    normal, middle = rng.normal(size=(40, 3)), rng.normal(0.7, 1, (40, 3))
    one = Combination.of(normal)
    other = Combination.of(normal * factor + offset)
    assert one.chosen == other.chosen
    np.testing.assert_allclose(one(middle), other(middle * factor + offset), rtol=1e-6, atol=1e-6)


def test_all_three_scores_count_whichever_is_better_on_held_out_operators() -> None:
    rng = np.random.default_rng(0)
    normal, middle = rng.normal(size=(200, 3)), rng.normal(size=(200, 3))
    middle[:, 1] += 2.5
    combination = Combination.of(normal)
    figures = combination.figures(normal, middle)
    assert combination.chosen == NAMES
    assert figures["change"] == max(figures.values()) > figures["+".join(NAMES)] + CLEARLY
    for column in range(3):  # each has a say
        moved = middle.copy()
        moved[:, column] += 1
        assert (combination(moved) > combination(middle)).all()


def test_one_score_far_off_does_not_outvote_two_that_see_a_little() -> None:
    """Bone in a slice of the skull base is 40 spreads off in one score."""
    combination = Combination.of(np.random.default_rng(0).normal(size=(400, 3)))
    odd, ill = combination(np.array([[40.0, 0.0, 0.0], [4.0, 4.0, 4.0]]))
    assert ill > odd
