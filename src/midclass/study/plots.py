"""Plots of studies: detectors with intervals, and AUROC over the number of positives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import fill

from matplotlib.figure import Figure

from midclass.evaluation.comparison import Estimate
from midclass.evaluation.plots import ACCENT, GREY, save
from midclass.evaluation.ranks import RankTest

COLOURS = ("#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito, safe for colour-blind eyes."""


def areas(
    path: Path | None,
    title: str,
    found: Mapping[str, Estimate],
    ours: str,
    limits: Mapping[str, tuple[float, ...]] | None = None,
) -> Figure:
    """AUROC of each detector with its interval, the first on top, ours in colour.

    Args:
        path: of the picture; None only returns the figure.
        title: above it.
        found: detector -> AUROC of the cases that it assessed.
        ours: the detector in colour.
        limits: detector -> the least and the most that the AUROC of all cases can be, drawn behind.
    """
    figure = Figure((6.4, 0.8 + 0.26 * len(found)), layout="constrained")
    figure.suptitle(title)  # over the whole width: that of the axes is narrow, names are long
    axes = figure.add_subplot(xlabel="AUROC")
    for row, (name, one) in enumerate(found.items()):
        colour = ACCENT if name == ours else GREY
        low, high = (limits or {}).get(name, (one.value, one.value))
        axes.plot([low, high], [row, row], color=colour, lw=5, alpha=0.2, solid_capstyle="butt")
        axes.plot([one.low, one.high], [row, row], color=colour, lw=1.5)
        axes.plot(one.value, row, "o", color=colour, ms=5)
    axes.axvline(0.5, color=GREY, lw=0.8, ls=":")
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    return save(figure, path)


def ranks(path: Path | None, test: RankTest, titles: Mapping[str, str], ours: str) -> Figure:
    """The critical-difference diagram (Demsar, 2006): mean ranks on a line, bars over groups.

    Args:
        path: of the picture; None only returns the figure.
        test: of the ranks; where tasks are too few, that stands in place of bars.
        titles: of its detectors.
        ours: the detector in colour.
    """
    names, groups = list(test.ranks), test.groups
    left = (len(names) + 1) // 2
    above = 0.9 + 0.32 * max(len(groups), 1)
    figure = Figure((9.2, 0.9 + 0.25 * (left + above)), layout="constrained")
    axes = figure.add_subplot()
    for row, name in enumerate(names):
        side, place = (-1, row) if row < left else (1, len(names) - 1 - row)
        rank, y = test.ranks[name], -above - place
        end = 0.8 if side < 0 else len(names) + 0.2
        colour = ACCENT if name == ours else "black"
        axes.plot([rank, rank, end], [0, y, y], color=colour if name == ours else GREY, lw=0.9)
        axes.plot(rank, 0, "o", color=colour, ms=5, zorder=3, clip_on=False)
        said = (titles[name], f"{rank:.1f}")
        text = "  ".join(said if side < 0 else said[::-1])
        align = "right" if side < 0 else "left"
        axes.text(end + 0.1 * side, y, text, ha=align, va="center", color=colour, fontsize=9)
    for number, group in enumerate(groups):
        ends = [test.ranks[group[0]] - 0.04, test.ranks[group[-1]] + 0.04]
        axes.plot(ends, [-0.5 - 0.32 * number] * 2, color="black", lw=4, solid_capstyle="butt")
    if test.too_few:
        few = f"{test.tasks} tasks are too few to tell pairs apart: no bars"
        below = -above - left + 0.1
        axes.text((1 + len(names)) / 2, below, few, ha="center", fontsize=8, color=GREY)
    axes.set_xticks(range(1, len(names) + 1, 1 + len(names) // 12))
    axes.xaxis.tick_top()
    axes.set_xlabel(f"mean rank over {test.tasks} tasks, 1 is best")
    axes.xaxis.set_label_position("top")
    axes.set(xlim=(0.8, len(names) + 0.2), ylim=(-above - left - 0.1, 0))
    axes.set_yticks([])
    axes.spines[["left", "right", "bottom"]].set_visible(False)
    return save(figure, path)


def curves(path: Path | None, found: Mapping[str, Mapping[str, Mapping[int, Estimate]]]) -> Figure:
    """AUROC over the number of positives: one panel a task, one line a kind of detector."""
    figure = Figure((4.2 * len(found) + 2.6, 3.6), layout="constrained")
    panels = figure.subplots(1, len(found), squeeze=False, sharey=True)[0]
    kinds = sorted({kind for lines in found.values() for kind in lines})
    for axes, (task, lines) in zip(panels, found.items(), strict=True):
        for kind, points in lines.items():
            colour = COLOURS[kinds.index(kind) % len(COLOURS)]
            numbers, seen = list(points), list(points.values())
            axes.plot(numbers, [one.value for one in seen], "o-", color=colour, ms=4, label=kind)
            low, high = [one.low for one in seen], [one.high for one in seen]
            if len(seen) > 1:
                axes.fill_between(numbers, low, high, color=colour, alpha=0.12, lw=0)
            else:
                axes.vlines(numbers, low, high, color=colour, lw=1)
        axes.set(title=fill(task, 36), xlabel="positives to learn from")
        axes.set_xscale("symlog", linthresh=2)
        every = sorted({n for points in lines.values() for n in points})
        axes.set_xticks(every, [str(n) for n in every])
        axes.minorticks_off()
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("AUROC")
    shown = {line.get_label(): line for axes in panels for line in axes.get_lines()}
    figure.legend(shown.values(), shown, loc="outside right center", frameon=False)
    return save(figure, path)
