"""Masks: one file of the user's -> where in its image disease can be, from PNG, NIfTI or DICOM SEG.

A mask lies on the pixels of its image as ``read`` gives them, before any mirroring or crop. What
is not 0 is inside:

* PNG of any depth; of colours and palettes, what is not black; what is transparent is outside.
* NIfTI, of the same size as a NIfTI image, of which frame and index are taken, or of one slice.
* DICOM SEG of a DICOM image that it refers to: all of its segments, of a fractional one what is
  half or more. This needs highdicom: ``pip install 'midclass[seg]'``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.images.case import Case
from midclass.images.formats import nifti, raster, seg
from midclass.images.formats.raw import Values
from midclass.images.formats.read import failures_name, file_format


def read_mask(case: Case, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask of a case: bool ``(rows, cols)``.

    Args:
        case: one with a mask.
        shape: of its image.

    Raises:
        InputError: the mask is missing, damaged, of another format or size, or of another image.
    """
    path = case.mask
    if path is None:
        raise InputError(f"{case.path}: has no mask; fill the manifest's column mask")
    kind = file_format(path)
    with failures_name(path):
        if kind == "PNG":
            values = raster.read_raster(path, kind, None, None).values
        elif kind == "NIfTI":
            values = _of_nifti(path, case)
        elif kind == "DICOM":
            values = seg.read_seg(path, case.path, case.frame, is_dicom=_is(case.path, "DICOM"))
        else:
            raise InputError(f"{path}: a mask is PNG, NIfTI or DICOM SEG, not {kind}; convert it")
        if not np.isfinite(values).all():
            raise InputError(f"{path}: a mask with NaN or infinite values; write 0 and 1")
    inside = values != 0
    inside = inside.any(axis=-1) if inside.ndim == 3 else inside  # colour
    if inside.shape != shape:
        raise InputError(
            f"{path}: the mask has {inside.shape[1]} x {inside.shape[0]} pixels, its image "
            f"{case.path} has {shape[1]} x {shape[0]}; draw the mask on the image's own pixels, or "
            "leave the field empty to use the recipe's anatomy"
        )
    return np.asarray(inside)


def _of_nifti(path: Path, case: Case) -> Values:
    frame, index, plane = None, None, None
    if _is(case.path, "NIfTI"):
        plane = nifti.plane_of(case.path)
    times, *size = nifti.shape_of(path, plane)
    if plane is not None:
        _, *wanted = nifti.shape_of(case.path)
        if size != wanted:
            raise InputError(
                f"{path}: the mask has {_sides(size)} voxels, its image {case.path} has "
                f"{_sides(wanted)}; write the mask on the image's own grid"
            )
        frame, index = case.frame, case.index if times > 1 else None
    elif size[0] > 1:
        raise InputError(
            f"{path}: a mask of {size[0]} slices for an image that is no NIfTI file; give the "
            "slice as a PNG"
        )
    raw = nifti.read_nifti(
        path, frame=frame, time_point=index, window=None, volume=False, plane=plane
    )
    return raw.values


def _sides(size: list[int]) -> str:
    return " x ".join(map(str, reversed(size)))


def _is(path: Path, kind: str) -> bool:
    return file_format(path) == kind
