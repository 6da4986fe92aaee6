"""Study page: a study as one HTML file, for people; every figure is of its score tables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from midclass.evaluation import comparison
from midclass.evaluation.comparison import Estimate
from midclass.evaluation.page.chart import Chart
from midclass.evaluation.page.words import series
from midclass.evaluation.page.write import environment
from midclass.evaluation.ranks import CLEARLY, rank_limits
from midclass.study.markdown import TEMPLATES
from midclass.study.report import TITLES, aimed, alarms, left_out, log_of, ranking, spent, versions
from midclass.study.results import Results

Part = dict[str, Any]


def html(results: Results, folder: Path) -> str:
    """The page of a study.

    Args:
        results: what it found.
        folder: with the log of the run, where there is one.
    """
    log = log_of(results, folder)
    return (
        environment(TEMPLATES)
        .get_template("study.html.j2")
        .render(
            study=results.study,
            results=results,
            ours=results.study.title(results.ours),
            titles=TITLES,
            figures=comparison.FIGURES,
            left_out=left_out(results),
            tasks=[_task(results, task, folder) for task in results.main],
            overview=_overview(results),
            ranks=_ranks(results),
            ranking=ranking(results),
            positives=_positives(results),
            ours_known=results.study.kind_title(results.study.detectors[results.ours].kind),
            spent=spent(log),
            versions=versions(log),
            clearly=CLEARLY,
        )
    )


def _task(results: Results, task: str, folder: Path) -> Part:
    compared, title = results.compared[task], results.study.title
    names = results.ordered(task)
    differences = {n: results.differences[task, n] for n in names if n != results.ours}
    return {
        "name": task,
        "title": results.study.task_title(task),
        "few": compared.few,
        "aimed": aimed(results, task, folder),
        "own": compared.estimate(results.ours),
        "sizes": [
            [int((t.label == label).sum()) for label in (0, 1)]
            for t in results.tables[task][results.ours].values()
        ],
        "max_fpr": results.study.max_fpr_of(task),
        "rows": [
            {
                "title": title(name),
                "own": name == results.ours,
                "figures": {one: compared.estimate(name, one) for one in comparison.FIGURES},
                "alarms": alarms(results.tables[task][name]),
                "unseen": results.unseen(task, name),
                "difference": differences.get(name),
            }
            for name in names
        ],
        "areas": _areas(results, task),
        "differences": _differences(results, task) if differences else None,
        "whole": results.assesses_all(task),
        "alike": compared.alike is None,
    }


def _areas(results: Results, task: str) -> Chart:
    """AUROC of each detector, and behind it where it lies whatever is not assessed would score."""
    names = results.ordered(task)
    found = {name: results.compared[task].estimate(name) for name in names}
    low = min([0.5, *(one.low for one in found.values())])
    chart = Chart.rows(
        f"AUROC of each detector: {results.study.task_title(task)}",
        "AUROC",
        (max(0.0, low - 0.03), 1.0),
        [results.study.title(name) for name in names],
        width=560,
    )
    chart.line([0.5, 0.5], list(chart.y), "chance")
    for row, (name, one) in enumerate(found.items()):
        kind = "target" if name == results.ours else "given"
        ends = results.unseen(task, name)[2:]
        chart.line(ends, [row, row], f"behind {kind}")
        said = f"{results.study.title(name)}: {one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
        chart.point(one.value, row, kind, across=(one.low, one.high), said=said)
    return chart


def _differences(results: Results, task: str) -> Chart:
    """Our AUROC minus that of each other detector."""
    names = [name for name in results.ordered(task) if name != results.ours]
    found = [results.differences[task, name] for name in names]
    low, high = min(0.0, *(d.low for d in found)), max(0.0, *(d.high for d in found))
    room = 0.05 * (high - low)
    chart = Chart.rows(
        f"AUROC of {results.study.title(results.ours)} minus that of each other detector",
        f"AUROC of {results.study.title(results.ours)} minus its",
        (low - room, high + room),
        [results.study.title(name) for name in names],
        width=560,
    )
    chart.line([0, 0], list(chart.y), "chance")
    for row, (name, one) in enumerate(zip(names, found, strict=True)):
        clear = one.corrected < CLEARLY
        kind = "flag" if not clear else "target" if one.value > 0 else "given"
        said = f"{results.study.title(name)}: {one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})"
        chart.point(one.value, row, kind, across=(one.low, one.high), said=said)
    return chart


def _overview(results: Results) -> list[Part]:
    """Detectors and their AUROC in each task, by mean rank."""
    every = {name for task in results.main for name in results.ordered(task)}
    shown = sorted(every, key=lambda name: (results.ranks.get(name, np.inf), name))
    return [
        {
            "title": results.study.title(name),
            "own": name == results.ours,
            "cells": [
                results.compared[task].estimate(name) if name in results.tables[task] else None
                for task in results.main
            ],
            "rank": results.ranks.get(name),
        }
        for name in shown
    ]


def _ranks(results: Results) -> Chart | None:
    """Mean ranks with their intervals; None where there is nothing to rank."""
    if len(results.ranks) < 2:
        return None
    drawn = {
        task: {
            name: (results.compared[task].alike or results.compared[task]).drawn[name]["auroc"]
            for name in results.ordered(task)
        }
        for task in results.main
    }
    limits = rank_limits(drawn)
    names = sorted(results.ranks, key=lambda name: results.ranks[name])
    groups = results.rank_test.groups if results.rank_test else []
    room = 0.02 * len(names)
    end = len(names) + 0.5 + room * (len(groups) + 0.5)
    chart = Chart.rows(
        "Mean rank of each detector over the tasks, 1 is best",
        "mean rank over the tasks (1 is best)",
        (0.5, end),
        [results.study.title(name) for name in names],
        width=860,
    )
    for row, name in enumerate(names):
        kind = "target" if name == results.ours else "given"
        low, high = limits[name]
        said = f"{results.study.title(name)}: {results.ranks[name]:.1f} ({low:.1f} to {high:.1f})"
        chart.point(results.ranks[name], row, kind, across=(low, high), said=said)
    for number, group in enumerate(groups):  # a critical-difference diagram, on its side
        at, rows = end - room * (number + 0.7), [names.index(group[0]), names.index(group[-1])]
        chart.line([at, at], [rows[0] - 0.2, rows[1] + 0.2], "group")
    return chart


def _positives(results: Results) -> list[Part]:
    """AUROC over the number of positives, a figure and a table for each task that varies it."""
    parts = []
    for task in results.tables:
        curves = {
            results.study.kind_title(kind): points for kind, points in results.curve(task).items()
        }
        if curves:
            numbers = sorted({number for points in curves.values() for number in points})
            title = results.study.task_title(task)
            chart = _curves(title, curves, numbers)
            against = results.known_curves(task)
            parts.append(
                {
                    "title": title,
                    "chart": chart,
                    "curves": curves,
                    "numbers": numbers,
                    "against": {
                        results.study.kind_title(kind): one for kind, one in against.items()
                    },
                }
            )
    return parts


def _curves(title: str, curves: Mapping[str, Mapping[int, Estimate]], numbers: list[int]) -> Chart:
    place = {number: float(np.log2(1 + number)) for number in numbers}
    ends = [end for points in curves.values() for one in points.values() for end in one[1:3]]
    chart = Chart(
        f"AUROC over the number of positives: {title}",
        "target-class cases to learn from",
        "AUROC",
        (min(place.values()) - 0.2, max(place.values()) + 0.2),
        (max(0.0, min(ends) - 0.02), min(1.0, max(ends) + 0.02)),
        "",
        width=860,
        height=380,
        ticks={place[number]: str(number) for number in numbers},
    )
    for row, (name, points) in enumerate(curves.items()):
        x, kind = [place[number] for number in points], series(row)
        low, high = [one.low for one in points.values()], [one.high for one in points.values()]
        chart.band(x, low, high, kind)
        chart.line(x, [one.value for one in points.values()], kind)
        for number, one in points.items():
            said = f"{name}, {number}: {one.value:.3f} ({one.low:.3f} to {one.high:.3f})"
            chart.point(place[number], one.value, kind, said=said)
    return chart
