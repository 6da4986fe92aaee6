"""Plots: ROC curve and heat maps, as files.

With ``panel``, ``preview.page`` and ``study.plots`` the only ones with matplotlib.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from midclass.evaluation.conformal import aim
from midclass.evaluation.curves import roc_curve
from midclass.evaluation.heat import HeatScale
from midclass.evaluation.panel import Panel, coloured, gradient, meaning, over, rgb
from midclass.files import new_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from midclass.evaluation.table import ScoreTable

OUTLINE, ACCENT, GREY = "#56B4E9", "#D55E00", "#666666"  # Okabe and Ito, safe for colour-blind eyes
DPI = 100


def roc(path: Path | None, title: str, table: ScoreTable, figures: Mapping[str, Any]) -> Figure:
    """The ROC curve of assessed cases, the operating point with its intervals, the promised rate.

    Args:
        path: of the PNG; None only returns the figure.
        title: above the curve.
        table: scores of both classes.
        figures: what ``report`` says of the table.
    """
    figure = Figure((5.4, 5.4), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    false_alarms, found = roc_curve(table)
    axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
    axes.plot(false_alarms, found, color="#0072B2", lw=2)
    axes.axvline(figures["max_fpr"], color=GREY, lw=0.8, ls="--")
    word = aim(figures.get("promised", {}))
    axes.text(figures["max_fpr"] + 0.01, 0.01, word, color=GREY, fontsize=8)
    lines = [f"AUROC {interval_text(figures['auroc'])}"]
    alarm, hit = figures["false_alarm_rate"], figures["sensitivity"]
    if alarm is not None and hit is not None:
        x, y = alarm["value"], hit["value"]
        axes.errorbar(
            x,
            y,
            xerr=[[x - alarm["low"]], [alarm["high"] - x]],
            yerr=[[y - hit["low"]], [hit["high"] - y]],
            fmt="o",
            color=ACCENT,
            ms=6,
            lw=1.2,
            capsize=3,
        )
        lines += [
            "at the threshold:",
            f"   sensitivity {interval_text(hit)}",
            f"   false-alarm rate {interval_text(alarm)}",
            f"   {word} at most {figures['max_fpr']:g}",
        ]
    if any(figures["not_assessed"].values()):
        share = figures["share_not_assessed"]
        low, high = figures["bounds"]["auroc"]
        lines += [
            "not assessed, and not in the curve:",
            *(f"   {share[name]['value']:.1%} of the {name} class" for name in share),
            f"   with them AUROC {low:.3f} to {high:.3f}",
        ]
    axes.text(0.42, 0.06, "\n".join(lines), va="bottom", fontsize=9, linespacing=1.5)
    axes.set(
        xlim=(-0.01, 1.01),
        ylim=(-0.01, 1.01),
        aspect="equal",
        xlabel="false-alarm rate (given class flagged)",
        ylabel="sensitivity (target class flagged)",
    )
    axes.set_title(title, loc="left", fontsize=11, parse_math=False)
    axes.spines[["top", "right"]].set_visible(False)
    return save(figure, path)


def heat_maps(
    path: Path | None, title: str, groups: Mapping[str, Sequence[Panel]], scale: HeatScale
) -> Figure:
    """Examples in named groups, one group a row: each image with outline, and its heat map.

    Args:
        path: of the PNG; None only returns the figure.
        title: above them; beside it are the colours and what they mean.
        groups: by name.
        scale: of the detector.
    """
    shown = [panel for panels in groups.values() for panel in panels]
    across = max(1, *(len(panels) for panels in groups.values()))
    height, width = shown[0].pixels.shape[1:] if shown else (1, 1)
    cell, text, top, left = 1.75, 0.5, 0.35, 0.3  # inches
    tall = [cell * height / width if panels else 0.4 for panels in groups.values()]
    size = (max(2 * cell * across, 6.0) + left, sum(tall) + text * len(groups) + top)
    figure = Figure(size, dpi=DPI)
    figure.suptitle(
        title, x=0.01, y=1 - 0.1 / size[1], ha="left", va="top", fontsize=11, parse_math=False
    )
    axes = figure.subplots(
        len(groups), 2 * across, squeeze=False, gridspec_kw={"height_ratios": tall}
    )
    between = text * len(groups) / sum(tall)  # of the mean height of a row
    top_edge = 1 - (top + text) / size[1]
    figure.subplots_adjust(left / size[0], 0.05 / size[1], 0.995, top_edge, 0.03, between)
    for row, (name, panels) in zip(axes, groups.items(), strict=True):
        row[0].set_ylabel(name, fontsize=10 if panels else 8)
        if not panels:
            row[0].text(0.05, 0.5, "none", transform=row[0].transAxes, fontsize=9, color=GREY)
        for i in range(across):
            panel = panels[i] if i < len(panels) else None
            show_panel(row[2 * i], panel and Panel(panel.pixels, panel.anatomy))
            if panel is not None:
                row[2 * i].set_title(panel.text, fontsize=8, loc="left", pad=3, parse_math=False)
            show_panel(row[2 * i + 1], panel and coloured(panel, scale))
    _colours(figure, size, scale)
    return save(figure, path)


def _colours(figure: Figure, size: tuple[float, float], scale: HeatScale) -> None:
    """The colours and what they mean, in the upper right corner."""
    wide, high = 0.8 / size[0], 0.14 / size[1]
    axes = figure.add_axes((1 - wide - 0.01, 1 - 0.1 / size[1] - high, wide, high))
    axes.imshow(gradient(), aspect="auto")
    axes.set(xticks=[], yticks=[])
    text = meaning(scale)
    axes.text(-0.05, 0.5, text, transform=axes.transAxes, ha="right", va="center", fontsize=8)


def interval_text(figure: Mapping[str, float], digits: int = 3) -> str:
    """A figure with its interval, for people.

    >>> interval_text({"value": 0.5, "low": 0.41, "high": 0.59})
    '0.500 (0.410 to 0.590)'
    """
    value, low, high = (f"{figure[name]:.{digits}f}" for name in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


def show_panel(axes: Axes, panel: Panel | None, opacity: float = 0.7) -> None:
    """One image with all that belongs to it; None leaves the place empty.

    Args:
        axes: where.
        panel: what.
        opacity: of the heat map where it is 1.
    """
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if panel is None:
        return
    image = rgb(panel.pixels)
    axes.imshow(over(image, panel.heat, opacity), interpolation="bilinear")
    if panel.anatomy is not None and panel.anatomy.any() and not panel.anatomy.all():
        axes.contour(panel.anatomy, levels=[0.5], colors=[OUTLINE], linewidths=0.9)
    outlined = [withStroke(linewidth=2, foreground="black")]
    if panel.text:
        axes.text(
            *(0.03, 0.97, panel.text),
            transform=axes.transAxes,
            va="top",
            color="white",
            fontsize=8,
            path_effects=outlined,
            parse_math=False,
        )
    if panel.spacing_mm is not None:
        _scale_bar(axes, image.shape[:2], panel.spacing_mm[1])


def _scale_bar(axes: Axes, shape: tuple[int, ...], spacing_mm: float) -> None:
    """A round length of about a quarter of the image's width."""
    height, width = shape
    about = width * spacing_mm / 4
    ten = 10 ** np.floor(np.log10(about))
    length_mm = max(n * ten for n in (1, 2, 5) if n * ten <= about)
    right, y = 0.96 * width, 0.95 * height
    left = right - length_mm / spacing_mm
    axes.plot([left, right], [y, y], color="black", lw=4, solid_capstyle="butt")
    axes.plot([left, right], [y, y], color="white", lw=2, solid_capstyle="butt")
    axes.text(
        right,
        y - 0.025 * height,
        f"{length_mm:g} mm",
        color="white",
        fontsize=7,
        ha="right",
        va="bottom",
        path_effects=[withStroke(linewidth=2, foreground="black")],
    )


def save(figure: Figure, path: Path | None) -> Figure:
    """Write a figure and return it; without a path only return it.

    The format is the one that the file's name ends in; the same bytes every time. The file appears
    whole or not at all, and says that midclass drew it, so that it may be drawn anew.
    """
    FigureCanvasAgg(figure)
    if path is None:
        return figure
    kind = path.suffix.lower().removeprefix(".")
    said = {
        "png": ("Software", None),
        "svg": ("Creator", "Date"),
        "pdf": ("Creator", "CreationDate"),
    }
    name, dated = said[kind]
    metadata = {name: "midclass"} | ({dated: None} if dated else {})
    with mpl.rc_context({"svg.hashsalt": "midclass"}), new_file(path) as file:
        figure.savefig(file, format=kind, metadata=metadata)
    return figure
