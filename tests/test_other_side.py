"""Laws of the other side: what counts, whose it is, and that one threshold holds for all."""

from __future__ import annotations

import json
from dataclasses import replace
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
from makers import Brightness, manifest, recipe
from midclass import Case, Cohort, ImageBatch, InputError, Prepared, load_detector, prepare
from midclass.cli.commands import fit, score
from midclass.cli.commands.source import Source
from midclass.cli.options import Options
from midclass.detectors.catalogue import detector_class
from midclass.detectors.context import FEWEST_SIDES
from midclass.detectors.other_side import REACH_MM, SHARE, Places
from midclass.detectors.saved import CHECKSUMS
from midclass.detectors.site import set_threshold
from midclass.evaluation.table import ScoreTable
from midclass.images.kin import other_sides
from midclass.recipe.recipe import Recipe

GEOMETRY = {
    "view": "tiles",
    "size": [16, 16],
    "roi_mm": 16,
    "canvas_mm": [64, 56],
    "spacing_mm": 1.0,
    "compare": "other_side",
}
SHAPE = (60, 50)


def tiled(**geometry: Any) -> Recipe:
    """Bright bodies, whose other side counts."""
    return recipe(
        geometry=GEOMETRY | geometry,
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

    def test_of_two_of_one_side_nobody_knows_which(self) -> None:
        cases = [case("a", "p", "L"), case("b", "p", "R"), case("c", "p", "L")]
        assert other_sides(cases).tolist() == [-1, -1, -1]
        assert other_sides([case("a", "p", ""), case("b", "p", "R")]).tolist() == [-1, -1]

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


def places(
    said: NDArray[np.float64], mask: NDArray[np.bool_] | None = None, mirrored: bool = False
) -> Places:
    mask = np.ones(said.shape, bool) if mask is None else mask
    return Places(said[None], mask, mirrored, REACH_MM / 2)


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
    assert one.beside(other) == pytest.approx([5 * (1 - SHARE)])
    assert other.beside(one) == pytest.approx([5 * (1 - SHARE)])
    assert one.beside(places(quiet, of_right, mirrored)) == pytest.approx([5.0])
    assert places(quiet, of_right, mirrored).beside(one) == pytest.approx([0.0])


def test_a_mirrored_place_may_be_a_little_off_and_no_more() -> None:
    left = np.zeros((20, 20))
    left[10, 4] = 5
    found = []
    for off in range(5):  # of which two are within reach
        right = np.zeros((20, 20))
        right[10 + off, 15] = 5
        found.append(float(places(left).beside(places(right))[0]))
    assert found == [5 * (1 - SHARE)] * 3 + [5.0] * 2


def test_places_are_found_by_the_boxes_of_both_anatomies() -> None:
    small, large = np.zeros((20, 40), bool), np.zeros((60, 60), bool)
    small[5:15, 10:30] = True
    large[10:50, 0:60] = True
    one, other = np.zeros(small.shape), np.zeros(large.shape)
    one[5, 10] = 5  # a corner
    other[10, 59] = other[0, 0] = 5  # the corner that is mirrored; and a place that is no anatomy
    assert places(one, small).beside(places(other, large)) == pytest.approx([5 * (1 - SHARE)])
    elsewhere = np.where(large, 0, 9.0)  # beside the anatomy nothing counts
    assert places(one, small).beside(places(elsewhere, large)) == pytest.approx([5.0])


def test_a_side_of_which_nothing_is_known_takes_nothing_off() -> None:
    unknown = np.zeros((8, 8))
    unknown[2, 2] = np.nan
    assert np.isnan(places(np.ones((8, 8))).beside(places(unknown))).all()


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
    shift = set_threshold(detector, there, tmp_path / "d")
    assert shift.cases == 60
    assert len(detector.context_.sides.alone) == 60 != len(before.alone)
    seen = detector.score_samples(there)
    assert np.sort(seen).tolist() == detector.calibration_.tolist()


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


def test_where_no_side_is_known_it_says_that_all_are_scored_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = Source(manifest(tmp_path, "path,label", *_without(pairs(tmp_path / "k", bodies(30)))))
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tiled().to_dict()))
    options, mine = Options(cache=tmp_path / "cache"), str(tmp_path / "mine.yaml")
    fit.run(mine, cases, options, out=tmp_path / "d", max_fpr=0.2, detector="pca")
    said = " ".join(capsys.readouterr().out.split())
    assert "are scored alone: of those that calibrate hardly any has another side" in said
    assert "laterality, view_position and patient_id" in said


def _without(cohort: Cohort) -> list[str]:
    return [f"k/{one.path.name},0" for one in cohort]


def test_sides_and_views_of_a_folder_are_those_of_its_headers(tmp_path: Path) -> None:
    for number, (side, view) in enumerate((("L", "MLO"), ("R", "MLO"), ("L", "CC"))):
        image_file(
            tmp_path / f"{number}.dcm",
            PatientID="P7",
            Modality="MG",
            ImageLaterality=side,
            ViewPosition=view,
            SOPInstanceUID=f"1.2.{number}",
        )
    cohort = Cohort.from_files([tmp_path])
    assert [(one.laterality, one.view_position) for one in cohort] == [
        *(("L", "MLO"), ("R", "MLO"), ("L", "CC")),
    ]
    assert other_sides(cohort.cases).tolist() == [1, 0, -1]


def test_only_tiles_can_be_compared() -> None:
    with pytest.raises(InputError, match="compare is of view tiles"):
        recipe(geometry={"size": [32, 32], "compare": "other_side"})
    assert "compare" not in tiled(compare=None).to_dict()["geometry"]  # digests of before
