"""What a file holds before it becomes an image: values in the file's own units, and their range.

The wrappers of the formats (``dicom.py``, ``nifti.py``, ``npz.py``, ``raster.py``) give a ``Raw``;
``read.py`` maps it to [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError

Values = NDArray[Any]
"""An array of any numeric type, as a file stores it."""


@dataclass(frozen=True)
class Raw:
    """Values of one file in its own units.

    Attributes:
        values: ``(*spatial)``, or ``(*spatial, 3)`` if ``colour``.
        low: the value that becomes 0.
        high: the value that becomes 1; it is below ``low`` where dark means a high value.
        colour: whether the last axis is red, green and blue.
        spacing_mm: one number per spatial axis, or None where the file does not tell.
        aspect: height of a pixel over its width, where the file tells that but no spacing.
        modality: as a DICOM file tells it, or "".
        body_part: likewise.
        plane: in which a slice lies, one of ``recipe.parts.PLANES``, or "".
    """

    values: Values
    low: float
    high: float
    colour: bool = False
    spacing_mm: tuple[float, ...] | None = None
    aspect: float = 1.0
    modality: str = ""
    body_part: str = ""
    plane: str = ""


def pick_frame(path: Path, frames: int, frame: int | None) -> int:
    """The index of the frame to read; a file with several frames must be told which.

    >>> pick_frame(Path("a.dcm"), frames=1, frame=None)
    0
    """
    if frame is None and frames > 1:
        raise InputError(f"{path}: has {frames} frames; name one (frame 0 to {frames - 1})")
    if frame is not None and not 0 <= frame < frames:
        raise InputError(f"{path}: frame {frame} does not exist, the file has {frames}")
    return frame or 0


def finite_range(values: Values) -> tuple[float, float]:
    """The lowest and highest finite value; (0, 1) where there is none.

    >>> finite_range(np.array([2.0, np.nan, 5.0]))
    (2.0, 5.0)
    """
    if values.dtype.kind != "f":
        return (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    finite = np.isfinite(values)  # as a mask: a large array is not copied
    low = float(values.min(where=finite, initial=np.inf))
    high = float(values.max(where=finite, initial=-np.inf))
    return (low, high) if low <= high else (0.0, 1.0)


def integer_range(bits: int, signed: bool) -> tuple[float, float]:
    """The range which a stored integer of so many bits can hold.

    >>> integer_range(12, signed=False), integer_range(8, signed=True)
    ((0.0, 4095.0), (-128.0, 127.0))
    """
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)


def one_line(error: BaseException) -> str:
    """The message of an error of another library, short and on one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
