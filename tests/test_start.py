"""Start: a mistake is told before anything slow is imported, once arguments and files were seen."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TypeAlias

import pytest

WRONG = """
fit broken.yaml images
fit chest_xray
fit chest_xray images --cohort manifest.csv
fit chest_xray --cohort bad.csv
fit chest_xray --cohort targets.csv --out new
fit chest_xray --cohort manifest.csv --detector no_detector
fit chest_xray --cohort manifest.csv --out foreign
fit chest_xray --cohort manifest.csv --jobs 0
calibrate damaged --cohort manifest.csv
score damaged images --out new.csv
score damaged images --out taken.csv
score damaged images --date 2026-01-01
evaluate damaged --cohort manifest.csv
show chest_xray --out sheet.doc
check broken.yaml
check chest_xray --cohort bad.csv
monitor none scores.csv
study broken.yaml
report broken.yaml
demo --kind knee
no_command
"""
"""Commands as somebody types them, each with one mistake."""

CODE = """
import json, sys
from typer.testing import CliRunner
from midclass.cli.app import app

told = {}
commands, slow_modules = json.load(sys.stdin)
for words in commands:
    done = CliRunner().invoke(app, words)
    slow = [name for name in slow_modules if name in sys.modules]
    told[" ".join(words)] = done.exit_code, done.output, slow
    for name in slow:
        sys.modules.pop(name)
print(json.dumps(told))
"""


LINES = WRONG.strip().splitlines()
SLOW = ["torch", "scipy", "matplotlib", "sklearn"]
MISSING = {
    "fit no_recipe images": "no recipe 'no_recipe'",
    "fit no_recipe.yaml images": "no_recipe.yaml: no such recipe file",
    "fit chest_xray none": "none: is no folder",
    "fit chest_xray --cohort none.csv": "none.csv: no such file",
    "calibrate none --cohort manifest.csv": "none: no saved detector here",
    "calibrate damaged --cohort none.csv": "none.csv: no such file",
    "score none images": "none: no saved detector here",
    "score none --dicomweb http://127.0.0.1:9 --study 1": "none: no saved detector here",
    "score damaged none.png": "none.png: no such file or folder",
    "score damaged --cohort none.csv": "none.csv: no such file",
    "evaluate none --cohort manifest.csv": "none: no saved detector here",
    "evaluate damaged --cohort none.csv": "none.csv: no such file",
    "nuisance none --cohort manifest.csv": "none: no saved detector here",
    "nuisance damaged --cohort none.csv": "none.csv: no such file",
    "show no_recipe": "no recipe 'no_recipe'",
    "check chest_xray --cohort none.csv": "none.csv: no such file",
    "show chest_xray --cohort none.csv": "none.csv: no such file",
    "audit no_recipe": "no recipe 'no_recipe'",
    "audit chest_xray --cohort none.csv": "none.csv: no such file",
    "export damaged --onnx out.onnx --cohort none.csv": "none.csv: no such file",
    "export none --onnx out.onnx": "none: no saved detector here",
    "serve none": "none: no saved detector here",
    "monitor taken.csv --detector none": "none: no saved detector here",
    "monitor none.csv --detector damaged": "none.csv: no such score table",
    "study none.yaml": "none.yaml: no such study file",
    "study images": "images: is a folder, expected a study file",
    "report none.yaml": "none.yaml: no such study file",
    "view none": "none: is no folder",
    "manifest none": "none: is no folder",
}
"""Commands that name what does not exist or is a folder, and how what they say begins."""


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


Told: TypeAlias = dict[str, tuple[int, str, list[str]]]
"""Of each command its exit code, what it said, and which slow modules were imported."""


def told_in(folder: Path, lines: Iterable[str], slow: list[str]) -> Told:
    """What commands say, typed one after the other."""
    asked = [shlex.split(line) for line in lines]
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        input=json.dumps([asked, slow]),
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    found: Told = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def told(folder: Path) -> Told:
    """What is said of each mistake."""
    return told_in(folder, LINES, SLOW)


@pytest.fixture(scope="module")
def missing(folder: Path) -> Told:
    """What is said where something does not exist."""
    slow = ["numpy", "midclass.recipe.recipe", "midclass.detectors.saved"]
    return told_in(folder, MISSING, slow)


@pytest.mark.parametrize("line", LINES)
def test_a_mistake_is_told_before_anything_slow_is_imported(told: Told, line: str) -> None:
    code, said, slow = told[line]
    assert code == 2, said
    assert not slow, said


@pytest.mark.parametrize("line", MISSING)
def test_what_does_not_exist_is_told_before_numpy_and_recipes_are_imported(
    missing: Told, line: str
) -> None:
    code, said, slow = missing[line]
    assert code == 2, said
    assert f"error: {MISSING[line]}" in said
    assert not slow, said
