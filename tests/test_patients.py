"""Patients, not slices: thresholds over patients, and a row for each of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makers import discs, phantom_folder, recipe, tiny_phantoms, typed
from midclass import Prepared, ScoreTable, load_detector, prepare_array
from midclass.detectors.baselines.pca import PCA
from midclass.detectors.saved import id_of
from midclass.evaluation.calibrated import CalibratedPatients
from midclass.evaluation.conformal import conformal_p_values
from midclass.evaluation.patients import patient_table, series_table, with_more_cases

RECIPE = recipe(budget={"standardise": False})
SLICES = 8
TENTHS = CalibratedPatients(np.arange(30.0) / 10)


def of_patients(patients: int, seed: int, each: int = SLICES) -> Prepared:
    """Patients of so many slices, which resemble each other."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.01, (patients, 1, 1, 32, 32)).repeat(each, 1)
    images = discs(patients * each, seed) + noise.reshape(-1, 1, 32, 32)
    samples = prepare_array(images.clip(0, 1).astype(np.float32), RECIPE, spacing_mm=1.0)
    cases = [replace(case, patient_id=f"p{n // each:03d}") for n, case in enumerate(samples.cases)]
    return replace(samples, cases=replace(samples.cases, cases=tuple(cases)))


def table_of(detector: PCA, samples: Prepared) -> ScoreTable:
    names = [case.case_id for case in samples.cases]
    patients = [case.patient_id for case in samples.cases]
    scores = detector.score_samples(samples)
    label = np.zeros(len(names), np.int64)
    return ScoreTable.of(names, patients, label, scores, threshold=detector.threshold_)


def test_the_promise_is_kept_by_patient_where_that_by_slice_flags_most_of_them() -> None:
    slices, patients = [], []
    for seed in range(2):
        detector = PCA(RECIPE).fit(of_patients(120, seed), max_fpr=0.1)
        assert isinstance(detector, PCA)
        table = table_of(detector, of_patients(60, seed=50 + seed))
        names = np.unique(table.patient_id)
        slices.append(np.mean([table.flagged[table.patient_id == one].any() for one in names]))
        each = patient_table(table, detector.patient_calibration_, 0.1)
        assert len(each) == 60
        patients.append(each.flagged.mean())
    assert np.mean(slices) > 0.25
    assert 0.02 < np.mean(patients) < 0.17


def test_the_calibration_of_patients_is_saved(tmp_path: Path) -> None:
    detector = PCA(RECIPE).fit(of_patients(60, seed=0), max_fpr=0.1)
    assert len(detector.patient_calibration_) == detector.patients_["calibrate"] == 12
    detector.save(tmp_path / "d")
    known, again = detector.patient_calibration_, load_detector(tmp_path / "d").patient_calibration_
    np.testing.assert_array_equal(again.scores, known.scores)
    assert [list(one) for one in again.fewer] == [list(one) for one in known.fewer]
    assert [len(one) for one in again.fewer] == [12, 12]
    assert again.most == known.most == SLICES


def test_too_few_patients_for_a_rate_flag_nobody_and_call_nobody_normal() -> None:
    cases = ScoreTable.of([*"abcd"], [*"ppqq"], [0, 0, 1, 1], [1, 2, 3, 9])
    table = patient_table(cases, CalibratedPatients(np.array([0.0, 1.0])), max_fpr=0.1)
    assert np.isnan(table.threshold).all()
    assert set(table.columns()["flagged"].tolist()) == {""}
    assert table.extra["p_value"].tolist() == [1 / 3, 1 / 3]
    nobody = patient_table(cases, CalibratedPatients(np.empty(0)), max_fpr=0.1)
    assert np.isnan(nobody.extra["p_value"]).all()


@pytest.mark.parametrize("calibrated", [0, 2])
def test_where_patients_have_no_threshold_a_person_looks_at_those_with_a_flagged_case(
    tmp_path: Path, calibrated: int
) -> None:
    score = [1, 5, 1, 2, np.nan, 1, np.nan]
    cases = ScoreTable.of([*"abcdefg"], [*"ppqqrrs"], [0] * 7, score, threshold=4.0)
    table = patient_table(cases, CalibratedPatients(np.arange(float(calibrated))), max_fpr=0.1)
    assert table.extra["cases_flagged"].tolist() == [1, 0, 0, 0]
    assert table.columns()["flagged"].tolist() == ["", "", "", ""]
    assert table.review.tolist() == [True, False, False, True]  # the last was not assessed
    table.write(tmp_path / "patients.csv")
    assert ScoreTable.read(tmp_path / "patients.csv").review.tolist() == table.review.tolist()
    left = patient_table(
        replace(cases, not_assessed="leave"), CalibratedPatients(np.empty(0)), max_fpr=0.1
    )
    assert left.review.tolist() == [True, False, False, False]


