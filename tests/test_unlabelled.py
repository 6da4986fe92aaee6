"""Another hospital whose normals nobody knows: how far its scores moved, and what is made of it."""

from __future__ import annotations

import json
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from makers import (
    discs,
    manifest_rows,
    phantom_folder,
    recipe,
    tiny_phantoms,
    typed,
    write_manifest,
)
from midclass import (
    Case,
    Cohort,
    Detector,
    InputError,
    Prepared,
    ScoreTable,
    load_detector,
    prepare_array,
)
from midclass.cli.commands import calibrate, monitor, score
from midclass.cli.commands.source import Source
from midclass.cli.console import tell_patients
from midclass.cli.options import Options
from midclass.detectors import higher
from midclass.detectors.baselines.pca import PCA
from midclass.detectors.higher import Higher, MostFlagged, most_flagged, normals_higher
from midclass.detectors.saved import id_of
from midclass.detectors.site import move_threshold, set_threshold
from midclass.evaluation.calibrated import CalibratedPatients
from midclass.evaluation.conformal import conformal_threshold
from midclass.evaluation.empirical_null import FEWEST, Null, shift_interval
from midclass.evaluation.patients import patient_table

RECIPE = recipe(budget={"standardise": False})
MOVED = 0.8


def drawn(
    seed: int, normal: int = 400, ill: int = 0, moved: float = 0.0, apart: float = 3.0
) -> NDArray[np.float64]:
    """Skewed scores of normal cases, as distances are, and of ill ones that score higher."""
    rng = np.random.default_rng(seed)
    given_class = rng.gamma(4, 0.5, normal)
    return np.append(given_class, rng.gamma(4, 0.5, ill) + apart) + moved


@pytest.mark.parametrize("ill", [0, 40, 400])
def test_the_rate_aimed_at_holds_after_normal_scores_moved_whatever_share_is_ill(ill: int) -> None:
    before, after = [], []
    for seed in range(12):
        calibration = drawn(seed, 200)
        null = Null.among(calibration, drawn(100 + seed, 400, ill, MOVED))
        threshold = conformal_threshold(calibration, 0.05)
        new = drawn(200 + seed, 2000, moved=MOVED)
        before.append((new > threshold).mean())
        after.append((new > threshold + null.shift).mean())
    assert np.mean(before) > 0.12
    assert 0.02 < np.mean(after) < 0.07


def test_where_nothing_moved_the_threshold_hardly_does() -> None:
    shifts = [Null.among(drawn(seed, 200), drawn(100 + seed, 400, 40)).shift for seed in range(20)]
    assert np.mean(shifts) < 0.15
    lower = [Null.among(drawn(seed, 200), drawn(seed, moved=-MOVED)).shift for seed in range(5)]
    assert max(lower) == 0  # it is never lowered


@pytest.mark.parametrize("by", [0.1, 0.803, 40.0, 5000.0])
def test_a_move_is_told_to_a_hundredth_of_how_scores_spread(by: float) -> None:
    calibration = drawn(0, 200)
    still = Null.among(calibration, calibration).shift
    assert 0 <= still < 0.1  # smoothing makes the lower part a little flatter
    assert Null.among(calibration, calibration + by).shift - still == pytest.approx(by, abs=0.01)


@pytest.mark.parametrize(("ill", "normal"), [(0, 1.0), (100, 0.8), (400, 0.5)])
def test_the_share_of_normal_cases_is_told(ill: int, normal: float) -> None:
    found = [
        Null.among(drawn(seed, 300), drawn(50 + seed, 400, ill, MOVED)).normal for seed in range(10)
    ]
    assert np.mean(found) == pytest.approx(normal, abs=0.1)


@given(
    scale=st.floats(0.01, 100),
    start=st.floats(-1000, 1000),
    seed=st.integers(0, 20),
)
@settings(max_examples=20, deadline=None)
def test_units_of_the_scores_do_not_matter(scale: float, start: float, seed: int) -> None:
    calibration, unknown = drawn(seed, 150), drawn(100 + seed, 200, 60, MOVED)
    plain = Null.among(calibration, unknown)
    other = Null.among(start + scale * calibration, start + scale * unknown)
    assert other.shift / scale == pytest.approx(plain.shift, abs=0.03)
    assert other.normal == pytest.approx(plain.normal, abs=0.02)


