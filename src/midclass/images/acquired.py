"""Acquired: in which week and by which device, for whoever watches a detector."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from midclass.errors import InputError
from midclass.images.case import Case
from midclass.images.formats.dicom_header import header_of
from midclass.images.formats.read import file_format

DATES = ("AcquisitionDate", "AcquisitionDateTime", "ContentDate", "SeriesDate", "StudyDate")
"""Where a date stands, the first that is there (PS3.3 C.7.6.1, C.7.3.1, C.7.2.1)."""
MODEL = "ManufacturerModelName"


class Taken(NamedTuple):
    """Of an image; "" where nothing says.

    Attributes:
        week: of ISO 8601, such as ``2026-W48``. A day is not told: with little else it names a
            patient, and for a detector's drift a week is fine enough.
        device: ManufacturerModelName (PS3.3 C.7.5.1), neither its serial number nor its station.
    """

    week: str = ""
    device: str = ""


def taken_of(cases: Iterable[Case]) -> list[Taken]:
    """What the headers of DICOM files say; nothing of other files and of damaged ones."""
    found = dict[Path, Taken]()
    each = []
    for case in cases:
        path = case.path
        if path not in found:
            found[path] = _taken(path)
        each.append(found[path])
    return each


def _taken(path: Path) -> Taken:
    try:
        if file_format(path) != "DICOM":
            return Taken()
        said = header_of(path, asked=(*DATES, MODEL)).asked
    except (OSError, InputError):
        return Taken()
    dates = (one for name in DATES for one in said[name])
    return Taken(week_of(next(dates, "")[:8]), " ".join(" ".join(said[MODEL]).split()))


def week_of(date: str) -> str:
    """The ISO week of a date as DICOM writes it (PS3.5 6.2, DA); "" of what is none.

    >>> week_of("20260104"), week_of("20260105"), week_of("5 May")
    ('2026-W01', '2026-W02', '')
    """
    try:
        year, week, _ = datetime.datetime.strptime(date, "%Y%m%d").isocalendar()
    except ValueError:
        return ""
    return f"{year}-W{week:02d}"
