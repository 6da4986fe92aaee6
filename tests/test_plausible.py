"""What is not like the given class is not assessed; disease and acquisition are no reason."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from PIL.Image import Resampling
from typer.testing import CliRunner

from makers import Brightness, discs, manifest, seeded, trained_recipe
from midclass import Cohort, Detector, InputError, Lesson, Prepared, Recipe, prepare, prepare_array
from midclass.cli.app import app
from midclass.detectors.catalogue import detector_class
from midclass.detectors.cohort_scores import score_table
from midclass.detectors.limits import RULES, Limits
from midclass.detectors.plausible import FEWEST, Plausible
from midclass.detectors.storage import load_detector
from midclass.evaluation.report import reasons
from midclass.images import phantoms
from midclass.images.traits import TRAITS
from midclass.knowledge.acquisition import acquired
from midclass.preview.phantoms import for_phantoms
from midclass.types import ImageBatch

RECIPE = trained_recipe()


def shown(images: NDArray[np.float32], recipe: Recipe = RECIPE) -> Prepared:
    return prepare_array(images, recipe, 1.0)


@pytest.fixture(scope="module")
def learned() -> Plausible:
    return Plausible.of(shown(discs(60, seed=0)), RECIPE)


def in_pixels(images: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """The same images in so many pixels a side."""
    fewer = [
        np.asarray(Image.fromarray(one[0]).resize((side, side), Resampling.BOX)) for one in images
    ]
    return np.stack(fewer)[:, None]


def pictures(n: int = 32) -> dict[str, NDArray[np.float32]]:
    """Pictures of something else."""
    y, x = np.mgrid[-1 : 1 : n * 1j, -1 : 1 : n * 1j]
    square = np.zeros((n, n))
    square[n // 3 : n // 2, n // 4 : 2 * n // 3] = 1
    text = np.zeros((n, n))
    text[n // 8 :: n // 4, n // 8 : -n // 8 : 2] = 1
    noise = np.random.default_rng(0).random((n, n))
    made = {
        "noise": noise,
        "faint noise": 0.5 + 0.2 * noise,
        "noise in a disc": noise * (np.hypot(x, y) < 0.8),
        "a white square": square,
        "lines of text": text,
        "a slope": (x + 1) / 2,
        "a white disc": (np.hypot(x, y) < 0.8) * 1.0,
    }
    return {name: a[None].astype(np.float32) for name, a in made.items()}


class TestLimits:
    def test_of_few_samples_nothing_is_learned(self) -> None:
        assert Plausible.of(shown(discs(FEWEST - 1, 0)), RECIPE) == Plausible()
        assert 0 in Plausible.of(shown(discs(FEWEST, 0)), RECIPE).limits

    def test_without_limits_everything_is_plausible_in_which_there_is_anything(self) -> None:
        several = np.stack(list(pictures().values()))
        some = shown(several)
        reasons = Plausible().reasons(some)
        assert {reason.partition(":")[0] for reason in reasons} == {"", "nothing to see"}
        assert reasons.count("") > len(some) / 2
        assert Plausible.from_json(None) == Plausible()

    def test_they_are_saved_exactly_as_json(self, learned: Plausible) -> None:
        text = json.dumps(learned.to_json(), allow_nan=False)
        assert Plausible.from_json(json.loads(text)) == learned

    def test_others_of_the_given_class_are_plausible(self, learned: Plausible) -> None:
        assert learned.reasons(shown(discs(100, seed=1))) == [""] * 100

    @pytest.mark.parametrize("name", list(pictures()))
    def test_a_picture_of_something_else_is_not(self, learned: Plausible, name: str) -> None:
        some = shown(pictures()[name][None])
        assert learned.reasons(some) != [""], dict(zip(RULES, some.traits[0], strict=False))

    def test_brightness_and_lesions_inside_are_no_reason(self, learned: Plausible) -> None:
        lesions = discs(30, seed=2, square=0.5)
        brighter = (discs(30, seed=2) * 1.5).clip(0, 1)
        for images in (lesions, brighter):
            assert learned.reasons(shown(images)) == [""] * 30

    def test_the_recipes_nuisance_is_no_reason(self) -> None:
        grainy = trained_recipe(fields={"nuisance": {"noise": 0.1, "rotation_deg": 10}})
        plausible = Plausible.of(shown(discs(60, seed=0), grainy), grainy)
        some = shown(discs(60, seed=1), grainy)
        moved = acquired(some.batch(slice(None)), grainy.nuisance_operator(), seeded())
        refused = [reason for reason in plausible.reasons(some.showing(moved)) if reason]
        assert len(refused) <= 1, refused
        still = Plausible.of(shown(discs(60, seed=0)), trained_recipe(fields={"nuisance": None}))
        assert sum(map(bool, still.reasons(some.showing(moved)))) > 20

    def test_near_many_limits_at_once_is_a_reason_and_near_a_few_is_not(self) -> None:
        some = shown(discs(1, seed=0))
        names = ("centre_y", "centre_x", "height", "width")
        values = {name: float(some.traits[0, TRAITS.index(name)]) for name in names}
        near = {n: Limits(v - 0.18, v - 0.08, v + 0.02) for n, v in values.items()}  # at 0.8
        (reason,) = Plausible({0: near}).reasons(some)
        assert reason.startswith("not like the given class: in several ways at once (")
        near.pop("width")
        assert Plausible({0: near}).reasons(some) == [""]

    def test_of_squares_the_mask_is_no_reason(self) -> None:
        fields = {"geometry": {"size": [32, 32], "spacing_mm": 1.0, "view": "roi", "roi_mm": 32}}
        squares = trained_recipe(fields=fields)
        plausible = Plausible.of(shown(discs(60, seed=0), squares), squares)
        halves = discs(20, seed=1)
        halves[..., :20] = 0.06
        assert plausible.reasons(shown(halves, squares)) == [""] * 20
        assert plausible.reasons(shown(pictures()["noise"][None], squares)) != [""]

    @pytest.mark.parametrize(("side", "normal"), [(10, False), (20, True)])
    def test_a_thumbnail_is_not_like_images_of_full_size(
        self, learned: Plausible, side: int, normal: bool
    ) -> None:
        """What it lost would not be missed: enlarged it is smooth, as a normal image may be."""
        alone = Plausible({0: {"fineness": learned.limits[0]["fineness"]}})
        reasons = alone.reasons(shown(in_pixels(discs(9, seed=5), side)))
        said = "its file has 0.31 of a pixel a sample, at least 0.40 is like the given class"
        assert reasons == [""] * 9 if normal else all(said in reason for reason in reasons)

    def test_how_fine_a_file_is_stays_what_it_was_under_the_nuisance(self) -> None:
        small = shown(in_pixels(discs(3, seed=0), 12))
        again = small.showing(small.batch(slice(None))).traits
        column = TRAITS.index("fineness")
        np.testing.assert_array_equal(again[:, column], small.traits[:, column])
        assert (again[:, column] < 0.5).all()

    def test_a_collection_of_small_images_is_like_itself_and_like_larger_ones(self) -> None:
        small = Plausible.of(shown(in_pixels(discs(60, seed=0), 12)), RECIPE)
        assert not any(small.reasons(shown(in_pixels(discs(9, seed=5), 12))))
        reasons = small.reasons(shown(discs(9, seed=5)))
        assert not any("of a pixel" in reason for reason in reasons)

    def test_a_reason_says_the_number_and_the_limit(self, learned: Plausible) -> None:
        some = shown(discs(1, seed=0))
        small = torch.zeros(1, 1, 32, 32, dtype=torch.bool)
        small[..., 14:18, 14:18] = True
        batch = some.batch(slice(None))
        of_mask = some.showing(ImageBatch(batch.pixels, small, batch.spacing_mm))
        (reason,) = learned.reasons(of_mask)
        assert re.fullmatch(
            r"implausible anatomy: it covers 1\.6% of the sample, at least \d\d\.\d% is like the "
            "given class",
            reason,
        )
        (of_image,) = learned.reasons(shown(pictures()["noise in a disc"][None]))
        assert of_image.startswith("not like the given class: ")


UNLIKE = "not like the given class: another picture as a whole"
FROM_AFAR = trained_recipe(fields={"anatomy": "anatomy.whole", "nuisance": {"rotation_deg": 10}})


def from_afar(kind: str, n: int, seed: int, *, target: bool = False, turn: int = 0) -> Prepared:
    """Phantoms, all of whose image is anatomy, so that no mask says anything."""
    images = phantoms.make(kind, n, seed, size=32, target=target)
    return shown(np.rot90(images, turn, (1, 2))[:, None].copy(), FROM_AFAR)


@pytest.fixture(scope="module")
def chests() -> Plausible:
    return Plausible.of(from_afar("chest", 60, 0), FROM_AFAR)


class TestLikeness:
    def test_another_picture_is_no_plausible_one(self, chests: Plausible) -> None:
        for other in (from_afar("head", 6, 1), from_afar("chest", 6, 1, turn=1)):
            for reason in chests.reasons(other):
                assert reason.startswith(f"{UNLIKE} (correlation ")
                assert reason.endswith(" is like the given class)")
                found, least = map(float, re.findall(r"-?\d\.\d+", reason))
                assert found < least

    def test_disease_and_acquisition_are_no_reason(self, chests: Plausible) -> None:
        ill = from_afar("chest", 40, 1, target=True)
        assert not any(chests.reasons(ill))
        nuisance = FROM_AFAR.nuisance_operator()
        moved = ill.showing(acquired(ill.batch(slice(None)), nuisance, seeded(1)))
        assert not any(chests.reasons(moved))

    def test_where_the_given_class_varies_there_is_no_such_limit(self) -> None:
        turned = [from_afar("chest", 15, turn, turn=turn).images() for turn in range(4)]
        mixed = shown(np.concatenate(turned).astype(np.float32) / 65535, FROM_AFAR)
        assert Plausible.of(mixed, FROM_AFAR).likeness == {}
        roi = FROM_AFAR.to_dict()
        roi["geometry"] |= {"view": "roi", "roi_mm": 32}
        of_roi = Recipe.from_dict(roi)
        assert Plausible.of(from_afar("chest", 30, 0), of_roi).likeness == {}

    def test_each_image_is_judged_alone_and_the_same_after_saving(self, chests: Plausible) -> None:
        some = from_afar("head", 5, 2)
        again = Plausible.from_json(json.loads(json.dumps(chests.to_json(), allow_nan=False)))
        assert again == chests
        alone = [again.reasons(some.at(np.array([row])))[0] for row in range(len(some))]
        assert alone == chests.reasons(some)
        for wrong in ([0.1, 0.2], [0.1, 0.2, *[float("nan")] * 256], [0.3, 0.2, *[0.0] * 256]):
            saved = chests.to_json() | {"0": {"likeness": wrong}}
            with pytest.raises(ValueError, match="likeness is no picture"):
                Plausible.from_json(saved)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of how many samples it was asked whether they are plausible, each time."""
    counts, find = list[int](), Plausible._reasons

    def counted(self: Plausible, prepared: Prepared) -> list[str]:
        counts.append(len(prepared))
        return find(self, prepared)

    monkeypatch.setattr(Plausible, "_reasons", counted)
    return counts


