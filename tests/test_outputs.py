"""Outputs: what midclass did not write is never replaced, what cannot be is told first."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

import midclass
from makers import phantom_folder, tiny_phantoms
from midclass import InputError
from midclass.cli.app import app
from midclass.cli.outputs import Place, claimed
from midclass.cli.recognised import no_audit, no_list, no_page, no_picture, no_table
from midclass.evaluation.table import ScoreTable
from midclass.files import new_folder
from midclass.owned import LIST, foreign, refuse_foreign

linux = pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
as_root = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root can mount"
)
names = st.sampled_from(["a.png", "b.csv", "inner/c", "inner/deep/d.json", "Übersicht 1.txt"])


def tree(folder: Path) -> dict[str, bytes | None]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def written(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    """A folder as midclass writes it."""
    with new_folder(folder, overwrite=True) as new:
        fill(new, files or {"a.png": b"1"})
    return folder


def add_file(folder: Path) -> None:
    (folder / "thesis.txt").write_text("years of work")


def add_below(folder: Path) -> None:
    fill(folder, {"notes/2026/a.txt": b"x"})


def add_hidden(folder: Path) -> None:
    (folder / ".git").mkdir()
    (folder / ".git" / "HEAD").write_text("ref")


def add_link(folder: Path) -> None:
    (folder / "images").symlink_to(folder.parent)


def add_empty_folder(folder: Path) -> None:
    (folder / "later").mkdir()


def change_a_file(folder: Path) -> None:
    file = next(path for path in folder.rglob("*") if path.is_file() and path.name != LIST)
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))  # as long as before


def lose_the_list(folder: Path) -> None:
    (folder / LIST).unlink()


def spoil_the_list(folder: Path) -> None:
    (folder / LIST).write_text('{"files": {}}')


CHANGES = [add_file, add_below, add_hidden, add_link, add_empty_folder, change_a_file]
CHANGES += [lose_the_list, spoil_the_list]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@settings(max_examples=8, deadline=None)
@given(files=st.dictionaries(names, st.binary(min_size=1, max_size=9), min_size=1))
def test_a_folder_with_anything_that_midclass_did_not_write_stays_as_it_is(change, files):
    with tempfile.TemporaryDirectory() as scratch:
        folder = written(Path(scratch, "out"), files)
        assert foreign(folder) == ""
        change(folder)
        before = tree(folder)
        with pytest.raises(InputError) as refused, new_folder(folder, overwrite=True):
            pytest.fail("the block must not run")
        assert tree(folder) == before
        assert "\n" not in str(refused.value)
        assert "overwrite" not in str(refused.value)
        assert os.listdir(scratch) == ["out"]


def test_what_came_into_a_folder_during_the_work_stays(tmp_path):
    folder = written(tmp_path / "out")
    with pytest.raises(InputError, match=r"thesis\.txt"), new_folder(folder, overwrite=True):
        add_file(folder)
    assert (folder / "thesis.txt").exists()
    assert os.listdir(tmp_path) == ["out"]


def test_a_folder_of_which_files_were_removed_or_that_was_looked_at_is_replaced(tmp_path):
    folder = written(tmp_path / "out", {"a": b"1", "b": b"2"})
    written(folder / "evaluation")
    (folder / "a").unlink()
    (folder / ".DS_Store").write_bytes(b"\0")
    written(folder, {"c": b"3"})
    assert set(tree(folder)) == {"c", LIST}


def heat_maps(number: int, width: int = 5) -> dict[str, bytes]:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (768).to_bytes(4, "big") + (384).to_bytes(4, "big")
    return {f"{k:0{width}d}_case_{k}.png": head + b"\x08\x02\0" for k in range(number)}


DETECTOR = {"detector.json": b"{}", "weights.safetensors": b"1", "cohort.json": b"{}"}
EVALUATION = dict.fromkeys(("scores.csv", "summary.json", "roc.png", "heat_maps.png"), b"1")
EARLIER = {
    "detector": DETECTOR,
    "detector with its evaluation": DETECTOR | {f"evaluation/{n}": b"1" for n in EVALUATION},
    "evaluation": EVALUATION,
    "heat maps": heat_maps(12),
    "phantoms": {"manifest.csv": b"", "phantoms.json": b"", "images/train_00001.png": b""},
}


@pytest.mark.parametrize("files", EARLIER.values(), ids=list(EARLIER))
def test_a_folder_of_an_earlier_version_is_replaced_unless_there_is_more_in_it(tmp_path, files):
    fill(tmp_path / "out", files)
    shutil.copytree(tmp_path / "out", tmp_path / "more")
    written(tmp_path / "out")
    assert set(tree(tmp_path / "out")) == {"a.png", LIST}
    (tmp_path / "more" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"thesis\.txt"):
        written(tmp_path / "more")


@pytest.mark.parametrize(
    "files",
    [
        heat_maps(3, width=8),  # the names of ChestX-ray14
        {"00000_a.png": b"\x89PNG\r\n\x1a\n, grey"},
        {"scores.csv": b"my own", "summary.json": b"{}"},
        {"weights.safetensors": b"1"},
        {"manifest.csv": b"path\n", "images/train_00001.png": b"1"},
    ],
    ids=["eight digits", "a small picture", "no curve", "weights alone", "a cohort"],
)
def test_a_folder_that_is_only_like_one_of_an_earlier_version_stays(tmp_path, files):
    fill(tmp_path / "out", files)
    with pytest.raises(InputError, match="did not write"):
        written(tmp_path / "out")
    assert tree(tmp_path / "out").keys() >= files.keys()


@pytest.mark.parametrize("to", [".", "..", "../..", "here/..", "../project", "link", "link/.."])
def test_the_working_folder_and_those_above_it_are_never_replaced(tmp_path, monkeypatch, to):
    place = tmp_path / "a" / "project"
    place.mkdir(parents=True)
    (place / "here").mkdir()
    (place / "here").rmdir()
    (tmp_path / "a" / "link").symlink_to(place)
    monkeypatch.chdir(place)
    to = to.replace("link", str(tmp_path / "a" / "link")).replace(
        "here/..", str(place / "x" / "..")
    )
    with pytest.raises(InputError, match="the working folder"), claimed(Place(Path(to))):
        pytest.fail("the block must not run")
    with pytest.raises(InputError, match="the working folder"):
        refuse_foreign(Path(to))


def test_the_home_folder_and_those_above_it_are_never_replaced(tmp_path, monkeypatch):
    (tmp_path / "home" / "me").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home" / "me"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home" / "me"))
    for to in (tmp_path / "home" / "me", tmp_path / "home"):
        with pytest.raises(InputError, match="your home folder"):
            written(to)
    with pytest.raises(InputError, match="a disk begins"):
        written(Path(tmp_path.anchor))


def test_a_folder_with_what_the_command_reads_is_not_replaced_even_if_midclass_wrote_it(tmp_path):
    made = written(tmp_path / "made", {"images/a.png": b"1", "m.csv": b"2"})
    (tmp_path / "link").symlink_to(made / "images")
    for read in (made, made / "m.csv", tmp_path / "link" / "a.png", made / ".." / "made" / "m.csv"):
        with (
            pytest.raises(InputError, match="reads") as refused,
            claimed(Place(made), reads=lambda read=read: [read], overwrite=True),
        ):
            pytest.fail("the block must not run")
        assert "--overwrite" not in str(refused.value)
    with claimed(Place(made), reads=lambda: [tmp_path], overwrite=True):
        pass


@pytest.mark.parametrize(
    ("one", "other"),
    [("s.csv", "s.csv"), ("maps/s.csv", "maps"), ("maps", "Maps"), ("maps/a", "maps/../maps")],
)
def test_outputs_of_one_command_do_not_lie_in_each_other(tmp_path, one, other):
    outputs = Place.table(tmp_path / one), Place(tmp_path / other, option="--heat-maps")
    with pytest.raises(InputError, match="writes too"), claimed(*outputs):
        pytest.fail("the block must not run")


TABLE = "case_id,patient_id,label,class_name,score,threshold"
STRANGE = {
    "a text": b"years of work",
    "a manifest": b"path,label,patient_id\na.png,0,p\n",
    "a picture": b"\x89PNG\r\n\x1a\n\0\xff",
    "a table with a column of somebody's": f"{TABLE},comment\n".encode(),
    "a table saved by a spreadsheet": f"\ufeff{TABLE}\n".encode(),
    "a table with other line ends": f"{TABLE}\r\n".encode(),
    "a table with other commas": TABLE.replace(",", ";").encode(),
}


@pytest.mark.parametrize("content", STRANGE.values(), ids=list(STRANGE))
def test_a_file_that_is_no_table_of_midclass_is_not_replaced(tmp_path, content):
    (tmp_path / "s.csv").write_bytes(content)
    output = Place.table(tmp_path / "s.csv")
    with pytest.raises(InputError, match="nothing was replaced"), claimed(output, overwrite=True):
        pytest.fail("the block must not run")
    assert (tmp_path / "s.csv").read_bytes() == content


def test_a_table_of_midclass_is_replaced_when_asked_for_and_through_a_link(tmp_path):
    scores = ScoreTable.of(["a"], ["p"], [0], [0.1], extra={"p_value": [0.5], "gain +2": [1.0]})
    scores.write(tmp_path / "s.csv")
    (tmp_path / "link.csv").symlink_to(tmp_path / "s.csv")
    assert no_table(tmp_path / "s.csv") == ""
    output = Place.table(tmp_path / "link.csv")
    with pytest.raises(InputError, match="--overwrite"), claimed(output):
        pytest.fail("the block must not run")
    with claimed(output, overwrite=True):
        ScoreTable.of(["b"], ["p"], [0], [0.1]).write(output.path)
    assert (tmp_path / "link.csv").is_symlink()
    assert ScoreTable.read(tmp_path / "s.csv").case_id.tolist() == ["b"]


@linux
@pytest.mark.parametrize("device", ["/dev/null", "/dev/full"])
def test_a_device_is_not_replaced_by_a_file(device):
    output = Place.table(Path(device))
    with pytest.raises(InputError, match="a device"), claimed(output, overwrite=True):
        pytest.fail("the block must not run")
    with pytest.raises(InputError, match="a device"):
        ScoreTable.of(["a"], ["p"], [0], [0.1]).write(device)
    assert not Path(device).is_file()


def test_what_is_replaced_unasked_must_say_that_midclass_made_it(tmp_path):
    picture = tmp_path / "sheet.png"
    PIL.Image.fromarray(np.zeros((9, 9), np.uint8)).save(picture)
    assert no_picture(picture)
    for recognise, good in (
        (no_audit, b'{"classes": {}, "advice": []}'),
        (no_page, b"# Results\n\nWritten by `midclass report` from the score tables"),
    ):
        for content, ours in ((good, True), (b"", True), (b"my notes", False), (b"[1]", False)):
            (tmp_path / "file").write_bytes(content)
            assert (recognise(tmp_path / "file") == "") == ours
    (tmp_path / "file").write_text("remove,keep\n")
    assert not no_list(tmp_path / "file", ("remove", "keep"))
    assert no_list(tmp_path / "file", ("other",))


# One command each, with a place of the user's that it must leave as it is.


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Phantoms, a recipe, a study and a detector that learns in no time."""
    folder = phantom_folder(tmp_path_factory.mktemp("outputs") / "place", tiny_phantoms(), data=".")
    before = os.environ.get("MIDCLASS_CACHE")
    os.environ["MIDCLASS_CACHE"] = str(folder.parent / "cache")
    (folder / "study.yaml").write_text(
        "name: s\nrepeats: 1\nmax_fpr: 0.1\n"
        "tasks: {breast: {recipe: tiny.yaml, cohort: manifest.csv}}\n"
        "detectors: {middle_class: {detector: intensity}}\n"
    )
    result = run(f"{FIT} --out {folder}/detector", folder)
    assert result.exit_code == 0, result.output
    yield folder
    if before is None:
        del os.environ["MIDCLASS_CACHE"]
    else:
        os.environ["MIDCLASS_CACHE"] = before


