"""Windows: by which windows files of CT are shown, where nobody gives one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from midclass.errors import InputError
from midclass.images.case import Case
from midclass.images.formats.dicom_attributes import Unusable, word
from midclass.images.formats.dicom_file import open_header, quiet
from midclass.images.formats.dicom_frames import attributes_of
from midclass.images.formats.dicom_grey import window_of
from midclass.images.formats.read import file_format

LOOKED_AT = 64
"""Files, spread evenly over all."""


def windows_of(cases: Iterable[Case]) -> Counter[str]:
    """How many files of CT are shown by which window; see ``dicom_grey.window_of``.

    Of some files, evenly spread, and of several frames the first. Other files, and damaged ones,
    are not counted.
    """
    return Counter(said for path in some_files(cases) if (said := _window(path)))


def some_files(cases: Iterable[Case]) -> list[Path]:
    """``LOOKED_AT`` files of cases at most, spread evenly."""
    files = sorted({str(case.path) for case in cases})
    some = np.unique(np.linspace(0, len(files) - 1, min(len(files), LOOKED_AT)).astype(int))
    return [Path(files[row]) for row in some]


def _window(path: Path) -> str:
    try:
        if file_format(path) != "DICOM":
            return ""
        with quiet():
            about = open_header(path)
            is_ct = word(about, "Modality") == "CT"
            return window_of(attributes_of(about, 1, None)[0]) if is_ct else ""
    except (OSError, InputError, Unusable):
        return ""


def in_words(windows: Counter[str]) -> str:
    """What a user should know where a recipe gives no window; "" where no file is of CT.

    >>> in_words(Counter({"40/400": 9}))[:72]
    'the recipe gives no window, and CT files are shown by their own: 40/400 '
    """
    if not windows:
        return ""
    files = sum(windows.values())
    each = ", ".join(f"{name} ({number})" for name, number in windows.most_common(4))
    more = " and others" if len(windows) > 4 else ""
    why = (
        "the same tissue is not as bright in all of them"
        if len(windows) > 1
        else "files of another window would be scored otherwise"
    )
    return (
        f"the recipe gives no window, and CT files are shown by their own: {each}{more} of {files} "
        f"looked at; {why}; set intensity.window of the recipe, in Hounsfield units"
    )
