"""Study report: RESULTS.md and figures of a study, every number computed from its score tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from midclass.evaluation import comparison
from midclass.evaluation.comparison import Estimate
from midclass.evaluation.metrics import false_alarm_rate
from midclass.evaluation.table import ScoreTable
from midclass.study.log import Outcome, read_log
from midclass.study.results import Results
from midclass.version import __version__

NAMED = 10
"""Cells without a score table that are named."""
TITLES = {
    "auroc": "AUROC",
    "average_precision": "average precision",
    "sensitivity_at_5": "sensitivity at 5 % false alarms",
    "sensitivity_at_10": "sensitivity at 10 % false alarms",
}


def markdown(results: Results, folder: Path) -> str:
    """The whole of RESULTS.md."""
    study = results.study
    parts = [
        f"# Results: {study.summary or study.name}",
        "Written by `midclass report` from the score tables in `scores/`; do not edit. "
        f"Repeats: {study.repeats} (seed, and random split where the task has one); intervals are "
        "95 %, from resampling patients and repeats together, the same resamples for all "
        "detectors. Detectors in the tables have seen no target-class case unless it is said.",
        _lost(results),
    ]
    if results.main:
        parts += ["## AUROC", _overview(results), _corrected(results)]
        parts += [_one_task(results, task) for task in results.main]
    if any(results.curve(task) for task in results.tables):
        parts += ["## With a few positives", *_positives(results)]
    log = _log(results, folder)
    parts += ["## Time", _time(log), _versions(log)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _overview(results: Results) -> str:
    """Detectors x tasks, by mean rank; detectors that lack a task come last."""
    tasks = results.main
    every = {name for task in tasks for name in results.tables[task]}
    shown = [n for n in every if not results.study.detectors[n].positives]
    shown.sort(key=lambda name: (results.ranks.get(name, np.inf), name))
    several = len(shown) > 1
    best = {task: results.ordered(task)[0] for task in tasks}
    rows = []
    for name in shown:
        cells = [
            _bold(_text(results.compared[task].estimate(name)), best[task] == name)
            if name in results.tables[task]
            else ""
            for task in tasks
        ]
        rank = [f"{results.ranks[name]:.1f}" if name in results.ranks else ""]
        title = _bold(results.study.title(name), name == results.ours)
        rows.append([title, *cells, *(rank if several else [])])
    head = ["detector", *map(results.study.task_title, tasks), *(["rank"] if several else [])]
    said = "Mean over repeats with its interval." + (" Rank: mean over the tasks." * several)
    return f"{table(head, rows)}\n\n{said}{_chance(results)}"


def _one_task(results: Results, task: str) -> str:
    compared, ours = results.compared[task], results.study.title(results.ours)
    out, names = results.not_assessed(task), results.ordered(task)
    several = names != [results.ours]
    rows = []
    for name in names:
        figures = [_text(compared.estimate(name, figure)) for figure in comparison.FIGURES]
        spread = compared.estimate(name).spread  # of one repeat there is none
        sd = "" if np.isnan(spread) else _figure(spread)
        alarms = _alarms(results.tables[task][name])
        against = ["", ""] if several else []
        if name != results.ours:
            found = results.differences[task, name]
            low, high = _signed(found.low), _signed(found.high)
            against = [f"{_signed(found.value)} ({low} to {high})", _p(found.corrected)]
        title = _bold(results.study.title(name), name == results.ours)
        alone = [_figure(results.auroc_of_assessed(task, name))] if out else []
        rows.append([title, *figures, *alone, sd, alarms, *against])
    promised = f"false alarms, {100 * results.study.max_fpr_of(task):g} % promised"
    head = ["detector", *(TITLES[figure] for figure in comparison.FIGURES)]
    head += ["AUROC of assessed cases"] if out else []
    head += ["sd of AUROC", promised]
    head += [f"AUROC of {ours} minus it", "p, corrected"] if several else []
    one = next(iter(results.tables[task].values()))
    sizes = [f"{(t.label == 0).sum()} + {(t.label == 1).sum()}" for t in one.values()]
    parts = [
        f"## {results.study.task_title(task)}",
        f"Test cases of each repeat, given + target class: {', '.join(sizes)}.",
        _without_assessment(results, task),
        table(head, rows),
        f"![AUROC of the detectors](auroc_{task}.svg)",
    ]
    return "\n\n".join(part for part in parts if part)


def _corrected(results: Results) -> str:
    if not results.differences:
        return ""
    return (
        f"P-values below are corrected for {len(results.differences)} comparisons (Holm); "
        f"{results.resamples} resamples cannot show one below {_figure(results.least_p)}."
    )


def _chance(results: Results) -> str:
    """Which tasks have another level of chance than .5."""
    levels = {task: results.not_assessed(task).auroc for task in results.main}
    raised = [
        f"{_figure(level)} in {results.study.task_title(task)}"
        for task, level in levels.items()
        if level != 0.5
    ]
    return f" Chance is .5, but {', '.join(raised)}, see there." if raised else ""


def _without_assessment(results: Results, task: str) -> str:
    """Who scores -inf in a task, and the level of chance that it makes."""
    found = results.not_assessed(task)
    if not found:
        return ""
    ours, others = results.study.title(results.ours), map(results.study.title, found.differ)
    who = f"{ours}, but other cases with {', '.join(others)}" if found.differ else "every detector"
    where = f"for {ours}; the level of the others is another" if found.differ else "here"
    return (
        f"On average {found.given:.0f} cases of the given and {found.target:.0f} of the target "
        f"class show too little anatomy to be assessed and come last with {who}. That "
        f"alone has an AUROC of {_figure(found.auroc)}, which is the level of chance {where}."
    )


def _positives(results: Results) -> list[str]:
    """One table a task: kinds of detectors x number of positives."""
    study = results.study
    parts = [
        "AUROC with the given number of target-class cases to learn from, the same ones for all.",
        "![AUROC over the number of positives](positives.svg)",
    ]
    for task in results.tables:
        curves = results.curve(task)
        numbers = sorted({number for points in curves.values() for number in points})
        rows = [
            [study.kind_title(kind), *(_text(points[n]) if n in points else "" for n in numbers)]
            for kind, points in curves.items()
        ]
        if rows:
            head = [study.task_title(task), *map(str, numbers)]
            parts += [table(head, rows), _without_assessment(results, task)]
    return parts


def _lost(results: Results) -> str:
    """What the study has and the report has not."""
    study, missing, lines = results.study, results.missing, []
    if missing:
        left = len(missing) - NAMED
        more = f" and {left} more" if left > 0 else ""
        lines.append(
            f"**Not complete**: {len(missing)} cells have no score table, and detectors that "
            f"lack one are left out: {', '.join(missing[:NAMED])}{more}."
        )
    for task in study.tasks:
        if task not in results.tables:
            planned = results.ours in study.detectors_of(task)
            why = "lacks a score table of it" if planned else "is not run on it"
            title = study.title(results.ours)
            lines.append(f"**Left out**: {study.task_title(task)}, because {title} {why}.")
    return " ".join(lines)


def _log(results: Results, folder: Path) -> list[Outcome]:
    """What the study's log says last of each of its cells that has a score table."""
    ended = {one.name: one for one in read_log(folder) if not one.error}
    study = results.study
    cells = [c for t in study.tasks for d in study.detectors_of(t) for c in study.names_of(t, d)]
    return [ended[name] for name in cells if name in ended and name not in results.missing]


