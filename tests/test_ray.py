"""Ray: studies and scoring on its workers give the same bytes, and nothing is lost or hidden."""

from __future__ import annotations

import json
import signal
import sys
import types
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner, Result

import midclass
from dicom_folders import image_file
from makers import discs, recipe
from midclass import Cohort, InputError, ScoreTable, prepare_array
from midclass.cli.app import app
from midclass.cli.commands import score, score_engines, spread
from midclass.cli.commands.blocks import ScoredBlock, Wording
from midclass.cli.commands.scoring import _add_all
from midclass.cli.commands.spread import AHEAD, DEATHS, Job
from midclass.detectors.catalogue import detector_class
from midclass.study.cell import Cell, run_cell, table_of
from midclass.study.cluster import Cluster, WorkerDiedError, check_engine, cluster
from midclass.study.run import compute

ray = pytest.importorskip("ray", reason="extra [ray]")
pytest.importorskip("highdicom", reason="extra [seg]")

BLOCK = 8
DETECTOR = """\
import os, signal, warnings
from pathlib import Path

from midclass.detectors.baselines.pca import PCA

DEADLY = Path(__file__).with_name("deadly")


class Mine(PCA):
    def score(self, images):
        if len(images) > 1:
            warnings.warn("it is mine")
            if DEADLY.exists():
                DEADLY.unlink()
                os.kill(os.getpid(), signal.SIGKILL)
        return super().score(images)
"""
"""A detector that warns, and of which one process dies where there is a file ``deadly``."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector ``d`` by a file of a user's, and images of two kinds, one of which is none."""
    folder = tmp_path_factory.mktemp("ray")
    (folder / "mine.py").write_text(DETECTOR)
    wanted = recipe(budget={"standardise": False})
    fitted = detector_class(f"{folder}/mine.py:Mine", (folder / "mine.py",))(wanted)
    fitted.fit(prepare_array(discs(80, 0), wanted, 1.0), max_fpr=0.2)
    fitted.save(folder / "d")
    (folder / "images").mkdir()
    pixels = (discs(18, 1, square=0.2)[:, 0] * 4095).astype(np.uint16)
    for number, one in enumerate(pixels[:16]):
        PIL.Image.fromarray(one * 16).save(folder / "images" / f"{number:02d}.png")
    (folder / "images" / "03.png").write_bytes(b"no image")  # and the numbers of samples move
    for number, one in enumerate(pixels[16:]):
        image_file(folder / "images" / f"x{number}.dcm", number, one, PatientID="p")
    return folder


@pytest.fixture(scope="module")
def workers() -> Iterator[Cluster]:
    """Two, for all tests of this file."""
    with cluster(2) as found:
        yield found


def scored(folder: Path, out: Path, *engine: str) -> Result:
    """Score all images with everything that can be written."""
    words = ["score", folder / "d", folder / "images", "--trust", folder / "mine.py", "--json"]
    words += ["--cache", folder / "cache", "--out", out / "s.csv", "--heat-maps", out / "maps"]
    words += ["--dicom", out / "dicom", "--date", "2024-05-06", "--equipment", *engine]
    return CliRunner().invoke(app, list(map(str, words)))


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


