"""Anatomy: where in an image disease can be, found by fixed rules without any learned model.

Every anatomy is a function ``name(pixels, spacing_mm) -> mask``: pixels float32 ``(c, *spatial)``
in [0, 1] (channels are averaged), one spacing per spatial axis, mask bool ``(*spatial)``. All are
deterministic; wrong shapes raise InputError. Lengths are in mm, so that a patient gets the same
mask at any resolution: the work is done on a grid of 1 to 2 mm.

>>> square = np.zeros((1, 32, 32), np.float32)
>>> square[0, 8:24, 8:24] = 0.7
>>> int(whole(square, (1.0, 1.0)).sum()), int(foreground(square, (1.0, 1.0)).sum()) >= 16 * 16
(1024, True)
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from midclass.errors import InputError
from midclass.images.lungs import two_lungs

Mask: TypeAlias = NDArray[np.bool_]
Image: TypeAlias = NDArray[np.float32]
Spacing: TypeAlias = tuple[float, ...]
Scalar = TypeVar("Scalar", bound=np.generic)


def whole(pixels: Image, spacing_mm: Spacing) -> Mask:
    """Everywhere, in 2-D and 3-D."""
    return np.ones(_grey(pixels, spacing_mm, "whole", (2, 3)).shape, bool)


def foreground(pixels: Image, spacing_mm: Spacing) -> Mask:
    """The body, breast or head against a dark background, in 2-D and 3-D, holes filled.

    All False only for a constant image.
    """
    grey = _grey(pixels, spacing_mm, "foreground", (2, 3))
    return _against_dark(ndi.gaussian_filter(grey, 0.7), share=0.35)


def breast(pixels: Image, spacing_mm: Spacing) -> Mask:
    """The breast in a mammogram (2-D), without labels, film edges and, where seen, pectoral muscle.

    The largest part after an opening of 5 mm; the pectoral muscle is cut off by the straight line
    from the top edge to the chest wall that best separates bright from dark (its edge is nearly
    straight in the oblique view: Karssemeijer, Phys Med Biol 43:365, 1998). Falls back to the
    foreground; all False only for a constant image.
    """
    grey = _grey(pixels, spacing_mm, "breast", (2,))
    coarse, spacing = _shrink(grey, spacing_mm, 1.6)
    tissue = _against_dark(coarse, share=0.12, opening=_disc(5.0, spacing))
    if not tissue.any():
        return foreground(pixels, spacing_mm)
    tissue = _largest(tissue)
    columns = np.flatnonzero(tissue.any(axis=0))
    # The chest wall is the side on which the breast is cut off straight.
    flip = tissue[:, columns[-3:]].sum() > tissue[:, columns[:3]].sum()
    if flip:
        coarse, tissue = coarse[:, ::-1], tissue[:, ::-1]
    rest = _largest(
        ndi.binary_opening(tissue & ~_pectoral(coarse, tissue, spacing), _disc(4.0, spacing))
    )
    rest = rest if rest.any() else tissue
    return _enlarge(rest[:, ::-1] if flip else rest, grey.shape, spacing_mm, 1.6)


def _pectoral(grey: Image, tissue: Mask, spacing: Spacing) -> Mask:
    """The triangle in the top left corner of the tissue that is a pectoral muscle; else empty."""
    rows, columns = np.flatnonzero(tissue.any(axis=1)), np.flatnonzero(tissue.any(axis=0))
    y0, x0 = rows[0], columns[0]
    height, width = rows[-1] - y0 + 1, columns[-1] - x0 + 1
    smooth = ndi.gaussian_filter(grey, [1.5 / s for s in spacing])
    along = np.linspace(0.1, 1.0, 30) * width, np.linspace(0.15, 0.95, 30) * height
    top, side = (a.ravel() for a in np.meshgrid(*along))  # (900,) candidate lines
    length = np.hypot(top * spacing[1], side * spacing[0])  # mm
    u = np.linspace(0.03, 0.97, 40)
    # Unit normal in mm: a step into the breast is the same length whatever the line's slope.
    step_x, step_y = side * spacing[0] / length, top * spacing[1] / length

    def sample(image: Image | Mask, offset_mm: float) -> Any:
        x = x0 + np.outer(top, 1 - u) + (offset_mm * step_x / spacing[1])[:, None]
        y = y0 + np.outer(side, u) + (offset_mm * step_y / spacing[0])[:, None]
        x, y = np.clip(np.rint(x), 0, image.shape[1] - 1), np.clip(np.rint(y), 0, len(image) - 1)
        return image[y.astype(int), x.astype(int)]  # (lines, points)

    in_breast = sample(tissue, 3.2)
    contrast = np.where(in_breast, sample(smooth, -3.2) - sample(smooth, 3.2), 0.0)
    # An edge along the whole line counts, not a bright patch at one place of it.
    score = (contrast.mean(axis=1) - 0.5 * contrast.std(axis=1)) * np.sqrt(length / 100.0)
    slope = (top * spacing[1]) / (side * spacing[0])
    score[(slope < 0.2) | (slope > 1.3) | (in_breast.mean(axis=1) < 0.5)] = -1.0
    score[top * side / 2 > 0.35 * tissue.sum()] = -1.0  # that would be dense breast
    best = int(score.argmax())
    if score[best] < 0.016:
        return np.zeros(tissue.shape, bool)
    y, x = np.ogrid[: tissue.shape[0], : tissue.shape[1]]
    return np.asarray((x - x0) / top[best] + (y - y0) / side[best] < 1)


# Of a brain window, which cuts bone off at 1, and air and fat at 0.
_CLIPPED, _BONE, _AIR = 0.99, 0.95, 0.05


def intracranial(pixels: Image, spacing_mm: Spacing) -> Mask:
    """Inside the skull up to the inner table, in one axial head CT slice in a brain window (2-D).

    The window must saturate bone to 1 and show brain between .3 and .6 (for example width 80 to
    120, level 40). Soft tissue is cut at passages narrower than 6 mm (2 mm where nothing is left);
    a part belongs to the brain if bone is met in nearly all of 16 directions and if it is even and
    as bright as brain: muscles are brighter and less enclosed, orbits uneven. The parts grow back
    to the bone and holes are filled, so that extra-axial blood, ventricles and calcifications are
    inside; islands that are cut off at 1 over more than 15 mm2 are bone of the skull base and stay
    outside, so choose a window in which blood stays below 1 (width 120 rather than 80). EMPTY
    where no intracranial area is seen and for a constant image; a spinal canal may pass for one.
    """
    grey = _grey(pixels, spacing_mm, "intracranial", (2,))
    coarse, spacing = _shrink(grey, spacing_mm, 1.0)
    mask = np.zeros(coarse.shape, bool)
    head = ndi.binary_fill_holes(_largest(coarse > 0.1))
    for box in ndi.find_objects(head.astype(np.int8)):
        mask[box] = _inside_skull(coarse[box], head[box], spacing)
    return _enlarge(mask, grey.shape, spacing_mm, 1.0)


def _inside_skull(grey: Image, head: Mask, spacing: Spacing) -> Mask:
    """The intracranial area of an image that is cropped to the head."""
    bone = head & (grey >= _BONE)
    smooth = ndi.gaussian_filter(grey, [1.5 / s for s in spacing])
    soft = head & ~bone & (smooth >= _AIR)
    enclosed = _enclosure(bone, spacing)
    to_wall = ndi.distance_transform_edt(soft & (enclosed >= 0.7), sampling=spacing)
    # Near the vertex brain looks brighter, but there the slice is mostly bone, unlike the face.
    brightest = 0.8 if bone.sum() > 0.45 * head.sum() else 0.65
    for radius in (3.0, 1.0):
        core = _brain_parts(to_wall > radius, grey, enclosed, brightest, math.prod(spacing))
        if core.any():
            steps = math.ceil(radius / min(spacing)) + 1
            grown = ndi.binary_dilation(core, np.ones((3, 3)), steps, mask=soft)
            filled = _fill(grown, grey, math.prod(spacing))
            solid = ndi.binary_opening(filled, _disc(radius, spacing)) | (filled & core)
            return np.asarray(solid)
    return np.zeros(grey.shape, bool)


def _brain_parts(
    parts: Mask, grey: Image, enclosed: Image, brightest: float, pixel_mm2: float
) -> Mask:
    """Those connected parts that are enclosed by bone, and even and bright like brain."""
    labels, _ = ndi.label(parts)
    area = np.bincount(labels.ravel()) * pixel_mm2
    index = 1 + np.flatnonzero(area[1:] > 100)
    members = [labels == i for i in index]
    area = area[index]
    shut = np.array([enclosed[m].mean() for m in members])
    level = np.array([np.median(grey[m]) for m in members])
    uneven = np.array([grey[m].std() for m in members])
    # Muscles of face and neck are at .58 to .7, and uneven if enclosed by bone; orbits are uneven.
    large, dark = area > 3000, level < 0.57
    good = (level > 0.3) & (level < brightest) & (dark | ((shut > 0.985) & (uneven < 0.15)))
    good &= uneven < np.where(large | (shut > 0.99), 0.2, 0.14)  # bleeding is uneven too
    # What is as dark and even as nothing but brain may lie in an open skull (infant, operation).
    surely = (area > 1000) & (level < 0.5) & (uneven < np.where(large, 0.12, 0.08))
    good &= shut > np.where(surely, 0.8, 0.95)
    if not good.any():
        return np.zeros(parts.shape, bool)
    main = level[np.argmax(np.where(good, area, 0))]
    good &= (np.abs(level - main) < 0.1) | ((shut > 0.985) & (uneven < 0.1))
    return np.isin(labels, index[good])


def _fill(mask: Mask, grey: Image, pixel_mm2: float) -> Mask:
    """Fill holes, but not with bone (temporal bone and its air cells, clinoids, sella)."""
    hole = ndi.binary_fill_holes(mask) & ~mask
    labels, _ = ndi.label(hole)
    count = np.bincount(labels.ravel())
    air = np.bincount(labels.ravel(), weights=(grey < 0.03).ravel()) / count
    bone = np.bincount(labels.ravel(), weights=(grey >= _BONE).ravel()) / count
    filled = (count * pixel_mm2 < 400) | (air < 0.1) | (bone < 0.1)
    clipped = np.bincount(labels.ravel(), weights=(grey >= _CLIPPED).ravel()) * pixel_mm2
    island = hole & (clipped > 15)[labels]
    rim = ndi.binary_dilation(island, np.ones((3, 3)))  # bone and brain in one pixel
    return np.asarray((mask | (hole & filled[labels])) & ~rim)


def _enclosure(bone: Mask, spacing: Spacing) -> Image:
    """In how many of 16 directions bone is met before the image ends, as a share (h, w)."""
    coarse, _ = _shrink(bone.astype(np.float32), spacing, 3.0)
    wall = coarse > 0
    hits = np.zeros(wall.shape, np.float32)
    for turn in (1, -1):
        for slope in (0.0, 0.414, -0.414, 1.0, -1.0):
            hits += _sweep(wall[::turn], slope)[::turn]
        for slope in (0.0, 0.414, -0.414):
            hits += _sweep(wall.T[::turn], slope)[::turn].T
    return _enlarge(hits / np.float32(16), bone.shape, spacing, 3.0)


def _sweep(wall: Mask, slope: float) -> Mask:
    """Where a wall has been met on the way from the first row, moving ``slope`` columns a row."""
    met = wall.copy()
    for row in range(1, len(met)):
        shift = round(row * slope) - round((row - 1) * slope)
        if shift == 0:
            met[row] |= met[row - 1]
        elif shift > 0:
            met[row, shift:] |= met[row - 1, :-shift]
        else:
            met[row, :shift] |= met[row - 1, -shift:]
    return met


def lungs(pixels: Image, spacing_mm: Spacing) -> Mask:
    """Both lungs in a frontal chest X-ray (2-D), consolidated parts included.

    A template of two lungs fitted to its outline, see ``midclass.images.lungs``. It assumes that
    the chest fills the image, head up, and uses no spacing. Never empty.
    """
    return two_lungs(_grey(pixels, spacing_mm, "lungs", (2,)))


def _grey(pixels: Image, spacing_mm: Spacing, name: str, dims: tuple[int, ...]) -> Image:
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


def _against_dark(grey: Image, share: float, opening: Mask | None = None) -> Mask:
    """What is brighter than the dark background by a share of Otsu's threshold, holes filled.

    Parts smaller than a tenth of the largest are dropped (labels, the head holder, noise).
    """
    if grey.max() - grey.min() < 1e-6:
        return np.zeros(grey.shape, bool)
    counts, edges = np.histogram(grey, 256)
    below = np.cumsum(counts)
    level = np.cumsum(counts * (edges[1:] + edges[:-1]) / 2)
    split = np.argmax(  # between-class variance, Otsu, IEEE Trans SMC 9:62, 1979
        (level[-1] / grey.size * below - level)[:-1] ** 2 / (below * (grey.size - below))[:-1]
    )
    low, high = level[split] / below[split], (level[-1] - level[split]) / (grey.size - below[split])
    threshold = (low + high) / 2  # steadier than the split itself where nothing lies between
    background = float(np.median(grey[grey <= threshold]))
    found = grey > background + share * (threshold - background) + 0.01  # above film noise
    opened = ndi.binary_opening(found, opening)
    labels, _ = ndi.label(opened if opened.any() else found)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(ndi.binary_fill_holes((sizes >= max(1, 0.1 * sizes.max()))[labels]))


def _largest(mask: Mask) -> Mask:
    """The largest connected part."""
    labels, n = ndi.label(mask)
    return labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]) if n else mask


def _disc(radius_mm: float, spacing: Spacing) -> Mask:
    """A structuring element that is round in mm."""
    ry, rx = (int(radius_mm / s) for s in spacing)
    y, x = np.ogrid[-ry : ry + 1, -rx : rx + 1]
    return np.asarray((y * spacing[0]) ** 2 + (x * spacing[1]) ** 2 <= radius_mm**2)


def _blocks(spacing: Spacing, step_mm: float) -> list[int]:
    """How many pixels along each axis make one of about ``step_mm``."""
    return [max(1, round(step_mm / s)) for s in spacing]


def _shrink(grey: Image, spacing: Spacing, step_mm: float) -> tuple[Image, Spacing]:
    """Block means with pixels of about ``step_mm`` (never enlarged), and their spacing."""
    by, bx = _blocks(spacing, step_mm)
    pad = [(0, -n % b) for n, b in zip(grey.shape, (by, bx), strict=True)]
    padded = np.pad(grey, pad, mode="edge")
    means = padded.reshape(padded.shape[0] // by, by, -1, bx).mean(axis=(1, 3))
    return means, (spacing[0] * by, spacing[1] * bx)


def _enlarge(
    coarse: NDArray[Scalar], shape: tuple[int, ...], spacing: Spacing, step_mm: float
) -> NDArray[Scalar]:
    """Undo ``_shrink``: repeat the blocks and crop to the shape of the image."""
    for axis, block in enumerate(_blocks(spacing, step_mm)):
        coarse = np.repeat(coarse, block, axis=axis)
    return coarse[: shape[0], : shape[1]]
