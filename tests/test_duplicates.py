"""The same image under two patients is found before any work, and different ones are left alone."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from numpy.typing import NDArray
from scipy.fft import idctn

from makers import manifest, phantom_folder, tiny_phantoms, typed
from midclass import Cohort, InputError
from midclass.cli.commands.duplicates import cohort_to_learn_from, tell_of_study
from midclass.cli.commands.source import Source
from midclass.images import phantoms
from midclass.images.duplicates import (
    MOST_BITS,
    Duplicate,
    copies_of_fitted,
    duplicates,
    without_copies,
)
from midclass.images.fingerprint import fingerprint_of, fingerprints, perceptual_bits
from midclass.images.identity import (
    FITTED_WITH,
    content_of,
    fitted_with,
    refuse_seen,
    seen_by,
)
from midclass.study.cell import Cell

CHANGES = {
    "jpeg60": "JPEG of quality 60",
    "jpeg95": "JPEG of quality 95",
    "smaller": "0.8 times as large",
    "larger": "1.25 times as large",
    "darker": "0.8 times as bright",
    "contrast": "another window",
    "gamma": "another gamma",
}


def saved_again(source: Path, target: Path, change: str) -> Path:
    """The image of a PNG file saved in another way."""
    image = PIL.Image.open(source)
    x = np.asarray(image) / 65535  # phantoms have 16 bits
    if change == "tiff":
        image.save(target.with_suffix(".tiff"))
        return target.with_suffix(".tiff")
    x = {"darker": 0.8 * x, "contrast": (x - 0.1) / 0.8, "gamma": x**0.8}.get(change, x)
    image = PIL.Image.fromarray(np.rint(x.clip(0, 1) * 255).astype(np.uint8))
    times = {"smaller": 0.8, "larger": 1.25}.get(change, 1)
    size = round(image.width * times), round(image.height * times)
    image = image.resize(size, PIL.Image.Resampling.BICUBIC)
    target = target.with_suffix(".jpg" if change.startswith("jpeg") else ".png")
    image.save(target, **({"quality": int(change[4:])} if change.startswith("jpeg") else {}))
    return target


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Breast phantoms, 24 to learn from."""
    folder = tmp_path_factory.mktemp("originals") / "data"
    phantoms.write(folder, "breast", 0, 24, 4, size=64)
    return folder


@pytest.fixture
def folder(originals: Path, tmp_path: Path) -> Path:
    shutil.copytree(originals, tmp_path / "data")
    return tmp_path / "data"


def add(folder: Path, change: str, part: str, rows: int = 1) -> None:
    """Save the first images to learn from again, as those of other patients."""
    lines = (folder / "manifest.csv").read_text().splitlines()
    columns = lines[0].split(",")
    with (folder / "manifest.csv").open("a", newline="") as file:
        for case in Cohort.from_manifest(folder / "manifest.csv").part("train")[:rows]:
            copy = folder / "images" / f"copy_{change}_{Path(case.case_id).name}"
            copy = saved_again(case.path, copy, change)
            path = copy.relative_to(folder).as_posix()
            values = {"path": path, "label": "0", "patient_id": f"of {path}", "split": part}
            file.write(",".join(values.get(column, "") for column in columns) + "\n")


def found_in(folder: Path) -> list[Duplicate]:
    cohort = Cohort.from_manifest(folder / "manifest.csv")
    return duplicates(fingerprints(cohort, cache=folder.parent / "cache"))


@pytest.mark.parametrize("change", CHANGES)
def test_an_image_that_was_saved_again_is_a_near_copy_and_nothing_else_is(
    folder: Path, change: str
) -> None:
    add(folder, change, "test", rows=5)
    found = found_in(folder)
    assert [pair.kind for pair in found] == ["near copy"] * 5, CHANGES[change]
    assert all(Path(p.first.case_id).stem in Path(p.second.case_id).stem for p in found)
    assert all(pair.across and pair.correlation >= 0.97 for pair in found)


def test_the_same_pixels_in_another_format_are_exact(folder: Path) -> None:
    add(folder, "tiff", "test")
    (pair,) = found_in(folder)
    assert (pair.kind, pair.exact) == ("same pixels", True)


@pytest.mark.parametrize("kind", ["breast", "head"])
def test_images_of_different_patients_are_no_duplicates(tmp_path: Path, kind: str) -> None:
    phantoms.write(tmp_path / "data", kind, 3, 40, 8, size=48)
    assert found_in(tmp_path / "data") == []


