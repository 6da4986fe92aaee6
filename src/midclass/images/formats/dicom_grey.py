"""Grey values: stored values -> modality -> VOI, and where there is no image but padding.

The steps are those of PS3.3 C.11.1 (modality LUT), C.11.2 (VOI LUT) and C.7.5.1.1.2 (padding).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from midclass.images.formats.dicom_attributes import Dataset, Unusable, code, number, numbers
from midclass.images.formats.dicom_layout import Layout
from midclass.images.formats.dicom_tables import table_of
from midclass.images.formats.raw import Values, finite_range, integer_range

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
BAND = 1 << 16
"""Pixels that are looked up at once."""
GIVE_A_WINDOW = "give a window (intensity.window of the recipe) or correct it"


def grey_pixels(
    stored: Values,
    about: Sequence[Dataset],
    layout: Layout,
    window: tuple[float, float] | None,
) -> tuple[Values, float, float]:
    """Frames as they are displayed: values, which of them becomes 0, and which becomes 1.

    Each frame may have its own rescale (PET), but one scale holds them all. MONOCHROME1, where the
    lowest value is white (PS3.3 C.7.6.3.1.2), is inverted; padding is dark in either.

    Args:
        stored: ``(frames, rows, columns)``.
        about: the attributes that hold for each frame.
        layout: of the file.
        window: ``(low, high)`` after the modality step, in place of what the file says.

    Raises:
        Unusable: an attribute of these steps is wrong.
    """
    inverted = layout.photometric == "MONOCHROME1"
    if layout.floating or layout.stored > 16 or stored[0].size <= 2**layout.stored:
        each = [_grey(s, a, layout, window) for s, a in zip(stored, about, strict=True)]
        parts, dark, bright = _scaled(each, inverted)
        return np.stack(parts), dark, bright
    # There are fewer values than pixels: they go through the steps, and the pixels look them up.
    values = _all_values(layout, stored.dtype)
    parts, dark, bright = _scaled([_grey(values, a, layout, window) for a in about], inverted)
    with np.errstate(over="ignore"):
        tables = [((part - dark) / (bright - dark)).clip(0, 1) for part in parts]
    pixels = np.empty(stored.shape, np.float32)
    for frame, table, target in zip(stored, tables, pixels, strict=True):
        unit = table.astype(np.float32)
        band = max(1, BAND // frame.shape[1])
        for first in range(0, len(frame), band):  # by parts, as an index takes 8 bytes
            rows = slice(first, first + band)
            np.take(unit, frame[rows], out=target[rows], mode="wrap")
    return pixels, 0.0, 1.0


@dataclass(frozen=True)
class Grey:
    """One frame after modality and VOI.

    Attributes:
        values: ``(rows, columns)``.
        low: the lowest value of the scale.
        high: the highest.
        padding: ``(rows, columns)``, what is no image; None for nothing.
    """

    values: Values
    low: float
    high: float
    padding: NDArray[np.bool_] | None


def _grey(
    stored: Values, about: Dataset, layout: Layout, window: tuple[float, float] | None
) -> Grey:
    """One frame as it is to be displayed, before MONOCHROME1 is inverted.

    Args:
        stored: values of one frame.
        about: the attributes that hold for it.
        layout: of the file.
        window: ``(low, high)`` after the modality step, in place of what the file says.

    Raises:
        Unusable: an attribute of these steps is wrong.
    """
    padding = _padding(stored, about, layout)
    image = stored if padding is None or not layout.floating else stored[~padding]
    little = about.file_meta.TransferSyntaxUID.is_little_endian
    values, low, high = _modality(stored, image, about, layout, little)
    if window:
        low, high = window
    elif about.get("VOILUTSequence"):
        table = table_of(about.VOILUTSequence[0], little, signed=low < 0)
        values, (low, high) = table.of(values), integer_range(table.bits, signed=False)
    else:
        values, low, high = _windowed(values, low, high, about)
    if low == high:  # a threshold: only so can it be inverted
        values, low, high = values > low, 0.0, 1.0
    return Grey(values, low, high, padding)


def _padding(stored: Values, about: Dataset, layout: Layout) -> NDArray[np.bool_] | None:
    """Where the stored value is PixelPaddingValue, or from there to PixelPaddingRangeLimit."""
    prefix = {"PixelData": "Pixel", "FloatPixelData": "FloatPixel"}.get(
        layout.keyword, "DoubleFloatPixel"
    )
    if f"{prefix}PaddingValue" not in about:
        return None
    limit_keyword = f"{prefix}PaddingRangeLimit"
    if layout.floating:
        ends = [about.get(f"{prefix}PaddingValue"), about.get(limit_keyword)]
        if ends[0] is None:
            return None
        low, high = sorted([float(ends[0]), float(ends[0] if ends[1] is None else ends[1])])
        if math.isnan(low):
            return np.isnan(stored)
    else:
        found = numbers(about, f"{prefix}PaddingValue")
        if not found:
            return None
        limit = numbers(about, limit_keyword) or found
        low, high = sorted(_as_stored(int(value[0]), layout) for value in (found, limit))
    return (stored >= low) & (stored <= high)


def _as_stored(value: int, layout: Layout) -> int:
    """A value of 16 bits, of whatever sign it was read with, as the pixels hold it."""
    bits = layout.stored if layout.signed else max(layout.stored, 16)
    value %= 2**bits
    return value - 2**bits if layout.signed and value >= 2 ** (bits - 1) else value


def _modality(
    stored: Values, image: Values, about: Dataset, layout: Layout, little: bool
) -> tuple[Values, float, float]:
    """Values in the units of the modality, and the range which the stored bits can hold in them."""
    low, high = (
        finite_range(image)
        if layout.floating
        else integer_range(layout.stored, signed=layout.signed)
    )
    slope, intercept = number(about, "RescaleSlope"), number(about, "RescaleIntercept")
    if slope is None and intercept is None:
        slope = number(about, "DoseGridScaling")  # PS3.3 C.8.8.3
    if about.get("ModalityLUTSequence"):
        if (slope or 1, intercept or 0) != (1, 0):
            raise Unusable("ModalityLUTSequence and RescaleSlope exclude each other; remove one")
        table = table_of(about.ModalityLUTSequence[0], little, signed=layout.signed)
        return table.of(stored), *integer_range(table.bits, signed=False)
    if slope is None and intercept is None:
        return stored, low, high
    if slope == 0:
        raise Unusable("RescaleSlope is 0, which makes all values one; correct it")
    slope, intercept = 1.0 if slope is None else slope, intercept or 0.0
    ends = sorted((slope * low + intercept, slope * high + intercept))
    if not np.isfinite(ends).all():
        raise Unusable(f"RescaleSlope is {slope:g}, beyond all numbers; correct it")
    return stored * np.float64(slope) + intercept, ends[0], ends[1]


def window_of(about: Dataset) -> str:
    """By what an image is shown: ``"centre/width"``, ``"a table"`` or ``"none"``.

    Raises:
        Unusable: its numbers cannot be read.
    """
    if about.get("VOILUTSequence"):
        return "a table"
    first = [numbers(about, name)[:1] for name in ("WindowCenter", "WindowWidth")]
    return "/".join(f"{one[0]:g}" for one in first) if all(first) else "none"


def _windowed(
    values: Values, low: float, high: float, about: Dataset
) -> tuple[Values, float, float]:
    """The first window of a file and its function (PS3.3 C.11.2.1.2 and C.11.2.1.3)."""
    centres, widths = numbers(about, "WindowCenter"), numbers(about, "WindowWidth")
    if not centres and not widths:
        return values, low, high
    if len(centres) != len(widths):
        raise Unusable(
            f"WindowCenter has {len(centres)} values, WindowWidth {len(widths)}; {GIVE_A_WINDOW}"
        )
    centre, width = centres[0], widths[0]
    function = code(about, "VOILUTFunction", FUNCTIONS, "LINEAR")
    if width <= 0 or (function == "LINEAR" and width < 1):
        least = "at least 1" if function == "LINEAR" else "more than 0"
        raise Unusable(f"WindowWidth is {width:g}, expected {least}; {GIVE_A_WINDOW}")
    if function == "SIGMOID":
        from scipy.special import expit

        return cast(Values, expit(4 * (values - np.float64(centre)) / width)), 0.0, 1.0
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    return values, centre - width / 2, centre + width / 2


def _scaled(frames: list[Grey], inverted: bool) -> tuple[list[Values], float, float]:
    """Frames on one scale, with padding at its dark end: values, what becomes 0, what becomes 1."""
    low, high = min(frame.low for frame in frames), max(frame.high for frame in frames)
    dark, bright = (high, low) if inverted else (low, high)
    parts = [frame.values for frame in frames]
    for k, frame in enumerate(frames):
        if frame.padding is not None and frame.padding.any():
            parts[k] = np.where(frame.padding, np.float64(dark), frame.values)
    return parts, dark, bright


def _all_values(layout: Layout, dtype: np.dtype[Any]) -> Values:
    """Every value of the stored bits, each where it finds itself as an index."""
    low, high = map(int, integer_range(layout.stored, layout.signed))
    return np.concatenate([np.arange(high + 1), np.arange(low, 0)]).astype(dtype)
