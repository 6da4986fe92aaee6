"""The command line: what is known, a detector, studies; one function a command."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from midclass.cli.cache import cache
from midclass.cli.detector import evaluate, fit, nuisance, score
from midclass.cli.knowledge import audit, check, show
from midclass.cli.options import Seed
from midclass.cli.study import report, study
from midclass.errors import InputError
from midclass.version import __version__


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
    from midclass.cli.commands import demo

    demo.run(kind, out, seed)


for command in (demo, show, check, audit, fit, score, evaluate, nuisance, study, report, cache):
    app.command()(command)
