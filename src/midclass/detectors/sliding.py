"""Sliding: tiles over the anatomy of large images, their scores as one, their heat as one map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from midclass.evaluation.ranking import FloatArray
from midclass.images.prepared import Prepared
from midclass.images.tiles import Corners, Tiles, in_groups, over_anatomy
from midclass.recipe.parts import Geometry

TOGETHER = 8
"""Images whose tiles are looked at together: some batches are full, and memory is small."""

See: TypeAlias = Callable[[Tiles, NDArray[np.int64]], tuple[FloatArray, FloatArray | None]]
"""Some tiles -> their scores ``(n,)`` or ``(n, K)``, and heat ``(n, side, side)`` or None."""


def looked_over(
    prepared: Prepared, rows: NDArray[np.int64], geometry: Geometry, see: See, batch: int
) -> Iterator[tuple[NDArray[np.int64], FloatArray, NDArray[np.float32] | None]]:
    """Whole images by their tiles, some images at a time.

    Args:
        prepared: whole images.
        rows: which of them; each shows anatomy.
        geometry: the recipe's.
        see: what a detector says of tiles, the same of each whatever others are with it.
        batch: tiles that are seen together.

    Yields:
        Rows, the score of each ``(n,)`` or ``(n, K)``, and heat maps ``(n, h, w)`` or None.
    """
    for some in in_groups(rows, TOGETHER):
        tiles = over_anatomy(prepared, some.tolist(), geometry)
        seen = [see(tiles, part) for part in in_groups(np.arange(len(tiles)), batch)]
        scores = np.concatenate([one for one, _ in seen])
        parts = [heat for _, heat in seen if heat is not None]
        heat = np.concatenate(parts) if parts else None
        of_image = [np.flatnonzero(tiles.rows == prepared.rows[row]) for row in some]
        maps = None
        if heat is not None:
            each = [blended(tiles.corners[one], heat[one], geometry.grid) for one in of_image]
            maps = np.stack(each) * prepared.masks(some)[:, 0]
        yield some, np.stack([case_score(scores[one]) for one in of_image]), maps


def case_score(scores: FloatArray) -> FloatArray:
    """Of the tiles of an image ``(t,)`` or ``(t, K)`` one score, each column for itself.

    The highest: one lesion is enough, whatever the rest of the breast looks like. What lies next to
    the highest tile shows the same lesion and adds nothing.
    """
    found: FloatArray = scores.max(axis=0)
    return found


def blended(corners: Corners, heat: FloatArray, size: tuple[int, int]) -> NDArray[np.float32]:
    """One map out of those of tiles: where several lie, their mean, by nearness to their middles.

    At its border a tile sees least of what is around. Weights fall in a straight line to almost
    nothing there, so that no border shows in the map.

    Args:
        corners: ``(t, 2)``.
        heat: ``(t, side, side)``.
        size: of the map.

    Returns:
        ``size``; 0 where no tile lies.
    """
    side = heat.shape[1]
    along = 1 - np.abs((np.arange(side) + 0.5) * 2 / side - 1)
    weight = np.outer(along, along)
    total, weights = np.zeros(size), np.zeros(size)
    for (top, left), one in zip(corners.tolist(), heat, strict=True):
        where = slice(top, top + side), slice(left, left + side)
        total[where] += weight * one
        weights[where] += weight
    found = np.divide(total, weights, out=np.zeros(size), where=weights > 0)
    return found.clip(0, 1).astype(np.float32)