def _time(log: list[Outcome]) -> str:
    """How long it took, for all and for each detector."""
    if not log:
        return "The log of the run is not there."
    spent: dict[str, list[float]] = {}
    for one in log:
        spent.setdefault(one.name.split("/")[1], []).append(one.seconds)
    hours = sum(map(sum, spent.values())) / 3600
    slowest = sorted(spent, key=lambda name: -float(np.mean(spent[name])))
    each = ", ".join(f"{name} {np.mean(spent[name]):.0f} s" for name in slowest)
    return (
        f"{sum(map(len, spent.values()))} cells took {hours:.1f} hours of one core together; "
        f"mean of a cell: {each}."
    )


def _versions(log: list[Outcome]) -> str:
    """Which versions computed the score tables and this page; older logs do not say."""
    names = (
        f"midclass {one.version}" if one.version else "a version not in the log" for one in log
    )
    each = ", ".join(f"{count} by {name}" for name, count in sorted(Counter(names).items()))
    return f"Score tables: {each}. " * bool(each) + f"This page: by midclass {__version__}."


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _alarms(tables: Mapping[int, ScoreTable]) -> str:
    rates = [false_alarm_rate(t.label, t.flagged) for t in tables.values()]
    return f"{100 * np.mean(rates):.1f} % ({100 * min(rates):.1f} to {100 * max(rates):.1f})"


def _text(found: Estimate) -> str:
    value, low, high = map(_figure, found[:3])
    return f"{value} ({low} to {high})"


def _figure(value: float) -> str:
    return f"{value:.3f}".removeprefix("0")


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("0.", ".", 1)


def _p(value: float) -> str:
    return "< .001" if value < 0.001 else _figure(value)


def _bold(text: str, wanted: bool) -> str:
    return f"**{text}**" if wanted else text
