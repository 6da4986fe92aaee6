"""View tiles: squares all over the anatomy, one score and one heat map a case."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from makers import TILES, Brightness, manifest, recipe
from midclass import Cohort, ImageBatch, InputError, Lesson, MiddleClassDetector, prepare
from midclass.cli.commands import evaluate, fit, monitor, score
from midclass.cli.commands.source import Source
from midclass.cli.options import Options
from midclass.cli.service.scorer import Arrived, Scorer
from midclass.detectors import eye, on_source, sliding
from midclass.detectors.cohort_scores import score_table
from midclass.detectors.export import exported
from midclass.detectors.eye import taught
from midclass.detectors.graph import graph_of
from midclass.detectors.places import Places
from midclass.detectors.storage import load_detector
from midclass.evaluation.table import ScoreTable
from midclass.images.arrays import prepare_array
from midclass.images.case import Case
from midclass.images.tiles import Tiles, over_anatomy, planned, to_learn_from
from midclass.preview import sheet
from midclass.preview.audit import audit
from midclass.recipe.recipe import Recipe

GEOMETRY = TILES | {"least_anatomy_mm2": 100}


def tiled(**fields: Any) -> Recipe:
    """Bright balls in bright bodies of 64 x 56 mm at most, by tiles of 16 mm."""
    geometry = GEOMETRY | fields.pop("geometry", {})
    usual = {
        "geometry": geometry,
        "anatomy": "anatomy.foreground",
        "nuisance": {"rotation_deg": 10},
        "middle_classes": {"ball": {"operator": "focal.Focal", "diameter_mm": [3, 6]}},
        "budget": {"steps": 2, "batch": 8, "width": 8, "checkpoints": 1},
    }
    return recipe(**usual | fields)


def bodies(n: int, seed: int = 0, shape: tuple[int, int] = (60, 50)) -> np.ndarray[Any, Any]:
    """``(n, 1, *shape)``: noisy ellipses of different size."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    body = 0.4 * (np.hypot(x, y) < rng.uniform(0.6, 0.95, (n, 1, 1)))
    images = body + rng.normal(0, 0.03, (n, *shape)) + 0.1
    return images.clip(0, 1)[:, None].astype(np.float32)


SPOTS = '''
from midclass import Detector

class Spots(Detector):
    """Scores the brightest pixel of an image; heat is its brightness."""

    def learn(self, lesson):
        """Nothing."""

    def score(self, images):
        return (images.pixels * images.anatomy).amax((1, 2, 3)), images.pixels.clone()

    def state(self):
        return {}, {}

    def restore(self, tensors, facts):
        """Nothing."""
'''


