"""Laws of intervals: none is a point, they cover what they say; and a word on few patients."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from midclass import InputError, ScoreTable, report
from midclass.evaluation.comparison import FIGURES, TaskComparison
from midclass.evaluation.exact import auroc_limits, binomial_limits, too_few
from midclass.evaluation.metrics import auroc, interval, share_interval
from midclass.evaluation.ranking import Ranked
from midclass.evaluation.report import false_alarms

AT_RATE = partial(Ranked.sensitivity_at_fpr, max_fpr=0.1)
ALL = [Ranked.auroc, Ranked.average_precision, AT_RATE]


def table(given_scores: list[float], target_scores: list[float], patients: int = 0) -> ScoreTable:
    """One case a patient, or so many patients in turn of each class."""
    n, m = len(given_scores), len(target_scores)
    who = [f"n{i % patients if patients else i}" for i in range(n)]
    who += [f"t{i % patients if patients else i}" for i in range(m)]
    return ScoreTable.of(
        [f"c{i}" for i in range(n + m)],
        who,
        [0] * n + [1] * m,
        [*given_scores, *target_scores],
        threshold=0.5,
    )


@pytest.mark.parametrize(
    ("found", "number"), [(0, 12), (1, 12), (12, 12), (3, 7), (0, 1), (50, 400)]
)
def test_a_share_of_one_case_a_patient_has_the_exact_interval(found: int, number: int) -> None:
    exact = binomtest(found, number).proportion_ci(method="exact")
    flagged = np.arange(number) < found
    assert share_interval(flagged, np.arange(number)) == pytest.approx((exact.low, exact.high))
    assert binomial_limits(found / number, number) == pytest.approx((exact.low, exact.high))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_interval_of_a_share_is_a_point_or_leaves_its_share_out(data: st.DataObject) -> None:
    n = data.draw(st.integers(1, 40))
    flagged = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    patients = np.array(data.draw(st.lists(st.integers(0, 8), min_size=n, max_size=n)))
    low, high = share_interval(flagged, patients)
    assert 0 <= low <= flagged.mean() + 1e-9
    assert flagged.mean() - 1e-9 <= high <= 1
    assert high - low > 0.05
    alone = binomial_limits(flagged.mean(), n)
    if len(set(patients)) < n and 0 < flagged.mean() < 1:
        assert high - low >= alone[1] - alone[0] - 1e-9  # never more than there are cases


def test_more_cases_of_the_same_patients_say_nothing_more_about_patients() -> None:
    flagged, patients = np.arange(12) < 3, np.arange(12)
    once = share_interval(flagged, patients)
    again = share_interval(np.tile(flagged, 10), np.tile(patients, 10))
    assert again[0] <= once[0] + 1e-9
    assert again[1] >= once[1] - 1e-9
    none = np.zeros(120, bool)
    assert share_interval(none, np.arange(120) % 12) == share_interval(none[:12], np.arange(12))


def test_the_interval_of_a_share_covers_as_often_as_it_says() -> None:
    """Patients of 1 to 10 cases that resemble each other, at a rate of 5 % and of 30 %."""
    rng = np.random.default_rng(0)
    for rate, patients in ((0.05, 15), (0.05, 60), (0.3, 15), (0.3, 60)):
        covered = []
        for _ in range(300):
            own = rng.beta(rate * 3, (1 - rate) * 3, patients)
            who = np.repeat(np.arange(patients), rng.integers(1, 11, patients))
            low, high = share_interval(rng.random(len(who)) < own[who], who)
            covered.append(low <= rate <= high)
        assert np.mean(covered) >= 0.92, (rate, patients)


@pytest.mark.parametrize("figure", ALL)
@pytest.mark.parametrize(
    ("given_", "target"), [(1, 1), (1, 40), (3, 3), (40, 1), (5, 60), (60, 60)]
)
def test_a_perfect_figure_is_no_certainty(figure: object, given_: int, target: int) -> None:
    y = np.repeat([0, 1], [given_, target])
    low, high = interval(figure, y, y.astype(float), np.arange(len(y)), n_resamples=50)  # type: ignore[arg-type]
    assert high == 1
    assert low < 1 - 1 / (given_ + target)
    wrong = interval(Ranked.auroc, y, -y.astype(float), np.arange(len(y)), n_resamples=50)
    assert wrong[0] == 0
    assert wrong[1] > 1 / (given_ + target)


@pytest.mark.parametrize("few", [1, 2, 3, 5])
def test_few_patients_of_a_class_give_a_wide_interval(few: int) -> None:
    rng = np.random.default_rng(1)
    y = np.repeat([0, 1], [40, 10 * few])
    who = np.append(np.arange(40), 100 + np.arange(10 * few) % few)
    s = rng.normal(size=len(y)) + 1.2 * y
    low, high = interval(Ranked.auroc, y, s, who, n_resamples=100)
    exact = auroc_limits(auroc(y, s), 40, few)
    assert low <= exact[0]
    assert high >= exact[1]
    assert high - low > 0.25


@settings(max_examples=150, deadline=None)
@given(st.floats(0, 1), st.integers(1, 200), st.integers(1, 200))
def test_the_exact_interval_of_an_auroc_contains_it_and_mirrors(
    area: float, given_: int, target: int
) -> None:
    low, high = auroc_limits(area, given_, target)
    assert 0 <= low <= area <= high <= 1
    assert high > low
    assert auroc_limits(1 - area, given_, target) == pytest.approx((1 - high, 1 - low), abs=1e-6)
    more = auroc_limits(area, given_ + 50, target + 50)
    assert more[1] - more[0] < high - low


def test_the_exact_interval_of_a_nearly_perfect_auroc_covers_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        s = np.append(rng.normal(size=8), rng.normal(size=5) + 3.0)
        low, high = interval(
            Ranked.auroc, np.repeat([0, 1], [8, 5]), s, np.arange(13), n_resamples=20
        )
        covered.append(low <= 0.98305 <= high)  # Phi(3 / sqrt(2))
    assert np.mean(covered) >= 0.93


def test_of_a_single_patient_nothing_is_known() -> None:
    y, s = np.array([0, 0, 1, 1]), np.array([0.0, 1, 2, 3])
    assert interval(Ranked.auroc, y, s, np.zeros(4)) == (0, 1)
    low, high = share_interval([True, False], [*"pp"])
    assert low < 0.1
    assert high > 0.9
    with pytest.raises(InputError, match="no case counts"):
        share_interval([True, False], [*"pq"], [False, False])


def test_an_evaluation_has_no_interval_of_width_zero_and_says_where_patients_are_few() -> None:
    with pytest.warns(UserWarning, match="2 target-class patients are few"):
        found = report(table([0.1] * 6 + [0.2] * 6, [0.9, 0.8]), 0.1)
    assert found["few_patients"] == too_few(12, 2)
    for name in ("auroc", "average_precision", "sensitivity", "false_alarm_rate"):
        assert found[name]["high"] - found[name]["low"] > 0.15, name
    assert found["share_not_assessed"]["given"]["high"] == pytest.approx(0.265, abs=1e-3)
    assert report(table([0.1, 0.2] * 20, [0.9] * 30), 0.1)["few_patients"] == ""


def test_a_rate_under_nuisance_of_no_alarm_is_no_certainty() -> None:
    names = [str(i) for i in range(12)]
    cases = ScoreTable.of(names, names, [0] * 12, [0.0] * 12, 0.5, extra={"gain -1": [0.0] * 12})
    for rates in false_alarms(cases).values():
        for rate in rates.values():
            assert (rate["low"], rate["high"]) == pytest.approx((0, 0.2646), abs=1e-3)


def test_a_comparison_of_few_or_perfect_detectors_is_no_certainty() -> None:
    rng = np.random.default_rng(0)
    perfect = table(rng.random(20).tolist(), (2 + rng.random(20)).tolist())
    again = table(rng.random(20).tolist(), (2 + rng.random(20)).tolist())
    both = TaskComparison.of({"a": {0: perfect}, "b": {0: again}}, resamples=50)
    for figure in FIGURES:
        found = both.estimate("a", figure)
        assert found.low < 0.95 < found.high == 1
    difference = both.difference("a", "b")
    assert difference.low < -0.05
    assert difference.high > 0.05
    assert difference.p_value == 1
    three = {
        name: {0: table(rng.random(30).tolist(), (shift + rng.random(3)).tolist())}
        for name, shift in (("good", 2.0), ("bad", 0.0))
    }
    few = TaskComparison.of(three, resamples=200)
    assert few.few.startswith("3 target-class patients are few")
    for name in three:
        found = few.estimate(name)
        assert found.high - found.low > 0.3
    assert few.difference("good", "bad").p_value > 0.001  # of 200 resamples none disagrees


def test_where_patients_are_many_intervals_are_those_of_resampling() -> None:
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], 40)
    s = rng.normal(size=80) + y
    from midclass.evaluation import bootstrap

    plain = bootstrap.interval(
        partial(Ranked.auroc, Ranked.of(y, s)),
        auroc(y, s),
        80,
        draw=bootstrap.one_by_one,
        n_resamples=100,
    )
    assert interval(Ranked.auroc, y, s, np.arange(80), n_resamples=100) == plain
