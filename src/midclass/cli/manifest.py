"""Command on folders as they are: ``manifest``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midclass.cli.options import Cache, Key, Overwrite, Patients, Seed, one_of
from midclass.files import refuse_no_folder


def manifest(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Images, with all its subfolders.")
    ],
    out: Annotated[Path, typer.Option(help="CSV file to write.")] = Path("manifest.csv"),
    labels_by_folder: Annotated[
        bool, typer.Option("--labels-by-folder", help="The first folder on the way is the class.")
    ] = False,
    labels: Annotated[
        Path | None, typer.Option(help="CSV file with labels, such as an export of the RIS.")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(
            help="What its rows are known by: AccessionNumber, PatientID or another attribute, "
            "path or file; COLUMN=AccessionNumber where the column has another name."
        ),
    ] = None,
    label_column: Annotated[
        str | None, typer.Option(help="Its column of labels; by default label.")
    ] = None,
    given_class: Annotated[
        bool, typer.Option("--given-class", help="All images are of the given class.")
    ] = False,
    given: Annotated[
        list[str] | None,
        typer.Option(help="A name of the given class, by default normal, healthy, ...; repeated."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="Condition on the header, such as Modality=CR,DX or KVP>=100, or plane=axial; "
            "all must hold."
        ),
    ] = None,
    patients: Patients = "header",
    key: Key = None,
    test: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=0.99,
            help="Share of normal patients to test with; by default 0.2, and 0 where there is no "
            "target class.",
        ),
    ] = None,
    positives: Annotated[
        int,
        typer.Option(min=0, help="Patients of the target class to learn from: fit --positives."),
    ] = 0,
    repeats: Annotated[
        int, typer.Option(min=1, help="So many divisions, in columns repeat_0, repeat_1, ...")
    ] = 1,
    divide: Annotated[
        bool, typer.Option("--divide", help="Divide, although folders are called train and test.")
    ] = False,
    seed: Seed = 0,
    duplicates: Annotated[
        str,
        typer.Option(
            metavar="drop|tell|skip",
            autocompletion=one_of("drop", "tell", "skip"),
            help="The same image under two patients: leave the second out, or only tell; skip "
            "reads no pixels at all.",
        ),
    ] = "drop",
    cache: Cache = None,
    overwrite: Overwrite = False,
) -> None:
    """Make a manifest of a folder of DICOM files or pictures.

    Says what was left out, and lists it in OUT.left_out.csv. Names and dates of birth are written
    nowhere, numbers only as hashes by a key of yours. Where files are damaged or labels contradict
    each other, the exit code is 1.
    """
    refuse_no_folder(folder, "give one with images")
    from midclass.cli.commands import manifest
    from midclass.cli.options import Options

    asked = manifest.Asked(
        labels_by_folder=labels_by_folder,
        labels=labels,
        on=on,
        label_column=label_column,
        given_class=given_class,
        given=tuple(given or ()),
        where=tuple(where or ()),
        patients=patients,
        key=key,
        test=test,
        positives=positives,
        repeats=repeats,
        divide=divide,
        seed=seed,
        duplicates=duplicates,
    )
    if not manifest.run(folder, asked, Options.of(None, cache, overwrite), out=out):
        raise typer.Exit(1)
