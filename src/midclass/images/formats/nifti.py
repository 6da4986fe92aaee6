"""NIfTI: one file -> a slice or the volume as a radiologist looks at it, with spacing.

This is the only file that imports nibabel.
"""

from __future__ import annotations

import gzip
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import numpy as np

from midclass.errors import InputError
from midclass.images.formats.contents import State, contents, state_of
from midclass.images.formats.raw import Raw, Values, finite_range, pick_frame


def is_nifti(head: bytes) -> bool:
    """Whether a file that begins so (after gunzip) is NIfTI-1 or NIfTI-2 in one file.

    >>> is_nifti(bytes(344) + b"n+1" + bytes(1)), is_nifti(bytes(352))
    (True, False)
    """
    return head[344:348] == b"n+1\0" or head[4:8] == b"n+2\0"


def stored_values(path: Path) -> Values:
    """The whole array in the axis order of the file, with the slope and intercept applied."""
    return cast(Values, np.asanyarray(_open(path).dataobj))


def shape_of(path: Path) -> tuple[int, ...]:
    """``(time points, slices, rows, cols)`` as ``read_nifti`` gives them."""
    return _radiological(path, state_of(path))[0].shape


def read_nifti(
    path: Path,
    *,
    frame: int | None,
    time_point: int | None,
    window: tuple[float, float] | None,
    volume: bool,
) -> Raw:
    """An axial slice, or the volume; see ``read`` for orientation and arguments.

    The range is the header's display range (``cal_min``, ``cal_max``) or else the lowest and
    highest value of the whole file: a NIfTI file does not say how many bits were measured, and
    every slice of a file must have the same scale.
    """
    values, spacing_mm, (low, high) = _radiological(path, state_of(path))
    times = values.shape[0]
    if time_point is None and times > 1:
        raise InputError(f"{path}: has {times} time points; name one (index 0 to {times - 1})")
    if not 0 <= (time_point or 0) < times:
        raise InputError(f"{path}: index {time_point} does not exist, it has {times} time points")
    chosen = values[time_point or 0]
    low, high = window or (low, high)
    if volume:
        return Raw(chosen, low, high, spacing_mm=spacing_mm)
    index = pick_frame(path, len(chosen), frame)
    return Raw(chosen[index], low, high, spacing_mm=spacing_mm[1:])


@lru_cache(maxsize=2)  # slices of a volume, and of its mask, are mostly read one after the other
def _radiological(
    path: Path, state: State
) -> tuple[Values, tuple[float, ...], tuple[float, float]]:
    """Values (time, d, rows, cols), spacing and range; ``state`` keeps the cache honest."""
    import nibabel

    image = nibabel.as_closest_canonical(_open(path))
    values = np.asanyarray(image.dataobj)
    if values.dtype.kind not in "iuf":
        raise InputError(f"{path}: values of type {values.dtype}, expected one number per voxel")
    if values.ndim < 3 or any(n > 1 for n in values.shape[4:]):
        raise InputError(f"{path}: has axes {values.shape}, expected 3 (and one of time)")
    values = values.reshape(*values.shape[:3], -1)  # (x, y, z, time), x to the right, y forward
    values = values.transpose(3, 2, 1, 0)[:, :, ::-1, ::-1]
    x_mm, y_mm, z_mm = (float(zoom) for zoom in image.header.get_zooms()[:3])
    low, high = float(image.header["cal_min"]), float(image.header["cal_max"])
    bounds = (low, high) if np.isfinite([low, high]).all() and high > low else finite_range(values)
    return values, (z_mm, y_mm, x_mm), bounds


def _open(path: Path) -> Any:
    """A nibabel image, by content: the name need not end in .nii or .nii.gz."""
    import nibabel

    data = contents(path)
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    kind = nibabel.Nifti2Image if data[4:8] == b"n+2\0" else nibabel.Nifti1Image
    return kind.from_bytes(data)
