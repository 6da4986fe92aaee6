"""Preparation: geometry keeps shapes and millimetres, the cache is whole or absent, errors name."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

import makers
from midclass import Case, Cohort, InputError, Prepared, Recipe, prepare, prepare_array
from midclass.images import entries
from midclass.images.keys import folder

Pixels = NDArray[np.float32]


def recipe(
    anatomy: str = "anatomy.whole", intensity: dict[str, Any] | None = None, **geometry: Any
) -> Recipe:
    return makers.recipe(
        geometry={"size": [64, 64], **geometry}, intensity=intensity or {}, anatomy=anatomy
    )


def disc(
    shape: tuple[int, int], centre: tuple[float, float], diameter_mm: float, spacing: Any
) -> Pixels:
    """A bright disc around a centre (y, x) in pixels; its edge is a pixel wide."""
    y, x = np.ogrid[: shape[0], : shape[1]]
    dy, dx = np.broadcast_to(spacing, 2)
    r = np.hypot((y - centre[0]) * dy, (x - centre[1]) * dx)
    inside = np.clip((diameter_mm / 2 - r) / max(dy, dx) + 0.5, 0, 1)
    return (0.1 + 0.8 * inside).astype(np.float32)


def saved(folder: Path, pixels: Pixels, name: str = "a.png", **known: Any) -> Case:
    Image.fromarray(np.rint(pixels * 255).astype(np.uint8)).save(folder / name)
    return Case(name, folder / name, 0, name, **known)


def extent_mm(prepared: Prepared, i: int = 0) -> tuple[float, float]:
    """Height and width of what is bright, by the reported spacing."""
    bright = prepared.images()[i, 0] > 32768
    spacing = prepared.spacing_mm[i]
    return (
        float(np.flatnonzero(bright.any(axis=1)).size * spacing[0]),
        float(np.flatnonzero(bright.any(axis=0)).size * spacing[1]),
    )


def diameters_mm(prepared: Prepared) -> tuple[float, float]:
    """Vertical and horizontal diameter of a disc from its second moments, finer than a sample.

    The standard deviation of a disc along an axis is a quarter of its diameter.
    """
    brighter = np.clip(
        np.asarray(prepared.images()[0, 0]) / 65535 - 0.12, 0, 1
    )  # than its surround
    rows, columns = np.indices(brighter.shape)
    variances = [np.cov(place.ravel(), aweights=brighter.ravel()) for place in (rows, columns)]
    tall, wide = 4 * np.sqrt(variances) * prepared.spacing_mm[0]
    return float(tall), float(wide)


def middle(prepared: Prepared, i: int = 0) -> tuple[float, ...]:
    """The centre of what is bright, in samples."""
    found = np.argwhere(prepared.images()[i, 0] > 32768).mean(axis=0)
    return tuple(map(float, found))


@given(
    height=st.integers(60, 300),
    width=st.integers(60, 300),
    aspect=st.floats(0.6, 1.7),
    rows=st.integers(48, 128),
    columns=st.integers(48, 128),
)
@settings(max_examples=40, deadline=None)
def test_a_disc_stays_round_whatever_the_shapes(
    height: int, width: int, aspect: float, rows: int, columns: int
) -> None:
    spacing = (0.5 * aspect, 0.5)
    diameter = 0.6 * min(height * spacing[0], width * spacing[1])
    image = disc((height, width), (height / 2, width / 2), diameter, spacing)
    prepared = prepare_array(image[None, None], recipe(size=[rows, columns]), spacing)
    tall, wide = diameters_mm(prepared)
    step = float(prepared.spacing_mm[0, 0])
    assert prepared.spacing_mm[0, 0] == prepared.spacing_mm[0, 1]
    assert tall == pytest.approx(wide, abs=0.5 * (step + max(spacing)))
    assert tall == pytest.approx(diameter, abs=0.5 * (step + max(spacing)))


@pytest.mark.parametrize("view", [{}, {"view": "roi", "roi_mm": 50}])
@pytest.mark.parametrize("size", [64, 160])
@pytest.mark.parametrize("pixel_mm", [0.25, 1.0])
def test_20_mm_are_20_mm_at_any_resolution(
    view: dict[str, Any], size: int, pixel_mm: float
) -> None:
    n = round(80 / pixel_mm)
    image = disc((n, n), ((n - 1) / 2, (n - 1) / 2), 20, pixel_mm)
    prepared = prepare_array(image[None, None], recipe(size=[size, size], **view), pixel_mm)
    step = max(float(prepared.spacing_mm[0, 0]), pixel_mm)
    assert extent_mm(prepared) == pytest.approx((20, 20), abs=step)


def test_a_whole_image_on_its_own_grid_is_left_as_it_is() -> None:
    image = np.random.default_rng(0).random((2, 1, 64, 64), np.float32)
    prepared = prepare_array(image, recipe(), 0.5)
    assert np.abs(prepared.images() / 65535 - image).max() < 1e-4
    assert prepared.spacing_mm.tolist() == [[0.5, 0.5]] * 2
    assert not prepared.assumed_spacing


def test_the_crop_is_the_bounding_box_with_its_margin() -> None:
    image = np.full((200, 300), 0.1, np.float32)
    image[50:150, 100:200] = 0.9
    prepared = prepare_array(
        image[None, None], recipe(crop="anatomy.foreground", margin=0.14, size=[128, 128]), 1.0
    )
    assert extent_mm(prepared) == pytest.approx((100, 100), abs=1)
    assert float(prepared.spacing_mm[0, 0]) == pytest.approx(1.0, abs=0.05)
    assert middle(prepared) == pytest.approx((63.5, 63.5), abs=1)


@given(x=st.integers(20, 180), y=st.integers(20, 100), side=st.sampled_from(["L", "R"]))
@settings(max_examples=20, deadline=None)
def test_the_centre_of_a_roi_lands_in_its_middle(
    tmp_path_factory: pytest.TempPathFactory, x: int, y: int, side: str
) -> None:
    folder = tmp_path_factory.mktemp("roi")
    image = disc((120, 200), (y, x), 12, 1.0)
    case = saved(folder, image, centre=(x, y), spacing_mm=(1.0, 1.0), laterality=side)
    wanted = recipe(view="roi", roi_mm=40, orient="laterality")
    prepared = prepare(Cohort((case,)), wanted, cache=folder / "cache")
    assert middle(prepared) == pytest.approx((31.5, 31.5), abs=0.8)


def test_a_roi_over_the_edge_has_no_anatomy_and_no_pixels_outside(tmp_path: Path) -> None:
    image = np.full((100, 100), 0.5, np.float32)
    image[:, ::2] = 0.7
    case = saved(tmp_path, image, centre=(0, 50), spacing_mm=(1.0, 1.0))
    wanted = recipe(view="roi", roi_mm=40, size=[40, 40])
    prepared = prepare(Cohort((case,)), wanted, cache=tmp_path / "cache")
    assert prepared.masks()[0, 0].mean(axis=0).tolist() == [0.0] * 20 + [1.0] * 20 or (
        prepared.masks()[0, 0].mean(axis=0).tolist() == [0.0] * 19 + [1.0] * 21
    )
    assert (prepared.images()[0, 0] > 0).tolist() == prepared.masks()[0, 0].tolist()


def test_right_sides_are_flipped_and_left_ones_are_not(tmp_path: Path) -> None:
    image = np.random.default_rng(0).random((64, 64), np.float32)
    left = saved(tmp_path, image, "l.png", laterality="L", spacing_mm=(1.0, 1.0))
    right = saved(tmp_path, image[:, ::-1], "r.png", laterality="R", spacing_mm=(1.0, 1.0))
    pixels = prepare(
        Cohort((left, right)), recipe(orient="laterality"), cache=tmp_path / "cache"
    ).images()
    assert (pixels[0] == pixels[1]).all()
    kept = prepare(Cohort((left, right)), recipe(), cache=tmp_path / "cache").images()
    assert (kept[0] == kept[1, :, :, ::-1]).all()


def test_relative_intensity_keeps_contrast_and_centres_the_anatomy() -> None:
    dark, bright = disc((64, 64), (32, 32), 30, 1.0) * 0.5, disc((64, 64), (32, 32), 30, 1.0)
    wanted = recipe("anatomy.foreground", {"rule": "relative", "scale": 0.5}, outside="blank")
    prepared = prepare_array(np.stack([dark, bright])[:, None], wanted, 1.0)
    assert np.allclose(prepared.images()[:, 0, 32, 32] / 65535, 0.5, atol=0.01)
    assert (prepared.images()[~prepared.masks()] == 0).all()


def test_percentiles_undo_exposure() -> None:
    image = np.random.default_rng(0).random((1, 1, 64, 64), np.float32)
    wanted = recipe(intensity={"rule": "percentiles"})
    one = prepare_array(image, wanted, 1.0).images()
    other = prepare_array(image * 0.5 + 0.2, wanted, 1.0).images()
    assert np.abs(one.astype(int) - other.astype(int)).max() <= 2


def test_colour_becomes_luminance_and_grey_is_refused_as_colour() -> None:
    image = np.zeros((1, 3, 64, 64), np.float32)
    image[:, 1, 16:48] = 1
    assert prepare_array(image, recipe(), 1.0).images().max() == round(0.587 * 65535)
    assert prepare_array(image, recipe(channels=3), 1.0).images().shape == (1, 3, 64, 64)
    with pytest.raises(InputError, match="wrong channel count 1"):
        prepare_array(image[:, :1] + image[:, 1:2], recipe(channels=3), 1.0)


def test_a_case_without_anatomy_is_prepared_and_told_apart() -> None:
    bar = np.zeros((1, 1, 64, 64), np.float32)
    bar[..., 26:32, :] = 0.6
    wanted = recipe("anatomy.intracranial", {"rule": "relative"})
    prepared = prepare_array(bar, wanted, 1.0)
    assert len(prepared) == 1
    assert prepared.assessable.tolist() == [False]


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    rng = np.random.default_rng(0)
    (tmp_path / "files").mkdir()
    cases = [saved(tmp_path / "files", rng.random((50, 70)), f"{i}.png") for i in range(5)]
    return Cohort(tuple(cases), "five")


ASSUMED = {"field_of_view_mm": 100}


def forbid_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("an image was read")

    monkeypatch.setattr("midclass.images.cohort.read", fail)


def test_a_second_call_reads_no_image_and_gives_the_same_memory_map(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    wanted = recipe("anatomy.foreground", {"rule": "percentiles"}, **ASSUMED)
    first = prepare(cohort, wanted, cache=tmp_path, progress=lambda i, n, _: seen.append((i, n)))
    forbid_reading(monkeypatch)
    second = prepare(cohort, wanted, cache=tmp_path)
    assert seen == [(i, 5) for i in range(1, 6)]
    assert isinstance(second.store.pixels, np.memmap)
    assert isinstance(second.store.anatomy, np.memmap)
    assert first.images().tobytes() == second.images().tobytes()
    assert first.masks().tobytes() == second.masks().tobytes()
    assert first.spacing_mm.tolist() == second.spacing_mm.tolist()
    assert first.assumed_spacing
    assert second.assumed_spacing
    batch = second.batch([3, 1])
    assert np.allclose(batch.pixels.numpy(), second.images()[[3, 1]] / 65535)
    assert second.cases.cases == cohort.cases


def copied(cohort: Cohort, folder: Path) -> Cohort:
    """Its files in another folder, under other names and with another time of change."""
    folder.mkdir()
    cases = []
    for i, case in enumerate(cohort):
        path = folder / f"{len(cohort) - i}.png"  # in the opposite order
        cases.append(replace(case, path=Path(shutil.copyfile(case.path, path))))
    return Cohort(tuple(cases), "copied")


def test_a_copied_folder_is_the_same_cohort_and_is_not_prepared_again(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, again = tmp_path / "cache", copied(cohort, tmp_path / "copied")
    first = prepare(cohort, recipe(**ASSUMED), cache=root)
    forbid_reading(monkeypatch)
    second = prepare(again, recipe(**ASSUMED), cache=root)
    assert second.contents == first.contents
    assert second.images().tobytes() == first.images().tobytes()
    assert len(set(first.contents)) == 5
    assert len(list(root.iterdir())) == 1


def test_a_touched_file_is_looked_into_once_and_not_prepared_again(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midclass.images.change.SETTLED_S", 0)
    prepare(cohort, recipe(**ASSUMED), cache=tmp_path)
    os.utime(cohort[2].path, (1e9, 1e9))
    forbid_reading(monkeypatch)
    prepare(cohort, recipe(**ASSUMED), cache=tmp_path)
    monkeypatch.setattr("midclass.images.cache.shown_of", lambda _: 1 / 0)
    prepare(cohort, recipe(**ASSUMED), cache=tmp_path)


def test_another_image_in_a_file_of_the_same_length_is_another_image(tmp_path: Path) -> None:
    rng, shown = np.random.default_rng(0), []
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "a.tif"
        Image.fromarray(rng.integers(0, 255, (50, 70), np.uint8)).save(file)  # not compressed
        case = Case("a", file, 0, "p")
        shown.append(prepare(Cohort((case,)), recipe(**ASSUMED), cache=tmp_path / "cache"))
    one, other = (prepared.cases[0].path.stat().st_size for prepared in shown)
    assert one == other
    assert shown[0].contents != shown[1].contents
    assert (shown[0].images() != shown[1].images()).any()


def test_what_failed_in_a_copied_folder_is_named_by_the_copy(
    cohort: Cohort, tmp_path: Path
) -> None:
    (tmp_path / "files" / "bad.png").write_bytes(b"no image")
    cohort = Cohort((*cohort, Case("bad", tmp_path / "files" / "bad.png", 0, "p")))
    for some, name in ((cohort, "files/bad.png"), (copied(cohort, tmp_path / "c"), "c/1.png")):
        prepared = prepare(some, recipe(**ASSUMED), cache=tmp_path / "cache", keep_going=True)
        ((_, reason),) = prepared.failed
        assert reason.startswith(str(tmp_path / name))


def test_the_cache_lies_where_the_system_keeps_a_users_caches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("MIDCLASS_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    if sys.platform == "linux":
        monkeypatch.setenv("HOME", str(tmp_path))
        assert folder() == tmp_path / ".cache" / "midclass" / "prepared"
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
        assert folder() == tmp_path / "mine" / "midclass" / "prepared"
    monkeypatch.setenv("MIDCLASS_CACHE", str(tmp_path / "named"))
    assert folder() == tmp_path / "named"
    assert folder(tmp_path / "given") == tmp_path / "given"


def test_shape_and_areas_are_told_without_reading_a_pixel(cohort: Cohort, tmp_path: Path) -> None:
    class NotRead(np.ndarray[Any, Any]):
        def __getitem__(self, _: Any) -> Any:
            raise AssertionError("pixels were read")

    prepared = prepare(cohort, recipe(**ASSUMED), cache=tmp_path)
    store = replace(
        prepared.store,
        pixels=prepared.store.pixels.view(NotRead),
        anatomy=prepared.store.anatomy.view(NotRead),
    )
    some = replace(prepared, store=store).subset(cohort[[0, 2, 4]])
    assert some.shape == (3, 1, 64, 64)
    assert len(some.anatomy_mm2) == len(some.covered) == len(some.with_anatomy(1)) == 3
    with pytest.raises(AssertionError, match="pixels were read"):
        some.images([0])


def test_two_cases_of_one_file_that_differ_in_what_is_said_of_them_are_two_samples(
    cohort: Cohort, tmp_path: Path
) -> None:
    """Also where the first was prepared and kept before the second was asked for."""
    saved(tmp_path, np.linspace(0, 1, 70)[None].repeat(50, 0), "ramp.png")
    left = Case("left", tmp_path / "ramp.png", 0, "p", laterality="L")
    right = replace(left, laterality="R")
    wanted = recipe(orient="laterality", **ASSUMED)
    one, other = (prepare(Cohort((case,)), wanted, cache=tmp_path / "c") for case in (left, right))
    assert (one.images() == other.images()[..., ::-1]).all()
    assert (one.images() != other.images()).any()


def test_a_changed_file_or_recipe_is_prepared_again(cohort: Cohort, tmp_path: Path) -> None:
    before = prepare(cohort, recipe(**ASSUMED), cache=tmp_path).images()
    saved(cohort[0].path.parent, np.eye(50, 70, dtype=np.float32), "0.png")
    after = prepare(cohort, recipe(**ASSUMED), cache=tmp_path).images()
    assert (before[0] != after[0]).any()
    assert (before[1:] == after[1:]).all()
    scaled = prepare(cohort, recipe(intensity={"rule": "relative"}, **ASSUMED), cache=tmp_path)
    assert (scaled.images() != after).any()


def test_another_version_of_a_users_anatomy_is_prepared_again(
    cohort: Cohort, tmp_path: Path
) -> None:
    code = tmp_path / "own.py"
    wanted = recipe(f"{code}:part", **ASSUMED).to_dict()
    shares = []
    for rows in (25, 10):
        code.write_text(
            f"def part(pixels, mm):\n    m = pixels[0] < 0\n    m[:{rows}] = 1\n    return m"
        )
        os.utime(code, (1e9, 1e9))  # within a second, and as long: Python's own cache is fooled
        trusted = Recipe.from_dict(wanted, trust=[code])
        shares.append(prepare(cohort, trusted, cache=tmp_path / "cache").masks().mean())
    assert shares[1] == pytest.approx(shares[0] * 10 / 25, rel=0.1)


def test_an_anatomy_of_the_wrong_shape_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    code = tmp_path / "own.py"
    code.write_text("def grey(pixels, mm):\n    return pixels[0]")
    trusted = Recipe.from_dict(recipe(f"{code}:grey", **ASSUMED).to_dict(), trust=[code])
    with pytest.raises(InputError, match=r"grey returned float32 \(50, 70\), expected bool"):
        prepare(cohort, trusted, cache=tmp_path / "cache")


@pytest.mark.parametrize("part", ["pixels.npy", "assumed.npy", "failed.json"])
def test_a_damaged_entry_is_made_again(cohort: Cohort, tmp_path: Path, part: str) -> None:
    first = prepare(cohort, recipe(**ASSUMED), cache=tmp_path / "cache").images().tobytes()
    (entry,) = (tmp_path / "cache").iterdir()
    os.truncate(entry / part, (entry / part).stat().st_size // 2)
    assert prepare(cohort, recipe(**ASSUMED), cache=tmp_path / "cache").images().tobytes() == first


def test_the_least_recently_used_entries_over_the_limit_are_removed(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "cache"
    monkeypatch.setattr(entries, "LIMIT_BYTES", 150_000)  # two entries of 61 kB each
    for age, side in ((300, 64), (200, 65)):
        prepare(cohort, recipe(size=[64, side], **ASSUMED), cache=root)
        newest = max(root.iterdir(), key=lambda path: path.stat().st_mtime)
        os.utime(newest, (newest.stat().st_atime, newest.stat().st_mtime - age))
    prepare(cohort, recipe(size=[64, 64], **ASSUMED), cache=root)  # used again: now the newest
    prepare(cohort, recipe(size=[64, 66], **ASSUMED), cache=root)
    forbid_reading(monkeypatch)
    prepare(cohort, recipe(size=[64, 64], **ASSUMED), cache=root)
    with pytest.raises(InputError, match="an image was read"):
        prepare(cohort, recipe(size=[64, 65], **ASSUMED), cache=root)


def test_the_cache_lies_where_the_user_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cohort: Cohort
) -> None:
    monkeypatch.setenv("MIDCLASS_CACHE", str(tmp_path / "here"))
    prepare(cohort, recipe(**ASSUMED))
    assert len(list((tmp_path / "here").iterdir())) == 1
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="MIDCLASS_CACHE"):
        prepare(cohort, recipe(**ASSUMED), cache=tmp_path / "file")


def with_damaged(cohort: Cohort) -> Cohort:
    damaged = cohort[0].path.parent / "damaged.png"
    damaged.write_bytes(cohort[0].path.read_bytes()[:99])
    black = saved(damaged.parent, np.zeros((50, 70), np.float32), "black.png")
    case = Case("damaged.png", damaged, 0, "p9")
    return Cohort((*cohort.cases[:2], case, *cohort.cases[2:], black), "seven")


def test_what_fails_is_named_after_all_cases_were_tried(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        prepare(with_damaged(cohort), recipe(**ASSUMED), cache=tmp_path / "cache")
    message = str(caught.value)
    assert message.startswith("2 of 7 cases cannot be prepared: ")
    assert "damaged.png: " in message
    assert "black.png: nothing to see: every pixel is 0.0000" in message
    assert "\n" not in message


def test_going_on_keeps_the_good_cases_and_tries_the_bad_ones_again(
    cohort: Cohort, tmp_path: Path
) -> None:
    for _ in range(2):
        prepared = prepare(
            with_damaged(cohort), recipe(**ASSUMED), cache=tmp_path / "cache", keep_going=True
        )
        assert [case.case_id for case, _ in prepared.failed] == ["damaged.png", "black.png"]
        assert prepared.cases.cases == cohort.cases
        assert len(prepared) == len(prepared.images()) == len(prepared.masks()) == 5
    alone = prepare(cohort, recipe(**ASSUMED), cache=tmp_path / "cache")
    assert (alone.images() == prepared.images()).all()


def test_a_reason_that_has_gone_is_not_remembered(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise InputError("0.png: a plug-in is missing")

    with monkeypatch.context() as patched:
        patched.setattr("midclass.images.cohort.read", broken)
        with pytest.raises(InputError, match=r"5 of 5 cases.*; and 2 more"):
            prepare(cohort, recipe(**ASSUMED), cache=tmp_path / "cache", keep_going=True)
    assert len(prepare(cohort, recipe(**ASSUMED), cache=tmp_path / "cache")) == 5


def test_a_subset_follows_the_cohort_that_it_is_asked_for(cohort: Cohort, tmp_path: Path) -> None:
    prepared = prepare(
        with_damaged(cohort), recipe(**ASSUMED), cache=tmp_path / "cache", keep_going=True
    )
    part = prepared.subset(with_damaged(cohort)[[4, 2, 0]])
    assert [case.case_id for case in part.cases] == ["3.png", "0.png"]
    assert [case.case_id for case, _ in part.failed] == ["damaged.png"]
    assert part.case_index.tolist() == [0, 1]
    assert (part.images() == prepared.images()[[3, 0]]).all()
    assert (part.batch([0]).pixels == prepared.batch([3]).pixels).all()
    stranger = Case("x", Path("x.png"), 0, "x")
    with pytest.raises(InputError, match="case x was not prepared"):
        prepared.subset(Cohort((stranger,)))


@pytest.mark.parametrize(
    ("geometry", "known", "message"),
    [
        ({}, {}, "has no spacing; give spacing_mm (a column of the manifest), or assume"),
        ({"view": "roi", "roi_mm": 9, "spacing_mm": 1}, {}, "has no x and y"),
        (
            {"view": "roi", "roi_mm": 9, "spacing_mm": 1},
            {"centre": (70, 3)},
            "the centre x = 70, y = 3 is outside the image of 70 x 50 pixels",
        ),
        ({"view": "roi", "roi_mm": 7, "spacing_mm": 1}, {"centre": (9, 9)}, "7.0 x 7.0 pixels"),
        ({"orient": "laterality", "spacing_mm": 1}, {}, "has no laterality"),
        ({"channels": 3, "spacing_mm": 1}, {}, "wrong channel count 1"),
    ],
)
def test_what_a_case_lacks_is_said_in_one_line_that_names_the_file(
    tmp_path: Path, geometry: dict[str, Any], known: dict[str, Any], message: str
) -> None:
    case = saved(tmp_path, np.random.default_rng(0).random((50, 70)), **known)
    with pytest.raises(InputError) as caught:
        prepare(Cohort((case,)), recipe(**geometry), cache=tmp_path / "cache")
    assert message in str(caught.value)
    assert str(case.path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("pixels", "spacing", "message"),
    [
        (np.zeros((2, 64, 64, 3)), 1.0, r"channels last, .* give pixels.transpose\(0, 3, 1, 2\)"),
        (np.zeros((64, 64)), 1.0, r"shape \(64, 64\), expected \(n, h, w\) or \(n, c, h, w\)"),
        (np.zeros((1, 1, 8, 64, 64)), 1.0, r"expected \(n, h, w\) or \(n, c, h, w\)"),
        (np.eye(64)[None, None] * 255, 1.0, r"from 0 to 255, expected .*numbers in \[0, 1\]"),
        (np.full((1, 1, 64, 64), np.nan), 1.0, r"array\[0\]: has pixels that are no number"),
        (np.eye(64)[None, None], None, "has no spacing"),
        (np.eye(64)[None, None], (1, 1, 1), r"spacing_mm of shape \(3,\)"),
        (np.eye(64)[None, None], 0.0, "above 0"),
        (np.full((1, 1, 64, 64), 0.5), 1.0, r"array\[0\]: nothing to see: every pixel is 0.5"),
    ],
)
def test_a_wrong_array_is_refused(pixels: Pixels, spacing: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare_array(pixels, recipe(), spacing)


def test_no_cases_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no cases to prepare"):
        prepare(Cohort(()), recipe(), cache=tmp_path)


def test_an_image_with_several_rois_is_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from midclass.images import cohort as module

    reads = []
    original = module.read
    monkeypatch.setattr(module, "read", lambda *a, **k: (reads.append(a), original(*a, **k))[1])
    image = np.random.default_rng(0).random((64, 64), np.float32)
    a, b = saved(tmp_path, image, "a.png"), saved(tmp_path, image, "b.png")
    cases = [
        Case(f"{case.case_id}@{x}", case.path, 0, case.case_id, centre=(x, 30))
        for x in (20, 30, 40)
        for case in (a, b)
    ]
    wanted = recipe(view="roi", roi_mm=20, spacing_mm=1)
    prepared = prepare(Cohort(tuple(cases)), wanted, cache=tmp_path / "cache")
    assert len(reads) == 2
    assert (
        prepared.images()[0] == prepared.images()[1]
    ).all()  # rows follow the cohort all the same
    assert (prepared.images()[0] != prepared.images()[2]).any()


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "manifest"),
    [
        ("chest_xray", "kermany_cxr/manifest.csv"),
        ("head_ct", "ct_ich/manifest.csv"),
        ("mammography", "mini_mias/rois.csv"),
    ],
)
def test_real_cases_prepare(shared_data: Path, tmp_path: Path, name: str, manifest: str) -> None:
    cohort = Cohort.from_manifest(shared_data / manifest, split=None)
    cohort = cohort[np.linspace(0, len(cohort) - 1, 8).astype(int)]
    prepared = prepare(cohort, Recipe.load(name), cache=tmp_path)
    assert len(prepared) == 8
    assert prepared.assumed_spacing
    assert prepared.assessable.sum() >= 5
    assert (prepared.images()[prepared.assessable].max(axis=(1, 2, 3)) > 30000).all()
