"""Laws of the other side: what counts, whose it is, and that one threshold holds for all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dicom_folders import image_file
from makers import TILES, Brightness, manifest, recipe
from midclass import (
    Case,
    Cohort,
    ImageBatch,
    InputError,
    Prepared,
    load_detector,
    prepare,
    prepare_array,
)
from midclass.cli.commands import fit, score
from midclass.cli.commands.source import Source
from midclass.cli.options import Options
from midclass.detectors.catalogue import detector_class
from midclass.detectors.cohort_scores import score_table
from midclass.detectors.context import FEWEST_SIDES, Context
from midclass.detectors.look import NO_NUMBER
from midclass.detectors.other_side import REACH_MM, SHARE, beside
from midclass.detectors.places import Places
from midclass.detectors.saved import CHECKSUMS
from midclass.detectors.site import set_threshold
from midclass.detectors.sliding import _other_rows
from midclass.evaluation.calibrated import CalibratedPatients
from midclass.evaluation.table import ScoreTable
from midclass.images.keys import rules_of
from midclass.images.kin import other_sides
from midclass.images.sample import OF_USER
from midclass.recipe.recipe import Recipe

SHAPE = (60, 50)


def tiled(**geometry: Any) -> Recipe:
    """Bright bodies, whose other side counts."""
    return recipe(
        geometry=TILES | {"compare": "other_side"} | geometry,
        anatomy="anatomy.foreground",
        intensity={"rule": "none"},
        middle_classes={"ball": {"operator": "focal.Focal", "diameter_mm": [3, 6]}},
    )


class Brightest(Brightness):
    """Scores the brightest place of a square."""

    def score(self, images: ImageBatch) -> tuple[torch.Tensor, None]:
        return (images.pixels * images.anatomy).amax((1, 2, 3)), None


def case(name: str, patient: str, side: str, view: str = "MLO") -> Case:
    return Case(name, Path(f"{name}.png"), 0, patient, laterality=side, view_position=view)


class TestWhoseOtherSide:
    def test_it_is_the_one_of_the_same_patient_in_the_same_view(self) -> None:
        cases = [
            *(case("a", "p", "L"), case("b", "p", "R", "CC"), case("c", "q", "R")),
            *(case("d", "p", "R"), case("e", "p", "L", "CC"), case("f", "q", "R", "CC")),
        ]
        assert other_sides(cases).tolist() == [3, 4, -1, 0, 1, -1]

    def test_it_is_of_the_same_study(self) -> None:
        cases = [
            replace(case(f"{side}{year}", "p", side), study_id=f"{year}")
            for side in "LR"
            for year in (1, 2)
        ]
        assert other_sides(cases).tolist() == [2, 3, 0, 1]

    def test_of_two_of_one_side_nobody_knows_which(self) -> None:
        cases = [case("a", "p", "L"), case("b", "p", "R"), case("c", "p", "L")]
        assert other_sides(cases).tolist() == [-1, -1, -1]
        for sides in (("", "R"), ("L", "L")):
            pair = [case(f"{number}", "p", side) for number, side in enumerate(sides)]
            assert other_sides(pair).tolist() == [-1, -1]

    @given(st.permutations(range(8)), st.integers(1, 5))
    def test_no_block_cuts_two_sides_apart(self, order: list[int], size: int) -> None:
        cases = [case(f"{n}", f"p{n // 2}", "LR"[n % 2]) for n in range(6)]
        cases += [case("6", "q", "L"), case("7", "r", "")]
        cohort = Cohort(tuple(cases[n] for n in order))
        blocks = list(cohort.blocks(size, tiled().geometry))
        assert sorted(one.case_id for block in blocks for one in block) == sorted("01234567")
        assert sum(int((other_sides(block.cases) >= 0).sum()) for block in blocks) == 6
        assert all(len(block) <= size + 1 for block in blocks)
        alone = list(cohort.blocks(size, tiled(compare=None).geometry))
        assert [one for block in alone for one in block] == list(cohort)


@dataclass(frozen=True)
class Said(Places):
    """What is said of each place ``(K, h, w)``, in place of what tiles say."""

    maps: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))

    def said(self) -> Iterator[NDArray[np.float64]]:
        yield from self.maps


def places(
    said: NDArray[np.float64], mask: NDArray[np.bool_] | None = None, mirrored: bool = False
) -> Said:
    maps = said.reshape(-1, *said.shape[-2:])
    mask = np.ones(maps.shape[1:], bool) if mask is None else mask
    corners, nothing = np.empty((0, 2), np.int64), np.empty((0, len(maps)))
    return Said(corners, nothing, 8, mask, REACH_MM / 2, mirrored, maps)


def first(one: Places, other: Places) -> list[float]:
    """Of one beside the other."""
    found, again = beside(one, other)
    assert (np.array(beside(other, one)) == (again, found)).all()
    return [float(score) for score in found.ravel()]


@given(st.integers(0, 1000), st.booleans())
def test_what_both_sides_show_at_one_place_counts_less_and_what_one_shows_counts_whole(
    seed: int, mirrored: bool
) -> None:
    rng = np.random.default_rng(seed)
    mask = np.zeros((24, 20), bool)
    mask[3:21, 2:15] = True
    left, quiet = np.zeros((24, 20)), np.zeros((24, 20))
    left[rng.integers(3, 21), rng.integers(2, 15)] = 5.0
    right = left if mirrored else left[:, ::-1]  # one was mirrored before, so that both are alike
    of_right = mask if mirrored else mask[:, ::-1]
    one, other = places(left, mask), places(right, of_right, mirrored)
    assert first(one, other) == pytest.approx([5 * (1 - SHARE)])
    assert first(other, one) == pytest.approx([5 * (1 - SHARE)])
    assert first(one, places(quiet, of_right, mirrored)) == pytest.approx([5.0])
    assert first(places(quiet, of_right, mirrored), one) == pytest.approx([0.0])


def test_a_mirrored_place_may_be_a_little_off_and_no_more() -> None:
    left = np.zeros((20, 20))
    left[10, 4] = 5
    found = []
    for off in range(5):  # of which two are within reach
        right = np.zeros((20, 20))
        right[10 + off, 15] = 5
        found.append(float(first(places(left), places(right))[0]))
    assert found == [5 * (1 - SHARE)] * 3 + [5.0] * 2


def test_places_are_found_by_the_boxes_of_both_anatomies() -> None:
    small, large = np.zeros((20, 40), bool), np.zeros((60, 60), bool)
    small[5:15, 10:30] = True
    large[10:50, 0:60] = True
    one, other = np.zeros(small.shape), np.zeros(large.shape)
    one[5, 10] = 5  # a corner
    other[10, 59] = other[0, 0] = 5  # the corner that is mirrored; and a place that is no anatomy
    assert first(places(one, small), places(other, large)) == pytest.approx([5 * (1 - SHARE)])
    elsewhere = np.where(large, 0, 9.0)  # beside the anatomy nothing counts
    assert first(places(one, small), places(elsewhere, large)) == pytest.approx([5.0])


def test_only_what_is_unusual_of_the_other_side_is_taken_off() -> None:
    y, x = np.mgrid[:40, :40]
    disc = np.hypot(y - 20, x - 20) < 12
    usual = np.where(disc, 3.0, 0)
    usual[16:24, 16:24] = 1  # quiet there
    one = np.zeros((40, 40))
    one[20, 20] = one[20, 9] = 5  # where the other is quiet, and at its border
    found = places(one, disc)
    assert first(found, places(usual, disc)) == pytest.approx(found.highest())
    one[20, 20] = 0
    assert first(found, places(usual, disc)) == pytest.approx([5.0])


def test_a_side_of_which_nothing_is_known_takes_nothing_off() -> None:
    unknown = np.zeros((8, 8))
    unknown[2, 2] = np.nan
    known, half = np.ones((2, 8, 8)), np.stack([unknown, np.ones((8, 8))])
    assert np.isnan(beside(places(known), places(half))).all()  # by any detector
    assert beside(places(known), places(known))[0].shape == (2,)


def bodies(n: int, seed: int = 0) -> NDArray[np.uint8]:
    """Both sides of n patients ``(2 n, h, w)``, each with a bright place of its own on both."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    images = []
    for _ in range(n):
        left = 0.3 * (np.hypot(x, y) < 0.9) + 0.05
        at = rng.integers(20, 40), rng.integers(15, 35)
        left[at[0] : at[0] + 3, at[1] : at[1] + 3] = rng.uniform(0.5, 0.8)
        images += [left, left[:, ::-1]]
    return (255 * (np.array(images) + rng.normal(0, 0.005, (2 * n, *SHAPE)))).astype(np.uint8)


