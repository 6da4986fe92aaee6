"""Placement: where a sample lies in its source image, and heat maps back on the source's pixels.

Boxes are those of ``sample``: pixels of the image, measured at pixel edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from midclass.errors import InputError
from midclass.images.sample import Box

if TYPE_CHECKING:
    from midclass.recipe.parts import Geometry


Size: TypeAlias = tuple[int, int]
"""Height and width."""


def canvas_box(box: Box, geometry: Geometry, spacing_mm: tuple[float, float]) -> Box:
    """The canvas of view tiles around a box, in whose middle it lies.

    Raises:
        InputError: the box is larger.
    """
    assert geometry.roi_mm is not None
    step_mm = geometry.roi_mm / geometry.size[0]
    sides = [pixels * step_mm for pixels in geometry.grid]
    tall, wide = (box[2] - box[0]) * spacing_mm[0], (box[3] - box[1]) * spacing_mm[1]
    if tall > sides[0] + step_mm or wide > sides[1] + step_mm:
        raise InputError(
            f"shows {tall:.0f} x {wide:.0f} mm, geometry.canvas_mm has {sides[0]:.0f} x "
            f"{sides[1]:.0f}; check spacing and crop, or raise canvas_mm"
        )
    y, x = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    half_y, half_x = sides[0] / spacing_mm[0] / 2, sides[1] / spacing_mm[1] / 2
    return y - half_y, x - half_x, y + half_y, x + half_x


@dataclass(frozen=True)
class Placement:
    """Where a sample lies in the image from which it was taken.

    Attributes:
        box: what it shows, in pixels of the image as it was oriented; may reach beyond it.
        shape: ``(rows, columns)`` of the image.
        mirrored: the image was mirrored, left to right, before the box was taken.
    """

    box: Box
    shape: tuple[int, int]
    mirrored: bool = False

    def sizes(self, size: tuple[int, int]) -> tuple[float, float]:
        """Height and width of a pixel of a sample of this size, in pixels of the image."""
        top, left, bottom, right = self.box
        return (bottom - top) / size[0], (right - left) / size[1]

    def aspect(self, size: tuple[int, int]) -> float:
        """Height of a pixel of the image over its width; those of a sample are square."""
        high, wide = self.sizes(size)
        return wide / high

    def part(self, corner: tuple[int, int], part: tuple[int, int], of: Size) -> Placement:
        """Where a part of the sample lies.

        Args:
            corner: its first row and column.
            part: its height and width.
            of: those of the sample.

        >>> Placement((0, 0, 20, 40), (20, 40)).part((5, 0), (5, 5), (10, 10)).box
        (10.0, 0.0, 20.0, 20.0)
        """
        high, wide = self.sizes(of)
        top, left = self.box[0] + corner[0] * high, self.box[1] + corner[1] * wide
        box = (top, left, top + part[0] * high, left + part[1] * wide)
        return Placement(box, self.shape, self.mirrored)

    def shown(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Rows and columns of a sample of this size that show the image and no padding.

        Returns:
            First row and column, and those behind the last.
        """
        high, wide = self.sizes(size)
        ends = (
            -self.box[0] / high,
            -self.box[1] / wide,
            (self.shape[0] - self.box[0]) / high,
            (self.shape[1] - self.box[1]) / wide,
        )
        top, left = (max(0, round(end)) for end in ends[:2])
        return top, left, min(size[0], round(ends[2])), min(size[1], round(ends[3]))

    def in_source(self, rows: ArrayLike, columns: ArrayLike, size: Size) -> NDArray[np.float64]:
        """Places in the sample as places in its file, ``(n, 2)``: x and y as in a manifest.

        Args:
            rows: ``(n,)``, of a sample of this size; whole numbers are middles of its pixels.
            columns: likewise.
            size: height and width of the sample.

        >>> Placement((0, 0, 20, 40), (20, 40), mirrored=True).in_source([0], [0], (10, 20))
        array([[38.5,  0.5]])
        """
        high, wide = self.sizes(size)
        y = self.box[0] + (np.asarray(rows, np.float64) + 0.5) * high - 0.5
        x = self.box[1] + (np.asarray(columns, np.float64) + 0.5) * wide - 0.5
        return np.stack([self.shape[1] - 1 - x if self.mirrored else x, y], 1)

    def on_source(
        self,
        values: NDArray[Any],
        shape: tuple[int, int] | None = None,
        *,
        smooth: bool = False,
    ) -> NDArray[Any]:
        """A map of the sample on the pixels of its source, 0 where the sample shows none of it.

        A pixel has the value of the sample's pixel in which its middle lies; where it covers
        several, the highest of them, so that what is hot somewhere in the sample is so in the
        source.

        Args:
            values: ``(h, w)``, such as a heat map or a mask.
            shape: of a coarser or finer grid over all of the image; by default its own pixels.
            smooth: between the middles of the sample's pixels values go over into each other.

        Returns:
            ``shape``, of the type of ``values``.

        >>> flat = Placement((0, 0, 2, 4), (2, 4))
        >>> flat.on_source(np.array([[0.0, 1.0]])).tolist()
        [[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]
        """
        shape = self.shape if shape is None else shape
        rows = _along(values, self.box[0::2], self.shape[0], shape[0], smooth)
        both = _along(rows.T, self.box[1::2], self.shape[1], shape[1], smooth).T
        return np.ascontiguousarray(both[:, ::-1] if self.mirrored else both)


def _along(
    values: NDArray[Any], ends: tuple[float, ...], pixels: int, wanted: int, smooth: bool
) -> NDArray[Any]:
    """The first axis brought onto so many pixels, which together cover the image's."""
    samples, (start, stop) = len(values), ends
    edges = (np.arange(wanted + 1) * (pixels / wanted) - start) * (samples / (stop - start))
    middle = (edges[:-1] + edges[1:]) / 2
    inside = (middle >= 0) & (middle < samples)
    if wanted * (stop - start) < samples * pixels:  # each covers more than one
        first = np.floor(edges[:-1] + EDGE).astype(int)
        last = np.ceil(edges[1:] - EDGE).astype(int) - 1
        inside = (last >= 0) & (first < samples)
        first, last = first.clip(0, samples - 1), last.clip(0, samples - 1)
        found = values[first]
        for step in range(1, int((last - first).max(initial=0)) + 1):
            found = np.maximum(found, values[np.minimum(first + step, last)])
    elif smooth:
        before = np.floor(middle - 0.5).astype(int)
        part = (middle - 0.5 - before)[:, None].astype(np.float32)
        low, high = before.clip(0, samples - 1), (before + 1).clip(0, samples - 1)
        found = (values[low] * (1 - part) + values[high] * part).astype(values.dtype)
    else:
        found = values[np.floor(middle).astype(int).clip(0, samples - 1)]
    found[~inside] = 0
    return np.asarray(found)


EDGE = 1e-6
"""A pixel that is covered by less than this part of its length is not."""
