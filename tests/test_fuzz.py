"""Spoiled files are right or give one clear line: the most telling of benchmarks/fuzz."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import SHARED_DATA
from midclass import InputError

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from fuzz import judge as judges  # noqa: E402
from fuzz import pool  # noqa: E402
from fuzz.inputs import Input, make  # noqa: E402
from fuzz.judge import Verdict, judge  # noqa: E402
from fuzz.mishaps import dies_or_hangs  # noqa: E402
from fuzz.right import Seed  # noqa: E402
from fuzz.seeds import all_seeds  # noqa: E402
from fuzz.summary import GOOD, telling  # noqa: E402

LINUX = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="memory and hangs are measured on Linux"
)
TELLING = [int(n) for n in (BENCHMARKS / "fuzz" / "telling.txt").read_text().split()]
Seeds = dict[str, list[Seed]]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working folder with right files; processes to come import from here."""
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "seeds.pickle").write_bytes(pickle.dumps(all_seeds(folder, SHARED_DATA)))
    with pytest.MonkeyPatch.context() as patch:
        import midclass

        source = str(Path(midclass.__file__).parents[1])
        paths = (str(BENCHMARKS), source, os.environ.get("PYTHONPATH", ""))
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        patch.setenv("OMP_NUM_THREADS", "1")
        yield folder


@pytest.fixture(scope="module")
def seeds(work: Path) -> Seeds:
    found: Seeds = pickle.loads((work / "seeds.pickle").read_bytes())
    return found


@LINUX
@pytest.mark.slow
def test_the_most_telling_inputs_are_right_or_give_one_clear_line(work: Path) -> None:
    """Every fourth of them; ``python benchmarks/fuzz`` tries 10,000."""
    asked = TELLING[::4]
    rows = list(pool.tried(asked, work, seed=0, jobs=2))
    bad = [row for row in rows if row["outcome"] not in GOOD]
    assert len(rows) == len(asked) == 125
    assert not bad, "\n".join(
        f"python benchmarks/fuzz --only {row['number']}: {row['outcome']} {row['text']}"
        for row in bad
    )


@pytest.mark.slow
def test_files_that_nobody_spoiled_are_right(seeds: Seeds, tmp_path: Path) -> None:
    for kind in seeds:
        for number, seed in enumerate(seeds[kind] if not kind.startswith("real") else ()):
            path = Input(number, seed, "", seed.data).write(tmp_path / kind / str(number))
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                verdict = judge(kind, path, seed.identity, tmp_path / "cache")
            assert verdict.outcome == "right", (kind, seed.name, verdict)


def test_seed_and_number_make_the_same_input_again_and_others_another(seeds: Seeds) -> None:
    once, again = ([make(0, n, seeds) for n in range(60)] for _ in range(2))
    assert [one.data for one in once] == [one.data for one in again]
    assert len({one.data for one in once}) > 55
    assert make(1, 7, seeds).data != make(0, 7, seeds).data


def raising(error: BaseException) -> Callable[[], None]:
    def call() -> None:
        raise error

    return call


def caused(text: str, cause: BaseException) -> InputError:
    error = InputError(text)
    error.__cause__ = cause
    return error


def unmended(text: str) -> InputError:
    """With a message that ``InputError`` itself would have put right."""
    error = InputError()
    error.args = (text,)
    return error


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (InputError("FILE: is damaged; send it again"), "error"),
        (InputError("is damaged; send it again"), "nameless"),
        (unmended("FILE: is\ndamaged"), "not one line"),
        (unmended("FILE: has \x1b[31m in its name"), "not one line"),
        (InputError("FILE: is not of fuzzington^pat"), "identity"),
        (unmended("FILE: " + "x" * 2000), "too long"),
        (caused("FILE: cannot be read", MemoryError()), "memory"),
        (MemoryError(), "memory"),
        (ValueError("FILE"), "exception"),
        (type("Panic", (BaseException,), {})("FILE"), "exception"),
        (SystemExit(1), "exception"),
    ],
)
def test_what_is_no_clear_line_is_told(
    error: BaseException, outcome: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "a.png"
    error.args = tuple(str(text).replace("FILE", str(path)) for text in error.args)
    monkeypatch.setattr(judges, "calls", lambda *_: iter([("read", raising(error))]))
    assert judge("PNG", path, ("FUZZINGTON",), tmp_path / "cache").outcome == outcome


def test_one_call_that_goes_wrong_decides_and_one_result_makes_it_right(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def outcome(*calls: Callable[[], Any]) -> Verdict:
        monkeypatch.setattr(judges, "calls", lambda *_: iter([("read", c) for c in calls]))
        return judge("PNG", tmp_path, (), tmp_path / "cache")

    clear, panic = raising(InputError(f"{tmp_path}: no")), raising(KeyError("x"))
    assert outcome(clear, int, clear).outcome == "right"
    assert outcome(clear, clear).outcome == "error"
    assert outcome(int, panic, clear).outcome == "exception"


@LINUX
@pytest.mark.slow
def test_a_death_and_a_hang_are_told_of_their_input_and_the_others_go_on(
    work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool, "HANG_S", 0.5)
    rows = {r["number"]: r for r in pool.tried(range(5), work, 0, 1, dies_or_hangs)}
    assert {number: row["outcome"] for number, row in rows.items()} == {
        **dict.fromkeys((0, 3, 4), "right"),
        1: "death",
        2: "hang",
    }
    assert "SIGABRT" in rows[1]["text"]
    assert not multiprocessing.active_children()


def test_the_most_telling_are_of_all_kinds_and_of_each_outcome_once_before_another_twice() -> None:
    def row(number: int, kind: str, outcome: str) -> dict[str, str]:
        same = {"call": "read", "where": "", "text": ""}
        return {"number": str(number), "kind": kind, "outcome": outcome, **same}

    rows = [row(n, "PNG", "right") for n in range(50)]
    rows += [row(50, "PNG", "death"), row(51, "npz", "right"), row(52, "npz", "right")]
    assert telling(rows, 3) == [0, 50, 51]
    assert telling(rows, 4) == [0, 50, 51, 52]