def pairs(folder: Path, images: NDArray[np.uint8], name: str = "p", ill: int = 0) -> Cohort:
    """Left and right of each patient, of whom the first so many have a bright place on the left."""
    folder.mkdir(exist_ok=True)
    cases = []
    for number, image in enumerate(images):
        sick = number % 2 == 0 and number < 2 * ill
        if sick:
            image = image.copy()
            image[44:49, 22:27] = 200
        one = case(f"{name}{number}", f"{name}{number // 2}", "LR"[number % 2])
        PIL.Image.fromarray(image).save(folder / one.path.name)
        cases.append(replace(one, path=folder / one.path.name, label=int(sick)))
    return Cohort(tuple(cases))


def prepared(folder: Path, images: NDArray[np.uint8], **about: Any) -> Prepared:
    return prepare(pairs(folder, images, **about), tiled(), cache=folder / "cache")


@pytest.fixture(scope="module")
def normals(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(tmp_path_factory.mktemp("normal"), bodies(60))


@pytest.fixture(scope="module")
def fitted(normals: Prepared) -> Brightest:
    return Brightest(tiled(), max_fpr=0.1).fit(normals)


@pytest.fixture(scope="module")
def test_cases(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepared(tmp_path_factory.mktemp("test"), bodies(40, seed=1), name="t", ill=10)


def auroc(label: NDArray[np.int64], scores: NDArray[np.float64]) -> float:
    return float(np.mean(scores[label == 1][:, None] > scores[label == 0]))


def labels(cases: Prepared) -> NDArray[np.int64]:
    return np.array([one.label for one in cases.cases])


def alone(detector: Brightest, cases: Prepared) -> NDArray[np.float64]:
    """Scores of cases of which each is the only one."""
    each = [cases.subset(cases.cases[[row]]) for row in range(len(cases.cases))]
    return np.concatenate([detector.score_samples(one) for one in each])


def test_a_lesion_of_one_side_is_told_from_what_both_sides_show(
    fitted: Brightest, test_cases: Prepared
) -> None:
    label = labels(test_cases)
    assert auroc(label, alone(fitted, test_cases)) < 0.9
    assert auroc(label, fitted.score_samples(test_cases)) > 0.97


def test_one_threshold_holds_for_cases_alone_and_beside_the_other_side(fitted: Brightest) -> None:
    assert len(fitted.context_.sides.alone) == fitted.cases_["calibrate"] >= FEWEST_SIDES
    scale = fitted.context_.sides
    first = np.unique(scale.together, return_index=True)[1]
    assert len(first) > FEWEST_SIDES
    assert (scale(scale.together)[first] == scale.alone[first]).all()
    assert (fitted.calibration_ == fitted.context_.sides.alone).all()


def test_false_alarms_are_as_promised_with_and_without_the_other_side(
    fitted: Brightest, tmp_path: Path
) -> None:
    new = prepared(tmp_path, bodies(100, seed=7), name="n")
    for scores in (fitted.score_samples(new), alone(fitted, new)):
        assert np.mean(scores > fitted.threshold_) < 0.2  # 10 % of what 24 cases tell


def test_neither_the_order_of_cases_nor_others_beside_them_count(
    fitted: Brightest, test_cases: Prepared
) -> None:
    scores = fitted.score_samples(test_cases)
    order = np.random.default_rng(0).permutation(len(scores))
    assert (fitted.score_samples(test_cases.subset(test_cases.cases[order])) == scores[order]).all()
    both = test_cases.subset(test_cases.cases[[7, 6]])
    assert fitted.score_samples(both).tolist() == scores[[7, 6]].tolist()
    rest = test_cases.subset(test_cases.cases[1:])  # so that no group of eight is of pairs alone
    assert (fitted.score_samples(rest)[1:] == scores[2:]).all()
    single = test_cases.subset(test_cases.cases[[6]])
    assert fitted.score_samples(single)[0] != scores[6]


def test_without_the_field_every_case_is_scored_alone(
    test_cases: Prepared, normals: Prepared
) -> None:
    detector = Brightest(tiled(compare=None), max_fpr=0.1).fit(normals)
    assert not detector.context_
    scores = detector.score_samples(test_cases)
    assert (scores == alone(detector, test_cases)).all()


def test_a_case_whose_other_side_cannot_be_assessed_is_scored_alone(
    fitted: Brightest, test_cases: Prepared
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        seen = fitted.assessable
        patch.setattr(fitted, "assessable", lambda some: seen(some)[seen(some) != 1])
        scores = fitted.score_samples(test_cases)
    assert np.isnan(scores[1])
    assert scores[0] == alone(fitted, test_cases.subset(test_cases.cases[[0]]))[0]


def test_a_case_whose_score_is_no_number_is_not_assessed_and_the_other_side_is_scored_alone(
    fitted: Brightest, test_cases: Prepared
) -> None:
    scores, each = fitted.score_samples(test_cases), alone(fitted, test_cases)

    class Fails(Brightest):
        def score(self, images: ImageBatch) -> tuple[torch.Tensor, None]:
            found = super().score(images)[0]
            return found.where(found < 0.75, torch.inf), None

    detector = Fails(fitted.recipe)
    detector.context_, detector.calibration_ = fitted.context_, fitted.calibration_
    detector.threshold_ = fitted.threshold_
    table = score_table(detector, test_cases)
    lost = table.assessed == 0
    assert 0 < lost.sum() < 80
    assert set(table.reason[lost]) == {NO_NUMBER}
    other = other_sides(test_cases.cases.cases)
    expected = np.where(lost[other], each, scores)
    np.testing.assert_allclose(table.score[~lost], expected[~lost], atol=1e-6)
    assert (lost[other] & ~lost).any()


def test_a_third_image_counts_for_whose_other_side_one_is_though_it_cannot_be_read(
    fitted: Brightest, test_cases: Prepared, tmp_path: Path
) -> None:
    some = test_cases.cases.cases[:2]
    again = replace(some[0], case_id="again", path=tmp_path / "again.png")
    cohort = Cohort((*some, again))
    PIL.Image.fromarray(bodies(1, seed=9)[0]).save(again.path)
    found = [fitted.score_samples(prepare(cohort, tiled(), cache=tmp_path / "cache"))[:2]]
    again.path.write_bytes(b"no image")
    broken = prepare(cohort, tiled(), cache=tmp_path / "cache", keep_going=True)
    assert len(broken.failed) == 1
    found.append(fitted.score_samples(broken))
    expected = alone(fitted, test_cases.subset(test_cases.cases[:2]))
    for scores in found:
        np.testing.assert_array_equal(scores, expected)


def test_sides_by_different_anatomies_are_not_compared() -> None:
    cohort = Cohort(tuple(case(side, "p", side) for side in "LR"))
    known = prepare_array(bodies(1)[:, None] / 255, tiled(), spacing_mm=1.0)
    both = replace(known, cases=cohort)
    assert _other_rows(both, np.arange(2)) == {0: 1, 1: 0}
    both.store.link[both.rows[1]] = OF_USER  # a mask of the user's may show less of it
    assert _other_rows(both, np.arange(2)) == {}


def test_a_mirrored_image_is_compared_as_it_lies_and_reach_is_in_mm(tmp_path: Path) -> None:
    y, x = np.mgrid[-1 : 1 : SHAPE[0] * 1j, -1 : 1 : SHAPE[1] * 1j]
    left = np.where(np.hypot(x, y) < 0.9, 90, 10).astype(np.uint8)
    right = left.copy()
    left[20:23, 10:13] = 200
    right[36:39, 50 - 13 : 50 - 10] = 200  # 8 mm off, of samples of half a mm sixteen
    cohort = pairs(tmp_path, np.stack([left, right]))
    cohort = replace(cohort, cases=tuple(replace(one, spacing_mm=(0.5, 0.5)) for one in cohort))
    changed = []
    for orient in ("keep", "laterality"):
        mine = tiled(orient=orient, roi_mm=8, canvas_mm=[32, 28], spacing_mm=0.5)
        (look,) = Brightest(mine).looks(prepare(cohort, mine, cache=tmp_path / "cache"))
        assert look.compared is not None
        changed.append(float(look.compared[0] - look.scores[0]))
        expected = -SHARE * (float(look.scores[1]) - 90 / 255)
        assert changed[-1] == pytest.approx(expected, abs=0.02)
    assert changed[0] == pytest.approx(changed[1], abs=0.01)


@pytest.mark.parametrize(("pairs_of_all", "count"), [(60, 60), (30, 30), (29, 0), (9, 0)])
def test_too_few_pairs_of_all_that_calibrate_set_no_scale(pairs_of_all: int, count: int) -> None:
    scores = np.random.default_rng(0).normal(size=60)
    compared = np.where(np.arange(60) < pairs_of_all, scores, np.nan)
    cases = [case(f"{n}", f"p{n}", "L") for n in range(60)]
    context = Context.of(scores, cases, tiled().geometry, compared)
    assert len(context.sides.alone) == count


@pytest.mark.parametrize(("n", "compares"), [(30, True), (22, False)])
def test_all_folds_compare_or_none(normals: Prepared, n: int, compares: bool) -> None:
    few = normals.subset(normals.cases[: 2 * n])  # 22 patients are 10 or 8 cases a fold
    folds = Brightest(tiled(), max_fpr=0.1).fit(few, folds=5).folds_
    assert folds is not None
    assert {bool(one.context_) for one in folds.members} == {compares}


@pytest.mark.parametrize("folds", [0, 3])
def test_saved_and_loaded_it_says_the_same(
    normals: Prepared, test_cases: Prepared, tmp_path: Path, folds: int
) -> None:
    detector = detector_class("pca")(tiled()).fit(normals, max_fpr=0.1, folds=folds)
    scores = detector.score_samples(test_cases)
    single = detector.score_samples(test_cases.subset(test_cases.cases[[6]]))
    assert single[0] != scores[6]
    detector.save(tmp_path / "d")
    loaded = load_detector(tmp_path / "d")
    assert loaded.score_samples(test_cases).tolist() == scores.tolist()
    facts = json.loads((tmp_path / "d" / "detector.json").read_bytes())
    said = [one["context"] for one in ([facts] if not folds else facts["folds"])]
    assert [list(one) for one in said] == [["sides"]] * len(said)
    of_sides = (facts if not folds else facts["folds"][0])["context"]["sides"]
    of_sides["alone"] = of_sides["alone"][::-1]
    del facts[CHECKSUMS]
    (tmp_path / "d" / "detector.json").write_text(json.dumps(facts))
    with pytest.raises(InputError, match="scores alone are not in order"):
        load_detector(tmp_path / "d")


def test_calibrated_at_another_place_its_pairs_set_the_scale(
    normals: Prepared, fitted: Brightest, tmp_path: Path
) -> None:
    detector = detector_class("pca")(tiled()).fit(normals, max_fpr=0.1, folds=0)
    detector.save(tmp_path / "d")
    before = detector.context_.sides
    there = prepared(tmp_path / "there", bodies(30, seed=5), name="o")
    known = load_detector(tmp_path / "d")
    shift = set_threshold(detector, there, tmp_path / "d")
    flagged = int((known.score_samples(there) > known.threshold_).sum())
    singly = [there.subset(there.cases[[row]]) for row in range(60)]
    alone_flagged = sum(float(known.decision_function(one)[0]) > 0 for one in singly)
    assert (shift.cases, shift.flagged) == (60, flagged)
    assert flagged != alone_flagged
    assert len(detector.context_.sides.alone) == 60 != len(before.alone)
    seen = detector.score_samples(there)
    assert np.sort(seen).tolist() == detector.calibration_.tolist()
    known = CalibratedPatients.of(seen, [one.patient_id for one in there.cases])
    assert detector.patient_calibration_.to_json() == known.to_json()


def rows(cohort: Cohort, part: str) -> list[str]:
    return [
        f"{one.path.parent.name}/{one.path.name},{one.label},{one.patient_id},{one.laterality},"
        f"{one.view_position},{part}"
        for one in cohort
    ]


def test_the_commands_score_both_sides_together_whatever_the_size_of_a_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = rows(pairs(tmp_path / "k", bodies(40)), "train")
    new = rows(pairs(tmp_path / "n", bodies(6, seed=2), name="n"), "test")
    new = new[::2] + new[1::2]  # all left ones first
    head = "path,label,patient_id,laterality,view_position,split"
    cases = Source(manifest(tmp_path, head, *known, *new))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tiled().to_dict()))
    options, out = Options(cache=tmp_path / "cache"), tmp_path / "d"
    fit.run(str(tmp_path / "mine.yaml"), cases, options, out=out, max_fpr=0.2, detector="pca")
    assert "scored beside the other side" in capsys.readouterr().out
    cohort, tables = Cohort.from_manifest(cases.manifest).part("test"), []
    for size in (512, 3, 1):
        monkeypatch.setattr(score, "BLOCK", size)
        score.run(out, cohort, options, out=tmp_path / f"{size}.csv")
        tables.append(ScoreTable.read(tmp_path / f"{size}.csv"))
    for table in tables:
        assert table.case_id.tolist() == tables[0].case_id.tolist()
        assert table.score.tolist() == tables[0].score.tolist()
    found = load_detector(out).score_samples(prepare(cohort, tiled(), cache=tmp_path / "cache"))
    of = dict(zip((one.case_id for one in cohort), found.tolist(), strict=True))
    assert tables[0].score.tolist() == pytest.approx([of[one] for one in tables[0].case_id])


def test_views_are_read_in_any_case_and_no_other_column_is_taken_for_them(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    path = manifest(tmp_path, "path,laterality,view_position,study_id", "a.png,l,mlo,7")
    (one,) = Cohort.from_manifest(path)
    assert (one.laterality, one.view_position, one.study_id) == ("L", "MLO", "7")
    for column in ("View Position", "ViewPosition", "position", "Study ID"):
        path = manifest(tmp_path, f"path,{column}", "a.png,PA")
        assert Cohort.from_manifest(path)[0].view_position == ""


def test_where_no_side_is_known_it_says_that_all_are_scored_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = Source(manifest(tmp_path, "path,label", *_without(pairs(tmp_path / "k", bodies(30)))))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tiled().to_dict()))
    options, mine = Options(cache=tmp_path / "cache"), str(tmp_path / "mine.yaml")
    fit.run(mine, cases, options, out=tmp_path / "d", max_fpr=0.2, detector="pca")
    said = " ".join(capsys.readouterr().out.split())
    assert "are scored alone: too few of those that calibrate have another side" in said
    assert "laterality, view_position, study_id and patient_id" in said
    assert "each fold" not in said
    fit.run(mine, cases, options, out=tmp_path / "f", max_fpr=0.2, detector="pca", folds=3)
    assert "DICOM headers; each fold needs some" in " ".join(capsys.readouterr().out.split())


