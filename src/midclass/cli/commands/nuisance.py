"""The command ``nuisance``: false alarms of a detector under each single nuisance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from midclass.cli.commands.source import Source, prepared_with_bar
from midclass.cli.console import bar, new_table, say, show_table, tell_unseen
from midclass.cli.options import DEFAULTS, Options
from midclass.cli.outputs import Place, claimed, read_by
from midclass.detectors.provenance import write_provenance
from midclass.detectors.saved import check_saved
from midclass.errors import InputError
from midclass.evaluation.conformal import aim
from midclass.evaluation.parquet import check_installed
from midclass.evaluation.report import false_alarms
from midclass.evaluation.table import ScoreTable
from midclass.images.cohort import choose
from midclass.images.identity import refuse_seen


def run(
    folder: Path,
    source: Source,
    options: Options = DEFAULTS,
    *,
    out: Path = Path("nuisance.csv"),
    n: int = 150,
    seed: int = 0,
) -> ScoreTable:
    """Score at most n given-class test cases, of as many patients as possible; write the table."""
    check_installed(out)
    reads = read_by(source, folder, *options.trust)
    with claimed(Place.table(out), Place.provenance(out), reads=reads, overwrite=options.overwrite):
        return _run(folder, source, options, out, n, seed)


def _run(
    folder: Path, source: Source, options: Options, out: Path, n: int, seed: int
) -> ScoreTable:
    check_saved(folder)
    cohort = choose(source.cohort("test"), n, seed)
    if not len(cohort):
        raise InputError(f"{source.manifest}: no case of the given class (label 0) to score")
    refuse_seen(folder, cohort)
    from midclass.detectors.cohort_scores import nuisance_scores
    from midclass.detectors.storage import load_detector

    detector = load_detector(folder, options.trust)
    prepared = prepared_with_bar(cohort, detector.recipe, options)
    refuse_seen(folder, cohort, prepared.contents)
    with bar("scoring") as progress:
        table = nuisance_scores(detector, prepared, seed, progress)
    write_provenance(detector, folder.resolve().name, out)
    table.write(out)
    _tell(table, detector.promise())
    tell_unseen(table)
    say(f"saved: {out}")
    return table


def _tell(table: ScoreTable, rate: Mapping[str, float]) -> None:
    rates = false_alarms(table)
    still = rates.pop("none")[0.0]
    strengths = sorted({strength for row in rates.values() for strength in row})
    shown = new_table()
    shown.add_column("nuisance")
    for strength in strengths:
        shown.add_column(f"x {strength:g}", justify="right")
    shown.add_column("95 % interval at 1", justify="right")
    for part, row in rates.items():
        usual = row[1.0]
        shown.add_row(
            part,
            *(_rate(row[strength]["value"]) for strength in strengths),
            f"{usual['low']:.1%} to {usual['high']:.1%}",
        )
    show_table(shown)
    patients = len(set(table.patient_id))
    say(
        f"false alarms of {len(table.case_id)} given-class cases of {patients} patients, by "
        "strength (1 is the extreme of the recipe's range)"
    )
    say(
        f"without nuisance {still['value']:.1%} ({still['low']:.1%} to {still['high']:.1%}); "
        f"{aim(rate)}: at most {rate['max_fpr']:.1%}"
    )


def _rate(value: float) -> str:
    return "not assessed" if math.isnan(value) else f"{value:.1%}"
