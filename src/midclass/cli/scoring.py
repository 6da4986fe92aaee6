"""The command ``score``: its options."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from midclass.cli.options import (
    Cache,
    DetectorFolder,
    Jobs,
    Options,
    Overwrite,
    Root,
    Split,
    Trust,
)

# The body imports what it needs, so that --help needs neither torch nor matplotlib.


def score(
    detector: DetectorFolder,
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
    dicom: Annotated[
        Path | None,
        typer.Option(
            help="Folder for DICOM objects (report, segmentation, picture) about each DICOM image."
        ),
    ] = None,
    date: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Date of the DICOM objects; by default now."),
    ] = None,
    max_fpr: Annotated[
        float | None,
        typer.Option(help="False-alarm rate of the flags; by default that promised by fit."),
    ] = None,
    equipment: Annotated[
        bool,
        typer.Option(
            "--equipment",
            help="Add week, device and spacing from DICOM headers, for monitor; dates are told by "
            "their week alone.",
        ),
    ] = False,
    leave_not_assessed: Annotated[
        bool,
        typer.Option(
            "--leave-not-assessed",
            help="Do not send cases that cannot be assessed to a person.",
        ),
    ] = False,
    trust: Trust = None,
    cache: Cache = None,
    jobs: Jobs = None,
    overwrite: Overwrite = False,
) -> None:
    """Score images of unknown class.

    Files that cannot be read, and cases that cannot be assessed, are listed at the end, and the
    exit code is then 1.
    """
    from midclass.cli.commands import score
    from midclass.cli.commands.source import cases_to_score

    cases = cases_to_score(files or (), cohort, split, part, root)
    options = Options.of(trust, cache, overwrite, jobs)
    done = score.run(
        detector,
        cases,
        options,
        out=out,
        heat_maps=heat_maps,
        not_assessed="leave" if leave_not_assessed else "review",
        max_fpr=max_fpr,
        dicom=dicom,
        date=date,
        equipment=equipment,
    )
    if not done:
        raise typer.Exit(1)
