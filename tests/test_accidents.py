"""Accidents: commands that are ended in the middle, states that are damaged, names that do harm."""

from __future__ import annotations

import csv
import importlib.util
import io
import os
import random
import shlex
import signal
import subprocess
import sys
import time
import unicodedata
import warnings
from pathlib import Path
from types import ModuleType

import matplotlib.figure
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import midclass
from makers import as_in_a_terminal, phantom_folder, started, tiny_phantoms, trained
from midclass import InputError
from midclass.cli.commands import fit, shown
from midclass.cli.commands.source import Source
from midclass.cli.console import printable
from midclass.cli.options import Options
from midclass.cli.outputs import Place, claimed
from midclass.evaluation import plots
from midclass.evaluation.cells import as_cell, from_cell
from midclass.evaluation.heat import HeatScale
from midclass.evaluation.panel import Panel, overlay
from midclass.evaluation.table import ScoreTable
from midclass.recipe.budget import Budget
from midclass.study.log import LOG, Outcome, add_to_log, check_log, read_log
from midclass.training.state import STATE

posix = pytest.mark.skipif(sys.platform == "win32", reason="signals")
KILLS = Path(__file__).resolve().parents[1] / "benchmarks" / "kills.py"


# Interrupted.


def interrupted(*outputs: Place, write: int) -> str:
    with pytest.raises(KeyboardInterrupt) as stop, claimed(*outputs):  # noqa: PT012
        for one in outputs[:write]:
            one.path.write_text("1")
        raise KeyboardInterrupt
    return str(stop.value)


def test_an_interruption_says_what_is_there_and_what_is_not(tmp_path):
    outputs = [Place(tmp_path / name, "file") for name in ("a.csv", "b.csv")]
    assert interrupted(*outputs, write=0) == ""  # the command line says that nothing was written
    said = interrupted(*outputs, write=1)
    assert said == f"{tmp_path}/a.csv is whole; {tmp_path}/b.csv was not written"
    for one in outputs:
        one.path.unlink(missing_ok=True)
    assert "all was written" in interrupted(*outputs, write=2)


def test_score_interrupted_while_it_draws_leaves_nothing_and_works_when_typed_again(
    tmp_path, monkeypatch
):
    from typer.testing import CliRunner

    from midclass.cli.app import app

    folder = phantom_folder(tmp_path / "p", tiny_phantoms(steps=4, checkpoints=1), data=".")
    monkeypatch.setenv("MIDCLASS_CACHE", str(tmp_path / "cache"))
    out = tmp_path / "out"
    fitted = ["fit", f"{folder}/tiny.yaml", "--cohort", f"{folder}/manifest.csv", "--max-fpr", ".1"]
    assert CliRunner().invoke(app, [*fitted, "--out", f"{tmp_path}/d"]).exit_code == 0
    scored = ["score", f"{tmp_path}/d", f"{folder}/images/given_00000.png", "--out", f"{out}/s.csv"]
    scored += ["--heat-maps", f"{out}/maps"]

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shown, "overlay_into", interrupt)
        stopped = CliRunner().invoke(app, scored)
    assert stopped.exit_code == 130
    assert stopped.stderr == "interrupted: nothing was written; type the same command again\n"
    assert not out.exists()
    assert CliRunner().invoke(app, scored).exit_code == 0
    assert sorted(os.listdir(out)) == ["maps", "s.csv", "s.provenance.json"]


WAIT = """
import sys, time
from pathlib import Path
from midclass.cli import app
from midclass.cli.outputs import Place, claimed
from midclass.files import new_folder

def wait(out: Path) -> None:
    with claimed(Place(out)), new_folder(out) as new:
        (new / "half").write_text("1")
        print("started", flush=True)
        time.sleep(60)

app.app.command()(wait)
sys.argv = ["midclass", "wait", sys.argv[1]]
app.main()
"""


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_command_that_is_asked_to_end_removes_what_is_half_made(tmp_path, name):
    number = getattr(signal, name)
    process = subprocess.Popen(
        [sys.executable, "-c", WAIT, str(tmp_path / "new" / "out")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(midclass.__file__).parents[1])},
        preexec_fn=as_in_a_terminal,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "started\n"
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert said == "interrupted: nothing was written; type the same command again\n"
    assert os.listdir(tmp_path) == []


def kills() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kills", KILLS)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["kills"] = module
    spec.loader.exec_module(module)
    return module


