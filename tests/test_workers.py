"""Workers: several processes prepare as one does, and end with it."""

from __future__ import annotations

import os
import pickle
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from makers import recipe
from midclass import Cohort, InputError, Recipe, prepare
from midclass.cli import options
from midclass.cli.app import app
from midclass.cli.commands import source
from midclass.images import prepare as preparation
from midclass.images import workers as module
from midclass.images.anatomy import learned
from midclass.images.anatomy.learned import seen_by
from midclass.images.prepare import prepare_blocks
from midclass.images.rules import Rules
from midclass.images.store import DIED
from midclass.images.work import attempted, attempts_here
from midclass.images.workers import Workers

posix = pytest.mark.skipif(os.name == "nt", reason="signals")
ANATOMY = """
import os, signal, sys, time
from pathlib import Path


def mine(pixels, spacing_mm):
    print("no answer")
    corner = round(float(pixels[0, 0, 0]), 2)
    if os.getpid() != {pid} and corner == 0.8 and not Path({once!r}).exists():
        Path({once!r}).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if corner == 0:
        sys.exit(7)
    if corner == 1:
        time.sleep(60)
    return pixels[0] > 0.3
"""
"""An anatomy by which other processes than that of the test die once, stop, or take long."""


def tif(path: Path, seed: int, corner: float = 0.2) -> Path:
    pixels = np.random.default_rng(seed).integers(60, 250, (20, 24)).astype(np.uint8)
    pixels[0, 0] = round(255 * corner)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    folder = tmp_path_factory.mktemp("mine")
    file = folder / "mine.py"
    file.write_text(ANATOMY.format(pid=os.getpid(), once=str(folder / "once")))
    fields = {"anatomy": f"{file}:mine", "geometry": {"size": [16, 16], "spacing_mm": 1.0}}
    return Recipe.from_dict(recipe(**fields).to_dict(), trust=[file])


@pytest.fixture(scope="module")
def workers(wanted: Recipe) -> Iterator[Workers]:
    with Workers(wanted) as found:
        yield found


@posix
def test_a_process_prepares_as_this_one_does_and_nothing_is_lost_where_it_dies(
    tmp_path: Path, workers: Workers
) -> None:
    """By a user's anatomy; with files that fail, and one that kills who first reads it."""
    for seed in range(6):
        tif(tmp_path / f"{seed}.tif", seed, 0.8 if seed == 2 else 0.2)
    (tmp_path / "cut.tif").write_bytes((tmp_path / "0.tif").read_bytes()[:99])
    Image.fromarray(np.full((9, 9), 3, np.uint8)).save(tmp_path / "flat.tif")
    cohort = Cohort.from_files([tmp_path])
    expected = dict(attempts_here(cohort, workers.rules, range(len(cohort))))
    found = dict(workers.attempts(cohort, list(range(len(cohort))), apart=True))
    assert sum(not one.samples for one in expected.values()) == 2
    assert found.keys() == expected.keys()
    for row, one in expected.items():
        assert found[row][1:] == one[1:]
        for mine, other in zip(found[row].samples, one.samples, strict=True):
            assert pickle.dumps(mine) == pickle.dumps(other)


@posix
def test_what_ends_the_work_in_a_process_ends_it(tmp_path: Path, workers: Workers) -> None:
    cohort = Cohort.from_files([tif(tmp_path / "a.tif", 0, 0)])
    with pytest.raises(SystemExit) as stop:
        list(workers.attempts(cohort, [0], apart=True))
    assert stop.value.code == 7


@posix
def test_a_process_ends_at_once_when_nobody_can_ask_it_any_more(
    tmp_path: Path, workers: Workers
) -> None:
    (process,) = workers._processes
    process.tell(Cohort.from_files([tif(tmp_path / "a.tif", 0, 1)])[0])
    with pytest.raises(subprocess.TimeoutExpired):
        process._process.wait(0.3)
    process._asked.close()
    assert process._process.wait(20) == 1


