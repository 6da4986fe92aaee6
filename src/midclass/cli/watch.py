"""Commands beside the work: ``monitor``, ``doctor``, ``recipes``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midclass.cli import early
from midclass.cli.options import Cache, Options, Overwrite, Trust

# Bodies import what they need, so that --help needs neither torch nor matplotlib.


def monitor(
    tables: Annotated[
        list[Path], typer.Argument(metavar="SCORES...", help="Score tables of midclass score.")
    ],
    detector: Annotated[Path, typer.Option(help="Folder of the detector that made them.")],
    dates: Annotated[
        str | None,
        typer.Option(
            help="Column of dates (YYYY-MM-DD), for a row a week; by default date, where all "
            "tables have it, or else each table is a row."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="CSV to write.")] = Path("monitor.csv"),
    trust: Trust = None,
    overwrite: Overwrite = False,
) -> None:
    """Say whether new cases still look like those that set a threshold.

    Compares flags with the promise, p-values with what they should be, and how many are not
    assessed, by table or week. Where they differ, the exit code is 1.
    """
    early.check_tables(tables)
    early.check_detector(detector)
    from midclass.cli.commands import monitor

    options = Options.of(trust, None, overwrite)
    if not monitor.run(tables, detector, options, out=out, dates=dates):
        raise typer.Exit(1)


def doctor(cache: Cache = None) -> None:
    """Look at this machine and this installation, and try midclass for ten seconds.

    Says what is installed, what is missing and what for, where prepared images are kept, and an
    answer for each problem found; the exit code is then 1.
    """
    from midclass.cli.commands import doctor

    if not doctor.run(cache):
        raise typer.Exit(1)


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(help="Print this one: midclass recipes blank > mine.yaml"),
    ] = None,
) -> None:
    """List the recipes that come with midclass, or print one to begin your own with."""
    from midclass.cli.commands import recipes

    recipes.run(name)
