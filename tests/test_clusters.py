"""Several cases of a patient say less than as many patients: the promise, and what watches it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import norm

import makers
from midclass import Detector, Prepared, ScoreTable, load_detector, prepare_array
from midclass.cli.console import tell_promise
from midclass.detectors.baselines.pca import PCA
from midclass.detectors.card import CARD
from midclass.detectors.folder import ABOUT
from midclass.evaluation.clusters import independent_cases, thinned
from midclass.evaluation.conformal import aim, conformal_threshold, promised_range
from midclass.evaluation.drift import Baseline, drift

SCORES = st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=40)


def drawn(
    patients: int, each: int, alike: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Normal scores that correlate so much within patients, and whose they are."""
    who = np.repeat(np.arange(patients), each)
    own = rng.normal(size=patients)[who]
    return alike**0.5 * own + (1 - alike) ** 0.5 * rng.normal(size=len(who)), who


@given(SCORES)
def test_cases_of_as_many_patients_are_independent(scores: list[float]) -> None:
    assert independent_cases(scores, np.arange(len(scores))) == len(scores)


@given(st.lists(st.integers(-50, 50), min_size=2, max_size=12, unique=True), st.integers(1, 9))
def test_the_same_case_again_is_worth_nothing(scores: list[int], times: int) -> None:
    again, who = np.repeat(scores, times), np.repeat(np.arange(len(scores)), times)
    assert independent_cases(again, who) == pytest.approx(len(scores))


@settings(deadline=None)
@given(SCORES, st.data())
def test_cases_count_between_one_and_all_whatever_their_order(
    scores: list[float], data: st.DataObject
) -> None:
    names = st.lists(st.sampled_from("abcde"), min_size=len(scores), max_size=len(scores))
    who = np.array(data.draw(names))
    number = independent_cases(scores, who)
    assert 1 - 1e-9 <= number <= len(scores)
    order = np.array(data.draw(st.permutations(range(len(scores)))))
    assert independent_cases(np.array(scores)[order], who[order]) == pytest.approx(number)


def test_a_single_patient_counts_once() -> None:
    assert independent_cases([1.0, 5.0, 2.0, 4.0], ["a"] * 4) == pytest.approx(1.0)


def test_cases_of_a_patient_that_are_not_alike_count_as_nearly_all() -> None:
    scores, who = drawn(40, 10, 0.0, np.random.default_rng(0))
    assert independent_cases(scores, who) > 330


@settings(deadline=None)
@given(st.integers(1, 60), st.floats(0.5, 80))
def test_thinned_scores_are_spread_as_all_are(n: int, number: float) -> None:
    scores = np.arange(float(n))
    kept = thinned(scores, number)
    assert len(kept) == min(n, max(1, round(number)))
    assert (np.diff(kept) > 0).all()
    assert abs(kept.mean() - scores.mean()) <= 0.5


@pytest.mark.parametrize(("patients", "each", "alike"), [(6, 12, 0.8), (12, 30, 0.5), (60, 5, 0.5)])
def test_the_interval_of_a_rate_holds_the_rate_where_patients_have_several_cases(
    patients: int, each: int, alike: float
) -> None:
    """Counted as independent, as they were, they held it in .59, .55 and .85 of simulations."""
    rng, held = np.random.default_rng(1), 0
    for _ in range(200):
        scores, who = drawn(patients, each, alike, rng)
        threshold = conformal_threshold(scores, 0.05)
        number = independent_cases(scores, who)
        low, high = promised_range(scores, threshold=threshold, independent=number)
        held += low <= norm.sf(threshold) <= high
    assert held >= 178


def clustered(independent: bool, rng: np.random.Generator) -> tuple[Baseline, ScoreTable]:
    """A calibration by 8 patients of 12 cases, and a table of others of the same kind."""
    scores, who = drawn(8, 12, 0.7, rng)
    number = independent_cases(scores, who) if independent else None
    threshold = conformal_threshold(scores, 0.05)
    now, whose = drawn(40, 3, 0.7, rng)
    names = np.arange(len(now)).astype(str)
    table = ScoreTable.of(names, whose.astype(str), np.full(len(now), -1), now)
    return Baseline(np.sort(scores), threshold, 0.05, len(scores), 0, number), table


