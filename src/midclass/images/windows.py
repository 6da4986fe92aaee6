"""Windows: by which windows files of CT are shown, where nobody gives one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from midclass.errors import InputError
from midclass.images.case import Case
from midclass.images.formats.dicom_header import header_of
from midclass.images.formats.read import file_format

LOOKED_AT = 64
"""Files, spread evenly over all."""
WINDOW = ("WindowCenter", "WindowWidth")
"""PS3.3 C.11.2.1.2; the first of several is shown."""


def windows_of(cases: Iterable[Case]) -> Counter[str]:
    """How many files of CT name which window, as ``"centre/width"``, or ``"none"``.

    Of some files, evenly spread; other files, and damaged ones, are not counted.
    """
    files = sorted({case.path for case in cases})
    some = np.unique(np.linspace(0, len(files) - 1, min(len(files), LOOKED_AT)).astype(int))
    return Counter(said for row in some if (said := _window(files[row])))


def _window(path: Path) -> str:
    try:
        if file_format(path) != "DICOM":
            return ""
        header = header_of(path, asked=WINDOW)
    except (OSError, InputError):
        return ""
    if header.modality != "CT":
        return ""
    first = [next(iter(header.asked[name]), "") for name in WINDOW]
    return "/".join(_short(one) for one in first if one) or "none"


def _short(number: str) -> str:
    try:
        return f"{float(number):g}"
    except ValueError:
        return number


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
