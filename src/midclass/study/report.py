"""Study report: RESULTS.md and figures of a study, every number computed from its score tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from midclass.detectors.provenance import only_aimed
from midclass.evaluation import comparison
from midclass.evaluation.comparison import Difference, Estimate
from midclass.evaluation.metrics import false_alarm_rate, share_interval
from midclass.evaluation.ranks import CLEARLY
from midclass.evaluation.table import ScoreTable
from midclass.study.cell import table_of
from midclass.study.log import Outcome, read_log
from midclass.study.markdown import TEMPLATES, bold, figure, filled, percent, signed, with_limits
from midclass.study.results import Results, Unseen
from midclass.version import __version__

NAMED = 10
"""Cells without a score table that are named."""
TITLES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "sensitivity_at_5": "sensitivity at 5 % false alarms",
    "sensitivity_at_10": "sensitivity at 10 % false alarms",
}
UNSEEN = ["not assessed, given / target", "AUROC whatever they would score"]
"""Columns of a task in which some cases were not assessed."""
Part = dict[str, Any]
"""What a part of the page is written from, by the names of ``templates/results.md.j2``."""


def markdown(results: Results, folder: Path) -> str:
    """The whole of RESULTS.md."""
    log = log_of(results, folder)
    return filled(
        "results.md.j2",
        TEMPLATES,
        study=results.study,
        ours=results.study.title(results.ours),
        missing=results.missing,
        named=NAMED,
        left_out=left_out(results),
        overview=_overview(results),
        corrected=_corrected(results),
        ranking=ranking(results),
        tasks=[_one_task(results, task, folder) for task in results.main],
        positives=_positives(results),
        known=_known(results),
        spent=spent(log),
        versions=versions(log),
        version=__version__,
    )


def _overview(results: Results) -> Part:
    """Detectors x tasks, by mean rank; detectors that lack a task come last."""
    tasks, study = results.main, results.study
    every = {name for task in tasks for name in results.tables[task]}
    shown = [name for name in every if not study.detectors[name].positives]
    shown.sort(key=lambda name: (results.ranks.get(name, np.inf), name))
    several = len(shown) > 1
    best = {task: results.ordered(task)[0] for task in tasks}
    rows = []
    for name in shown:
        cells = [
            bold(_text(results.compared[task].estimate(name)), best[task] == name)
            if name in results.tables[task]
            else ""
            for task in tasks
        ]
        rank = [f"{results.ranks[name]:.1f}" if name in results.ranks else ""]
        title = bold(study.title(name), name == results.ours)
        rows.append([title, *cells, *(rank if several else [])])
    head = ["detector", *map(study.task_title, tasks), *(["rank"] if several else [])]
    return {"head": head, "rows": rows, "ranked": several}


def ranking(results: Results) -> Part | None:
    """What the test of ranks over the tasks says; None where there is none."""
    test = results.rank_test
    if test is None:
        return None
    return {
        "tasks": test.tasks,
        "p_all": _p(test.p_all),
        "pairs": len(test.pairs),
        "too_few": test.too_few,
        "least_p": figure(test.least_p),
        "enough": test.enough,
        "groups": len(test.groups),
        "differ": sum(p < CLEARLY for p in test.pairs.values()),
    }


def _one_task(results: Results, task: str, folder: Path) -> Part:
    """The detectors of a task, best first, and ours compared with each."""
    compared, ours = results.compared[task], results.study.title(results.ours)
    names, whole = results.ordered(task), results.assesses_all(task)
    several = names != [results.ours]
    rows = []
    for name in names:
        figures = [_text(compared.estimate(name, one)) for one in comparison.FIGURES]
        spread = compared.estimate(name).spread  # of one repeat there is none
        sd = "" if np.isnan(spread) else figure(spread)
        alarmed = percent(*alarms(results.tables[task][name]), digits=1)
        against = ["", ""] if several else []
        if name != results.ours:
            found = results.differences[task, name]
            against = [_difference(found), _p(found.corrected)]
        title = bold(results.study.title(name), name == results.ours)
        out = [] if whole else _unseen(results.unseen(task, name))
        rows.append([title, *figures, *out, sd, alarmed, *against])
    asked = f"false alarms, {100 * results.study.max_fpr_of(task):g} % asked for"
    head = ["detector", *(TITLES[one] for one in comparison.FIGURES)]
    head += [] if whole else UNSEEN
    head += ["sd of AUROC", asked]
    head += [f"AUROC of {ours} minus it", "p, corrected"] if several else []
    one = next(iter(results.tables[task].values()))
    return {
        "name": task,
        "title": results.study.task_title(task),
        "sizes": [f"{(t.label == 0).sum()} + {(t.label == 1).sum()}" for t in one.values()],
        "few": compared.few,
        "aimed": aimed(results, task, folder),
        "not_assessed": _not_assessed(results, task),
        "head": head,
        "rows": rows,
    }


def aimed(results: Results, task: str, folder: Path) -> list[str]:
    """Titles of the detectors whose rate is an aim in any repeat, by what stands beside tables."""
    return [
        results.study.title(name)
        for name in results.ordered(task)
        if any(only_aimed(table_of(folder, one)) for one in results.study.names_of(task, name))
    ]


def _corrected(results: Results) -> Part | None:
    """For how many comparisons p-values are corrected; None where there is none."""
    if not results.main or not results.differences:
        return None
    return {
        "comparisons": len(results.differences),
        "resamples": results.resamples,
        "least_p": _p_to_show(results.least_p),
    }


def _not_assessed(results: Results, task: str) -> Part | None:
    """The cases of a task that ours did not assess; None where all assessed all."""
    if results.assesses_all(task):
        return None
    found = results.unseen(task, results.ours)
    shares = {name: _whole(getattr(found, name)) for name in ("given", "target")}
    limits = {name: figure(getattr(found, name)) for name in ("low", "high")}
    differ = results.compared[task].alike is not None
    return {**shares, **limits, "reasons": results.reasons(task, results.ours), "differ": differ}


def _whole(share: float) -> str:
    return f"{100 * share:.1f} %"


def _unseen(found: Unseen) -> list[str]:
    """The cells under ``UNSEEN``."""
    shares = f"{_whole(found.given)} / {_whole(found.target)}"
    return [shares, f"{figure(found.low)} to {figure(found.high)}"]


def _positives(results: Results) -> list[Part] | None:
    """One table a task: kinds of detectors x number of positives; None where none is varied."""
    study, parts = results.study, []
    for task in results.tables:
        curves = results.curve(task)
        numbers = sorted({number for points in curves.values() for number in points})
        rows = [
            [study.kind_title(kind), *(_text(points[n]) if n in points else "" for n in numbers)]
            for kind, points in curves.items()
        ]
        if rows:
            head = [study.task_title(task), *map(str, numbers)]
            out = _not_assessed(results, task)
            against = _against(results, task)
            parts.append({"head": head, "rows": rows, "not_assessed": out, "against": against})
    return parts or None


def _against(results: Results, task: str) -> Part | None:
    """Ours minus each other kind, by number of positives; None where there is no other."""
    curves = results.known_curves(task)
    if not curves:
        return None
    ours = results.study.kind_title(results.study.detectors[results.ours].kind)
    numbers = sorted({number for points in curves.values() for number in points})
    rows = [
        [results.study.kind_title(kind), *(_gain(points.get(number)) for number in numbers)]
        for kind, points in curves.items()
    ]
    return {"head": [f"{ours} minus", *map(str, numbers)], "rows": rows}


def _gain(found: Difference | None) -> str:
    if found is None:
        return ""
    return f"{_difference(found)}, p {_p(found.corrected)}"


def _difference(found: Difference) -> str:
    return f"{signed(found.value)} ({signed(found.low)} to {signed(found.high)})"


def left_out(results: Results) -> list[Part]:
    """The tasks that the study has and the report has not."""
    study = results.study
    lost = [task for task in study.tasks if task not in results.tables]
    return [
        {"title": study.task_title(task), "planned": results.ours in study.detectors_of(task)}
        for task in lost
    ]


def log_of(results: Results, folder: Path) -> list[Outcome]:
    """What the study's log says last of each of its cells that has a score table."""
    ended = {one.name: one for one in read_log(folder) if not one.error}
    study = results.study
    cells = [c for t in study.tasks for d in study.detectors_of(t) for c in study.names_of(t, d)]
    return [ended[name] for name in cells if name in ended and name not in results.missing]


