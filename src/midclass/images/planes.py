"""Planes: in which plane of the patient the slices of a file lie.

A folder of an examination holds slices of several planes more often than not, and localizers
besides: to a detector they are pictures of different things.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from midclass.errors import InputError
from midclass.images.case import Case
from midclass.images.formats.dicom_attributes import Unusable
from midclass.images.formats.dicom_file import open_header, quiet
from midclass.images.formats.dicom_frames import attributes_of
from midclass.images.formats.dicom_geometry import normal_of, plane_of
from midclass.images.formats.dicom_header import Header
from midclass.images.formats.holding import lies_anyhow, plane_in
from midclass.images.formats.read import file_format
from midclass.images.windows import some_files
from midclass.recipe.parts import PLANES

PLANE = "plane"
"""What a condition on it is called; no attribute of DICOM is."""


def plane_told(path: Path, header: Header | None) -> str:
    """One of ``PLANES``; "" where a file tells of none, or its frames differ.

    Args:
        path: the file.
        header: of a DICOM file (ImageOrientationPatient, PS3.3 C.7.6.2); None of any other, of
            which NIfTI tells.
    """
    if header is not None:
        return header.lies
    return plane_in(path) if file_format(path) == "NIfTI" else ""


def planes_of(cases: Iterable[Case]) -> Counter[str]:
    """How many files hold slices of which plane; of some files, evenly spread.

    Of several frames the first counts. Files that tell of none, and damaged ones, do not.
    """
    return Counter(said for path in some_files(cases) if (said := plane_of_first(path)))


def plane_of_first(path: Path) -> str:
    """The plane of a file's first image; "" where it tells of none, or is damaged."""
    try:
        if file_format(path) != "DICOM":
            return plane_told(path, None)
        with quiet():
            return plane_of(normal_of(attributes_of(open_header(path), 1, None)[0]))
    except (OSError, InputError, Unusable):
        return ""


def without_orientation(cases: Iterable[Case]) -> tuple[int, int]:
    """In how many NIfTI files nothing says how the patient lies, and how many were looked at."""
    files = [path for path in some_files(cases) if _is_nifti(path)]
    return sum(map(lies_anyhow, files)), len(files)


def _is_nifti(path: Path) -> bool:
    try:
        return file_format(path) == "NIfTI"
    except (OSError, InputError):
        return False


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
    others = ",".join(one for one in PLANES if one != name)
    return (
        f"slices lie in several planes: {each} of {planes.total()} files looked at. Where the task "
        f"is of one, keep the others out: midclass manifest FOLDER --where {PLANE}!={others}; and "
        f"before a fit, let the recipe say so: accepts: {{{PLANE}: [{name}]}}"
    )
