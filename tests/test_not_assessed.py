"""Laws of what a detector could not look at: an outcome of its own, which is never "normal"."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from typer.testing import CliRunner, Result

from makers import (
    Brightness,
    discs,
    manifest_rows,
    phantom_folder,
    recipe,
    tiny_phantoms,
    write_manifest,
)
from midclass import ImageBatch, InputError, Prepared, ScoreTable, prepare_array, report
from midclass.cli.app import app
from midclass.detectors.catalogue import detector_class
from midclass.detectors.cohort_scores import score_table
from midclass.detectors.plausible import Plausible
from midclass.evaluation import plots
from midclass.evaluation.comparison import TaskComparison
from midclass.evaluation.metrics import auroc
from midclass.evaluation.report import bounds, false_alarms


def prepared(n: int, empty: tuple[int, ...] = (), seed: int = 0) -> Prepared:
    """Discs, some of them without anatomy."""
    found = prepare_array(discs(n, seed), recipe(), spacing_mm=1.0)
    for row in empty:
        found.store.anatomy.setflags(write=True)
        found.store.anatomy[row] = False
        found.store.covered[row] = 0
    return found


def table(scores: list[float], **columns: object) -> ScoreTable:
    """Cases of two patients each, of the target class in the second half."""
    n = len(scores)
    usual = {"threshold": 0.5, "class_name": "", "extra": None}
    return ScoreTable.of(
        [f"c{i}" for i in range(n)],
        [f"p{i // 2}" for i in range(n)],
        np.arange(n) >= n / 2,
        scores,
        **usual | columns,  # type: ignore[arg-type]
    )


class TestInATable:
    def test_score_p_value_and_flag_are_empty_and_a_person_looks(self, tmp_path: Path) -> None:
        detector = Brightness(recipe()).fit(prepared(60), max_fpr=0.1)
        some = prepared(4, empty=(1,), seed=1)
        for rule, review in (("review", "1"), ("leave", "")):
            written = score_table(detector, some, not_assessed=rule)  # type: ignore[arg-type]
            written.write(tmp_path / "s.csv")
            with open(tmp_path / "s.csv", newline="") as file:
                rows = list(csv.DictReader(file))
            named = {row["case_id"]: row for row in rows}
            row = named[some.cases.cases[1].case_id]
            empty = {name for name, cell in row.items() if not cell}
            assert {"score", "p_value", "flagged"} <= empty
            assert (row["assessed"], row["reason"], row["review"]) == (
                "0",
                "no anatomy found",
                review,
            )
            others = [one for one in rows if one is not row]
            assert all(one["assessed"] == "1" and not one["reason"] for one in others)
            assert all(one["review"] == one["flagged"] != "" for one in others)
            again = ScoreTable.read(tmp_path / "s.csv")
            assert again.not_assessed == rule
            assert again.review[1] == (rule == "review")

    def test_what_earlier_versions_wrote_as_minus_infinity_is_not_assessed(
        self, tmp_path: Path
    ) -> None:
        header = "case_id,patient_id,label,class_name,score,threshold,p_value,flagged"
        (tmp_path / "old.csv").write_text(f"{header}\na,p,1,,-inf,0.5,1.0,0\nb,q,0,,2,0.5,0.1,1\n")
        old = ScoreTable.read(tmp_path / "old.csv")
        assert old.assessed.tolist() == [False, True]
        assert old.review.tolist() == [True, True]
        assert "flagged" not in old.extra


class TestOfAFit:
    def test_the_threshold_is_that_of_the_assessed_cases(self) -> None:
        whole, holes = prepared(80), prepared(80, empty=tuple(range(0, 80, 5)))
        detector = Brightness(recipe()).fit(holes, max_fpr=0.25)
        detector_of_all = Brightness(recipe()).fit(whole, max_fpr=0.25)
        unseen = detector.not_assessed_["calibrate"]
        assert unseen > 0
        assert len(detector.calibration_) == len(detector_of_all.calibration_) - unseen
        assert set(detector.calibration_) < set(detector_of_all.calibration_)
        assert (detector.calibration_ > detector.threshold_).mean() <= 0.25

    def test_too_few_that_can_be_assessed_are_refused_before_learning(self) -> None:
        class NeverLearns(Brightness):
            def learn(self, lesson: object) -> None:
                raise AssertionError("learned although the promise cannot be kept")

        holes = prepared(100, empty=tuple(range(15, 100)))
        with pytest.raises(InputError, match=r"cannot be promised with 15 given-class cases"):
            NeverLearns(recipe()).fit(holes, max_fpr=0.1)
        with pytest.raises(InputError, match=r"cannot be promised with \d calibration cases"):
            NeverLearns(recipe()).fit(holes, max_fpr=0.1, folds=0)

    def test_a_score_that_is_no_number_is_an_error_while_it_learns(self) -> None:
        class Broken(Brightness):
            def score(self, images: ImageBatch) -> tuple[torch.Tensor, None]:
                return images.pixels.mean((1, 2, 3)).log() * float("nan"), None

        with pytest.raises(InputError, match="the detector's score is nan"):
            Broken(recipe()).score_samples(prepared(3))


def as_unwindowed_ct(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values of a brain window as a CT file of 12 bits shows them without one."""
    hu = np.where(images < 0.1, -1000, -20 + 120 * images)
    return np.asarray((hu + 1024) / 4095, np.float32)


