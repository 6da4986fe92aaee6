"""Start: a mistake is told before anything slow is imported, once arguments and files were seen."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

WRONG = """
fit no_recipe images
fit broken.yaml images
fit chest_xray
fit chest_xray none
fit chest_xray images --cohort manifest.csv
fit chest_xray --cohort none.csv
fit chest_xray --cohort bad.csv
fit chest_xray --cohort targets.csv --out new
fit chest_xray --cohort manifest.csv --detector no_detector
fit chest_xray --cohort manifest.csv --out foreign
fit chest_xray --cohort manifest.csv --jobs 0
calibrate none --cohort manifest.csv
calibrate damaged --cohort manifest.csv
score none images
score damaged images --out new.csv
score damaged none.png
score damaged images --out taken.csv
score damaged images --date 2026-01-01
evaluate none --cohort manifest.csv
evaluate damaged --cohort manifest.csv
nuisance none --cohort manifest.csv
nuisance damaged --cohort none.csv
show no_recipe
show chest_xray --out sheet.doc
check broken.yaml
check chest_xray --cohort bad.csv
audit no_recipe
audit chest_xray --cohort none.csv
export none --onnx out.onnx
serve none
monitor none scores.csv
study none.yaml
study broken.yaml
report broken.yaml
view none
demo --kind knee
manifest none
no_command
"""
"""Commands as somebody types them, each with one mistake."""

CODE = """
import json, sys
from typer.testing import CliRunner
from midclass.cli.app import app

told, (commands, slow_modules) = {}, json.load(sys.stdin)
for words in commands:
    done = CliRunner().invoke(app, words)
    slow = [name for name in slow_modules if name in sys.modules]
    told[" ".join(words)] = done.exit_code, done.output, slow
    for name in slow:
        sys.modules.pop(name)
print(json.dumps(told))
"""


SLOW = ["torch", "scipy", "matplotlib", "sklearn"]
MISSING = """
fit no_recipe images
fit no_recipe.yaml images
fit chest_xray none
fit chest_xray --cohort none.csv
calibrate none --cohort manifest.csv
score foreign none.png
score foreign --cohort none.csv
evaluate none --cohort manifest.csv
nuisance none --cohort manifest.csv
show no_recipe
check chest_xray --cohort none.csv
audit no_recipe
export none --onnx out.onnx
serve none
monitor scores.csv --detector none
study none.yaml
report none.yaml
view none
manifest none
"""
"""Commands with a name of nothing."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are typed."""
    folder = tmp_path_factory.mktemp("start")
    for name in ("images", "foreign", "damaged"):
        (folder / name).mkdir()
    for name in ("images/a.png", "foreign/thesis.doc", "taken.csv"):
        (folder / name).write_bytes(b"\x89PNG\r\n\x1a\n")
    for name in ("detector.json", "weights.safetensors"):
        (folder / "damaged" / name).write_text("{")
    (folder / "broken.yaml").write_text("name: [")
    (folder / "manifest.csv").write_text("path,label\nimages/a.png,0\n")
    (folder / "targets.csv").write_text("path,label\nimages/a.png,1\n")
    (folder / "bad.csv").write_text("file,what\na,b\n")
    return folder


def told_in(folder: Path, lines: str, slow: list[str]) -> dict[str, tuple[int, str, list[str]]]:
    """Of each command its exit code, what it said, and which slow modules were imported."""
    asked = [shlex.split(line) for line in lines.strip().splitlines()]
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=json.dumps([asked, slow]),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, tuple[int, str, list[str]]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def told(folder: Path) -> dict[str, tuple[int, str, list[str]]]:
    """Of each mistake."""
    return told_in(folder, WRONG, SLOW)


@pytest.mark.parametrize("line", WRONG.strip().splitlines())
def test_a_mistake_is_told_before_anything_slow_is_imported(
    told: dict[str, tuple[int, str, list[str]]], line: str
) -> None:
    code, said, slow = told[line]
    assert code == 2, said
    assert not slow, said


def test_that_nothing_is_there_is_told_before_numpy_and_recipes_are_imported(folder: Path) -> None:
    slow = ["numpy", "midclass.recipe.recipe", "midclass.detectors.saved"]
    for line, (code, said, imported) in told_in(folder, MISSING, slow).items():
        assert code == 2, (line, said)
        assert re.search(r"no such|no recipe|is no folder|no saved detector", said), (line, said)
        assert not imported, line
