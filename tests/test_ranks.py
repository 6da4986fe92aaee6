"""Ranks over tasks: what few tasks can say, and what the diagram draws of it."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from scipy.stats import friedmanchisquare, wilcoxon

from midclass.evaluation import ranks
from midclass.evaluation.ranks import RankTest
from midclass.study import plots


def values(tasks: int, detectors: str, *, step: float = 0.05, noise: float = 0.0) -> dict:
    """Figures in which each detector is worse by ``step`` than the one before it."""
    rng = np.random.default_rng(0)
    return {
        f"task {number}": {
            name: 0.9 - step * place + rng.normal(0, noise) for place, name in enumerate(detectors)
        }
        for number in range(tasks)
    }


def made(pairs: dict[str, float], names: str = "abcd") -> RankTest:
    """A test of many tasks with these p-values of pairs; others are 1."""
    every = {pair: pairs.get("".join(pair), 1.0) for pair in combinations(names, 2)}
    return RankTest(20, {name: place + 1.0 for place, name in enumerate(names)}, 0.01, every)


@pytest.mark.parametrize(("tasks", "few"), [(2, True), (6, True), (7, False)])
def test_too_few_tasks_are_said_to_be_too_few_and_none_is_called_alike(
    tasks: int, few: bool
) -> None:
    found = RankTest.of(values(tasks, "abc"))  # one order in all tasks: no figures could say more
    assert found is not None
    assert found.too_few == few
    assert found.enough == 7
    assert min(found.pairs.values()) == pytest.approx(found.least_p)
    assert found.groups == []
    figure = plots.ranks(None, found, {name: name for name in "abc"}, "a")
    said = [text.get_text() for text in figure.axes[0].texts]
    assert any("too few" in text for text in said) == few


def test_groups_are_the_longest_runs_of_which_no_pair_differs() -> None:
    assert made({"ac": 0.01, "ad": 0.01}).groups == [("a", "b"), ("b", "c", "d")]
    assert made({"ab": 0.01, "bc": 0.049, "cd": 0.051}).groups == [("c", "d")]
    assert made({}).groups == [("a", "b", "c", "d")]  # and none that lies in another
    assert made({"ad": 0.01}).groups == [("a", "b", "c"), ("b", "c", "d")]


def test_a_bar_of_the_diagram_spans_the_ranks_of_its_group() -> None:
    test = made({"ac": 0.01, "ad": 0.01})
    axes = plots.ranks(None, test, dict(zip("abcd", "ABCD", strict=True)), "b").axes[0]
    bars = [line for line in axes.get_lines() if line.get_linewidth() == 4]
    spans = [np.round(line.get_xdata(), 1).tolist() for line in bars]
    assert spans == [[1.0, 2.0], [2.0, 4.0]]
    assert len({line.get_ydata()[0] for line in bars}) == 2  # none hides another
    own = [text for text in axes.texts if text.get_color() == plots.ACCENT]
    assert [text.get_text() for text in own] == ["B  2.0"]


def test_pairs_are_wilcoxon_with_holm_and_all_of_them_friedman() -> None:
    drawn = values(20, "abcd", step=0.02, noise=0.05)
    found = RankTest.of(drawn)
    assert found is not None
    columns = {name: np.array([one[name] for one in drawn.values()]) for name in "abcd"}
    single = {
        frozenset(pair): wilcoxon(columns[pair[0]], columns[pair[1]]).pvalue
        for pair in combinations("abcd", 2)
    }
    ordered = sorted(single.values())
    least = max(6 * ordered[0], 0)
    assert min(found.pairs.values()) == pytest.approx(least)
    assert max(found.pairs.values()) >= ordered[-1]
    for pair, p in found.pairs.items():
        assert single[frozenset(pair)] <= p <= 6 * single[frozenset(pair)] or p == 1
    assert found.p_all == pytest.approx(friedmanchisquare(*columns.values()).pvalue, abs=0.005)


def test_four_tasks_of_nothing_look_like_something_as_rarely_as_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranks, "PERMUTATIONS", 200)
    rng = np.random.default_rng(3)
    found = [ranks._friedman(rng.normal(size=(4, 6)), rng) for _ in range(400)]
    assert 0.02 <= np.mean(np.array(found) <= 0.05) <= 0.08
    same = np.tile([0.5, 0.5, 0.5], (4, 1))
    assert ranks._friedman(same, rng) == 1  # detectors that tie everywhere


def test_there_is_nothing_to_test_with_one_task_or_one_detector_of_all() -> None:
    assert RankTest.of({}) is None
    assert RankTest.of(values(1, "abc")) is None
    assert RankTest.of({"t": {"a": 0.9, "b": 0.8}, "u": {"a": 0.9, "c": 0.7}}) is None
