"""Evaluation: a detector's scores of a cohort as a table, and everything that follows from it."""

from __future__ import annotations

from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from midclass.evaluation import bootstrap, metrics
from midclass.evaluation.ranking import Ranked
from midclass.evaluation.table import UNKNOWN, ScoreTable

Column: TypeAlias = NDArray[Any]


def report(table: ScoreTable, max_fpr: float) -> dict[str, Any]:
    """All figures of a score table, ready for JSON.

    Those of ``summary``, and ``not_assessed`` (cases scored -inf, by class) and
    ``assumed_spacing`` (cases whose spacing came from the recipe). Scores are smoothed along the
    column ``slice``, where there is one, before they are put together by patient.

    >>> table = ScoreTable.of([*"abcd"], [*"pqrs"], [0, 0, 1, 1], [1, 2, 3, -np.inf], threshold=2.5)
    >>> figures = report(table, max_fpr=0.05)
    >>> figures["auroc"]["value"], figures["not_assessed"]
    (0.5, {'given': 0, 'target': 1})
    """
    missing = np.isneginf(table.score)
    counts = {
        name: int(np.sum(missing & (table.label == label)))
        for label, name in enumerate(("given", "target"))
    }
    assumed = table.extra.get("assumed_spacing", np.zeros(len(table)))
    return summary(table, max_fpr, order=table.extra.get("slice")) | {
        "not_assessed": counts,
        "assumed_spacing": int(np.sum(assumed)),
    }


def examples(table: ScoreTable, n: int = 4) -> dict[str, NDArray[np.int64]]:
    """Rows worth looking at: hits, misses and false alarms, at most n each, the clearest first.

    >>> table = ScoreTable.of([*"abcd"], [*"pqrs"], [0, 0, 1, 1], [1, 3, 4, 2], threshold=2.5)
    >>> {name: rows.tolist() for name, rows in examples(table).items()}
    {'hits': [2], 'misses': [3], 'false alarms': [1]}
    """
    assessed = np.isfinite(table.score)
    target, given, flagged = table.label == 1, table.label == 0, table.flagged
    order = np.argsort(-table.score, kind="stable")

    def first(wanted: NDArray[np.bool_], order: NDArray[np.int64]) -> NDArray[np.int64]:
        return order[(wanted & assessed)[order]][:n]

    return {
        "hits": first(target & flagged, order),
        "misses": first(target & ~flagged, order[::-1]),
        "false alarms": first(given & flagged, order),
    }


def summary(
    table: ScoreTable,
    max_fpr: float,
    order: ArrayLike | None = None,
    n_resamples: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """The figures of one table, ready for JSON; cases of unknown label are counted and left out.

    Each figure is ``{"value", "low", "high"}`` with the 95 % interval over patients.
    ``sensitivity`` and ``false_alarm_rate`` are at the table's threshold, None where it has none;
    ``sensitivity_at_max_fpr`` describes the ROC curve. ``auroc_per_patient`` (see
    ``metrics.by_patient``; ``order`` is ``(n,)``) is None where patients have fewer than 2 cases on
    average or are of one class.
    """
    known = table.label != UNKNOWN
    y, s, patients = table.label[known], table.score[known], table.patient_id[known]
    at_rate = partial(Ranked.sensitivity_at_fpr, max_fpr=metrics.checked_fpr(max_fpr))

    def figure(of: metrics.Figure, y: Column, s: Column, patients: Column) -> dict[str, float]:
        limits = metrics.interval(of, y, s, patients, n_resamples=n_resamples, seed=seed)
        return _limited(metrics.value(of, y, s), limits)

    def share(flagged: NDArray[np.bool_], among: NDArray[np.bool_]) -> dict[str, float]:
        limits = metrics.share_interval(
            flagged, patients, among, n_resamples=n_resamples, seed=seed
        )
        return _limited(float(flagged[among].mean()), limits)

    result: dict[str, Any] = {
        "max_fpr": max_fpr,
        "auroc": figure(Ranked.auroc, y, s, patients),
        "average_precision": figure(Ranked.average_precision, y, s, patients),
        "sensitivity_at_max_fpr": figure(at_rate, y, s, patients),
        "sensitivity": None,
        "false_alarm_rate": None,
    }
    if not np.isnan(table.threshold[known]).any():
        result["sensitivity"] = share(table.flagged[known], y == 1)
        result["false_alarm_rate"] = share(table.flagged[known], y == 0)
    place = None if order is None else np.asarray(order)[known]
    who, label, score = metrics.by_patient(s, y, patients, place)
    per_class = metrics.per_class(y, s, table.class_name[known])
    several = len(y) >= 2 * len(who) and 0 < label.sum() < len(label)
    return result | {
        "auroc_per_class": {name: area for name, area in per_class.items() if name},
        "auroc_per_patient": figure(Ranked.auroc, label, score, who) if several else None,
        "cases": _counted(y) | {"unknown": int(np.sum(~known))},
        "patients": _counted(label),
    }


def _limited(value: float, limits: tuple[float, float]) -> dict[str, float]:
    return {"value": value, "low": limits[0], "high": limits[1]}


def _counted(label: NDArray[np.int64]) -> dict[str, int]:
    return {"given": int(np.sum(label == 0)), "target": int(np.sum(label == 1))}


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
    flagged = np.mean([scores > table.threshold for scores in several], axis=0)
    limits = metrics.share_interval(flagged, table.patient_id, draw=bootstrap.together)
    return _limited(float(flagged.mean()), limits)
