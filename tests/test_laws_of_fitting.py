"""Laws of fitting: what a threshold, a checkpoint and a choice of scores may have seen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from makers import (
    HALF_AS_BRIGHT,
    Brightness,
    Memory,
    discs,
    recipe,
    seeded,
    trained,
    trained_recipe,
    with_samples,
)
from midclass import (
    ImageBatch,
    LearningImages,
    Lesson,
    MiddleClassDetector,
    Prepared,
    prepare_array,
)
from midclass.detectors.image_scores import Combination
from midclass.recipe.budget import Budget
from midclass.training.loop import train_on_given, with_short_average
from midclass.version import __version__


@pytest.fixture(scope="module")
def given() -> Prepared:
    return prepare_array(discs(60, seed=0), trained_recipe(), spacing_mm=1.0)


def test_the_threshold_comes_from_cases_that_learning_has_not_seen(given: Prepared) -> None:
    detector = Memory(trained_recipe()).fit(given, max_fpr=0.1)
    assert set(detector.calibration_) == {1.0}
    assert detector.threshold_ >= 1
    seen = set(map(tuple, detector.seen.numpy().round(4)))
    assert len(seen) + len(detector.calibration_) == len(given)  # and every case has its use


def test_no_patient_is_learned_from_and_calibrated_with() -> None:
    """Two cases a patient, which look the same: a threshold set with one would know the other."""
    twice = prepare_array(np.repeat(discs(40, seed=0), 2, axis=0), recipe(), spacing_mm=1.0)
    cases = [replace(c, patient_id=f"p{i // 2}") for i, c in enumerate(twice.cases)]
    paired = type(twice)(type(twice.cases)(tuple(cases)), twice.store, twice.rows, twice.case_index)
    detector = Memory(recipe()).fit(paired, max_fpr=0.2)
    assert set(detector.calibration_) == {1.0}


def test_another_seed_holds_other_cases_out(given: Prepared) -> None:
    held_out = [
        Brightness(recipe()).fit(given, seed=seed, max_fpr=0.1).calibration_ for seed in (0, 0, 1)
    ]
    assert np.array_equal(held_out[0], held_out[1])
    assert not np.array_equal(held_out[0], held_out[2])


def test_a_case_has_the_score_of_its_most_abnormal_sample() -> None:
    """Also where its samples go through the network in two batches."""
    given = prepare_array(discs(150, seed=0), recipe(), spacing_mm=1.0)
    detector = Brightness(recipe())
    alone = detector.score_samples(given)
    falling = given.subset(given.cases[np.argsort(-alone)])
    rising = given.subset(given.cases[np.argsort(alone)])
    for order in (falling, rising, given):
        of_samples = detector.score_samples(order)
        of_cases = detector.score_samples(with_samples(order, each=3))
        np.testing.assert_array_equal(of_cases, of_samples.reshape(-1, 3).max(axis=1))


def test_what_chooses_checkpoint_and_scores_looks_through_the_nuisance(given: Prepared) -> None:
    """Else the choice would hold for the hospital of the training data alone."""

    def brightest(nuisance: object) -> list[float]:
        detector = MiddleClassDetector(trained_recipe(fields={"nuisance": nuisance}))
        judge = detector.judge(given.subset(given.cases[:30]), given.subset(given.cases[30:]), 0)
        parts = (judge.reference, judge.select, judge.middles.images, judge.undescribed)
        return [float(part.pixels.max()) for part in parts]

    half = [value / 2 for value in brightest(None)]
    assert brightest(HALF_AS_BRIGHT) == pytest.approx(half, rel=0.01)


def test_what_is_collected_twice_is_seen_as_it_is_and_through_the_nuisance(
    given: Prepared,
) -> None:
    task = trained_recipe(fields={"nuisance": HALF_AS_BRIGHT})
    images = LearningImages(given, np.arange(10), task.nuisance_operator(), torch.device("cpu"))
    both = images.collect_twice(lambda batch: batch.pixels.mean((1, 2, 3)), seeded())
    assert both.shape == (20,)
    torch.testing.assert_close(both[:10], given.batch(np.arange(10)).pixels.mean((1, 2, 3)))
    torch.testing.assert_close(both[10:], both[:10] / 2, rtol=1e-3, atol=1e-3)


def test_a_few_outliers_do_not_change_the_unit_of_a_score() -> None:
    rng = np.random.default_rng(0)
    normal = rng.normal(3, 2, (400, 3))
    plain = Combination.of(normal)
    normal[:20] += 1000  # such as slices of the skull base
    with_outliers = Combination.of(normal)
    np.testing.assert_allclose(plain.spread, 2, rtol=0.15)  # standard deviations
    np.testing.assert_allclose(with_outliers.spread, plain.spread, rtol=0.15)
    np.testing.assert_allclose(with_outliers.centre, plain.centre, atol=0.3)


class Weight(nn.Module):
    """One number to learn."""

    def __init__(self) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(1))


def test_one_absurd_batch_does_not_end_the_learning() -> None:
    """Unclipped, its gradient would make every later step of Adam a thousand times too small."""
    network, batches = Weight(), []

    def loss(weight: nn.Module, rng: torch.Generator) -> Tensor:
        batches.append(0)
        return (weight.value - 1).square().sum() * (1e6 if len(batches) == 3 else 1.0)

    budget = Budget(steps=60, learning_rate=0.1, weight_decay=0, checkpoints=1)
    trained(network, loss, budget)
    assert network.value.item() == pytest.approx(1, abs=0.15)


def test_running_statistics_are_averaged_as_the_weights_are() -> None:
    """A batch norm of the last batches alone would not fit to weights of all of them."""
    network, batches = nn.BatchNorm1d(1, momentum=1.0), []

    def loss(norm: nn.Module, rng: torch.Generator) -> Tensor:
        batches.append(0)
        return norm(torch.full((4, 1), 10.0 if len(batches) == 8 else 0.0)).square().sum()

    _, states = trained(network, loss, Budget(steps=8, ema=0.9, checkpoints=1))
    assert float(network.running_mean) == 10
    assert float(states[-1]["running_mean"]) == pytest.approx(1)


@pytest.mark.parametrize(("steps", "ema"), [(20, 0.5), (200, 0.95), (5, 0.0), (10_000, 0.99)])
def test_a_reconstruction_is_averaged_over_a_tenth_of_its_steps_at_most(
    steps: int, ema: float
) -> None:
    whole = Budget(steps=steps, ema=0.99, batch=7)
    short = with_short_average(whole)
    assert short.ema == pytest.approx(ema)
    assert short.model_copy(update={"ema": 0.99}) == whole


def test_training_on_given_images_looks_at_twice_the_batch_and_keeps_its_best_weights(
    given: Prepared,
) -> None:
    network, seen = Weight(), []

    def wrong(weight: nn.Module, batch: ImageBatch, rng: torch.Generator) -> Tensor:
        seen.append(len(batch))
        return (weight.value - 1).square().expand(len(batch))

    def judged(weight: nn.Module, batch: ImageBatch, rng: torch.Generator) -> Tensor:
        return weight.value.detach().abs().expand(len(batch))  # the least trained is the best

    images = LearningImages(given, np.arange(len(given)), None, torch.device("cpu"))
    budget = Budget(steps=8, batch=3, checkpoints=4, learning_rate=0.1)
    lesson = Lesson(given, given, seed=1)
    history = train_on_given(network, wrong, images, images, budget, lesson, judged_by=judged)
    assert set(seen) == {6}
    assert history["step"] == [5, 6, 7, 8]
    assert history["best"] == 0
    assert history["validation"][0] == max(history["validation"])
    assert -abs(float(network.value)) == pytest.approx(history["validation"][0])
    assert not network.training


def test_a_saved_detector_says_its_version_and_its_parts_and_no_positives_that_there_are_not(
    given: Prepared, tmp_path: Path
) -> None:
    Brightness(trained_recipe()).fit(given, max_fpr=0.1).save(tmp_path / "saved")
    about = json.loads((tmp_path / "saved" / "detector.json").read_text())
    assert about["midclass"] == __version__
    assert set(about["cases"]) == set(about["patients"]) == {"train", "select", "calibrate"}
