"""Laws of images: what the manifest says of a case reaches its sample, and no lesion is cut off."""

from __future__ import annotations

import os
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image

from makers import recipe
from midclass import Case, Cohort, InputError, Recipe, prepare, prepare_array
from midclass.images import anatomy, phantoms
from midclass.images.anatomy import head_ct
from midclass.images.formats import read
from midclass.images.prepare import prepare_blocks
from midclass.images.rules import Rules, _found, in_full_range
from midclass.images.sample import whole_box

DIFFERENT: dict[str, tuple[Any, Any]] = {
    "laterality": ("L", "R"),
    "spacing_mm": ((1.0, 1.0), (1.5, 1.5)),
    "centre": ((20.0, 30.0), (40.0, 30.0)),
    "index": (0, 1),
    "path": ("a.npz", "b.npz"),
}
"""What two cases may differ in, and hence their samples."""


@pytest.fixture
def cases(tmp_path: Path) -> tuple[Case, Case]:
    rng = np.random.default_rng(0)
    for name in ("a.npz", "b.npz"):
        np.savez(tmp_path / name, images=rng.integers(0, 255, (2, 64, 64), np.uint8))
    known = {"array": "images", "index": 0, "spacing_mm": (1.0, 1.0), "laterality": "L"}
    one = Case("one", tmp_path / "a.npz", 0, "p", centre=(20.0, 30.0), **known)
    return one, replace(one, case_id="other")


def squares() -> Recipe:
    geometry = {"size": [32, 32], "view": "roi", "roi_mm": 30, "orient": "laterality"}
    return recipe(geometry=geometry)


def differing(cases: tuple[Case, Case], field: str, folder: Path) -> tuple[Case, Case]:
    first, second = DIFFERENT[field]
    if field == "path":
        first, second = folder / first, folder / second
    return replace(cases[0], **{field: first}), replace(cases[1], **{field: second})


@pytest.mark.parametrize("field", DIFFERENT)
def test_two_cases_of_which_the_manifest_says_different_things_are_different_samples(
    cases: tuple[Case, Case], tmp_path: Path, field: str
) -> None:
    both = Cohort(differing(cases, field, tmp_path))
    batch = prepare(both, squares(), cache=tmp_path / "cache").batch([0, 1])
    assert not np.allclose(batch.pixels[0], batch.pixels[1], atol=0.05)


@pytest.mark.parametrize("field", DIFFERENT)
def test_a_case_of_which_the_manifest_now_says_another_thing_is_prepared_again(
    cases: tuple[Case, Case], tmp_path: Path, field: str
) -> None:
    before, after = (
        prepare(Cohort((case,)), squares(), cache=tmp_path / "cache").batch([0])
        for case in differing(cases, field, tmp_path)
    )
    assert not np.allclose(before.pixels, after.pixels, atol=0.05)