COHORT = "--cohort {place}/manifest.csv"
FIT = f"fit {{place}}/tiny.yaml {COHORT} --max-fpr 0.1 --detector intensity"
SCORE = "score {place}/detector {place}/images/given_00000.png"


def run(command: str, place: Path, **more: object) -> Result:
    words = [word.format(place=place, **more) for word in command.split()]
    return CliRunner().invoke(app, words)


COMMANDS = {
    "fit": (f"{FIT} --overwrite --out {{mine}}", "thesis.txt"),
    "the state of a fit": (f"{FIT} --overwrite --out {{mine}}/x", "x.part/thesis.txt"),
    "evaluate": (f"evaluate {{place}}/detector {COHORT} --overwrite --out {{mine}}", "thesis.txt"),
    "score": (f"{SCORE} --overwrite --out {{mine}}/s.csv", "s.csv"),
    "heat maps": (f"{SCORE} --overwrite --out {{mine}}/new.csv --heat-maps {{mine}}/x", "x/a.png"),
    "nuisance": (f"nuisance {{place}}/detector {COHORT} --overwrite --out {{mine}}/n.csv", "n.csv"),
    "show": ("show {place}/tiny.yaml --n 1 --out {mine}/photo.png", "photo.png"),
    "audit": ("audit {place}/tiny.yaml --n 20 --out {mine}/a.json", "a.json"),
    "outlines": ("audit {place}/tiny.yaml --n 20 --outlines {mine}/o.png", "o.png"),
    "demo": ("demo --out {mine}", "thesis.txt"),
    "study": ("study {place}/study.yaml --data {place} --out {mine}", "log.csv"),
}


