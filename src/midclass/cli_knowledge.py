"""Commands on knowledge, before any training: ``show``, ``check``, ``audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midclass.cli_options import Cache, GivenImages, Part, Recipe, Root, Seed, Split, Trust

# Bodies import what they need, so that --help needs neither torch nor matplotlib.


def show(
    recipe: Recipe,
    manifest: Annotated[
        Path | None, typer.Argument(metavar="[MANIFEST]", help="The same as --cohort.")
    ] = None,
    cohort: GivenImages = None,
    split: Split = None,
    part: Part = None,
    root: Root = None,
    out: Annotated[Path, typer.Option(help="A .png, .svg or .pdf to write.")] = Path("sheet.png"),
    n: Annotated[int, typer.Option("--n", min=1, help="Number of images.")] = 6,
    seed: Seed = 0,
    trust: Trust = None,
    cache: Cache = None,
) -> None:
    """Draw what a recipe makes of given-class images."""
    from midclass import commands

    where = cohort or manifest
    source = None if where is None else commands.Source(where, split, part, root)
    commands.show(recipe, source, out=out, n=n, seed=seed, trust=trust or (), cache=cache)


def check(recipe: Recipe, trust: Trust = None, seed: Seed = 0) -> None:
    """Check that a recipe's operators keep what every operator promises.

    Prints a table, and a line for each broken promise; the exit code is then 1.
    """
    from midclass import checking

    if not checking.check(recipe, trust=trust or (), seed=seed):
        raise typer.Exit(1)


def audit(
    recipe: Recipe,
    cohort: GivenImages = None,
    split: Split = None,
    part: Part = None,
    root: Root = None,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    n: Annotated[int, typer.Option("--n", min=20, help="Number of images at most.")] = 200,
    seed: Seed = 0,
    trust: Trust = None,
    cache: Cache = None,
) -> None:
    """Ask before training whether a recipe's knowledge is usable."""
    from midclass import commands, commands_audit

    source = None if cohort is None else commands.Source(cohort, split, part, root)
    commands_audit.run(recipe, source, out=out, n=n, seed=seed, trust=trust or (), cache=cache)