class Here(module._Process):
    """No process, but what one would answer; it dies of white images."""

    made: ClassVar[list[Here]] = []

    def __init__(self) -> None:
        self.questions: list[Any] = []
        self.made.append(self)

    def tell(self, what: object) -> None:
        self.questions.append(what)

    def answer(self) -> Any:
        asked = self.questions.pop(0)
        if isinstance(asked, Recipe):
            self.rules = Rules(asked)
            return self.rules.digest
        if asked.path.name == "white.tif":
            raise EOFError
        return attempted(asked, self.rules)

    def how_it_ended(self) -> str:
        return "SIGSEGV"

    def kill(self) -> None:
        pass


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[Here]:
    monkeypatch.setattr(module, "_Process", Here)
    monkeypatch.setattr(module, "ENOUGH_S", 0)
    monkeypatch.setattr(learned, "is_used", lambda: False)  # by another test of this process
    monkeypatch.setattr(Here, "made", [])
    start = Workers._start

    def started(workers: Workers, jobs: int) -> None:
        """Only then does the asking process leave the rest to the others."""
        start(workers, jobs)
        while not workers._ready.wait(0.01) and any(one.is_alive() for one in workers._drivers):
            continue

    monkeypatch.setattr(Workers, "_start", started)
    return Here.made


def test_a_case_at_which_processes_die_fails_alone_and_is_never_read_by_this_one(
    tmp_path: Path, here: list[Here]
) -> None:
    for name in ("0", "1", "2", "3", "white"):
        tif(tmp_path / f"{name}.tif", 0)
    cohort, usual = Cohort.from_files([tmp_path]), recipe()
    first = prepare(cohort, usual, cache=tmp_path / "cache", keep_going=True, jobs=2)
    ((case, reason),) = first.failed
    assert reason == f"{case.path}: {DIED} (SIGSEGV), perhaps for lack of memory"
    assert len(here) == 4
    again = prepare(cohort, usual, cache=tmp_path / "cache", keep_going=True)
    assert again.failed == first.failed


def test_apart_a_deadly_case_fails_alone_though_there_is_one_job(
    tmp_path: Path, here: list[Here]
) -> None:
    for name in ("0", "1", "white"):
        tif(tmp_path / f"{name}.tif", 0)
    cohort, cache = Cohort.from_files([tmp_path]), tmp_path / "cache"
    (block,) = prepare_blocks(cohort, recipe(), 9, cache=cache, apart=True)
    assert [case.path.name for case, _ in block.failed] == ["white.tif"]
    assert len(here) == 3