def test_a_right_side_is_the_mirror_image_of_the_same_file_as_a_left_one(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    left = Case("l", tmp_path / "a.png", 0, "p", laterality="L", spacing_mm=(1.0, 1.0))
    both = Cohort((left, replace(left, case_id="r", laterality="R")))
    wanted = recipe(geometry={"size": [32, 32], "orient": "laterality"})
    pixels = prepare(both, wanted, cache=tmp_path / "cache").batch([0, 1]).pixels
    assert pixels[1].equal(pixels[0].flip(-1))


@pytest.mark.parametrize(("beyond", "edge"), [(0.25, 1.0), (-0.1, 0.0)])
def test_what_is_brighter_or_darker_than_all_tissue_keeps_its_contrast(
    beyond: float, edge: float
) -> None:
    """A lesion is small: the percentiles of the intensity rule are those of the tissue."""
    image = np.random.default_rng(0).choice([0.2, 0.6], (128, 128)).astype(np.float32)
    image[:5, :5] = edge_of_tissue = 0.6 if beyond > 0 else 0.2
    image[5:9, 5:9] = edge_of_tissue + beyond * 0.4
    wanted = recipe(geometry={"size": [128, 128]}, intensity={"rule": "percentiles"})
    seen = prepare_array(image[None, None], wanted, 1.0).batch([0]).pixels[0, 0].numpy()
    tissue = np.unique(seen[20:, 20:].round(3))
    assert len(tissue) == 2
    contrast = (seen[6, 6] - seen[2, 2]) / (tissue[1] - tissue[0])
    assert contrast == pytest.approx(beyond, abs=0.01)
    assert seen[6, 6] != edge


@settings(max_examples=30, deadline=None)
@given(top=st.integers(0, 20), left=st.integers(0, 20), size=st.tuples(*[st.integers(1, 9)] * 2))
def test_a_box_around_a_mask_touches_it_on_all_four_sides(
    top: int, left: int, size: tuple[int, int]
) -> None:
    mask = np.zeros((30, 40), bool)
    mask[top : top + size[0], left : left + size[1]] = True
    assert whole_box(mask, (30, 40), 0.0) == (top, left, top + size[0], left + size[1])
    wide = whole_box(mask, (30, 40), 1.0)
    assert wide[0] == max(0, top - size[0])
    assert wide[3] == min(40, left + 2 * size[1])


def test_what_a_killed_preparation_left_is_removed_after_a_day_and_not_before(
    tmp_path: Path,
) -> None:
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(tmp_path / "a.png")
    root = tmp_path / "cache"
    for name, age_s in ((".new-old", 25 * 3600), (".new-young", 23 * 3600)):
        (root / name / "entry").mkdir(parents=True)
        os.utime(root / name, (time.time() - age_s,) * 2)
    wanted = recipe(geometry={"size": [32, 32], "spacing_mm": 1.0})
    prepare(Cohort.from_files([tmp_path / "a.png"]), wanted, cache=root)
    assert {path.name for path in root.glob(".new-*")} == {".new-young"}


@pytest.mark.filterwarnings("ignore:1 file passed over")
def test_a_zip_file_in_a_folder_is_no_image_but_dicom_without_a_suffix_is_one(
    tmp_path: Path,
) -> None:
    with zipfile.ZipFile(tmp_path / "letter.docx", "w") as file:
        file.writestr("text", "no image")
    (tmp_path / "IM0001").write_bytes(bytes(128) + b"DICM")
    assert [case.path.name for case in Cohort.from_files([tmp_path])] == ["IM0001"]


def test_every_anatomy_of_the_package_is_there_by_its_name() -> None:
    names = {
        "brain",
        "breast",
        "foreground",
        "intracranial",
        "intracranial_by_bone",
        "lungs",
        "lungs_by_template",
        "on_black",
        "on_white",
        "pigmented",
        "retina",
        "sonogram",
        "whole",
    }
    assert names == set(anatomy.__all__)
    assert all(callable(getattr(anatomy, name)) for name in names)


@pytest.mark.parametrize("times", [4, 16, 64])
@pytest.mark.parametrize("name", anatomy.__all__)
def test_an_anatomy_is_the_same_whatever_the_bits_of_its_file(name: str, times: int) -> None:
    """10 or 12 bits come in files of 16, where tissue is as dark as the noise of a film."""
    kind = {"breast": "breast", "lungs": "chest", "lungs_by_template": "chest"}.get(name, "head")
    pixels = phantoms.make(kind, 1, seed=3, size=96)[0][None].astype(np.float32)
    pixels = pixels / pixels.max()
    if name == "on_white":
        pixels = 1 - pixels
    find = getattr(anatomy, name)
    usual, dark = (_found(find, one, (2.0, 2.0)) for one in (pixels, pixels / np.float32(times)))
    assert usual.any()
    np.testing.assert_array_equal(dark, usual)


def test_laws_of_anatomies_see_what_an_anatomy_sees_and_samples_keep_their_values() -> None:
    wanted = recipe(geometry={"size": [32, 32], "spacing_mm": 1.0}, intensity={"rule": "none"})
    pixels = np.linspace(0, 1, 32 * 32, dtype=np.float32).reshape(1, 32, 32)
    usual, dark = (read.Image(one, (1.0, 1.0)) for one in (pixels, pixels / 16))
    case, seen, made = Case("a", Path("a.png"), 0, "p"), [], []
    for one in (usual, dark):
        rules = Rules(wanted)
        seen.append(rules.seen_by_anatomy(case, one)[0])
        made.append(rules.attempt(case, lambda one=one: one).samples[0].pixels)
    np.testing.assert_array_equal(seen[0], seen[1])
    np.testing.assert_allclose(made[1] * 16, made[0], rtol=1e-4)


@given(arrays(np.float32, 5, elements=st.floats(0, 1, width=32)))
def test_an_image_that_uses_more_than_a_quarter_of_its_range_stays_as_it_is(
    pixels: NDArray[np.float32],
) -> None:
    found = in_full_range(pixels)
    if not 0 < pixels.max() <= 0.25:
        assert found is pixels
    else:
        assert found.max() <= 1
        assert found.max() > 0.5 or found.max() == pixels.max() * 64


def test_what_bone_surrounds_is_wholly_enclosed_and_what_has_none_beside_it_is_not() -> None:
    ring = np.ones((60, 60), bool)
    ring[6:-6, 6:-6] = False
    enclosed = head_ct._enclosure(ring, (1.0, 1.0))
    assert enclosed[30, 30] == 1
    assert not head_ct._enclosure(np.zeros((60, 60), bool), (1.0, 1.0)).any()
    half = ring.copy()
    half[:, :30] = False
    assert 0.3 < head_ct._enclosure(half, (1.0, 1.0))[30, 20] < 0.7


def test_a_sample_with_no_more_anatomy_than_the_least_is_left_out() -> None:
    images = np.zeros((3, 1, 32, 32), np.float32)
    for number, side in enumerate((4, 8, 16)):
        images[number, 0, :side, :side] = 1
    wanted = recipe(geometry={"size": [32, 32]}, anatomy="anatomy.foreground")
    prepared = prepare_array(images, wanted, 2.0)
    areas = prepared.anatomy_mm2
    assert (np.diff(areas) > 0).all()
    assert areas.tolist() == (4 * prepared.masks().sum((1, 2, 3))).tolist()
    assert prepared.covered.tolist() == (prepared.masks().mean((1, 2, 3))).tolist()
    assert prepared.with_anatomy(0).tolist() == [0, 1, 2]
    assert prepared.with_anatomy(areas[1]).tolist() == [2]
    assert prepared.with_anatomy(areas[1] - 1).tolist() == [1, 2]


@pytest.mark.parametrize(("bad", "told"), [(3, "2.png: is empty$"), (4, "; and 1 more$")])
def test_of_cases_that_fail_three_are_named_and_the_others_counted(
    tmp_path: Path, bad: int, told: str
) -> None:
    for number in range(bad):
        (tmp_path / f"{number}.png").touch()
    wanted = recipe(geometry={"size": [32, 32], "spacing_mm": 1.0})
    with pytest.raises(InputError, match=rf"^{bad} of {bad} cases cannot be prepared: .*{told}"):
        prepare(Cohort.from_files([tmp_path]), wanted, cache=tmp_path / "new" / "cache")


def test_the_cache_is_made_with_the_folders_above_it(tmp_path: Path) -> None:
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(tmp_path / "a.png")
    wanted = recipe(geometry={"size": [32, 32], "spacing_mm": 1.0})
    root = tmp_path / "new" / "cache"
    prepare(Cohort.from_files([tmp_path / "a.png"]), wanted, cache=root)
    assert len(list(root.iterdir())) == 1


def test_blocks_are_prepared_as_the_whole_is_and_progress_counts_all(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(5):
        pixels = rng.integers(0, 255, (32, 32), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    (tmp_path / "3.png").write_text("no image")
    wanted = recipe(geometry={"size": [32, 32], "spacing_mm": 1.0})
    cohort, told = Cohort.from_files([tmp_path]), []
    blocks = list(
        prepare_blocks(
            cohort, wanted, 2, cache=tmp_path / "a", progress=lambda *now: told.append(now)
        )
    )
    assert told == [(done, 5, "") for done in range(1, 6)]
    assert [len(block) for block in blocks] == [2, 1, 1]
    assert [case.case_id[-5:] for block in blocks for case, _ in block.failed] == ["3.png"]
    whole = prepare(cohort, wanted, cache=tmp_path / "b", keep_going=True)
    assert (np.concatenate([block.images() for block in blocks]) == whole.images()).all()
    (nothing,) = prepare_blocks(cohort[3:4], wanted, 2, cache=tmp_path / "a")
    assert (len(nothing), len(nothing.failed)) == (0, 1)


@pytest.mark.parametrize("missing", [0, 1])
def test_a_disk_that_is_full_is_said_before_the_work_and_to_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: int
) -> None:
    """A memory map on a full disk would end the process."""
    Image.fromarray(np.arange(1024, dtype=np.uint8).reshape(32, 32)).save(tmp_path / "a.png")
    wanted = recipe(geometry={"size": [32, 32], "spacing_mm": 1.0})
    free = SimpleNamespace(free=3 * 32 * 32 + 2**20 - missing)
    monkeypatch.setattr("midclass.images.building.shutil.disk_usage", lambda _: free)
    cohort = Cohort.from_files([tmp_path / "a.png"])
    if missing:
        with pytest.raises(InputError, match="are needed for prepared images"):
            prepare(cohort, wanted, cache=tmp_path / "cache")
    else:
        assert len(prepare(cohort, wanted, cache=tmp_path / "cache")) == 1


@pytest.mark.parametrize("scale", [0.25, 1.0])
def test_what_lies_by_the_scale_above_the_median_of_the_anatomy_becomes_1(scale: float) -> None:
    pixels = np.full((1, 1, 32, 32), 0.3, np.float32)
    pixels[0, 0, 4:8, 4:8] = 0.3 + scale / 2
    relative = recipe(intensity={"rule": "relative", "scale": scale})
    shown = prepare_array(pixels, relative, spacing_mm=1.0).images()[0, 0] / 65535
    assert shown[20, 20] == pytest.approx(0.5, abs=1e-4)
    assert shown[5, 5] == pytest.approx(0.75, abs=1e-4)


def test_another_least_anatomy_prepares_nothing_anew() -> None:
    geometry = {"size": [32, 32], "spacing_mm": 1.0}
    digests = {
        Rules(recipe(geometry=geometry | more)).digest
        for more in ({}, {"least_anatomy_mm2": 50.0}, {"spacing_mm": 1.5})
    }
    assert len(digests) == 2
