"""Chart: a figure of a page, as SVG of few elements whose text is that of the page.

Not matplotlib's SVG: its text is outlines, or in a font that a reader may lack, and one figure
is larger than a page's words. Ticks are matplotlib's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import escape
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

LEFT, RIGHT, TOP, BOTTOM = 62, 22, 12, 46
"""Margins in pixels: for the figures of the axes and their names."""
WIDE = 600
"""Pixels from which on a figure is not made narrower for a small screen; it scrolls."""
LONGEST = 38
"""Letters of the name of a row."""


@dataclass
class Chart:
    """One figure with two axes.

    Attributes:
        title: what it shows, for those who hear it.
        x_name: below the lower axis.
        y_name: beside the left one.
        x: the ends of the lower axis.
        y: of the left one.
        percent: axes (``x``, ``y``) whose numbers are shares.
        width: in pixels, margins included.
        height: the same.
        names: of rows 0, 1, ... from above, in place of figures at the left axis.
        ticks: words at places of the lower axis, in place of figures.
    """

    title: str
    x_name: str
    y_name: str
    x: tuple[float, float] = (0.0, 1.0)
    y: tuple[float, float] = (0.0, 1.0)
    percent: str = "xy"
    width: int = 420
    height: int = 340
    names: Sequence[str] = ()
    ticks: Mapping[float, str] = field(default_factory=dict)
    _parts: list[str] = field(default_factory=list)

    @classmethod
    def rows(
        cls, title: str, x_name: str, x: tuple[float, float], names: Sequence[str], **more: Any
    ) -> Chart:
        """A figure with a row for each name, the first on top."""
        high = TOP + BOTTOM + 24 * len(names)
        ends = (len(names) - 0.5, -0.5)
        return cls(title, x_name, "", x, ends, "", height=high, names=names, **more)

    def band(self, x: ArrayLike, low: ArrayLike, high: ArrayLike, kind: str) -> None:
        """What lies between two curves."""
        there = np.concatenate([np.asarray(x), np.asarray(x)[::-1]])
        ends = np.concatenate([np.asarray(low), np.asarray(high)[::-1]])
        self._parts.append(f'<path class="band {kind}" d="{self._path(there, ends)}Z"/>')

    def line(self, x: ArrayLike, y: ArrayLike, kind: str) -> None:
        """A curve."""
        self._parts.append(f'<path class="line {kind}" d="{self._path(x, y)}"/>')

    def bars(self, edges: ArrayLike, heights: ArrayLike, kind: str) -> None:
        """A histogram: bars between ``(k + 1)`` edges, ``(k,)`` high."""
        ends = np.asarray(edges, float)
        x = np.repeat(ends, 2)
        y = np.concatenate([[self.y[0]], np.repeat(np.asarray(heights, float), 2), [self.y[0]]])
        self._parts.append(f'<path class="bars {kind}" d="{self._path(x, y)}Z"/>')

    def point(
        self,
        x: float,
        y: float,
        kind: str,
        across: tuple[float, float] | None = None,
        upright: tuple[float, float] | None = None,
        said: str = "",
    ) -> None:
        """A dot with its limits, and what is said where the mouse rests on it."""
        for ends, fixed in ((across, y), (upright, x)):
            if ends is not None:
                along, beside = (ends, [fixed] * 2) if ends is across else ([fixed] * 2, ends)
                self.line(along, beside, f"limits {kind}")
        left, top = self._place(x, y)
        self._parts.append(
            f'<circle class="dot {kind}" cx="{left:.1f}" cy="{top:.1f}" r="4.5">'
            f"<title>{escape(said)}</title></circle>"
        )

    def upright(self, x: float, kind: str, said: str, *, to_the_left: bool = False) -> None:
        """A line from bottom to top, with words beside its upper end."""
        self.line([x, x], list(self.y), kind)
        left, top = self._place(x, self.y[1])
        anchor, left = ("end", left - 5) if to_the_left else ("start", left + 5)
        self._parts.append(
            f'<text class="said" x="{left:.1f}" y="{top + 10:.1f}" '
            f'text-anchor="{anchor}">{escape(said)}</text>'
        )

    def text(self, x: float, y: float, said: str, anchor: str = "start") -> None:
        """Words at a place."""
        left, top = self._place(x, y)
        self._parts.append(
            f'<text class="said" x="{left:.1f}" y="{top:.1f}" text-anchor="{anchor}">'
            f"{escape(said)}</text>"
        )

    def __html__(self) -> str:
        """The figure, for a template."""
        kind = "chart wide" if self.width > WIDE else "chart"
        return (
            f'<svg class="{kind}" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(self.title)}"><title>{escape(self.title)}</title>'
            f"{self._axes()}{''.join(self._parts)}</svg>"
        )

    def _axes(self) -> str:
        parts = []
        (left, bottom), (right, top) = self._place(self.x[0], self.y[0]), self._place(*self._upper)
        below = self.ticks or {at: _number(at, "x" in self.percent) for at in _ticks(self.x)}
        beside: Mapping[float, str] = dict(enumerate(map(_cut, self.names))) or {
            at: _number(at, "y" in self.percent) for at in _ticks(self.y)
        }
        for at, said in below.items():
            x, _ = self._place(at, self.y[0])
            parts.append(f'<path class="grid" d="M{x:.1f} {top:.1f}V{bottom:.1f}"/>')
            parts.append(
                f'<text x="{x:.1f}" y="{bottom + 16:.1f}" class="tick mid">{escape(said)}</text>'
            )
        for at, said in beside.items():
            _, y = self._place(self.x[0], at)
            parts.append(f'<path class="grid" d="M{left:.1f} {y:.1f}H{right:.1f}"/>')
            parts.append(
                f'<text x="{left - 7:.1f}" y="{y + 4:.1f}" class="tick end">{escape(said)}</text>'
            )
        parts.append(f'<path class="axis" d="M{left:.1f} {top:.1f}V{bottom:.1f}H{right:.1f}"/>')
        middle, half = (left + right) / 2, (top + bottom) / 2
        parts.append(
            f'<text class="name mid" x="{middle:.1f}" y="{self.height - 8}">'
            f"{escape(self.x_name)}</text>"
            f'<text class="name mid" transform="translate(13 {half:.1f}) rotate(-90)">'
            f"{escape(self.y_name)}</text>"
        )
        return "".join(parts)

    @property
    def _upper(self) -> tuple[float, float]:
        return self.x[1], self.y[1]

    def _place(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Pixels of values, arrays or not."""
        across = (np.asarray(x, float) - self.x[0]) / (self.x[1] - self.x[0])
        up = (np.asarray(y, float) - self.y[0]) / (self.y[1] - self.y[0])
        left = max([LEFT, *(14 + 6.6 * len(_cut(name)) for name in self.names)])
        wide, high = self.width - left - RIGHT, self.height - TOP - BOTTOM
        return left + wide * across, TOP + high * (1 - up)

    def _path(self, x: ArrayLike, y: ArrayLike) -> str:
        """A path through values; what lies on the tenth of a pixel of its neighbour is left out."""
        points: NDArray[Any] = np.round(np.column_stack(self._place(x, y)), 1)
        new = np.append(True, (np.diff(points, axis=0) != 0).any(1))
        return "M" + "L".join(f"{left:g} {top:g}" for left, top in points[new])


def _ticks(ends: Sequence[float]) -> list[float]:
    inside = MaxNLocator(nbins=5, steps=[1, 2, 5, 10]).tick_values(*ends)
    slack = 1e-9 * (ends[1] - ends[0])
    return [float(at) for at in inside if ends[0] - slack <= at <= ends[1] + slack]


def _number(value: float, percent: bool) -> str:
    if percent:
        return f"{100 * value:.3g} %"
    return f"{value:.4g}".replace("-", "\N{MINUS SIGN}")


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
