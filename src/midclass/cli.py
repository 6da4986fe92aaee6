"""The command line: what is known, a detector, studies; one function a command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from midclass import __version__
from midclass.cli_detector import evaluate, fit, nuisance, score
from midclass.cli_knowledge import audit, check, show
from midclass.cli_options import Cache, Seed, Trust
from midclass.errors import InputError

# Bodies import what they need, so that --help needs neither torch nor matplotlib.


class _Group(TyperGroup):
    """What the user can put right is one line on stderr, not a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt as stop:
            what = str(stop) or "nothing was written; type the same command again"
            typer.echo(f"interrupted: {what}", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Group,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Knowledge-guided one-class classification for imbalanced medical images.",
)


def main() -> None:
    """Entry point."""
    # Waiting threads sleep instead of spinning; else two processes slow each other many times.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(prog_name="midclass")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"midclass {__version__}")
        raise typer.Exit


@app.callback()
def _midclass(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_version),
    ] = False,
) -> None:
    pass


def demo(
    kind: Annotated[str, typer.Option(help="head, chest or breast.")] = "head",
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo"),
    seed: Seed = 0,
) -> None:
    """Try it all on phantoms, in a few minutes."""
    from midclass.demo import demo

    demo(kind, out, seed)


def study(
    file: Annotated[Path, typer.Argument(metavar="STUDY", help="A study file, study.yaml.")],
    data: Annotated[
        Path, typer.Option(help="Folder to which the study's manifests are relative.")
    ] = Path(),
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; by default that of the study file.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Cells at once, one thread each.")] = 1,
    engine: Annotated[
        str, typer.Option(help="local (processes), or ray (the cluster at RAY_ADDRESS, or here).")
    ] = "local",
    trust: Trust = None,
    cache: Cache = None,
) -> None:
    """Fit and score tasks x detectors x repeats; one score table each.

    Finished cells are kept: interrupted, the same command goes on.
    """
    from midclass import study

    done = study.study(
        file, data, out=out, jobs=jobs, engine=engine, trust=trust or (), cache=cache
    )
    if not done:
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
    """Write RESULTS.md and figures of a study, all from its score tables."""
    from midclass import study_report

    if not study_report.report(file, out=out, ours=ours, check=check):
        raise typer.Exit(1)


for command in (demo, show, check, audit, fit, score, evaluate, nuisance, study, report):
    app.command()(command)
