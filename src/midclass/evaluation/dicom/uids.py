"""UIDs of what a detector says; made of what is said, so that saying it twice makes no second.

They are UUIDs as PS3.5 annex B.2 has them. This file needs no highdicom: whoever asks a server
whether a detector has spoken already writes nothing.
"""

from __future__ import annotations

import uuid

from midclass.version import __version__

MAKER = "midclass"
"""Manufacturer of all objects."""


def uid_of(*parts: object) -> str:
    """The UID of some parts, always the same."""
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, repr(parts)).int}"


def series_uid(kind: str, detector: str, study: str, series: str) -> str:
    """Of the series in which all is that a detector says of one series.

    Args:
        kind: ``"report"``, ``"segmentation"`` or ``"capture"``.
        detector: SHA-256 of its ``detector.json``.
        study: StudyInstanceUID.
        series: SeriesInstanceUID of the images.
    """
    return uid_of("series", kind, (__version__, detector, str(study), str(series)))