def strange(images: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Images as they come where something went wrong on the way."""
    rng = np.random.default_rng(0)
    return {
        "12 bits in 16": images / 16,
        "CT without a window": as_unwindowed_ct(images),
        "noise": rng.random(images.shape, np.float32),
        "one value in a frame": np.pad(
            np.full_like(images[..., 2:-2, 2:-2], 0.4), ((0, 0), (0, 0), (2, 2), (2, 2))
        ),
        "one line": np.zeros_like(images) + (np.arange(32) == 16).astype(np.float32),
    }


class TestEveryWayIn:
    @pytest.mark.parametrize("anatomy", ["anatomy.whole", "anatomy.foreground"])
    @pytest.mark.parametrize("name", ["intensity", "pca"])
    @pytest.mark.parametrize("kind", list(strange(discs(1, 0))))
    def test_what_cannot_be_seen_has_no_score_in_any_way_out(
        self, anatomy: str, name: str, kind: str
    ) -> None:
        wanted = recipe(anatomy=anatomy)
        detector = detector_class(name)(wanted).fit(
            prepare_array(discs(80, 0), wanted, spacing_mm=1.0), max_fpr=0.2
        )
        if anatomy == "anatomy.whole" and kind in ("CT without a window", "one value in a frame"):
            pytest.skip("of a whole image the edge of the body, or a frame, is something to see")
        some = prepare_array(strange(discs(4, 1))[kind], wanted, spacing_mm=1.0)
        assert np.isnan(detector.score_samples(some)).all()
        assert np.isnan(detector.decision_function(some)).all()
        assert np.isnan(detector.p_values(detector.score_samples(some))).all()
        assert (detector.predict(some) == 1).all()
        assert (detector.predict(some, not_assessed="leave") == -1).all()
        if detector.makes_heat_maps:
            assert np.isnan(detector.heat_maps(some)).all()
        written = score_table(detector, some).columns()
        assert not any(written["assessed"])
        assert all(written["reason"])
        assert set(written["flagged"]) == {""}
        assert set(written["review"]) == {"1"}
        assert np.isnan(written["p_value"]).all()

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_one_score_that_is_no_number_is_that_cases_alone(self, value: float) -> None:
        class Fragile(Brightness):
            """Fails on bright images."""

            def score(self, images: ImageBatch) -> tuple[torch.Tensor, None]:
                found, _ = super().score(images)
                return torch.where(found > 0.5, torch.tensor(value), found), None

        detector = Fragile(recipe()).fit(prepared(60), max_fpr=0.1)
        images = np.clip(discs(4, 1) + 0.4 * (np.arange(4) == 2)[:, None, None, None], 0, 1)
        some = prepare_array(images.astype(np.float32), recipe(), spacing_mm=1.0)
        written = score_table(detector, some)
        assert written.assessed.tolist() == [True, True, False, True]
        assert written.reason[2].startswith("no score: ")
        assert written.review[2]
        with pytest.raises(InputError, match="is no number"):
            detector.predict(some)

    def test_a_constant_image_is_told_also_where_no_limits_were_learned(self) -> None:
        detector = Brightness(recipe()).fit(prepared(60), max_fpr=0.1)
        detector.plausible_ = Plausible()  # as of earlier versions, or of fewer than 20 cases
        found = prepare_array(discs(2, 1), recipe(anatomy="anatomy.foreground"), spacing_mm=1.0)
        batch = found.batch(slice(None))
        some = found.showing(batch.with_pixels(torch.where(batch.anatomy, 0.3, batch.pixels)))
        assert set(detector.reasons(some).values()) == {
            "nothing to see: all of the anatomy has one value"
        }
        assert np.isnan(detector.score_samples(some)).all()

    @pytest.mark.parametrize("value", [0.0, 0.4, 1.0])
    def test_an_image_of_one_value_fails_before_anything_looks_at_it(self, value: float) -> None:
        with pytest.raises(InputError, match="nothing to see: every pixel is"):
            prepare_array(np.full((1, 1, 32, 32), value), recipe(), spacing_mm=1.0)

    def test_a_threshold_that_nothing_can_exceed_is_no_threshold(self) -> None:
        with pytest.raises(InputError, match="a threshold is finite"):
            ScoreTable.of(["a"], ["p"], [0], [0.1], threshold=np.inf)

    @pytest.mark.parametrize("score", ["NaN", "nan", "-Infinity", "-INF", ""])
    def test_a_cell_that_is_no_score_is_not_assessed_or_told(
        self, tmp_path: Path, score: str
    ) -> None:
        header = "case_id,patient_id,label,class_name,score,threshold,assessed"
        (tmp_path / "s.csv").write_text(f"{header}\na,p,1,,{score},0.5,1\n")
        with pytest.raises(InputError, match=r"row 2, column score"):
            ScoreTable.read(tmp_path / "s.csv")

    def test_a_case_not_assessed_has_no_heat_map_that_looks_normal(self) -> None:
        detector = detector_class("pca")(recipe(anatomy="anatomy.foreground"))
        detector.fit(prepare_array(discs(80, 0), detector.recipe, spacing_mm=1.0), max_fpr=0.2)
        images = np.concatenate([discs(1, 1), discs(1, 2) / 16])
        maps = detector.heat_maps(prepare_array(images, detector.recipe, spacing_mm=1.0))
        assert np.isfinite(maps[0]).all()
        assert np.isnan(maps[1]).all()

    def test_nuisance_says_which_cases_it_could_not_assess(
        self, folder: Path, tmp_path: Path
    ) -> None:
        manifest = folder / "data" / "nuisance.csv"
        rows = manifest_rows(folder / "data" / "manifest.csv")
        rows = [row for row in rows if row["split"] == "test"]
        spot = rows[0] | {"path": "three/c.png", "patient_id": "new", "label": "0"}
        write_manifest(manifest, [*rows, spot])
        out = f"{tmp_path}/n.csv"
        result = typed(folder, "nuisance", "d", "--cohort", "data/nuisance.csv", "--out", out)
        assert result.exit_code == 1, result.output
        assert "not assessed: three/c.png: too little anatomy" in result.stderr
        assert "1 of " in result.stderr


class TestInFigures:
    def test_they_are_those_of_the_table_without_these_cases(self) -> None:
        rng = np.random.default_rng(0)
        scores = rng.normal(size=80) + np.repeat([0, 1], 40)
        unseen = rng.random(80) < 0.2
        whole = table(np.where(unseen, np.nan, scores).tolist())
        rest = whole.take(~unseen)
        found, expected = report(whole, 0.1), report(rest, 0.1)
        for name in ("auroc", "average_precision", "sensitivity", "false_alarm_rate"):
            assert found[name] == expected[name]
        assert found["cases"] == {"given": 40, "target": 40, "unknown": 0}
        given_class = int(unseen[:40].sum())
        assert found["not_assessed"] == {"given": given_class, "target": int(unseen[40:].sum())}
        share = found["share_not_assessed"]["given"]
        assert share["low"] <= share["value"] == given_class / 40 <= share["high"]
        json.dumps(found, allow_nan=False)

    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_bounds_hold_whatever_the_cases_would_have_scored(self, data: st.DataObject) -> None:
        values = st.integers(-3, 3)
        scores = np.array(data.draw(st.lists(values, min_size=8, max_size=8)), float)
        unseen = np.array(data.draw(st.lists(st.booleans(), min_size=8, max_size=8)))
        unseen[[0, 7]] = False
        scores[[0, 7]] = 0, 1
        limits = bounds(table(np.where(unseen, np.nan, scores).tolist()))
        whole = table(scores.tolist())
        found = {
            "auroc": auroc(whole.label, whole.score),
            "sensitivity": whole.flagged[whole.label == 1].mean(),
            "false_alarm_rate": whole.flagged[whole.label == 0].mean(),
        }
        for name, (low, high) in limits.items():
            assert low - 1e-12 <= found[name] <= high + 1e-12
            assert unseen.any() or low == high

    def test_bounds_are_reached(self) -> None:
        assert bounds(table([0, np.nan, np.nan, 1]))["auroc"] == [0.25, 1.0]

    def test_a_class_of_which_nothing_was_assessed_has_no_figure(self) -> None:
        with pytest.raises(InputError, match="none of the 2 target-class cases was assessed"):
            report(table([0, 1, np.nan, np.nan]), 0.1)

    def test_a_patient_with_unseen_slices_keeps_the_label_of_all(self) -> None:
        """The only slice with disease was not assessed: the patient is no normal one."""
        cases = ScoreTable.of(
            [*"abcdefghijkl"],
            [*"pppqqqrrrsss"],
            [0, 0, 1, 0, 0, 0, 1, 1, 1, 0, 0, 0],
            [3, 3, np.nan, 1, 1, 1, 2, 2, 2, 0, 0, 0],
        )
        found = report(cases, 0.1)
        assert found["patients"] == {"given": 2, "target": 2}
        assert found["auroc_per_patient"]["value"] == 1

    def test_the_curve_is_of_assessed_cases_and_says_so(self, tmp_path: Path) -> None:
        scores = np.random.default_rng(0).normal(size=40) + np.repeat([0, 1], 20)
        whole = table(scores.tolist())
        holes = table([np.nan, *scores[1:].tolist()])
        for name, one in (("whole", whole), ("holes", holes), ("rest", holes.take(holes.assessed))):
            plots.roc(tmp_path / f"{name}.png", "title", one, report(one, 0.1))
        pictures = [(tmp_path / f"{n}.png").read_bytes() for n in ("whole", "holes", "rest")]
        assert len(set(pictures)) == 3  # the second says what is not in its curve

    def test_false_alarms_under_a_nuisance_are_of_those_it_leaves_assessable(self) -> None:
        columns = {"gain -1": [0.9, np.nan], "gain +1": [0.1, np.nan]}
        cases = ScoreTable.of([*"ab"], [*"pq"], [0, 0], [0.1, 0.9], threshold=0.5, extra=columns)
        rates = false_alarms(cases)
        assert rates["none"][0.0]["value"] == 0.5
        assert rates["gain"][1.0]["value"] == 0.5  # of the first case alone, at one of two ends

    def test_a_nuisance_that_leaves_nothing_to_assess_says_so_and_the_others_are_told(self) -> None:
        columns = {"blur -2": [np.nan] * 8, "gain -1": [0.9, *[np.nan] * 7], "gain -2": [0.9] * 8}
        names = [str(i) for i in range(8)]
        cases = ScoreTable.of(names, names, [0] * 8, [0.1] * 8, threshold=0.5, extra=columns)
        rates = false_alarms(cases)
        assert np.isnan(rates["blur"][2.0]["value"])
        assert (rates["gain"][1.0]["low"], rates["gain"][1.0]["high"]) == (0.0, 1.0)
        assert rates["gain"][2.0]["value"] == 1.0


class TestInAComparison:
    def test_detectors_without_a_common_case_are_refused(self) -> None:
        one, other = table([0, np.nan, 1, np.nan]), table([np.nan, 0, np.nan, 1])
        with pytest.raises(InputError, match="there is no case that all of a, b assessed"):
            TaskComparison.of({"a": {0: one}, "b": {0: other}}, resamples=10)

    def test_a_detector_gains_nothing_by_leaving_out_what_it_would_miss(self) -> None:
        """Alone its figure is perfect; against the other it is no better than on these cases."""
        scores = [0.0, 0.1, 0.2, 0.3, 0.0, 0.1, 0.8, 0.9]
        picky = [0.0, 0.1, 0.2, 0.3, np.nan, np.nan, 0.8, 0.9]
        compared = TaskComparison.of(
            {"a": {0: table(picky)}, "b": {0: table(scores)}}, resamples=50
        )
        assert compared.estimate("a").value == 1 > compared.estimate("b").value
        assert compared.difference("a", "b").value == 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector ``d``, and three files in ``data/three``: a phantom, and two with a mere spot."""
    least = tiny_phantoms().replace("_mm: 200", "_mm: 200, least_anatomy_mm2: 2000")
    folder = phantom_folder(tmp_path_factory.mktemp("unseen"), least)
    arguments = ["fit", "tiny.yaml", "--cohort", "data/manifest.csv", "--max-fpr", "0.1"]
    result = typed(folder, *arguments, "--detector", "intensity", "--out", "d")
    assert result.exit_code == 0, result.output
    three = folder / "data" / "three"
    three.mkdir()
    for name, side in (("b", 6), ("c", 8)):
        spot = np.zeros((48, 48), np.uint8)
        spot[20 : 20 + side, 20 : 20 + side] = 200
        PIL.Image.fromarray(spot).save(three / f"{name}.png")
    shutil.copy(folder / "data" / "images" / "target_00000.png", three / "a.png")
    return folder


class TestOnTheCommandLine:
    def test_score_names_them_says_why_and_ends_with_1(self, folder: Path, tmp_path: Path) -> None:
        result = typed(folder, "score", "d", "data/three", "--out", f"{tmp_path}/s.csv")
        assert result.exit_code == 1
        assert "1 cases scored, 0 flagged, 2 not assessed" in result.stdout
        assert "2 of 3 cases could not be assessed: too little anatomy (2)" in result.stderr
        assert "a person should look" in result.stderr
        for name in ("b.png", "c.png"):
            assert f"{name}: too little anatomy: " in result.stderr
        assert ScoreTable.read(tmp_path / "s.csv").review.tolist() == [False, True, True]

    def test_left_out_on_demand_they_are_still_named(self, folder: Path, tmp_path: Path) -> None:
        command = ["score", "d", "data/three", "--out", f"{tmp_path}/s.csv", "--leave-not-assessed"]
        result = typed(folder, *command)
        assert result.exit_code == 1
        assert "2 of 3 cases could not be assessed" in result.stderr
        assert ScoreTable.read(tmp_path / "s.csv").review.tolist() == [False, False, False]

    def test_evaluate_says_what_its_figures_leave_out(self, folder: Path, tmp_path: Path) -> None:
        rows = manifest_rows(folder / "data" / "manifest.csv")
        shown = next(row for row in rows if row["label"] == "1")
        noise = shown | {"path": "three/c.png", "patient_id": "new", "split": "test"}
        broken = noise | {"path": "cut.png", "patient_id": "cut", "label": "0"}
        whole = (folder / "data" / "images" / "target_00000.png").read_bytes()
        (folder / "data" / "cut.png").write_bytes(whole[: len(whole) // 2])
        gone = broken | {"path": "gone.png", "patient_id": "gone"}
        write_manifest(folder / "data" / "more.csv", [broken, gone, *rows, noise])
        command = ["evaluate", "d", "--cohort", "data/more.csv", "--out", f"{tmp_path}/e"]
        result = typed(folder, *command)
        assert result.exit_code == 1, result.output
        assert "not assessed: three/c.png: too little anatomy" in result.stderr
        assert (
            "not assessed: cut.png: cannot be used: cannot be read: image file is" in result.stderr
        )
        assert "not assessed: gone.png: cannot be used: no such file" in result.stderr
        assert "3 of 27 cases could not be assessed; a person should look" in result.stderr
        said = "not assessed, and in no figure above: 2 given-class (14.3%) and 1 target-class"
        assert said in " ".join(result.stdout.split())
        scored = ScoreTable.read(tmp_path / "e" / "scores.csv")
        assert scored.case_id.tolist()[:2] == [
            "cut.png",
            "gone.png",
        ]  # in the order of the manifest
        assert not scored.assessed[:2].any()
        assert scored.review[:2].all()
        assert scored.assessed.sum() == 24
        assert report(scored.take(scored.assessed), 0.1)["auroc"] == report(scored, 0.1)["auroc"]
        assert "whatever they would score: AUROC" in " ".join(result.stdout.split())
        figures = json.loads((tmp_path / "e" / "summary.json").read_text())
        assert figures["not_assessed"] == {"given": 2, "target": 1}
        assert figures["reasons"] == {"cannot be used": 2, "too little anatomy": 1}
        low, high = figures["bounds"]["auroc"]
        assert low < figures["auroc"]["value"] < high or high == 1


def typed(folder: Path, *arguments: str) -> Result:
    """A command, with paths that are in the folder."""
    filled = [str(folder / one) if (folder / one).exists() else one for one in arguments]
    filled = [str(folder / one) if one in ("d",) else one for one in filled]
    return CliRunner().invoke(app, [*filled, "--cache", str(folder / "cache")])
