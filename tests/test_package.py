"""What is handed out: licences of what is required, and the version."""

from __future__ import annotations

import re
import sys
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

import midclass

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest brings it along

ROOT = Path(__file__).resolve().parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
REQUIRED = sorted(re.match(r"[\w.-]+", line)[0] for line in PROJECT["dependencies"])
GPL = re.compile(r"(?<!L)GPL|GNU (Affero )?General Public", re.IGNORECASE)


def licence(package: str) -> str:
    """What an installed package says of its own licence, in the first field that says it."""
    about = metadata(package)
    kinds = [c for c in about.get_all("Classifier") or [] if c.startswith("License ::")]
    first_line = (about["License"] or "").partition("\n")[0]
    return about["License-Expression"] or "; ".join(kinds) or first_line


@pytest.mark.parametrize("package", REQUIRED)
def test_no_required_package_is_under_a_gpl_licence(package: str) -> None:
    says = licence(package)
    assert says, f"{package} does not say its licence"
    assert not GPL.search(says), f"{package}: {says}"


def test_a_gpl_licence_is_told_from_lgpl_and_permissive_ones() -> None:
    for says in ("GPL-3.0-or-later", "GPL V3.0", "AGPL-3.0", "GNU General Public License v3"):
        assert GPL.search(says), says
    for says in ("LGPL-2.1", "MIT AND BSD-3-Clause", "GNU Lesser General Public License v3"):
        assert not GPL.search(says), says


def test_the_citation_has_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    assert citation["version"] == midclass.__version__


def test_the_oldest_versions_that_are_tried_are_the_lower_bounds() -> None:
    bounds = {re.split(r"[>=]+", line)[0]: line.split(">=")[1] for line in PROJECT["dependencies"]}
    pins = (ROOT / "constraints-oldest.txt").read_text("utf-8").splitlines()
    tried = dict(line.split("==") for line in pins if not line.startswith("#"))
    assert tried.keys() == bounds.keys()
    for package, version in tried.items():
        assert (version + ".").startswith(bounds[package] + "."), package


def test_every_tool_of_development_is_pinned() -> None:
    pins = (ROOT / "constraints.txt").read_text("utf-8").lower()
    for line in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"]):
        name = re.split(r"[>=]+", line)[0].lower()
        assert f"\n{name}==" in pins, name