@posix
@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("fit", marks=pytest.mark.thorough), "score"])
def test_a_command_that_is_killed_and_typed_again_ends_in_the_same_bytes(
    tmp_path, monkeypatch, name
):
    module = kills()
    own = {"MIDCLASS_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"}
    monkeypatch.setattr(
        module.Job, "start", lambda job, folder: started(job.words, folder, session=True, **own)
    )
    module.scratch(tmp_path)
    tally = module.disturb(module.JOBS[name], tmp_path, 1, random.Random(name))
    assert tally.wrong == []
    assert tally.ends


# A training's state.

BUDGET = Budget(steps=8, batch=4, width=8, checkpoints=4)


def train_in(workdir: Path | None, stop_at: int | None = None) -> list[dict[str, torch.Tensor]]:
    torch.manual_seed(3)

    def progress(step: int, steps: int, text: str) -> None:
        if step == stop_at:
            raise KeyboardInterrupt

    def loss(network: nn.Module, rng: torch.Generator) -> torch.Tensor:
        return network(torch.randn(4, 3, generator=rng)).square().mean()

    return trained(nn.Linear(3, 2), loss, BUDGET, workdir=workdir, progress=progress)[1]


def empty(content: bytes) -> bytes:
    return b""


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def last_byte_lost(content: bytes) -> bytes:
    return content[:-1]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 3
    return content[:middle] + bytes([content[middle] ^ 8]) + content[middle + 1 :]


def of_something_else(content: bytes) -> bytes:
    buffer = io.BytesIO()
    torch.save({"parts": []}, buffer)
    return buffer.getvalue()


def of_another_network(content: bytes) -> bytes:
    state = torch.load(io.BytesIO(content[:-32]), weights_only=True)
    state["parts"][0] = {"weight": torch.ones(2, 3), "bias": torch.ones(7)}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


DAMAGES = [empty, cut, last_byte_lost, flipped, of_something_else, of_another_network]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_state_is_told_and_training_starts_anew_to_the_same_weights(tmp_path, damage):
    undisturbed = train_in(None)
    with pytest.raises(KeyboardInterrupt):
        train_in(tmp_path, stop_at=7)
    file = tmp_path / STATE
    file.write_bytes(damage(file.read_bytes()))
    with pytest.warns(UserWarning, match=r"training\.pt: .* is damaged, or .*; it starts anew"):
        again = train_in(tmp_path)
    for one, other in zip(undisturbed, again, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_state_of_an_earlier_version_is_still_gone_on_from(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train_in(tmp_path, stop_at=7)
    file = tmp_path / STATE
    file.write_bytes(file.read_bytes()[:-32])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = train_in(tmp_path)
    assert all(
        torch.equal(a[n], b[n]) for a, b in zip(train_in(None), again, strict=True) for n in a
    )


# Pictures.


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf"])
def test_a_figure_that_cannot_be_drawn_to_its_end_leaves_the_old_one(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"a{suffix}"
    plots.save(matplotlib.figure.Figure((1, 1)), path)
    before = path.read_bytes()
    plots.save(matplotlib.figure.Figure((1, 1)), path)
    assert path.read_bytes() == before
    assert b"midclass" in before

    def half(self, file, **_):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(matplotlib.figure.Figure, "savefig", half)
    with pytest.raises(KeyboardInterrupt):
        plots.save(matplotlib.figure.Figure((1, 1)), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_an_overlay_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    import PIL.Image

    def half(self, file, *_):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PIL.Image.Image, "save", half)
    with pytest.raises(InputError, match=r"a\.png: cannot be written \(No space left"):
        overlay(tmp_path / "a.png", Panel(np.zeros((1, 8, 8))), HeatScale())
    assert os.listdir(tmp_path) == []


# Names.

anything = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
begins = st.sampled_from([*"=+-@\t\r\n'", "''=", "\uff1d", "-1", "+", ""])


@given(begins, anything)
def test_a_cell_is_read_back_and_a_formula_is_none(start, rest):
    text = start + rest
    cell = as_cell(text)
    assert from_cell(cell) == text
    try:
        float(text.replace("_", "x"))
    except ValueError:
        assert cell[0] not in "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"


@given(st.floats(allow_nan=False, allow_infinity=False), st.integers())
def test_a_number_stays_a_number(real, whole):
    assert as_cell(repr(real)) == repr(real)
    assert as_cell(str(whole)) == str(whole)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(begins, anything), min_size=1, max_size=5, unique=True), st.data())
def test_a_score_table_with_any_names_is_read_back_with_the_same_cases(
    tmp_path_factory, parts, data
):
    ids = list(dict.fromkeys(a + b for a, b in parts if "\0" not in a + b))
    if not ids:
        return
    path = tmp_path_factory.mktemp("table") / "s.csv"
    scores = [-0.5 * i for i in range(len(ids))]
    ScoreTable.of(ids, ids, [-1] * len(ids), scores, class_name=ids).write(path)
    table = ScoreTable.read(path)
    assert table.case_id.tolist() == np.array(ids).tolist()
    assert table.patient_id.tolist() == np.array(ids).tolist()
    assert table.score.tolist() == scores
    with path.open(newline="", encoding="utf-8") as file:
        for row in list(csv.reader(file))[1:]:
            assert not row[0].startswith(("=", "@", "\t", "\r"))


@given(st.text(max_size=30), st.sampled_from(["utf-8", "ascii", "latin-1", "cp1252"]))
def test_what_is_shown_steers_no_terminal_and_fits_its_encoding(text, encoding):
    shown = printable(text, encoding)
    shown.encode(encoding)
    assert "\n" not in shown
    assert not [c for c in shown if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"}]


@pytest.mark.parametrize(
    "name", ["a\x1b]0;x\x07", "a\x9b2J", "\u202eexe.gnp", "\u2066a", "a\nb", "\udcff"]
)
def test_names_that_would_steer_a_terminal_are_shown_by_numbers(name):
    assert printable(name, "utf-8") == name.encode("unicode_escape").decode()
    assert printable("Müller 東京 scan.png", "utf-8") == "Müller 東京 scan.png"


folders = st.text(st.sampled_from([*"ab '\"$`\\;&|*?#~!\t()é"]), min_size=1, max_size=9)


@given(folders, folders, folders)
def test_the_next_command_is_what_a_shell_takes_for_the_same_words(out, manifest, split):
    said = fit._next(Path(out), Source(Path(manifest), split), Options((Path("my op.py"),)))
    words = ["evaluate", str(Path(out)), "--cohort", str(Path(manifest)), "--split", split]
    assert shlex.split(said) == ["midclass", *words, "--trust", "my op.py"]
    assert "./-x" in fit._next(Path("-x"), Source(Path("m.csv")), Options())


@pytest.mark.parametrize("name", ["東" * 200 + ".png", "a/b\\c:d*", "\udcff.png", "x" * 300, ".."])
def test_the_picture_of_any_case_has_a_name_that_file_systems_take(tmp_path, name):
    path = tmp_path / f"00000_{shown._file_name(name)}_not_assessed.png"
    path.write_bytes(b"")
    assert len(os.fsencode(path.name)) < 200


def test_a_library_that_warns_is_heard_without_its_path():
    code = (
        "import warnings, typer; from midclass.cli import app\n"
        "@app.app.command()\n"
        "def loud():\n"
        "    warnings.warn('a part\\nof it is old')\n"
        "import sys; sys.argv = ['midclass', 'loud']; app.main()"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(midclass.__file__).parents[1])}
    loud = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env)
    assert loud.stderr == "note: a part of it is old\n"


