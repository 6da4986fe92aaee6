"""What a class head reads of the maps: where disease can be, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from makers import discs, seeded, trained_recipe
from midclass import ImageBatch, MiddleClassDetector, prepare_array
from midclass.detectors.image_scores import GivenClass, log_odds
from midclass.detectors.judge import look
from midclass.training.networks import Network
from midclass.training.networks import seeded as first_weights
from midclass.training.reading import OUTSIDE, TOPS, read_inside, share_of_cells


def maps(dims: int, n: int = 2) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """Three stages of 4, 5 and 6 channels, a change map, and an anatomy: half of the image."""
    rng = seeded()
    stages = [torch.randn(n, 4 + k, *(16 // 2**k,) * dims, generator=rng) for k in range(3)]
    anatomy = torch.zeros(n, 1, *(64,) * dims, dtype=torch.bool)
    anatomy[:, :, :32] = True
    return stages, torch.randn(n, 1, *(16,) * dims, generator=rng), anatomy


@pytest.mark.parametrize("dims", [2, 3])
def test_a_class_head_reads_nothing_outside_the_anatomy(dims: int) -> None:
    stages, small, anatomy = maps(dims)
    before = torch.cat(read_inside(stages, small, anatomy), 1)
    assert before.shape == (2, 2 * (5 + 6) + len(TOPS))
    for one in (*stages, small):
        one[:, :, one.shape[2] // 2 :] = 100.0
    assert torch.equal(torch.cat(read_inside(stages, small, anatomy), 1), before)
    stages[-1][:, 0, 0] += 1
    assert not torch.equal(torch.cat(read_inside(stages, small, anatomy), 1), before)


def test_a_small_lesion_is_in_what_is_read_though_in_no_mean() -> None:
    stages, small, anatomy = maps(2)
    _, before = read_inside(stages, small, anatomy)
    small[:, :, 3, 3] = 8.0
    pooled, after = read_inside(stages, small, anatomy)
    assert (after[:, 0] == 8.0).all()
    assert (after > before).all()
    assert torch.equal(pooled, read_inside(stages, small * 0, anatomy)[0])


@pytest.mark.parametrize(
    ("spatial", "cells"), [((9, 14), (3, 5)), ((8, 8, 8), (2, 4, 2)), ((7, 9, 14), (3, 3, 5))]
)
def test_the_share_of_a_cell_is_the_mean_of_the_anatomy_in_it(
    spatial: tuple[int, ...], cells: tuple[int, ...]
) -> None:
    anatomy = torch.rand(2, 1, *spatial, generator=seeded()) > 0.4
    expected = torch.nn.functional.interpolate(anatomy.float(), size=cells, mode="area")
    torch.testing.assert_close(share_of_cells(anatomy, cells), expected)


def test_a_cell_belongs_to_the_anatomy_from_a_half_on() -> None:
    """Exactly a half counts, however the machine sums it; less does not."""
    small = torch.zeros(2, 1, 16, 16)
    small[:, :, 0, 0], small[:, :, 8, 8] = 5.0, 9.0
    anatomy = torch.ones(2, 1, 64, 64, dtype=torch.bool)
    anatomy[0, :, :4, :2] = False  # a half of the first cell
    anatomy[1, :, :4, :3] = False
    anatomy[:, :, 32:36, 32:36] = False  # all of the cell with the highest
    _, tops = read_inside(maps(2)[0], small, anatomy)
    assert tops[:, 0].tolist() == [5.0, 0.0]


def test_a_small_anatomy_is_filled_up_with_what_is_outside() -> None:
    """As many cells count as of any other image, so that small anatomies look less like disease."""
    small, anatomy = torch.full((1, 1, 16, 16), 3.0), torch.zeros(1, 1, 64, 64, dtype=torch.bool)
    anatomy[:, :, :8, :12] = True  # 6 of 256 cells; 13 are the top
    _, tops = read_inside(maps(2, 1)[0], small, anatomy)
    torch.testing.assert_close(tops, torch.tensor([[3.0, (6 * 3.0 + 7 * OUTSIDE) / 13]]))


def test_without_any_anatomy_something_finite_is_read() -> None:
    stages, small, anatomy = maps(2)
    pooled, tops = read_inside(stages, small, torch.zeros_like(anatomy))
    assert pooled.isfinite().all()
    assert (tops == OUTSIDE).all()


def test_a_constant_map_has_a_slope() -> None:
    stages, small, anatomy = maps(2)
    constant = [torch.zeros_like(one, requires_grad=True) for one in stages]
    torch.cat(read_inside(constant, small, anatomy), 1).sum().backward()
    for one in constant[-2:]:
        assert one.grad is not None
        assert one.grad.isfinite().all()


def test_each_image_is_read_with_its_own_anatomy() -> None:
    network = first_weights(lambda: Network(3, width=8, pooling="inside"), 0).eval()
    pixels = torch.rand(1, 1, 64, 64, generator=seeded()).expand(2, -1, -1, -1).clone()
    halves = torch.zeros(2, 1, 64, 64, dtype=torch.bool)
    halves[0, :, :32], halves[1, :, 32:] = True, True
    with torch.inference_mode():
        both = network(pixels, halves).logits
        alone = [network(pixels[:1], half[None]).logits for half in halves]
    assert not torch.allclose(both[0], both[1])
    torch.testing.assert_close(both, torch.cat(alone))


@pytest.mark.parametrize("width", [8, 16])
@pytest.mark.parametrize("side", [32, 64, 96, 128])
def test_what_is_said_of_an_image_is_the_same_to_the_bit_wherever_it_stands(
    width: int, side: int
) -> None:
    network = first_weights(lambda: Network(3, width=width, pooling="inside"), 0).eval()
    pixels = torch.rand(8, 1, side, side, generator=seeded())
    anatomy = torch.rand(8, 1, side, side, generator=seeded(1)) > 0.3
    order = torch.randperm(8, generator=seeded(2))
    with torch.inference_mode():
        here, there = network(pixels, anatomy), network(pixels[order], anatomy[order])
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one[order], other)


def test_a_network_that_reads_the_anatomy_does_not_go_without() -> None:
    network = Network(3, width=8, pooling="inside")
    with pytest.raises(ValueError, match="reads the anatomy"):
        network(torch.rand(1, 1, 32, 32))


def test_the_given_class_lies_where_scoring_looks() -> None:
    """The distance of a judge's own images is theirs as any detector sees them."""
    recipe = trained_recipe(steps=4, pretrained=None)
    given = prepare_array(discs(40, seed=0), recipe, spacing_mm=1.0)
    detector = MiddleClassDetector(recipe).fit(given, max_fpr=0.2)
    assert isinstance(detector, MiddleClassDetector)
    judge = detector.judge(given, given, seed=0)
    seen = look(detector.networks_, judge.reference)[0].features
    torch.testing.assert_close(
        GivenClass.of(seen).mean, judge.choose(detector.networks_).given.mean
    )


