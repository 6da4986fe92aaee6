"""Scores of a cohort: a detector's score table, as the images are and under each nuisance."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from midclass.detectors.base import Detector
from midclass.detectors.look import NO_NUMBER, Look
from midclass.errors import InputError
from midclass.evaluation.table import UNKNOWN, NotAssessed, ScoreTable
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
    not_assessed: NotAssessed = "review",
) -> ScoreTable:
    """Score every case of ``prepared``; one that cannot be assessed has a reason instead.

    Args:
        detector: fitted.
        prepared: n cases, of known class or not.
        looks: those of the detector at ``prepared``, where somebody else sees them too.
        slices: add the column ``slice``, where every case has its place among its patient's.
        not_assessed: what becomes of those that cannot be.

    Returns:
        The table, with the extra columns ``p_value``, ``assumed_spacing`` (0 or 1), where the
        recipe has several anatomies the ``anatomy`` that was used, and, where asked for and known,
        ``slice``.
    """
    prepared = detector.by_plausible_anatomy(prepared)
    cases = prepared.cases
    looks = detector.looks(prepared) if looks is None else looks
    scores = detector.scores_of(looks, prepared, strict=False)
    reasons = dict.fromkeys(np.flatnonzero(np.isnan(scores)).tolist(), NO_NUMBER)
    reasons |= detector.reasons(prepared)
    assumed = np.zeros(len(cases), np.int64)
    assumed[prepared.case_index[prepared.store.assumed[prepared.rows]]] = 1
    extra = {
        "p_value": detector.p_values(scores),
        "assumed_spacing": assumed,
    }
    if len(names := detector.recipe.anatomies) > 1:
        first = np.unique(prepared.case_index, return_index=True)[1]  # sample of each case
        extra["anatomy"] = np.array([*names, "mask"])[prepared.link[first]]
    places = [case.slice for case in cases]
    if slices and None not in places:
        extra["slice"] = np.array(places, float)
    return ScoreTable.of(
        [case.case_id for case in cases],
        [case.patient_id for case in cases],
        [UNKNOWN if case.label is None else case.label for case in cases],
        scores,
        threshold=detector.threshold_,
        class_name=[case.class_name for case in cases],
        extra=extra,
        reason=[reasons.get(number, "") for number in range(len(cases))],
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
