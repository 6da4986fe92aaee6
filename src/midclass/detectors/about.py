"""About: what a page tells of a fitted detector, without weights and without single cases."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from midclass.detectors.base import Detector
from midclass.detectors.bounded import REMARKS
from midclass.detectors.folder import ABOUT
from midclass.detectors.saved import CHECKSUMS, known_id
from midclass.recipe.entry import Entry
from midclass.recipe.recipe import Recipe
from midclass.version import __version__

_UNITS = {"mm": "mm", "mm2": "mm²", "deg": "°", "hu": "HU"}
_KNOWN = {
    *("recipe", "calibration", "patient_calibration", "patient_fewer", "context", "plausible"),
    *("state", "folds"),
    CHECKSUMS,
}
"""Fields of a saved detector that are told in other words, or not."""


def about(detector: Detector, folder: Path) -> dict[str, Any]:
    """What a saved detector says of itself, ready for JSON.

    Args:
        detector: as read from the folder.
        folder: where it is saved.

    Returns:
        The fields of ``detector.json`` that are short (version, kind, cases and patients of each
        part, promised rate, threshold, seed and date where they are there), and ``id`` (see
        ``provenance.identity``), ``name`` of the folder, ``folds`` (how many), ``calibrated``
        (cases, patients), ``makes_heat_maps``, ``learns_knowledge``, ``histories`` (of each
        network that was trained) and ``recipe``, see ``in_words``.
    """
    fields = json.loads((folder / ABOUT).read_bytes())
    states = [fields, *(fields.get("folds") or [])]
    facts = [state["state"] for state in states if state.get("state")]
    told = [fact[name] for fact in facts for name in REMARKS if name in fact]
    return {name: value for name, value in fields.items() if name not in _KNOWN} | {
        "id": known_id(detector),
        "name": folder.resolve().name,
        "folds": len(fields.get("folds") or []),
        "calibrated": {
            "cases": len(detector.calibration_),
            "patients": len(detector.patient_calibration_),
        },
        "makes_heat_maps": detector.makes_heat_maps,
        "learns_knowledge": detector.learns_knowledge,
        "histories": [one for one in told if isinstance(one, Mapping) and "step" in one],
        "recipe": in_words(detector.recipe),
    }


def made_now() -> dict[str, Any]:
    """By what, and when, something is made, ready for JSON: nothing of the machine or its user."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    versions = {name: version(name) for name in ("torch", "monai", "numpy")}
    return {
        "date": now,
        "midclass": __version__,
        "versions": {"python": platform.python_version()} | versions,
    }


def in_words(recipe: Recipe) -> dict[str, Any]:
    """A recipe as people read it, ready for JSON.

    Returns:
        Its names and summary; ``knowledge``, a list of what it says of the disease and of what is
        held out, each with ``name``, ``kind``, ``made_of``, ``why`` and ``how``; and lines on
        images (``geometry``), ``anatomy``, ``accepts`` and ``nuisance``.

    >>> told = in_words(Recipe.load("head_ct"))
    >>> told["knowledge"][0]["how"], told["accepts"]
    ('bright; diameter 8 to 50 mm', 'CT; HEAD, BRAIN or SKULL; axial slices')
    """
    groups = (("middle class", recipe.middle_classes), ("held out", recipe.held_out))
    high, wide = recipe.geometry.size
    side = f"{recipe.geometry.roi_mm} mm"
    views = {
        "whole": "the whole image",
        "slices": "the whole slice (its score counts its neighbours in the series)",
        "roi": f"a square of {side}",
        "tiles": f"squares of {side} all over the anatomy, each",
    }
    spacing, field = recipe.geometry.spacing_mm, recipe.geometry.field_of_view_mm
    grid = f", {spacing:g} mm apart" if spacing else f" over {field:g} mm" if field else ""
    wanted = recipe.accepts
    planes = f"{_or(wanted.plane)} slices" if wanted.plane else ""
    parts = (", ".join(wanted.modality), _or(wanted.body_part), planes)
    names = ("name", "summary", "given_class", "target_class")
    return {name: getattr(recipe, name) for name in names} | {
        "knowledge": [
            {
                "name": name.replace("_", " "),
                "kind": kind,
                "made_of": entry.title,
                "why": entry.reason,
                "how": "; ".join(_how(entry)),
            }
            for kind, entries in groups
            for name, entry in entries.items()
        ],
        "geometry": f"{views[recipe.geometry.view]} on {high} x {wide} samples{grid}",
        "anatomy": ", or else ".join(recipe.anatomies),
        "accepts": "; ".join(part for part in parts if part),
        "nuisance": "; ".join(_said(name, v) for name, v in (recipe.nuisance or {}).items()),
    }


def _how(entry: Entry) -> list[str]:
    own = [_said(name, value) for name, value in entry.arguments.items()]
    return own + [said for part in entry.all_of or entry.one_of for said in _how(part)]


def _said(name: str, value: Any) -> str:
    """One argument of an operator: ``diameter_mm: [8, 50]`` as ``diameter 8 to 50 mm``."""
    if name == "sign" and isinstance(value, str):
        return value
    words, _, unit = name.rpartition("_")
    words, unit = (words, f" {_UNITS[unit]}") if unit in _UNITS else (name, "")
    values = value if isinstance(value, list | tuple) else [value]
    said = " to ".join(map(_plain, values))
    return f"{words.replace('_', ' ')} {said}{unit}".replace(" °", "°")


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _or(names: tuple[str, ...]) -> str:
    *first, last = names or ("",)
    return f"{', '.join(first)} or {last}" if first else last
