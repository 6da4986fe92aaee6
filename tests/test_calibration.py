"""The promise of a threshold: laws for any scores, and simulated false-alarm rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from midclass.errors import InputError
from midclass.evaluation.conformal import conformal_p_values, conformal_threshold, promised_range

few_values = st.integers(-3, 3).map(float) | st.just(-np.inf)  # ties are the rule
any_value = st.floats(allow_nan=False, max_value=1e300)


@st.composite
def calibrations(draw):
    m = draw(st.integers(1, 40))
    scores = draw(arrays(float, m, elements=draw(st.sampled_from([few_values, any_value]))))
    return scores, draw(st.none() | arrays(int, m, elements=st.integers(0, 6)))


@settings(deadline=None)
@given(calibrations(), arrays(float, 12, elements=few_values), st.floats(0.01, 0.99))
def test_a_case_is_flagged_exactly_where_its_p_value_is_within_the_rate(case, scores, max_fpr):
    calibration, groups = case
    p = conformal_p_values(calibration, scores, groups)
    try:
        threshold = conformal_threshold(calibration, max_fpr, groups)
    except InputError:
        assert (p > max_fpr).all()
    else:
        assert ((scores > threshold) == (p <= max_fpr)).all()


@settings(deadline=None)
@given(calibrations(), arrays(float, 12, elements=any_value))
def test_p_values_fall_as_scores_rise(case, scores):
    p = conformal_p_values(case[0], np.sort(scores), case[1])
    assert (np.diff(p) <= 0).all()
    assert ((p > 0) & (p <= 1)).all()


@settings(deadline=None)
@given(arrays(float, st.integers(1, 60), elements=few_values), st.integers(1, 99))
def test_the_threshold_is_the_order_statistic_of_the_textbook(calibration, percent):
    m = len(calibration)
    k = m + 1 - (percent * (m + 1)) // 100  # ceil((1 - rate)(m + 1)) in whole numbers
    assume(k <= m)
    assert conformal_threshold(calibration, percent / 100) == np.sort(calibration)[k - 1]


@settings(deadline=None)
@given(arrays(float, st.integers(19, 60), elements=few_values))
def test_one_case_for_each_patient_is_the_same_as_no_groups(calibration):
    groups = np.arange(len(calibration))
    expected = conformal_threshold(calibration, 0.05)
    assert conformal_threshold(calibration, 0.05, groups) == expected


def test_duplicating_all_cases_changes_nothing_with_groups():
    scores = np.random.default_rng(0).normal(size=40)
    groups = np.arange(40) // 2
    twice = conformal_threshold(np.tile(scores, 3), 0.1, np.tile(groups, 3))
    assert twice == conformal_threshold(scores, 0.1, groups)


@pytest.mark.parametrize(("m", "max_fpr"), [(19, 0.05), (50, 0.1), (137, 0.02)])
def test_the_mean_false_alarm_rate_is_the_promised_one(m, max_fpr):
    rng = np.random.default_rng(1)
    draws = rng.random((4000, m))  # uniform: the rate of a threshold t is 1 - t
    rate = np.mean([1 - conformal_threshold(draw, max_fpr) for draw in draws])
    assert max_fpr - 1 / (m + 1) - 0.002 <= rate <= max_fpr + 0.002


def test_with_ties_the_promise_still_holds():
    rng = np.random.default_rng(2)
    draws = rng.integers(0, 10, size=(4000, 30))
    rate = np.mean([1 - (conformal_threshold(draw, 0.1) + 1) / 10 for draw in draws])
    assert rate <= 0.1


def clustered(rng, patients, cases, correlation):
    groups = np.repeat(np.arange(patients), cases)
    shared = np.sqrt(correlation) * rng.normal(size=patients)
    return shared[groups] + np.sqrt(1 - correlation) * rng.normal(size=len(groups)), groups


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.9])
def test_groups_keep_the_promise_for_new_patients_and_the_range_covers(correlation):
    from scipy.stats import norm

    rng = np.random.default_rng(3)
    rates, covered = [], []
    for _ in range(300):
        scores, groups = clustered(rng, patients=30, cases=10, correlation=correlation)
        threshold = conformal_threshold(scores, 0.05, groups)
        low, high = promised_range(scores, threshold=threshold, groups=groups)
        rates.append(norm.sf(threshold))
        covered.append(low <= rates[-1] <= high)
    assert np.mean(rates) <= 0.05
    assert np.mean(covered) >= 0.9


def test_the_range_is_the_beta_distribution_for_independent_cases():
    from scipy.stats import beta

    scores = np.random.default_rng(4).normal(size=99)
    low, high = promised_range(scores, threshold=conformal_threshold(scores, 0.05))
    assert (low, high) == pytest.approx(beta(5, 95).ppf([0.025, 0.975]))


def test_the_range_is_wider_where_patients_repeat_themselves():
    scores, groups = clustered(np.random.default_rng(5), 40, 10, correlation=0.9)
    low, high = promised_range(scores, threshold=1.5)
    low_groups, high_groups = promised_range(scores, threshold=1.5, groups=groups)
    assert high_groups - low_groups > 1.5 * (high - low)


def test_too_few_cases_name_the_number_and_the_way_out():
    with pytest.raises(InputError, match=r"with 10 calibration cases.* 0\.0909; hold out 19 given"):
        conformal_threshold(np.arange(10.0), 0.05)
    with pytest.raises(InputError, match=r"with 5 calibration patients.*hold out 9 given"):
        conformal_threshold(np.arange(50.0), 0.1, groups=np.arange(50) % 5)


@pytest.mark.parametrize(
    ("calibration", "max_fpr", "groups", "message"),
    [
        ([0.0, np.nan], 0.5, None, "number 1 .* is nan"),
        ([0.0, np.inf], 0.5, None, "number 1 .* is inf"),
        ([], 0.5, None, "shape"),
        ([0.0, 1.0], 0.0, None, "max_fpr is 0"),
        ([0.0, 1.0], 1.0, None, "max_fpr is 1"),
        ([0.0, 1.0], float("nan"), None, "max_fpr is nan"),
        ([0.0, 1.0], 0.5, ["a"], "1 groups but 2"),
    ],
)
def test_wrong_input_is_refused(calibration, max_fpr, groups, message):
    with pytest.raises(InputError, match=message):
        conformal_threshold(calibration, max_fpr, groups)


def test_a_threshold_of_another_detector_has_no_range():
    with pytest.raises(InputError, match="below every calibration score"):
        promised_range([1.0, 2.0], threshold=-5)