@pytest.mark.parametrize(("command", "name"), COMMANDS.values(), ids=list(COMMANDS))
def test_every_command_leaves_what_the_user_has_in_its_place(place, tmp_path, command, name):
    mine = tmp_path / "mine"
    fill(mine, {name: b"years of work", "weights/": b""} if name[-1] == "/" else {name: b"years"})
    before = tree(mine)
    result = run(command, place, mine=mine)
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert "--overwrite" not in result.stderr
    assert tree(mine) == before


def test_report_leaves_a_page_that_it_did_not_write(place, tmp_path):
    for name in ("study.yaml", "tiny.yaml"):
        shutil.copy(place / name, tmp_path)
    table = ScoreTable.of(list("abcd"), list("pqrs"), [0, 0, 1, 1], [0.1, 0.2, 0.3, 0.4], 0.35)
    table.write(tmp_path / "scores" / "breast" / "middle_class" / "0.csv")
    (tmp_path / "RESULTS.md").write_text("# my thesis")
    result = run("report {mine}/study.yaml", place, mine=tmp_path)
    assert result.exit_code == 2, result.output
    assert "RESULTS.md: was not written by midclass report" in result.stderr
    assert (tmp_path / "RESULTS.md").read_text() == "# my thesis"
    (tmp_path / "RESULTS.md").unlink()
    for _ in range(2):  # and replaces its own
        assert run("report {mine}/study.yaml", place, mine=tmp_path).exit_code == 0
    assert not list(tmp_path.rglob(".*"))


