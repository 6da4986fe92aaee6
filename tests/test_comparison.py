"""Comparison of detectors: right where the answer is known, and paired by patient and repeat."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control, norm

from midclass import InputError, ScoreTable
from midclass.evaluation import metrics
from midclass.evaluation.comparison import (
    FIGURES,
    Difference,
    TaskComparison,
    _figures,
    _ranked,
    holm,
    mean_ranks,
)
from midclass.evaluation.ranking import Ranked
from midclass.evaluation.uncertainty import Chance


def tables(
    shift: float, *, repeats: int = 3, n: int = 120, seed: int = 0, noise: int = 1
) -> dict[int, ScoreTable]:
    """Normal scores whose target class lies higher; the same cases for one seed."""
    found = {}
    for repeat in range(repeats):
        label = np.random.default_rng((seed, repeat)).integers(0, 2, n)
        score = np.random.default_rng((seed, repeat, noise)).normal(size=n) + shift * label
        names = [f"c{i}" for i in range(n)]
        patients = [f"p{i // 2}" for i in range(n)]
        found[repeat] = ScoreTable.of(names, patients, label, score.round(2), 0.0)
    return found


def test_measured_figures_are_those_of_the_metrics() -> None:
    compared = TaskComparison.of({"a": tables(1.0)}, resamples=20)
    for table, figures in zip(tables(1.0).values(), compared.seen["a"], strict=True):
        y, s = table.label, table.score
        expected = [
            metrics.auroc(y, s),
            metrics.average_precision(y, s),
            metrics.sensitivity_at_fpr(y, s, 0.05),
            metrics.sensitivity_at_fpr(y, s, 0.10),
        ]
        np.testing.assert_allclose(figures, expected, rtol=1e-12)


def test_one_repeat_has_the_interval_of_the_patient_bootstrap() -> None:
    one = {0: tables(1.0)[0]}
    found = TaskComparison.of({"a": one}, resamples=4000).estimate("a")
    y, s, who = one[0].label, one[0].score, one[0].patient_id
    low, high = metrics.interval(Ranked.auroc, y, s, who, n_resamples=4000)
    assert found.low == pytest.approx(low, abs=0.01)
    assert found.high == pytest.approx(high, abs=0.01)


def test_a_resampled_figure_is_that_of_the_cases_repeated() -> None:
    table = tables(0.7)[0]
    patients = np.unique(table.patient_id)
    times = np.random.default_rng(5).integers(0, 3, (1, len(patients)))
    rows = np.repeat(np.arange(len(table)), times[0][np.searchsorted(patients, table.patient_id)])
    ranked = _ranked(table, patients)
    figures = _figures(ranked, times)[0]
    y, s = table.label[rows], table.score[rows]
    assert figures[0] == pytest.approx(metrics.auroc(y, s))
    assert figures[1] == pytest.approx(metrics.average_precision(y, s))
    assert figures[3] == pytest.approx(metrics.sensitivity_at_fpr(y, s, 0.10))
    assert figures[2] == pytest.approx(metrics.sensitivity_at_fpr(y, s, 0.05))


@given(st.integers(0, 2**32 - 1))
def test_the_area_of_a_resample_is_the_chance_of_pairs_with_ties_and_cases_not_assessed(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 30))
    score = np.where(rng.random(n) < 0.2, -np.inf, rng.integers(0, 5, n))
    patient, label = rng.integers(0, 6, n), np.arange(n) % 2
    times = rng.integers(0, 3, (7, 6))
    found = Ranked.of(label, score, patient).auroc(times, constant=0.5)
    for row, area in zip(times, found, strict=True):
        cases = np.repeat(np.arange(n), row[patient])
        given, target = (score[cases[label[cases] == one]] for one in (0, 1))
        above = (target[:, None] > given) + 0.5 * (target[:, None] == given)
        np.testing.assert_allclose(area, above.mean() if above.size else np.nan)


def test_a_better_detector_is_ahead_with_a_small_p_value_and_the_same_one_is_not() -> None:
    found = {"good": tables(2.0), "bad": tables(0.2, noise=2), "again": tables(2.0)}
    compared = TaskComparison.of(found, resamples=2000)
    ahead = compared.difference("good", "bad")
    assert ahead.low > 0.1
    assert ahead.p_value < 0.005
    same = compared.difference("good", "again")
    assert same[:4] == (0, 0, 0, 1)


def test_the_same_difference_is_surer_between_paired_scores() -> None:
    """The scores of one detector plus a little noise make a pair that fails on the same cases."""
    base = tables(1.0)
    near = {
        repeat: ScoreTable.of(
            t.case_id, t.patient_id, t.label, t.score + 0.1 * t.label, t.threshold
        )
        for repeat, t in base.items()
    }
    found = {"a": near, "b": base, "c": tables(0.9, noise=2)}
    compared = TaskComparison.of(found, resamples=1000)
    paired, unpaired = compared.difference("a", "b"), compared.difference("a", "c")
    assert paired.high - paired.low < 0.5 * (unpaired.high - unpaired.low)


@pytest.mark.slow
def test_under_no_difference_p_values_below_a_tenth_are_about_a_tenth() -> None:
    low = 0
    for seed in range(100):
        found = {"a": tables(1.0, n=80, seed=seed), "b": tables(1.0, n=80, seed=seed, noise=2)}
        low += TaskComparison.of(found, resamples=200).difference("a", "b").p_value < 0.1
    assert 2 <= low <= 18  # 10 expected


@pytest.mark.parametrize("between", [0.0, 0.02, 0.06])
def test_chance_between_few_repeats_is_not_taken_for_a_difference(between: float) -> None:
    """Plain quantiles of resamples of five repeats cover zero in 85 % where they promise 95 %."""
    rng = np.random.default_rng(int(1000 * between))
    covered, low, times = 0, 0, 400
    for _ in range(times):
        seen = rng.normal(0, 0.02) + rng.normal(0, between, 5) * (between > 0)
        often = rng.multinomial(5, [0.2] * 5, size=500)
        drawn = often @ seen / 5 + rng.normal(0, 0.02, 500)
        chance = Chance.of(seen, drawn)
        lowest, highest = chance.interval()
        covered += lowest <= 0 <= highest
        low += chance.p_value() < 0.05
    assert 0.91 < covered / times < 0.98
    assert 0.02 < low / times < 0.09


def test_repeats_that_agree_leave_the_interval_of_the_patients() -> None:
    drawn = np.random.default_rng(0).normal(0.8, 0.02, 4000)
    alone, many = Chance.of(np.array([0.8]), drawn), Chance.of(np.full(5, 0.8), drawn)
    assert alone.interval() == many.interval()
    np.testing.assert_allclose(alone.interval(), np.quantile(drawn, [0.025, 0.975]))


def test_an_interval_stays_among_the_values_that_a_figure_can_have() -> None:
    found = {"a": tables(6.0, n=30), "b": tables(-6.0, n=30, noise=2)}
    compared = TaskComparison.of(found, resamples=200)
    assert compared.estimate("a").high <= 1
    assert compared.estimate("b").low >= 0
    assert compared.difference("a", "b").high <= 1


def test_holm_agrees_with_its_definition_and_is_stricter_than_the_false_discovery_rate() -> None:
    p_values = [0.001, 0.04, 0.03, 0.2, 0.009]
    raw = {("t", str(i)): Difference(0.1, 0, 0.2, p) for i, p in enumerate(p_values)}
    corrected = np.array([one.corrected for one in holm(raw).values()])
    np.testing.assert_allclose(corrected, [0.005, 0.09, 0.09, 0.2, 0.036])
    assert np.all(corrected >= false_discovery_control(p_values) - 1e-12)


def test_ranks_count_only_detectors_that_every_task_has() -> None:
    values = {"t": {"a": 0.9, "b": 0.8, "c": 0.95}, "u": {"a": 0.6, "b": 0.7}}
    assert mean_ranks(values) == {"a": 1.5, "b": 1.5}


def test_other_cases_or_repeats_are_refused() -> None:
    with pytest.raises(InputError, match=r"b has the repeats \[0, 1\], a has \[0, 1, 2\]"):
        TaskComparison.of({"a": tables(1.0), "b": tables(1.0, repeats=2)})
    with pytest.raises(InputError, match="repeat 0: b and a scored other cases"):
        TaskComparison.of({"a": tables(1.0), "b": tables(1.0, seed=1)})


def test_more_cases_make_the_interval_narrower() -> None:
    width = {}
    for n in (60, 600):
        found = TaskComparison.of({"a": tables(1.0, n=n)}, resamples=500).estimate("a")
        width[n] = found.high - found.low
        assert abs(found.value - norm.cdf(1 / 2**0.5)) < 3 * width[n]
    assert width[600] < 0.6 * width[60]


def test_a_cohort_of_one_patient_a_class_still_has_figures() -> None:
    table = ScoreTable.of(["a", "b", "c"], ["p", "q", "r"], [0, 0, 1], [0.1, 0.2, 0.3])
    found = TaskComparison.of({"a": {0: table}}, resamples=200)
    assert np.isnan(found.drawn["a"]["auroc"]).any()  # draws without a target-class patient
    value, low, high, _ = found.estimate("a")
    assert (value, low < 0.5, high) == (1.0, True, 1.0)
    assert len(FIGURES) == found.seen["a"].shape[1]


def test_the_spread_over_repeats_is_the_standard_deviation_of_a_sample() -> None:
    compared = TaskComparison.of({"a": tables(1.0, repeats=4)}, resamples=20)
    assert compared.estimate("a").spread == pytest.approx(compared.seen["a"][:, 0].std(ddof=1))
    alone = TaskComparison.of({"a": tables(1.0, repeats=1)}, resamples=20)
    assert np.isnan(alone.estimate("a").spread)
