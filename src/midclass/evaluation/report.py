"""Evaluation: a detector's scores of a cohort as a table, and everything that follows from it."""

from __future__ import annotations

import warnings
from collections import Counter
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.evaluation import metrics
from midclass.evaluation.exact import patients_of, too_few
from midclass.evaluation.patients import labelled_as_one
from midclass.evaluation.ranking import Ranked
from midclass.evaluation.table import UNKNOWN, ScoreTable

Column: TypeAlias = NDArray[Any]


def report(table: ScoreTable, max_fpr: float) -> dict[str, Any]:
    """All figures of a score table, ready for JSON.

    Those of ``summary``, which are of assessed cases; what they leave out; ``assumed_spacing``
    (cases whose spacing came from the recipe); and ``labelled_as_one`` (series, see there). What is
    left out: ``not_assessed`` (cases by class), ``share_not_assessed`` (of each class, with its
    interval), ``reasons`` (cases by reason) and ``bounds`` (see there).

    >>> score = [1, 3, 2, 4, np.nan]
    >>> table = ScoreTable.of([*"abcde"], [*"pqrst"], [0, 0, 1, 1, 1], score, threshold=2.5)
    >>> figures = report(table, max_fpr=0.05)
    >>> figures["auroc"]["value"], figures["not_assessed"], figures["bounds"]["auroc"]
    (0.75, {'given': 0, 'target': 1}, [0.5, 0.8333333333333334])
    """
    assumed = table.extra.get("assumed_spacing", np.zeros(len(table)))
    missing, classes = ~table.assessed, {"given": table.label == 0, "target": table.label == 1}
    series = table.extra.get("series_id")
    return summary(table, max_fpr) | {
        "not_assessed": {name: int(np.sum(missing & one)) for name, one in classes.items()},
        "share_not_assessed": {
            name: _share(missing, table.patient_id, one) for name, one in classes.items()
        },
        "reasons": reasons(table),
        "bounds": bounds(table),
        "assumed_spacing": int(np.sum(assumed)),
        "labelled_as_one": 0 if series is None else labelled_as_one(table, series),
    }


def auroc_of(table: ScoreTable) -> float:
    """AUROC of the assessed cases of known class.

    >>> auroc_of(ScoreTable.of([*"abc"], [*"pqr"], [0, 1, 1], [1, 2, np.nan]))
    1.0
    """
    seen = table.assessed & (table.label != UNKNOWN)
    return metrics.auroc(table.label[seen], table.score[seen])


def reasons(table: ScoreTable) -> dict[str, int]:
    """Number of cases that were not assessed by reason, without its figures; most first.

    >>> reasons(ScoreTable.of([*"ab"], [*"pq"], [0, 0], [np.nan] * 2, reason=["small: 3 mm2", ""]))
    {'small': 1, 'no reason given': 1}
    """
    said = table.reason[~table.assessed].tolist()
    return dict(Counter(r.partition(":")[0] or "no reason given" for r in said).most_common())


def bounds(table: ScoreTable) -> dict[str, list[float]]:
    """The least and the most that each figure can be, whatever cases not assessed would score.

    At the least all of them are missed, if of the target class, or false alarms; at the most all
    are caught. ``sensitivity`` and ``false_alarm_rate`` are there where there is a threshold.
    """
    table = table.take(table.label != UNKNOWN)
    target, missing = table.label == 1, ~table.assessed
    lowest, highest = np.nanmin(table.score) - 1, np.nanmax(table.score) + 1
    areas = [
        metrics.auroc(table.label, np.where(missing, unseen, table.score))
        for unseen in (np.where(target, lowest, highest), np.where(target, highest, lowest))
    ]
    found = {"auroc": areas}
    if not np.isnan(table.threshold).any():
        for name, among in (("sensitivity", target), ("false_alarm_rate", ~target)):
            flagged = table.flagged[among]
            found[name] = [float(flagged.mean()), float((flagged | missing[among]).mean())]
    return found


def examples(table: ScoreTable, n: int = 4) -> dict[str, NDArray[np.int64]]:
    """Rows worth looking at: hits, misses and false alarms, at most n each, the clearest first.

    >>> table = ScoreTable.of([*"abcd"], [*"pqrs"], [0, 0, 1, 1], [1, 3, 4, 2], threshold=2.5)
    >>> {name: rows.tolist() for name, rows in examples(table).items()}
    {'hits': [2], 'misses': [3], 'false alarms': [1]}
    """
    target, given, flagged = table.label == 1, table.label == 0, table.flagged
    order = np.argsort(-table.score, kind="stable")  # those that were not assessed come last

    def first(wanted: NDArray[np.bool_], order: NDArray[np.int64]) -> NDArray[np.int64]:
        return order[(wanted & table.assessed)[order]][:n]

    return {
        "hits": first(target & flagged, order),
        "misses": first(target & ~flagged, order[::-1]),
        "false alarms": first(given & flagged, order),
    }


