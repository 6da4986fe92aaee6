"""Taken: a file is prepared once, in whatever cohort it is, and however a preparation ended."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from makers import recipe
from midclass import Cohort, InputError, Prepared, Recipe, prepare
from midclass.images import building, change, taken
from midclass.images.entries import entries

WANTED = recipe(geometry={"size": [16, 16], "spacing_mm": 1.0}, anatomy="anatomy.foreground")
posix = pytest.mark.skipif(os.name == "nt", reason="owners and modes of POSIX")


def png(path: Path, seed: int) -> Path:
    """Of a length of its own."""
    shape = 20 + seed, 24
    pixels = np.random.default_rng(seed).integers(0, 255, shape, np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for seed in range(6):
        png(tmp_path / "images" / f"{seed}.png", seed)
    return tmp_path / "images"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files whose images were decoded."""
    names, whole = list[str](), Cohort.read

    def reads(self: Cohort, i: int, *args: Any, **named: Any) -> Any:
        names.append(self.cases[i].path.name)
        return whole(self, i, *args, **named)

    monkeypatch.setattr(Cohort, "read", reads)
    return names


def prepared(folder: Path, wanted: Recipe = WANTED, **options: Any) -> Prepared:
    cache = folder.parent / "cache"
    return prepare(Cohort.from_files([folder]), wanted, cache=cache, **options)


def as_bytes(found: Prepared) -> list[bytes]:
    names = found.store.layout((0,))
    return [np.asarray(getattr(found.store, name)).tobytes() for name in names]


def alone(folder: Path) -> list[bytes]:
    """As it is where nothing was prepared before."""
    fresh = folder.parent / "fresh"
    found = as_bytes(prepare(Cohort.from_files([folder]), WANTED, cache=fresh))
    shutil.rmtree(fresh)
    return found


@pytest.mark.parametrize("settled_s", [0.0, 1e9])
def test_one_file_more_is_one_file_that_is_read_and_one_less_is_none(
    folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch, settled_s: float
) -> None:
    """By the state of files; and where that cannot tell, by what they hold."""
    monkeypatch.setattr(change, "SETTLED_S", settled_s)
    prepared(folder)
    read.clear()
    opened = list[str]()
    whole = taken.shown_of
    monkeypatch.setattr(taken, "shown_of", lambda case: opened.append(case.case_id) or whole(case))
    png(folder / "3b.png", 9)
    more = prepared(folder)
    assert read == ["3b.png"]
    assert len(opened) == (6 if settled_s else 0)
    (folder / "1.png").unlink()
    less = prepared(folder)
    assert read == ["3b.png"]
    assert as_bytes(less) == alone(folder)
    assert len(more) == 7
    assert len(entries(folder.parent / "cache")) == 3


def test_a_copy_under_another_name_is_taken_and_another_image_of_its_length_is_not(
    folder: Path, read: list[str]
) -> None:
    prepared(folder)
    read.clear()
    shutil.copyfile(folder / "2.png", folder / "copy.png")
    other = bytearray((folder / "2.png").read_bytes())
    Image.fromarray(np.zeros((22, 24), np.uint8)).save(folder / "x.png")
    for name in ("copy.png", "x.png"):
        size = (folder / name).stat().st_size
        with (folder / name).open("ab") as file:
            file.write(bytes(max(0, len(other) - size)))
    found = prepared(folder, keep_going=True)
    assert read == ["x.png"]
    assert [case.path.name for case, _ in found.failed] == ["x.png"]


def test_what_is_said_of_a_case_and_its_mask_are_part_of_it(folder: Path, read: list[str]) -> None:
    cache = folder.parent / "cache"
    for name, half in (("m", slice(0, 10)), ("n", slice(10, 20))):
        mask = np.zeros((20, 24), np.uint8)
        mask[half] = 255
        Image.fromarray(mask).save(folder.parent / f"{name}.png", compress_level=0)
    case = replace(Cohort.from_files([folder])[0], mask=folder.parent / "m.png")
    others = Cohort.from_files([folder])[1:3].cases
    first = prepare(Cohort((case, *others)), WANTED, cache=cache)
    read.clear()
    for changed, reads in (
        (case, 0),
        (replace(case, mask=folder.parent / "n.png"), 1),
        (replace(case, spacing_mm=(2.0, 2.0)), 1),
    ):
        found = prepare(Cohort((changed,)), WANTED, cache=cache)
        assert len(read) == reads, changed
        assert found.masks().any()
        assert (as_bytes(found)[1] == first.masks([0]).tobytes()) == (changed.mask == case.mask)
        read.clear()