def test_the_methods_own_network_reads_the_anatomy_and_says_so_when_saved() -> None:
    recipe = trained_recipe(steps=4, pretrained=None)
    given = prepare_array(discs(40, seed=0), recipe, spacing_mm=1.0)
    detector = MiddleClassDetector(recipe).fit(given, max_fpr=0.2)
    assert isinstance(detector, MiddleClassDetector)
    assert detector.state()[1]["network"]["pooling"] == "inside"
    whole = given.batch(np.arange(4))
    part = whole.anatomy.clone()
    part[:, :, : part.shape[2] // 2] = False
    other = ImageBatch(whole.pixels, part, whole.spacing_mm)
    odds = [log_odds(detector.networks_(one)[0].logits) for one in (whole, other)]
    assert not torch.allclose(*odds)


class Means(MiddleClassDetector):
    """As the method was before its class head read the anatomy."""

    pooling = "mean"


def test_a_detector_saved_before_there_was_a_choice_scores_as_it_did() -> None:
    recipe = trained_recipe(steps=4, pretrained=None)
    given = prepare_array(discs(40, seed=0), recipe, spacing_mm=1.0)
    detector = Means(recipe).fit(given, max_fpr=0.2)
    assert isinstance(detector, Means)
    tensors, facts = detector.state()
    facts["network"] = {k: v for k, v in facts["network"].items() if k != "pooling"}
    restored = MiddleClassDetector(recipe)
    restored.device = detector.device
    restored.restore(tensors, facts)
    images = given.batch(np.arange(8))
    for one, other in zip(detector.score(images), restored.score(images), strict=True):
        assert torch.equal(one, other)
    features = detector.networks_(images)[0].features
    assert features.shape[1] == tensors["network.class_head.weight"].shape[1]
