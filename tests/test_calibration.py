"""The promise of a threshold: laws for any scores, and simulated false-alarm rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from midclass import InputError
from midclass.evaluation.conformal import (
    conformal_p_values,
    conformal_threshold,
    promised_range,
    refuse_too_few,
)

few_values = st.integers(-3, 3).map(float) | st.just(-np.inf)  # ties are the rule
any_value = st.floats(allow_nan=False, max_value=1e300)


@st.composite
def calibrations(draw):
    m = draw(st.integers(1, 40))
    return draw(arrays(float, m, elements=draw(st.sampled_from([few_values, any_value]))))


@settings(deadline=None)
@given(calibrations(), arrays(float, 12, elements=few_values), st.floats(0.01, 0.99))
def test_a_case_is_flagged_exactly_where_its_p_value_is_within_the_rate(
    calibration, scores, max_fpr
):
    p = conformal_p_values(calibration, scores)
    try:
        threshold = conformal_threshold(calibration, max_fpr)
    except InputError:
        assert (p > max_fpr).all()
    else:
        assert ((scores > threshold) == (p <= max_fpr)).all()


@settings(deadline=None)
@given(calibrations(), arrays(float, 12, elements=any_value))
def test_p_values_fall_as_scores_rise(calibration, scores):
    p = conformal_p_values(calibration, np.sort(scores))
    assert (np.diff(p) <= 0).all()
    assert ((p > 0) & (p <= 1)).all()


@settings(deadline=None)
@given(arrays(float, st.integers(1, 60), elements=few_values), st.integers(1, 99))
def test_the_threshold_is_the_order_statistic_of_the_textbook(calibration, percent):
    m = len(calibration)
    k = m + 1 - (percent * (m + 1)) // 100  # ceil((1 - rate)(m + 1)) in whole numbers
    assume(k <= m)
    assert conformal_threshold(calibration, percent / 100) == np.sort(calibration)[k - 1]


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


def test_for_new_patients_of_several_cases_the_rate_is_a_little_above_the_promised_one():
    from scipy.stats import norm

    rng = np.random.default_rng(3)
    patient = np.repeat(np.arange(12), 30)
    rates = []
    for _ in range(4000):
        scores = np.sqrt(0.5) * (rng.normal(size=12)[patient] + rng.normal(size=len(patient)))
        rates.append(norm.sf(conformal_threshold(scores, 0.1)))
    assert 0.1 < np.mean(rates) < 0.12


def test_the_range_is_the_beta_distribution_for_independent_cases():
    from scipy.stats import beta

    scores = np.random.default_rng(4).normal(size=99)
    low, high = promised_range(scores, threshold=conformal_threshold(scores, 0.05))
    assert (low, high) == pytest.approx(beta(5, 95).ppf([0.025, 0.975]))


def test_too_few_cases_name_the_number_and_the_way_out():
    with pytest.raises(InputError, match=r"with 10 calibration cases.* 0\.0909; hold out 19 given"):
        conformal_threshold(np.arange(10.0), 0.05)
    with pytest.raises(InputError, match=r"19 given-class cases or raise max_fpr to 0\.091$"):
        refuse_too_few(10, 0.05)
    with pytest.raises(InputError, match=r"cases .about 95 in all. or raise max_fpr to 0\.112$"):
        refuse_too_few(8, 0.05, share=0.2)


@pytest.mark.parametrize(
    ("calibration", "max_fpr", "message"),
    [
        ([0.0, np.nan], 0.5, "number 1 .* is nan"),
        ([0.0, np.inf], 0.5, "number 1 .* is inf"),
        ([], 0.5, "shape"),
        ([0.0, 1.0], 0.0, "max_fpr is 0"),
        ([0.0, 1.0], 1.0, "max_fpr is 1"),
        ([0.0, 1.0], float("nan"), "max_fpr is nan"),
    ],
)
def test_wrong_input_is_refused(calibration, max_fpr, message):
    with pytest.raises(InputError, match=message):
        conformal_threshold(calibration, max_fpr)


def test_a_threshold_of_another_detector_has_no_range():
    with pytest.raises(InputError, match="below every calibration score"):
        promised_range([1.0, 2.0], threshold=-5)