def test_a_copy_of_one_file_with_two_spacings_is_taken_by_its_own(
    folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case, cache = Cohort.from_files([folder / "1.png"])[0], folder.parent / "cache"
    both = [replace(case, spacing_mm=(side, side), case_id=str(side)) for side in (1.0, 2.0)]
    first = prepare(Cohort(tuple(both)), WANTED, cache=cache)
    read.clear()
    copy = Path(shutil.copyfile(case.path, folder.parent / "copy.png"))
    for number, one in enumerate(both):
        found = prepare(Cohort((replace(one, path=copy),)), WANTED, cache=cache)
        assert found.spacing_mm.tolist() == first.spacing_mm[[number]].tolist()
    assert read == []


def spoil(entry: Path, how: str) -> None:
    index = entry / taken.INDEX
    if how == "others may write":
        (entry / "pixels.npy").chmod(0o666)
    elif how == "the index too":
        index.chmod(0o666)
    elif how == "a link":
        shutil.move(index, entry.parent / "away")
        index.symlink_to(entry.parent / "away")
    elif how == "cut":
        os.truncate(index, index.stat().st_size - 1)
    elif how == "another entry":
        about = entry / "about.json"
        about.write_text(about.read_text().replace(entry.name, "0" * 40))


@posix
@pytest.mark.parametrize(
    "how", ["others may write", "the index too", "a link", "cut", "another entry"]
)
def test_nothing_is_taken_from_an_entry_that_may_not_be_ours(
    folder: Path, read: list[str], how: str
) -> None:
    prepared(folder)
    (entry,) = (one.folder for one in entries(folder.parent / "cache"))
    with (entry / "pixels.npy").open("r+b") as pixels:
        pixels.seek(-64, os.SEEK_END)
        pixels.write(bytes(64))  # what would be seen, were it believed
    spoil(entry, how)
    read.clear()
    png(folder / "9.png", 9)
    found = prepared(folder)
    assert len(read) == 7
    assert as_bytes(found) == alone(folder)


def interrupted_at(number: int, then: Callable[[], object] = lambda: None) -> Any:
    def progress(done: int, *_: object) -> None:
        if done == number:
            then()
            raise KeyboardInterrupt

    return progress


def test_an_interrupted_preparation_leaves_nothing_half_made_and_goes_on(
    folder: Path, read: list[str]
) -> None:
    cache = folder.parent / "cache"
    with pytest.raises(KeyboardInterrupt):
        prepared(folder, progress=interrupted_at(4))
    assert not list(cache.glob(".*"))
    assert [one.cases for one in entries(cache)] == [3]
    read.clear()
    seen = list[int]()
    found = prepared(folder, progress=lambda done, *_: seen.append(done))
    assert read == ["3.png", "4.png", "5.png"]
    assert seen == [3, 4, 5, 6]
    assert as_bytes(found) == alone(folder)


def test_a_preparation_that_was_killed_goes_on_from_what_was_kept(
    folder: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "PART_S", 0)
    cache, killed = folder.parent / "cache", folder.parent / "killed"
    with pytest.raises(KeyboardInterrupt):
        prepared(folder, progress=interrupted_at(5, lambda: shutil.copytree(cache, killed)))
    assert list(killed.glob(".new-*"))
    shutil.rmtree(cache)
    killed.rename(cache)
    read.clear()
    assert as_bytes(prepared(folder)) == alone(folder)
    assert read[:2] == ["4.png", "5.png"]
    prepared(folder)
    assert len(read) == 2 + 6  # and those of ``alone``


def test_parts_are_removed_when_the_whole_is_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "PART_S", 0)
    prepared(folder)
    assert [one.cases for one in entries(folder.parent / "cache")] == [6]


def test_one_case_that_takes_long_is_a_part_and_the_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "PART_S", 0)
    for file in sorted(folder.iterdir())[1:]:
        file.unlink()
    assert len(prepared(folder)) == 1
    assert [one.cases for one in entries(folder.parent / "cache")] == [1]


def test_where_there_is_little_room_nothing_is_kept_meanwhile(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(building, "PART_S", 0)
    monkeypatch.setattr(building, "SPARE", 2**62)
    with pytest.raises(KeyboardInterrupt):
        prepared(folder, progress=interrupted_at(4))
    assert not list((folder.parent / "cache").iterdir())


def test_a_case_that_failed_is_tried_again(folder: Path, read: list[str]) -> None:
    (folder / "bad.png").write_bytes((folder / "1.png").read_bytes()[:60])
    prepared(folder, keep_going=True)
    png(folder / "9.png", 9)
    read.clear()
    with pytest.raises(InputError, match=r"bad\.png"):
        prepared(folder)
    assert sorted(read) == ["9.png", "bad.png"]