def test_noise_and_one_value_are_no_near_copies_of_each_other() -> None:
    rng = np.random.default_rng(0)
    images: list[NDArray[np.float32]] = [rng.random((1, 40, 40), np.float32) for _ in range(40)]
    images += [np.full((1, 40, 40), v, np.float32) for v in (0.0, 0.1, 0.5)]
    prints = {fingerprint_of(image) for image in images}
    assert len(prints) == len({one[0] for one in prints}) == 43
    assert sum(not perceptual for _, perceptual, _ in prints) == 3


def test_a_volume_whose_middle_slice_is_empty_is_not_of_one_value() -> None:
    volume = np.random.default_rng(0).random((1, 5, 40, 40)).astype(np.float32)
    volume[:, 2] = 0
    assert fingerprint_of(volume)[1]
    assert not fingerprint_of(volume * 0)[1]


def test_a_grey_image_in_colours_has_the_same_pixels() -> None:
    grey = np.random.default_rng(0).random((1, 20, 30)).astype(np.float32)
    assert fingerprint_of(grey) == fingerprint_of(grey.repeat(3, 0))
    assert fingerprint_of(grey)[0] != fingerprint_of(grey.reshape(1, 30, 20))[0]


def test_a_volume_is_known_by_all_of_its_pixels() -> None:
    volume = np.random.default_rng(0).random((1, 6, 20, 30)).astype(np.float32)
    other = volume.copy()
    other[0, 0, 0, 0] = 0
    assert fingerprint_of(volume)[0] != fingerprint_of(other)[0]
    assert fingerprint_of(volume)[1] == fingerprint_of(other)[1]


@pytest.mark.parametrize("change", ["jpeg95", "tiff"])
def test_images_of_one_patient_may_look_alike(folder: Path, change: str) -> None:
    add(folder, change, "train")
    text = (folder / "manifest.csv").read_text()
    first = Cohort.from_manifest(folder / "manifest.csv").part("train")[0]
    last = Cohort.from_manifest(folder / "manifest.csv").cases[-1]
    assert len(found_in(folder)) == 1
    (folder / "manifest.csv").write_text(text.replace(last.patient_id, first.patient_id))
    assert found_in(folder) == []
    cohort = Cohort.from_manifest(folder / "manifest.csv")
    cases = (*cohort.cases[:-1], replace(cohort.cases[-1], part="test"))  # no manifest may say so
    prints = fingerprints(replace(cohort, cases=cases), cache=folder.parent / "cache")
    assert duplicates(prints) == []


def test_many_copies_of_one_image_are_each_paired_with_the_first_of_each_part(
    tmp_path: Path,
) -> None:
    image = np.random.default_rng(0).integers(0, 255, (20, 20)).astype(np.uint8)
    for name in "abcd":
        PIL.Image.fromarray(image).save(tmp_path / f"{name}.png")
    lines = ["path,split,patient_id", "a.png,train,a", "b.png,train,b", "c.png,test,c"]
    manifest(tmp_path, *lines, "d.png,test,d")
    pairs = [(Path(p.first.path).stem, Path(p.second.path).stem) for p in found_in_flat(tmp_path)]
    assert pairs == [("a", "b"), ("a", "c"), ("a", "d"), ("c", "d")]
    cohort = Cohort.from_manifest(tmp_path / "manifest.csv")
    kept = without_copies(cohort.part("train"), found_in_flat(tmp_path), "train")
    assert len(kept) == 0, "each is also in the test"


def found_in_flat(folder: Path) -> list[Duplicate]:
    cohort = Cohort.from_manifest(folder / "manifest.csv")
    return duplicates(fingerprints(cohort, cache=folder / "cache"))


def test_cases_in_no_part_and_unreadable_ones_are_left_out(folder: Path) -> None:
    add(folder, "jpeg95", "")
    (folder / "images" / "broken.png").write_bytes(b"no image")
    with (folder / "manifest.csv").open("a") as file:
        columns = (folder / "manifest.csv").read_text().splitlines()[0].split(",")
        values = {"path": "images/broken.png", "label": "0", "split": "test"}
        file.write(",".join(values.get(column, "") for column in columns) + "\n")
    cohort = Cohort.from_manifest(folder / "manifest.csv")
    prints = fingerprints(cohort, cache=folder.parent / "cache")
    assert [one.pixels for one in prints.each].count("") == 1
    assert duplicates(prints) == []
    assert len(duplicates(replace(prints, cohort=without_parts(cohort)))) == 1


def without_parts(cohort: Cohort) -> Cohort:
    return replace(cohort, cases=tuple(replace(case, part="") for case in cohort))


