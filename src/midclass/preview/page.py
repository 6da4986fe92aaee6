"""Contact sheet: given-class images above what each operator makes of them, faint to clear."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from midclass.evaluation.panel import Panel
from midclass.evaluation.plots import OUTLINE, save, show_panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SURROUND, BRIGHT, DIM, ACCENT = (
    "#111111",
    "#FFFFFF",
    "#A8A8A8",
    "#FF9F43",
)  # dark, as films are read
LABEL, TILE, GAP, BETWEEN, EDGE = 2.15, 1.35, 0.03, 0.13, 0.1  # inches
TOP, LINE, LETTERS = 0.62, 0.135, 37  # header, a line of small text, letters in one


@dataclass(frozen=True)
class Strip:
    """One middle class on the sheet: two rows of tiles.

    Attributes:
        name: of the middle class.
        kind: such as ``"middle class"``.
        made_of: its operators.
        why: why it holds.
        panels: one for each given-class image: what was made of it, with the change map as heat.
    """

    name: str
    kind: str
    made_of: str
    why: str
    panels: Sequence[Panel]


@dataclass(frozen=True)
class Block:
    """Given-class images, one a column, and the middle classes made of them.

    Attributes:
        name: of the given class.
        about: what the images are.
        given: the images as they are.
        strips: the middle classes.
    """

    name: str
    about: str
    given: Sequence[Panel]
    strips: Sequence[Strip]


def contact_sheet(path: Path | None, title: str, summary: str, blocks: Sequence[Block]) -> Figure:
    """Draw blocks below each other.

    A strip is two rows: what was made of the images, untouched by any drawing; and the given-class
    images again, with what changed tinted and outlined.
    """
    page = _Page(title, summary, *_size_of(blocks))
    for block in blocks:
        page.label(block.name, "given class", "", block.about, 1)
        page.row(block.given)
        for strip in block.strips:
            page.top += BETWEEN
            page.label(strip.name, strip.kind, strip.made_of, strip.why, 2)
            page.row([replace(panel, heat=None) for panel in strip.panels])
            before = zip(block.given, strip.panels, strict=True)
            page.row([Panel(given.pixels, heat=made.heat) for given, made in before])
        page.top += 2 * BETWEEN
    return save(page.figure, path)


def _size_of(blocks: Sequence[Block]) -> tuple[tuple[float, float], float]:
    """Of the page, and the height of its tiles."""
    columns = max(len(block.given) for block in blocks)
    height, width = blocks[0].given[0].pixels.shape[1:]
    tall = TILE * height / width
    rows = [1 + 2 * len(block.strips) for block in blocks]
    between = [len(block.strips) + 2 for block in blocks]
    return (
        EDGE + LABEL + columns * (TILE + GAP) - GAP + EDGE,
        TOP + sum(rows) * (tall + GAP) + (sum(between) - 2) * BETWEEN + EDGE,
    ), tall


class _Page:
    """A figure that is filled from its top, in inches."""

    def __init__(
        self, title: str, summary: str, size: tuple[float, float], tall: float = TILE
    ) -> None:
        self.size, self.tall = size, tall
        self.figure = Figure(self.size, dpi=120, facecolor=SURROUND)
        self.top = EDGE
        self.text(EDGE, 0.0, title, fontsize=12, weight="bold")
        letters = int(self.size[0] / 0.07)
        self.text(
            EDGE, 0.25, textwrap.shorten(summary, letters, placeholder=" …"), fontsize=8, color=DIM
        )
        self.top = TOP

    def row(self, panels: Sequence[Panel]) -> None:
        """One tile for each panel."""
        for j, panel in enumerate(panels):
            left = EDGE + LABEL + j * (TILE + GAP)
            axes = self.axes(left, self.top, TILE, self.tall)
            show_panel(axes, panel, opacity=0.35)
            if panel.heat is not None and panel.heat.any():
                half = [panel.heat.max() / 2]
                axes.contour(panel.heat, levels=half, colors=[ACCENT], linewidths=0.7)
        self.top += self.tall + GAP

    def label(self, name: str, kind: str, made_of: str, why: str, rows: int) -> None:
        """What stands left of the next rows; as much of it as there is room for."""
        parts = [textwrap.wrap(text, LETTERS) for text in (kind, made_of, why)]
        room = int((rows * (self.tall + GAP) - 0.22) / LINE) - (rows > 1)
        self.text(EDGE, 0.0, name, fontsize=9, weight="bold")
        y = 0.2
        for lines, color in zip(parts, (OUTLINE, DIM, BRIGHT), strict=True):
            shown = lines[: max(room, 0)]
            if len(shown) < len(lines) and shown:
                shown[-1] = shown[-1][: LETTERS - 2] + " …"
            for line in shown:
                self.text(EDGE, y, line, fontsize=7, color=color)
                y += LINE
            room -= len(lines)
        if rows > 1:
            bottom = rows * (self.tall + GAP) - GAP - LINE
            self.text(EDGE, bottom, "before, and where it changed", fontsize=7, color=ACCENT)

    def text(
        self,
        left: float,
        down: float,
        text: str,
        *,
        fontsize: float,
        color: str = BRIGHT,
        weight: str = "normal",
        ha: str = "left",
    ) -> None:
        """Text whose upper edge is so far below the top of what is free."""
        x, y = left / self.size[0], 1 - (self.top + down) / self.size[1]
        self.figure.text(
            x,
            y,
            text,
            fontsize=fontsize,
            color=color,
            weight=weight,
            ha=ha,
            va="top",
            parse_math=False,
        )  # a name may have dollar signs

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """A place for an image, by its distance from the left and the upper edge."""
        across, down = self.size
        axes = self.figure.add_axes(
            (left / across, 1 - (top + height) / down, width / across, height / down)
        )
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        return axes


def outline_sheet(path: Path | None, title: str, summary: str, panels: Sequence[Panel]) -> Figure:
    """Draw images with the outline of their anatomy, four in a row, and their text below.

    Args:
        path: .png, .svg or .pdf; None only returns the figure.
        title: of the page.
        summary: below it.
        panels: in the order in which they stand.
    """
    height, width = panels[0].pixels.shape[1:]
    tile, words, across = 2.2, 0.62, 4
    tall = tile * height / width
    rows = -(-len(panels) // across)
    size = (2 * EDGE + across * (tile + GAP), TOP + rows * (tall + words) + EDGE)
    page = _Page(title, summary, size)
    for k, panel in enumerate(panels):
        left, top = EDGE + (k % across) * (tile + GAP), TOP + (k // across) * (tall + words)
        axes = page.axes(left, top, tile, tall)
        show_panel(axes, replace(panel, text=""))
        name, _, reason = panel.text.partition("\n")
        page.top = top + tall
        page.text(left, 0.05, name[-36:], fontsize=8)
        for line, part in enumerate(textwrap.wrap(reason, 36)[:2], start=1):
            page.text(left, 0.05 + 0.16 * line, part, fontsize=8, color=ACCENT)
    return save(page.figure, path)
