"""Shape: size, place and form of an anatomy as a few numbers, to tell a strange one from the rest.

All are shares of the sample or of the mask itself, so that resolution and spacing do not matter;
they need no image, only the mask, in 2-D and 3-D.

>>> mask = np.zeros((40, 40), bool)
>>> mask[10:30, 20:40] = True
>>> dict(zip(feature_names(2), mask_features(mask)[0].tolist()))
{'area': 0.25, 'centre_y': 0.5, 'centre_x': 0.75, 'height': 0.5, 'width': 0.5, 'solidity': 1.0, \
'parts': 1.0, 'largest_part': 1.0}
"""

from __future__ import annotations

from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi
from scipy.spatial import ConvexHull

from midclass.errors import InputError
from midclass.images.anatomy.regions import Mask

Features = NDArray[np.float64]
"""One row for each mask, one column for each of ``feature_names``."""
_AXES = {2: ("y", "x"), 3: ("z", "y", "x")}
_EXTENT = {"z": "depth", "y": "height", "x": "width"}
_LEAST_SCALE = {"parts": 0.5}
"""What a feature is never known better than, of its own units; others: a hundredth."""


def feature_names(dims: int) -> tuple[str, ...]:
    """Names of the features of masks with two or three axes, in the order of the columns.

    * ``area``: share of the sample that the mask covers (of the volume in 3-D).
    * ``centre_y``, ``centre_x`` (first ``centre_z`` in 3-D): its centroid; 0 and 1 are the edges.
    * ``height``, ``width`` (first ``depth``): of its bounding box, as shares of the sample.
    * ``solidity``: its area over that of its convex hull, 1 for a convex one.
    * ``parts``: how many connected parts it has, and ``largest_part``: the share of the largest.
    """
    axes = _AXES[dims]
    places = [f"centre_{axis}" for axis in axes]
    return ("area", *places, *(_EXTENT[a] for a in axes), "solidity", "parts", "largest_part")


def mask_features(masks: Mask) -> Features:
    """Size, place and form of masks.

    Args:
        masks: bool, one mask ``(h, w)`` or ``(d, h, w)``, or several ``(n, 1, *spatial)``.

    Returns:
        ``(n, f)``, n being 1 for one mask, columns by ``feature_names``; a row of NaN for an empty
        mask, which has neither place nor form.

    Raises:
        InputError: another shape or type.
    """
    if masks.dtype != bool or masks.ndim not in (2, 3, 4, 5):
        raise InputError(
            "mask_features takes bool masks (h, w), (d, h, w) or (n, 1, *spatial), got "
            f"{masks.dtype} {masks.shape}"
        )
    if masks.ndim >= 4 and masks.shape[1] != 1:
        raise InputError(
            f"masks of several images have one channel, (n, 1, *spatial), got {masks.shape}"
        )
    each = masks[:, 0] if masks.ndim >= 4 else masks[None]
    rows = [_of_one(mask) for mask in each]
    return np.array(rows, np.float64).reshape(len(each), len(feature_names(each.ndim - 1)))


def deviations(features: Features, reference: Features | None = None) -> Features:
    """How far each feature lies from the reference's median, in robust standard deviations.

    The unit is 1.4826 times the median absolute deviation, a standard deviation where values are
    normal (Rousseeuw and Croux, J Am Stat Assoc 88:1273, 1993), but at least a hundredth (half a
    part): masks that are all alike do not make the next one strange.

    Args:
        features: ``(n, f)`` of ``mask_features``.
        reference: those of masks to compare with, by default the same; empty ones do not count.

    Returns:
        ``(n, f)`` with the sign of the difference; NaN where a mask is empty.

    Raises:
        InputError: the reference has no mask that is not empty.

    >>> masks = np.zeros((9, 1, 32, 32), bool)
    >>> masks[:, 0, 8:24, 8:24] = True
    >>> masks[4] = np.roll(masks[4], 8, axis=2)
    >>> far = deviations(mask_features(masks))
    >>> int(np.abs(far).max(1).argmax()), feature_names(2)[np.abs(far[4]).argmax()]
    (4, 'centre_x')
    """
    known = features if reference is None else reference
    known = known[np.isfinite(known).all(1)]
    if not len(known):
        raise InputError("every mask to compare with is empty; check the anatomy")
    middle = np.median(known, axis=0)
    names = feature_names(3 if features.shape[1] == len(feature_names(3)) else 2)
    least = np.array([_LEAST_SCALE.get(name, 0.01) for name in names])
    scale = np.maximum(1.4826 * np.median(np.abs(known - middle), axis=0), least)
    return np.asarray((features - middle) / scale)


def _of_one(mask: Mask) -> list[float]:
    found = np.nonzero(mask)
    names = feature_names(mask.ndim)
    if not len(found[0]):
        return [np.nan] * len(names)
    sides = mask.shape
    centre = [(at.mean() + 0.5) / side for at, side in zip(found, sides, strict=True)]
    extent = [(np.ptp(at) + 1) / side for at, side in zip(found, sides, strict=True)]
    labels, parts = ndi.label(mask)
    sizes = np.bincount(labels.ravel())[1:]
    area = len(found[0])
    solidity = area / _hull(mask)
    return [area / mask.size, *centre, *extent, solidity, float(parts), sizes.max() / area]


def _hull(mask: Mask) -> float:
    """Area (volume) of the convex hull of the mask's pixels, each a square (cube) of side 1."""
    lines = mask.any(-1)
    first = mask.argmax(-1)[lines]
    last = mask.shape[-1] - mask[..., ::-1].argmax(-1)[lines]
    where = np.argwhere(lines)  # only the ends of a line can be on the hull
    ends = np.concatenate([np.c_[where, first], np.c_[where, last]])
    moves = [np.array([*move, 0]) for move in product((0, 1), repeat=mask.ndim - 1)]
    grid = tuple(side + 1 for side in mask.shape)
    corners = np.concatenate([np.ravel_multi_index((ends + move).T, grid) for move in moves])
    return float(ConvexHull(np.transpose(np.unravel_index(np.unique(corners), grid))).volume)