def test_images_are_decoded_once_also_in_a_copy_and_a_damaged_cache_is_begun_anew(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = folder.parent / "cache"
    cohort = Cohort.from_manifest(folder / "manifest.csv")
    first = fingerprints(cohort, cache=cache)
    shutil.copytree(folder, folder.parent / "copied")
    reads = []
    read = Cohort.read

    def counted(self: Cohort, i: int, *args: object, **named: object) -> object:
        reads.append(i)
        return read(self, i, *args, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(Cohort, "read", counted)
    copied = Cohort.from_manifest(folder.parent / "copied" / "manifest.csv")
    assert fingerprints(copied, cache=cache).each == first.each
    assert reads == []
    (cache / "fingerprints.sqlite").write_bytes(b"damaged" * 1000)
    assert fingerprints(cohort, cache=cache).each == first.each
    assert len(reads) == len(cohort)
    assert fingerprints(cohort, cache=cache).each == first.each
    assert len(reads) == len(cohort)


def test_a_file_that_changed_is_looked_at_again(folder: Path) -> None:
    cohort = Cohort.from_manifest(folder / "manifest.csv")
    before = fingerprints(cohort, cache=folder.parent / "cache")
    shutil.copy(cohort[1].path, cohort[0].path)
    after = fingerprints(cohort, cache=folder.parent / "cache")
    assert after.each[0] == before.each[1] != before.each[0]
    assert after.each[1:] == before.each[1:]


def test_a_copy_in_the_test_is_refused_and_the_file_says_what_to_remove(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(folder, "tiff", "test", rows=4)
    source, out = Source(folder / "manifest.csv"), folder.parent / "run"
    with pytest.raises(InputError, match=r"4 pairs .* in two parts show the same image: .*train"):
        cohort_to_learn_from(source, "tell", out, folder.parent / "cache")
    with (folder.parent / "run.duplicates.csv").open() as file:
        rows = list(csv.DictReader(file))
    train = [case.case_id for case in source.whole().part("train")[:4]]
    assert [row["remove"] for row in rows] == train
    assert {row["part_keep"] for row in rows} == {"test"}
    kept = cohort_to_learn_from(source, "drop", out, folder.parent / "cache")
    assert [case.case_id for case in kept] == [
        case.case_id for case in source.whole().part("train")[4:]
    ]
    assert "left out as duplicates: 4 cases" in capsys.readouterr().err


def test_a_near_copy_in_the_test_is_told_or_refused_as_asked(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(folder, "jpeg60", "test")
    source, out = Source(folder / "manifest.csv"), folder.parent / "run"
    cohort = cohort_to_learn_from(source, "tell", out, folder.parent / "cache")
    assert len(cohort) == 24
    assert "1 pair of cases of different patients in two parts look" in capsys.readouterr().err
    with pytest.raises(InputError, match="look the same"):
        cohort_to_learn_from(source, "refuse", out, folder.parent / "cache")
    with pytest.raises(InputError, match="expected one of tell, drop, refuse"):
        cohort_to_learn_from(source, "keep", out, folder.parent / "cache")


def test_a_copy_inside_one_part_is_told_and_does_not_stop(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add(folder, "tiff", "train", rows=2)
    source, out = Source(folder / "manifest.csv"), folder.parent / "run"
    for choice, kept in (("tell", 26), ("refuse", 26), ("drop", 24)):
        assert len(cohort_to_learn_from(source, choice, out, folder.parent / "cache")) == kept
        assert ("2 pairs" in capsys.readouterr().err) == (choice != "drop")


def test_a_cohort_without_duplicates_says_nothing_and_writes_no_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, out = Source(folder / "manifest.csv"), folder.parent / "run"
    assert len(cohort_to_learn_from(source, "tell", out, folder.parent / "cache")) == 24
    assert capsys.readouterr().err == ""
    assert not (folder.parent / "run.duplicates.csv").exists()


def test_a_study_tells_near_copies_between_what_it_learns_from_and_scores(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folder / "manifest.csv"
    cell = Cell("breasts", "pca", 0, {}, "baselines.pca.Pca", file, None, 0.1, file)
    add(folder, "jpeg60", "train")
    tell_of_study([cell, replace(cell, repeat=1)], folder.parent / "cache")
    said = capsys.readouterr().err
    assert said.count("breasts: 1 pair of cases of different patients, both to learn from") == 1
    assert "alike, one to learn from" not in said
    add(folder, "jpeg95", "test")
    tell_of_study([cell, replace(cell, repeat=1)], folder.parent / "cache")
    said = capsys.readouterr().err
    assert said.count("breasts: 2 pairs of cases of different patients are alike") == 1


def test_the_same_coarse_shape_with_another_texture_is_no_near_copy(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    low = np.zeros((64, 64))
    low[:16, :16] = rng.choice([-1, 1], (16, 16)) / (1 + np.hypot(*np.mgrid[:16, :16]))
    for name in "ab":
        texture = np.zeros((64, 64))
        texture[17:24, 17:24] = rng.choice([-1, 1], (7, 7))
        parts = [idctn(part, norm="ortho") for part in (low, texture)]
        image = parts[0] / parts[0].std() + 0.5 * parts[1] / parts[1].std()
        image = (image - image.min()) / np.ptp(image) * 255
        PIL.Image.fromarray(np.rint(image).astype(np.uint8)).save(tmp_path / f"{name}.png")
    lines = ["path,split,patient_id", "a.png,train,a", "b.png,test,b"]
    cohort = Cohort.from_manifest(manifest(tmp_path, *lines))
    prints = fingerprints(cohort, cache=tmp_path / "cache")
    one, other = perceptual_bits(prints.each)
    assert (one != other).sum() <= MOST_BITS, "the hash alone would take them for copies"
    assert duplicates(prints) == []


def test_a_detector_knows_copies_of_what_it_was_fitted_with_and_holds_no_image(
    folder: Path, tmp_path: Path
) -> None:
    cache = folder.parent / "cache"
    train = Cohort.from_manifest(folder / "manifest.csv").part("train")
    add(folder, "tiff", "test", rows=2)
    add(folder, "jpeg60", "test", rows=3)
    prints = fingerprints(train, cache=cache)
    known = fitted_with(train, map(content_of, train), prints.each)
    (tmp_path / FITTED_WITH).write_text(known)
    assert len(known) / len(train) < 200, "bytes a case: hashes, no thumbnail"
    test = Cohort.from_manifest(folder / "manifest.csv").part("test")
    same, near = copies_of_fitted(tmp_path, fingerprints(test, cache=cache))
    assert ["tiff" in case.case_id for case in same] == [True] * 2
    assert ["jpeg60" in case.case_id for case in near] == [True] * 3
    (tmp_path / FITTED_WITH).write_text(json.dumps({"patients": [], "contents": []}))
    assert copies_of_fitted(tmp_path, fingerprints(test, cache=cache)) == ([], [])


def test_images_of_one_value_are_nobodys_copies(folder: Path, tmp_path: Path) -> None:
    """Evaluation was refused where a frame of each video was black."""
    manifest = folder / "manifest.csv"
    columns = manifest.read_text().splitlines()[0].split(",")
    with manifest.open("a", newline="") as file:
        for part in ("train", "test"):
            PIL.Image.fromarray(np.zeros((64, 64), np.uint8)).save(folder / f"black_{part}.png")
            path = f"black_{part}.png"
            values = {"path": path, "label": "0", "patient_id": path, "split": part}
            file.write(",".join(values.get(column, "") for column in columns) + "\n")
    assert found_in(folder) == []
    train, test = (Cohort.from_manifest(manifest).part(one) for one in ("train", "test"))
    prints = fingerprints(train, cache=tmp_path / "cache")
    (tmp_path / FITTED_WITH).write_text(fitted_with(train, map(content_of, train), prints.each))
    refuse_seen(tmp_path, test, [content_of(case) for case in test])
    assert seen_by(tmp_path, [content_of(case) for case in train]) == len(train) - 1
    assert copies_of_fitted(tmp_path, fingerprints(test, cache=tmp_path / "cache"))[0] == []


@pytest.mark.slow
def test_a_saved_again_test_image_is_told_before_any_training_and_again_with_the_figures(
    tmp_path: Path,
) -> None:
    phantom_folder(tmp_path, tiny_phantoms())
    add(tmp_path / "data", "jpeg60", "test")
    fit = "fit tiny.yaml --cohort data/manifest.csv --max-fpr 0.2"
    told = typed(f"{fit} --out d", tmp_path)
    assert told.returncode == 0, told.stderr
    assert "figures of the other part will flatter" in told.stderr
    figures = typed("evaluate d --cohort data/manifest.csv", tmp_path)
    assert figures.returncode == 0, figures.stderr
    summary = json.loads((tmp_path / "d" / "evaluation" / "summary.json").read_text())
    assert summary["near_copies_of_fitted"] == ["images/copy_jpeg60_train_00000.jpg"]
    add(tmp_path / "data", "tiff", "test")
    refused = typed(f"{fit} --out e", tmp_path)
    assert refused.returncode == 2
    assert "Remove the cases of the column `remove`" in refused.stderr
