"""Anatomy: where in an image disease can be, found by fixed rules without any learned model.

Every anatomy is a function ``name(pixels, spacing_mm) -> mask``: pixels float32 ``(c, *spatial)``
in [0, 1] (channels are averaged), one spacing per spatial axis, mask bool ``(*spatial)``. All are
deterministic; wrong shapes raise InputError. Lengths are in mm, and the work is done on a grid of
some 500 pixels a side at most, so that a patient gets the same mask at any resolution.

>>> square = np.zeros((1, 32, 32), np.float32)
>>> square[0, 8:24, 8:24] = 0.7
>>> int(whole(square, (1.0, 1.0)).sum()), int(foreground(square, (1.0, 1.0)).sum()) >= 250
(1024, True)
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from midclass.errors import InputError
from midclass.images.anatomy.resolution import in_few_pixels

Mask: TypeAlias = NDArray[np.bool_]
Pixels: TypeAlias = NDArray[np.float32]
Spacing: TypeAlias = tuple[float, ...]


def whole(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """Everywhere, in 2-D and 3-D."""
    return np.ones(grey_of(pixels, spacing_mm, "whole", (2, 3)).shape, bool)


@in_few_pixels
def foreground(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """The body, breast or head against a dark background, in 2-D and 3-D, holes filled.

    All False only for a constant image.
    """
    grey = grey_of(pixels, spacing_mm, "foreground", (2, 3))
    return against_dark(ndi.gaussian_filter(grey, 0.7), share=0.35)


def grey_of(pixels: Pixels, spacing_mm: Spacing, name: str, dims: tuple[int, ...]) -> Pixels:
    """The mean of the channels (*spatial), after checking the shapes."""
    if pixels.ndim - 1 not in dims:
        allowed = " or ".join(f"{d}-D" for d in dims)
        raise InputError(
            f"anatomy {name} takes {allowed} images (c, *spatial), got shape {pixels.shape}; "
            "use foreground or whole"
        )
    if len(spacing_mm) != pixels.ndim - 1 or min(spacing_mm) <= 0:
        raise InputError(
            f"spacing_mm must be {pixels.ndim - 1} numbers > 0, one per axis, got {spacing_mm}"
        )
    return np.asarray(pixels.mean(axis=0, dtype=np.float32))


_CONSTANT = 1e-6


def against_dark(grey: Pixels, share: float, opening: Mask | None = None) -> Mask:
    """What is brighter than the dark background by a share of Otsu's threshold, holes filled.

    A printed frame around the image is no body. Parts smaller than a tenth of the largest are
    dropped (labels, the head holder, noise).
    """
    found = np.zeros(grey.shape, bool)
    if np.ptp(grey) < _CONSTANT:
        return found
    known = otsu(grey)
    box = within_frame(grey, known)
    inner = grey[box]
    if np.ptp(inner) < _CONSTANT:
        return found
    background, threshold = air_and_tissue(inner, known if inner.shape == grey.shape else None)
    bright = inner > background + share * (threshold - background) + 0.01  # above film noise
    core = opened(bright) if opening is None else ndi.binary_opening(bright, opening)
    found[box] = core if core.any() else bright
    return filled(without_specks(found, frames=False))


def air_and_tissue(grey: Pixels, known: float | None = None) -> tuple[float, float]:
    """How bright the dark background is, and the threshold between it and the body.

    ``known`` is the image's ``otsu``, where it was computed before.

    A lesion, an implant or a flash that outshines the body would raise Otsu's threshold above the
    body, so the image is looked at again with everything above it cut off.
    """
    first = otsu(grey) if known is None else known
    second = otsu(np.minimum(grey, first))
    background = float(np.median(grey[grey <= second]))
    # Where body and background are all there is, the second is half as high as the first.
    return background, min(first, background + 2 * (second - background))


def otsu(grey: Pixels) -> float:
    """Half-way between what is darker and what is brighter than Otsu's threshold.

    That is steadier than the threshold itself where nothing lies between (Otsu, IEEE Trans SMC
    9:62, 1979). Of a constant image it is the value.
    """
    low, high = float(grey.min()), float(grey.max())
    if not high > low:
        return low
    edges = np.linspace(low, high, 257)
    # As numpy.histogram, but for a pixel within rounding of an edge, in a seventh of the time.
    places = ((grey - low) / (high - low) * 256).astype(np.intp)
    np.minimum(places, 255, out=places)
    counts = np.bincount(places.ravel(), minlength=256)
    below = np.cumsum(counts)[:-1]
    level = np.cumsum(counts * (edges[1:] + edges[:-1]) / 2)
    mean, level, above = level[-1] / grey.size, level[:-1], grey.size - below
    apart = (mean * below - level) ** 2 / np.maximum(below * above, 1)  # variance between classes
    split = np.argmax(apart)
    low, high = level[split] / below[split], (mean * grey.size - level[split]) / above[split]
    return float(low + high) / 2


_FLAT = 0.06
"""Of the image's range: a line whose pixels differ by less shows nothing."""
_LINE = 3
"""Pixels of the widest line that is printed around an image."""
_LETTERS, _PAPER = 0.08, 0.01
"""Of an image's height or width: the most that a line of letters takes on a page. And of its range,
how even paper is; tissue is not, unless it is cut off at white and nothing can be seen in it."""


