"""Scoring: a cohort of any length, in parts: read, prepared, scored, drawn and written."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from midclass.cli.commands.parts import Images, Parts
from midclass.cli.commands.shown import Shown
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
    unseen_of,
)
from midclass.cli.options import Options
from midclass.cli.voice import answer
from midclass.detectors.base import Detector
from midclass.detectors.cohort_scores import score_table, with_failed
from midclass.detectors.dicom_out import DicomOut
from midclass.detectors.equipment import with_equipment
from midclass.detectors.heat_maps import kept_heat_maps
from midclass.detectors.provenance import write_provenance
from midclass.detectors.site import promise
from midclass.detectors.storage import load_detector
from midclass.errors import InputError
from midclass.evaluation.patients import has_series, patient_table, series_of, series_table
from midclass.evaluation.report import reasons
from midclass.evaluation.table import NotAssessed, ScoreTable
from midclass.evaluation.table_file import table_file
from midclass.files import new_folder
from midclass.images.case import without_folder
from midclass.images.cohort import Case
from midclass.images.identity import seen_by
from midclass.types import Progress

BLOCK_OF_TILES = 64
"""Those of view tiles are large."""


def score(
    folder: Path,
    images: Images,
    options: Options,
    block: int,
    out: Path,
    further: Mapping[str, Path],
    heat_maps: Path | None,
    not_assessed: NotAssessed,
    max_fpr: float | None,
    dicom: Path | None,
    date: datetime.datetime | None,
    equipment: bool,
) -> bool:
    """Score the cases, so many at a time; see ``commands.score.run``."""
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
    made = date or datetime.datetime.now()
    objects = None if dicom is None else DicomOut(detector, made)
    known = list[str]()
    with bar("scoring", "images") as progress:
        going = _Going(progress, total, heat_maps is not None or dicom is not None)
        raw = images.parts(detector, block, going.prepared)
        with closing(raw), ExitStack() as stack:
            parts = _shown(detector, raw, known)
            add = stack.enter_context(table_file(out))  # has its name last: both are, or nothing is
            places = [
                None
                if place is None
                else stack.enter_context(
                    new_folder(place, overwrite=options.overwrite, synced=False)
                )
                for place in (heat_maps, dicom)
            ]
            shown, several = Shown(places[0], places[1], objects), "series" in further
            scored = _write_scores(
                detector, parts, add, not_assessed, shown, going, several, equipment
            )
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
        tell_patients(tables["patients"], calibrated, detector.max_fpr_, further["patients"])
    if "series" in tables:
        tell_series(tables["series"], calibrated, detector.max_fpr_, further["series"])
    if fitted := seen_by(folder, known):
        note(
            f"note: {cases_in_words(fitted)} of these were used to fit {folder}; their p-values "
            "and flags say nothing of new cases"
        )
    tell_anatomies(scored.anatomies)
    if heat_maps is not None:
        say(f"heat maps: {heat_maps}")
    if objects is not None:
        _tell_objects(objects, dicom)
    for case, reason in scored.failed[:NAMED]:
        fault(f"failed: {case.case_id}: {without_folder(case.path, reason)}")
    if unseen > len(scored.failed) or len(scored.failed) > NAMED:
        _tell_unseen(scored, out, not_assessed)
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
    numbers = np.arange(scored.cases).astype(str)
    cases = ScoreTable.of(numbers, scored.patient, scored.label, scored.score)
    calibration, max_fpr = detector.patient_calibration_, detector.max_fpr_
    tables = {}
    if "patients" in further and len(set(scored.patient)) < scored.cases:
        tables["patients"] = patient_table(cases, calibration, max_fpr)
    if "series" in further and has_series(scored.series):
        series = series_of(scored.patient, scored.series)
        tables["series"] = series_table(cases, series, calibration, max_fpr)
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
class _Going:
    """How far it is, for the bar: by what is drawn, where anything is, else by what is prepared."""

    show: Progress
    total: int
    draws: bool
    done: int = 0

    def prepared(self, done: int, _: int, text: str) -> None:
        """So many images are."""
        if self.draws:
            self.show(self.done, self.total, f"{done} prepared")
        else:
            self.show(done, self.total, text)

    def drawn(self) -> None:
        """One image more is."""
        self.done += 1
        self.show(self.done, self.total, "")


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


def _shown(detector: Detector, raw: Parts, known: list[str]) -> Parts:
    for cases, part in raw:
        known += part.contents if len(part) else []
        yield cases, detector.by_plausible_anatomy(part)
        del part  # or it would stay while the next is prepared


def _write_scores(
    detector: Detector,
    parts: Parts,
    add: Callable[[ScoreTable], None],
    not_assessed: NotAssessed,
    shown: Shown,
    going: _Going,
    series: bool = False,
    equipment: bool = False,
) -> _Scored:
    """Fill the score table; show each sample with its heat map, where there is a place for it."""
    scored, samples = _Scored(), 0
    for cases, prepared in parts:
        failed, table = prepared.failed, None
        scored.failed += failed
        if len(prepared):
            with ExitStack() as stack:
                looks = detector.looks(prepared, heat_maps=bool(shown))
                if shown:  # maps of many images do not fit into memory
                    maps = stack.enter_context(kept_heat_maps(shown.folder))
                    looks = maps.keeping(looks)
                table = score_table(
                    detector, prepared, looks, series=series, not_assessed=not_assessed
                )
                if shown:
                    shown.write(detector, prepared, maps, table, samples, going.drawn)
                del looks
            scored.unseen += unseen_of(table, NAMED - len(scored.unseen))
            scored.anatomies.update(prepared.anatomies(detector.recipe.anatomies))
            samples += len(prepared)
        whole = with_failed(
            detector, cases, table, failed, series=series, not_assessed=not_assessed
        )
        add(with_equipment(whole, cases, prepared) if equipment else whole)
        scored.patient += whole.patient_id.tolist()
        scored.label += whole.label.tolist()
        scored.score += whole.score.tolist()
        scored.series += [case.series_id for case in cases]
        scored.cases += len(whole)
        scored.flagged += int(whole.flagged.sum())
        scored.reasons.update(reasons(whole))
        del prepared, table, whole  # or they would stay while the next block is prepared
    return scored
