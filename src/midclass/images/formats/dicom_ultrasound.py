"""Regions of an ultrasound image: where on the screen tissue is, and how large its pixels are.

The standard is PS3.3 C.8.5.5 (US Region Calibration). A stored image is the scanner's screen, with
letters, scales and curves around the sonogram, and has no PixelSpacing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midclass.images.formats.dicom_attributes import Dataset, Unusable, number, numbers

_PLANE, _CM = 1, 3
"""Codes of RegionSpatialFormat and of the units along both axes."""
_CORNERS = (
    *("RegionLocationMinY0", "RegionLocationMinX0"),
    *("RegionLocationMaxY1", "RegionLocationMaxX1"),
)
_UNITS = ("PhysicalUnitsYDirection", "PhysicalUnitsXDirection")
_DELTAS = ("PhysicalDeltaY", "PhysicalDeltaX")
_FINEST_MM, _COARSEST_MM = 0.001, 10.0
"""No scanner has pixels that are smaller or larger."""
_SAME = 0.01
"""Lengths that differ by less than this part of them are the same."""


@dataclass(frozen=True)
class Region:
    """A part of the screen that shows a plane through tissue.

    Attributes:
        rows: first row, and the one after the last.
        columns: likewise.
        spacing_mm: ``(rows, columns)``, None where it is not told in centimetres.
    """

    rows: tuple[int, int]
    columns: tuple[int, int]
    spacing_mm: tuple[float, float] | None


def regions_of(about: Dataset) -> list[Region]:
    """All planes through tissue of an image; none where the file does not tell of any.

    Where one is not told whole, none is believed: what it shows would be darkened. So it is where
    one reaches beyond the image by more than a line, which was then cropped or resampled after the
    scanner had written them.
    """
    items = about.get("SequenceOfUltrasoundRegions") or ()
    try:
        found = [_region(one) for one in items if number(one, "RegionSpatialFormat") == _PLANE]
    except Unusable:
        return []
    height, width = (int(about.get(name) or 0) for name in ("Rows", "Columns"))
    inside = all(one.rows[1] <= height + 1 and one.columns[1] <= width + 1 for one in found)
    return found if inside else []


def region_spacing_mm(about: Dataset) -> tuple[float, float] | None:
    """``(rows, columns)`` where all regions have the same, and PixelAspectRatio is no other."""
    spacings = [one.spacing_mm for one in regions_of(about)]
    if not spacings or spacings[0] is None:
        return None
    first = spacings[0]
    if not all(one and np.allclose(one, first, rtol=_SAME) for one in spacings):
        return None
    told = numbers(about, "PixelAspectRatio")  # vertical \ horizontal
    if len(told) == 2 and not np.isclose(told[0] * first[1], told[1] * first[0], rtol=2 * _SAME):
        return None
    return first


def beside_regions(about: Dataset) -> NDArray[np.bool_] | None:
    """Pixels ``(rows, columns)`` in none of them: the screen. None where no region is told."""
    regions = regions_of(about)
    if not regions:
        return None
    beside = np.ones((int(about.Rows), int(about.Columns)), bool)
    for one in regions:
        beside[slice(*one.rows), slice(*one.columns)] = False
    return beside


def _region(item: Dataset) -> Region:
    """A plane.

    Raises:
        Unusable: it is not told where it lies.
    """
    corners = [number(item, name) for name in _CORNERS]
    if None in corners:
        raise Unusable("a region without a corner")
    top, left, bottom, right = (int(one) for one in corners if one is not None)
    if top > bottom or left > right:
        raise Unusable("a region without pixels")
    units = [number(item, name) for name in _UNITS]
    height, width = (10 * abs(number(item, name) or 0) for name in _DELTAS)
    sized = units == [_CM, _CM] and min(height, width) >= _FINEST_MM
    spacing = (height, width) if sized and max(height, width) <= _COARSEST_MM else None
    return Region((top, bottom + 1), (left, right + 1), spacing)
