"""Laws of slices in their context: who counts, on which scale, and wherever they are scored."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from typer.testing import CliRunner

from makers import discs, manifest_rows, phantom_folder, recipe, write_manifest
from midclass import (
    Cohort,
    Detector,
    InputError,
    Prepared,
    ScoreTable,
    load_detector,
    prepare_array,
)
from midclass.cli.app import app
from midclass.cli.commands import score as command
from midclass.detectors.catalogue import detector_class
from midclass.detectors.context import Context, with_neighbours
from midclass.detectors.saved import CHECKSUMS
from midclass.evaluation.conformal import conformal_p_values
from midclass.images.case import Case

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


def means(scores: list[float], cases: list[Case]) -> list[float]:
    return with_neighbours(np.array(scores), cases)[0].tolist()


class TestNeighbours:
    def test_both_sides_count_half_as_much_as_the_slice(self) -> None:
        assert means([0, 0, 8, 0, 0], stack(5)) == [0, 2, 4, 2, 0]

    def test_at_the_ends_there_is_one(self) -> None:
        assert means([3, 0, 0, 0, 3], stack(5)) == [2, 0.75, 0, 0.75, 2]

    def test_the_order_of_rows_means_nothing(self) -> None:
        cases, scores = stack(6), np.array([1.0, 5, 2, 8, 3, 9])
        order = np.random.default_rng(0).permutation(6)
        found, _ = with_neighbours(scores[order], [cases[i] for i in order])
        np.testing.assert_array_equal(found, with_neighbours(scores, cases)[0][order])

    @pytest.mark.parametrize("other", [case(1, "q"), case(1, "p", "s")], ids=["patient", "series"])
    def test_another_patients_and_another_series_slices_are_none(self, other: Case) -> None:
        assert means([4, 0], [case(0), other]) == [4, 0]

    def test_a_gap_is_no_neighbourhood(self) -> None:
        places = [1.0, 2.0, 4.0, 5.0]
        assert means([0, 0, 6, 6], [case(place) for place in places]) == [0, 0, 6, 6]

    def test_positions_in_mm_that_vary_a_little_are_neighbours(self) -> None:
        places = [0.0, 4.9, 10.0, 15.1]
        assert means([4, 4, 0, 0], [case(place) for place in places])[1:3] == [3, 1]

    def test_slices_at_one_place_are_none(self) -> None:
        twice = [case(1.0, name="a"), case(1.0, name="b")]
        assert means([4, 0], twice) == [4, 0]

    def test_what_cannot_be_assessed_counts_nowhere_and_parts_others(self) -> None:
        found = with_neighbours(np.array([6.0, np.nan, 0, 3]), stack(4))
        np.testing.assert_array_equal(found[0], [6, np.nan, 1, 2])
        assert found[1].tolist() == [False, False, True, True]

    def test_cases_without_a_place_stay_as_they_are(self) -> None:
        assert means([1, 5, 9], [case(None, name=name) for name in "abc"]) == [1, 5, 9]


SCORES = arrays(float, st.integers(4, 40), elements=st.floats(-50, 50))


class TestScale:
    @given(SCORES)
    def test_calibration_scores_are_the_same_set_alone_and_in_context(
        self, scores: np.ndarray[Any, np.dtype[np.float64]]
    ) -> None:
        distinct = scores + 1e-3 * np.arange(len(scores))
        cases = stack(len(scores))
        context = Context.of(distinct, cases, SLICES)
        found, (mean, _) = context(distinct, cases), with_neighbours(distinct, cases)
        if len(np.unique(mean)) == len(mean):
            np.testing.assert_allclose(np.sort(found), np.sort(distinct))
        assert (np.diff(found[np.argsort(mean, kind="stable")]) >= -1e-9).all()

    @given(SCORES, SCORES)
    def test_a_p_value_is_that_of_the_mean_among_means(
        self,
        scores: np.ndarray[Any, np.dtype[np.float64]],
        new: np.ndarray[Any, np.dtype[np.float64]],
    ) -> None:
        known, cases = np.unique(scores.round(2)), stack(len(np.unique(scores.round(2))))
        if len(known) < 4:
            return
        known = np.random.default_rng(0).permutation(known)
        context = Context.of(known, cases, SLICES)
        if len(np.unique(context.together)) < len(known):
            return
        unknown = stack(len(new), "new")
        mean, _ = with_neighbours(new, unknown)
        away = np.abs(mean[:, None] - context.together).min(1) > 1e-6  # no ties by rounding
        np.testing.assert_array_equal(
            conformal_p_values(context.alone, context(new, unknown))[away],
            conformal_p_values(context.together, mean)[away],
        )

    def test_of_equal_means_the_lowest_score_is_taken(self) -> None:
        context = Context(np.array([1.0, 2, 3, 9]), np.array([0.0, 5, 5, 6]))
        assert context._as_alone(np.array([5.0]))[0] == 2

    def test_beyond_all_calibration_cases_scores_go_on_rising(self) -> None:
        context = Context(np.array([0.0, 1, 5]), np.array([0.0, 1, 2]))
        assert context._as_alone(np.array([-3.0, 2, 7, 9])).tolist() == [-3, 5, 10, 12]

    def test_a_slice_alone_keeps_its_score(self) -> None:
        context = Context.of(np.array([1.0, 7, 2, 4]), stack(4), SLICES)
        new = [case(3.0, "q"), case(None, name="x")]
        assert context(np.array([2.5, 3.0]), new).tolist() == [2.5, 3.0]

    def test_without_series_to_calibrate_with_nothing_changes(self) -> None:
        learned = Context.of(np.array([1.0, 2]), [case(0, "a"), case(0, "b")], SLICES)
        assert learned(np.array([0.0, 8, 0]), stack(3)).tolist() == [0, 8, 0]

    def test_other_views_have_none(self) -> None:
        whole = SLICES.model_copy(update={"view": "whole"})
        assert not len(Context.of(np.arange(4.0), stack(4), whole).alone)


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
    def test_neighbours_raise_a_slice_and_lower_another_and_the_threshold_stays(
        self, fitted: Detector, normal: Prepared
    ) -> None:
        ill = series(6, 1, square=0.3)
        alone, together = np.array(each_alone(fitted, ill)), fitted.score_samples(ill)
        middle = np.arange(len(ill)) % EACH
        assert (together[np.isin(middle, (0, 4))] > alone[np.isin(middle, (0, 4))]).mean() > 0.9
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

    def test_a_damaged_context_is_refused(self, fitted: Detector, tmp_path: Path) -> None:
        fitted.save(tmp_path / "d")
        about = json.loads((tmp_path / "d" / "detector.json").read_text())
        del about[CHECKSUMS]
        where = about if fitted.folds_ is None else about["folds"][0]
        where["context"]["together"] = where["context"]["together"][:-1]
        (tmp_path / "d" / "detector.json").write_text(json.dumps(about))
        with pytest.raises(InputError, match="as many slices together as alone"):
            load_detector(tmp_path / "d")

    def test_calibrated_elsewhere_scores_stay(self, normal: Prepared) -> None:
        detector = detector_class("pca")(RECIPE).fit(normal, max_fpr=0.1, folds=0)
        new = series(20, 6)
        before = detector.score_samples(new)
        detector.calibrate(new)
        np.testing.assert_array_equal(detector.score_samples(new), before)
        np.testing.assert_array_equal(detector.calibration_, np.sort(before))


def run(arguments: str) -> None:
    result = CliRunner().invoke(app, arguments.split())
    assert result.exit_code == 0, result.output


def test_files_have_the_same_scores_in_blocks_of_any_size_and_rows_of_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "extends: phantoms\nname: tiny\nfloor: 0.0\n"
    text += "geometry: {view: slices, size: [32, 32], field_of_view_mm: 200}\n"
    phantom_folder(tmp_path, text, given=60, target=6)
    rows = manifest_rows(tmp_path / "data" / "manifest.csv")
    for row in rows:  # of each patient four images, far from each other
        parts = [other for other in rows if other["split"] == row["split"]]
        place, patients = parts.index(row), -(-len(parts) // 4)
        row["patient_id"] = f"{row['split']}{place % patients}"
        row["slice"] = str(place // patients)
    write_manifest(tmp_path / "data" / "slices.csv", rows)
    monkeypatch.chdir(tmp_path)
    run("fit tiny.yaml --cohort data/slices.csv --detector pca --max-fpr 0.2 --out d")
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


def test_series_come_together_where_their_first_case_is_and_no_block_cuts_one() -> None:
    names = "axbyaxzb"
    cases = [case(float(row), patient) for row, patient in enumerate(names)]
    cases[6] = replace(cases[6], slice=None)
    cohort = Cohort(tuple(cases))
    assert "".join(one.patient_id for one in cohort.by_series()) == "aaxxbbyz"
    sizes = [len(block) for block in cohort.blocks(3, whole_series=True)]
    assert sizes == [4, 3, 1]
    assert [one for block in cohort.blocks(3) for one in block] == cases
