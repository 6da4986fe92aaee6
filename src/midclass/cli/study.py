"""Commands on studies: ``study``, ``report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midclass.cli.options import Cache, Engine, Options, Trust
from midclass.files import refuse_no_file


def study(
    file: Annotated[Path, typer.Argument(metavar="STUDY", help="A study file, study.yaml.")],
    data: Annotated[
        Path, typer.Option(help="Folder to which the study's manifests are relative.")
    ] = Path(),
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; by default that of the study file.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Cells at once, one thread each.")] = 1,
    engine: Engine = "local",
    trust: Trust = None,
    cache: Cache = None,
) -> None:
    """Fit and score tasks x detectors x repeats; one score table each.

    Finished cells are kept: interrupted, the same command goes on.
    """
    refuse_no_file(file, "study file")
    from midclass.cli.commands import study

    options = Options.of(trust, cache)
    if not study.run(file, data, options, out=out, jobs=jobs, engine=engine):
        raise typer.Exit(1)


def report(
    file: Annotated[Path, typer.Argument(metavar="STUDY", help="A study file, study.yaml.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder with the study's scores; by default that of the study file."),
    ] = None,
    ours: Annotated[
        str, typer.Option(help="The detector that the others are compared with.")
    ] = "middle_class",
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit code 1 where RESULTS.md differs.")
    ] = False,
) -> None:
    """Write RESULTS.md, figures and a page of a study, all from its score tables."""
    refuse_no_file(file, "study file")
    from midclass.study.file import Study

    Study.load(file)  # matplotlib takes its time
    from midclass.cli.commands import report

    if not report.run(file, out=out, ours=ours, check=check):
        raise typer.Exit(1)
