"""Spacing of a DICOM file, and the shape of its pixels where their size is not known.

The standard is PS3.3 10.7 (spacing), C.8.5.5 (of ultrasound), C.7.6.3.1.7 (aspect ratio) and
C.7.6.2 (position).
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from midclass.images.formats.dicom_attributes import Dataset, Unusable, number, numbers, shown
from midclass.images.formats.dicom_ultrasound import region_spacing_mm
from midclass.recipe.parts import PLANES

SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""In the patient, at the detector, and on a film that was scanned; (rows, columns)."""
SAME = 0.01
"""Lengths that differ by less than this part of them are the same."""


def spacing_mm(about: Dataset) -> tuple[float, float] | None:
    """``(rows, columns)``; None where the file does not tell.

    Raises:
        Unusable: it tells something that is no spacing.
    """
    for keyword in SPACINGS:
        found = numbers(about, keyword)
        if not found or found in ((0,), (0, 0)):  # some writers put 0 for "unknown"
            continue
        if len(found) != 2 or min(found) <= 0:
            raise Unusable(f"{keyword} is {shown(found)}, expected two numbers above 0")
        return found[0], found[1]
    return region_spacing_mm(about)


def normal_of(about: Dataset) -> tuple[float, ...]:
    """Of the image plane, to the patient's left, back and head; none where the file tells none."""
    try:
        direction = numbers(about, "ImageOrientationPatient")
    except Unusable:
        return ()
    if len(direction) != 6:
        return ()
    with np.errstate(all="ignore"):
        normal = np.cross(direction[:3], direction[3:])
        length = float(np.linalg.norm(normal))  # of two unit vectors at a right angle it is 1
    return tuple(normal.tolist()) if 0.5 <= length < math.inf else ()


def plane_of(normal: tuple[float, ...]) -> str:
    """The plane with this normal, or the nearest; "" of none.

    >>> plane_of((0.0, -0.4, 0.9)), plane_of(())
    ('axial', '')
    """
    along = [abs(part) for part in normal]
    return PLANES[along.index(max(along))] if along else ""


def aspect(about: Dataset, spacing: tuple[float, float] | None) -> float:
    """Height of a pixel over its width, where the spacing does not tell; 1 if nothing does.

    Raises:
        Unusable: PixelAspectRatio is none, or contradicts the spacing.
    """
    found = numbers(about, "PixelAspectRatio")  # vertical \ horizontal
    if not found:
        return 1.0
    if len(found) != 2 or min(found) <= 0:
        raise Unusable(f"PixelAspectRatio is {shown(found)}, expected two numbers above 0")
    ratio = found[0] / found[1]
    if spacing is None:
        return ratio
    if ratio != 1 and not math.isclose(ratio, spacing[0] / spacing[1], rel_tol=2 * SAME):
        raise Unusable(
            f"PixelAspectRatio is {shown(found)}, but the spacing is {shown(spacing)} mm; "
            "correct one of them"
        )
    return 1.0


def volume_spacing_mm(about: list[Dataset]) -> tuple[float, float, float] | None:
    """``(slices, rows, columns)`` of frames in their order; None where the file does not tell.

    Raises:
        Unusable: the frames are no stack of slices: they differ in spacing or direction, or do
            not follow each other at one distance.
    """
    spacings = {spacing_mm(one) for one in about}
    directions = {numbers(one, "ImageOrientationPatient") for one in about}
    if len(spacings) > 1 or len(directions) > 1:
        what = "PixelSpacing" if len(spacings) > 1 else "ImageOrientationPatient"
        raise Unusable(f"{what} differs among the frames, which are no volume; name a frame")
    spacing, gap = spacings.pop(), number(about[0], "SpacingBetweenSlices")
    places = [numbers(one, "ImagePositionPatient") for one in about]
    if all(len(place) == 3 for place in places):
        steps = [math.dist(a, b) for a, b in pairwise(places)]
        total = math.dist(places[0], places[-1])
        straight = math.isclose(total, sum(steps), rel_tol=SAME)
        if not straight or max(steps) - min(steps) > SAME * max(max(steps), 1e-9):
            raise Unusable(
                "ImagePositionPatient does not go on in steps of one length from frame to frame, "
                "which are no volume; name a frame"
            )
        gap = steps[0] or gap
    return (abs(gap), *spacing) if gap and spacing else None
