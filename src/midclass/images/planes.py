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
from midclass.images.formats.dicom_geometry import plane_of
from midclass.images.formats.dicom_header import Header, header_of
from midclass.images.formats.holding import images_in, plane_in
from midclass.images.formats.read import file_format
from midclass.images.windows import some_files

PLANE = "plane"
"""What a condition on it is called; no attribute of DICOM is."""


def plane_told(path: Path, header: Header | None) -> str:
    """One of ``recipe.parts.PLANES``; "" where a file tells of none, or its frames differ.

    Args:
        path: the file.
        header: of a DICOM file (ImageOrientationPatient, PS3.3 C.7.6.2); None of any other, of
            which NIfTI tells.
    """
    if header is not None:
        return plane_of(header.plane)
    return plane_in(path) if file_format(path) == "NIfTI" else ""


def planes_of(cases: Iterable[Case]) -> Counter[str]:
    """How many files hold slices of which plane; of some files, evenly spread.

    Files that tell of none, and damaged ones, are not counted.
    """
    return Counter(said for path in some_files(cases) if (said := _plane(path)))


def _plane(path: Path) -> str:
    try:
        is_dicom = file_format(path) == "DICOM"
        return plane_told(path, header_of(path, images_in(path)) if is_dicom else None)
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
        f"slices lie in several planes: {each} of {planes.total()} files looked at. Where the task "
        f"is of one, let the recipe say so (accepts: {{{PLANE}: [{name}]}}) and keep those alone: "
        f"midclass manifest FOLDER --where {PLANE}={name}"
    )