def summary(
    table: ScoreTable,
    max_fpr: float,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """The figures of one table's assessed cases, ready for JSON.

    Cases of unknown label, and those that were not assessed, are counted and left out.
    Each figure is ``{"value", "low", "high"}`` with the 95 % interval over patients.
    ``sensitivity`` and ``false_alarm_rate`` are at the table's threshold, None where it has none;
    ``few_patients`` is a word where a class has so few that figures are worth little, or "", and a
    warning then. ``sensitivity_at_max_fpr`` describes the ROC curve. ``auroc_per_patient`` (of
    the scores of ``patients.patient_table``) is None where patients have fewer than 2 cases on
    average or are of one class.

    Raises:
        InputError: a class has no assessed case.
    """
    known = table.label != UNKNOWN
    seen = known & table.assessed
    _refuse_unseen(table.label[known], table.label[seen])
    y, s, patients = table.label[seen], table.score[seen], table.patient_id[seen]
    few = too_few(*patients_of(y, np.unique(patients, return_inverse=True)[1]))
    if few:
        warnings.warn(few, stacklevel=3)
    at_rate = partial(Ranked.sensitivity_at_fpr, max_fpr=metrics.checked_fpr(max_fpr))

    def figure(of: metrics.Figure, y: Column, s: Column, patients: Column) -> dict[str, float]:
        limits = metrics.interval(of, y, s, patients, n_resamples=n_resamples, seed=seed)
        return _limited(metrics.value(of, y, s), limits)

    result: dict[str, Any] = {
        "max_fpr": max_fpr,
        "auroc": figure(Ranked.auroc, y, s, patients),
        "average_precision": figure(Ranked.average_precision, y, s, patients),
        "sensitivity_at_max_fpr": figure(at_rate, y, s, patients),
    }
    result |= at_threshold(table)
    lowest = np.where(table.assessed, table.score, -np.inf)[known]
    who, label, score = metrics.by_patient(lowest, table.label[known], table.patient_id[known])
    judged = np.isfinite(score)  # any case of the patient was assessed
    per_class = metrics.per_class(y, s, table.class_name[seen])
    several = len(y) >= 2 * judged.sum() and len(np.unique(label[judged])) == 2
    return result | {
        "auroc_per_class": {name: area for name, area in per_class.items() if name},
        "auroc_per_patient": (
            figure(Ranked.auroc, label[judged], score[judged], who[judged]) if several else None
        ),
        "cases": _counted(table.label) | {"unknown": int(np.sum(~known))},
        "patients": _counted(label),
        "few_patients": few,
    }


def at_threshold(table: ScoreTable) -> dict[str, dict[str, float] | None]:
    """``sensitivity`` and ``false_alarm_rate`` of assessed cases that have a threshold, or None."""
    seen = (table.label != UNKNOWN) & table.assessed & ~np.isnan(table.threshold)
    share = partial(_share, table.flagged[seen], table.patient_id[seen])
    y = table.label[seen]
    return {"sensitivity": share(among=y == 1), "false_alarm_rate": share(among=y == 0)}


def _refuse_unseen(known: Column, seen: Column) -> None:
    for label, name in enumerate(("given", "target")):
        if not np.any(seen == label) and np.any(known == label):
            raise InputError(
                f"none of the {np.sum(known == label)} {name}-class cases was assessed, so that "
                "there is nothing to measure; the column reason of the score table says why"
            )


def _share(
    which: NDArray[np.bool_],
    patients: Column,
    among: NDArray[np.bool_],
) -> dict[str, float] | None:
    """The share of the cases ``among``, with its interval; None where there are none."""
    if not among.any():
        return None
    limits = metrics.share_interval(which, patients, among)
    return _limited(float(which[among].mean()), limits)


def _limited(value: float, limits: tuple[float, float]) -> dict[str, float]:
    return {"value": value, "low": limits[0], "high": limits[1]}


def _counted(label: NDArray[np.int64]) -> dict[str, int]:
    return {"given": int(np.sum(label == 0)), "target": int(np.sum(label == 1))}


def false_alarms(table: ScoreTable) -> dict[str, dict[float, dict[str, float]]]:
    """False-alarm rates of the table of ``nuisance_scores``, with 95 % intervals over patients.

    Both ends of a part's range count as one: a rate is over twice the cases. A case that cannot be
    assessed under a nuisance is left out of its rate; where none can, the rate is NaN, between 0
    and 1.

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
    assessed = np.isfinite(several)  # earlier versions wrote -inf
    flagged = np.sum([scores > table.threshold for scores in several], axis=0)
    counted = assessed.sum(0)  # looks at each case
    flagged = flagged / np.maximum(counted, 1)
    if not counted.any():
        return _limited(float("nan"), (0.0, 1.0))
    value = float((flagged * counted).sum() / counted.sum())
    if len(set(table.patient_id[counted > 0])) < 2:
        return _limited(value, (0.0, 1.0))  # of a single patient: the rate may be anything
    return _limited(value, metrics.share_interval(flagged, table.patient_id, counted))
