"""Cache: it never gives another image's sample, nor what somebody else put there."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from makers import recipe
from midclass import Cohort, InputError, Prepared, prepare
from midclass.cli.commands import cache as command
from midclass.images import change, keys
from midclass.images.case import Case
from midclass.images.fingerprint import fingerprints
from midclass.images.private import open_own, private_folder

WANTED = recipe(geometry={"size": [16, 16], "spacing_mm": 1.0})
posix = pytest.mark.skipif(os.name == "nt", reason="owners and modes of POSIX")


def tif(path: Path, seed: int) -> Path:
    """Of one length, whatever it shows."""
    pixels = np.random.default_rng(seed).integers(0, 255, (20, 24), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def shown(path: Path, cache: Path, **about: Any) -> Prepared:
    return prepare(Cohort((Case("a", path, 0, "p", **about),)), WANTED, cache=cache)


def in_place(old: Path, new: Path) -> None:
    old.write_bytes(new.read_bytes())


REPLACED: dict[str, Callable[[Path, Path], object]] = {
    "copied over": lambda old, new: shutil.copyfile(new, old),
    "renamed": lambda old, new: os.replace(new, old),
    "edited in place": in_place,
}


@pytest.mark.parametrize("settled_s", [0.0, 2.0])
@pytest.mark.parametrize("how", REPLACED)
@pytest.mark.parametrize("what", ["image", "mask", "row"])
def test_a_file_replaced_under_the_same_size_and_time_is_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str, what: str, settled_s: float
) -> None:
    """As by ``cp -p``, ``touch -r`` and ``rsync -t``."""
    monkeypatch.setattr(change, "SETTLED_S", settled_s)
    image, about = tif(tmp_path / "image.tif", 0), dict[str, Any]()
    old, new = image, tif(tmp_path / "new.tif", 1)
    if what == "mask":
        old, new = tmp_path / "mask.png", tmp_path / "new.png"
        for file, half in ((old, slice(0, 10)), (new, slice(10, 20))):
            mask = np.zeros((20, 24), np.uint8)
            mask[half] = 255
            Image.fromarray(mask).save(file, compress_level=0)
        about = {"mask": old}
    elif what == "row":
        rng = np.random.default_rng(0)
        for name in ("old", "new"):
            np.savez(tmp_path / name, images=rng.integers(0, 255, (2, 20, 24), np.uint8))
        image = old = tmp_path / "old.npz"
        new, about = tmp_path / "new.npz", {"array": "images", "index": 1}
    time_ns = old.stat().st_mtime_ns
    os.utime(new, ns=(time_ns, time_ns))
    assert old.stat().st_size == new.stat().st_size
    before = shown(image, tmp_path / "cache", **about)
    REPLACED[how](old, new)
    os.utime(old, ns=(time_ns, time_ns))
    after = shown(image, tmp_path / "cache", **about)
    assert before.images().tobytes() + before.masks().tobytes() != (
        after.images().tobytes() + after.masks().tobytes()
    )


def test_a_fingerprint_is_of_the_file_that_is_there_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(change, "SETTLED_S", 0)
    file, found = tif(tmp_path / "a.tif", 0), []
    time_ns = file.stat().st_mtime_ns
    for seed in (0, 1):
        tif(file, seed)
        os.utime(file, ns=(time_ns, time_ns))
        found += fingerprints(Cohort((Case("a", file, 0, "p"),)), cache=tmp_path / "cache").each
    assert found[0].pixels != found[1].pixels


@pytest.mark.parametrize("kind", ["ext4", "nfs4", "vfat", "fuse.sshfs", ""])
def test_states_are_trusted_where_the_system_keeps_the_time_of_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (tmp_path / "a b").mkdir()
    file = tif(tmp_path / "a b" / "a.tif", 0)
    place = str(tmp_path / "a b").replace(" ", "\\040")
    mounts = f"1 1 8:1 / / rw - xfs /dev/a rw\n2 1 8:2 / {place} rw shared:1 - {kind} /dev/b rw\n"
    (tmp_path / "mounts").write_text(mounts if kind else "")
    monkeypatch.setattr(change, "MOUNTS", tmp_path / "mounts")
    later = file.stat().st_ctime + 2.5
    assert change.settled([file], later) == (kind == "ext4")
    assert not change.settled([file], later - 1)
    assert not change.settled([tmp_path / "none"], later)


@pytest.mark.parametrize("what", ["image", "mask"])
def test_a_file_that_changes_while_it_is_read_is_a_failure_and_never_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    image, mask = tif(tmp_path / "a.tif", 0), tif(tmp_path / "m.tif", 1).rename(tmp_path / "m.png")
    Image.fromarray(np.full((20, 24), 255, np.uint8)).save(mask)
    whole = Cohort.read

    def reads_then_changes(self: Cohort, *args: Any, **named: Any) -> Any:
        found = whole(self, *args, **named)
        Image.fromarray(np.eye(20, 24, dtype=np.uint8)).save(image if what == "image" else mask)
        return found

    monkeypatch.setattr(Cohort, "read", reads_then_changes)
    with pytest.raises(InputError, match="changed while it was read"):
        shown(image, tmp_path / "cache", mask=mask)


def test_an_edit_of_the_code_during_a_run_does_not_change_the_key(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rules() -> str:
        functions = WANTED.anatomy_functions()
        return keys.rules_of(WANTED.geometry, WANTED.intensity, WANTED.accepts, functions)

    before = rules()
    monkeypatch.setattr(Path, "read_bytes", lambda _: b"edited")
    assert rules() == before
    monkeypatch.setattr(keys, "_CODE", {"read.py": "other code that runs"})
    assert rules() != before


@posix
def test_folder_and_files_of_the_cache_are_for_their_user_alone(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        shown(tif(tmp_path / "a.tif", 0), tmp_path / "cache")
        fingerprints(Cohort((Case("a", tmp_path / "a.tif", 0, "p"),)), cache=tmp_path / "cache")
    finally:
        os.umask(old)
    found = [tmp_path / "cache", *(tmp_path / "cache").rglob("*")]
    assert len(found) > 10
    for path in found:
        assert path.stat().st_mode & 0o777 == (0o700 if path.is_dir() else 0o600), path


@posix
def test_in_a_folder_of_many_each_user_has_a_part_of_their_own(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    own = private_folder(shared)
    assert own == shared / f"user-{os.geteuid()}"
    own.chmod(0o770)
    with pytest.raises(InputError, match="other users can write to it"):
        private_folder(shared)
    own.rmdir()
    own.symlink_to(tmp_path)
    with pytest.raises((InputError, OSError)):
        private_folder(shared)


def spoil(entry: Path, how: str) -> None:
    pixels = entry / "pixels.npy"
    if how == "others may write":
        pixels.chmod(0o666)
    elif how == "a link":
        shutil.move(pixels, entry.parent / "away")
        pixels.symlink_to(entry.parent / "away")
    elif how == "a pipe":
        pixels.unlink()
        os.mkfifo(pixels)
    elif how == "longer":
        with pixels.open("ab") as file:
            file.write(b"0")
    elif how == "another type":
        pixels.unlink()
        np.save(pixels, np.zeros((1, 1, 16, 16), np.int16))
    elif how == "another entry":
        about = entry / "about.json"
        about.write_text(about.read_text().replace(entry.name, "0" * 40))


@posix
@pytest.mark.parametrize(
    "how", ["others may write", "a link", "a pipe", "longer", "another type", "another entry"]
)
def test_an_entry_that_may_not_be_ours_is_made_again(tmp_path: Path, how: str) -> None:
    file, root = tif(tmp_path / "a.tif", 0), tmp_path / "cache"
    first = shown(file, root).images().tobytes()
    (entry,) = (path for path in root.iterdir() if path.is_dir())
    with (entry / "pixels.npy").open("r+b") as pixels:
        pixels.seek(-64, os.SEEK_END)
        pixels.write(bytes(64))  # what would be seen, were it believed
    spoil(entry, how)
    assert shown(file, root).images().tobytes() == first


@posix
def test_a_pipe_is_never_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PermissionError):
        open_own(tmp_path / "pipe")


FULL = """
import resource, sys
from pathlib import Path
from midclass import Cohort, InputError, prepare
from midclass.images.case import Case
sys.path.insert(0, sys.argv[3])
from makers import recipe
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
cases = tuple(Case(str(i), Path(sys.argv[1]), 0, "p") for i in range(9))
wanted = recipe(geometry={"size": [256, 256], "spacing_mm": 1.0})
try:
    prepare(Cohort(cases), wanted, cache=Path(sys.argv[2]))