def within_frame(grey: Pixels, known: float | None = None) -> tuple[slice, ...]:
    """The image without what shows nothing at its borders: padding, margins of a page, a frame.

    Dark flat lines are no body. Bright ones are a margin where they begin at the border, with any
    letters on it, and a frame where they are thin; else they are a body that happens to be even.
    All of the image where nothing would be left. ``known`` is its ``otsu``, where it was computed
    before.
    """
    box = [slice(0, size) for size in grey.shape]
    reach, dark = float(grey.max() - grey.min()), float(np.percentile(grey, 2))
    flat, paper = _FLAT * reach, _PAPER * reach
    between = otsu(grey) if known is None else known
    bright = dark + 0.25 * (between - dark)  # the soft edge of a body is body

    def line(axis: int, at: int) -> Pixels:
        found = grey[tuple(at if a == axis else one for a, one in enumerate(box))]
        return np.asarray(np.percentile(found, (5, 50, 95)))

    def to_peel(axis: int, end: int) -> int:
        """How many lines, from the box's first (0) or last (-1)."""
        one, count, at, page = box[axis], 0, 0, 0.0
        even, enough, least = 0, 1, flat  # lines in a row, how many are a margin, and how even
        size, step = one.stop - one.start, 1 if end == 0 else -1
        first = one.start if end == 0 else one.stop - 1
        while at < size - LEAST:
            low, level, high = line(axis, first + step * at)
            at += 1
            if high - low < least and not (count and level < bright):
                if level < bright:
                    return 1
                even += 1
                if even >= enough:
                    count, page = at, level
            elif (
                not count or at - count > _LETTERS * grey.shape[axis] or abs(level - page) >= paper
            ):
                break
            else:  # perhaps letters on a page that goes on behind them, and shows nothing there
                even, enough, least = 0, _LINE + 1, paper
        if count <= _LINE:
            return count
        return count if first in (0, grey.shape[axis] - 1) and count < size - LEAST else 0

    peeling = True
    while peeling:
        peeling = False
        for axis in range(grey.ndim):
            for end in (0, -1):
                if count := to_peel(axis, end):
                    start, stop = box[axis].start, box[axis].stop
                    low, high = (start + count, stop) if end == 0 else (start, stop - count)
                    box[axis], peeling = slice(low, high), True
    whole_image = tuple(slice(0, size) for size in grey.shape)
    inner = grey[tuple(box)]
    return whole_image if inner.max() - inner.min() < flat else tuple(box)


LEAST = 8
"""Pixels of an image that are left, whatever they show."""
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


def disc(radius_mm: float, spacing: Spacing) -> Mask:
    """A structuring element that is round in mm."""
    ry, rx = (int(radius_mm / s) for s in spacing)
    y, x = np.ogrid[-ry : ry + 1, -rx : rx + 1]
    return np.asarray((y * spacing[0]) ** 2 + (x * spacing[1]) ** 2 <= radius_mm**2)