def test_a_terminal_without_the_letters_of_a_name_gets_their_numbers(tmp_path):
    env = {"PYTHONPATH": str(Path(midclass.__file__).parents[1]), "PYTHONIOENCODING": "ascii"}
    for more in ({}, {"LANG": "C", "LC_ALL": "C"}):
        command = [sys.executable, "-m", "midclass", "evaluate", "Übung", "--cohort", "x.csv"]
        said = subprocess.run(
            command, capture_output=True, cwd=tmp_path, env={**os.environ, **env, **more}
        )
        assert said.returncode == 2
        assert said.stderr.startswith(b"error: \\xdcbung: no saved detector")


# A study's log.


@pytest.mark.parametrize(
    "content", ["my notes", "my notes\n", "date,what\n1,2\n", "a/b/c,x,\n", "\0\n"]
)
def test_a_log_that_is_none_is_refused_and_stays(tmp_path, content):
    (tmp_path / LOG).write_text(content)
    with pytest.raises(InputError, match=r"log\.csv: is no log of a study"):
        check_log(tmp_path)
    assert (tmp_path / LOG).read_text() == content


def test_a_log_of_any_version_or_cut_short_is_one(tmp_path):
    check_log(tmp_path)
    for content in ("", "a/b/0,3,\n", "a/b/0,3,,hash,0.1\na/b/1,4,=1,h", "a/b/0,1"):
        (tmp_path / LOG).write_text(content)
        check_log(tmp_path)
    add_to_log(tmp_path, Outcome("a/b/2", 1.0, "=HYPERLINK(1)"))
    check_log(tmp_path)
    assert read_log(tmp_path)[-1].name == "a/b/2"
    assert "'=HYPERLINK" in (tmp_path / LOG).read_text()


def test_a_moment_is_enough_for_a_lock(tmp_path):
    began = time.monotonic()
    for _ in range(20):
        with claimed(Place(tmp_path / "out")):
            pass
    assert time.monotonic() - began < 5
