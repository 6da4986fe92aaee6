"""Subgroups: the figures of parts of a score table, each with its interval."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.evaluation import metrics
from midclass.evaluation.operating import Share
from midclass.evaluation.ranking import Ranked
from midclass.evaluation.report import at_threshold
from midclass.evaluation.table import UNKNOWN, ScoreTable

MOST = 12
"""Values of a column beyond which it makes no groups."""
RESAMPLES = 500


class Subgroup(NamedTuple):
    """The figures of a part of the cases.

    Attributes:
        by: what the cases are divided by.
        name: of this part.
        given: assessed given-class cases in it.
        target: assessed target-class cases in it.
        auroc: of the part's target class and given class; None without one of them.
        sensitivity: at the threshold; None without target-class cases, or a threshold.
        false_alarm_rate: the same of given-class cases.
    """

    by: str
    name: str
    given: int
    target: int
    auroc: Share | None
    sensitivity: Share | None
    false_alarm_rate: Share | None


def subgroups(table: ScoreTable) -> list[Subgroup]:
    """Figures by kind of finding, by anatomy, by spacing, and by columns of words.

    A kind of finding is compared with all given-class cases; other parts have the given-class cases
    in them. Of columns beyond those of every score table, those of 2 to ``MOST`` different words
    make parts.

    >>> table = ScoreTable.of([*"abcd"], [*"pqrs"], [0, 0, 1, 1], [1, 3, 2, 4], 3.5,
    ...                       ["", "", "mass", "node"])
    >>> [(g.name, g.auroc.value, g.sensitivity.value) for g in subgroups(table)]
    [('mass', 0.5, 0.0), ('node', 1.0, 1.0)]
    """
    seen = table.take(table.assessed & (table.label != UNKNOWN))
    return [_subgroup(seen, *part) for part in _parts(seen)]


def _parts(table: ScoreTable) -> Iterator[tuple[str, str, NDArray[np.bool_]]]:
    names, given = table.class_name, table.label == 0
    for one in _words(names[~given]):
        yield "finding", one, given | (names == one)
    for one in _words(names[given]):
        yield "kind of normal", one, given & (names == one)
    if "assumed_spacing" in table.extra:
        assumed = table.extra["assumed_spacing"] == 1
        if 0 < assumed.sum() < len(assumed):
            yield "spacing", "of the file", ~assumed
            yield "spacing", "assumed", assumed
    for column, values in table.extra.items():
        if values.dtype.kind == "U":
            for one in _words(values):
                yield column.replace("_", " "), one, values == one


def _words(values: NDArray[Any]) -> list[str]:
    """The different values, where they make groups."""
    found: list[str] = sorted(set(values.tolist()) - {""})
    return found if 2 <= len(found) <= MOST else []


def _subgroup(table: ScoreTable, by: str, name: str, which: NDArray[np.bool_]) -> Subgroup:
    part = table.take(which)
    target = part.label == 1
    there = {"sensitivity": target.any(), "false_alarm_rate": not target.all()}
    if by == "finding":  # false alarms are those of all normals, in every part
        there["false_alarm_rate"] = False
    rates = {name: rate if there[name] else None for name, rate in at_threshold(part).items()}
    shares = {name: None if rate is None else Share(**rate) for name, rate in rates.items()}
    given, found = int((~target).sum()), int(target.sum())
    return Subgroup(by, name, given, found, _auroc(part), **shares)


def _auroc(part: ScoreTable) -> Share | None:
    if len(np.unique(part.label)) < 2:
        return None
    figure = Ranked.auroc
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few patients: the interval says it
            value = metrics.value(figure, part.label, part.score)
            limits = metrics.interval(
                figure, part.label, part.score, part.patient_id, n_resamples=RESAMPLES
            )
    except InputError:  # all scores equal, or far too few patients
        return None
    return Share(value, *limits)