def test_the_interval_is_as_wide_as_chance_and_wider_for_fewer_patients() -> None:
    shifts, many, few = [], [], []
    for seed in range(5):
        calibration = drawn(seed, 400)
        unknown = drawn(100 + seed, 300, 30, MOVED)
        of_each = shift_interval(calibration, unknown, np.arange(330))
        of_slices = shift_interval(calibration, np.repeat(unknown[::5], 5), np.arange(330) // 5)
        assert of_each[0] == Null.among(calibration, unknown).shift
        assert of_each[1] <= of_each[0] <= of_each[2]
        shifts.append(of_each[0])
        many.append(of_each[2] - of_each[1])
        few.append(of_slices[2] - of_slices[1])
    assert 0.4 < np.mean(many) / (2 * 1.96 * np.std(shifts)) < 2.5
    assert np.mean(few) > 1.4 * np.mean(many)


def test_equal_calibration_scores_move_like_others() -> None:
    assert Null.among(np.ones(30), np.full(60, 3.0)).shift == pytest.approx(2, abs=0.05)
    assert Null.among(np.zeros(30), np.zeros(60)).shift == pytest.approx(0, abs=1e-6)


def test_too_few_patients_are_told() -> None:
    many = drawn(0, 400)
    with pytest.raises(InputError, match=rf"{FEWEST - 1} patients .* give {FEWEST} or more"):
        shift_interval(many, many, np.arange(400) % (FEWEST - 1))


# --- detectors ----------------------------------------------------------------------------------


def of(images: NDArray[np.float32], label: int | None = None) -> Prepared:
    found = prepare_array(images, RECIPE, spacing_mm=1.0)
    cases = tuple(replace(case, label=label) for case in found.cases)
    return replace(found, cases=replace(found.cases, cases=cases))


def noisier(images: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, 0.02, images.shape)
    return (images + noise).clip(0, 1).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    PCA(RECIPE).fit(of(discs(200, seed=0), label=0), max_fpr=0.1).save(tmp_path / "there")
    return tmp_path / "there"


def elsewhere(seed: int, normal: int = 120, ill: int = 30) -> Prepared:
    both = np.concatenate([discs(normal, seed), discs(ill, seed + 1, square=0.3)])
    return of(noisier(both, seed))


def test_a_detector_keeps_its_rate_where_unlabelled_cases_moved_its_threshold(folder: Path) -> None:
    new = of(noisier(discs(300, seed=9), 9))
    assert load_detector(folder).predict(new).mean() > 0.5
    rates = []
    for seed in range(20, 24):
        detector = load_detector(folder)
        move = move_threshold(detector, elsewhere(seed), folder)
        assert move.flagged > move.flagged_now >= 20  # nearly all that is ill
        assert 0 < move.low <= move.shift <= move.high
        rates.append(detector.predict(new).mean())
    assert 0.03 < np.mean(rates) < 0.12


def test_who_aims_at_a_rate_has_another_id_than_who_promises_it(folder: Path) -> None:
    aiming = moved(folder)
    promising = copy(aiming)
    assert aiming.parent_ is not None
    promising.parent_ = {k: v for k, v in aiming.parent_.items() if k != "shift"}
    assert id_of(promising) != id_of(aiming)


def test_labels_are_not_read(folder: Path) -> None:
    unknown, thresholds = elsewhere(20), []
    for label in (None, 0, 1):
        cases = tuple(replace(case, label=label) for case in unknown.cases)
        detector = load_detector(folder)
        move_threshold(
            detector, replace(unknown, cases=replace(unknown.cases, cases=cases)), folder
        )
        thresholds.append(detector.threshold_)
    assert len(set(thresholds)) == 1


def test_images_of_one_patient_are_one_patient(folder: Path) -> None:
    unknown = elsewhere(20)
    cases = tuple(
        replace(case, patient_id=f"p{number // 2}") for number, case in enumerate(unknown.cases)
    )
    found = move_threshold(
        load_detector(folder), replace(unknown, cases=replace(unknown.cases, cases=cases)), folder
    )
    assert (found.cases, found.patients, found.not_assessed) == (150, 75, 0)


def moved(folder: Path) -> Detector:
    detector = load_detector(folder)
    move_threshold(detector, elsewhere(20), folder)
    return detector


def test_scores_stay_and_p_values_move_with_the_threshold_and_nothing_is_promised(
    folder: Path, tmp_path: Path
) -> None:
    before, after = load_detector(folder), moved(folder)
    after.save(tmp_path / "here")
    again, new = load_detector(tmp_path / "here"), of(discs(20, seed=3))
    assert again.score_samples(new).tobytes() == before.score_samples(new).tobytes()
    assert again.parent_ is not None
    shift = again.parent_["shift"]
    assert shift == again.promise()["moved"] > 0
    assert again.parent_["unknown"] == 150
    assert again.threshold_ == pytest.approx(before.threshold_ + shift)
    some = np.linspace(*np.quantile(before.calibration_, (0.05, 0.95)), 7) + 1e-6
    assert again.p_values(some + shift).tolist() == before.p_values(some).tolist()
    known, now = before.patient_calibration_, again.patient_calibration_
    for one, other in zip((known.scores, *known.fewer), (now.scores, *now.fewer), strict=True):
        np.testing.assert_allclose(other, one + shift, rtol=1e-12)
    assert again.origin_.id != before.origin_.id
    card = (tmp_path / "here" / "MODEL_CARD.md").read_text()
    assert "150 unlabelled cases of another place" in card
    assert "**not promised**" in card
    assert "The promise is for" not in card
    assert "The promise is for" in (folder / "MODEL_CARD.md").read_text()
    assert again.heat_ == before.heat_


def test_what_was_moved_may_be_set_with_normals_after_it_and_promises_again(folder: Path) -> None:
    detector = moved(folder)
    detector.save(folder.with_name("moved"))
    normals = of(noisier(discs(60, seed=7), 7), label=0)
    set_threshold(detector, normals, folder.with_name("moved"))
    assert "moved" not in detector.promise()


def test_what_learned_in_folds_and_few_patients_are_refused_and_change_nothing(
    folder: Path, tmp_path: Path
) -> None:
    detector = load_detector(folder)
    threshold = detector.threshold_
    with pytest.raises(InputError, match="40 patients with unknown cases"):
        move_threshold(detector, elsewhere(20, 30, 10), folder)
    assert detector.threshold_ == threshold
    assert detector.parent_ is None
    in_folds = PCA(RECIPE).fit(of(discs(40, seed=0), label=0), max_fpr=0.1, folds=4)
    in_folds.save(tmp_path / "folds")
    with pytest.raises(InputError, match="learned in folds"):
        move_threshold(in_folds, elsewhere(20), tmp_path / "folds")
    set_threshold(in_folds, of(noisier(discs(60, seed=7), 7), label=0), tmp_path / "folds")
    with pytest.raises(InputError, match="learned in folds"):  # its scores are ranks as before
        move_threshold(in_folds, elsewhere(20), tmp_path / "folds")
    move_threshold(detector, elsewhere(20), folder)
    with pytest.raises(InputError, match="moved by unlabelled cases already"):
        move_threshold(detector, elsewhere(30), folder)


@pytest.mark.parametrize(
    ("change", "many", "asked", "words"),
    [
        ("folds", 60, {"unlabelled": True}, "learned in folds"),
        ("moved", 60, {"unlabelled": True}, "moved by unlabelled cases already"),
        ("", 49, {"unlabelled": True}, "49 patients with unknown cases do not tell"),
        ("", 60, {"unlabelled": True, "max_fpr": 0.001}, "cannot be promised with 40 calibration"),
        ("", 60, {"unlabelled": True, "max_fpr": 0.0}, "max_fpr"),
        ("", 60, {"max_fpr": 1.5}, "max_fpr"),
        ("", 18, {"max_fpr": 0.05}, "cannot be promised with 18 calibration cases"),
    ],
)
def test_what_no_image_can_change_is_refused_before_an_image_is_read(
    folder: Path, tmp_path: Path, change: str, many: int, asked: dict[str, Any], words: str
) -> None:
    if change == "folds":
        folder = tmp_path / "folds"
        PCA(RECIPE).fit(of(discs(40, seed=0), label=0), max_fpr=0.1, folds=4).save(folder)
    elif change == "moved":
        detector = moved(folder)
        folder = tmp_path / "moved"
        detector.save(folder)
    broken = tmp_path / "broken"
    broken.mkdir()
    for number in range(many):
        (broken / f"{number}.png").write_bytes(b"no picture %d" % number)
    lines = [f"{number}.png,0,p{number}\n" for number in range(many)]
    (broken / "manifest.csv").write_text("path,label,patient_id\n" + "".join(lines))
    with pytest.raises(InputError, match=words):
        calibrate.run(folder, Source(broken / "manifest.csv"), out=tmp_path / "out", **asked)
    assert not (tmp_path / "out").exists()


# --- said without being asked -------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted() -> Detector:
    """With 120 calibration cases."""
    return PCA(RECIPE).fit(of(discs(600, seed=0), label=0), max_fpr=0.1)


def asked(detector: Detector, cases: Prepared) -> Higher | None:
    patients = [case.patient_id for case in cases.cases]
    labels = [case.label for case in cases.cases]
    return normals_higher(detector, detector.score_samples(cases), patients, labels)


def much_noisier(count: int) -> Prepared:
    return of(noisier(noisier(discs(count, seed=20), 20), 21))


def many(detector: Detector, cases: Prepared, patients: list[str] | None = None) -> object:
    who = [case.patient_id for case in cases.cases] if patients is None else patients
    labels = [case.label for case in cases.cases]
    return most_flagged(detector, detector.score_samples(cases), who, labels)


@pytest.fixture(scope="module")
def of_few() -> Detector:
    """With 24 calibration cases, of which nothing else can be told."""
    return PCA(RECIPE).fit(of(discs(120, seed=0), label=0), max_fpr=0.1)


def test_that_most_are_flagged_is_said_after_few_calibration_cases_too(of_few: Detector) -> None:
    assert len(of_few.calibration_) == 24 < FEWEST
    shown = much_noisier(40)
    assert asked(of_few, shown) is None
    found = many(of_few, shown)
    assert isinstance(found, MostFlagged)
    assert found == MostFlagged(int(of_few.predict(shown).sum()), 40)
    assert f"{found.flagged} of 40 patients" in found.warning(of_few.promise())
    assert "at most 10.0% were promised" in found.warning(of_few.promise())


def test_a_patient_with_one_ill_image_counts_as_ill(of_few: Detector) -> None:
    who = [f"p{n // 2}" for n in range(40)]
    ill = np.tile([1, 0], 20)
    high = np.full(40, of_few.threshold_ + 1)
    assert most_flagged(of_few, high, who, np.zeros(40)) == MostFlagged(20, 20)
    assert most_flagged(of_few, high, who, ill) is None
    threshold = copy(of_few)
    threshold.threshold_ = of_few.calibration_.min() - 1
    assert most_flagged(threshold, high, who, np.zeros(40)) is None  # all that calibrated would be


def test_it_is_not_said_of_few_patients_of_known_disease_or_of_normal_cases(
    of_few: Detector,
) -> None:
    shown = much_noisier(40)
    assert many(of_few, shown, [f"p{n % 9}" for n in range(40)]) is None
    ill = tuple(replace(case, label=1) for case in shown.cases)
    assert many(of_few, replace(shown, cases=replace(shown.cases, cases=ill))) is None
    for seed in range(50, 55):
        assert many(of_few, of(np.concatenate([discs(120, seed), discs(100, seed, 0.3)]))) is None


def test_that_most_are_flagged_is_not_said_where_chance_makes_it(
    of_few: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = much_noisier(40)
    assert many(of_few, shown) is not None
    monkeypatch.setattr(higher, "p_of_flags", lambda *_: higher.CHANCE)
    assert many(of_few, shown) is None


@pytest.mark.parametrize("ill", [0, 30, 60])
def test_where_normal_cases_score_higher_it_is_said_how_many_are_flagged(
    fitted: Detector, ill: int
) -> None:
    found = asked(fitted, elsewhere(20, ill=ill))
    assert found is not None
    rate = fitted.predict(elsewhere(40, 400, 0)).mean()
    assert 0.2 < found.low <= found.flagged <= found.high
    assert found.low - 0.1 < rate < found.high + 0.1
    assert "where at most 10.0% were promised" in found.warning(fitted.promise())
    assert "--unlabelled" in found.warning(fitted.promise())


@pytest.mark.parametrize("ill", [0, 30, 60])
def test_where_they_do_not_nothing_is_said(fitted: Detector, ill: int) -> None:
    for seed in range(50, 55):
        both = np.concatenate([discs(120, seed), discs(ill, seed + 100, square=0.3)])
        assert asked(fitted, of(both)) is None


def test_where_nothing_can_be_told_nothing_is_said(
    fitted: Detector, folder: Path, tmp_path: Path
) -> None:
    moved_up = elsewhere(20)
    assert asked(fitted, moved_up) is not None
    assert asked(fitted, elsewhere(20, FEWEST - 1, 0)) is None  # few patients
    assert asked(fitted, elsewhere(20, 40, 120)) is None  # most are ill
    assert asked(load_detector(folder), moved_up) is None  # 40 calibration cases
    in_folds = PCA(RECIPE).fit(of(discs(120, seed=0), label=0), max_fpr=0.1, folds=4)
    assert asked(in_folds, moved_up) is None
    fitted.save(tmp_path / "det")
    known = elsewhere(20)
    ill = tuple(replace(case, label=1) for case in known.cases)
    assert asked(fitted, replace(known, cases=replace(known.cases, cases=ill))) is None


def test_what_chance_alone_could_make_is_not_said(
    fitted: Detector, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(fitted, elsewhere(20)) is not None
    monkeypatch.setattr(higher, "shift_interval", lambda *_: np.array([0.01, 0.0, 0.02]))
    assert asked(fitted, elsewhere(20)) is None


def test_a_threshold_that_was_moved_is_asked_about_at_the_next_place(
    fitted: Detector, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "det")
    again = load_detector(tmp_path / "det")
    move_threshold(again, elsewhere(20), tmp_path / "det")
    assert asked(again, elsewhere(40)) is None
    both = noisier(noisier(discs(150, seed=50), 50), 51)
    found = asked(again, of(both))
    assert found is not None
    assert "where at most 10.0% are aimed at" in found.warning(again.promise())
    assert "--unlabelled of the detector of before" in found.warning(again.promise())


def test_an_aim_and_a_promise_of_the_same_threshold_are_two_detectors(
    fitted: Detector, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "det")
    again = load_detector(tmp_path / "det")
    move = move_threshold(again, of(discs(60, seed=5) * np.float32(0.999)), tmp_path / "det", 0.2)
    again.calibration_ = fitted.calibration_
    assert move.not_assessed == 0
    assert again.promise().keys() == {"max_fpr", "moved"}
    assert again.promise()["max_fpr"] == 0.2
    assert again.origin_.id != fitted.origin_.id


def test_all_that_is_ill_is_taken_for_normal_cases_that_moved(fitted: Detector) -> None:
    """What nothing can tell without labels, and is said: or most of these cases are ill."""
    found = asked(fitted, of(discs(100, seed=3, square=0.3)))
    assert found is not None
    assert "or most of these cases are ill" in found.warning(fitted.promise())


@pytest.mark.parametrize(
    ("detector", "count", "words"),
    [
        ("fitted", 80, "normal cases score higher here"),
        ("of_few", 40, "40 patients are flagged (one case of each counts)"),
    ],
)
def test_score_says_so(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    detector: str,
    count: int,
    words: str,
) -> None:
    request.getfixturevalue(detector).save(tmp_path / "det")
    images = noisier(noisier(discs(count, seed=20), 20), 21)
    for number, image in enumerate(images):
        pixels = (image[0] * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.png")
    cases = tuple(
        Case(f"c{n}", tmp_path / f"{n:02}.png", None, f"p{n}", spacing_mm=(1.0, 1.0))
        for n in range(len(images))
    )
    assert score.run(tmp_path / "det", Cohort(cases), Options(), out=tmp_path / "scores.csv")
    told = capsys.readouterr()
    assert words in " ".join((told.out + told.err).split())


@pytest.mark.parametrize("moved", [False, True])
def test_monitor_promises_no_more_than_the_detector(
    fitted: Detector,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    moved: bool,
) -> None:
    fitted.save(tmp_path / "det")
    detector, cases = load_detector(tmp_path / "det"), elsewhere(20, 60, 0)
    if moved:
        move_threshold(detector, cases, tmp_path / "det")
    detector.save(tmp_path / "used")
    found = detector.score_samples(cases)
    patients = [case.patient_id for case in cases.cases]
    table = ScoreTable.of(patients, patients, [0] * len(patients), found, detector.threshold_)
    table = replace(table, extra={"p_value": detector.p_values(found)})
    table.write(tmp_path / "scores.csv")
    monitor.run([tmp_path / "scores.csv"], tmp_path / "used", out=tmp_path / "monitor.csv")
    told = capsys.readouterr()
    assert ("promised: at most" in told.out) is not moved
    assert ("aimed at: at most" in told.out) is moved
    assert ("may be its error" in told.out + told.err) is moved


def test_of_patients_a_rate_is_an_aim_too(capsys: pytest.CaptureFixture[str]) -> None:
    cases = ScoreTable.of([*"ab"], [*"pq"], [0, 0], [1.0, 2.0])
    patients = patient_table(cases, CalibratedPatients(np.arange(30.0)), max_fpr=0.1)
    for rate, words in (({}, "at most 10.0%: t.csv"), ({"moved": 0.1}, "at most 10.0% as an aim")):
        tell_patients(patients, 30, {"max_fpr": 0.1, **rate}, "t.csv")
        assert words in capsys.readouterr().out


@pytest.mark.slow
def test_as_typed_the_page_says_that_nothing_is_promised(
    tmp_path: Path,
) -> None:
    phantom_folder(tmp_path, tiny_phantoms(), given=260, target=100)
    rows = manifest_rows(tmp_path / "data" / "manifest.csv")
    numbers = {patient: n for n, patient in enumerate(sorted({row["patient_id"] for row in rows}))}
    for row in rows:
        number, ill = numbers[row["patient_id"]], row["label"] == "1"
        row["split"] = "train" if not ill and number % 2 else ("local", "test")[number // 2 % 2]
    unlabelled = [row | {"label": ""} if row["split"] == "local" else row for row in rows]
    for name, some in (("manifest.csv", rows), ("unlabelled.csv", unlabelled)):
        write_manifest(tmp_path / "data" / name, some)
    data = "--cohort data/manifest.csv --split split"
    fit = typed(f"fit tiny.yaml {data} --detector pca --max-fpr .1 --out there", tmp_path)
    assert fit.returncode == 0, fit.stderr
    refused = typed(
        "calibrate there --cohort data/unlabelled.csv --split split --part local", tmp_path
    )
    assert refused.returncode == 2
    assert "where nobody knows who is normal, --unlabelled" in refused.stderr
    words = "calibrate there --cohort data/unlabelled.csv --split split --part local"
    done = typed(f"{words} --unlabelled --out here --json", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "aimed at         at most 10.0% false alarms of this place; not promised" in done.stderr
    said = json.loads(done.stdout)
    assert said["unlabelled"]["patients"] > 50
    measured = typed(f"evaluate here {data} --part test --out page --json", tmp_path)
    assert measured.returncode == 0, measured.stderr
    assert json.loads(measured.stdout)["promised"].keys() == {"max_fpr", "moved"}
    assert "false-alarm rate, aimed at" in measured.stderr
    assert "false-alarm rate, promised" not in measured.stderr
    page = (tmp_path / "page" / "page.html").read_text()
    assert "an aim and no promise here" in page
    assert "as promised" not in page
    assert "are promised" not in page
    assert "Is the aim reached?" in page
    assert "No image with" not in page
    again = typed(f"evaluate here {data} --part local --out other", tmp_path)
    assert again.returncode == 2
    assert "was used to fit" in again.stderr


@pytest.mark.parametrize(
    ("above", "of", "said"), [(10, 20, 0), (11, 20, 11), (9, 9, 0), (10, 10, 10)]
)
def test_most_are_more_than_half_of_ten_patients_or_more_each_counted_once(
    of_few: Detector, above: int, of: int, said: int
) -> None:
    height = np.repeat([1.0, -1.0], [above, of - above]) + of_few.threshold_
    who = [f"p{n}" for n in range(of)]
    found = most_flagged(of_few, np.tile(height, 3), who * 3, np.zeros(3 * of))
    assert found == (MostFlagged(said, of) if said else None)
    unseen = most_flagged(of_few, [*height, np.nan], [*who, "not assessed"], np.zeros(of + 1))
    assert unseen == found
