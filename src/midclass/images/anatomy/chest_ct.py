"""CT: anatomy of computed tomography that density alone can find, in 2-D and 3-D."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage as ndi

from midclass.errors import InputError
from midclass.images.anatomy.base import Pixels, Spacing, against_dark, air_and_tissue, grey_of
from midclass.images.anatomy.regions import Mask, convex_hull, reaching
from midclass.images.anatomy.resolution import in_few_pixels

_AIR = 0.55
"""Of a lung window (width 1500, level -600): -525 HU, between lung and soft tissue."""
_LEAST_CM = 2.0
"""Side of the smallest part that counts as lung: bowel gas and the trachea are smaller."""
_CLOSE_MM = 10.0
"""Vessels, nodules and hilar notches up to twice this width belong to the lung."""


@in_few_pixels
def lungs(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """Both lungs in axial chest CT in a lung window (width 1500, level -600), 2-D or 3-D.

    Air that the body encloses, in parts of at least 2 cm along each axis, closed over 10 mm so that
    vessels, nodules and small infiltrates are inside (region and closing as in Hu, Hoffman and
    Reinhardt, IEEE Trans Med Imaging 20:490, 2001). A consolidation of a whole lobe is not found,
    nor a lung that touches the border of a crop: see ``body``. Empty where no lung is seen.

    Args:
        pixels: float32 ``(c, *spatial)`` in [0, 1].
        spacing_mm: one per axis.

    Raises:
        InputError: the shape and the spacing do not fit.
    """
    grey = np.asarray(pixels.mean(axis=0, dtype=np.float32))
    if grey.ndim not in (2, 3) or len(spacing_mm) != grey.ndim or min(spacing_mm) <= 0:
        raise InputError(
            f"anatomy lungs takes 2-D or 3-D images with a spacing > 0 per axis, got shape "
            f"{pixels.shape} and spacing {spacing_mm}"
        )
    smooth = ndi.gaussian_filter(grey, [1.0 / s for s in spacing_mm])
    air = _enclosed(smooth < _AIR)
    labels, _ = ndi.label(air)
    least = (10 * _LEAST_CM) ** grey.ndim / math.prod(spacing_mm)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept = (sizes >= least)[labels]
    return _closed(kept, spacing_mm) if kept.any() else kept


@in_few_pixels
def body(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """The body in axial CT of any window, also where an image is cropped to the lungs.

    The convex hull of what is brighter than air and of all air but that around the body, which
    takes much of the image's border; in 3-D slice by slice. So a lung that touches the border of a
    crop is inside, and one that is white from top to bottom too: a border drawn around its air
    would leave it out. The price is that chest wall and heart are inside as well. Empty only for
    a constant image.

    Args:
        pixels: float32 ``(c, *spatial)`` in [0, 1].
        spacing_mm: one per axis.
    """
    grey = grey_of(pixels, spacing_mm, "body", (2, 3))
    slices = grey if grey.ndim == 3 else grey[None]
    return np.stack([_body(one, math.prod(spacing_mm[-2:])) for one in slices]).reshape(grey.shape)


def _body(grey: Pixels, pixel_mm2: float) -> Mask:
    """Of one slice."""
    smooth = ndi.gaussian_filter(grey, 0.7)
    tissue = against_dark(smooth, 0.35)
    if not tissue.any():
        return tissue
    labels, _ = ndi.label(smooth < air_and_tissue(smooth)[1])
    border = np.concatenate([labels[0], labels[-1], labels[1:-1, 0], labels[1:-1, -1]])
    around = np.bincount(border, minlength=labels.max() + 1) >= _AROUND * len(border)
    air = np.bincount(labels.ravel()) * pixel_mm2 >= (10 * _LEAST_CM) ** 2
    air[0] = False  # the label of what is no air
    return convex_hull(tissue | (air & ~around)[labels])


_AROUND = 0.3
"""Of the border of the image: air that takes more of it is no lung, but lies around the body."""


def _enclosed(dark: Mask) -> Mask:
    """Dark parts that touch no side of an image, or of any slice: what the body encloses."""
    slices = dark if dark.ndim == 3 else dark[None]
    inside = np.empty_like(slices)
    for plane, out in zip(slices, inside, strict=True):
        out[:] = plane & ~reaching(plane)
    return inside.reshape(dark.shape)


def _closed(mask: Mask, spacing_mm: Spacing) -> Mask:
    """Closed by a ball of ``_CLOSE_MM``, by distances: its cost does not grow with the ball."""
    pad = [math.ceil(_CLOSE_MM / s) + 1 for s in spacing_mm]
    padded = np.pad(mask, [(p, p) for p in pad])
    near = ndi.distance_transform_edt(~padded, sampling=spacing_mm) <= _CLOSE_MM
    closed = ndi.distance_transform_edt(near, sampling=spacing_mm) > _CLOSE_MM
    inner = tuple(slice(p, -p) for p in pad)
    return np.asarray((closed | padded)[inner])
