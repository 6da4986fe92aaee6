"""Figures of a page: which curves a run has, each drawn from its score table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midclass.evaluation.conformal import aim
from midclass.evaluation.curves import Band, measured_rate, precision_band, roc_band, roc_curve
from midclass.evaluation.page.chart import Chart
from midclass.evaluation.page.run import Run
from midclass.evaluation.page.words import between, percent, series
from midclass.evaluation.page.words import part as named
from midclass.evaluation.report import false_alarms
from midclass.evaluation.table import UNKNOWN

BINS = 30


def roc(run: Run) -> Chart:
    """Sensitivity over false alarms, with its band, and the operating point with its limits."""
    chart = Chart(
        f"ROC curve: sensitivity over false alarms; area {run.figures['auroc']['value']:.3f}",
        "normal images flagged (1 minus specificity)",
        "images with it that are flagged (sensitivity)",
    )
    chart.line([0, 1], [0, 1], "chance")
    _banded(chart, roc_band(run.table))
    chart.line(*roc_curve(run.table), "target")
    chart.upright(run.figures["max_fpr"], "promised", aim(run.figures["promised"]))
    alarm, hit = run.figures["false_alarm_rate"], run.figures["sensitivity"]
    if alarm is not None and hit is not None:
        chart.point(
            alarm["value"],
            hit["value"],
            "flag",
            (alarm["low"], alarm["high"]),
            (hit["low"], hit["high"]),
            f"at the threshold: sensitivity {percent(hit['value'])}, "
            f"false alarms {percent(alarm['value'])}",
        )
    return chart


def precision_recall(run: Run) -> Chart:
    """Precision over sensitivity, with its band, and what chance would reach."""
    area = run.figures["average_precision"]["value"]
    chart = Chart(
        f"Precision over sensitivity; average precision {area:.3f}",
        "sensitivity (recall)",
        "flagged images that have it (precision)",
    )
    seen = run.table.label[run.table.assessed & (run.table.label != UNKNOWN)]
    share = float((seen == 1).mean())
    chart.line([0, 1], [share, share], "chance")
    chart.text(0.02, share - 0.045, f"chance: {percent(share)} of these images have it")
    band = precision_band(run.table)
    _banded(chart, band)
    chart.line(band.x, band.value, "target")
    return chart


def promise(run: Run, most: float) -> Chart:
    """Which share of normals is flagged, over the rate that is promised, up to ``most``.

    Up to 1 it is the distribution of the p-values of normals, which is the even one where they are
    like those that calibrated.
    """
    rates, word = np.linspace(0, most, 101)[1:], aim(run.figures["promised"])
    chart = Chart(
        f"Normal images flagged, over the rate {word}, up to {percent(most)}",
        f"false-alarm rate {word} (p-value)",
        "normal images flagged",
        (0, most),
        (0, most),
    )
    band = measured_rate(run.table, rates)
    chart.band(rates, band.low.clip(0, most), band.high.clip(0, most), "given")
    chart.line([0, most], [0, most], "chance")
    chart.text(0.97 * most, 0.04 * most, "kept: below the dotted line", "end")
    chart.line(rates, band.value.clip(0, most), "given")
    chart.upright(run.figures["max_fpr"], "promised", f"used: {percent(run.figures['max_fpr'])}")
    return chart


def scores(run: Run) -> Chart:
    """The scores of both classes, each as shares of its class, and the threshold."""
    table = run.table.take(run.table.assessed & (run.table.label != UNKNOWN))
    low, high = float(table.score.min()), float(table.score.max())
    low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    edges = np.linspace(low, high, BINS + 1)
    shares = [_shares(table.score[table.label == label], edges) for label in (0, 1)]
    chart = Chart(
        f"Scores of {run.given} and of {run.target}",
        "score (higher is more suspicious)",
        "share of the class",
        (low, high),
        (0, 1.12 * float(max(map(np.max, shares)))),
        "y",
        width=860,
        height=300,
    )
    for heights, kind in zip(shares, ("given", "target"), strict=True):
        chart.bars(edges, heights, kind)
    threshold = float(table.threshold[0])
    if low <= threshold <= high:
        right = threshold > (low + high) / 2
        chart.upright(threshold, "threshold", "threshold: flagged from here", to_the_left=right)
    return chart


def training(history: Mapping[str, Any]) -> list[Chart]:
    """Loss, and the figure by which a checkpoint is chosen, over the steps of a training."""
    judged = "AUROC of middle classes of held-out patients"  # by which the method chooses
    if "scores" not in history:
        judged = "figure on held-out images, higher is better"
    names = {"loss": "training loss", "validation": judged}
    step = np.asarray(history["step"], float)
    charts = []
    for name, said in names.items():
        values = np.asarray(history.get(name, []), float)
        if len(values) != len(step) or not np.isfinite(values).all() or not len(step):
            continue
        low, high = _around(values)
        title = f"{said} over {len(step)} checkpoints"
        across = (0.0, float(step.max()))
        chart = Chart(title, "step", said, across, (low, high), "", height=260)
        chart.line(step, values, "target")
        for i, (x, y) in enumerate(zip(step, values, strict=True)):
            chosen = i == history.get("best")
            kind, note = ("flag", ", chosen") if chosen else ("target", "")
            chart.point(x, y, kind, said=f"step {x:g}: {y:.3f}{note}")
        charts.append(chart)
    return charts


def nuisance(run: Run) -> Chart | None:
    """False alarms over the strength of each nuisance; None where they were not computed."""
    if run.nuisance is None:
        return None
    rates = false_alarms(run.nuisance)
    still = rates.pop("none")[0.0]["value"]
    values = [one["value"] for row in rates.values() for one in row.values()]
    top = min(1.0, 1.15 * max([still, run.figures["max_fpr"], *np.nan_to_num(values)]))
    chart = Chart(
        "False alarms over the strength of each nuisance",
        "strength (1: the extreme of the recipe's range)",
        "normal images flagged",
        (0, max(strength for row in rates.values() for strength in row)),
        (0, top),
        "y",
        width=860,
    )
    chart.line(chart.x, [run.figures["max_fpr"]] * 2, "promised")
    for number, (part, row) in enumerate(rates.items()):
        kind = series(number)
        shown = {s: one for s, one in row.items() if np.isfinite(one["value"])}
        chart.line([0, *shown], [still, *(one["value"] for one in shown.values())], kind)
        for strength, one in shown.items():
            said = f"{named(part)} at {strength:g}: {between(one)}"
            chart.point(strength, one["value"], kind, said=said)
    return chart


def _banded(chart: Chart, band: Band) -> None:
    if band.known:
        chart.band(band.x, band.low, band.high, "target")


def _shares(values: NDArray[Any], edges: NDArray[Any]) -> NDArray[Any]:
    counts, _ = np.histogram(values, edges)
    return counts / max(len(values), 1)


def _around(values: NDArray[Any]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.12 * (high - low) or 0.05
    return low - room, high + room
