"""The command ``score``: scores of images of unknown class, and pictures of their heat maps."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from midclass.cli.commands.shown import Shown
from midclass.cli.console import (
    NAMED,
    bar,
    cases_in_words,
    name_unseen,
    note,
    say,
    tell_anatomies,
    tell_patients,
    unseen_of,
)
from midclass.cli.options import DEFAULTS, Options
from midclass.cli.outputs import Place, claimed, files_of
from midclass.detectors.base import Detector
from midclass.detectors.cohort_scores import score_table
from midclass.detectors.dicom_out import DicomOut, refuse_none
from midclass.detectors.look import Look
from midclass.detectors.site import promise
from midclass.detectors.storage import load_detector
from midclass.errors import InputError
from midclass.evaluation.patients import patient_table
from midclass.evaluation.report import reasons
from midclass.evaluation.table import NotAssessed, ScoreTable, table_file
from midclass.files import new_folder
from midclass.images.cohort import Case, Cohort
from midclass.images.identity import seen_by
from midclass.images.prepare import Prepared, prepare_blocks

BLOCK = 512
"""Cases that are prepared and scored together; an archive does not fit into memory."""


def run(
    folder: Path,
    cohort: Cohort,
    options: Options = DEFAULTS,
    *,
    out: Path = Path("scores.csv"),
    heat_maps: Path | None = None,
    not_assessed: NotAssessed = "review",
    max_fpr: float | None = None,
    dicom: Path | None = None,
    date: datetime.datetime | None = None,
) -> bool:
    """Score cases of known or unknown class; True where all could be read and assessed.

    ``date`` is that of the objects in the folder ``dicom``, by default now.
    """
    if date is not None and dicom is None:
        raise InputError("--date is that of what --dicom writes; give both, or none")
    outputs = [Place.table(out)]
    if of_patients := _of_patients(cohort, out):
        outputs.append(Place.table(of_patients))
    if heat_maps is not None:
        outputs.append(Place(heat_maps, option="--heat-maps"))
    if dicom is not None:
        refuse_none(cohort)
        outputs.append(Place(dicom, option="--dicom"))

    def reads() -> Iterator[Path]:
        yield from (folder, *options.trust)
        yield from files_of(cohort)

    with claimed(*outputs, reads=reads, overwrite=options.overwrite):
        return _run(folder, cohort, options, out, heat_maps, not_assessed, max_fpr, dicom, date)


def _run(
    folder: Path,
    cohort: Cohort,
    options: Options,
    out: Path,
    heat_maps: Path | None,
    not_assessed: NotAssessed,
    max_fpr: float | None,
    dicom: Path | None,
    date: datetime.datetime | None,
) -> bool:
    detector, of_patients = load_detector(folder, options.trust), _of_patients(cohort, out)
    if max_fpr is not None:
        promise(detector, max_fpr)
    if heat_maps is not None and not detector.makes_heat_maps:
        raise InputError(f"{type(detector).__name__} makes no heat maps; leave out --heat-maps")
    made = date or datetime.datetime.now()
    objects = None if dicom is None else DicomOut(detector, folder, made)
    with bar("scoring") as progress:
        raw = prepare_blocks(cohort, detector.recipe, BLOCK, cache=options.cache, progress=progress)
        known = list[str]()
        blocks = (detector.by_plausible_anatomy(block) for block in _shown(raw, known))
        with ExitStack() as stack:
            add = stack.enter_context(table_file(out))  # has its name last: both are, or nothing is
            places = [
                None
                if place is None
                else stack.enter_context(
                    new_folder(place, overwrite=options.overwrite, synced=False)
                )
                for place in (heat_maps, dicom)
            ]
            shown = Shown(places[0], places[1], objects)
            scored = _write_scores(detector, blocks, add, not_assessed, shown)
            by_patient = _write_patients(detector, scored, of_patients)
    unseen = scored.reasons.total()
    scores = scored.cases - unseen
    say(f"{scores} cases scored, {scored.flagged} flagged, {unseen} not assessed: {out}")
    if by_patient is not None:
        calibrated = len(detector.patient_calibration_)
        tell_patients(by_patient, calibrated, detector.max_fpr_, of_patients)
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
    for case, reason in scored.failed:
        note(f"failed: {case.case_id}: {reason}")
    if unseen:
        _tell_unseen(scored, out, not_assessed)
    written = objects is None or not (objects.failed or objects.others)
    return written and not scored.failed and not unseen


def _tell_objects(objects: DicomOut, dicom: Path | None) -> None:
    """Of which images DICOM was written, and of which it was not."""
    say(f"DICOM objects about {objects.written} images: {dicom}")
    if objects.others:
        note(
            f"{cases_in_words(objects.others)} of images that are not DICOM: there is no study to "
            "write into, nothing was written about them"
        )
    for case, reason in objects.failed:
        note(f"no DICOM objects about {case.case_id}: {reason}")


def _of_patients(cohort: Cohort, out: Path) -> Path | None:
    """The table of patients beside that of cases; None where each has one case."""
    several = len(cohort.patients) < len(cohort)
    return out.with_name(f"{out.stem}_patients{out.suffix}") if several else None


def _write_patients(detector: Detector, scored: _Scored, out: Path | None) -> ScoreTable | None:
    """Write a row for each patient of the scored cases."""
    if out is None or not scored.cases:
        return None
    numbers = np.arange(scored.cases).astype(str)
    cases = ScoreTable.of(numbers, scored.patient, scored.label, scored.score)
    table = patient_table(cases, detector.patient_calibration_, detector.max_fpr_)
    table.write(out)
    return table


def _tell_unseen(scored: _Scored, out: Path, not_assessed: NotAssessed) -> None:
    """Which cases have no score, and why; of very many the first."""
    unseen = scored.reasons.total()
    name_unseen(scored.unseen, unseen, out)
    why = ", ".join(f"{reason} ({count})" for reason, count in scored.reasons.most_common())
    review = {"review": "a person should look at them", "leave": "they are left out"}
    note(f"{unseen} of {scored.cases} cases could not be assessed: {why}; {review[not_assessed]}")


@dataclass
class _Scored:
    """What is in a score table, and what is not; ``unseen`` are the first without a score."""

    patient: list[str] = field(default_factory=list)
    label: list[int] = field(default_factory=list)
    score: list[float] = field(default_factory=list)
    cases: int = 0
    flagged: int = 0
    failed: list[tuple[Case, str]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    unseen: list[tuple[str, str]] = field(default_factory=list)
    anatomies: Counter[str] = field(default_factory=Counter)


def _shown(blocks: Iterable[Prepared], known: list[str]) -> Iterator[Prepared]:
    for block in blocks:
        known += block.contents if len(block) else []
        yield block
        del block  # or it would stay while the next is prepared


def _write_scores(
    detector: Detector,
    blocks: Iterable[Prepared],
    add: Callable[[ScoreTable], None],
    not_assessed: NotAssessed,
    shown: Shown,
) -> _Scored:
    """Fill the score table; show each sample with its heat map, where there is a place for it."""
    scored, samples = _Scored(), 0
    for prepared in blocks:
        scored.failed += prepared.failed
        if not len(prepared):
            continue
        looks: Iterable[Look] = detector.looks(prepared, heat_maps=bool(shown))
        if shown:
            looks = list(looks)
        table = score_table(detector, prepared, looks, not_assessed=not_assessed)
        if shown:
            shown.write(detector, prepared, looks, table, samples)
        add(table)
        scored.patient += [case.patient_id for case in prepared.cases]
        scored.label += table.label.tolist()
        scored.score += table.score.tolist()
        scored.cases += len(table)
        scored.flagged += int(table.flagged.sum())
        scored.reasons.update(reasons(table))
        scored.unseen += unseen_of(table, NAMED - len(scored.unseen))
        scored.anatomies.update(prepared.anatomies(detector.recipe.anatomies))
        samples += len(prepared)
        del prepared, looks, table  # or they would stay while the next block is prepared
    return scored
