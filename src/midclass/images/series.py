"""Series: the images of files in the order in which they follow each other in a patient.

Slices stand by their place along the normal of their plane (PS3.3 C.7.6.2.1.1), as far as all of a
series say it of one plane; else by InstanceNumber; else by the name of their file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from midclass.errors import InputError
from midclass.images.formats.dicom_header import Header

NOBODY = frozenset(
    (
        *("anon", "anonymous", "anonymized", "anonymised", "deidentified", "dummy", "na", "nil"),
        *("none", "null", "patient", "removed", "test", "unknown", "xxx", "xxxx"),
    )
)
"""What stands in PatientID, without case and separators, where it was removed."""
Whose: TypeAlias = tuple[str, str]
"""By what a patient is told from others ("PatientID", "study", "folder", "file"), and its value."""


STACKS = ("CT", "MR", "PT")
"""Modalities whose series are slices, also where no position is told. The views of a mammography
are one series, too, and no neighbours."""
ONE_PLANE = 0.999
"""Cosine between the normals of slices that are parallel."""
SAME_MM, SAME = (1e-4, 0.01), 0.05
"""Images no further apart than this share of their mean distance, within these limits, are at one
position: those of optical coherence tomography lie some micrometres apart."""


class FoundFile(NamedTuple):
    """A file with images.

    Attributes:
        path: where it is.
        called: what it is called in tables.
        images: how many frames or slices it has.
        header: of a DICOM file that could be understood.
    """

    path: Path
    called: str
    images: int
    header: Header | None = None


class PlacedImage(NamedTuple):
    """One image of a file.

    Attributes:
        file: which.
        frame: of a file with several.
        whose: see ``Whose``.
        series: SeriesInstanceUID, or what the file with several images is called; "" without.
        place: among the patient's images, from 0 on, as many apart as slices lie apart: where one
            is missing there is a gap, and images at one position have one place. None of what is no
            slice and no frame.
    """

    file: FoundFile
    frame: int | None
    whose: Whose
    series: str
    place: float | None


def whose(file: FoundFile) -> Whose:
    """Whose images a file holds: by PatientID, else by the study, else by the file alone.

    >>> whose(FoundFile(Path("a"), "a", 1, Header("ANONYMOUS", study="1.2.3")))
    ('study', '1.2.3')
    """
    header = file.header or Header()
    patient = "".join(letter for letter in header.patient.casefold() if letter.isalnum())
    if patient and patient not in NOBODY and patient.strip("0"):
        return "PatientID", header.patient
    return ("study", header.study) if header.study else ("file", file.called)


TOLD_APART = ("header", "folder", "file")
"""By what patients can be told apart."""


def refuse_patients(patients: str) -> None:
    """Raise InputError where patients cannot be told apart so."""
    if patients not in TOLD_APART and not _LEVEL.fullmatch(patients):
        raise InputError(
            f"--patients {patients}: expected one of {', '.join(TOLD_APART)}, or folder:2 for the "
            "name of the second folder below"
        )


_LEVEL = re.compile("folder:([1-9][0-9]?)")


def telling(patients: str) -> Callable[[FoundFile], Whose]:
    """What tells patients apart: see ``whose``, or the folder or the file alone.

    Args:
        patients: one of ``TOLD_APART``; or ``folder:N``, the name of the N-th folder below, and
            the innermost where there are fewer: p1 of two classes or two visits is one person.
    """
    if level := _LEVEL.fullmatch(patients):
        deep = int(level[1])
        return lambda file: ("folder", "".join(Path(file.called).parts[:-1][:deep][-1:]))
    if patients == "folder":
        return lambda file: ("folder", Path(file.called).parent.as_posix())
    if patients == "file":
        return lambda file: ("file", file.called)
    return whose


def placed(
    files: Sequence[FoundFile], whose_are: Callable[[FoundFile], Whose] = whose
) -> list[PlacedImage]:
    """The images of files, series by series in the order of their first files.

    Args:
        files: in any order.
        whose_are: tells the patient of a file.
    """
    groups: dict[tuple[Whose, str], list[FoundFile]] = {}
    for file in files:
        series = file.header.series if file.header else ""
        groups.setdefault((whose_are(file), series or file.called), []).append(file)
    found, taken = list[PlacedImage](), dict[Whose, int]()
    for (patient, series), members in groups.items():
        images, steps = _in_order(members)
        several, before = len(images) > 1, taken.get(patient, 0)
        for (file, frame), step in zip(images, steps, strict=True):
            named = series if several or (file.header and file.header.series) else ""
            where = float(before + step) if _is_slice(file) else None
            found.append(PlacedImage(file, frame, patient, named, where))
        taken[patient] = before + max(steps) + 1
    return found


def _is_slice(file: FoundFile) -> bool:
    header = file.header or Header()
    return file.images > 1 or bool(header.places) or header.modality in STACKS


def _in_order(files: Sequence[FoundFile]) -> tuple[list[tuple[FoundFile, int | None]], list[int]]:
    """The images of a series, and at how many steps from the first each lies."""
    images = [
        (file, frame if file.images > 1 else None) for file in files for frame in range(file.images)
    ]
    headers = [file.header or Header() for file in files]
    normal = headers[0].plane
    by_place = bool(normal) and all(
        len(header.places) == file.images and np.dot(header.plane, normal) > ONE_PLANE
        for file, header in zip(files, headers, strict=True)
    )

    def key(image: tuple[FoundFile, int | None]) -> tuple[float, float, int]:
        file, frame = image
        header = file.header or Header()
        place = header.places[frame or 0] if by_place else 0.0
        return place, header.number or 0.0, frame or 0

    images.sort(key=key)  # stable: else as the files are
    if by_place:
        return images, _steps([key(image)[0] for image in images])
    planes = [header.plane for header in headers if header.plane]
    crossing = any(abs(np.dot(plane, planes[0])) <= ONE_PLANE for plane in planes)
    return images, [0] * len(images) if crossing else list(range(len(images)))


def _steps(places: Sequence[float]) -> list[int]:
    """How many usual steps each of ascending positions lies from the first.

    >>> _steps([0.0, 5.0, 15.0, 20.0]), _steps([0.0, 0.0, 2.5, 2.5]), _steps([0.0, 0.004, 0.008])
    ([0, 1, 3, 4], [0, 0, 1, 1], [0, 1, 2])
    """
    apart = np.diff(places)
    further = apart > (np.clip(SAME * apart.mean(), *SAME_MM) if len(apart) else 0)
    usual = np.median(apart[further]) if further.any() else 1.0
    steps = np.where(further, np.maximum(np.rint(apart / usual), 1), 0)
    return [0, *np.cumsum(steps).astype(int).tolist()]
