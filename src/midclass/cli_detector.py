"""Commands on detectors: ``fit``, ``score``, ``evaluate``, ``nuisance``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midclass.cli_options import (
    Cache,
    Detector,
    Manifest,
    Out,
    Overwrite,
    Part,
    Recipe,
    Root,
    Seed,
    Split,
    Trust,
)

# Bodies import what they need, so that --help needs neither torch nor matplotlib.


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
    positives: Annotated[
        int, typer.Option(min=0, help="Learn from so many target-class cases of the part too.")
    ] = 0,
    trust: Trust = None,
    cache: Cache = None,
    overwrite: Overwrite = False,
) -> None:
    """Learn from given-class images; save a detector.

    Uses cases with label 0, and as many with label 1 as asked for. Interrupted, the same command
    goes on from its last checkpoint.
    """
    from midclass import commands

    commands.fit(
        recipe,
        commands.Source(cohort, split, part, root),
        out=out,
        seed=seed,
        max_fpr=max_fpr,
        detector=detector,
        positives=positives,
        trust=trust or (),
        cache=cache,
        overwrite=overwrite,
    )


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


def nuisance(
    detector: Detector,
    cohort: Manifest,
    split: Split = None,
    part: Part = None,
    root: Root = None,
    out: Annotated[Path, typer.Option(help="Score table to write.")] = Path("nuisance.csv"),
    n: Annotated[int, typer.Option("--n", min=2, help="Number of cases at most.")] = 150,
    seed: Seed = 0,
    trust: Trust = None,
    cache: Cache = None,
    overwrite: Overwrite = False,
) -> None:
    """Count a detector's false alarms under each single nuisance."""
    from midclass import commands, commands_nuisance

    source = commands.Source(cohort, split, part, root)
    commands_nuisance.run(
        detector, source, out, n, seed, trust=trust or (), cache=cache, overwrite=overwrite
    )