class Spots(Brightness):
    """Scores the brightest pixel of an image; heat is its brightness."""

    def score(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        inside = images.pixels * images.anatomy
        return inside.amax((1, 2, 3)), images.pixels.clone()


class CountsItsBatch(Spots):
    """Scores the number of images that are seen together, below 0: the smallest is highest."""

    def score(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        return torch.full((len(images),), -float(len(images))), images.pixels.clone()


class Darkness(Brightness):
    """Scores how dark an image is: below 0 everywhere."""

    makes_heat_maps = False

    def score(self, images: ImageBatch) -> tuple[Tensor, None]:
        return -1 - images.pixels.amax((1, 2, 3)), None

    traced = score


@pytest.fixture(scope="module")
def fitted() -> MiddleClassDetector:
    given = prepare_array(bodies(30), tiled(), label=0)
    detector = MiddleClassDetector(tiled(), max_fpr=0.3)
    return detector.fit(given)


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_every_place_of_the_anatomy_is_in_a_tile_with_all_around_it(data: st.DataObject) -> None:
    side = data.draw(st.integers(4, 17))
    shape = data.draw(st.integers(side, 60)), data.draw(st.integers(side, 60))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    mask = np.zeros(shape, bool)
    for _ in range(data.draw(st.integers(1, 3))):
        y, x = rng.integers(0, shape[0]), rng.integers(0, shape[1])
        mask[y : y + rng.integers(1, 30), x : x + rng.integers(1, 30)] = True
    low = [data.draw(st.integers(0, (whole - side) // 2)) for whole in shape]
    shown = (low[0], low[1], shape[0] - low[0], shape[1] - low[1])
    mask[: shown[0]] = mask[:, : shown[1]] = mask[shown[2] :] = mask[:, shown[3] :] = False
    corners = planned(mask, shown, side)
    assert len(np.unique(corners, axis=0)) == len(corners)
    assert (corners >= shown[:2]).all()
    assert (corners + side <= shown[2:]).all()
    around = (side - side // 2) // 2
    for y, x in np.argwhere(mask):
        first = np.maximum((y - around, x - around), shown[:2])
        last = np.minimum((y + around, x + around), np.array(shown[2:]) - 1)
        whole = (corners <= first).all(1) & (corners + side > last).all(1)
        assert whole.any(), (y, x)
    for top, left in corners:
        assert mask[top : top + side, left : left + side].any()


def test_tiles_to_learn_from_hang_on_seed_and_case_and_have_anatomy_in_their_middle() -> None:
    mine = tiled()
    prepared = prepare_array(bodies(6), mine)
    assert prepared.shape == (6, 1, 64, 56)
    tiles = to_learn_from(prepared, mine.geometry, 5, most=60)
    assert isinstance(tiles, Tiles)
    assert tiles.shape == (60, 1, 16, 16)
    assert np.bincount(tiles.case_index).tolist() == [10] * 6
    assert tiles.case_index[:6].tolist() == [0, 1, 2, 3, 4, 5]  # the first n are of n images
    middle = tiles.masks()[:, 0, 4:12, 4:12]
    assert middle.any((1, 2)).all()
    alone = to_learn_from(prepared.at(np.array([3])), mine.geometry, 5, most=10)
    assert isinstance(alone, Tiles)
    assert (alone.corners == tiles.corners[tiles.case_index == 3]).all()
    other = to_learn_from(prepared, mine.geometry, 6, most=60)
    assert isinstance(other, Tiles)
    assert (other.corners != tiles.corners).any()
    assert len(np.unique(alone.corners, axis=0)) > 5


def test_a_tile_is_that_part_of_its_image_and_lies_there_in_the_source() -> None:
    mine = tiled()
    prepared = prepare_array(bodies(2), mine)
    tiles = over_anatomy(prepared, [1, 0], mine.geometry)
    for number in (0, len(tiles) - 1):
        (top, left), case = tiles.corners[number], tiles.case_index[number]
        part = slice(top, top + 16), slice(left, left + 16)
        assert (tiles.images([number])[0, 0] == prepared.images([case])[0, 0][part]).all()
        assert (tiles.masks([number])[0, 0] == prepared.masks([case])[0, 0][part]).all()
        box = tiles.placement(number).box
        assert np.allclose(box, (top - 2, left - 3, top + 14, left + 13))  # 60 x 50 on 64 x 56
    chosen = tiles.at(np.array([2, 1]))
    assert (chosen.images() == tiles.images([2, 1])).all()
    apart = chosen.showing(chosen.batch([0, 1]))
    assert (apart.images() == chosen.images()).all()
    assert apart.placement(1) == chosen.placement(1)


def test_a_case_has_the_same_score_and_map_alone_and_among_others(
    fitted: MiddleClassDetector,
) -> None:
    images = bodies(11, seed=1)
    prepared = prepare_array(images, fitted.recipe)
    scores, maps = fitted.score_samples(prepared), fitted.heat_maps(prepared)
    assert maps.shape == (11, 64, 56)
    assert np.isfinite(scores).all()
    assert len(np.unique(scores)) == 11
    for row in (0, 10):
        alone = prepared.at(np.array([row]))
        alone = replace(alone, cases=prepared.cases[[row]], case_index=np.array([0]))
        assert fitted.score_samples(alone)[0] == scores[row]
        assert (fitted.heat_maps(alone)[0] == maps[row]).all()
    assert (maps[~prepared.masks()[:, 0]] == 0).all()
    assert fitted.calibration_.shape == (fitted.cases_["calibrate"],)  # by case, not by tile
    together = CountsItsBatch(fitted.recipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eye, "LOOK", 5)  # of which the tiles of an image are no multiple
        sizes = {float(score) for look in together.looks(prepared) for score in look.scores}
    assert sizes == {-5.0}  # kernels round by the size of a batch: it is always the same


def highest(corners: Any, scores: Any, mask: Any, side: int) -> np.ndarray[Any, Any]:
    """The score of an image from those of its tiles."""
    return Places(corners, scores, side, mask).highest()


@given(st.permutations(range(9)))
def test_the_order_of_tiles_changes_neither_score_nor_map(order: list[int]) -> None:
    rng = np.random.default_rng(0)
    corners = np.array([(y, x) for y in (0, 4, 8) for x in (0, 3, 8)])
    scores, heat = rng.normal(size=(9, 2)), rng.uniform(size=(9, 8, 8))
    mask = rng.uniform(size=(16, 16)) < 0.5
    found = highest(corners, scores, mask, 8)
    again = highest(corners[order], scores[order], mask, 8)
    assert np.abs(found - again).max() < 1e-12
    assert found.shape == (2,)
    by_column = [highest(corners, column, mask, 8) for column in scores.T]
    assert found.tolist() == [float(one) for one in by_column]
    one = sliding.heat_map(corners, heat, mask)
    assert np.abs(one - sliding.heat_map(corners[order], heat[order], mask)).max() < 1e-6


def test_what_several_tiles_show_outweighs_one_and_one_with_little_anatomy_counts_less() -> None:
    corners = np.array([(0, x) for x in (0, 4, 8, 12, 16)])
    mask = np.ones((8, 24), bool)
    lone, all_see = np.array([0, 0, 5.0, 0, 0]), np.array([0, 4.5, 4.5, 4.5, 0])
    scores = [float(highest(corners, one, mask, 8)) for one in (lone, all_see)]
    assert scores[0] < scores[1] <= 4.5
    assert scores[0] > 3  # one tile alone counts in its middle all the same
    edge = np.array([5.0, 0, 0, 0, 0])
    whole = float(highest(corners, edge, mask, 8))
    mask[:, :6] = False  # of the first tile two of eight columns are anatomy
    assert float(highest(corners, edge, mask, 8)) < 0.1 * whole


def test_where_tiles_agree_so_does_the_map_and_no_border_shows() -> None:
    corners = np.array([(y, x) for y in (0, 4, 8) for x in (0, 4, 8)])
    mask = np.ones((17, 16), bool)
    flat = sliding.heat_map(corners, np.full((9, 8, 8), 0.3), mask)
    assert np.allclose(flat[:16], 0.3)
    assert (flat[16] == 0).all()  # no tile lies there
    steps = np.zeros((9, 8, 8))
    steps[4] = 1  # one tile sees what its neighbours do not
    found = sliding.heat_map(corners, steps, mask)
    assert found[7:9, 7:9].min() > 0.7
    assert max(np.abs(np.diff(found, axis=axis)).max() for axis in (0, 1)) < 0.3
    mask[3:9] = False
    assert (sliding.heat_map(corners, steps, mask)[3:9] == 0).all()


@pytest.mark.parametrize("side", ["L", "R"])
def test_heat_lies_on_the_source_within_a_sample(tmp_path: Path, side: str) -> None:
    fields = {"orient": "laterality", "crop": "anatomy.foreground", "roi_mm": 20}
    mine = tiled(geometry=fields)
    body = (bodies(1, shape=(66, 70))[0, 0] * 200).astype(np.uint8)
    body[:, -20:] = 20  # so that the crop is not the image
    body[40:42, 15:17] = 255
    PIL.Image.fromarray(body).save(tmp_path / "a.png")
    case = Case("a", tmp_path / "a.png", None, "a", (0.8, 0.8), laterality=side)
    prepared = prepare(Cohort((case,)), mine, cache=tmp_path / "cache")
    detector = Spots(mine)
    (look,) = detector.looks(prepared, heat_maps=True)
    assert look.maps is not None
    shown = on_source.view(prepared, 0, mine, look.maps[0])
    assert shown.heat is not None
    y, x = np.argwhere(shown.heat == shown.heat.max()).mean(0)
    assert max(abs(y - 40.5), abs(x - 15.5)) <= 1.25 / 0.8
    rows, columns = np.argwhere(look.maps[0] == look.maps[0].max()).mean(0)
    place = prepared.placement(0).in_source([rows], [columns], mine.geometry.grid)
    assert np.abs(place - (15.5, 40.5)).max() <= 1.25 / 0.8


def test_what_is_not_assessed_and_by_which_anatomy(tmp_path: Path) -> None:
    chain = tiled(anatomy=["anatomy.foreground", "anatomy.whole"])
    images = (bodies(3)[:, 0] * 255).astype(np.uint8)
    small = np.zeros((60, 50), np.uint8)
    small[5:9, 5:30] = 255  # a mask of 100 mm2, which is too little
    empty, half = np.zeros_like(small), np.zeros_like(small)
    half[30:] = 255
    cases = []
    for name, mask in {"small": small, "empty": empty, "half": half, "none": None}.items():
        PIL.Image.fromarray(images[len(cases) % 3]).save(tmp_path / f"{name}.png")
        if mask is not None:
            PIL.Image.fromarray(mask).save(tmp_path / f"{name}_mask.png")
        file = None if mask is None else tmp_path / f"{name}_mask.png"
        cases.append(Case(name, tmp_path / f"{name}.png", 0, name, mask=file))
    prepared = prepare(Cohort(tuple(cases)), chain, cache=tmp_path / "cache")
    detector = Spots(chain)
    detector.threshold_, detector.calibration_ = 0.5, np.arange(3) / 3
    table = score_table(detector, prepared)
    assert table.assessed.tolist() == [0, 0, 1, 1]
    assert table.reason[0].startswith("too little anatomy: 100 mm2 of the 100")
    assert table.reason[1].startswith("empty mask")
    assert table.extra["anatomy"][2:].tolist() == ["mask", "anatomy.foreground"]
    assert (over_anatomy(prepared, [2], chain.geometry).corners[:, 0] >= 30 - 2 - 8).all()
    by_second = to_learn_from(prepared.by_link()[1].at(np.array([3])), chain.geometry, 0)
    assert (detector.by_plausible_anatomy(by_second).rows == by_second.rows).all()
    lesson = Lesson(prepared, prepared)
    taught(detector, lesson)  # of those that are assessed alone
    with pytest.raises(InputError, match="none of 0 samples to learn from shows more than 100"):
        detector.images(to_learn_from(prepared, chain.geometry, 0, np.array([], np.int64)))


def test_a_large_image_is_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match=r"shows 60 x 75 mm, geometry.canvas_mm has 64 x 56; che"):
        prepare_array(bodies(1, shape=(60, 75)), tiled())


def test_what_cannot_be_done_with_tiles_is_said_at_once(fitted: MiddleClassDetector) -> None:
    given, target = bodies(4), prepare_array(bodies(2, seed=3), fitted.recipe, label=1)
    with pytest.raises(InputError, match="positives cannot be learned from with view tiles"):
        MiddleClassDetector(fitted.recipe).fit(given, positives=target)


@pytest.mark.parametrize("folds", [0, 3])
def test_the_graph_of_tiles_says_what_the_detector_says(
    fitted: MiddleClassDetector, folds: int
) -> None:
    if folds:
        given = prepare_array(bodies(18), fitted.recipe, label=0)
        fitted = MiddleClassDetector(fitted.recipe, max_fpr=0.3).fit(given, folds=folds)
    prepared = prepare_array(bodies(6, seed=1), fitted.recipe)
    graph = graph_of(fitted)
    with torch.no_grad():
        said = [graph(*one.values()) for one in graph.inputs(prepared, np.arange(6))]
    scores, p_values, flags, maps = (torch.cat(part).numpy() for part in zip(*said, strict=True))
    expected = fitted.score_samples(prepared)
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    np.testing.assert_array_equal(p_values, fitted.p_values(expected))
    np.testing.assert_array_equal(flags, expected > fitted.threshold_)
    np.testing.assert_allclose(maps, fitted.heat_maps(prepared), atol=1e-4)


def test_places_that_no_tile_shows_have_no_say_in_the_graph() -> None:
    detector = Darkness(tiled())
    detector.calibration_, detector.threshold_ = np.linspace(-3, 0, 20), 0.0
    prepared = prepare_array(bodies(2, seed=1), detector.recipe)
    graph = graph_of(detector)
    said = [graph(*one.values())[0] for one in graph.inputs(prepared, np.arange(2))]
    np.testing.assert_allclose(torch.cat(said), detector.score_samples(prepared), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_an_exported_detector_of_tiles_says_the_same_in_onnx_runtime(
    fitted: MiddleClassDetector, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="extra [onnx]")
    prepared = prepare_array(bodies(5, seed=1), fitted.recipe)
    fitted.save(tmp_path / "one")
    raw, found = exported(fitted, tmp_path / "one", prepared, "bodies")
    assert (found.images, found.flags) == (5, ())
    assert found.score <= found.tolerance
    assert b"the first row and column of squares" in raw


def test_saved_and_loaded_it_says_the_same(fitted: MiddleClassDetector, tmp_path: Path) -> None:
    fitted.save(tmp_path / "one")
    images = bodies(3, seed=2)
    loaded = load_detector(tmp_path / "one")
    assert loaded.score_samples(images).tolist() == fitted.score_samples(images).tolist()


def test_in_folds_every_case_calibrates_by_its_tiles() -> None:
    learned_from = []

    class Pupil(Spots):
        def learn(self, lesson: Lesson) -> None:
            learned_from.append((lesson.train.shape[2:], lesson.select.shape[2:]))

    detector = Pupil(tiled(), max_fpr=0.3, folds=3).fit(bodies(12))
    assert learned_from == [((16, 16), (16, 16))] * 3
    assert len(detector.calibration_) == 12
    highest = bodies(2, seed=4)
    highest[0, :, 28:32, 24:28] = 1
    scores = detector.score_samples(highest)
    assert scores[0] > detector.calibration_.max() > scores[1]


def test_a_sheet_shows_tiles() -> None:
    mine = tiled()
    block = sheet.block(prepare_array(bodies(4), mine, label=0), mine, 3, 0, "Phantoms")
    assert [panel.pixels.shape for panel in block.given] == [(1, 16, 16)] * 3


def test_an_audit_tries_tiles_and_tells_the_anatomy_of_whole_images() -> None:
    mine = tiled()
    prepared = prepare_array(bodies(6), mine, label=0)
    figures = audit(prepared, mine)
    assert (figures["images"], figures["patients"]) == (6 * 16, 6)
    assert figures["anatomy"]["images"] == 6
    assert figures["anatomy"]["area_mm2"]["low"] > 16 * 16
    assert figures["classes"]["ball"]["draws"] == 6 * 16


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"canvas_mm": None}, "view tiles needs canvas_mm"),
        ({"roi_mm": None}, "view roi needs roi_mm, the side of the square, as view tiles does"),
        ({"size": [16, 18]}, r"view tiles is of squares"),
        ({"canvas_mm": [64, 12]}, "canvas_mm must be at least roi_mm, 16, on both sides"),
        ({"canvas_mm": [5000, 64]}, "takes 5000 x 64 samples as fine as a tile, 4096 a side"),
        ({"view": "whole", "roi_mm": None}, "view tiles needs canvas_mm"),
    ],
)
def test_a_geometry_that_makes_no_sense_is_refused(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        tiled(geometry=fields)


def test_the_commands_write_one_row_and_one_picture_of_an_image_and_say_what_is_hit(
    tmp_path: Path,
) -> None:
    lines = ["path,label,patient_id,split,x,y,radius"]
    images = (bodies(36, shape=(60, 50))[:, 0] * 255).astype(np.uint8)
    for number, image in enumerate(images):
        place = "22.5,28.5,6" if number == 30 else ",,"  # a place in a normal image is no lesion
        if number >= 33:
            image[26:32, 20:26] = 255
            place = "22.5,28.5,6"
        PIL.Image.fromarray(image).save(tmp_path / f"{number}.png")
        part, label = ("train" if number < 30 else "test"), int(number >= 33)
        lines.append(f"{number}.png,{label},p{number},{part},{place}")
    cases = Source(manifest(tmp_path, *lines))
    (tmp_path / "spots.py").write_text(SPOTS)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(tiled().to_dict()))
    options = Options(cache=tmp_path / "cache", trust=(tmp_path / "spots.py",))
    out, mine = tmp_path / "detector", str(tmp_path / "mine.yaml")
    asked = {"out": out, "max_fpr": 0.3, "detector": str(tmp_path / "spots.py:Spots")}
    with pytest.raises(InputError, match="positives cannot be learned from with view tiles"):
        fit.run(mine, cases, options, out=out, positives=2)
    fit.run(mine, cases, options, **asked)
    figures = evaluate.run(out, cases, options)
    found = figures["localisation"]
    assert (found["lesions"], found["given"], found["not_assessed"]) == (3, 3, 0)
    assert found["apart_mm"] == 8
    assert {rate: one["value"] for rate, one in found["hit"].items()} == dict.fromkeys(
        ("0.1", "0.3", "1"), 1.0
    )
    cohort = Cohort.from_manifest(cases.manifest).part("test")
    score.run(out, cohort, options, out=tmp_path / "s.csv", heat_maps=tmp_path / "maps")
    assert len(list((tmp_path / "maps").glob("*.png"))) == 6
    assert ScoreTable.read(tmp_path / "s.csv").score.tolist() == (
        ScoreTable.read(out / "evaluation" / "scores.csv").score.tolist()
    )


def test_the_service_scores_tiles_as_score_does_and_monitor_reads_them(
    fitted: MiddleClassDetector, tmp_path: Path
) -> None:
    fitted.save(tmp_path / "det")
    images = (bodies(12, seed=5)[:, 0] * 255).astype(np.uint8)
    files = [tmp_path / f"{number}.png" for number in range(len(images))]
    for image, file in zip(images, files, strict=True):
        PIL.Image.fromarray(image).save(file)
    options, out = Options(cache=tmp_path / "cache"), tmp_path / "s.csv"
    score.run(tmp_path / "det", Cohort.from_files(files), options, out=out)
    by_command = ScoreTable.read(out).score
    scorer = Scorer(tmp_path / "det")
    for row in (0, 7):  # alone: the command saw all of them together
        (served,) = scorer.score([Arrived(files[row].name, files[row])])
        assert scorer.answer(served)["cases"][0]["score"] == by_command[row]
    assert monitor.run([out], tmp_path / "det", options, out=tmp_path / "monitor.csv")
    assert (tmp_path / "monitor.csv").read_text().count("\n") == 2