def test_no_drift_is_found_where_patients_have_several_cases_and_nothing_differs() -> None:
    rng = np.random.default_rng(2)
    found = {True: 0, False: 0}
    for _ in range(100):
        for independent in found:
            before, table = clustered(independent, rng)
            found[independent] += any(row.differs for row in drift({"now": table}, before))
    assert found[True] <= 9
    assert found[False] > 25  # as it was: one call in three


def test_drift_is_still_found_where_patients_have_several_cases() -> None:
    before, table = clustered(True, np.random.default_rng(3))
    moved = ScoreTable.of(table.case_id, table.patient_id, table.label, table.score + 2.5)
    (row,) = drift({"now": moved}, before)
    assert row.differs


def given_class(patients: int, each: int) -> Prepared:
    """Discs, so many of each patient, whose brightness is the patient's own."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(patients), each)
    images = makers.discs(len(who), seed=1)
    images = (images * rng.uniform(0.5, 1.0, patients)[who][:, None, None, None]).clip(0, 1)
    return prepare_array(
        images.astype(np.float32),
        spacing_mm=2.0,
        recipe=RECIPE,
        patients=[f"p{n}" for n in who],
        label=0,
    )


RECIPE = makers.recipe(
    budget={"standardise": False}, intensity={"rule": "none"}, anatomy="anatomy.foreground"
)


@pytest.fixture(scope="module")
def of_few() -> Detector:
    return PCA(RECIPE).fit(given_class(20, 12), max_fpr=0.05, folds=0)


def test_a_rate_is_aimed_at_where_few_patients_set_the_threshold(
    of_few: Detector, capsys: pytest.CaptureFixture[str]
) -> None:
    promise = of_few.promise()
    patients = of_few.patients_["calibrate"]
    assert patients <= promise["independent"] < 19 < len(of_few.calibration_)
    assert aim(promise) == "aimed at"
    assert promise["high"] > 0.15
    tell_promise(promise)
    said = " ".join(capsys.readouterr().out.split())
    assert "aimed at at most 5.0% false alarms; not promised" in said
    assert f"count as {promise['independent']:.0f} independent ones, of which it takes 19" in said
    assert "Calibrate with more patients" in said


def test_a_rate_is_promised_as_before_where_each_patient_has_one_case() -> None:
    detector = PCA(RECIPE).fit(given_class(120, 1), max_fpr=0.05, folds=0)
    promise = detector.promise()
    assert aim(promise) == "promised"
    assert "independent" not in promise
    low, high = promised_range(detector.calibration_, threshold=detector.threshold_)
    assert (promise["low"], promise["high"]) == (low, high)


def test_nothing_is_proven_of_folds_whose_patients_have_several_cases() -> None:
    alone, several = (
        PCA(RECIPE).fit(given_class(40 // each, each), max_fpr=0.2, folds=4) for each in (1, 4)
    )
    assert "guaranteed" in alone.promise()
    assert "guaranteed" not in several.promise()
    assert several.promise()["independent"] < 40


def test_what_cases_count_as_is_saved_and_on_the_card(of_few: Detector, tmp_path: Path) -> None:
    of_few.save(tmp_path / "det")
    again = load_detector(tmp_path / "det")
    assert again.promise() == of_few.promise()
    card = (tmp_path / "det" / CARD).read_text()
    assert "false-alarm rate aimed at" in card
    assert f"count as {of_few.promise()['independent']:.0f} independent ones" in card
    assert "The promise is for" not in card


def test_a_detector_of_before_promises_as_it_did(of_few: Detector, tmp_path: Path) -> None:
    of_few.save(tmp_path / "det")
    file = tmp_path / "det" / ABOUT
    fields = json.loads(file.read_text())
    del fields["independent"], fields["sha256"]
    file.write_text(json.dumps(fields))
    assert "independent" not in load_detector(tmp_path / "det").promise()
