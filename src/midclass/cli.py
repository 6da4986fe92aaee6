"""The command line: ``midclass demo | show | check | fit | score | evaluate``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from typer.core import TyperGroup

from midclass import __version__
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

Recipe: TypeAlias = Annotated[
    str, typer.Argument(metavar="RECIPE", help="A shipped recipe by name, or a .yaml file.")
]
Detector: TypeAlias = Annotated[
    Path, typer.Argument(metavar="DETECTOR", help="Folder written by fit.")
]
Manifest: TypeAlias = Annotated[
    Path, typer.Option("--cohort", help="Manifest: a CSV file with a case a row.")
]
Split: TypeAlias = Annotated[
    str | None,
    typer.Option(help="Column with the parts of a split, or FILE.csv:COLUMN beside the manifest."),
]
Part: TypeAlias = Annotated[
    str | None, typer.Option(help="Part of the split; by default train to fit, test to evaluate.")
]
Root: TypeAlias = Annotated[
    Path | None, typer.Option(help="Folder to which the manifest's paths are relative.")
]
Out: TypeAlias = Annotated[Path | None, typer.Option(help="Folder to write.")]
Seed: TypeAlias = Annotated[int, typer.Option(min=0, help="Seed of everything random.")]
Cache: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Folder of prepared images; by default $MIDCLASS_CACHE or the user's cache."),
]
Trust: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(help="A .py file that the recipe names and that may run; may be repeated."),
]
Overwrite: TypeAlias = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


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


@app.command()
def fit(
    recipe: Recipe,
    cohort: Manifest,
    split: Split = None,
    part: Part = None,
    root: Root = None,
    out: Out = None,
    seed: Seed = 0,
    max_fpr: Annotated[float, typer.Option(help="False-alarm rate to promise.")] = 0.05,
    detector: Annotated[str, typer.Option(help="The method or a baseline.")] = "middle_class",
    trust: Trust = None,
    cache: Cache = None,
    overwrite: Overwrite = False,
) -> None:
    """Learn from given-class images; save a detector.

    Uses cases with label 0 only. Interrupted, the same command goes on from its last checkpoint.
    """
    from midclass import commands

    commands.fit(
        recipe,
        commands.Source(cohort, split, part, root),
        out=out,
        seed=seed,
        max_fpr=max_fpr,
        detector=detector,
        trust=trust or (),
        cache=cache,
        overwrite=overwrite,
    )


@app.command()
def score(
    detector: Detector,
    files: Annotated[
        list[Path] | None, typer.Argument(metavar="[FILES]...", help="Images or folders of them.")
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option(help="Manifest instead of files; needs no labels.")
    ] = None,
    split: Split = None,
    part: Annotated[str | None, typer.Option(help="Part of the split; by default all.")] = None,
    root: Root = None,
    out: Annotated[Path, typer.Option(help="Score table to write.")] = Path("scores.csv"),
    heat_maps: Annotated[
        Path | None, typer.Option(help="Folder for a picture of each image with its heat map.")
    ] = None,
    trust: Trust = None,
    cache: Cache = None,
    overwrite: Overwrite = False,
) -> None:
    """Score images of unknown class.

    Files that cannot be read are listed at the end, and the exit code is then 1.
    """
    from midclass import commands

    cases = commands.cases_to_score(files or (), cohort, split, part, root)
    all_read = commands.score(
        detector,
        cases,
        out=out,
        heat_maps=heat_maps,
        trust=trust or (),
        cache=cache,
        overwrite=overwrite,
    )
    if not all_read:
        raise typer.Exit(1)


@app.command()
def evaluate(
    detector: Detector,
    cohort: Manifest,
    split: Split = None,
    part: Part = None,
    root: Root = None,
    out: Out = None,
    trust: Trust = None,
    cache: Cache = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure a detector on labelled, unseen images.

    Patients and images that it was fitted with are refused.
    """
    from midclass import commands

    source = commands.Source(cohort, split, part, root)
    commands.evaluate(
        detector, source, out=out, trust=trust or (), cache=cache, overwrite=overwrite
    )


@app.command()
def show(
    recipe: Recipe,
    manifest: Annotated[
        Path | None, typer.Argument(metavar="[MANIFEST]", help="The same as --cohort.")
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option(help="Manifest; generated phantoms without one.")
    ] = None,
    split: Split = None,
    part: Part = None,
    root: Root = None,
    out: Annotated[Path, typer.Option(help="PNG to write.")] = Path("sheet.png"),
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


@app.command()
def check(recipe: Recipe, trust: Trust = None, seed: Seed = 0) -> None:
    """Check that a recipe's operators keep what every operator promises.

    Prints a table, and a line for each broken promise; the exit code is then 1.
    """
    from midclass import checking

    if not checking.check(recipe, trust=trust or (), seed=seed):
        raise typer.Exit(1)


@app.command()
def demo(
    kind: Annotated[str, typer.Option(help="head, chest or breast.")] = "head",
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo"),
    seed: Seed = 0,
) -> None:
    """Try it all on phantoms, in a few minutes."""
    from midclass.demo import demo

    demo(kind, out, seed)
