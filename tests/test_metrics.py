"""Metrics: the same figures as scikit-learn, and intervals that know patients."""

from __future__ import annotations

import time
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midclass import InputError
from midclass.evaluation import metrics
from midclass.evaluation.metrics import (
    auroc,
    average_precision,
    by_patient,
    false_alarm_rate,
    interval,
    per_class,
    sensitivity,
    sensitivity_at_fpr,
)
from midclass.evaluation.ranking import Ranked


@st.composite
def scored(draw):
    """Labels of both classes and scores, often tied, not constant."""
    n = draw(st.integers(2, 40))
    y = draw(st.lists(st.integers(0, 1), min_size=n, max_size=n).filter(lambda y: 0 < sum(y) < n))
    values = st.integers(-4, 4) if draw(st.booleans()) else st.integers(-(10**6), 10**6)
    s = draw(st.lists(values, min_size=n, max_size=n).filter(lambda s: len(set(s)) > 1))
    return np.array(y), np.array(s, dtype=float)


def cohort(patients, cases, effect=1.0, seed=0, correlation=0.5):
    """Labels, scores and patients; half of the patients are target patients."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(patients), cases)
    y = (np.arange(patients) % 2)[who]
    shared = np.sqrt(correlation) * rng.normal(size=patients)
    noise = shared[who] + np.sqrt(1 - correlation) * rng.normal(size=len(who))
    return y, noise + effect * y, who


def width(limits):
    return limits[1] - limits[0]


@settings(deadline=None)
@given(scored(), st.floats(0.01, 0.99))
def test_rank_metrics_equal_those_of_scikit_learn(data, max_fpr):
    from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

    y, s = data
    fpr, tpr, _ = roc_curve(y, s, drop_intermediate=False)
    assert auroc(y, s) == pytest.approx(roc_auc_score(y, s))
    assert average_precision(y, s) == pytest.approx(average_precision_score(y, s))
    assert sensitivity_at_fpr(y, s, max_fpr) == pytest.approx(tpr[fpr <= max_fpr].max())


@settings(deadline=None)
@given(scored())
def test_auroc_sees_only_ranks_and_the_lowest_rank_may_be_minus_infinity(data):
    y, s = data
    assert auroc(y, s) == auroc(y, np.arctan(s / 1e6))
    assert auroc(y, s) == pytest.approx(1 - auroc(y, -s))
    assert auroc(y, s) == auroc(y, np.where(s == s.min(), -np.inf, s))


@pytest.mark.parametrize(
    "metric", [auroc, average_precision, partial(sensitivity_at_fpr, max_fpr=0.1)]
)
@pytest.mark.parametrize(
    ("y", "s", "message"),
    [
        ([0, 0], [1.0, 2.0], "2 given-class and 0 target-class"),
        ([1, 1], [1.0, 2.0], "0 given-class and 2 target-class"),
        ([0, 1], [1.0, np.nan], "number 1 .* is nan"),
        ([0, -1], [1.0, 2.0], "label number 1 is"),
        ([0, 1, 1], [1.0, 2.0], "3 labels but 2 scores"),
    ],
)
def test_wrong_input_is_refused(metric, y, s, message):
    with pytest.raises(InputError, match=message):
        metric(y, s)


def test_constant_scores_are_an_error_and_no_auroc_of_one_half():
    with pytest.raises(InputError, match="all 4 scores are equal"):
        auroc([0, 0, 1, 1], [0.5] * 4)


def test_rates_at_a_threshold_count_each_class_alone():
    y, flagged = [0, 0, 0, 0, 1, 1], [True, False, False, False, True, True]
    assert (sensitivity(y, flagged), false_alarm_rate(y, flagged)) == (1.0, 0.25)
    with pytest.raises(InputError, match="none of the 2 cases has the label 1"):
        sensitivity([0, 0], [True, False])
    with pytest.raises(InputError, match="score > threshold"):
        sensitivity([0, 1], [0.3, 0.7])


def test_a_false_alarm_rate_that_is_just_the_allowed_one_is_allowed():
    y, s = [0, 0, 0, 0, 1, 1], [1, 2, 3, 5, 4, 6]
    assert [sensitivity_at_fpr(y, s, rate) for rate in (0.24, 0.25)] == [0.5, 1.0]


def test_each_target_class_is_measured_against_all_given_cases():
    y = [0, 0, 0, 1, 1, 1]
    names = ["normal", "normal", "other normal", "mass", "mass", "haze"]
    assert per_class(y, [1, 2, 3, 4, 5, 0], names) == {"haze": 0.0, "mass": 1.0}


@settings(deadline=None)
@given(scored(), st.integers(0, 3))
def test_the_interval_contains_the_estimate(data, seed):
    y, s = np.tile(data[0], 4), np.tile(data[1], 4)
    low, high = interval(Ranked.auroc, y, s, np.arange(len(y)), n_resamples=20, seed=seed)
    assert 0 <= low <= auroc(y, s) <= high <= 1


def test_fewer_patients_give_a_wider_interval():
    few, many = (interval(Ranked.auroc, *cohort(n, 4)) for n in (20, 320))
    assert width(few) > 2 * width(many)


def test_repeating_the_cases_of_patients_does_not_narrow_the_interval():
    y, s, who = cohort(40, 3)
    once, repeated = (
        interval(Ranked.auroc, np.tile(y, n), np.tile(s, n), np.tile(who, n)) for n in (1, 5)
    )
    assert repeated == pytest.approx(once)
    by_case = interval(Ranked.auroc, np.tile(y, 5), np.tile(s, 5), np.arange(5 * len(y)))
    assert width(by_case) < 0.6 * width(once)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    covered = []
    for seed in range(120):
        y, s, who = cohort(60, 3, effect=1.0, seed=seed)
        low, high = interval(Ranked.auroc, y, s, who, n_resamples=100, level=0.9)
        covered.append(low <= 0.7602 <= high)  # Phi(1 / sqrt(2))
    assert 0.82 <= np.mean(covered) <= 0.97


def test_resamples_without_a_class_are_drawn_again_and_counted():
    y, s = np.array([0] * 9 + [1]), np.arange(10.0)
    s[0] = 9.5  # above the only target case
    with pytest.warns(UserWarning, match=r"^[56]\d\d resamples without both classes"):
        low, high = interval(Ranked.auroc, y, s, np.arange(10))
    assert low < 0.5 < high


RANKED = {
    auroc: Ranked.auroc,
    average_precision: Ranked.average_precision,
    partial(sensitivity_at_fpr, max_fpr=0.2): partial(Ranked.sensitivity_at_fpr, max_fpr=0.2),
}


@pytest.mark.parametrize("at_once", [None, 1])
def test_an_interval_is_that_of_the_cases_repeated_one_resample_at_a_time(monkeypatch, at_once):
    y, s, who = cohort(9, 3)
    s, y = s.round(1), np.where(np.arange(27) % 9 == 4, 1 - y, y)  # ties, patients of both classes
    if at_once is not None:
        monkeypatch.setattr(metrics, "BLOCK", at_once)
    monkeypatch.setattr(metrics, "FEW", 0)  # nine patients
    rng = np.random.default_rng(7)
    rows = []
    for _ in range(150):
        drawn = rng.integers(9, size=9)
        rows.append(np.concatenate([np.flatnonzero(who == patient) for patient in drawn]))
    for metric, figure in RANKED.items():
        values = [metric(y[cases], s[cases]) for cases in rows]
        found = interval(figure, y, s, who, n_resamples=150, seed=7)
        assert found == pytest.approx(np.quantile(values, [0.025, 0.975]))


def test_a_thousand_resamples_of_1600_cases_take_seconds():
    start = time.process_time()
    interval(Ranked.auroc, *cohort(400, 4))
    assert time.process_time() - start < 3


def test_cases_that_cannot_be_assessed_do_not_hide_their_patient():
    scores, patients = [-np.inf, 2.0, 4.0, -np.inf], ["a", "a", "a", "b"]
    assert by_patient(scores, [0, 0, 1, 0], patients)[2].tolist() == [3.0, -np.inf]


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5])
def test_a_rate_of_false_alarms_lies_between_0_and_1(rate: float) -> None:
    with pytest.raises(InputError, match="give a rate between 0 and 1"):
        sensitivity_at_fpr([0, 1], [0.0, 1.0], rate)
