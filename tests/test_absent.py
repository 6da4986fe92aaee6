"""What is not there is named, and what may have been meant is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from midclass import InputError
from midclass.files import refuse_no_file, refuse_no_folder, refuse_no_path


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "manifest.csv").touch()
    (tmp_path / "images").mkdir()
    return tmp_path


def told(refuse: object, path: Path, *more: str) -> str:
    assert callable(refuse)
    with pytest.raises(InputError) as found:
        refuse(path, *more)
    return str(found.value).removeprefix(f"{path}: ")


def test_a_name_that_is_nearly_right_is_answered_by_the_right_one(here: Path) -> None:
    meant = "(did you mean 'manifest.csv'?)"
    assert told(refuse_no_file, here / "manifst.csv", "table") == f"no such table {meant}"
    assert told(refuse_no_path, here / "Manifest.CSV") == f"no such file or folder {meant}"
    expected = "is no folder (did you mean 'images'?); give one"
    assert told(refuse_no_folder, here / "imags", "give one") == expected


def test_only_what_the_command_would_take_is_suggested(here: Path) -> None:
    (here / "images.csv").mkdir()
    (here / "manifest").touch()
    assert "manifest.csv" in told(refuse_no_file, here / "manifestt.csv")
    assert told(refuse_no_folder, here / "manifests", "give one") == "is no folder; give one"
    assert "'images.csv'" in told(refuse_no_folder, here / "images.cs", "give one")
    assert "images.csv" not in told(refuse_no_file, here / "images.cs")


def test_where_nothing_is_like_it_nothing_is_suggested(here: Path) -> None:
    assert told(refuse_no_file, here / "x.png") == "no such file"
    assert told(refuse_no_path, here / "x.png") == "no such file or folder"


def test_of_a_lost_folder_the_folder_is_named(here: Path) -> None:
    lost = here / "image" / "manifest.csv"
    assert told(refuse_no_file, lost) == f"no such file (nor a folder {lost.parent})"


def test_what_is_there_and_of_the_wrong_kind_is_not_suggested_for_itself(here: Path) -> None:
    assert told(refuse_no_folder, here / "manifest.csv", "give one") == "is no folder; give one"
    assert told(refuse_no_file, here / "images") == "is a folder, expected a file"
    (here / "broken.csv").symlink_to(here / "nowhere.csv")
    assert told(refuse_no_file, here / "broken.csv") == "no such file"
    refuse_no_path(here / "broken.csv")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read every folder")
def test_a_folder_that_may_not_be_read_gives_no_hint(here: Path) -> None:
    here.chmod(0o300)
    try:
        assert told(refuse_no_file, here / "manifst.csv") == "no such file"
    finally:
        here.chmod(0o700)
