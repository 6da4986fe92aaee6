"""Commands on knowledge, before any training: ``show``, ``check``, ``audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midclass.cli import early
from midclass.cli.options import (
    Cache,
    GivenImages,
    Jobs,
    Options,
    Overwrite,
    Part,
    RecipeName,
    Root,
    Seed,
    Split,
    Trust,
)

# Bodies import what they need, so that --help needs neither torch nor matplotlib.


def show(
    recipe: RecipeName,
    cohort: GivenImages = None,
    split: Split = None,
    part: Part = None,
    root: Root = None,
    out: Annotated[Path, typer.Option(help="A .png, .svg or .pdf to write.")] = Path("sheet.png"),
    n: Annotated[int, typer.Option("--n", min=1, help="Number of images.")] = 6,
    seed: Seed = 0,
    trust: Trust = None,
    cache: Cache = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw what a recipe makes of given-class images."""
    from midclass.cli.commands.source import Source

    source = None if cohort is None else Source(cohort, split, part, root)
    options = Options.of(trust, cache, overwrite)
    early.check_format(out)
    early.check_recipe(recipe, source, options)
    from midclass.cli.commands import show

    show.run(recipe, source, options, out=out, n=n, seed=seed)


def check(
    recipe: RecipeName,
    cohort: GivenImages = None,
    split: Split = None,
    part: Part = None,
    root: Root = None,
    trust: Trust = None,
    seed: Seed = 0,
) -> None:
    """Check that a recipe's operators and its anatomy keep what they promise.

    Prints tables, and a line for each broken promise; the exit code is then 1.
    """
    from midclass.cli.commands.source import Source

    source = None if cohort is None else Source(cohort, split, part, root)
    options = Options.of(trust)
    early.check_recipe(recipe, source, options)
    from midclass.cli.commands import check

    if not check.run(recipe, source, options, seed=seed):
        raise typer.Exit(1)


def audit(
    recipe: RecipeName,
    cohort: GivenImages = None,
    split: Split = None,
    part: Part = None,
    root: Root = None,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
    outlines: Annotated[
        Path | None,
        typer.Option(
            help="Picture (.png, .svg, .pdf) of the twelve worst outlines; beside --out by default."
        ),
    ] = None,
    n: Annotated[int, typer.Option("--n", min=20, help="Number of images at most.")] = 200,
    seed: Seed = 0,
    trust: Trust = None,
    cache: Cache = None,
    overwrite: Overwrite = False,
    jobs: Jobs = None,
) -> None:
    """Ask before training whether a recipe's knowledge is usable."""
    from midclass.cli.commands.source import Source

    source = None if cohort is None else Source(cohort, split, part, root)
    options = Options.of(trust, cache, overwrite, jobs=jobs)
    early.check_recipe(recipe, source, options)
    from midclass.cli.commands import audit

    audit.run(recipe, source, options, out=out, outlines=outlines, n=n, seed=seed)