class TestADetector:
    @pytest.fixture
    def detector(self) -> Detector:
        return Brightness(RECIPE).fit(shown(discs(100, seed=0)), max_fpr=0.1)

    def test_does_not_assess_what_is_implausible_and_says_why(self, detector: Detector) -> None:
        some = shown(np.stack([discs(1, seed=5)[0], pictures()["noise"]]))
        table = score_table(detector, some)
        assert table.assessed.tolist() == [True, False]
        assert table.review[1]
        (kind,) = reasons(table)
        assert kind in ("implausible anatomy", "not like the given class")
        assert detector.predict(some).tolist()[1] == 1

    def test_asks_once_of_the_samples_that_it_scores_and_anew_by_other_limits(
        self, detector: Detector, asked: list[int]
    ) -> None:
        some = detector.by_plausible_anatomy(shown(discs(6, seed=5)))
        score_table(detector, some)
        assert asked == [6]
        assert not any(Plausible().reasons(some))
        nothing = {name: Limits(-1, -1, -1) for name in detector.plausible_.limits[0]}
        assert all(Plausible({0: nothing}).reasons(some))
        assert asked == [6, 6, 6]

    def test_counts_the_implausible_and_calibrates_without_them(self) -> None:
        noise = np.random.default_rng(0).random((8, 1, 32, 32), np.float32)
        mixed = np.concatenate([discs(120, seed=0), noise])
        detector = Brightness(RECIPE).fit(shown(mixed), max_fpr=0.1)
        assert sum(detector.not_assessed_.values()) == 8, detector.plausible_
        assert len(detector.calibration_) == (
            detector.cases_["calibrate"] - detector.not_assessed_["calibrate"]
        )

    def test_judges_alike_when_it_is_saved_and_loaded(
        self, detector: Detector, tmp_path: Path
    ) -> None:
        kind = detector_class("intensity", ())(RECIPE)
        kind.fit(shown(discs(100, seed=0)), max_fpr=0.1).save(tmp_path / "d")
        again, some = load_detector(tmp_path / "d"), shown(np.stack(list(pictures().values())))
        assert again.reasons(some) == kind.reasons(some) != {}
        about = json.loads((tmp_path / "d" / "detector.json").read_text())
        del about["plausible"], about["sha256"]  # as earlier versions wrote it
        (tmp_path / "d" / "detector.json").write_text(json.dumps(about))
        left = load_detector(tmp_path / "d").reasons(some).values()
        assert all(reason.startswith("nothing to see") for reason in left)

    def test_scores_as_before_where_nothing_is_implausible(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        given = shown(discs(60, seed=0))
        one = detector_class("one_class_svm", ())(RECIPE).fit(given, max_fpr=0.1)
        monkeypatch.setattr(Plausible, "of", lambda *_: Plausible())
        other = detector_class("one_class_svm", ())(RECIPE).fit(given, max_fpr=0.1)
        assert not sum(one.not_assessed_.values())
        assert one.calibration_.tobytes() == other.calibration_.tobytes()


CHAIN = """
import numpy as np

def core(pixels, spacing_mm):
    \"\"\"The disc; nothing where the first pixel is white, a corner where the second one is.\"\"\"
    mask = pixels[0] > 0.25
    mask[:4] = False
    if pixels[0, 0, 0] > 0.9:
        return np.zeros_like(mask)
    if pixels[0, 0, 1] > 0.9:
        mask = np.zeros_like(mask)
        mask[-9:, -9:] = True
    return mask
"""


class TestAChain:
    @pytest.fixture
    def chain(self, tmp_path: Path) -> Recipe:
        (tmp_path / "chain.py").write_text(CHAIN)
        fields = trained_recipe().to_dict()
        fields["anatomy"] = [f"{tmp_path}/chain.py:core", "anatomy.foreground"]
        fields["geometry"]["least_anatomy_mm2"] = 20
        return Recipe.from_dict(fields, trust=[tmp_path / "chain.py"])

    @staticmethod
    def images() -> NDArray[np.float32]:
        """Seen by the first, missed by it, put in the wrong place by it, and seen again."""
        images = discs(4, seed=3)
        images[1, 0, 0, 0] = images[2, 0, 0, 1] = 1
        return images

    def test_before_a_fit_the_first_that_finds_enough_is_taken(self, chain: Recipe) -> None:
        found = shown(self.images(), chain)
        assert found.link.tolist() == [0, 1, 0, 0]
        assert (found.covered > 0.2).tolist() == [True, True, False, True]

    def test_a_detector_takes_the_first_that_is_plausible_and_counts_each(
        self, chain: Recipe
    ) -> None:
        detector = Brightness(chain).fit(shown(discs(100, seed=0), chain), max_fpr=0.1)
        found = detector.by_plausible_anatomy(shown(self.images(), chain))
        assert found.link.tolist() == [0, 1, 1, 0]
        assert list(found.anatomies(chain.anatomies).values()) == [2, 2]
        raw = shown(self.images(), chain)
        assert detector.reasons(found) == detector.reasons(raw) == {}
        assert (detector.score_samples(raw) == detector.score_samples(found)).all()
        table = score_table(detector, shown(self.images(), chain))
        assert table.assessed.all()
        assert [name.rpartition(":")[2] for name in table.extra["anatomy"]] == [
            "core",
            "anatomy.foreground",
            "anatomy.foreground",
            "core",
        ]

    def test_a_detector_asks_once_of_each_anatomy_and_of_what_it_chose(
        self, chain: Recipe, request: pytest.FixtureRequest
    ) -> None:
        detector = Brightness(chain).fit(shown(discs(100, seed=0), chain), max_fpr=0.1)
        asked = request.getfixturevalue("asked")
        found = detector.by_plausible_anatomy(shown(self.images(), chain))
        score_table(detector, found)
        assert asked == [4, 4, 4]

    def test_training_sees_the_anatomy_that_is_plausible(self, chain: Recipe) -> None:
        class Noting(Brightness):
            def learn(self, lesson: Lesson) -> None:
                self.links = [*lesson.train.link, *lesson.select.link]

        images = discs(100, seed=0)
        images[:5, 0, 0, 1] = 1  # put in the wrong place by the first
        raw = shown(images, chain)
        detector = Noting(chain).fit(raw, max_fpr=0.1)
        assert not raw.link.any()
        assert sum(detector.links) >= 3
        assert not sum(detector.not_assessed_.values())

    def test_where_the_last_is_implausible_too_a_case_is_not_assessed(self, chain: Recipe) -> None:
        detector = Brightness(chain).fit(shown(discs(100, seed=0), chain), max_fpr=0.1)
        some = shown(pictures()["noise"][None], chain)
        assert detector.by_plausible_anatomy(some).link.tolist() == [1]
        assert list(detector.reasons(some)) == [0]

    def test_files_and_arrays_and_the_cache_agree(
        self, chain: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import PIL.Image

        lines = ["path,spacing_mm"]
        for i, image in enumerate(self.images()):
            PIL.Image.fromarray((image[0] * 65535).astype(np.uint16)).save(tmp_path / f"{i}.png")
            lines.append(f"{i}.png,1")
        cohort = Cohort.from_manifest(manifest(tmp_path, *lines))
        for _ in range(2):  # written, then read
            found = prepare(cohort, chain, cache=tmp_path / "cache")
            assert found.link.tolist() == [0, 1, 0, 0]
            for one, other in zip(
                found.by_link(), shown(self.images(), chain).by_link(), strict=True
            ):
                assert (one.masks() == other.masks()).mean() > 0.99
        copied = tmp_path / "copied"
        copied.mkdir()
        for one in (*tmp_path.glob("*.png"), tmp_path / "manifest.csv"):
            shutil.copyfile(one, copied / one.name)
        again = Cohort.from_manifest(copied / "manifest.csv")
        monkeypatch.setattr("midclass.images.cohort.read", None)  # no image is read again
        assert prepare(again, chain, cache=tmp_path / "cache").contents == found.contents

    def test_its_names_are_checked(self) -> None:
        fields = trained_recipe().to_dict()
        for wrong in ([], 3, ["anatomy.foreground", 3]):
            with pytest.raises(InputError, match="anatomy: give the name of an anatomy function"):
                Recipe.from_dict({**fields, "anatomy": wrong})
        with pytest.raises(InputError, match="anatomy: no 'foregroud'"):
            Recipe.from_dict({**fields, "anatomy": ["anatomy.foregroud"]}).check()

    def test_commands_say_how_often_each_was_used(self, tmp_path: Path) -> None:
        phantoms.write(tmp_path / "data", "breast", 0, 60, 8, size=48)
        (tmp_path / "r.yaml").write_text(
            "extends: phantoms\nname: r\ngeometry: {size: [32, 32], field_of_view_mm: 200}\n"
            "anatomy: [anatomy.breast, anatomy.foreground]\n"
        )
        place = ["--cohort", f"{tmp_path}/data/manifest.csv", "--cache", f"{tmp_path}/cache"]
        used = r"anatomy +anatomy\.breast \d+, anatomy\.foreground \d+"
        for command in (
            ["fit", f"{tmp_path}/r.yaml", "--detector", "intensity", "--max-fpr", "0.1"],
            ["evaluate", f"{tmp_path}/d"],
        ):
            out = "d" if command[0] == "fit" else "e"
            result = CliRunner().invoke(app, [*command, *place, "--out", f"{tmp_path}/{out}"])
            assert result.exit_code == 0, result.output
            assert re.search(used, result.stdout), result.stdout
        images = f"{tmp_path}/data/images"
        cache = place[2:]
        said = CliRunner().invoke(
            app, ["score", f"{tmp_path}/d", images, *cache, "--out", f"{tmp_path}/s.csv"]
        )
        assert re.search(used, said.stdout), said.stdout


def head_recipe() -> Recipe:
    return for_phantoms(Recipe.load("head_ct"))


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Prepared]:
    folder = tmp_path_factory.mktemp("heads")
    cohort = Cohort.from_manifest(phantoms.write(folder / "p", "head", 0, 60, 20, size=96))
    found = prepare(cohort, head_recipe(), cache=folder / "cache")
    return {
        "given": found.subset(cohort.part("train")),
        "others": found.subset(cohort.part("test").given_class()),
        "target": found.subset(cohort.part("test").target_class()),
    }


@pytest.mark.slow
class TestOnHeads:
    """The shipped recipe, whose network finds a head in noise."""

    @pytest.mark.parametrize("name", ["intensity", "one_class_svm"])
    def test_noise_is_never_called_normal(self, heads: dict[str, Prepared], name: str) -> None:
        detector = detector_class(name, ())(head_recipe()).fit(heads["given"], max_fpr=0.1)
        images = [one for n in (96, 200) for one in pictures(n).values()]
        for image in images:
            some = prepare_array(image[None], head_recipe(), 2.0)
            assert detector.predict(some).tolist() == [1]
        assert len(detector.reasons(heads["others"])) <= 1

    def test_an_inverted_head_is_never_called_normal(self, heads: dict[str, Prepared]) -> None:
        detector = detector_class("intensity", ())(head_recipe()).fit(heads["given"], max_fpr=0.1)
        inverted = 1 - phantoms.make("head", 6, seed=9, size=96)[:, None]
        assert detector.predict(prepare_array(inverted, head_recipe(), 2.3)).all()

    def test_given_and_target_class_and_what_knowledge_makes_stay_assessed(
        self, heads: dict[str, Prepared]
    ) -> None:
        recipe, others = head_recipe(), heads["others"]
        least = recipe.geometry.least_anatomy_mm2
        plausible = Plausible.of(heads["given"], recipe)
        for name in ("others", "target"):
            assert plausible.assessable(heads[name], least).mean() >= 0.95, name
        batch = others.batch(slice(None))
        for name, operator in (recipe.operators() | recipe.held_out_operators()).items():
            middle = others.showing(batch.with_pixels(operator(batch, seeded()).pixels))
            assert plausible.assessable(middle, least).mean() >= 0.95, name


def test_a_users_masks_have_limits_of_their_own() -> None:
    some = shown(discs(60, seed=0))
    masked = replace(some.store, link=np.full(60, -1, np.int8))
    plausible = Plausible.of(replace(some, store=masked), RECIPE)
    assert list(plausible.limits) == [-1]
    assert plausible.reasons(shown(pictures()["noise"][None])) == [""]  # by the recipe's anatomy


@pytest.mark.parametrize("bits", [2, 4])
def test_an_image_of_which_a_sixteenth_of_the_range_is_used_is_not_normal(bits: int) -> None:
    """Such as 12 bits in a file of 16: faint enough to score lower than all normal images."""
    recipe = trained_recipe(fields={"anatomy": "anatomy.whole"})
    learned = Plausible.of(shown(discs(60, seed=0), recipe), recipe)
    faint = shown(discs(8, seed=1) / 2**bits, recipe)
    said = learned.reasons(faint)
    assert all("the spread inside is" in one for one in said) is (bits == 4)
    assert not any(learned.reasons(shown(discs(8, seed=1) * 0.6, recipe)))