def test_where_patients_have_a_threshold_it_alone_says_who_is_looked_at() -> None:
    cases = ScoreTable.of([*"abcd"], [*"ppqq"], [0] * 4, [1, 5, 50, 60], threshold=4.0)
    table = patient_table(cases, CalibratedPatients(np.arange(30.0)), max_fpr=0.1)
    assert table.extra["cases_flagged"].tolist() == [1, 2]
    assert table.review.tolist() == table.flagged.tolist() == [False, True]


def test_a_patient_with_many_more_cases_than_those_who_calibrated_is_not_flagged() -> None:
    """The highest of many are higher: of normal ones half were flagged, 5 % promised."""
    score = [1, 2, 50, *[1] * 9, 60, *[2] * 3, *[np.nan] * 8]
    whose = [*"p" * 12, *"q" * 12]
    cases = ScoreTable.of([str(k) for k in range(24)], whose, [0] * 24, score, threshold=55.0)
    usual = patient_table(cases, TENTHS, max_fpr=0.1)
    assert usual.flagged.tolist() == [True, True]
    assert with_more_cases(usual, TENTHS) == ""
    table = patient_table(cases, usually := replace(TENTHS, most=4), 0.1)
    assert table.columns()["flagged"].tolist() == ["", "1"]  # four of the second are assessed
    assert np.isnan(table.extra["p_value"]).tolist() == [True, False]
    assert table.review.tolist() == [False, True]
    assert table.assessed.all()
    assert with_more_cases(table, usually).startswith("1 patient has many more cases than those")
    nearly = patient_table(cases, many := replace(TENTHS, most=10), 0.1)
    assert nearly.flagged.tolist() == [True, True]
    assert with_more_cases(nearly, many) == ""
    series = series_table(cases, ["s"] * 3 + ["t"] * 21, usually, 0.1)
    assert series.columns()["flagged"].tolist() == ["", ""]


def test_one_who_calibrated_with_many_cases_does_not_speak_for_them() -> None:
    counts = [2] * 59 + [60]
    whose = np.repeat([f"p{k:02}" for k in range(60)], counts)
    assert CalibratedPatients.of(np.zeros(len(whose)), whose).most == 2
    assert CalibratedPatients.of(np.zeros(40), np.repeat([*"abcdefghij"], 4)).most == 4
    assert len(CalibratedPatients.of([np.nan] * 3, [*"aab"])) == 0


@pytest.mark.parametrize(("cases", "flagged"), [(1, "1"), (3, "1"), (4, ""), (5, "")])
def test_up_to_three_cases_are_a_mean_and_no_highest_of_many(cases: int, flagged: str) -> None:
    """Left and right of one who comes to where one image of each calibrated."""
    table = ScoreTable.of([str(k) for k in range(cases)], ["p"] * cases, [0] * cases, [9] * cases)
    found = patient_table(table, replace(TENTHS, most=1), 0.1)
    assert found.columns()["flagged"].tolist() == [flagged]


@pytest.mark.parametrize(("cases", "flagged"), [(5, "1"), (6, "")])
def test_a_quarter_more_cases_are_judged_and_one_more_is_not(cases: int, flagged: str) -> None:
    table = ScoreTable.of([str(k) for k in range(cases)], ["p"] * cases, [0] * cases, [9] * cases)
    found = patient_table(table, replace(TENTHS, most=4), 0.1)
    assert found.columns()["flagged"].tolist() == [flagged]