def _without(cohort: Cohort) -> list[str]:
    return [f"k/{one.path.name},0" for one in cohort]


def test_sides_and_views_of_a_folder_are_those_of_its_headers(tmp_path: Path) -> None:
    for number, (side, view) in enumerate((("L", "MLO"), ("R", "MLO"), ("L", "CC"), ("R", "CC"))):
        image_file(
            tmp_path / f"{number}.dcm",
            PatientID="P7",
            Modality="MG",
            ImageLaterality=side,
            ViewPosition=view,
            SOPInstanceUID=f"1.2.{number}",
            StudyInstanceUID="1.2.9" if number < 3 else "1.2.10",
        )
    cohort = Cohort.from_files([tmp_path])
    assert [(one.laterality, one.view_position) for one in cohort] == [
        *(("L", "MLO"), ("R", "MLO"), ("L", "CC"), ("R", "CC")),
    ]
    assert other_sides(cohort.cases).tolist() == [1, 0, -1, -1]  # the last is of another study


def test_no_image_is_prepared_anew_for_it() -> None:
    keys = {
        rules_of(one.geometry, one.intensity, one.accepts, [])
        for one in (tiled(), tiled(compare=None))
    }
    assert len(keys) == 1


def test_only_tiles_can_be_compared() -> None:
    with pytest.raises(InputError, match="compare is of view tiles"):
        recipe(geometry={"size": [32, 32], "compare": "other_side"})
    assert "compare" not in tiled(compare=None).to_dict()["geometry"]  # digests of before
