"""DICOM SEG: the segments of one source image, put together to a mask.

The standard is PS3.3 A.51 and C.8.20. This is the only file that imports highdicom, which comes
with the extra ``seg``.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np

from midclass.errors import InputError
from midclass.images.formats.contents import contents
from midclass.images.formats.dicom import source_of
from midclass.images.formats.dicom_file import quiet
from midclass.images.formats.raw import Values


def read_seg(path: Path, image: Path, frame: int | None, *, is_dicom: bool) -> Values:
    """Where any segment lies in a source image, ``(rows, cols)``.

    Args:
        path: the segmentation.
        image: its source.
        frame: of a source with several.
        is_dicom: whether the source is DICOM, which alone can be referred to.

    Raises:
        InputError: highdicom is not installed, or the segmentation is of other images.
    """
    if not is_dicom:
        raise InputError(
            f"{path}: a DICOM mask refers to DICOM images, and {image} is none; give a PNG"
        )
    study, series, instance, frames = source_of(image)
    with quiet():
        found = _segmentation(path)
        sources = found.get_source_image_uids()
        if instance not in {source[2] for source in sources}:
            if (study, series) in {source[:2] for source in sources}:
                return np.zeros((found.Rows, found.Columns), bool)  # a slice without a segment
            raise InputError(
                f"{path}: is a segmentation of other images than {image} (it does not refer to its "
                "SOP Instance UID); name the right file in the column mask"
            )
        if frames == 1:
            values = found.get_pixels_by_source_instance(
                [instance], assert_missing_frames_are_empty=True
            )
        else:
            values = found.get_pixels_by_source_frame(
                instance, [(frame or 0) + 1], assert_missing_frames_are_empty=True
            )
    return cast(Values, (values[0] >= 0.5).any(axis=-1))  # (rows, cols, segments)


def _segmentation(path: Path) -> Any:
    try:
        from highdicom.seg import segread
    except ImportError as error:
        raise InputError(
            f"{path}: reading a DICOM SEG needs highdicom: pip install 'midclass[seg]'"
        ) from error
    try:
        return segread(BytesIO(contents(path)))
    except (ValueError, RuntimeError, AttributeError) as error:
        raise InputError(
            f"{path}: a DICOM mask must be a segmentation (SEG), and this is none that can be read "
            f"({type(error).__name__}); give a PNG"  # the words of a library may quote the header
        ) from None