@pytest.mark.parametrize("cases", [1, 2, 3])
def test_the_promise_is_kept_for_patients_with_fewer_cases_than_those_who_calibrated(
    cases: int,
) -> None:
    """One image scatters more than the mean of three: every sixth was flagged, 5 % promised."""
    rng, rates, plainly = np.random.default_rng(0), [], []
    whose, new = np.repeat(np.arange(200), 3), np.repeat(np.arange(500), cases)
    for _ in range(12):
        known = CalibratedPatients.of(rng.normal(size=len(whose)), whose)
        names, score = [str(k) for k in range(len(new))], rng.normal(size=len(new))
        table = ScoreTable.of(names, new.astype(str), [0] * len(new), score)
        found = patient_table(table, known, 0.05)
        rates.append(found.flagged.mean())
        plainly.append(patient_table(table, replace(known, fewer=()), 0.05).flagged.mean())
        assert not np.isnan(found.threshold).any()
        judged = found.extra["p_value"] <= 0.05
        assert judged.tolist() == found.flagged.tolist()
    assert 0.03 < np.mean(rates) < 0.07
    assert (np.mean(plainly) > 0.07) == (cases != 3)


def test_patients_of_few_cases_who_calibrate_set_those_of_many_apart_from_no_promise() -> None:
    """Of one and of twenty images: those of twenty had theirs twice as often as promised."""
    rng, rates = np.random.default_rng(0), []
    counts = np.tile([1, 20], 100)
    whose = np.repeat(np.arange(200), counts)
    for _ in range(12):
        known = CalibratedPatients.of(rng.normal(size=len(whose)), whose)
        names, score = [str(k) for k in range(len(whose))], rng.normal(size=len(whose))
        table = ScoreTable.of(names, whose.astype(str), [0] * len(whose), score)
        found = patient_table(table, known, 0.05)
        rates.append([found.flagged[found.extra["cases"] == one].mean() for one in (1, 20)])
    assert (np.mean(rates, axis=0) < 0.07).all()


def test_patients_who_calibrate_are_the_same_in_any_order_of_their_cases() -> None:
    rng = np.random.default_rng(0)
    scores, whose = rng.normal(size=60), np.repeat(np.arange(20), 3)
    order = rng.permutation(60)
    known, again = (CalibratedPatients.of(scores[k], whose[k]) for k in (slice(None), order))
    assert known.to_json() == again.to_json()
    assert all(len(one) == 20 for one in known.fewer)
    assert np.isin(known.fewer[0], scores).all()
    assert len(set(known.fewer[0]) & set(scores.reshape(20, 3).max(1))) < 15  # drawn, not highest


def test_detectors_that_judge_other_patients_have_other_ids() -> None:
    detector = PCA(RECIPE).fit(of_patients(60, seed=0, each=2), max_fpr=0.1)
    before = id_of(detector)
    detector.patient_calibration_ = replace(detector.patient_calibration_, most=9)
    assert id_of(detector) != before


def test_normal_patients_with_many_cases_are_not_flagged_against_the_promise() -> None:
    """As typed after a scanner was changed to thin slices."""
    detector = PCA(RECIPE).fit(of_patients(60, seed=0, each=2), max_fpr=0.1)
    known = detector.patient_calibration_
    assert known.most == 2
    many = table_of(detector, of_patients(20, seed=60, each=16))
    assert patient_table(many, replace(known, most=None), 0.1).flagged.mean() > 0.25
    table = patient_table(many, known, 0.1)
    assert not table.flagged.any()
    assert with_more_cases(table, known).startswith("20 patients have many more cases")
    same = table_of(detector, of_patients(40, seed=61, each=2))
    assert not np.isnan(patient_table(same, known, 0.1).threshold).any()


def test_of_a_series_that_is_not_judged_a_person_looks_at_flagged_cases() -> None:
    cases = ScoreTable.of([*"abcd"], [*"pppp"], [0] * 4, [1, 2, 9, 3], threshold=4.0)
    known = CalibratedPatients(np.arange(40.0))
    found = series_table(cases, ["s", "s", "t", "s"], known, max_fpr=0.1)
    assert found.columns()["flagged"].tolist() == ["0", ""]
    assert found.columns()["review"].tolist() == ["0", "1"]


def test_a_patient_of_whom_nothing_could_be_assessed_is_not_assessed() -> None:
    cases = ScoreTable.of([*"abcd"], [*"ppqq"], [0, -1, -1, -1], [np.nan, np.nan, 3, np.nan])
    table = patient_table(cases, CalibratedPatients(np.arange(30.0)), max_fpr=0.1)
    assert table.assessed.tolist() == [False, True]
    assert table.review.tolist() == [True, False]
    assert table.label.tolist() == [0, -1]
    assert table.extra["cases_not_assessed"].tolist() == [2, 1]


