"""Operations on masks: their connected parts, holes, hull, and a disc in mm."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

Mask: TypeAlias = NDArray[np.bool_]

_WIDE, _EDGE, _ALONG = 0.8, 0.06, 0.9
"""A frame is as wide as the image, and nearly all of it lies along the edges of its own box."""


def _is_frame(part: Mask, shape: tuple[int, ...]) -> bool:
    """Whether a part, in its own box, goes around an image of that shape as a rectangle."""
    if any(side < _WIDE * n for side, n in zip(part.shape, shape, strict=True)):
        return False
    within = tuple(slice(round(_EDGE * n), n - round(_EDGE * n)) for n in part.shape)
    return bool(part[within].sum() < (1 - _ALONG) * part.sum())


def without_specks(mask: Mask, *, frames: bool = True) -> Mask:
    """Its connected parts, but those smaller than a tenth of the largest; holes stay.

    Args:
        mask: of any shape.
        frames: keep also the parts that go around the image as a rectangle; they are kept anyway
            where there is nothing else.
    """
    labels, parts = ndi.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    if not frames:
        boxes = enumerate(ndi.find_objects(labels), start=1)
        around = [n for n, box in boxes if _is_frame(labels[box] == n, mask.shape)]
        if len(around) < parts:
            sizes[around] = 0
    return np.asarray((sizes >= max(1, 0.1 * sizes.max()))[labels])


def reaching(mask: Mask, *, corners: bool = False) -> Mask:
    """The connected parts of a mask that reach the image's border, or one of its corners."""
    labels, parts = ndi.label(mask)
    reached = np.zeros(parts + 1, bool)
    if corners:
        reached[labels[np.ix_(*[(0, -1)] * mask.ndim)]] = True
    else:
        for axis in range(mask.ndim):
            reached[labels.take((0, -1), axis)] = True
    reached[0] = False
    return np.asarray(reached[labels])


def filled(mask: Mask) -> Mask:
    """A mask and its holes, as ``scipy.ndimage.binary_fill_holes`` does, in a third of the time.

    >>> ring = np.ones((3, 3), bool)
    >>> ring[1, 1] = False
    >>> bool(filled(ring).all())
    True
    """
    return ~reaching(~mask)


def opened(mask: Mask) -> Mask:
    """As ``scipy.ndimage.binary_opening`` of a pixel and its neighbours, in a tenth of the time."""
    axes = [[_at(axis, part, mask.ndim) for part in _LAYERS] for axis in range(mask.ndim)]
    core = mask.copy()
    for before, after, ends in axes:
        core[after] &= mask[before]
        core[before] &= mask[after]
        core[ends] = False
    grown = core.copy()
    for before, after, _ in axes:
        grown[after] |= core[before]
        grown[before] |= core[after]
    return grown


_LAYERS: tuple[slice | list[int], ...] = (slice(None, -1), slice(1, None), [0, -1])
"""Along an axis: all but the last, all but the first, the first and the last."""


def _at(axis: int, part: slice | list[int], dims: int) -> tuple[slice | list[int], ...]:
    return tuple(part if one == axis else slice(None) for one in range(dims))


def largest(mask: Mask) -> Mask:
    """The largest connected part."""
    labels, n = ndi.label(mask)
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]) if n else mask


def convex_hull(mask: Mask) -> Mask:
    """The convex hull of a mask ``(h, w)``; the mask itself where it has no width.

    >>> corners = np.zeros((9, 9), bool)
    >>> corners[::8, ::8] = True
    >>> bool(convex_hull(corners).all())
    True
    """
    from scipy.spatial import ConvexHull, QhullError

    try:
        lines = ConvexHull(np.argwhere(mask & ~ndi.binary_erosion(mask))).equations
    except (QhullError, ValueError):
        return mask
    y, x = np.indices(mask.shape)
    return np.asarray(np.logical_and.reduce([a * y + b * x + c <= 1e-6 for a, b, c in lines]))


def disc(radius_mm: float, spacing: tuple[float, ...]) -> Mask:
    """A structuring element that is round in mm."""
    ry, rx = (int(radius_mm / s) for s in spacing)
    y, x = np.ogrid[-ry : ry + 1, -rx : rx + 1]
    return np.asarray((y * spacing[0]) ** 2 + (x * spacing[1]) ** 2 <= radius_mm**2)
