"""Scores of a cohort: a detector's score table, as the images are and under each nuisance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from midclass.detectors.base import Detector
from midclass.detectors.look import NO_NUMBER, Look
from midclass.errors import InputError
from midclass.evaluation.ranking import FloatArray
from midclass.evaluation.table import UNKNOWN, NotAssessed, ScoreTable
from midclass.images.case import Case, without_folder
from midclass.images.cohort import Cohort
from midclass.images.keys import files_of
from midclass.images.prepared import Prepared
from midclass.knowledge.acquisition import moved, one_part, sides
from midclass.types import ImageBatch, Progress

if TYPE_CHECKING:
    from midclass.knowledge.nuisance import Nuisance


def score_table(
    detector: Detector,
    prepared: Prepared,
    looks: Iterable[Look] | None = None,
    *,
    slices: bool = False,
    series: bool = False,
    not_assessed: NotAssessed = "review",
) -> ScoreTable:
    """Score every case of ``prepared``; one that cannot be assessed has a reason instead.

    Args:
        detector: fitted.
        prepared: n cases, of known class or not.
        looks: those of the detector at ``prepared``, where somebody else sees them too.
        slices: add the column ``slice``, where every case has its place among its patient's: along
            it reports smooth. Of view ``slices`` the neighbours count already, and there is none.
        series: add the column ``series_id``.
        not_assessed: what becomes of those that cannot be.

    Returns:
        The table, with the extra columns ``p_value``, ``assumed_spacing`` (0 or 1), where the
        recipe has several anatomies the ``anatomy`` that was used, and, where asked for and known,
        ``slice`` and ``series_id``.
    """
    prepared = detector.by_plausible_anatomy(prepared)
    cases = prepared.cases
    looks = detector.looks(prepared) if looks is None else looks
    scores = detector.scores_of(looks, prepared, strict=False)
    reasons = dict.fromkeys(np.flatnonzero(np.isnan(scores)).tolist(), NO_NUMBER)
    reasons |= detector.reasons(prepared)
    assumed = np.zeros(len(cases), np.int64)
    assumed[prepared.case_index[prepared.store.assumed[prepared.rows]]] = 1
    first = np.unique(prepared.case_index, return_index=True)[1]  # sample of each case
    anatomies = np.array([*detector.recipe.anatomies, "mask"])[prepared.link[first]]
    places = [case.slice for case in cases]
    extra = _extra(detector, cases, detector.p_values(scores), assumed, anatomies, series)
    if slices and not detector.recipe.geometry.in_context and None not in places:
        extra["slice"] = np.array(places, float)
    texts = [reasons.get(number, "") for number in range(len(cases))]
    return _table(detector, cases, scores, extra, texts, not_assessed)


def with_failed(
    detector: Detector,
    cohort: Cohort,
    table: ScoreTable | None,
    failed: Sequence[tuple[Case, str]],
    *,
    series: bool = False,
    not_assessed: NotAssessed = "review",
) -> ScoreTable:
    """The score table of a whole cohort: what could not be prepared is not assessed, too.

    Args:
        detector: fitted.
        cohort: n cases, whose order the rows have.
        table: of those that could be prepared; None where none could.
        failed: the others, with the reason, as ``Prepared`` has them.
        series: as of the table.
        not_assessed: likewise.
    """
    parts = [] if table is None else [table]
    if failed:
        cases, nothing = [case for case, _ in failed], np.full(len(failed), np.nan)
        none, blank = np.zeros(len(failed), np.int64), np.full(len(failed), "")
        extra = _extra(detector, cases, nothing, none, blank, series)
        if table is not None and "slice" in table.extra:
            places = [case.slice for case in cases]
            if None in places:  # a place of some cases alone orders nothing
                rest = {name: column for name, column in table.extra.items() if name != "slice"}
                parts[0] = replace(table, extra=rest)
            else:
                extra["slice"] = np.array(places, float)
        reasons = [why_failed(case, reason) for case, reason in failed]
        parts.append(_table(detector, cases, nothing, extra, reasons, not_assessed))
    whole = ScoreTable.joined(parts)
    row = {name: number for number, name in enumerate(whole.case_id.tolist())}
    return whole.take(np.array([row[case.case_id] for case in cohort]))


def why_failed(case: Case, reason: str) -> str:
    """Why a case could not be prepared, without where its image and mask lie."""
    for file in files_of(case):
        reason = without_folder(file, reason)
    return f"cannot be used: {reason}"


def _extra(
    detector: Detector,
    cases: Iterable[Case],
    p_value: FloatArray,
    assumed: NDArray[np.int64],
    anatomy: NDArray[np.str_],
    series: bool,
) -> dict[str, NDArray[Any]]:
    found: dict[str, NDArray[Any]] = {"p_value": p_value, "assumed_spacing": assumed}
    if len(detector.recipe.anatomies) > 1:
        found["anatomy"] = anatomy
    if series:
        found["series_id"] = np.array([case.series_id for case in cases], np.str_)
    return found


def _table(
    detector: Detector,
    cases: Sequence[Case],
    scores: FloatArray,
    extra: dict[str, NDArray[Any]],
    reasons: Sequence[str],
    not_assessed: NotAssessed,
) -> ScoreTable:
    return ScoreTable.of(
        [case.case_id for case in cases],
        [case.patient_id for case in cases],
        [UNKNOWN if case.label is None else case.label for case in cases],
        scores,
        threshold=detector.threshold_,
        class_name=[case.class_name for case in cases],
        extra=extra,
        reason=reasons,
        not_assessed=not_assessed,
    )


STRENGTHS = (0.25, 0.5, 1.0, 1.5, 2.0)
"""In units of the recipe's range; 1 is the most that training has seen."""
MOVED_BATCH = 32
"""Images that are moved together."""