@given(
    scores=st.lists(st.floats(-5, 5), min_size=1, max_size=30),
    calibration=st.lists(st.floats(-5, 5), min_size=1, max_size=40),
)
def test_patients_of_one_case_have_what_their_case_has(
    scores: list[float], calibration: list[float]
) -> None:
    names = [f"{number:02d}" for number in range(len(scores))]
    cases = ScoreTable.of(names, names, [0] * len(scores), scores)
    table = patient_table(cases, CalibratedPatients(np.sort(calibration)), max_fpr=0.5)
    np.testing.assert_allclose(table.score, scores)
    np.testing.assert_array_equal(
        table.extra["p_value"], conformal_p_values(calibration, table.score)
    )
    known = CalibratedPatients.of(scores, names)
    for one in (known.scores, *known.fewer):
        np.testing.assert_array_equal(one, np.sort(table.score))


def test_a_patient_who_could_not_be_assessed_calibrates_nothing() -> None:
    """As one that scores low, it would lower the p-values of all others."""
    nan = float("nan")
    known = CalibratedPatients.of([nan, nan, 3.0, nan, 1.0], [*"aabbc"])
    assert known.scores.tolist() == [1.0, 3.0]


@pytest.mark.slow
def test_as_typed_score_and_evaluate_write_a_row_for_each_patient(tmp_path: Path) -> None:
    phantom_folder(tmp_path, tiny_phantoms(), given=120, target=20)
    data = "--cohort data/manifest.csv"
    fit = typed(f"fit tiny.yaml {data} --detector pca --max-fpr .1 --out d", tmp_path)
    assert fit.returncode == 0, fit.stderr
    scored = typed(f"score d {data} --max-fpr .1 --out s.csv", tmp_path)
    assert scored.returncode == 0, scored.stderr
    assert "patients scored" in scored.stdout
    assert "s_patients.csv" in scored.stdout
    cases, patients = (ScoreTable.read(tmp_path / name) for name in ("s.csv", "s_patients.csv"))
    assert sorted(set(cases.patient_id)) == patients.case_id.tolist()
    assert patients.extra["cases"].sum() == len(cases)
    (tmp_path / "s.csv").unlink()
    again = typed(f"score d {data} --max-fpr .1 --out s.csv", tmp_path)
    assert again.returncode == 2
    assert "s_patients.csv: is there already" in again.stderr
    measured = typed(f"evaluate d {data}", tmp_path)
    assert measured.returncode == 0, measured.stderr
    assert (tmp_path / "d" / "evaluation" / "patients.csv").exists()
    images = sorted((tmp_path / "data").rglob("*.png"))[:3]
    alone = typed(f"score d {' '.join(map(str, images))} --out a.csv", tmp_path)
    assert alone.returncode == 0, alone.stderr
    assert not (tmp_path / "a_patients.csv").exists()  # files say nothing of patients
    less = typed(f"score d {data} --max-fpr .045 --out less.csv", tmp_path)
    assert less.returncode == 0, less.stderr
    found = ScoreTable.read(tmp_path / "less_patients.csv")
    of_cases = ScoreTable.read(tmp_path / "less.csv")
    flagged = sorted(set(of_cases.patient_id[of_cases.flagged]))
    assert found.case_id[found.review].tolist() == flagged != []
    said = f"{len(flagged)} with a flagged case should be looked at"
    assert said in " ".join(less.stdout.split())
    header, *rows = (tmp_path / "data" / "manifest.csv").read_text().splitlines()
    place = header.split(",").index("patient_id")
    fields = [row.split(",") for row in rows if ",test" in row]
    together = [[*one[:place], f"p{n // 20}", *one[place + 1 :]] for n, one in enumerate(fields)]
    (tmp_path / "data" / "more.csv").write_text("\n".join([header, *map(",".join, together), ""]))
    for command in ("score d --out more.csv", "evaluate d --overwrite"):
        told = typed(f"{command} --cohort data/more.csv", tmp_path)
        assert "many more cases than those who calibrated" in " ".join(told.stderr.split())
    assert np.isnan(ScoreTable.read(tmp_path / "more_patients.csv").threshold).all()
