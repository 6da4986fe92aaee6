"""The command ``demo``: phantoms, sheet, fit and evaluation in minutes, without any data."""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from midclass.cli.commands.source import Source
from midclass.cli.console import say
from midclass.cli.options import Options
from midclass.cli.outputs import Place, claimed
from midclass.errors import InputError
from midclass.evaluation.page import PAGE
from midclass.files import write_text_atomic
from midclass.recipe.recipe import Recipe

RECIPES = {"breast": "phantoms", "head": "head_ct", "chest": "chest_xray"}
"""Kind of phantom -> the recipe for it."""


def run(
    kind: str,
    out: Path,
    seed: int,
    *,
    steps: int = 300,
    n_train: int = 300,
    n_test: int = 100,
    size: int = 96,
    max_fpr: float = 0.05,
) -> None:
    """Write phantoms, contact sheet, detector and evaluation into ``out``; print the figures.

    The recipe is a shipped one on smaller images, written to ``out`` to be looked at.

    Raises:
        InputError: unknown kind, or ``out`` holds something.
    """
    if kind not in RECIPES:
        raise InputError(f"no phantom kind {kind!r}; the kinds are {', '.join(RECIPES)}")
    with claimed(Place(out, "filled", empty=True)):
        try:
            _run(kind, out, seed, steps, n_train, n_test, size, max_fpr)
        except KeyboardInterrupt as stop:
            stop.args = (
                f"what was made is in {out}; remove it, or give another --out, to start anew",
            )
            raise


def _run(
    kind: str,
    out: Path,
    seed: int,
    steps: int,
    n_train: int,
    n_test: int,
    size: int,
    max_fpr: float,
) -> None:
    from midclass.cli.commands import evaluate, fit, show
    from midclass.images import phantoms

    manifest = phantoms.write(out / "phantoms", kind, seed, n_train, n_test, size=size)
    say(f"phantoms: {n_train} to learn from, {n_test} normal and {n_test} with a lesion to test on")
    recipe = _recipe(kind, out / f"{kind}.yaml", steps, size)
    cases, options = Source(manifest), Options(cache=out / "cache")
    sheet = out / "sheet.png"
    show.run(recipe, cases, options, out=sheet, seed=seed)
    detector = fit.run(recipe, cases, options, out=out / "detector", seed=seed, max_fpr=max_fpr)
    evaluate.run(detector, cases, options, out=out / "evaluation", sheet=sheet)
    shutil.rmtree(out / "cache")
    say(f"look at: {sheet}, and in a browser {out / 'evaluation' / PAGE}")


def _recipe(kind: str, path: Path, steps: int, size: int) -> str:
    whole = Recipe.load(RECIPES[kind]).to_dict()
    fields = {
        "extends": RECIPES[kind],
        "name": f"demo_{kind}",
        "summary": f"{RECIPES[kind]} on {kind} phantoms of {size} pixels.",
        "geometry": whole["geometry"] | {"size": [size, size]},
        "budget": whole["budget"] | {"steps": steps},
    }
    write_text_atomic(path, yaml.safe_dump(fields, sort_keys=False))
    return str(path)