@pytest.mark.parametrize(
    "command",
    [
        "evaluate {place}/detector --cohort {place}/manifest.csv --out {place}/detector",
        "evaluate {place}/detector --cohort {place}/manifest.csv --out {place}",
        f"{FIT} --out {{place}}",
        f"{SCORE} --out {{place}}/s.csv --heat-maps {{place}}/images",
        f"{SCORE} --out {{place}}/manifest.csv",
        f"{SCORE} --out {{place}}/tiny.yaml",
        f"{SCORE} --out {{place}}/detector/detector.json",
        f"{SCORE} --out {{place}}/images/given_00000.png",
        "show {place}/tiny.yaml --cohort {place}/manifest.csv --out {place}/images/given_00000.png",
    ],
)
@pytest.mark.parametrize("more", ["", " --overwrite"])
def test_no_command_replaces_what_it_reads(place, command, more):
    before = tree(place)
    result = run(command + more * ("show" not in command), place)
    assert result.exit_code == 2, result.output
    assert "--overwrite" not in result.stderr
    assert tree(place) == before


@pytest.mark.slow
def test_what_a_command_wrote_it_replaces(place, tmp_path):
    for command in (
        "evaluate {place}/detector --cohort {place}/manifest.csv --out {mine}/e",
        f"{SCORE} --out {{mine}}/s.csv",
        f"{FIT} --out {{mine}}/d",
    ):
        assert run(command, place, mine=tmp_path).exit_code == 0
        again = run(command, place, mine=tmp_path)
        assert again.exit_code == 2
        assert "--overwrite" in again.stderr
        assert run(f"{command} --overwrite", place, mine=tmp_path).exit_code == 0
    shown = "show {place}/tiny.yaml --n 1 --out {mine}/sheet.svg"
    asked = (shown, shown, f"{shown} --overwrite")
    assert [run(one, place, mine=tmp_path).exit_code for one in asked] == [0, 2, 0]
    assert not list(tmp_path.rglob(".*"))


