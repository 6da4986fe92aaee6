"""Laws of slices in their context: who counts, on which scale, and wherever they are scored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from pydicom import Dataset
from typer.testing import CliRunner

from dicom_folders import image_file
from makers import discs, manifest_rows, phantom_folder, recipe, write_manifest
from midclass import (
    Cohort,
    Detector,
    InputError,
    Prepared,
    ScoreTable,
    load_detector,
    prepare,
    prepare_array,
)
from midclass.cli.app import app
from midclass.cli.commands import score as command
from midclass.cli.options import Options
from midclass.cli.service.scorer import Arrived, Scorer
from midclass.detectors.about import about
from midclass.detectors.catalogue import detector_class
from midclass.detectors.cohort_scores import score_table
from midclass.detectors.context import Context, EquallyRare, neighbours
from midclass.detectors.marks import APART
from midclass.detectors.plausible import Plausible
from midclass.detectors.saved import CHECKSUMS, id_of
from midclass.evaluation.calibrated import CalibratedPatients
from midclass.evaluation.clusters import independent_cases
from midclass.evaluation.conformal import conformal_p_values
from midclass.images.case import Case
from midclass.images.keys import rules_of
from midclass.images.kin import brought_together

GEOMETRY = {"view": "slices", "size": [32, 32], "spacing_mm": 1.0}
RECIPE = recipe(geometry=GEOMETRY)
SLICES = RECIPE.geometry


def case(
    place: float | None, patient: str = "p", series: str = "", name: str | None = None
) -> Case:
    called = f"{patient}/{series}/{place}" if name is None else name
    return Case(called, Path("a.png"), 0, patient, slice=place, series_id=series)


def stack(n: int, patient: str = "p") -> list[Case]:
    return [case(float(k), patient) for k in range(n)]


def beside(scores: list[float], cases: list[Case]) -> list[list[float]]:
    """Of each case the scores of its neighbours: before and after."""
    pairs = zip(*neighbours(np.array(scores), cases), strict=True)
    return [[float(one) for one in pair if not np.isnan(one)] for pair in pairs]


class TestNeighbours:
    def test_they_are_the_slices_on_both_sides_and_at_the_ends_one(self) -> None:
        assert beside([1, 2, 3, 4], stack(4)) == [[2], [1, 3], [2, 4], [3]]

    def test_the_order_of_rows_means_nothing(self) -> None:
        cases, scores = stack(6), np.array([1.0, 5, 2, 8, 3, 9])
        order = np.random.default_rng(0).permutation(6)
        found = neighbours(scores[order], [cases[i] for i in order])
        np.testing.assert_array_equal(found, np.array(neighbours(scores, cases))[:, order])

    @pytest.mark.parametrize("other", [case(1, "q"), case(1, "p", "s")], ids=["patient", "series"])
    def test_another_patients_and_another_series_slices_are_none(self, other: Case) -> None:
        assert beside([4, 0], [case(0), other]) == [[], []]

    @pytest.mark.parametrize(
        ("places", "numbers"),
        [
            ([1, 2, 4, 5], [1, 1, 1, 1]),  # one is missing
            ([1, 2, 3, 6], [1, 2, 1, 0]),
            ([1, 2, 3, 6, 9, 10, 11], [1, 2, 1, 0, 1, 2, 1]),  # two are, twice
            ([0, 4.9, 10, 15.1], [1, 2, 2, 1]),  # positions in mm
            ([0, 2, 4, 6, 8, 10, 15, 20, 25], [1, 2, 2, 2, 2, 1, 1, 2, 1]),  # thicker above
            ([1, 1, 2, 2], [0, 0, 0, 0]),  # two piles
            ([3, 9], [1, 1]),
        ],
    )
    def test_gaps_part_them_and_two_slices_at_one_place_leave_none(
        self, places: list[float], numbers: list[int]
    ) -> None:
        cases = [case(place, name=str(row)) for row, place in enumerate(places)]
        assert [len(one) for one in beside([0.0] * len(cases), cases)] == numbers

    def test_what_cannot_be_assessed_counts_nowhere_and_parts_others(self) -> None:
        assert beside([6, np.nan, 0, 3], stack(4)) == [[], [], [3], [0]]

    def test_cases_without_a_place_have_none(self) -> None:
        assert beside([1, 5], [case(None, name=name) for name in "ab"]) == [[], []]


def learned(patients: int = 20, each: int = 6, correlation: float = 0.0, seed: int = 0) -> Any:
    """Cases of some series, and scores whose noise is shared within a series as much."""
    rng = np.random.default_rng(seed)
    shared = np.sqrt(correlation) * np.repeat(rng.normal(size=patients), each)
    scores = shared + np.sqrt(1 - correlation) * rng.normal(size=patients * each)
    return scores, [one for k in range(patients) for one in stack(each, f"{seed}-{k}")]


class TestScale:
    @pytest.mark.parametrize("correlation", [0.0, 0.6])
    @pytest.mark.parametrize("each", [1, 2, 6])
    def test_the_promise_holds_wherever_in_a_series_a_slice_lies(
        self, each: int, correlation: float
    ) -> None:
        """At the ends, between two, and alone; of series longer than those to calibrate with."""
        scores, cases = learned(400, 8, correlation)
        context = Context.of(scores, cases, SLICES)
        threshold = np.quantile(scores, 0.9)
        new, unknown = learned(600, each, correlation, seed=1)
        flagged = (context(new, unknown) > threshold).reshape(-1, each)
        ends, middle = flagged[:, [0, -1]].mean(), flagged[:, each // 2].mean()
        assert 0.07 < ends < 0.13
        assert 0.07 < middle < 0.13

    def test_both_neighbours_together_count_as_much_as_the_slice(self) -> None:
        same = EquallyRare(np.linspace(-9, 9, 30), np.linspace(-9, 9, 30))
        found = Context(same, same)(np.array([0.0, 0, 8, 0, 3]), stack(5))
        np.testing.assert_allclose(found, [0, 2, 4, 2.75, 2])

    def test_noise_falls_and_what_lasts_stays(self) -> None:
        scores, cases = learned()
        context = Context.of(scores, cases, SLICES)
        long, single = np.zeros(9), np.zeros(9)
        long[3:6], single[4] = 3.0, 3.0
        lasting, fleeting = (context(one, stack(9, "x"))[4] for one in (long, single))
        assert lasting > 3.0 > fleeting

    @given(st.integers(0, 10_000))
    def test_more_disease_anywhere_never_lowers_a_score(self, seed: int) -> None:
        scores, cases = learned(10, seed=seed)
        context = Context.of(scores, cases, SLICES)
        rng = np.random.default_rng(seed)
        before = context(scores, cases)
        after = context(scores + rng.exponential(size=len(scores)), cases)
        assert (after >= before - 1e-9).all()

    @given(arrays(int, 30, elements=st.integers(-500, 500), unique=True))
    def test_a_p_value_is_that_of_the_mean_among_means(self, numbers: NDArray[np.int64]) -> None:
        alone = numbers / 10
        together = np.sort(np.random.default_rng(0).normal(size=30))
        scale = EquallyRare.of(alone, together)
        new = np.random.default_rng(1).normal(size=50)
        np.testing.assert_array_equal(
            conformal_p_values(alone, scale(new)), conformal_p_values(together, new)
        )

    def test_of_equal_means_the_lowest_score_is_taken(self) -> None:
        scale = EquallyRare(np.array([1.0, 2, 3, 9]), np.array([0.0, 5, 5, 6]))
        assert scale(np.array([5.0]))[0] == 2

    def test_beyond_all_calibration_slices_scores_go_on_rising(self) -> None:
        scale = EquallyRare(np.array([0.0, 1, 5]), np.array([0.0, 1, 2]))
        assert scale(np.array([-3.0, 2, 7, 9])).tolist() == [-3, 5, 10, 12]

    def test_a_slice_alone_keeps_its_score(self) -> None:
        context = Context.of(*learned(), SLICES)
        new = [case(3.0, "q"), case(None, name="x")]
        assert context(np.array([2.5, 3.0]), new).tolist() == [2.5, 3.0]

    def test_slices_without_neighbours_say_nothing_of_means(self) -> None:
        scores, cases = learned()
        single = [case(0.0, f"single {k}") for k in range(500)]
        mixed = Context.of(np.concatenate([scores, np.full(500, 9.0)]), cases + single, SLICES)
        plain = Context.of(scores, cases, SLICES)
        np.testing.assert_array_equal(mixed.both.alone, plain.both.alone)
        np.testing.assert_array_equal(mixed.one.together, plain.one.together)

    @pytest.mark.parametrize("patients", [0, 1])
    def test_with_few_neighbours_to_calibrate_with_nothing_changes(self, patients: int) -> None:
        scores, cases = learned(patients)
        alone = [case(0, f"{k}") for k in range(30)]
        context = Context.of(np.append(scores, np.arange(30.0)), cases + alone, SLICES)
        assert context(np.array([0.0, 8, 0]), stack(3)).tolist() == [0, 8, 0]

    def test_other_views_have_none(self) -> None:
        whole = SLICES.model_copy(update={"view": "whole"})
        assert not len(Context.of(*learned(), whole).one.alone)


EACH = 5


def series(patients: int, seed: int, square: float = 0.0) -> Prepared:
    """Slices of some patients, ``EACH`` of them; the middle three show a square."""
    images = discs(EACH * patients, seed)
    shown = discs(EACH * patients, seed, square)
    middle = np.isin(np.arange(len(images)) % EACH, (1, 2, 3))
    images[middle] = shown[middle]
    found = prepare_array(images, RECIPE)
    cases = [
        replace(one, patient_id=f"{seed}-{row // EACH}", slice=float(row % EACH))
        for row, one in enumerate(found.cases)
    ]
    return replace(found, cases=Cohort(tuple(cases)))


@pytest.fixture(scope="module")
def normal() -> Prepared:
    return series(40, 0)


@pytest.fixture(scope="module", params=[0, 3], ids=["no folds", "folds"])
def fitted(normal: Prepared, request: pytest.FixtureRequest) -> Detector:
    return detector_class("pca")(RECIPE).fit(normal, max_fpr=0.1, folds=request.param)


def each_alone(detector: Detector, prepared: Prepared) -> list[float]:
    return [
        float(detector.score_samples(prepared.subset(prepared.cases[[row]]))[0])
        for row in range(len(prepared))
    ]


class TestDetector:
    def test_slices_that_calibrate_are_as_alike_as_they_are_flagged(self, normal: Prepared) -> None:
        """Means of neighbours are more alike than the slices alone."""
        detector = detector_class("pca")(RECIPE).fit(normal, max_fpr=0.1, folds=0)
        local = series(12, 7)
        alone = detector.calibrate(local).alone
        patients = [one.patient_id for one in local.cases]
        together = detector.score_samples(local)
        assert not np.array_equal(together, alone)
        assert detector.independent_ == independent_cases(together, patients)
        assert detector.independent_ < independent_cases(alone, patients)

    def test_ill_neighbours_raise_a_slice_and_calibration_is_of_slices_alone(
        self, fitted: Detector, normal: Prepared
    ) -> None:
        ill = series(6, 1, square=0.3)
        alone, together = np.array(each_alone(fitted, ill)), fitted.score_samples(ill)
        ends = np.isin(np.arange(len(ill)) % EACH, (0, 4))
        assert (together[ends] > alone[ends]).mean() > 0.9
        plain = detector_class("pca")(recipe(geometry=GEOMETRY | {"view": "whole"}))
        plain.fit(normal, max_fpr=0.1, folds=0)
        if fitted.folds_ is None:
            np.testing.assert_array_equal(plain.calibration_, fitted.calibration_)
            np.testing.assert_allclose(plain.score_samples(ill), alone)

    def test_the_promise_holds_for_slices_in_series_and_for_slices_alone(
        self, fitted: Detector
    ) -> None:
        new = series(40, 2)
        for scores in (fitted.score_samples(new), np.array(each_alone(fitted, new))):
            assert (scores > fitted.threshold_).mean() < 0.2  # .1 promised, 200 slices

    def test_series_are_told_apart_better_than_slices(self, fitted: Detector) -> None:
        faint, new = series(40, 3, square=0.08), series(40, 4)
        middle = np.arange(len(new)) % EACH == 2  # with neighbours like it

        def told(score: Any) -> float:
            return float((score(faint)[middle][:, None] > score(new)[middle]).mean())

        alone = told(lambda prepared: np.array(each_alone(fitted, prepared)))
        assert told(fitted.score_samples) > alone + 0.02

    def test_saved_and_loaded_it_scores_the_same(
        self, fitted: Detector, normal: Prepared, tmp_path: Path
    ) -> None:
        fitted.save(tmp_path / "d")
        again = load_detector(tmp_path / "d")
        new = series(4, 5)
        np.testing.assert_array_equal(again.score_samples(new), fitted.score_samples(new))

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda one: one[:-1], "as many scores together as alone"),
            (lambda one: one[::-1], "scores together are not in order"),
        ],
    )
    def test_a_damaged_context_is_refused(
        self, change: Any, words: str, fitted: Detector, tmp_path: Path
    ) -> None:
        fitted.save(tmp_path / "d")
        facts = json.loads((tmp_path / "d" / "detector.json").read_text())
        del facts[CHECKSUMS]
        where = facts if fitted.folds_ is None else facts["folds"][0]
        both = where["context"]["both"]
        both["together"] = change(both["together"])
        (tmp_path / "d" / "detector.json").write_text(json.dumps(facts))
        with pytest.raises(InputError, match=words):
            load_detector(tmp_path / "d")

    def test_another_context_is_another_detector(self, normal: Prepared) -> None:
        detector = detector_class("pca")(RECIPE).fit(normal, max_fpr=0.1, folds=0)
        before, scale = id_of(detector), detector.context_.both
        moved = EquallyRare(scale.alone + 1, scale.together)
        detector.context_ = replace(detector.context_, both=moved)
        assert id_of(detector) != before

    def test_fitted_again_it_has_forgotten_the_first_time(self, normal: Prepared) -> None:
        again = detector_class("pca")(RECIPE).fit(series(30, 9), max_fpr=0.1, folds=0)
        again.fit(normal, max_fpr=0.1, folds=3)
        fresh = detector_class("pca")(RECIPE).fit(normal, max_fpr=0.1, folds=3)
        assert id_of(again) == id_of(fresh)

    def test_at_another_place_slices_are_judged_by_what_it_showed(self, normal: Prepared) -> None:
        detector = detector_class("pca")(RECIPE).fit(normal, max_fpr=0.1, folds=0)
        local, new = series(40, 6), series(40, 7)
        detector.calibrate(local)
        for scores in (detector.score_samples(new), np.array(each_alone(detector, new))):
            assert 0.03 < (scores > detector.threshold_).mean() < 0.2
        patients = [one.patient_id for one in local.cases]
        known = CalibratedPatients.of(detector.score_samples(local), patients)
        assert detector.patient_calibration_.to_json() == known.to_json()

    def test_at_a_place_without_series_each_slice_is_alone(self, normal: Prepared) -> None:
        detector = detector_class("pca")(RECIPE).fit(normal, max_fpr=0.1, folds=0)
        local = series(40, 6)
        single = [replace(one, slice=None) for one in local.cases]
        detector.calibrate(replace(local, cases=Cohort(tuple(single))))
        new = series(3, 7)
        np.testing.assert_array_equal(detector.score_samples(new), each_alone(detector, new))

    def test_reports_do_not_smooth_once_more(self, fitted: Detector) -> None:
        assert "slice" not in score_table(fitted, series(2, 8), slices=True).extra
        whole = detector_class("pca")(recipe(geometry=GEOMETRY | {"view": "whole"}))
        whole.fit(series(40, 0), max_fpr=0.1, folds=0)
        assert "slice" in score_table(whole, series(2, 8), slices=True).extra


@pytest.fixture(scope="module")
def saved(normal: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a detector that sees slices in their series."""
    folder = tmp_path_factory.mktemp("saved") / "d"
    detector_class("pca")(RECIPE).fit(normal, max_fpr=0.1, folds=0).save(folder)
    return folder


