"""The command ``evaluate``: figures and pictures of a detector on labelled, unseen images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from midclass.cli.commands.source import Source, prepared_with_bar, prints_with_bar
from midclass.cli.console import (
    cases_in_words,
    cell,
    new_table,
    note,
    notes,
    say,
    show_table,
    tell_anatomies,
    tell_unseen,
)
from midclass.cli.options import DEFAULTS, Options
from midclass.cli.outputs import Place, claimed, read_by
from midclass.cli.voice import answer
from midclass.detectors.about import about, made_now
from midclass.detectors.cohort_scores import score_table, with_failed
from midclass.detectors.framing import Framing, sides_of, warning
from midclass.detectors.heat_maps import HeatMaps, kept_heat_maps
from midclass.detectors.marks import localised
from midclass.detectors.provenance import write_provenance
from midclass.detectors.storage import load_detector
from midclass.errors import InputError
from midclass.evaluation import plots
from midclass.evaluation.conformal import aim
from midclass.evaluation.page import PAGE
from midclass.evaluation.page.pictures import new_pictures, small_sheet
from midclass.evaluation.page.place import ABOUT
from midclass.evaluation.page.run import SHEET, Run
from midclass.evaluation.page.write import html
from midclass.evaluation.panel import Panel
from midclass.evaluation.patients import (
    as_one_in_words,
    has_series,
    patient_table,
    series_of,
    series_table,
    with_more_cases,
)
from midclass.evaluation.report import at_threshold, examples, report
from midclass.evaluation.table import ScoreTable
from midclass.files import new_folder
from midclass.images.cohort import Cohort
from midclass.images.duplicates import copies_of_fitted
from midclass.images.identity import refuse_seen
from midclass.images.prepare import Prepared


def run(
    folder: Path,
    source: Source,
    options: Options = DEFAULTS,
    *,
    out: Path | None = None,
    sheet: Path | None = None,
) -> dict[str, Any]:
    """Score a labelled cohort; write table, summary, pictures and page, and print the figures.

    Args:
        folder: of the detector.
        source: of the cohort.
        options: shared ones.
        out: folder to write; by default ``evaluation`` in that of the detector.
        sheet: a contact sheet to show on the page.
    """
    out = out or folder / "evaluation"
    drawn = None if sheet is None else small_sheet(sheet)
    if not folder.is_dir():  # or a lock would be written there
        load_detector(folder, options.trust)
    reads = read_by(source, folder, *options.trust)
    with claimed(Place(out), reads=reads, overwrite=options.overwrite):
        return _run(folder, source, options, out, drawn)


def _run(
    folder: Path, source: Source, options: Options, out: Path, drawn: bytes | None
) -> dict[str, Any]:
    detector = load_detector(folder, options.trust)
    cohort = source.cohort("test")
    for label, name in enumerate(("given", "target")):
        if label not in cohort.labels:
            raise InputError(f"{cohort.name}: no case of the {name} class (label {label})")
    refuse_seen(folder, cohort)
    prepared = prepared_with_bar(cohort, detector.recipe, options, keep_going=True)
    refuse_seen(folder, prepared.cases, prepared.contents)
    near = _near_copies(folder, cohort, options.cache)
    prepared = detector.by_plausible_anatomy(prepared)
    with (
        new_folder(out, overwrite=options.overwrite) as temporary,
        kept_heat_maps(temporary) as maps,
    ):
        looks = maps.keeping(detector.looks(prepared, heat_maps=True))
        named = [case.series_id for case in cohort]
        several = has_series(named)
        scored = score_table(detector, prepared, looks, slices=True, series=several)
        scored = with_failed(detector, cohort, scored, prepared.failed, series=several)
        scored.write(temporary / "scores.csv")
        table = ScoreTable.read(temporary / "scores.csv")
        with notes():
            figures = report(table, detector.max_fpr_)
        known = detector.patient_calibration_, detector.max_fpr_
        if len(set(table.patient_id)) < len(table):
            by_patient = patient_table(table, *known)
            by_patient.write(temporary / "patients.csv")
            figures["patients_at_threshold"] = at_threshold(by_patient)
            if why := with_more_cases(by_patient, detector.patient_calibration_):
                note(f"note: {why}")
        beside = ["patients.csv"] if "patients_at_threshold" in figures else []
        if several:
            series = series_of(table.patient_id.tolist(), named)
            by_series = series_table(table, series, *known)
            by_series.write(temporary / "series.csv")
            beside.append("series.csv")
        name = folder.resolve().name
        more = [temporary / one for one in beside]
        made = write_provenance(detector, name, temporary / "scores.csv", more)
        promised = detector.promise()
        figures |= {"detector": name, "cohort": cohort.title, "promised": promised}
        figures["provenance"] = made
        figures["near_copies_of_fitted"] = near
        figures["anatomies"] = prepared.anatomies(detector.recipe.anatomies)
        figures["framed_otherwise"] = Framing(sides_of(detector, prepared)).otherwise()
        if found := localised(prepared, maps, detector.recipe.geometry):
            figures["localisation"] = found
        text = json.dumps(figures, indent=1)
        (temporary / "summary.json").write_text(text, encoding="utf-8")
        title = f"{detector.recipe.name}: {detector.recipe.target_class}"
        plots.roc(temporary / "roc.png", title, table, figures)
        if detector.makes_heat_maps:
            groups = _examples(prepared, maps, table)
            plots.heat_maps(temporary / "heat_maps.png", title, groups, detector.heat_)
        with new_pictures(temporary) as kept:
            for case, panel in _pictures(prepared, maps):
                kept.add(case, panel, detector.heat_)
        if drawn is not None:
            (temporary / SHEET).write_bytes(drawn)
        told = {"detector": about(detector, folder), "evaluation": made_now()}
        (temporary / ABOUT).write_text(json.dumps(told, indent=1), encoding="utf-8")
        (temporary / PAGE).write_text(html(Run.read(temporary)), encoding="utf-8")
    _tell(figures)
    if figures["framed_otherwise"]:
        note(warning(figures["framed_otherwise"], detector))
    tell_unseen(table)
    pictures = "roc.png, heat_maps.png" if detector.makes_heat_maps else "roc.png"
    tables = "scores.csv, series.csv" if several else "scores.csv"
    say(f"saved: {out} ({tables}, summary.json, {pictures})")
    say(f"to look at in a browser: {out / PAGE}")
    answer({"folder": out, "page": out / PAGE}, **figures)
    return figures


def _near_copies(folder: Path, cohort: Cohort, cache: Path | None) -> list[str]:
    """Refuse cases with pixels that the detector was fitted with; names of those like them."""
    same, near = copies_of_fitted(folder, prints_with_bar(cohort, cache))
    if same:
        raise InputError(
            f"{cohort.name}: the pixels of {same[0].case_id} were used to fit {folder}, in "
            f"another file ({cases_in_words(len(same))} in all); remove them"
        )
    names = [case.case_id for case in near]
    if names:
        note(
            f"note: {cases_in_words(len(near))} look like images that {folder} was fitted with: "
            f"{', '.join(names[:3])}; the figures flatter (all in summary.json)"
        )
    return names


def _examples(prepared: Prepared, maps: HeatMaps, table: ScoreTable) -> dict[str, list[Panel]]:
    """Hits, misses and false alarms with their heat maps."""
    p_value = table.extra["p_value"]
    number = {case.case_id: i for i, case in enumerate(prepared.cases)}  # failed ones have none
    groups: dict[str, list[Panel]] = {}
    for name, cases in examples(table).items():
        groups[name] = []
        for case in cases:
            at = number[str(table.case_id[case])]
            row = int(np.flatnonzero(prepared.case_index == at)[0])
            text = (
                f"{_short(table.case_id[case])}  {table.class_name[case]}\n"
                f"score {table.score[case]:.2f}   p {p_value[case]:.3f}"
            )
            pixels, anatomy = prepared.images([row])[0] / 65535, prepared.masks([row])[0, 0]
            groups[name].append(Panel(pixels, anatomy, maps.get(row), text))
    return groups


def _pictures(prepared: Prepared, maps: HeatMaps) -> Iterator[tuple[str, Panel]]:
    """Each case by that sample of it which has the highest heat."""
    order = np.argsort(prepared.case_index, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(prepared.case_index[order])) + 1):
        row = maps.hottest(rows)
        pixels = prepared.images([row])[0] / np.float32(65535)
        case = prepared.cases.cases[prepared.case_index[row]]
        yield case.case_id, Panel(pixels, heat=maps.get(row))


def _short(case_id: str, length: int = 22) -> str:
    """The end of a long name, where names of files differ."""
    return case_id if len(case_id) <= length else f"…{case_id[1 - length :]}"


def _tell(figures: Mapping[str, Any]) -> None:
    """The figures of an evaluation as a table."""
    table = new_table()
    for column in ("", "value", "95 % interval"):
        table.add_column(column, justify="left" if not column else "right")

    def row(name: str, figure: Mapping[str, float] | None) -> None:
        if figure is not None:
            low_high = f"{figure['low']:.3f} to {figure['high']:.3f}"
            table.add_row(name, f"{figure['value']:.3f}", low_high)

    row("AUROC", figures["auroc"])
    row("AUROC per patient", figures["auroc_per_patient"])
    for name, figure in figures.get("patients_at_threshold", {}).items():
        row(f"{name.replace('_', ' ')} of patients", figure)
    row("average precision", figures["average_precision"])
    row("sensitivity at the threshold", figures["sensitivity"])
    row("false-alarm rate, measured", figures["false_alarm_rate"])
    promised = figures["promised"]
    known = f"{promised['low']:.3f} to {promised['high']:.3f}" if "low" in promised else ""
    table.add_row(f"false-alarm rate, {aim(promised)}", f"{promised['max_fpr']:.3f}", known)
    if "guaranteed" in promised:  # of a detector that learned in folds
        table.add_row("false-alarm rate, proven", f"{promised['guaranteed']:.3f}", "")
    for name, area in sorted(figures["auroc_per_class"].items()):
        table.add_row(f"AUROC of {cell(name)}", f"{area:.3f}", "")
    places = figures.get("localisation", {"hit": {}})
    for rate, figure in places["hit"].items():
        row(f"lesions hit at {rate} false marks an image", figure)
    show_table(table)
    cases, patients = figures["cases"], figures["patients"]
    say(
        f"{cases['given']} given-class and {cases['target']} target-class cases "
        f"of {patients['given']} and {patients['target']} patients; intervals resample patients"
    )
    if places["hit"]:
        say(
            f"{places['lesions']} lesions of which place and radius are known; false marks are "
            "those in given-class images"
        )
    _tell_unseen(figures)
    tell_anatomies(figures["anatomies"])
    if figures["labelled_as_one"]:
        note(f"note: {as_one_in_words(figures['labelled_as_one'])}")
    if figures["assumed_spacing"]:
        say(f"spacing was assumed by the recipe for {cases_in_words(figures['assumed_spacing'])}")


def _tell_unseen(figures: Mapping[str, Any]) -> None:
    """Which cases the figures leave out, and how far they could move them."""
    missing, shares = figures["not_assessed"], figures["share_not_assessed"]
    if not any(missing.values()):
        return
    said = [f"{missing[n]} {n}-class ({shares[n]['value']:.1%})" for n in shares]
    why = ", ".join(f"{reason} ({count})" for reason, count in figures["reasons"].items())
    say(f"not assessed, and in no figure above: {' and '.join(said)} cases: {why}")
    words = {
        "auroc": "AUROC",
        "sensitivity": "sensitivity",
        "false_alarm_rate": "false-alarm rate",
    }
    limits = [
        f"{words[name]} {low:.3f} to {high:.3f}" for name, (low, high) in figures["bounds"].items()
    ]
    say(f"whatever they would score: {', '.join(limits)}")