@pytest.mark.slow
def test_workers_write_the_same_bytes_as_one_process_though_one_is_killed(
    folder: Path, workers: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables, heat maps and DICOM objects."""
    monkeypatch.setattr(score, "BLOCK", BLOCK)
    assert workers.workers == 2
    alone = scored(folder, folder / "one")
    (folder / "deadly").touch()
    done = scored(folder, folder / "ray", "--engine", "ray")
    assert not (folder / "deadly").exists()
    expected = files(folder / "one")
    assert files(folder / "ray") == expected
    assert {"s.csv", "s_patients.csv", "maps/00016_x1.dcm.png"} <= expected.keys()
    assert {path[-11:] for path in expected if path.endswith("report.dcm")} == {"_report.dcm"}
    assert (alone.exit_code, done.exit_code) == (1, 1)
    assert json.loads(done.stdout) == json.loads(alone.stdout.replace("/one/", "/ray/"))
    notes = [line for line in done.stderr.splitlines() if line.startswith("note: ")]
    told = [line for line in notes if "patients are flagged" not in line]
    assert len(notes) == len(told) + 1  # once, of all that were scored
    died = [f"note: a worker died; its {cases} cases are scored again" for cases in (8, 2)]
    assert set(told) - set(died) == {"note: it is mine"}
    assert len(told) == 2
    assert "failed: 03.png: its content is none" in done.stderr


@pytest.mark.slow
def test_a_study_on_workers_gives_the_same_bytes(folder: Path, workers: Cluster) -> None:
    lines = ["path,label,patient_id,split"]
    (folder / "study").mkdir()
    for number, one in enumerate(discs(72, 2)[:, 0]):
        name = f"study/{number}.png"
        PIL.Image.fromarray((one * 255).astype(np.uint8)).save(folder / name)
        lines.append(f"{name},{int(number > 69)},{number},{'train' if number < 60 else 'test'}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    cells = [
        Cell(
            *("task", "pca", repeat),
            cohort=folder / "manifest.csv",
            recipe=recipe().to_dict(),
            module="pca",
            split=None,
            max_fpr=0.1,
            source=folder / "study.yaml",
        )
        for repeat in range(2)
    ]
    assert [one.error for one in compute(cells, folder / "out", engine="ray")] == ["", ""]
    for cell in cells:
        run_cell(cell, folder / "expected", None)
        made, alone = (table_of(folder / where, cell.name) for where in ("out", "expected"))
        assert made.read_bytes() == alone.read_bytes()


class Pretended:
    """A cluster that is none: what was begun last ends first, in this process."""

    workers = 2

    def __init__(self, dies: Callable[[Cohort], bool] = lambda _: False) -> None:
        self.dies = dies
        self.begun: list[tuple[Cohort, bool]] = []
        self.most = self.waiting = 0

    def begin(self, function: Callable[..., Any], job: Job, cases: Cohort, apart: bool) -> int:
        self.begun.append((cases, apart))
        self.waiting += 1
        self.most = max(self.most, self.waiting)
        self.function, self.job = function, job
        return len(self.begun) - 1

    def first_done(self, running: Collection[int]) -> int:
        return max(running)

    def result(self, done: int) -> Any:
        self.waiting -= 1
        cases, apart = self.begun[done]
        if self.dies(cases):
            raise WorkerDiedError
        return self.function(self.job, cases, apart)


def numbers(count: int) -> Cohort:
    return Cohort(tuple(midclass.Case(f"{n}", Path(f"{n}.png"), None, "") for n in range(count)))


def test_blocks_come_back_in_order_and_no_more_are_begun_than_keep_workers_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spread, "score_on_worker", lambda job, cases, apart: cases[0].case_id)
    there = Pretended()
    come = []
    for cases, first in spread.spread(there, None, numbers(40).blocks(2), print):  # type: ignore
        come.append(first)
        assert cases[0].case_id == first
        assert len(there.begun) - len(come) < AHEAD * there.workers
    assert come == [str(n) for n in range(0, 40, 2)]
    assert there.most == AHEAD * there.workers


def test_a_block_whose_worker_died_is_scored_again_and_then_no_image_is_read_by_a_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spread, "score_on_worker", lambda job, cases, apart: cases[0].case_id)
    deaths, told = {"2": 2, "4": 9}, list[str]()

    def dies(cases: Cohort) -> bool:
        deaths[cases[0].case_id] = deaths.get(cases[0].case_id, 0) - 1
        return deaths[cases[0].case_id] >= 0

    there = Pretended(dies)
    found = list(spread.spread(there, None, numbers(6).blocks(2), told.append))  # type: ignore
    assert [parcel for _, parcel in found] == ["0", "2", None]
    tries = [(cases[0].case_id, apart) for cases, apart in there.begun]
    assert sorted(tries) == [
        *(("0", False), ("2", False), ("2", True), ("2", True)),
        *(("4", False), ("4", True), ("4", True)),
    ]
    assert told == ["note: a worker died; its 2 cases are scored again"] * 4


def test_cases_of_a_block_at_which_workers_die_three_times_fail_and_are_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = Pretended(lambda cases: "08.png" in [case.path.name for case in cases])
    monkeypatch.setattr(score, "BLOCK", BLOCK)
    monkeypatch.setattr(score_engines, "cluster", lambda jobs: there(second))
    monkeypatch.chdir(folder)
    words = ["score", "d", "images", "--trust", "mine.py", "--cache", "cache", "--engine", "ray"]
    done = CliRunner().invoke(app, [*words, "--out", f"{tmp_path}/s.csv"])
    assert done.exit_code == 1
    table = ScoreTable.read(tmp_path / "s.csv")
    assert table.assessed.tolist() == [n != 3 and not 8 <= n < 16 for n in range(18)]
    died = f"the workers that scored it and 7 other cases died {DEATHS} times"
    assert all(f"{died}, perhaps for lack of memory" in reason for reason in table.reason[8:16])
    assert f"failed: images/08.png: {died}" in done.stderr


@contextmanager
def there(found: Pretended) -> Iterator[Pretended]:
    yield found


def test_slices_are_scored_with_their_neighbours_whoever_scores_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No worker gets a part of a series."""
    wanted = recipe(geometry={"view": "slices", "size": [32, 32], "spacing_mm": 1.0})
    given = prepare_array(discs(200, 0), wanted)
    cases = [
        replace(case, patient_id=f"p{row // 5}", slice=float(row % 5))
        for row, case in enumerate(given.cases)
    ]
    given = replace(given, cases=Cohort(tuple(cases)))
    detector_class("pca")(wanted).fit(given, max_fpr=0.1, folds=0).save(tmp_path / "d")
    rows = ["path,patient_id,slice"]
    for number, one in enumerate((discs(12, 1, square=0.2)[:, 0] * 65535).astype(np.uint16)):
        PIL.Image.fromarray(one).save(tmp_path / f"{number}.png")
        rows.append(f"{number}.png,{'ab'[number % 2]},{number}")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    monkeypatch.setattr(score, "BLOCK", 4)
    monkeypatch.setattr(score_engines, "cluster", lambda jobs: there(Pretended()))
    monkeypatch.chdir(tmp_path)
    for out, *engine in (["ray.csv", "--engine", "ray"], ["one.csv"]):  # which leaves one thread
        words = ["score", "d", "--cohort", "m.csv", "--cache", "cache", "--out", out, *engine]
        assert CliRunner().invoke(app, words).exit_code == 0
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    monkeypatch.setattr(score, "BLOCK", 512)
    words = ["score", "d", "--cohort", "m.csv", "--cache", "cache", "--out", "all.csv"]
    assert CliRunner().invoke(app, words).exit_code == 0
    assert (tmp_path / "all.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()


def test_parts_of_a_table_have_the_same_rows_whatever_the_size_of_blocks() -> None:
    """Parts of a Parquet file can be told from each other."""

    def block(start: int, rows: int) -> ScoredBlock:
        names = [f"{n}" for n in range(start, start + rows)]
        table = ScoreTable.of(names, names, [-1] * rows, np.zeros(rows))
        return ScoredBlock(table, ("",) * len(table), (), rows, {}, (), ())

    for size in (1, 2, 4):
        parts: list[ScoreTable] = []
        blocks = (block(start, min(size, 10 - start)) for start in range(0, 10, size))
        _add_all(blocks, parts.append, 4)
        assert [part.case_id.tolist() for part in parts] == [
            ["0", "1", "2", "3"],
            ["4", "5", "6", "7"],
            ["8", "9"],
        ]


def job_of(folder: Path, **other: Any) -> Job:
    usual = {"detector": folder / "d", "id": "0" * 16, "trust": (folder / "mine.py",)}
    usual |= {"max_fpr": None, "cache": folder / "cache", "wording": Wording(), "here": folder}
    return Job(**usual | other)


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({}, "d: is another detector there; copy the same to all"),
        ({"here": Path("nowhere")}, "nowhere: No such file or directory; every worker needs the"),
        ({"version": "0.0"}, "has midclass .*, the command 0.0; install the same"),
    ],
)
def test_a_worker_where_something_else_lies_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch, other: dict[str, Any], told: str
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match=f"on the worker .*: .*{told}"):
        spread.score_on_worker(job_of(folder, **other), numbers(1), False)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What a Ray that starts nothing is asked."""
    found: list[Any] = []
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    pretended = types.ModuleType("ray")
    pretended.__spec__ = ray.__spec__
    pretended.is_initialized = lambda: False  # type: ignore[attr-defined]

    def init(**words: Any) -> None:
        found.append(words)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Ray takes it, too

    pretended.init = init  # type: ignore[attr-defined]
    pretended.shutdown = lambda: found.append("shutdown")  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", pretended)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    yield found
    signal.signal(signal.SIGTERM, before)


def test_without_an_address_a_cluster_of_this_machine_starts_and_ends_with_its_user(
    asked: list[Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """What Ray prints meanwhile is on stderr: stdout may be one JSON object."""

    def interrupted() -> None:
        with cluster(3):
            sys.stdout.write("a worker died\n")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert capsys.readouterr() == ("", "a worker died\n")
    started, ended = asked
    assert (started["address"], started["num_cpus"], ended) == ("local", 3, "shutdown")


def test_the_cluster_at_the_address_keeps_its_own_workers_and_this_process_its_signals(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with cluster(3):
        assert not {"address", "num_cpus"} & asked[0].keys()
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_an_address_at_which_no_cluster_answers_is_refused_in_one_line(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(**_: object) -> None:
        raise ConnectionError("a page of words")

    monkeypatch.setattr(sys.modules["ray"], "init", refused)
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(InputError, match=r"RAY_ADDRESS is 10.0.0.1:6379, and no Ray cluster"):
        cluster(3).__enter__()


def test_an_unknown_engine_is_refused_before_any_work(folder: Path) -> None:
    with pytest.raises(InputError, match="engine 'rai' is unknown; the engines are local, ray"):
        score.run(folder / "d", numbers(1), engine="rai")
    with pytest.raises(InputError, match="engine 'rai' is unknown; the engines are local, ray"):
        compute([], folder / "none", engine="rai")


def test_without_ray_its_engine_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("midclass.study.cluster.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"engine ray needs Ray: pip install 'midclass\[ray\]'"):
        check_engine("ray")
    check_engine("local")