def spent(log: list[Outcome]) -> Part | None:
    """How long it took, for all and for each detector; None without a log."""
    if not log:
        return None
    spent: dict[str, list[float]] = {}
    for one in log:
        spent.setdefault(one.name.split("/")[1], []).append(one.seconds)
    slowest = sorted(spent, key=lambda name: -float(np.mean(spent[name])))
    return {
        "cells": len(log),
        "hours": f"{sum(map(sum, spent.values())) / 3600:.1f}",
        "each": [f"{name} {np.mean(spent[name]):.0f} s" for name in slowest],
    }


def versions(log: list[Outcome]) -> list[str]:
    """How many score tables each version computed; older logs do not say."""
    names = (
        f"midclass {one.version}" if one.version else "a version not in the log" for one in log
    )
    return [f"{count} by {name}" for name, count in sorted(Counter(names).items())]


def alarms(tables: Mapping[int, ScoreTable]) -> tuple[float, float, float]:
    """False-alarm rate of assessed cases at the threshold: mean, least and most of the repeats.

    Of a single repeat it is the rate with its 95 % interval over patients.
    """
    rates = [false_alarm_rate(t.label[t.assessed], t.flagged[t.assessed]) for t in tables.values()]
    low, high = min(rates), max(rates)
    if len(tables) == 1:
        (table,) = tables.values()
        given = table.take(table.assessed & (table.label == 0))
        low, high = share_interval(given.flagged, given.patient_id)
    return float(np.mean(rates)), low, high


def _text(found: Estimate) -> str:
    return with_limits(*found[:3])


def _known(results: Results) -> Part | None:
    """For how many comparisons with known cases p-values are corrected; None for none."""
    count, resamples = len(results.known_differences), results.resamples
    if not count:
        return None
    least = min(1.0, count * 2 / (1 + resamples))
    return {"comparisons": count, "resamples": resamples, "least_p": _p_to_show(least)}


def _p_to_show(value: float) -> str:
    """To three digits; a smaller one by its first, since none is .000."""
    return figure(value) if value >= 0.001 else f"{value:.1g}".removeprefix("0")


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else figure(value)