def test_processes_start_where_there_is_enough_to_do_and_only_there(
    tmp_path: Path, here: list[Here], monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(8):
        tif(tmp_path / f"{seed}.tif", seed)
    cohort, usual = Cohort.from_files([tmp_path]), recipe()
    one = prepare(cohort, usual, cache=tmp_path / "one")
    assert here == []
    three = prepare(cohort, usual, cache=tmp_path / "three", jobs=3)
    assert len(here) == 3
    assert three.images().tobytes() == one.images().tobytes()
    here.clear()
    monkeypatch.setattr(learned, "is_used", lambda: True)
    monkeypatch.setattr(module, "ENOUGH_LEARNED_S", 1e9)
    prepare(cohort, usual, cache=tmp_path / "learned", jobs=3)
    assert here == []  # they would import torch first
    monkeypatch.setattr(learned, "is_used", lambda: False)
    monkeypatch.setattr(module, "ENOUGH_S", 1e9)
    prepare(cohort, usual, cache=tmp_path / "few", jobs=3)
    assert here == []


def test_a_learned_anatomy_is_known_to_be_used_once_it_was() -> None:
    seen_by("lungs", np.eye(40, dtype=np.float32), (1.0, 1.0))
    assert learned.is_used()


def test_by_other_rules_no_process_works(
    tmp_path: Path, here: list[Here], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where a user's file was changed since this process read it."""
    monkeypatch.setattr(Here, "answer", lambda self: "other")
    cohort = Cohort.from_files([tif(tmp_path / f"{seed}.tif", seed) for seed in range(8)])
    assert not prepare(cohort, recipe(), cache=tmp_path / "cache", jobs=2).failed
    assert len(here) == 2


@pytest.mark.parametrize("jobs", [1, 2])
def test_blocks_are_the_same_whether_or_not_the_next_is_made_ahead(
    tmp_path: Path, jobs: int
) -> None:
    cohort = Cohort.from_files([tif(tmp_path / f"{seed}.tif", seed) for seed in range(8)])
    blocks = list(prepare_blocks(cohort, recipe(), 3, cache=tmp_path / "cache", jobs=jobs))
    assert [[one.case_id for one in block.cases] for block in blocks] == [
        [one.case_id for one in cohort[start : start + 3]] for start in (0, 3, 6)
    ]
    whole = prepare(cohort, recipe(), cache=tmp_path / "whole")
    assert b"".join(block.images().tobytes() for block in blocks) == whole.images().tobytes()


def test_what_is_prepared_ahead_ends_with_who_wanted_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ahead, go_on = threading.Event(), threading.Event()
    whole = Cohort.read

    def reads(self: Cohort, *args: Any, **named: Any) -> Any:
        if self[0].path.name == "3.tif":
            ahead.set()
            go_on.wait()
        return whole(self, *args, **named)

    monkeypatch.setattr(Cohort, "read", reads)
    cohort = Cohort.from_files([tif(tmp_path / f"{seed}.tif", seed) for seed in range(6)])
    blocks = prepare_blocks(cohort, recipe(), 3, cache=tmp_path / "cache", jobs=2)
    next(blocks)
    ahead.wait()
    threading.Timer(0.2, go_on.set).start()
    blocks.close()
    assert not list((tmp_path / "cache").glob(".new-*"))
    assert not any(thread.name == preparation.AHEAD for thread in threading.enumerate())


@pytest.mark.parametrize("words", [[], ["--jobs", "3"]])
@pytest.mark.parametrize("name", ["fit", "score", "evaluate", "audit", "nuisance", "calibrate"])
def test_commands_use_the_cores_that_they_may_use_or_are_told(
    name: str, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*given: Any, **_: Any) -> None:
        (jobs,) = {one.jobs for one in given if isinstance(one, options.Options)}
        raise InputError(f"jobs {jobs}")

    monkeypatch.setattr(options, "cores", lambda: 5)
    monkeypatch.setattr(f"midclass.cli.commands.{name}.run", run)
    monkeypatch.setattr("midclass.cli.commands.source.cases_to_score", lambda *_: None)
    for early in ("refuse_absent", "check_recipe", "check_detector", "check_folder"):
        monkeypatch.setattr(f"midclass.cli.early.{early}", lambda *_, **__: None)
    cohort = tmp_path / "m.csv"
    cohort.touch()
    said = CliRunner().invoke(app, [name, "x", "--cohort", str(cohort), *words]).stderr
    assert f"jobs {3 if words else 5}" in said


def test_a_container_gives_as_many_cores_as_its_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(options, "QUOTA", tmp_path / "cpu.max")
    found = []
    for text in ("max 100000", "150000 100000", "100 100000", "1600000 100000"):
        (tmp_path / "cpu.max").write_text(text)
        found.append(options.cores())
    assert found == [8, 2, 1, 8]


def test_what_is_prepared_with_a_bar_is_prepared_by_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def prepared(*_: Any, **given: Any) -> Any:
        return given["jobs"], given["cache"]

    monkeypatch.setattr(preparation, "prepare", prepared)
    asked = options.Options(jobs=3, cache=Path("kept"))
    assert source.prepared_with_bar(Cohort(()), recipe(), asked) == (3, Path("kept"))
