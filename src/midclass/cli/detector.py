"""On detectors: ``fit``, ``calibrate``, ``evaluate``, ``view``, ``nuisance``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from midclass.cli import early
from midclass.cli.options import (
    DETECTORS,
    Cache,
    DetectorFolder,
    Jobs,
    Key,
    Manifest,
    Options,
    Overwrite,
    Part,
    Patients,
    RecipeName,
    Root,
    Seed,
    Split,
    Trust,
    one_of,
)

# Bodies import what they need, so that --help needs neither torch nor matplotlib.


def fit(
    recipe: RecipeName,
    folder: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FOLDER]", help="Images that are all of the given class, or --cohort."
        ),
    ] = None,
    cohort: Annotated[
        Path | None, typer.Option(help="Manifest: a CSV file with a case a row.")
    ] = None,
    split: Split = None,
    part: Part = None,
    root: Root = None,
    out: Annotated[Path | None, typer.Option(help="Folder to write, else runs/RECIPE.")] = None,
    seed: Seed = 0,
    max_fpr: Annotated[float, typer.Option(help="False-alarm rate to promise.")] = 0.05,
    folds: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Learn so many times, each time without the cases that then calibrate; by default "
            "only where a fifth held out is too few for the rate. 0: never.",
        ),
    ] = None,
    detector: Annotated[
        str,
        typer.Option(
            help=f"The method, or a baseline: {', '.join(DETECTORS[1:])}.",
            autocompletion=one_of(*DETECTORS),
        ),
    ] = "middle_class",
    positives: Annotated[
        int, typer.Option(min=0, help="Learn from so many target-class cases of the part too.")
    ] = 0,
    duplicates: Annotated[
        str,
        typer.Option(
            metavar="tell|drop|refuse",
            autocompletion=one_of("tell", "drop", "refuse"),
            help="What to do about the same image under two patients.",
        ),
    ] = "tell",
    patients: Patients = "header",
    key: Key = None,
    trust: Trust = None,
    cache: Cache = None,
    jobs: Jobs = None,
    overwrite: Overwrite = False,
) -> None:
    """Learn from given-class images; save a detector.

    Of a manifest it uses cases with label 0, and as many with label 1 as asked for. Interrupted,
    the same command goes on from its last checkpoint. Images that are in two parts of the split are
    refused, and near copies told, before any work. --patients and --key are of a folder.
    """
    from midclass.cli.commands.source import source_of_normals

    early.refuse_absent(recipe=recipe)
    source = source_of_normals(folder, cohort, split, part, root, patients, key)
    from midclass.cli.commands import fit

    fit.run(
        recipe,
        source,
        Options.of(trust, cache, overwrite, jobs),
        out=out,
        seed=seed,
        max_fpr=max_fpr,
        folds=folds,
        detector=detector,
        positives=positives,
        duplicates=duplicates,
    )


def calibrate(
    detector: DetectorFolder,
    cohort: Manifest,
    split: Split = None,
    part: Part = None,
    root: Root = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; by default DETECTOR_local.")
    ] = None,
    max_fpr: Annotated[
        float | None, typer.Option(help="False-alarm rate to promise; by default that of before.")
    ] = None,
    unlabelled: Annotated[
        bool,
        typer.Option(
            "--unlabelled",
            help="Nobody knows which cases are normal: move the threshold as far as scores tell.",
        ),
    ] = False,
    trust: Trust = None,
    cache: Cache = None,
    jobs: Jobs = None,
    overwrite: Overwrite = False,
) -> None:
    """Set a detector's threshold anew, with normals of another hospital.

    Uses cases with label 0 that the detector was not fitted with: 19 of them are enough for 5 %.
    Says whether they differ from the normals of before. Scores stay what they were.

    With --unlabelled any cases do, of 50 patients or more, normal and ill together; labels are not
    read. The threshold is then an estimate, and at the same rate never lower than before.
    """
    from midclass.cli.commands.source import Source

    source = Source(cohort, split, part, root)
    options = Options.of(trust, cache, overwrite, jobs)
    early.refuse_absent(detector=detector, source=source)
    from midclass.cli.commands import calibrate

    calibrate.run(detector, source, options, out=out, max_fpr=max_fpr, unlabelled=unlabelled)


def evaluate(
    detector: DetectorFolder,
    cohort: Manifest,
    split: Split = None,
    part: Part = None,
    root: Root = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder to write; by default DETECTOR/evaluation.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Contact sheet of the recipe (a PNG of show), for the page."),
    ] = None,
    trust: Trust = None,
    cache: Cache = None,
    jobs: Jobs = None,
    overwrite: Overwrite = False,
) -> None:
    """Measure a detector on labelled, unseen images; write figures, and a page to look at them.

    Patients and images that it was fitted with are refused. Files that cannot be read, and cases
    that cannot be assessed, are listed at the end, and the exit code is then 1.
    """
    from midclass.cli.commands.source import Source

    source = Source(cohort, split, part, root)
    options = Options.of(trust, cache, overwrite, jobs)
    early.check_detector(detector, source)
    early.check_folder(out or detector / "evaluation", source, options, detector)
    from midclass.cli.commands import evaluate

    figures = evaluate.run(detector, source, options, out=out, sheet=sheet)
    if figures["reasons"]:
        raise typer.Exit(1)


def nuisance(
    detector: DetectorFolder,
    cohort: Manifest,
    split: Split = None,
    part: Part = None,
    root: Root = None,
    out: Annotated[Path, typer.Option(help="Score table to write.")] = Path("nuisance.csv"),
    n: Annotated[int, typer.Option("--n", min=2, help="Number of cases at most.")] = 150,
    seed: Seed = 0,
    trust: Trust = None,
    cache: Cache = None,
    jobs: Jobs = None,
    overwrite: Overwrite = False,
) -> None:
    """Count a detector's false alarms under each single nuisance.

    Cases that cannot be assessed without any are listed at the end, and the exit code is 1.
    """
    from midclass.cli.commands.source import Source

    source = Source(cohort, split, part, root)
    options = Options.of(trust, cache, overwrite, jobs)
    early.refuse_absent(detector=detector, source=source)
    from midclass.cli.commands import nuisance

    table = nuisance.run(detector, source, options, out=out, n=n, seed=seed)
    if not table.assessed.all():
        raise typer.Exit(1)


def view(
    run: Annotated[
        Path,
        typer.Argument(metavar="RUN", help="Folder written by evaluate, or that of its detector."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="HTML file to write; by default RUN/page.html.")
    ] = None,
    pictures: Annotated[
        str,
        typer.Option(
            metavar="some|all|none",
            autocompletion=one_of("some", "all", "none"),
            help="Which cases have their picture in it: as many as 5 MB hold, all, or none.",
        ),
    ] = "some",
    nuisance: Annotated[
        Path | None, typer.Option(help="Table that the command nuisance wrote, to show too.")
    ] = None,
    open_: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Make the page of an evaluation anew, from its files; one file that needs no network."""
    from midclass.evaluation.page.place import folder_of

    folder_of(run)
    from midclass.cli.commands import view

    view.run(run, out=out, pictures=pictures, nuisance=nuisance, show=open_)
