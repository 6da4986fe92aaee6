"""The command ``score``: its options."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from midclass.cli import early
from midclass.cli.options import (
    Cache,
    DateOfObjects,
    DetectorFolder,
    Engine,
    Jobs,
    Options,
    Overwrite,
    Root,
    Split,
    Trust,
)
from midclass.errors import InputError

if TYPE_CHECKING:
    from midclass.cli.dicomweb.images import ServerImages
    from midclass.images.cohort import Cohort

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
    dicomweb: Annotated[
        str | None,
        typer.Option(metavar="URL", help="DICOMweb server to take images from, instead of files."),
    ] = None,
    study: Annotated[
        list[str] | None,
        typer.Option(metavar="UID", help="Study of the server; may be repeated."),
    ] = None,
    series: Annotated[
        list[str] | None,
        typer.Option(metavar="UID", help="Of these studies this series alone; may be repeated."),
    ] = None,
    query: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ATTRIBUTE=VALUE",
            help="Studies of the server by an attribute, such as StudyDate=20261128; may be "
            "repeated.",
        ),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="File whose first line is the server's token.")
    ] = None,
    password_file: Annotated[
        Path | None, typer.Option(help="File whose first line is NAME:PASSWORD for the server.")
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Also images of which the server holds a report by DETECTOR."),
    ] = False,
    store: Annotated[
        bool, typer.Option("--store", help="Send what --dicom writes to the server.")
    ] = False,
    dicom: Annotated[
        Path | None,
        typer.Option(
            help="Folder for DICOM objects (report, segmentation, picture) about each DICOM image."
        ),
    ] = None,
    date: DateOfObjects = None,
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
    engine: Engine = "local",
    trust: Trust = None,
    cache: Cache = None,
    jobs: Jobs = None,
    overwrite: Overwrite = False,
) -> None:
    """Score images of unknown class.

    They are files, those of a manifest, or with --dicomweb those of a server (docs/dicomweb.md).
    Files that cannot be read, and cases that cannot be assessed, are listed at the end, and the
    exit code is then 1. With --engine ray every worker needs the same files under the same paths.
    """
    from midclass.cli.commands.source import cases_to_score

    early.refuse_absent(detector=detector)
    cases: Cohort | ServerImages
    if dicomweb is None:
        asked = (study, series, query, token_file, password_file, again, store)
        if any(asked):
            raise InputError(
                "--study, --series, --query, --token-file, --password-file, --again and --store "
                "are of a server; name it with --dicomweb URL"
            )
        cases = cases_to_score(files or (), cohort, split, part, root)
    else:
        if files or cohort or split or part or root:
            raise InputError(
                "--dicomweb takes images from a server; leave out FILES, --cohort, --split, --part "
                "and --root, or leave out --dicomweb"
            )
        cases = _of_server(
            dicomweb, (study or (), series or (), query or ()), again, token_file, password_file
        )
    from midclass.cli.commands import score

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
        store=store,
        engine=engine,
    )
    if not done:
        raise typer.Exit(1)


def _of_server(
    url: str,
    asked: tuple[Sequence[str], Sequence[str], Sequence[str]],
    again: bool,
    token_file: Path | None,
    password_file: Path | None,
) -> ServerImages:
    """The images of a server: studies, series, queries."""
    try:
        from midclass.cli.dicomweb.images import ServerImages
        from midclass.cli.dicomweb.server import DicomWeb
    except ImportError as error:
        raise InputError(
            f"--dicomweb needs {error.name}: pip install 'midclass[dicomweb]'"
        ) from None
    from midclass.cli.dicomweb.access import Access
    from midclass.cli.dicomweb.search import Search

    search = Search.of(*asked, again)
    return ServerImages(DicomWeb(Access.of(url, token_file, password_file)), search)
