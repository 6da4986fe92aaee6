"""Another hospital: a threshold set anew with its normals, and what is said of how they differ."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from makers import (
    discs,
    manifest_rows,
    of_target_class,
    phantom_folder,
    recipe,
    tiny_phantoms,
    typed,
    write_manifest,
)
from midclass import Detector, InputError, Prepared, ScoreTable, load_detector, prepare_array
from midclass.detectors.baselines.pca import PCA
from midclass.detectors.site import promise, set_threshold

RECIPE = recipe(budget={"standardise": False})


def of(images: NDArray[np.float32]) -> Prepared:
    return prepare_array(images, RECIPE, spacing_mm=1.0)


def elsewhere(n: int, seed: int) -> Prepared:
    """Discs from a place with a noisier detector."""
    noise = np.random.default_rng(seed).normal(0, 0.02, (n, 1, 32, 32))
    return of((discs(n, seed) + noise).clip(0, 1).astype(np.float32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    PCA(RECIPE).fit(of(discs(200, seed=0)), max_fpr=0.1).save(tmp_path / "there")
    return tmp_path / "there"


def moved(folder: Path, seed: int = 1) -> Detector:
    detector = load_detector(folder)
    set_threshold(detector, elsewhere(60, seed), folder)
    return detector


def test_the_rate_that_is_promised_holds_at_the_new_place(folder: Path) -> None:
    new = elsewhere(300, seed=9)
    assert load_detector(folder).predict(new).mean() > 0.5
    rates = [moved(folder, seed).predict(new).mean() for seed in range(1, 11)]
    assert 0.05 < np.mean(rates) < 0.14  # 10 % on average over calibrations
    assert max(rates) < 0.25


def test_local_normals_that_differ_are_told_from_those_that_do_not(folder: Path) -> None:
    shift = set_threshold(load_detector(folder), elsewhere(60, seed=1), folder)
    assert shift.differs
    assert 1 > shift.high > shift.flagged / shift.cases > shift.low > 0.3 > shift.promised == 0.1
    same = [
        set_threshold(load_detector(folder), of(discs(60, seed=seed)), folder)
        for seed in range(1, 21)
    ]
    assert sum(one.differs for one in same) <= 1
    assert np.mean([one.low <= 0.1 <= one.high for one in same]) > 0.7


def test_slices_of_few_patients_say_less_than_as_many_patients(folder: Path) -> None:
    local = elsewhere(60, seed=1)
    many = set_threshold(load_detector(folder), local, folder)
    cases = [replace(case, patient_id=f"p{n % 4}") for n, case in enumerate(local.cases)]
    of_four = replace(local, cases=replace(local.cases, cases=tuple(cases)))
    few = set_threshold(load_detector(folder), of_four, folder)
    assert few.p_value > many.p_value
    assert few.low < many.low


def test_scores_stay_and_thresholds_p_values_and_the_promise_are_of_the_new_place(
    folder: Path, tmp_path: Path
) -> None:
    before, after = load_detector(folder), moved(folder)
    after.save(tmp_path / "here")
    again = load_detector(tmp_path / "here")
    new = elsewhere(20, seed=9)
    assert again.score_samples(new).tobytes() == before.score_samples(new).tobytes()
    assert again.threshold_ == after.threshold_ > before.threshold_
    assert again.p_values(np.array([1e9])) == 1 / 61
    assert again.promise()["max_fpr"] == 0.1
    assert again.cases_ == before.cases_ | {"calibrate": 60}
    assert again.parent_ is not None
    assert again.parent_["name"] == "there"
    assert again.parent_["threshold"] == before.threshold_


def test_what_learned_in_folds_is_calibrated_too_and_claims_no_proof_of_folds(
    tmp_path: Path,
) -> None:
    detector = PCA(RECIPE).fit(of(discs(40, seed=0)), max_fpr=0.1, folds=4)
    assert "guaranteed" in detector.promise()
    detector.save(tmp_path / "there")
    after = moved(tmp_path / "there")
    after.save(tmp_path / "here")
    again = load_detector(tmp_path / "here")
    assert "guaranteed" not in again.promise()
    assert again.predict(elsewhere(200, seed=9)).mean() < 0.2


def test_too_few_local_normals_and_disease_are_refused(folder: Path) -> None:
    detector = load_detector(folder)
    with pytest.raises(
        InputError, match=r"max_fpr 0.1 cannot .* with 8 calibration cases: .* 0.11"
    ):
        set_threshold(detector, elsewhere(8, seed=1), folder)
    with pytest.raises(InputError, match="of the target class; give cases of the given class"):
        set_threshold(detector, of_target_class(elsewhere(30, seed=1)), folder)
    assert detector.parent_ is None
    with pytest.raises(InputError, match="cannot be promised"):
        promise(detector, 0.001)
    threshold = detector.threshold_
    promise(detector, 0.2)
    assert detector.threshold_ < threshold


def test_as_typed_a_site_is_calibrated_evaluated_and_refused_where_it_was_seen(
    tmp_path: Path,
) -> None:
    phantom_folder(tmp_path, tiny_phantoms(), given=120, target=20)
    manifest = tmp_path / "data" / "manifest.csv"
    rows = manifest_rows(manifest)
    patients = sorted({row["patient_id"] for row in rows if row["label"] == "0"})
    third = {patient: number * 3 // len(patients) for number, patient in enumerate(patients)}
    names = {0: "train", 1: "local", 2: "test"}
    ill = sorted({row["patient_id"] for row in rows} - set(patients))
    third |= {patient: number % 3 for number, patient in enumerate(ill)}
    for row in rows:
        row["split"] = names[third[row["patient_id"]]]
    write_manifest(manifest, rows)
    data = "--cohort data/manifest.csv --split split"
    fit = typed(f"fit tiny.yaml {data} --detector pca --max-fpr .2 --out there", tmp_path)
    assert fit.returncode == 0, fit.stderr
    one = next(row for row in rows if row["split"] == "local" and row["label"] == "0")
    again = one | {"path": "again.png", "patient_id": "another"}
    shutil.copy(manifest.parent / one["path"], manifest.parent / "again.png")
    write_manifest(manifest.with_name("copied.csv"), [*rows, again])
    told = typed(
        "calibrate there --cohort data/copied.csv --split split --part local --out copied", tmp_path
    )
    assert told.returncode == 0, told.stderr
    assert "1 pair of cases of different patients show the same image" in told.stderr
    done = typed(f"calibrate there {data} --part local --max-fpr .1 --json", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "different patients show the same" not in done.stderr
    assert "target-class cases" in done.stderr
    for expected in (
        "above the threshold of before",
        "Kolmogorov-Smirnov p =",
        "at most 10.0% false alarms",
        "saved            there_local",
    ):
        assert expected in done.stderr
    said = json.loads(done.stdout)
    assert said["local_normals"]["cases"] == said["cases"] - said["not_assessed"]
    assert said["files"] == {"detector": "there_local"}
    about = json.loads((tmp_path / "there_local" / "detector.json").read_text())
    assert (about["parent"]["max_fpr"], about["max_fpr"]) == (0.2, 0.1)
    assert (said["id"], said["threshold"]) == (about["id"], about["threshold"])
    measured = typed(f"evaluate there_local {data} --json --quiet", tmp_path)
    assert (measured.returncode, measured.stderr) == (0, "")
    said, summary = json.loads(measured.stdout), tmp_path / "there_local/evaluation/summary.json"
    assert json.loads(summary.read_text()).items() <= said.items()
    assert said["files"]["page"] == "there_local/evaluation/page.html"
    for part, words in (
        ("local", "evaluate there_local --out e"),
        ("train", "calibrate there --out again"),
    ):
        refused = typed(f"{words} {data} --part {part}", tmp_path)
        assert refused.returncode == 2
        assert "was used to fit" in refused.stderr
    again = typed(f"calibrate there {data} --part local", tmp_path)
    assert again.returncode == 2
    assert "there_local: is not empty" in again.stderr

    for rate, out in ((0.1, "a.csv"), (0.3, "b.csv")):
        scored = typed(
            f"score there_local --cohort data/manifest.csv --max-fpr {rate} --out {out}", tmp_path
        )
        assert scored.returncode == 0, scored.stderr
        table = ScoreTable.read(tmp_path / out)
        np.testing.assert_array_equal(table.flagged, table.extra["p_value"] <= rate + 1e-9)
    refused = typed("score there_local --cohort data/manifest.csv --max-fpr .001", tmp_path)
    assert refused.returncode == 2
    assert "cannot be promised with" in refused.stderr
