"""The inside of the skull in head CT."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
from scipy import ndimage as ndi

from midclass.images.anatomy.base import Pixels, Spacing, grey_of
from midclass.images.anatomy.learned import seen_by
from midclass.images.anatomy.regions import Mask, disc, filled, largest, without_specks
from midclass.images.anatomy.resolution import FINE, enlarge, in_few_pixels, shrink

_DOUBTFUL = -3.2  # logits above are within 4 mm of the inside of drawn heads
_DEEP_MM = 39.0
_WALL_MM = 5.0
_RIM_MM = 3.0
_AS_BRIGHT_AS_BONE = 0.85  # of the way from brain to bone
# Of a brain window, which cuts bone off at 1, and air and fat at 0.
_CLIPPED, _BONE, _AIR = 0.99, 0.95, 0.05


@partial(in_few_pixels, most=FINE)
def intracranial(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """Inside the skull, in one axial head CT slice of any window, file or crop (2-D).

    Found by a small network that has learned ``intracranial_by_bone`` and must not be moved by
    what is inside, blood against the inner table above all. In a rim of some 3 mm on either side
    of its border, what is darker than the bone around is inside. Empty where no intracranial area
    is seen, as in the face and the neck.
    """
    grey = grey_of(pixels, spacing_mm, "intracranial", (2,))
    seen = seen_by("intracranial", grey, spacing_mm)
    sure, doubtful = seen > 0, seen > _DOUBTFUL
    if not sure.any():
        return sure
    near = ndi.distance_transform_edt(~doubtful, sampling=spacing_mm) <= _WALL_MM
    wall = grey[near & ~doubtful]
    brain, bone = np.median(grey[sure]), np.percentile(wall, 75) if wall.size else 1.0
    darker = grey < brain + _AS_BRIGHT_AS_BONE * (bone - brain)
    deep = ndi.distance_transform_edt(sure, sampling=spacing_mm) > _RIM_MM
    return _with_ventricles(without_specks(deep | ((sure | doubtful) & darker)), spacing_mm)


def _with_ventricles(mask: Mask, spacing_mm: Spacing) -> Mask:
    """Without the holes deep inside: there the network took the brightest blood for bone.

    Bone of the skull base stays a hole: it is nearer to the wall.
    """
    whole = filled(mask)
    labels, count = ndi.label(whole & ~mask)
    if not count:
        return mask
    depth = ndi.distance_transform_edt(whole, sampling=spacing_mm)
    deep = ndi.mean(depth, labels, np.arange(count + 1)) > _DEEP_MM
    deep[0] = False
    return np.asarray(mask | deep[labels])


@partial(in_few_pixels, most=FINE)
def intracranial_by_bone(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """Inside the skull up to the inner table, by a rule, in a brain window (2-D).

    The window must saturate bone to 1 and show brain between .3 and .6 (for example width 80 to
    120, level 40). Soft tissue is cut at passages narrower than 6 mm (2 mm where nothing is left);
    a part belongs to the brain if bone is met in nearly all of 16 directions and if it is even and
    as bright as brain: muscles are brighter and less enclosed, orbits uneven. The parts grow back
    to the bone and holes are filled, so that extra-axial blood, ventricles and calcifications are
    inside; islands that are cut off at 1 over more than 15 mm2 are bone of the skull base and stay
    outside, so choose a window in which blood stays below 1 (width 120 rather than 80). EMPTY
    where no intracranial area is seen and for a constant image; a spinal canal may pass for one.
    """
    grey = grey_of(pixels, spacing_mm, "intracranial_by_bone", (2,))
    coarse, spacing = shrink(grey, spacing_mm, 1.0)
    mask = np.zeros(coarse.shape, bool)
    head = filled(largest(coarse > 0.1))
    for box in ndi.find_objects(head.astype(np.int8)):
        mask[box] = _inside_skull(coarse[box], head[box], spacing)
    return enlarge(mask, grey.shape, spacing_mm, 1.0)


def _inside_skull(grey: Pixels, head: Mask, spacing: Spacing) -> Mask:
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
            full = _fill(grown, grey, math.prod(spacing))
            solid = ndi.binary_opening(full, disc(radius, spacing)) | (full & core)
            return np.asarray(solid)
    return np.zeros(grey.shape, bool)


def _brain_parts(
    parts: Mask, grey: Pixels, enclosed: Pixels, brightest: float, pixel_mm2: float
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


def _fill(mask: Mask, grey: Pixels, pixel_mm2: float) -> Mask:
    """Fill holes, but not with bone (temporal bone and its air cells, clinoids, sella)."""
    hole = filled(mask) & ~mask
    labels, _ = ndi.label(hole)
    count = np.bincount(labels.ravel())
    air = np.bincount(labels.ravel(), weights=(grey < 0.03).ravel()) / count
    bone = np.bincount(labels.ravel(), weights=(grey >= _BONE).ravel()) / count
    tissue = (count * pixel_mm2 < 400) | (air < 0.1) | (bone < 0.1)
    clipped = np.bincount(labels.ravel(), weights=(grey >= _CLIPPED).ravel()) * pixel_mm2
    island = hole & (clipped > 15)[labels]
    rim = ndi.binary_dilation(island, np.ones((3, 3)))  # bone and brain in one pixel
    return np.asarray((mask | (hole & tissue[labels])) & ~rim)


def _enclosure(bone: Mask, spacing: Spacing) -> Pixels:
    """In how many of 16 directions bone is met before the image ends, as a share (h, w)."""
    coarse, _ = shrink(bone.astype(np.float32), spacing, 3.0)
    wall = coarse > 0
    hits = np.zeros(wall.shape, np.float32)
    for turn in (1, -1):
        for slope in (0.0, 0.414, -0.414, 1.0, -1.0):
            hits += _sweep(wall[::turn], slope)[::turn]
        for slope in (0.0, 0.414, -0.414):
            hits += _sweep(wall.T[::turn], slope)[::turn].T
    return enlarge(hits / np.float32(16), bone.shape, spacing, 3.0)


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
