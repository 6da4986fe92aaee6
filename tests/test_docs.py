"""Documents: the site has no broken link, and what is to be typed exists."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from midclass import Recipe
from midclass.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def typed(page: Path) -> Iterator[list[str]]:
    """The words of each midclass command in a block of a page, without what is said of it."""
    for _, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines():
            words = line.partition(" #")[0].removeprefix("$ ").split()
            if words[:1] == ["midclass"] and len(words) > 1:
                yield words[1:]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page_and_their_options_exist(page: Path) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, *words in typed(page):
        assert name in commands or name == "--help", f"{page.name}: midclass {name}"
        known = {"--help"} | {o for p in commands[name].params for o in p.opts}
        given = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert given <= known, f"{page.name}: midclass {name} {given - known}"


def test_the_pages_hold_commands_to_check() -> None:
    assert sum(len(list(typed(page))) for page in PAGES) > 10


def test_the_recipe_of_the_tutorial_is_one(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    (block,) = [text for kind, text in BLOCK.findall(text) if kind == "yaml"]
    (tmp_path / "recipe.yaml").write_text(block, encoding="utf-8")
    recipe = Recipe.load(tmp_path / "recipe.yaml")
    recipe.check()
    assert list(recipe.operators()) == ["bleed"]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("mkdocs") is None, reason="extra docs not installed")
def test_the_site_is_built_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = list(tmp_path.rglob("*.html"))
    assert len(pages) > 10
    loads = re.compile(r'<(?:script|link|img)[^>]*(?:src|href)="https?://[^"]*"')
    assert not [found for page in pages for found in loads.findall(page.read_text("utf-8"))]