# Places that cannot be written.

WRITES = {
    "fit": f"{FIT} --out {{bad}}",
    "evaluate": f"evaluate {{place}}/detector {COHORT} --out {{bad}}",
    "score": f"{SCORE} --out {{bad}}",
    "heat maps": f"{SCORE} --out {{place}}/never.csv --heat-maps {{bad}}",
    "nuisance": f"nuisance {{place}}/detector {COHORT} --out {{bad}}",
    "show": "show {place}/tiny.yaml --n 1 --out {bad}.png",
    "audit": "audit {place}/tiny.yaml --n 20 --out {bad}",
    "demo": "demo --out {bad}",
    "study": "study {place}/study.yaml --data {place} --out {bad}",
}


def refused_before_work(result: Result, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert result.exit_code == 2, result.output
    assert result.stderr.count("\n") == 1
    assert "cannot be written" in result.stderr
    assert "give another --" in result.stderr
    assert not list(place.glob("never*"))


@pytest.mark.parametrize("command", WRITES.values(), ids=list(WRITES))
@pytest.mark.parametrize("bad", ["{mine}/file/x", "{mine}/file/deep/er/x", "{mine}/" + "x" * 300])
def test_a_file_for_a_folder_and_a_long_name_are_told_in_one_line(
    place, tmp_path, monkeypatch, command, bad
):
    (tmp_path / "file").write_text("1")
    result = run(command, place, bad=bad.format(mine=tmp_path))
    refused_before_work(result, place, monkeypatch)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_longest_name_that_a_file_system_takes_is_written(tmp_path):
    for name in ("x" * 255, "é" * 127):
        with claimed(Place.table(tmp_path / name)):
            ScoreTable.of(["a"], ["p"], [0], [0.1]).write(tmp_path / name)
    assert sorted(map(len, os.listdir(tmp_path))) == [127, 255]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A disk of 200 kB: read-only, or full."""
    where = tmp_path / "disk"
    where.mkdir()

    def mount(state: str) -> Path:
        asked = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(where)]
        if subprocess.run(asked, capture_output=True, check=False).returncode:
            pytest.skip("may not mount")
        if state == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", str(where)], check=True)
        else:
            (where / "big").write_bytes(bytes(200 * 1024 - (4096 if state == "nearly full" else 0)))
        return where

    yield mount
    subprocess.run(["umount", str(where)], capture_output=True, check=False)


@as_root
@pytest.mark.parametrize("state", ["read-only", "full"])
@pytest.mark.parametrize("command", WRITES.values(), ids=list(WRITES))
def test_a_disk_that_is_read_only_or_full_is_told_before_the_work(
    place, monkeypatch, disk, command, state
):
    where = disk(state)
    before = sorted(os.listdir(where))
    refused_before_work(run(command, place, bad=where / "new" / "x"), place, monkeypatch)
    assert sorted(os.listdir(where)) == before
    if not command.startswith("show"):  # which adds an ending
        at_its_root = run(command, place, bad=where)  # where a disk begins
        assert at_its_root.exit_code == 2
        assert at_its_root.stderr.count("\n") == 1


@as_root
def test_a_disk_that_is_full_at_the_end_leaves_nothing_and_is_told(place, disk):
    where = disk("nearly full")
    for command in (
        f"evaluate {{place}}/detector {COHORT} --out {{bad}}/e",
        f"{FIT} --out {{bad}}/d",
    ):
        result = run(command, place, bad=where)
        assert result.exit_code == 2, result.output
        assert "No space left on device" in result.stderr
        assert result.stderr.count("\n") == 1
        assert os.listdir(where) == ["big"]


def test_a_write_that_the_disk_refuses_is_one_line_and_the_old_file_stays(tmp_path, monkeypatch):
    table = ScoreTable.of(["a"], ["p"], [0], [0.1])
    table.write(tmp_path / "s.csv")

    def full(number: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = tree(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"s\.csv: cannot be written .*No space.*free some space"):
        ScoreTable.of(["b"], ["p"], [0], [0.1]).write(tmp_path / "s.csv")
    with pytest.raises(InputError, match=r"out: cannot be written"):
        written(tmp_path / "out")
    assert tree(tmp_path) == before


# Two commands, one place.

HOLD = """
import sys
from pathlib import Path
from midclass.cli.outputs import Place, claimed
with claimed(Place(Path(sys.argv[1]), sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("kind", ["file", "folder", "filled"])
def test_a_second_command_for_the_same_place_is_refused_until_the_first_ends(tmp_path, kind):
    out = tmp_path / "new" / "out"
    env = {**os.environ, "PYTHONPATH": str(Path(midclass.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(out), kind],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=env,
    ) as first:
        assert first.stdout is not None
        first.stdout.readline()
        (tmp_path / "link").symlink_to(tmp_path / "new")
        for path in (out, tmp_path / "link" / "out", out / ".." / "out"):
            with (
                pytest.raises(InputError, match=f"process {first.pid} is writing it"),
                claimed(Place(path, kind)),
            ):
                pytest.fail("the block must not run")
        first.kill()
    with claimed(Place(out, kind)):
        pass
    assert not list(tmp_path.rglob(".*"))


def test_what_a_killed_command_left_is_removed_and_what_it_was_replacing_comes_back(tmp_path):
    out, other = written(tmp_path / "out"), tmp_path / ".other.0123abcd.tmp"
    out.rename(tmp_path / ".out.0123abcd.old")
    fill(tmp_path / ".out.4567abcd.tmp", {"half": b"1"})
    other.write_text("of another command")
    with pytest.raises(InputError, match="--overwrite"), claimed(Place(out)):
        pytest.fail("the block must not run")
    assert foreign(out) == ""
    assert sorted(os.listdir(tmp_path)) == [other.name, "out"]


def test_the_call_of_a_fit_is_written_before_the_work_and_its_place_is_held(
    place, tmp_path, monkeypatch
):
    from midclass.detectors.baselines.intensity import MeanAndSpread

    learn, seen = MeanAndSpread.learn, list[str]()

    def spy(self, lesson):
        assert json.loads((tmp_path / "d.part" / "call.json").read_text())["seed"] == 0
        seen.append(run(f"{FIT} --seed 1 --out {{mine}}/d", place, mine=tmp_path).stderr)
        learn(self, lesson)

    monkeypatch.setattr(MeanAndSpread, "learn", spy)
    assert run(f"{FIT} --out {{mine}}/d", place, mine=tmp_path).exit_code == 0
    (said,) = seen
    assert f"process {os.getpid()} is writing it" in said
    assert os.listdir(tmp_path) == ["d"]
