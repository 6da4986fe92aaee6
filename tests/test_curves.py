"""Curves, subgroups and ranks: what a page draws is what the metrics say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import midclass
from makers import Brightness, discs, recipe
from midclass import Recipe, ScoreTable, prepare_array
from midclass.detectors.about import about, in_words
from midclass.evaluation import metrics
from midclass.evaluation.comparison import mean_ranks
from midclass.evaluation.curves import GRID, measured_rate, precision_band, roc_band
from midclass.evaluation.ranks import rank_limits
from midclass.evaluation.subgroups import subgroups

SHIPPED = Path(midclass.__file__).parent / "recipe" / "shipped"


def scores(seed: int, n: int = 24, ties: int = 6) -> ScoreTable:
    """Cases with many equal scores, of patients with two each."""
    rng = np.random.default_rng(seed)
    label = np.r_[0, 1, rng.integers(0, 2, n - 2)]
    score = rng.integers(0, ties, n) + label
    patients = [f"p{i // 2}" for i in range(n)]
    p_value = {"p_value": (1 + rng.integers(0, 20, n)) / 21}
    name = np.where(label == 1, np.where(np.arange(n) % 2 == 1, "mass", "node"), "")
    return ScoreTable.of(np.arange(n), patients, label, score, 4.5, name, p_value)


@given(st.integers(0, 10_000))
def test_the_roc_curve_at_a_rate_is_the_sensitivity_at_that_rate(seed: int) -> None:
    table = scores(seed)
    if len(set(table.score)) < 2:
        return
    found = roc_band(table, n_resamples=4)
    for place in (3, 20, 50, 88):
        expected = metrics.sensitivity_at_fpr(table.label, table.score, float(GRID[place]))
        assert found.value[place] == pytest.approx(expected)


@given(st.integers(0, 10_000))
def test_bands_hold_their_curves_and_widen_no_further_than_0_and_1(seed: int) -> None:
    table = scores(seed)
    for band in (roc_band(table, n_resamples=8), precision_band(table, n_resamples=8)):
        if band.known:
            assert (band.low <= band.value).all()
            assert (band.value <= band.high).all()
            assert band.low.min() >= 0
            assert band.high.max() <= 1


def test_few_patients_have_a_curve_and_no_band() -> None:
    table = ScoreTable.of([*"abcd"], [*"pqrs"], [0, 0, 1, 1], [1, 2, 3, 4])
    assert not roc_band(table).known
    assert roc_band(table).value.tolist() == [1.0] * len(GRID)


@given(st.integers(0, 10_000))
def test_the_precision_at_full_sensitivity_is_that_of_the_lowest_hit(seed: int) -> None:
    table = scores(seed)
    flagged = table.score >= table.score[table.label == 1].min()
    expected = (table.label[flagged] == 1).mean()
    assert precision_band(table, n_resamples=2).value[-1] == pytest.approx(expected)


def test_the_measured_rate_is_that_of_the_flags_at_the_promised_one() -> None:
    table = scores(1)
    given = table.take(table.label == 0)
    rates = np.array([0.1, 0.5, 1.0])
    found = measured_rate(table, rates)
    assert found.value.tolist() == [(given.extra["p_value"] <= rate).mean() for rate in rates]
    limits = metrics.share_interval(given.extra["p_value"] <= 0.5, given.patient_id)
    assert (found.low[1], found.high[1]) == limits


def test_findings_share_all_normals_and_add_up_to_the_target_class() -> None:
    table = scores(2, 60)
    parts = [one for one in subgroups(table) if one.by == "finding"]
    assert [one.name for one in parts] == ["mass", "node"]
    assert {one.given for one in parts} == {int((table.label == 0).sum())}
    assert sum(one.target for one in parts) == (table.label == 1).sum()
    areas = metrics.per_class(table.label, table.score, table.class_name)
    assert {one.name: one.auroc.value for one in parts if one.auroc} == pytest.approx(areas)
    assert all(one.false_alarm_rate is None for one in parts)


def test_groups_by_a_column_of_words_have_the_rates_of_their_own_cases() -> None:
    table = scores(3, 60)
    site = np.where(np.arange(60) < 40, "north", "south")
    divided = ScoreTable.of(
        table.case_id, table.patient_id, table.label, table.score, 4.5, extra={"site": site}
    )
    found = {one.name: one for one in subgroups(divided) if one.by == "site"}
    for name, one in found.items():
        given = (site == name) & (table.label == 0)
        assert one.false_alarm_rate is not None
        assert one.false_alarm_rate.value == pytest.approx((table.score[given] > 4.5).mean())
    assert set(found) == {"north", "south"}


def test_ranks_lie_within_their_limits_where_resamples_are_the_figures() -> None:
    rng = np.random.default_rng(0)
    drawn = {t: {name: rng.random(99) + i for i, name in enumerate("abc")} for t in ("s", "t")}
    drawn["t"]["only here"] = np.ones(99)
    limits = rank_limits(drawn)
    measured = mean_ranks({t: {n: float(v.mean()) for n, v in d.items()} for t, d in drawn.items()})
    assert set(limits) == set(measured) == {"a", "b", "c"}
    assert all(limits[name][0] <= measured[name] <= limits[name][1] for name in limits)


@pytest.mark.parametrize("file", sorted(SHIPPED.glob("*.yaml")), ids=lambda file: file.stem)
def test_each_shipped_recipe_is_told_in_words(file: Path) -> None:
    loaded = Recipe.load(file.stem)
    told = in_words(loaded)
    names = [one["name"].replace(" ", "_") for one in told["knowledge"]]
    assert names == [*loaded.middle_classes, *loaded.held_out]
    assert all(one["made_of"] for one in told["knowledge"])
    assert file.stem == "blank" or all(one["why"] for one in told["knowledge"])
    assert "_mm" not in json.dumps([one["how"] for one in told["knowledge"]])


def test_a_detector_tells_of_itself_neither_scores_of_cases_nor_weights(tmp_path: Path) -> None:
    given = prepare_array(discs(60, 0), recipe())
    fitted = Brightness(recipe()).fit(given, max_fpr=0.2)
    fitted.save(tmp_path / "d")
    told = about(fitted, tmp_path / "d")
    assert told["calibrated"] == {"cases": 12, "patients": 12}
    assert told["cases"] == fitted.cases_
    assert told["id"] == fitted.origin_.id
    assert json.dumps(told).find(repr(float(fitted.calibration_[0]))) == -1
