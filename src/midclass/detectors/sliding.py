"""Sliding: tiles over the anatomy of large images, their scores as one, their heat as one map."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from midclass.detectors.look import Look
from midclass.detectors.other_side import beside
from midclass.detectors.places import Places, blended
from midclass.evaluation.ranking import FloatArray
from midclass.images.kin import other_sides
from midclass.images.prepared import Prepared
from midclass.images.tiles import Corners, Tiles, in_groups, over_anatomy
from midclass.recipe.parts import Geometry

TOGETHER = 8
"""Images whose tiles are looked at together: some batches are full, and memory is small."""

See: TypeAlias = Callable[[Tiles, NDArray[np.int64]], tuple[FloatArray, FloatArray | None]]
"""Some tiles -> their scores ``(n,)`` or ``(n, K)``, and heat ``(n, side, side)`` or None."""


def looked_over(
    prepared: Prepared, rows: NDArray[np.int64], geometry: Geometry, see: See, batch: int
) -> Iterator[Look]:
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
        compared, before = np.full((len(some), *scores.shape[1:]), np.nan), None
        for number, row in enumerate(some.tolist()):
            own = np.flatnonzero(tiles.rows == prepared.rows[row])
            mask, corners = prepared.masks([row])[0, 0], tiles.corners[own]
            spacing, mirrored = prepared.spacing_mm[row].mean(), prepared.placement(row).mirrored
            places = Places(corners, scores[own], tiles.side, mask, float(spacing), mirrored)
            found.append(places.highest())
            if before is not None and other.get(row) == some[number - 1]:
                compared[number - 1], compared[number] = beside(before, places)
            before = places
            if heat is not None:
                maps.append(heat_map(corners, heat[own], mask))
        heat_maps = np.stack(maps) if maps else None
        yield Look(some, prepared.batch(some), np.stack(found), heat_maps, compared)


def _other_rows(prepared: Prepared, rows: NDArray[np.int64]) -> dict[int, int]:
    """Of each row the one that shows the other side, by the same anatomy.

    Cases that failed, or cannot be assessed, count for whose other side one is: else it would hang
    on them which images are compared.
    """
    row_of = dict(zip(prepared.case_index[rows].tolist(), rows.tolist(), strict=True))
    failed = [case for case, _ in prepared.failed]
    other, found = other_sides([*prepared.cases.cases, *failed]), dict[int, int]()
    for case, row in row_of.items():
        there = row_of.get(int(other[case]))
        if there is not None and prepared.link[there] == prepared.link[row]:
            found[row] = there
    return found


def _groups(rows: NDArray[np.int64], other: dict[int, int]) -> Iterator[NDArray[np.int64]]:
    """Some rows at a time, both sides one after the other in one group."""
    order = sorted(rows.tolist(), key=lambda row: (min(row, other.get(row, row)), row))
    while order:
        cut = len(order) > TOGETHER and other.get(order[TOGETHER - 1]) == order[TOGETHER]
        size = TOGETHER - cut
        yield np.array(order[:size], np.int64)
        order = order[size:]


def heat_map(corners: Corners, heat: FloatArray, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """One map ``(h, w)`` of those of tiles ``(t, side, side)``; 0 outside the anatomy."""
    found = blended(corners, heat, mask, heat.shape[1])
    return np.where(mask, found.clip(0, 1), 0).astype(np.float32)
