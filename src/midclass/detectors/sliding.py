"""Sliding: tiles over the anatomy of large images, their scores as one, their heat as one map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from midclass.detectors.other_side import Places
from midclass.evaluation.ranking import FloatArray
from midclass.images.kin import other_sides
from midclass.images.prepared import Prepared
from midclass.images.tiles import Corners, Tiles, in_groups, over_anatomy
from midclass.recipe.parts import Geometry

TOGETHER = 8
"""Images whose tiles are looked at together: some batches are full, and memory is small."""

See: TypeAlias = Callable[[Tiles, NDArray[np.int64]], tuple[FloatArray, FloatArray | None]]
"""Some tiles -> their scores ``(n,)`` or ``(n, K)``, and heat ``(n, side, side)`` or None."""


class Looked(NamedTuple):
    """What is said of some images.

    Attributes:
        rows: which of them ``(n,)``.
        scores: of each ``(n,)`` or ``(n, K)``.
        compared: scores beside the other side, likewise; NaN where there is none.
        maps: heat ``(n, h, w)``, or None.
    """

    rows: NDArray[np.int64]
    scores: FloatArray
    compared: FloatArray
    maps: NDArray[np.float32] | None


def looked_over(
    prepared: Prepared, rows: NDArray[np.int64], geometry: Geometry, see: See, batch: int
) -> Iterator[Looked]:
    """Whole images by their tiles, some images at a time.

    Args:
        prepared: whole images.
        rows: which of them; each shows anatomy.
        geometry: the recipe's.
        see: what a detector says of tiles, the same of each whatever others are with it.
        batch: tiles that are seen together.
    """
    other = _other_rows(prepared, rows) if geometry.compare else {}
    for some in _groups(rows, other):
        tiles = over_anatomy(prepared, some.tolist(), geometry)
        seen = [see(tiles, part) for part in in_groups(np.arange(len(tiles)), batch)]
        scores = np.concatenate([one for one, _ in seen])
        parts = [heat for _, heat in seen if heat is not None]
        heat = np.concatenate(parts) if parts else None
        found, maps = list[FloatArray](), list[NDArray[np.float32]]()
        kind = scores.shape[1:]
        compared, before = np.full((len(some), *kind), np.nan), None
        for number, row in enumerate(some.tolist()):
            own = np.flatnonzero(tiles.rows == prepared.rows[row])
            mask, corners = prepared.masks([row])[0, 0], tiles.corners[own]
            places = Places(
                said_of_places(corners, scores[own], mask, tiles.side),
                mask,
                prepared.placement(row).mirrored,
                float(prepared.spacing_mm[row].mean()),
            )
            found.append(places.highest.reshape(kind))
            if before is not None and other.get(row) == some[number - 1]:
                compared[number - 1] = before.beside(places).reshape(kind)
                compared[number] = places.beside(before).reshape(kind)
            before = places
            if heat is not None:
                maps.append(heat_map(corners, heat[own], mask))
        yield Looked(some, np.stack(found), compared, np.stack(maps) if maps else None)


def _other_rows(prepared: Prepared, rows: NDArray[np.int64]) -> dict[int, int]:
    """Of each row the one that shows the other side, where that is among them."""
    cases = prepared.case_index[rows]
    other = other_sides([prepared.cases.cases[case] for case in cases])
    has = np.flatnonzero(other >= 0)
    return dict(zip(rows[has].tolist(), rows[other[has]].tolist(), strict=True))


def _groups(rows: NDArray[np.int64], other: dict[int, int]) -> Iterator[NDArray[np.int64]]:
    """Some rows at a time, both sides one after the other in one group."""
    order = sorted(rows.tolist(), key=lambda row: (min(row, other.get(row, row)), row))
    while order:
        cut = len(order) > TOGETHER and other.get(order[TOGETHER - 1]) == order[TOGETHER]
        size = TOGETHER - cut
        yield np.array(order[:size], np.int64)
        order = order[size:]


def said_of_places(
    corners: Corners, scores: FloatArray, mask: NDArray[np.bool_], side: int
) -> FloatArray:
    """Of the tiles of an image ``(t,)`` or ``(t, K)`` what they say of its places ``(K, h, w)``.

    The score of a case is that of the highest place of the anatomy, because one lesion is enough,
    whatever the rest looks like. Of places and not of tiles, because whoever takes the highest of
    fifty tiles takes the one that errs most: a lesion is in all tiles around it, and an error in
    one. On phantoms of breasts the AUROC is .89, that of the highest tile .60: tiles of the
    breast's border lead there.
    """
    columns = scores.reshape(len(scores), -1).T
    return np.stack([blended(corners, column, mask, side) for column in columns])


def heat_map(corners: Corners, heat: FloatArray, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """One map ``(h, w)`` of those of tiles ``(t, side, side)``; 0 outside the anatomy."""
    found = blended(corners, heat, mask, heat.shape[1])
    return np.where(mask, found.clip(0, 1), 0).astype(np.float32)


def blended(corners: Corners, values: FloatArray, mask: NDArray[np.bool_], side: int) -> FloatArray:
    """What tiles say, on the grid of their image: where several lie, their weighted mean.

    A tile counts by the square of its share of anatomy, since one that shows little has little to
    tell, and by nearness to its middle, since it sees least of what is around its border: from the
    middle to the border that falls in a straight line to almost nothing, so that no border shows.

    Args:
        corners: ``(t, 2)``; each tile shows some anatomy.
        values: ``(t,)``, or maps ``(t, side, side)``.
        mask: anatomy ``(h, w)``.
        side: of a tile.

    Returns:
        ``(h, w)``; 0 where no tile lies.
    """
    near = nearness(side)
    total, weights = np.zeros(mask.shape), np.zeros(mask.shape)
    for (top, left), one in zip(corners.tolist(), values, strict=True):
        where = slice(top, top + side), slice(left, left + side)
        weight = near * mask[where].mean() ** 2
        total[where] += weight * one
        weights[where] += weight
    return np.divide(total, weights, out=np.zeros(mask.shape), where=weights > 0)


def nearness(side: int) -> NDArray[np.float64]:
    """How near each place of a tile is to its middle ``(side, side)``: 1 there, next to 0 around.

    >>> nearness(4)[0].tolist()
    [0.0625, 0.1875, 0.1875, 0.0625]
    """
    along = 1 - np.abs((np.arange(side) + 0.5) * 2 / side - 1)
    return np.outer(along, along)