def nuisance_scores(
    detector: Detector, prepared: Prepared, seed: int = 0, progress: Progress | None = None
) -> ScoreTable:
    """Score given-class cases as they are, and under one part of the nuisance at a time.

    The nuisance acts on prepared pixels, as in training, and moves the anatomy along: how well
    the anatomy is found in a disturbed file is not part of this.

    Args:
        detector: fitted; its recipe says how far each part goes.
        prepared: given-class cases that it was not fitted with.
        seed: of what has no extreme, such as the grain of noise.
        progress: called with (done, all, part).

    Returns:
        The undisturbed scores, and a column for each part, strength and end of its range, such as
        ``gain -1.5``: the lowest gain of the recipe to the power 1.5.

    Raises:
        InputError: the recipe has no nuisance, or a case is not of the given class.
    """
    nuisance = detector.recipe.nuisance_operator()
    parts = {} if nuisance is None else sides(nuisance)
    if nuisance is None or not parts:
        raise InputError(f"{detector.recipe.name}: the recipe has no nuisance to test")
    cases = prepared.cases
    if any(case.label != 0 for case in cases):
        raise InputError(f"{cases.name}: false alarms are counted on given-class cases (label 0)")
    todo = [(p, side, s) for p, ends in parts.items() for s in STRENGTHS for side in ends]
    columns, prepared = {}, detector.by_plausible_anatomy(prepared)
    for done, (part, side, strength) in enumerate(todo):
        if progress is not None:
            progress(done, len(todo), part)
        disturbed = _moved(prepared, nuisance, part, side, strength, seed)
        columns[column(part, side, strength)] = detector.score_samples(disturbed).round(6)
    reasons = detector.reasons(prepared)
    return ScoreTable.of(
        [case.case_id for case in cases],
        [case.patient_id for case in cases],
        np.zeros(len(cases), np.int64),
        detector.score_samples(prepared).round(6),
        threshold=detector.threshold_,
        class_name=[case.class_name for case in cases],
        extra=columns,
        reason=[reasons.get(number, "") for number in range(len(cases))],
    )


def column(part: str, side: int, strength: float) -> str:
    """Name of a column of scores.

    >>> column("gain", -1, 1.5)
    'gain -1.5'
    """
    return f"{part} {side * strength:+g}"


def _moved(
    prepared: Prepared, nuisance: Nuisance, part: str, side: int, strength: float, seed: int
) -> Prepared:
    """The same cases as another acquisition shows them, in memory."""
    shown = []
    for start in range(0, len(prepared), MOVED_BATCH):
        batch = prepared.batch(slice(start, start + MOVED_BATCH))
        params = one_part(nuisance, part, side, strength, batch, seed + start)
        shown.append(moved(nuisance, batch, params))
    return prepared.showing(ImageBatch.joined(shown))
