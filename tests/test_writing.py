"""Writing: whole or not at all, and a page changes between its marks alone."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midclass import InputError
from midclass.files import fill_blocks, new_folder, write_text_atomic
from midclass.owned import LIST

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which file it was")
plain = st.text(st.characters(exclude_characters="<"), max_size=30)


def test_a_killed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "scores.csv"
    write_text_atomic(path, "old")
    code = (
        "import os, signal, sys; from midclass.files import write_text_atomic;"
        "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL);"
        "write_text_atomic(sys.argv[1], 'new' * 100000)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    with pytest.raises(UnicodeEncodeError):
        write_text_atomic(tmp_path / "a.txt", "\ud800")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def synced(monkeypatch):
    """Names of what was forced onto the disk, in order; of a folder with a stroke at its end."""
    names, whole = [], os.fsync

    def fsync(number):
        path = Path(os.readlink(f"/proc/self/fd/{number}"))
        names.append(f"{path.name}/" if path.is_dir() else path.name)
        return whole(number)

    monkeypatch.setattr(os, "fsync", fsync)
    return names


@linux
def test_a_file_is_on_the_disk_before_it_has_its_name_and_then_the_name_is(tmp_path, synced):
    write_text_atomic(tmp_path / "scores.csv", "1")
    file, folder = synced
    assert re.fullmatch(r"\.scores\.csv\..*\.tmp", file)
    assert folder == f"{tmp_path.name}/"


@linux
def test_all_in_a_new_folder_is_on_the_disk_before_it_has_its_name(tmp_path, synced):
    with new_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("1")
        (folder / "inner").mkdir()
        (folder / "inner" / "facts").write_text("2")
        assert synced == []
    *files, model, parent = synced
    assert set(files) == {"weights", "inner/", "facts", LIST}
    assert re.fullmatch(r"\.model\..*\.tmp/", model)
    assert parent == f"{tmp_path.name}/"


@linux
def test_a_new_folder_of_what_can_be_made_again_waits_for_no_disk(tmp_path, synced):
    with new_folder(tmp_path / "pictures", synced=False) as folder:
        (folder / "a.png").write_text("1")
    assert synced == [f"{tmp_path.name}/"]


def test_a_new_folder_appears_when_it_is_complete(tmp_path):
    with new_folder(tmp_path / "model") as folder:
        (folder / "weights").write_text("1")
        assert not (tmp_path / "model").exists()
    assert (tmp_path / "model" / "weights").read_text() == "1"
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_full_folder_is_kept_unless_it_may_be_overwritten(tmp_path):
    with new_folder(tmp_path / "model") as folder:
        (folder / "old").write_text("1")
    with pytest.raises(InputError, match="not empty"), new_folder(tmp_path / "model"):
        pytest.fail("the block must not run")
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "model", overwrite=True):
        raise KeyboardInterrupt
    assert (tmp_path / "model" / "old").exists()
    with new_folder(tmp_path / "model", overwrite=True) as folder:
        (folder / "new").write_text("2")
    assert {path.name for path in tmp_path.rglob("*")} == {"model", "new", LIST}


@given(plain, plain, plain, plain)
def test_a_block_replaces_what_is_between_its_marks_and_nothing_else(before, old, new, after):
    begin, end = "<!-- table: begin -->", "<!-- table: end -->"
    filled = fill_blocks(f"{before}{begin}{old}{end}{after}", {"table": new})
    assert filled == f"{before}{begin}\n{new.strip()}\n{end}{after}"
    assert fill_blocks(filled, {"table": new}) == filled


@pytest.mark.parametrize("marks", ["", "b", "e", "eb", "bbe", "bebe", "ebe", "bee"])
def test_a_page_without_the_marks_or_with_them_twice_is_refused(marks):
    page = "".join({"b": "<!-- t: begin -->", "e": "<!-- t: end -->"}[mark] for mark in marks)
    with pytest.raises(InputError, match="t: begin"):
        fill_blocks(page, {"t": "new"})
