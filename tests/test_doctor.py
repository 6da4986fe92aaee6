"""Doctor: what is wrong here is named with an answer, and what is right is not."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from makers import typed
from midclass import InputError
from midclass.cli.app import app
from midclass.cli.commands import doctor

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it along

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def found(look: object) -> tuple[dict[str, str], list[doctor.Trouble]]:
    """Facts by name, and problems."""
    every = list(look)  # type: ignore[call-overload]
    troubles = [one for one in every if isinstance(one, doctor.Trouble)]
    return dict(one for one in every if not isinstance(one, doctor.Trouble)), troubles


def test_every_extra_of_a_user_says_what_it_is_for() -> None:
    extras = tomllib.loads(PROJECT.read_text("utf-8"))["project"]["optional-dependencies"]
    assert set(extras) - set(doctor.OF_DEVELOPERS) <= set(doctor.EXTRAS)


def test_a_package_that_is_missing_is_named_with_the_command_that_brings_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor.keys, "DECODERS", ("numpy", "no-such-package"))
    monkeypatch.setattr(doctor, "extras", lambda: {"ray": ["no-such-ray"], "seg": ["numpy"]})
    facts, troubles = found(doctor._software())
    assert facts["no-such-package"] == "missing"
    assert [one.answer for one in troubles] == ["pip install no-such-package"]
    assert facts["extra ray"].startswith("not installed: pip install 'midclass[ray]'; for studies")
    assert facts["extra seg"].startswith("installed; for masks")


def test_more_threads_than_cores_are_a_problem_with_its_cure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor.torch, "get_num_threads", lambda: 8)
    monkeypatch.setattr(doctor, "_cores", lambda: 2)
    _, (trouble,) = found(doctor._processor())
    assert "8 threads, and this process may use 2 cores" in trouble.what
    assert trouble.answer.startswith("set OMP_NUM_THREADS=2")
    monkeypatch.setattr(doctor.torch, "get_num_threads", lambda: 2)
    assert found(doctor._processor())[1] == []
    monkeypatch.setenv("MIDCLASS_PRECISION", "half")
    assert [one.answer for one in found(doctor._processor())[1]] == ["unset MIDCLASS_PRECISION"]


def test_the_cache_is_told_with_what_is_in_it_and_how_to_empty_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts, troubles = found(doctor._cache(tmp_path / "none"))
    assert "nothing is kept" in facts["cache"]
    assert not troubles
    assert not (tmp_path / "none").exists()
    (tmp_path / "c").mkdir(0o700)
    facts, _ = found(doctor._cache(tmp_path / "c"))
    assert facts["cache"].startswith("0.0 MB of 0 cohorts in")
    assert "midclass cache --clear" in facts[""]
    monkeypatch.setattr(doctor, "LEAST_ROOM", 2**80)
    _, (trouble,) = found(doctor._cache(tmp_path / "c"))
    assert "are free where prepared images are kept" in trouble.what


def test_a_broken_installation_fails_its_self_test_at_the_step_that_is_broken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise InputError("no decoder")

    monkeypatch.setattr(doctor, "prepare", broken)
    facts, (trouble,) = found(doctor._self_test())
    assert facts["self-test"] == "failed: cannot prepare them"
    assert "no decoder" in trouble.what


@pytest.mark.slow
def test_the_command_finds_nothing_wrong_here_and_tells_what_is(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", "--cache", str(tmp_path / "cache")])
    assert done.exit_code == 0, done.output
    assert "saved, loaded: the same (" in " ".join(done.stdout.split())
    assert done.stdout.rstrip().endswith("nothing is wrong")
    assert list(tmp_path.iterdir()) == []


def test_the_command_ends_with_1_where_something_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_self_test", lambda: iter([doctor.Trouble("a", "b")]))
    done = CliRunner().invoke(app, ["doctor", "--json", "--quiet"])
    assert done.exit_code == 1
    assert done.stderr == "problem: a; b\n"
    said = json.loads(done.stdout)
    assert said["problems"] == [{"what": "a", "answer": "b"}]
    assert "torch" in dict(said["found"])


@pytest.mark.slow
def test_the_recipes_are_listed_by_the_names_that_commands_take(tmp_path: Path) -> None:
    done = typed("recipes", tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^chest_xray +normal +pneumonia *$", done.stdout, re.MULTILINE)
    assert "12 controls" in done.stdout
