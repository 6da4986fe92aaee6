"""Tiles: squares of large images, planned from the anatomy, cut from what is prepared.

Of view tiles the whole image is prepared, on a canvas as fine as a tile: once for all tiles,
however they overlap, and one row a case for each anatomy, as for every other view. To learn from,
squares are taken at random places of the anatomy; to score, squares lie over all of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from midclass.images.placement import Placement
from midclass.images.prepared import Prepared, Rows
from midclass.images.traits import TRAITS
from midclass.recipe.parts import Geometry

Kind = TypeVar("Kind", bound=np.generic)
Corners: TypeAlias = NDArray[np.int64]
"""First row and column of tiles in their canvas: ``(n, 2)``."""

STEP = 0.5
"""From one tile to the next where they lie over an anatomy, in units of their side."""
EACH = 16
"""Tiles of an image to learn from, at most."""
LEARNED, CHOSEN_WITH = 20_000, 512
"""Tiles of all images together, about: to learn from, and to choose a checkpoint with."""


@dataclass(frozen=True, repr=False)
class Tiles(Prepared):
    """Samples that are squares of prepared images.

    They are judged as those of their images: ``anatomy_mm2`` is that of the image, since a tile at
    the border of an anatomy shows little of it and disease all the same, and ``traits`` are not
    known. ``rows`` are those of the images in the store.

    Attributes:
        corners: int ``(n, 2)``: first row and column of each in its image.
        side: of a tile, in samples.
    """

    corners: Corners = field(default_factory=lambda: np.empty((0, 2), np.int64))
    side: int = 16

    @property
    def shape(self) -> tuple[int, ...]:
        """``(n, c, side, side)``."""
        return (len(self), self.store.pixels.shape[1], self.side, self.side)

    def images(self, rows: Rows = slice(None)) -> NDArray[np.uint16]:
        """Pixels of some of the tiles ``(m, c, side, side)``, 65535 being 1."""
        return self._cut(self.store.pixels, rows)

    def masks(self, rows: Rows = slice(None)) -> NDArray[np.bool_]:
        """Anatomy of some of the tiles ``(m, 1, side, side)``."""
        return self._cut(self.store.anatomy, rows)

    @cached_property
    def _covered(self) -> NDArray[np.int64]:
        sizes = [int(self.masks([row]).sum()) for row in range(len(self))]
        return np.array(sizes, np.int64)

    @property
    def covered(self) -> NDArray[np.float64]:
        """``(n,)``: the share of each tile that is anatomy."""
        return self._covered / self.side**2

    @property
    def assessable(self) -> NDArray[np.bool_]:
        """``(n,)``: the tiles with any anatomy."""
        return self._covered > 0

    @property
    def traits(self) -> NDArray[np.float32]:
        """``(n, t)``, none of them known."""
        return np.full((len(self), len(TRAITS)), np.nan, np.float32)

    def placement(self, row: int) -> Placement:
        """Where one of the tiles lies in its source image."""
        top, left = self.corners[row].tolist()
        high, wide = self.store.pixels.shape[2:]
        part = (self.side, self.side)
        return super().placement(row).part((top, left), part, (high, wide))

    def at(self, rows: NDArray[np.int64]) -> Tiles:
        """Some of the tiles, as those of the same cases."""
        chosen = self.rows[rows], self.case_index[rows], self.corners[rows]
        return replace(self, rows=chosen[0], case_index=chosen[1], corners=chosen[2])

    def by_link(self) -> list[Prepared]:
        """The tiles themselves: the anatomy was chosen with the whole image."""
        return [self]

    def _cut(self, whole: NDArray[Kind], rows: Rows) -> NDArray[Kind]:
        chosen, corners = self.rows[rows], self.corners[rows]
        found = np.empty((len(chosen), whole.shape[1], self.side, self.side), whole.dtype)
        for tile, row, (top, left) in zip(found, chosen, corners.tolist(), strict=True):
            tile[:] = whole[row, :, top : top + self.side, left : left + self.side]
        return found


def to_learn_from(
    prepared: Prepared,
    geometry: Geometry,
    seed: int,
    rows: NDArray[np.int64] | None = None,
    most: int = LEARNED,
) -> Prepared:
    """What a detector learns from: of view tiles squares of the images, else the images.

    The middles of the tiles are drawn from the anatomy, each place of it alike. They hang on the
    seed and the case alone, and the first tiles of all images stand before the second, so that the
    first n tiles are of as many images as can be.

    Args:
        prepared: whole images.
        geometry: the recipe's.
        seed: of the places.
        rows: of the images; by default all that show any anatomy.
        most: tiles of all together, about; at most ``EACH`` of an image, and at least one.
    """
    if geometry.view != "tiles":
        return prepared
    rows = np.flatnonzero(prepared.assessable) if rows is None else rows
    each = int(np.clip(most // max(1, len(rows)), 1, EACH))
    found = [_at_random(prepared, int(row), geometry, seed, each) for row in rows]
    corners = np.array(found, np.int64).reshape(len(rows), each, 2).swapaxes(0, 1)
    return _tiles(prepared, np.tile(rows, each), corners.reshape(-1, 2), geometry)


def over_anatomy(prepared: Prepared, rows: Sequence[int], geometry: Geometry) -> Tiles:
    """Squares that lie over all of the anatomy of some images, image by image, see ``planned``."""
    corners = [
        planned(prepared.masks([row])[0, 0], _shown(prepared, row, geometry), geometry.size[0])
        for row in rows
    ]
    samples = np.repeat(np.asarray(rows, np.int64), [len(one) for one in corners])
    return _tiles(prepared, samples, np.concatenate(corners), geometry)


def planned(mask: NDArray[np.bool_], shown: tuple[int, int, int, int], side: int) -> Corners:
    """Where tiles lie over an anatomy: at steps of half a side, each with anatomy in its middle.

    The middles of the tiles, squares of half their side, lie side by side over the anatomy; those
    without any are left out. So every place of the anatomy is in some tile, and what lies around
    it to a quarter of a side on all sides is seen whole in one.
    At the border of the image tiles are moved into it, so that they show no padding.

    Args:
        mask: anatomy ``(h, w)``.
        shown: what of the sample shows the image, see ``Placement.shown``.
        side: of a tile.

    Returns:
        First row and column of each, row by row; none without anatomy.

    >>> planned(np.ones((8, 12), bool), (0, 0, 8, 12), 8).tolist()
    [[0, 0], [0, 2], [0, 4]]
    """
    step = max(1, int(side * STEP))
    starts = [_along(np.flatnonzero(mask.any(axis)), step) for axis in (1, 0)]
    found = list[tuple[int, int]]()
    for top in starts[0]:
        for left in starts[1]:
            if mask[max(top, 0) : top + step, max(left, 0) : left + step].any():
                place = (top - (side - step) // 2, left - (side - step) // 2)
                found.append(_moved_into(place, shown, side, mask.shape))
    unique = dict.fromkeys(found)  # at a border two may be moved to one place
    return np.array(list(unique), np.int64).reshape(-1, 2)


def _along(found: NDArray[np.int64], step: int) -> list[int]:
    """Where middles begin that together cover all that was found, by as much at both ends."""
    if not len(found):
        return []
    first, length = int(found[0]), int(found[-1] - found[0] + 1)
    count = -(-length // step)
    first -= (count * step - length) // 2
    return [first + number * step for number in range(count)]


def _moved_into(
    place: tuple[int, int], shown: tuple[int, int, int, int], side: int, shape: tuple[int, ...]
) -> tuple[int, int]:
    """A tile inside the image where that is as large as a tile, and inside the canvas."""
    moved = []
    for at, low, high, whole in zip(place, shown[:2], shown[2:], shape, strict=True):
        if high - low >= side:
            at = min(max(at, low), high - side)
        moved.append(min(max(at, 0), whole - side))
    return moved[0], moved[1]


def _at_random(
    prepared: Prepared, row: int, geometry: Geometry, seed: int, each: int
) -> list[tuple[int, int]]:
    mask, side = prepared.masks([row])[0, 0], geometry.size[0]
    name = prepared.cases.cases[int(prepared.case_index[row])].case_id
    key = int.from_bytes(sha256(name.encode("utf-8", "surrogateescape")).digest()[:8], "big")
    rng = np.random.default_rng([seed % 2**64, key])
    places = np.flatnonzero(mask)
    drawn = places[rng.integers(len(places), size=each)]
    shown = _shown(prepared, row, geometry)
    middles = zip(*np.unravel_index(drawn, mask.shape), strict=True)
    corners = [(int(y) - side // 2, int(x) - side // 2) for y, x in middles]
    return [_moved_into(corner, shown, side, mask.shape) for corner in corners]


def _shown(prepared: Prepared, row: int, geometry: Geometry) -> tuple[int, int, int, int]:
    return prepared.placement(row).shown(geometry.grid)


def _tiles(
    prepared: Prepared, samples: NDArray[np.int64], corners: Corners, geometry: Geometry
) -> Tiles:
    return Tiles(
        prepared.cases,
        prepared.store,
        prepared.rows[samples],
        prepared.case_index[samples],
        prepared.failed,
        corners,
        geometry.size[0],
    )


def in_groups(rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.int64]]:
    """Rows in order, so many at a time."""
    for start in range(0, len(rows), size):
        yield rows[start : start + size]
