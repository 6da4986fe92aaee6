"""The command ``monitor``: does what arrives still look like what a threshold was set with?"""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from midclass.cli.console import cell, new_table, note, say, show_table
from midclass.cli.options import DEFAULTS, Options
from midclass.cli.outputs import Place, claimed
from midclass.cli.recognised import no_list
from midclass.cli.voice import answer
from midclass.detectors.base import Detector
from midclass.detectors.provenance import provenance_of
from midclass.detectors.storage import load_detector
from midclass.errors import InputError
from midclass.evaluation.cells import LineEnds, as_cell
from midclass.evaluation.conformal import aim
from midclass.evaluation.drift import (
    WEEK,
    Baseline,
    Period,
    by_week,
    drift,
    refuse_other,
)
from midclass.evaluation.equipment import first_seen
from midclass.evaluation.table import ScoreTable
from midclass.files import new_text

DATES = "date"
"""The column of dates that is looked for where none is named."""
COLUMNS = [one.name for one in fields(Period)]


def run(
    tables: Sequence[Path],
    folder: Path,
    options: Options = DEFAULTS,
    *,
    out: Path = Path("monitor.csv"),
    dates: str | None = None,
) -> bool:
    """Compare score tables with what a detector was calibrated with; True without sign of drift.

    Args:
        tables: of ``midclass score`` with this detector.
        folder: of the detector.
        options: of the command line.
        out: CSV with a row for each table, or week.
        dates: column of dates; where there is none by that name, each table is a row.
    """
    place = Place(out, "file", strange=_strange)
    with claimed(place, reads=lambda: (*tables, folder), overwrite=options.overwrite):
        detector = load_detector(folder, options.trust)
        baseline = baseline_of(detector)
        found = {str(path): _table(path, detector, baseline) for path in tables}
        if len(found) < len(tables):
            raise InputError("a table is named twice; give each once")
        weekly = dates or _weekly(found)
        periods = by_week(found, weekly) if weekly else _by_table(found)
        rows = drift(periods, baseline)
        _write(out, rows)
        _tell(rows, detector.promise())
        _tell_equipment(rows, first_seen(periods))
        say(f"saved: {out}")
        answer({"periods": out}, detector=detector.origin_.id, periods=list(map(_row, rows)))
    return not any(row.differs for row in rows)


def _weekly(tables: Mapping[str, ScoreTable]) -> str | None:
    """The column of dates, or of weeks of which any is told; None where each table is a row."""
    columns = [one.extra for one in tables.values()]
    if all(DATES in one for one in columns):
        return DATES
    told = all(WEEK in one for one in columns)
    told = told and any(one[WEEK].dtype.kind == "U" for one in columns)
    return WEEK if told else None


def baseline_of(detector: Detector) -> Baseline:
    """What its threshold was set with."""
    part = "calibrate" if "calibrate" in detector.cases_ else "given"
    return Baseline(
        detector.calibration_,
        detector.threshold_,
        detector.max_fpr_,
        detector.cases_.get(part, 0),
        detector.not_assessed_.get(part, 0),
        detector.independent_,
    )


def _table(path: Path, detector: Detector, baseline: Baseline) -> ScoreTable:
    table = ScoreTable.read(path)
    made = provenance_of(path).get("detector")
    made_by = made.get("id") if isinstance(made, dict) else None
    if made_by and made_by != detector.origin_.id:
        raise InputError(
            f"{path}: was made by the detector {made_by}, and this is {detector.origin_.id}; give "
            "the one that made it, or score the cases anew"
        )
    refuse_other(table, baseline, path)
    return table


def _by_table(found: dict[str, ScoreTable]) -> dict[str, ScoreTable]:
    """The tables by their names; with folders where names alone are not enough."""
    short = {name: Path(name).name for name in found}
    once = len(set(short.values())) == len(short)
    return {short[name] if once else name: table for name, table in found.items()}


def _strange(path: Path) -> str:
    return "was not written by midclass monitor" if no_list(path, (*COLUMNS, "verdict")) else ""


def _row(row: Period) -> dict[str, object]:
    return {name: getattr(row, name) for name in COLUMNS} | {"verdict": row.verdict}


def _write(out: Path, rows: Sequence[Period]) -> None:
    with new_text(out) as text:
        writer = csv.writer(LineEnds(text))
        writer.writerow((*COLUMNS, "verdict"))
        for row in rows:
            writer.writerow([as_cell(_text(value)) for value in _row(row).values()])


def _text(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return repr(value) if isinstance(value, float) else str(value)


def _tell(rows: Sequence[Period], rate: Mapping[str, float]) -> None:
    shown = new_table()
    for name in ("", "cases", "patients", "flagged", "not assessed", "p of scores"):
        shown.add_column(name, justify="left" if not name else "right")
    for row in rows:
        shown.add_row(
            cell(row.period),
            str(row.cases),
            str(row.patients),
            _share(row.rate, row.low, row.high),
            _share(row.share_not_assessed, row.not_assessed_low, row.not_assessed_high),
            "" if row.p_scores is None else f"{row.p_scores:.2g}",
        )
    show_table(shown)
    for row in rows:
        say(f"{row.period}: {row.verdict}")
    asked = sum(
        one is not None for row in rows for one in (row.p_flagged, row.p_scores, row.p_not_assessed)
    )
    say(
        f"{aim(rate)}: at most {rate['max_fpr']:.1%} of normal cases flagged; p-values are "
        f"corrected for the {asked} questions of this call, one case of each patient (95 % "
        "intervals: all cases)"
    )
    if "moved" in rate:
        note(
            "unlabelled cases moved the threshold, an estimate: a sign may be its error, and not a "
            "change of what arrives"
        )
    if any(row.differs for row in rows):
        note(
            "what arrives is not what the threshold was set with, or more of it is diseased: look "
            "at flagged cases, then set the threshold anew with local normals (midclass calibrate)"
        )
    else:
        note(
            "no sign is no proof: the intervals say what could still be; give all tables so far "
            "each time, so that every look is counted"
        )


def _tell_equipment(rows: Sequence[Period], new: Mapping[str, str]) -> None:
    """Devices and spacing by period, where tables say so, and which devices are new."""
    for row in rows:
        if row.devices:
            say(f"{row.period}: taken by {row.devices}")
        if row.spacing_mm is not None:
            spread = f"{row.spacing_low:g} to {row.spacing_high:g}"
            say(f"{row.period}: spacing {row.spacing_mm:g} mm ({spread})")
    for device, period in new.items():
        note(f"{period}: the first images of {device}; nothing before says how it is scored")


def _share(value: float, low: float, high: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%} ({low:.1%} to {high:.1%})"
