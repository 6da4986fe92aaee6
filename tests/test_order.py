"""Order and company: neither the order of rows nor who else is scored changes a score."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from makers import discs, trained_recipe
from midclass import Cohort, MiddleClassDetector, Prepared, load_detector
from midclass.detectors.baselines.one_class_svm import OneClassSVM
from midclass.detectors.look import filled_up
from midclass.images.arrays import prepare_array
from midclass.images.case import Case
from midclass.images.cohort import choose
from midclass.types import ImageBatch

WANTED = trained_recipe(4)


def prepared(n: int, seed: int) -> Prepared:
    return prepare_array(discs(n, seed), WANTED)


@pytest.fixture(scope="module")
def given() -> Prepared:
    return prepared(60, 0)


@pytest.fixture(scope="module")
def fitted(given: Prepared) -> MiddleClassDetector:
    detector = MiddleClassDetector(WANTED)
    detector.fit(given, max_fpr=0.2)
    return detector


def shuffled(some: Prepared, seed: int) -> Prepared:
    order = np.random.default_rng(seed).permutation(len(some.cases))
    return some.subset(some.cases[order])


@pytest.mark.parametrize("folds", [0, 3])
def test_shuffled_rows_give_the_same_detector(given: Prepared, folds: int) -> None:
    told: list[Any] = []
    for some in (given, shuffled(given, 1)):
        detector = OneClassSVM(WANTED)
        detector.fit(some, max_fpr=0.2, folds=folds)
        told.append((detector.threshold_, detector.score_samples(prepared(20, 9)).tobytes()))
    assert told[0] == told[1]


def test_shuffled_rows_give_the_same_weights(given: Prepared, fitted: MiddleClassDetector) -> None:
    other = MiddleClassDetector(WANTED)
    other.fit(shuffled(given, 2), max_fpr=0.2)
    for name, tensor in fitted.state()[0].items():
        assert torch.equal(tensor, other.state()[0][name]), name


def test_an_image_has_the_same_score_alone_as_among_others(fitted: MiddleClassDetector) -> None:
    among = prepared(70, 3)  # more than a batch
    scores = fitted.score_samples(among)
    for k in (0, 5, 63, 64, 69):
        alone = among.subset(among.cases[[k]])
        assert fitted.score_samples(alone)[0] == scores[k]
        assert (fitted.heat_maps(alone)[0] == fitted.heat_maps(among)[k]).all()
    order = np.random.default_rng(4).permutation(70)
    assert (fitted.score_samples(shuffled(among, 4)) == scores[order]).all()


@pytest.mark.parametrize("n", [1, 3, 4, 5])
def test_a_batch_that_is_filled_up_begins_with_its_images(n: int) -> None:
    batch = ImageBatch.of(torch.rand(n, 1, 8, 8))
    whole = filled_up(batch, 4)
    assert len(whole) == max(n, 4)
    assert torch.equal(whole.pixels[:n], batch.pixels)
    assert (whole.pixels[n:] == batch.pixels[-1]).all()


def test_what_is_drawn_from_a_cohort_does_not_follow_its_rows() -> None:
    cases = [Case(f"c{i:02}", Path(f"{i}.png"), i % 2, f"p{i // 4}") for i in range(40)]
    one, other = Cohort(tuple(cases)), Cohort(tuple(cases[::-1]))
    for drawn in (lambda c: c.some_of_target_class(5, 1), lambda c: choose(c, 7, 1)):
        assert drawn(one).cases == drawn(other).cases


def test_a_saved_detector_says_with_how_many_threads_it_was_fitted(
    fitted: MiddleClassDetector, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "d")
    about = json.loads((tmp_path / "d" / "detector.json").read_text())
    assert about["threads"] == torch.get_num_threads()
    assert load_detector(tmp_path / "d").threads_ == about["threads"]
    del about["threads"], about["sha256"]  # of an earlier version
    (tmp_path / "d" / "detector.json").write_text(json.dumps(about))
    assert load_detector(tmp_path / "d").threads_ is None