except InputError as error:
    print(error)
"""


@posix
def test_a_disk_that_gets_full_is_one_line_with_the_way_out_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(InputError, match=r"No space left.*midclass cache --clear.*MIDCLASS_CACHE"):
        shown(tif(tmp_path / "a.tif", 0), tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


@posix
@pytest.mark.slow
def test_a_limit_on_files_ends_in_one_line_and_not_in_a_signal(tmp_path: Path) -> None:
    where = [tif(tmp_path / "a.tif", 0), tmp_path / "cache", Path(__file__).parent]
    done = subprocess.run(
        [sys.executable, "-c", FULL, *map(str, where)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done
    assert "cannot be written (File too large)" in done.stdout


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EINVAL])
def test_where_room_cannot_be_reserved_rows_are_written_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def cannot(*_: Any) -> None:
        raise OSError(number, "no")

    file = tif(tmp_path / "a.tif", 0)
    first = shown(file, tmp_path / "one").images().tobytes()
    monkeypatch.setattr(os, "posix_fallocate", cannot, raising=False)
    assert shown(file, tmp_path / "other").images().tobytes() == first


class Panic(BaseException):
    """What a decoder written in Rust raises; no Exception."""


@pytest.mark.parametrize("error", [Panic("index out of bounds"), MemoryError(), RecursionError()])
def test_whatever_happens_to_one_case_is_its_failure_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    cohort = Cohort.from_files([tif(tmp_path / f"{i}.tif", i) for i in range(3)])
    whole = Cohort.read

    def reads(self: Cohort, i: int, *args: Any, **named: Any) -> Any:
        if self.cases[i].path.name == "1.tif":
            raise error
        return whole(self, i, *args, **named)

    monkeypatch.setattr(Cohort, "read", reads)
    prepared = prepare(cohort, WANTED, cache=tmp_path / "cache", keep_going=True)
    ((case, reason),) = prepared.failed
    assert case.path.name == "1.tif"
    assert reason.startswith(f"{case.path}: {type(error).__name__}")
    assert [one.pixels != "" for one in fingerprints(cohort, cache=tmp_path).each] == [
        *(True, False, True)
    ]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_work_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: type[BaseException]
) -> None:
    def reads(*_: Any, **__: Any) -> Any:
        raise stop

    monkeypatch.setattr(Cohort, "read", reads)
    cohort = Cohort((Case("a", tif(tmp_path / "a.tif", 0), 0, "p"),))
    with pytest.raises(stop):
        prepare(cohort, WANTED, cache=tmp_path)
    with pytest.raises(stop):
        fingerprints(cohort, cache=tmp_path)


def test_the_command_lists_and_clears_and_leaves_what_is_not_ours(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "cache"
    command.run(root)
    assert "nothing is kept" in capsys.readouterr().out
    shown(tif(tmp_path / "a.tif", 0), root)
    fingerprints(Cohort((Case("a", tmp_path / "a.tif", 0, "p"),)), cache=root)
    for name in ("thesis.doc", f"{'a' * 40}/thesis.doc", ".new-papers/thesis.doc"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("mine")
    os.utime(root / ".new-papers", (1e9, 1e9))
    command.run(root)
    said = capsys.readouterr().out
    assert "cohort" in said
    assert " 1 " in said
    command.run(root, remove=True)
    left = sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    assert left == [".new-papers/thesis.doc", f"{'a' * 40}/thesis.doc", "thesis.doc"]
    assert "removed" in capsys.readouterr().out
