"""Scoring: a cohort of any length, in parts: read, prepared, scored, drawn and written."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from midclass.cli.commands.blocks import ScoredBlock, Wording
from midclass.cli.commands.parts import Images
from midclass.cli.commands.score_engines import ENGINES, Going, Scoring
from midclass.cli.commands.shown import Shown, files_in
from midclass.cli.console import (
    NAMED,
    bar,
    cases_in_words,
    fault,
    name_unseen,
    note,
    say,
    tell_anatomies,
    tell_patients,
    tell_series,
)
from midclass.cli.options import Options
from midclass.cli.voice import answer
from midclass.detectors.base import Detector
from midclass.detectors.dicom_out import DicomOut
from midclass.detectors.framing import Framing, warning
from midclass.detectors.higher import most_flagged, normals_higher
from midclass.detectors.provenance import write_provenance
from midclass.detectors.site import promise
from midclass.detectors.storage import load_detector
from midclass.errors import InputError
from midclass.evaluation.patients import (
    has_series,
    patient_table,
    series_of,
    series_table,
    with_more_cases,
)
from midclass.evaluation.report import reasons
from midclass.evaluation.table import NotAssessed, ScoreTable
from midclass.evaluation.table_file import table_file
from midclass.files import new_folder
from midclass.images.case import without_folder
from midclass.images.cohort import Case
from midclass.images.identity import seen_by

BLOCK_OF_TILES = 64
"""Those of view tiles are large."""


@dataclass(frozen=True)
class Outputs:
    """What is written, and where.

    Attributes:
        table: the score table.
        further: tables of patients and of series.
        heat_maps: folder of the pictures; None for none.
        dicom: folder of the DICOM objects; likewise.
        date: that they bear; None for now.
    """

    table: Path
    further: Mapping[str, Path]
    heat_maps: Path | None = None
    dicom: Path | None = None
    date: datetime.datetime | None = None


def score(
    folder: Path,
    images: Images,
    options: Options,
    block: int,
    outputs: Outputs,
    wording: Wording,
    *,
    max_fpr: float | None,
    engine: str,
) -> bool:
    """Score the cases, so many at a time; see ``commands.score.run``."""
    out, further = outputs.table, outputs.further
    heat_maps, dicom = outputs.heat_maps, outputs.dicom
    detector = load_detector(folder, options.trust)
    if not (total := images.find(detector)):
        answer(cases=0, detector=detector.origin_.id)
        return True
    if detector.recipe.geometry.view == "tiles":
        block = min(block, BLOCK_OF_TILES)
    if max_fpr is not None:
        promise(detector, max_fpr)
    if heat_maps is not None and not detector.makes_heat_maps:
        raise InputError(f"{type(detector).__name__} makes no heat maps; leave out --heat-maps")
    made = outputs.date or datetime.datetime.now()
    objects = None if dicom is None else DicomOut(detector, made)
    with bar("scoring", "images") as progress, ExitStack() as stack:
        going = Going(progress, total, heat_maps is not None or dicom is not None)
        add = stack.enter_context(table_file(out))  # has its name last: both are, or nothing is
        places = [
            None
            if place is None
            else stack.enter_context(new_folder(place, overwrite=options.overwrite, synced=False))
            for place in (heat_maps, dicom)
        ]
        pictures, files = map(files_in, places)
        shown = Shown(pictures, files, objects, places[0] or places[1])
        whole = Scoring(folder, detector, images, options, block, wording, max_fpr, shown, going)
        with closing(ENGINES[engine](whole)) as blocks:
            scored = _add_all(blocks, add, block)
        if not scored.cases:
            images.tell()
            raise InputError("nothing to score: what was found holds no image of a patient")
        tables = _write_further(detector, scored, further)
        made_of = [further[name] for name in tables]
        write_provenance(detector, folder.resolve().name, out, made_of)
    images.tell()
    unseen = scored.reasons.total()
    scores = scored.cases - unseen
    say(f"{scores} cases scored, {scored.flagged} flagged, {unseen} not assessed: {out}")
    calibrated = len(detector.patient_calibration_)
    if "patients" in tables:
        tell_patients(tables["patients"], calibrated, detector.promise(), further["patients"])
        if why := with_more_cases(tables["patients"], detector.patient_calibration_):
            note(f"note: {why}")
    if "series" in tables:
        tell_series(tables["series"], calibrated, detector.max_fpr_, further["series"])
    if fitted := seen_by(folder, scored.contents):
        note(
            f"note: {cases_in_words(fitted)} of these were used to fit or calibrate {folder}; "
            "their p-values and flags say nothing of new cases"
        )
    tell_anatomies(scored.anatomies)
    if otherwise := scored.framing.otherwise():
        note(warning(otherwise, detector))
    seen = scored.score, scored.patient, scored.label
    higher, most = normals_higher(detector, *seen), most_flagged(detector, *seen)
    if more := higher or most:
        note(more.warning(detector.promise()))
    if heat_maps is not None:
        say(f"heat maps: {heat_maps}")
    if objects is not None:
        _tell_objects(objects, dicom)
    for case, reason in scored.failed[:NAMED]:
        fault(f"failed: {case.case_id}: {without_folder(case.path, reason)}")
    if unseen > len(scored.failed) or len(scored.failed) > NAMED:
        _tell_unseen(scored, out, wording.not_assessed)
    answer(
        {"scores": out, "heat_maps": heat_maps, "dicom": dicom}
        | {name: further[name] for name in tables},
        detector=detector.origin_.id,
        cases=scored.cases,
        flagged=scored.flagged,
        not_assessed=unseen,
        reasons=scored.reasons,
        flagged_of={name: int(table.flagged.sum()) for name, table in tables.items()},
        fitted_with=fitted,
        framed_otherwise=otherwise,
        normals_higher=None if higher is None else asdict(higher),
        most_flagged=None if most is None else asdict(most),
        dicom_images=None if objects is None else objects.written,
    )
    written = objects is None or not (objects.failed or objects.others)
    return written and not unseen


def _tell_objects(objects: DicomOut, dicom: Path | None) -> None:
    """Of which images DICOM was written, and of which it was not."""
    say(f"DICOM objects about {objects.written} images: {dicom}")
    if objects.others:
        fault(
            f"{cases_in_words(objects.others)} of images that are not DICOM: there is no study to "
            "write into, nothing was written about them"
        )
    for case, reason in objects.failed:
        fault(f"no DICOM objects about {case.case_id}: {reason}")


def _write_further(
    detector: Detector, scored: _Scored, further: Mapping[str, Path]
) -> dict[str, ScoreTable]:
    """Write a row for each patient, and for each series, where any has several cases."""
    numbers, threshold = np.arange(scored.cases).astype(str), detector.threshold_
    cases = ScoreTable.of(numbers, scored.patient, scored.label, scored.score, threshold)
    known = detector.patient_calibration_, detector.max_fpr_
    tables = {}
    if "patients" in further and len(set(scored.patient)) < scored.cases:
        tables["patients"] = patient_table(cases, *known)
    if "series" in further and has_series(scored.series):
        series = series_of(scored.patient, scored.series)
        tables["series"] = series_table(cases, series, *known)
    for name, table in tables.items():
        table.write(further[name])
    return tables


def _tell_unseen(scored: _Scored, out: Path, not_assessed: NotAssessed) -> None:
    """Which cases have no score, and why; of very many the first."""
    unseen, failed = scored.reasons.total(), len(scored.failed)
    name_unseen(scored.unseen, unseen - min(failed, NAMED), out)
    why = ", ".join(f"{reason} ({count})" for reason, count in scored.reasons.most_common())
    review = {"review": "a person should look at them", "leave": "they are left out"}
    fault(f"{unseen} of {scored.cases} cases could not be assessed: {why}; {review[not_assessed]}")


@dataclass
class _Scored:
    """What is in a score table, and what is not; ``unseen`` are the first without a score."""

    patient: list[str] = field(default_factory=list)
    label: list[int] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    series: list[str] = field(default_factory=list)
    cases: int = 0
    flagged: int = 0
    failed: list[tuple[Case, str]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    unseen: list[tuple[str, str]] = field(default_factory=list)
    anatomies: Counter[str] = field(default_factory=Counter)
    contents: list[str] = field(default_factory=list)
    framing: Framing = field(default_factory=Framing)

    def count(self, block: ScoredBlock) -> None:
        """Note what there is in one more block."""
        table = block.table
        self.patient += table.patient_id.tolist()
        self.label += table.label.tolist()
        self.score += table.score.tolist()
        self.series += block.series
        self.cases += len(table)
        self.flagged += int(table.flagged.sum())
        self.failed += block.failed
        self.reasons.update(reasons(table))
        self.unseen += block.unseen[: NAMED - len(self.unseen)]
        self.anatomies.update(block.anatomies)
        self.contents += block.contents
        self.framing.add(block.sides)


def _add_all(
    blocks: Iterable[ScoredBlock], add: Callable[[ScoreTable], None], rows: int
) -> _Scored:
    """Fill the score table with so many rows at a time: parts of a Parquet file are seen in it."""
    scored, waiting = _Scored(), list[ScoreTable]()
    for block in blocks:
        scored.count(block)
        waiting.append(block.table)
        del block  # or it would stay while the next is prepared
        if sum(map(len, waiting)) >= rows:
            add(ScoreTable.joined(waiting))
            waiting.clear()
    if waiting:
        add(ScoreTable.joined(waiting))
    return scored