def run(arguments: str) -> str:
    result = CliRunner().invoke(app, arguments.split())
    assert result.exit_code == 0, result.output
    return result.output


def test_files_have_the_same_scores_in_blocks_of_any_size_and_rows_of_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "extends: phantoms\nname: tiny\nfloor: 0.0\n"
    text += "geometry: {view: slices, size: [32, 32], field_of_view_mm: 200}\n"
    phantom_folder(tmp_path, text, given=260, target=6)
    rows = manifest_rows(tmp_path / "data" / "manifest.csv")
    for row in rows:  # of each patient four images, far from each other
        parts = [other for other in rows if other["split"] == row["split"]]
        place, patients = parts.index(row), -(-len(parts) // 4)
        row["patient_id"] = f"{row['split']}{place % patients}"
        row["slice"] = str(place // patients)
    write_manifest(tmp_path / "data" / "slices.csv", rows)
    monkeypatch.chdir(tmp_path)
    said = run("fit tiny.yaml --cohort data/slices.csv --detector pca --max-fpr 0.2 --out d")
    assert "slices           are scored together with their neighbours" in said
    tables = []
    for size in (512, 4, 1):
        monkeypatch.setattr(command, "BLOCK", size)
        run(f"score d --cohort data/slices.csv --part test --out {size}.csv")
        tables.append(ScoreTable.read(tmp_path / f"{size}.csv"))
    test = [row for row in rows if row["split"] == "test"]
    assert len(tables[0]) == len(test)
    found = tables[0].score
    for other in tables[1:]:
        assert other.case_id.tolist() == tables[0].case_id.tolist()
        np.testing.assert_array_equal(other.score, found)
    run("evaluate d --cohort data/slices.csv --out e")
    evaluated = ScoreTable.read(tmp_path / "e" / "scores.csv")
    of = dict(zip(evaluated.case_id.tolist(), evaluated.score.tolist(), strict=True))
    np.testing.assert_allclose([of[one] for one in tables[0].case_id.tolist()], found)
    alone = []
    for row in test[:6]:
        run(f"score d data/{row['path']} --out alone.csv --overwrite")
        alone += ScoreTable.read(tmp_path / "alone.csv").score.tolist()
    name = dict(zip(tables[0].case_id.tolist(), found.tolist(), strict=True))
    together = [name[row["path"]] for row in test[:6]]
    assert sum(one != other for one, other in zip(alone, together, strict=True)) >= 5


def written(name: str, seed: int, n: int) -> None:
    """A manifest of series of discs, and one that says nothing of series."""
    rows = ["path,label,patient_id,slice"]
    for number, one in enumerate((discs(n, seed)[:, 0] * 65535).astype(np.uint16)):
        PIL.Image.fromarray(one).save(f"{name}{number}.png")
        rows.append(f"{name}{number}.png,0,{name}{number // EACH},{number % EACH}")
    Path(f"{name}.csv").write_text("\n".join(rows))
    Path(f"{name}_alone.csv").write_text("\n".join(row.rpartition(",")[0] for row in rows))


def test_calibrate_compares_with_the_scores_of_before_and_says_whether_neighbours_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written("here", 0, 200)
    written("there", 13, 100)
    Path("small.yaml").write_text(json.dumps(RECIPE.to_dict()))
    run("fit small.yaml --cohort here.csv --detector pca --max-fpr 0.1 --out d")
    said = run("calibrate d --cohort there.csv --out with")
    assert "slices           are scored together with their neighbours" in said
    before = load_detector("d")
    local = prepare(Cohort.from_manifest("there.csv"), RECIPE)
    flagged = int((before.score_samples(local) > before.threshold_).sum())
    assert f"local normals    {flagged} of 100 above the threshold of before" in said
    said = run("calibrate d --cohort there_alone.csv --out without")
    assert "slices           are scored alone" in said
    assert "context" not in about(load_detector("with"), Path("with"))  # single cases


def test_series_come_together_where_their_first_case_is_and_no_block_cuts_one() -> None:
    names = "axbyaxzb"
    cases = [case(float(row), patient) for row, patient in enumerate(names)]
    cases[6] = replace(cases[6], slice=None)
    cohort = Cohort(tuple(cases))
    together = brought_together(cases, lambda one: one.stack)
    assert "".join(one.patient_id for one in together) == "aaxxbbyz"
    sizes = [len(block) for block in cohort.blocks(3, SLICES)]
    assert sizes == [4, 3, 1]
    assert [one for block in cohort.blocks(3) for one in block] == cases


def test_frames_of_a_file_have_one_score_by_the_command_and_the_service(
    saved: Path, tmp_path: Path
) -> None:
    images = discs(6, 11, square=0.2)[:, 0]
    file = tmp_path / "volume.nii"
    nibabel.save(nibabel.Nifti1Image(np.stack(list(images), 2), np.eye(4)), file)
    options = Options(cache=tmp_path / "cache")
    command.run(saved, Cohort.from_files([file]), options, out=tmp_path / "s.csv")
    by_command = ScoreTable.read(tmp_path / "s.csv").score
    by_service = Scorer(saved).score([Arrived("volume.nii", file)])[0].table
    assert by_service is not None
    assert by_service.score.tolist() == by_command.tolist()
    frames = prepare(Cohort.from_files([file]), RECIPE)
    alone = np.array(each_alone(load_detector(saved), frames))
    assert (np.abs(alone - by_command) > 1e-6).all()


def test_the_service_names_frames_in_their_order_wherever_they_lie(
    saved: Path, tmp_path: Path
) -> None:
    images = discs(3, 11, square=0.2)[:, 0]
    affine = np.diag([1.0, 1, -1, 1])  # the first frame lies above the last
    nibabel.save(nibabel.Nifti1Image(np.stack(list(images), 2), affine), tmp_path / "v.nii")
    file = tmp_path / "several.dcm"
    pixels = (images * 4095).astype(np.uint16)
    image_file(file, pixels=pixels, Modality="MR", PixelSpacing=[1, 1], **frames_downwards(3))
    for one in (file, tmp_path / "v.nii"):
        scorer = Scorer(saved)
        (served,) = scorer.score([Arrived(one.name, one)])
        cases = [row["case"] for row in scorer.answer(served)["cases"]]
        assert cases == [f"{one.name}#{frame}" for frame in range(3)]


def frames_downwards(n: int) -> dict[str, Any]:
    """Positions of the frames of an enhanced file, each 5 mm below the one before."""
    groups = []
    for frame in range(n):
        position, plane, group = Dataset(), Dataset(), Dataset()
        position.ImagePositionPatient = [0, 0, -5.0 * frame]
        plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        group.PlanePositionSequence, group.PlaneOrientationSequence = [position], [plane]
        groups.append(group)
    return {"PerFrameFunctionalGroupsSequence": groups, "NumberOfFrames": n}


def test_slices_of_a_folder_stand_by_their_position_whatever_their_names(
    saved: Path, tmp_path: Path
) -> None:
    images = (discs(8, 12, square=0.2)[:, 0] * 4095).astype(np.uint16)
    positions = [0.0, 5, 10, 15, 30, 35, 40, 45]
    for number, name in enumerate(np.random.default_rng(0).permutation(8)):
        where = {"ImagePositionPatient": [0, 0, positions[number]], "Modality": "CT"}
        where |= {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "SOPInstanceUID": f"1.2.{number}"}
        image_file(tmp_path / "f" / f"{name}.dcm", 1, images[number], **where)
    cohort = Cohort.from_files([tmp_path / "f"])
    prepared = prepare(cohort, RECIPE)
    detector = load_detector(saved)
    alone = np.array(each_alone(detector, prepared))
    found = [len(one) for one in beside(alone.tolist(), list(prepared.cases))]
    assert found == [1, 2, 2, 1, 1, 2, 2, 1]
    np.testing.assert_array_equal(
        detector.score_samples(prepared), detector.context_(alone, prepared.cases)
    )


def test_what_is_made_of_whole_images_is_made_of_slices() -> None:
    whole = SLICES.model_copy(update={"view": "whole"})
    keys = [rules_of(one, RECIPE.intensity, RECIPE.accepts, []) for one in (SLICES, whole)]
    assert keys[0] == keys[1]  # no image is prepared twice
    given = series(20, 0)
    learned = [
        Plausible.of(given, RECIPE.model_copy(update={"geometry": one})) for one in (SLICES, whole)
    ]
    assert learned[0].to_json() == learned[1].to_json()
    assert learned[0].likeness
    assert APART["slices"] == APART["whole"]
    assert SLICES.shows_all
