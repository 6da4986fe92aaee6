"""Robustness: false alarms of a detector under each part of its recipe's nuisance alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from midclass.acquisition import moved, one_part, sides
from midclass.errors import InputError
from midclass.images.prepared import Prepared
from midclass.learning import Progress
from midclass.results import ScoreTable
from midclass.types import ImageBatch

if TYPE_CHECKING:
    from midclass.detectors.base import Detector
    from midclass.knowledge.nuisance import Nuisance


STRENGTHS = (0.25, 0.5, 1.0, 1.5, 2.0)
"""In units of the recipe's range; 1 is the most that training has seen."""
AT_ONCE = 32
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
    columns = {}
    for done, (part, side, strength) in enumerate(todo):
        if progress is not None:
            progress(done, len(todo), part)
        disturbed = _moved(prepared, nuisance, part, side, strength, seed)
        columns[column(part, side, strength)] = detector.score_samples(disturbed).round(6)
    return ScoreTable.of(
        [case.case_id for case in cases],
        [case.patient_id for case in cases],
        np.zeros(len(cases), np.int64),
        detector.score_samples(prepared).round(6),
        threshold=detector.threshold_,
        class_name=[case.class_name for case in cases],
        extra=columns,
    )


def column(part: str, side: int, strength: float) -> str:
    """Name of a column of scores.

    >>> column("gain", -1, 1.5)
    'gain -1.5'
    """
    return f"{part} {side * strength:+g}"


def false_alarms(table: ScoreTable) -> dict[str, dict[float, dict[str, float]]]:
    """False-alarm rates of the table of ``nuisance_scores``, with 95 % intervals over patients.

    Both ends of a part's range count as one: a rate is over twice the cases.

    Returns:
        part -> strength -> ``value``, ``low``, ``high``; the part ``none`` at 0 is undisturbed.

    >>> table = ScoreTable.of([*"ab"], [*"pq"], [0, 0], [1, 2], threshold=2.5,
    ...                       extra={"gain -2": [3, 3], "gain +2": [0, 1]})
    >>> rates = false_alarms(table)
    >>> rates["none"][0.0]["value"], rates["gain"][2.0]["value"]
    (0.0, 0.5)
    """
    found: dict[str, dict[float, list[NDArray[np.float64]]]] = {"none": {0.0: [table.score]}}
    for name, scores in table.extra.items():
        part, _, signed = name.rpartition(" ")
        at = found.setdefault(part, {}).setdefault(abs(float(signed)), [])
        at.append(scores)
    return {
        part: {strength: _rate(table, several) for strength, several in sorted(rows.items())}
        for part, rows in found.items()
    }


def _rate(table: ScoreTable, several: list[NDArray[np.float64]]) -> dict[str, float]:
    """The bootstrap of ``metrics.interval``; of a share, one product does what 1000 calls do."""
    flagged = np.mean([scores > table.threshold for scores in several], axis=0)
    _, patient = np.unique(table.patient_id, return_inverse=True)
    alarms, cases = np.bincount(patient, flagged), np.bincount(patient)
    times = np.random.default_rng(0).multinomial(
        len(cases), np.full(len(cases), 1 / len(cases)), size=1000
    )
    low, high = np.quantile(times @ alarms / (times @ cases), [0.025, 0.975])
    value = float(flagged.mean())
    return {"value": value, "low": min(float(low), value), "high": max(float(high), value)}


def _moved(
    prepared: Prepared, nuisance: Nuisance, part: str, side: int, strength: float, seed: int
) -> Prepared:
    """The same cases as another acquisition shows them, in memory."""
    shown = []
    for start in range(0, len(prepared), AT_ONCE):
        batch = prepared.batch(slice(start, start + AT_ONCE))
        params = one_part(nuisance, part, side, strength, batch, seed + start)
        shown.append(moved(nuisance, batch, params))
    return prepared.showing(ImageBatch.joined(shown))
