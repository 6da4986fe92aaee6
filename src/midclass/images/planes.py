"""Planes: in which plane of the patient the slices of a file lie.

A folder of an examination holds slices of several planes more often than not, and localizers
besides: to a detector they are pictures of different things.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from midclass.errors import InputError, NoImage
from midclass.images.case import Case
from midclass.images.formats.dicom_header import Header, header_of
from midclass.images.formats.holding import axis_in, images_in
from midclass.images.formats.read import file_format
from midclass.images.windows import some_files

PLANE = "plane"
"""What a condition on it is called; no attribute of DICOM is."""
PLANES = ("sagittal", "coronal", "axial")
"""By the axis of the patient to which their normal is nearest: right, front (back), head."""


def plane_in(path: Path, header: Header | None) -> str:
    """One of ``PLANES``; "" where a file tells of none, or its frames lie in several.

    Args:
        path: the file.
        header: of a DICOM file (ImageOrientationPatient, PS3.3 C.7.6.2); None of any other, of
            which NIfTI tells.
    """
    if header is None:
        axis = axis_in(path) if file_format(path) == "NIfTI" else None
        return "" if axis is None else PLANES[axis]
    along = [abs(part) for part in header.plane]
    return PLANES[along.index(max(along))] if along else ""


def planes_of(cases: Iterable[Case]) -> Counter[str]:
    """How many files hold slices of which plane; of some files, evenly spread.

    Files that tell of none, and damaged ones, are not counted.
    """
    return Counter(said for path in some_files(cases) if (said := _plane(path)))


def _plane(path: Path) -> str:
    try:
        is_dicom = file_format(path) == "DICOM"
        return plane_in(path, header_of(path, images_in(path)) if is_dicom else None)
    except (OSError, InputError, NoImage):
        return ""


def in_words(planes: Counter[str]) -> str:
    """What a user should know where slices lie in several planes; "" where they do not.

    >>> in_words(Counter(axial=60))
    ''
    >>> in_words(Counter(axial=60, sagittal=4))[:67]
    'slices lie in several planes: axial (60), sagittal (4) of 64 files '
    """
    if len(planes) < 2:
        return ""
    each = ", ".join(f"{name} ({number})" for name, number in planes.most_common())
    name = planes.most_common(1)[0][0]
    return (
        f"slices lie in several planes: {each} of {planes.total()} files looked at; to a detector "
        f"they show different things. Keep those of one: midclass manifest FOLDER --where "
        f"{PLANE}={name}"
    )
