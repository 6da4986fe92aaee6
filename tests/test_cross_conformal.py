"""The promise of few cases: laws of cross-conformal scores, and simulated false-alarm rates."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from makers import cross_conformal_p
from midclass.evaluation.conformal import conformal_p_values, conformal_threshold, promised_range
from midclass.evaluation.cross_conformal import (
    counts,
    cross_conformal_scores,
    fewest_cases,
    guaranteed_rate,
    steps,
)

FloatArray = NDArray[np.float64]
Fold = tuple[list[FloatArray], FloatArray]


@st.composite
def folds(draw: st.DrawFn) -> Fold:
    """Calibration scores of one to five folds, of few values or many, and scores by each."""
    value = draw(st.sampled_from([st.integers(-3, 3).map(float), st.floats(-1e6, 1e6)]))
    sizes = draw(st.lists(st.integers(0, 12), min_size=1, max_size=5).filter(any))
    values = [draw(st.lists(value, min_size=n, max_size=n)) for n in sizes]
    scores = draw(st.lists(value, min_size=9 * len(sizes), max_size=9 * len(sizes)))
    return [np.sort(np.array(v, float)) for v in values], np.reshape(scores, (9, len(sizes)))


@settings(deadline=None)
@drawn(folds(), st.floats(0.01, 0.99))
def test_a_case_is_flagged_exactly_where_its_cross_conformal_p_value_is_within_the_rate(
    fold: Fold, max_fpr: float
) -> None:
    scores, n = cross_conformal_scores(*fold), sum(map(len, fold[0]))
    np.testing.assert_array_equal(conformal_p_values(steps(n), scores), cross_conformal_p(*fold))
    if 1 / (1 + n) <= max_fpr:
        threshold = conformal_threshold(steps(n), max_fpr)
        assert ((scores > threshold) == (cross_conformal_p(*fold) <= max_fpr)).all()
        assert ((scores.round(6) > threshold) == (cross_conformal_p(*fold) <= max_fpr)).all()


@settings(deadline=None)
@drawn(folds(), st.floats(0, 10))
def test_a_case_that_every_fold_scores_higher_is_not_scored_lower(fold: Fold, more: float) -> None:
    calibrations, scores = fold
    before, after = (cross_conformal_scores(calibrations, s) for s in (scores, scores + more))
    assert (after >= before - 1e-12).all()
    assert np.isfinite(before).all()


def test_cases_beyond_all_calibration_cases_are_still_told_apart() -> None:
    calibrations = [np.arange(20.0), 100 + np.arange(20.0)]
    far = np.geomspace(100, 1e5, 50)
    scores = cross_conformal_scores(calibrations, np.stack([far, 100 + far], 1))
    assert (counts(calibrations, np.stack([far, 100 + far], 1)) == 0).all()
    assert (np.diff(scores.round(6)) > 0).all()


def test_folds_that_disagree_by_any_number_of_spreads_still_give_a_score() -> None:
    """Calibration scores that are equal but for the last bit have a spread of next to nothing."""
    calibrations = [np.array([0.0, 0.0, 1e-320]), np.array([0.0, 0.0, 1e-320])]
    assert np.isfinite(cross_conformal_scores(calibrations, np.array([[1e5, -1e5]]))).all()


def apart(learned: FloatArray, cases: FloatArray) -> FloatArray:
    """How far from the mean: learning that hardly depends on which fold is left out."""
    return np.linalg.norm(cases - learned.mean(0), axis=1)


def nearest(learned: FloatArray, cases: FloatArray) -> FloatArray:
    """How far from the nearest: learning that remembers each case."""
    return np.linalg.norm(cases[:, None] - learned[None], axis=2).min(1)


def overfitted(learned: FloatArray, cases: FloatArray) -> FloatArray:
    """Mahalanobis distance in as many dimensions as cases allow."""
    inverse = np.linalg.pinv(np.cov(learned.T) + 1e-3 * np.eye(learned.shape[1]))
    away = cases - learned.mean(0)
    return np.einsum("ij,jk,ik->i", away, inverse, away)


@pytest.mark.parametrize("learn", [apart, nearest, overfitted])
@pytest.mark.parametrize("n", [39, 60])
def test_new_given_class_cases_are_flagged_as_seldom_as_promised(
    learn: Callable[[FloatArray, FloatArray], FloatArray], n: int
) -> None:
    """Over 300 cohorts of n cases, of a distribution with outliers, in 5 folds."""
    rng = np.random.default_rng(0)
    threshold, rates = conformal_threshold(steps(n), 0.05), []
    for _ in range(300):
        cases, new = rng.standard_t(4, (n, 20)), rng.standard_t(4, (200, 20))
        fold = np.arange(n) % 5
        own = [np.sort(learn(cases[fold != k], cases[fold == k])) for k in range(5)]
        by_fold = np.stack([learn(cases[fold != k], new) for k in range(5)], 1)
        rates.append((cross_conformal_scores(own, by_fold) > threshold).mean())
    chance = np.std(rates) / np.sqrt(len(rates))
    assert np.mean(rates) <= 0.05 + 2.5 * chance
    assert np.mean(rates) + 2.5 * chance <= guaranteed_rate(n, 5, 0.05)
    low, high = promised_range(steps(n), threshold=threshold)
    assert np.mean([rate <= high + 0.005 for rate in rates]) >= 0.95
    if (
        learn is apart
    ):  # where it is not lower than promised, the range is that of split calibration
        assert np.mean(rates) >= 0.04
        assert np.mean([low - 0.005 <= rate <= high + 0.005 for rate in rates]) >= 0.92


@pytest.mark.parametrize(("max_fpr", "fewest"), [(0.05, 39), (0.1, 19), (0.01, 199), (0.3, 6)])
def test_so_many_cases_promise_a_rate_that_one_odd_case_does_not_blind(
    max_fpr: float, fewest: int
) -> None:
    assert fewest_cases(max_fpr) == fewest
    for n, flagged in ((fewest, True), (fewest - 1, False)):
        calibration = np.append(np.arange(n - 1.0), 1e9)  # an artefact among them
        score = cross_conformal_scores([calibration], np.array([[1e6]]))
        assert bool(score > conformal_threshold(steps(n), max_fpr)) == flagged


def test_as_many_folds_as_cases_prove_twice_the_rate() -> None:
    assert guaranteed_rate(50, 50, 0.05) == 0.1
    rates = [guaranteed_rate(60, folds, 0.05) for folds in (2, 5, 10, 20, 30, 60)]
    assert min(rates) == rates[-1]
    assert all(0.1 <= rate <= 0.1 + np.sqrt(2 / 60) for rate in rates)  # as the paper says, too
