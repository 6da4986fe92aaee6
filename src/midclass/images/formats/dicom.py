"""DICOM: one file -> values after the modality LUT, the range to display, and spacing.

The steps are those of PS3.3 C.11 and PS3.4 N.2.1: stored values, modality LUT or rescale, VOI LUT
or window, presentation. This is the only file that imports pydicom.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from typing import Any, TypeAlias, cast

import numpy as np

from midclass.errors import InputError
from midclass.images.formats import jpeg_extended
from midclass.images.formats.contents import contents
from midclass.images.formats.raw import (
    Raw,
    Values,
    finite_range,
    integer_range,
    one_line,
    pick_frame,
)

Dataset: TypeAlias = Any  # pydicom.Dataset; pydicom is imported when the first file is read

JPEG_EXTENDED = jpeg_extended.JPEG_EXTENDED
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
# The plug-ins of pydicom that decode a transfer syntax. They are named, so that values do not
# depend on what else is installed: libjpeg fills the rest of a stream that is cut off with
# something, and GDCM carries old copies of the JPEG and JPEG 2000 libraries.
DECODERS = {
    "1.2.840.10008.1.2.4.50": ("pillow", "gdcm"),
    JPEG_EXTENDED: ("pillow", "gdcm"),  # 8 bits
    "1.2.840.10008.1.2.4.57": ("gdcm",),
    "1.2.840.10008.1.2.4.70": ("gdcm",),
    **dict.fromkeys(JPEG_LS, ("gdcm",)),
    "1.2.840.10008.1.2.4.90": ("pylibjpeg", "pillow"),
    "1.2.840.10008.1.2.4.91": ("pylibjpeg", "pillow"),
}
ALL = ("",)  # all plug-ins that are installed, in pydicom's order
GDCM_FAILED = "'NoneType' object has no attribute 'encode'"  # all that pydicom says of it
PIXEL_ATTRIBUTES = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
FRAME_ATTRIBUTES = (
    *("BitsStored", "PixelRepresentation", "ModalityLUTSequence"),
    *("RescaleSlope", "RescaleIntercept"),
    *("VOILUTSequence", "VOILUTFunction", "WindowCenter", "WindowWidth"),
    *("PixelSpacing", "ImagerPixelSpacing", "SpacingBetweenSlices", "ImagePositionPatient"),
)


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins so is DICOM, with or without the preamble (PS3.10 section 7.1).

    >>> is_dicom(bytes(128) + b"DICM"), is_dicom(b"P5 512 512 255")
    (True, False)
    """
    without_preamble = head[:2] == b"\x02\x00" and head[4:6] in (b"UL", b"OB", b"UI")
    return head[128:132] == b"DICM" or without_preamble


def stored_values(path: Path) -> Values:
    """All frames as stored, decompressed; YBR becomes RGB, palette indices stay indices."""
    with quiet():
        return _decompress(path, _open(path))


def read_dicom(
    path: Path, *, frame: int | None, window: tuple[float, float] | None, volume: bool
) -> Raw:
    """One frame, or all of them as a volume; see ``read`` for the meaning of the arguments."""
    with quiet():
        dataset = _open(path)
        frames = int(dataset.get("NumberOfFrames") or 1)
        if volume and frames == 1:
            raise InputError(f"{path}: holds one frame, not a volume")
        index = None if volume else pick_frame(path, frames, frame)
        stored = _decompress(path, dataset, index)
        photometric = dataset.PhotometricInterpretation
        about = [_attributes(dataset, k) for k in (range(frames) if index is None else [index])]
        spacing_mm = _spacing(about, volume)
        if photometric == "PALETTE COLOR" or dataset.SamplesPerPixel > 1:
            values, low, high = _colour(dataset, stored, window)
            return Raw(values, low, high, True, spacing_mm)
        if volume:
            # Each slice may have its own rescale (PET), but one scale must hold them all.
            parts, lows, highs = zip(
                *(_grey(s, a, window) for s, a in zip(stored, about, strict=True)), strict=True
            )
            values, low, high = np.stack(parts), min(lows), max(highs)
        else:
            values, low, high = _grey(stored, about[0], window)
        if photometric == "MONOCHROME1":  # the lowest value is white (PS3.3 C.7.6.3.1.2)
            low, high = high, low
        return Raw(values, low, high, False, spacing_mm)


def source_of(path: Path) -> tuple[str, str, str, int]:
    """Study, Series and SOP Instance UID ("" where the file does not say), and number of frames."""
    import pydicom

    with quiet():
        about = pydicom.dcmread(BytesIO(contents(path)), force=True, stop_before_pixels=True)
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    study, series, instance = (str(about.get(name) or "") for name in names)
    return study, series, instance, int(about.get("NumberOfFrames") or 1)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom's remarks on odd but readable files off the user's terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _open(path: Path) -> Dataset:
    import pydicom

    # force: a file with file meta but no preamble was recognised by `is_dicom`.
    dataset = pydicom.dcmread(BytesIO(contents(path)), force=True)
    if not any(keyword in dataset for keyword in PIXEL_ATTRIBUTES):
        modality = dataset.get("Modality") or "unknown"
        raise InputError(f"{path}: a DICOM file (modality {modality}) without pixel data")
    return dataset


def _decompress(path: Path, dataset: Dataset, index: int | None = None) -> Values:
    from pydicom.pixels import pixel_array

    syntax = dataset.file_meta.get("TransferSyntaxUID")
    decoders, reasons = _decoders(dataset, syntax), []
    for decoder in decoders:
        try:
            return cast(Values, pixel_array(dataset, index=index, decoding_plugin=decoder))
        except Exception as error:  # the decoders behind pydicom raise what they like
            reasons.append(error)
    name = f"{syntax.name} ({syntax})" if syntax else "unknown"
    reason = one_line(reasons[0]).replace(GDCM_FAILED, "the stream is cut off or corrupt")
    missing = syntax in (JPEG_EXTENDED, *JPEG_LS) and decoders == ALL and not find_spec("libjpeg")
    way_out = "; a decoder under GPL-3.0 may: pip install 'midclass[gpl-decoders]'"
    raise InputError(
        f"{path}: pixel data of transfer syntax {name} cannot be decoded: "
        f"{reason}{way_out if missing else ''}"
    ) from reasons[0]


def _decoders(dataset: Dataset, syntax: str | None) -> tuple[str, ...]:
    """The plug-ins to try for a file; for a kind that none of those required decodes, all."""
    bits = int(dataset.get("BitsStored") or 0)
    if syntax == JPEG_EXTENDED and bits != 8:
        _add_decoder()
        grey = dataset.get("SamplesPerPixel") == 1 and not dataset.get("PixelRepresentation")
        return ("midclass",) if grey else ALL
    if syntax in JPEG_LS and bits in (6, 7):
        return ALL
    return DECODERS.get(syntax or "", ALL)


def _add_decoder() -> None:
    """Make the decoder of JPEG Extended known to pydicom; a second call does nothing."""
    from pydicom.pixels import get_decoder

    with suppress(ValueError):  # it is known already
        decoder = get_decoder(JPEG_EXTENDED)
        decoder.add_plugin("midclass", (jpeg_extended.__name__, "decode_frame"))


def _attributes(dataset: Dataset, frame: int) -> Dataset:
    """What holds for one frame: enhanced files say it in functional groups (PS3.3 C.7.6.16)."""
    import pydicom

    flat = pydicom.Dataset()
    flat.file_meta = dataset.file_meta  # tells the byte order of lookup tables
    for keyword in FRAME_ATTRIBUTES:
        if keyword in dataset:
            flat.add(dataset[keyword])
    shared = (dataset.get("SharedFunctionalGroupsSequence") or [])[:1]
    own = (dataset.get("PerFrameFunctionalGroupsSequence") or [])[frame : frame + 1]
    for groups in (*shared, *own):
        for group in groups:
            if group.VR == "SQ" and group.value:
                flat.update({e.tag: e for e in group.value[0] if e.keyword in FRAME_ATTRIBUTES})
    return flat


def _grey(
    stored: Values, about: Dataset, window: tuple[float, float] | None
) -> tuple[Values, float, float]:
    from pydicom.pixels import apply_modality_lut, apply_voi

    values = cast(Values, apply_modality_lut(stored, about))
    if window:
        return values, *window
    if about.get("VOILUTSequence"):
        indices = values if values.dtype.kind in "iu" else np.rint(values).astype(np.int64)
        bits = int(about.VOILUTSequence[0].LUTDescriptor[2])
        return cast(Values, apply_voi(indices, about)), *integer_range(bits, signed=False)
    centre, width = _first(about.get("WindowCenter")), _first(about.get("WindowWidth"))
    if centre is not None and width is not None:
        return _windowed(values, centre, width, about.get("VOILUTFunction") or "LINEAR")
    return values, *_holdable(stored, about)


def _windowed(
    values: Values, centre: float, width: float, function: str
) -> tuple[Values, float, float]:
    """The VOI LUT function, PS3.3 C.11.2.1.2 and C.11.2.1.3."""
    if width <= 0 or (function == "LINEAR" and width < 1):
        raise ValueError(f"window width {width:g}, expected at least 1; give a window")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - centre) / width)), 0.0, 1.0
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    return values, centre - width / 2, centre + width / 2


def _holdable(stored: Values, about: Dataset) -> tuple[float, float]:
    """The range which the stored bits can hold, after the modality LUT."""
    if about.get("ModalityLUTSequence"):
        bits = int(about.ModalityLUTSequence[0].LUTDescriptor[2])
        return integer_range(bits, signed=False)
    slope = _first(about.get("RescaleSlope"))
    intercept = _first(about.get("RescaleIntercept"))
    bounds = (
        finite_range(stored)
        if stored.dtype.kind == "f"
        else integer_range(int(about.BitsStored), bool(about.PixelRepresentation))
    )
    if slope is None or intercept is None:
        return bounds
    low, high = sorted(slope * bound + intercept for bound in bounds)
    return low, high


def _colour(
    dataset: Dataset, stored: Values, window: tuple[float, float] | None
) -> tuple[Values, float, float]:
    from pydicom.pixels import apply_color_lut

    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        values = apply_color_lut(stored, dataset)[..., :3]  # an alpha table serves fusion only
        bits = values.dtype.itemsize * 8
    else:
        values, bits = stored, int(dataset.BitsStored)
    low, high = window or integer_range(bits, signed=False)
    return values, low, high


def _spacing(about: list[Dataset], volume: bool) -> tuple[float, ...] | None:
    for keyword in ("PixelSpacing", "ImagerPixelSpacing"):  # both are (rows, columns), PS3.3 10.7
        spacing = tuple(float(s) for s in about[0].get(keyword) or ())
        # Some writers put 0 for "unknown".
        if len(spacing) == 2 and min(spacing) > 0:
            break
    else:
        return None
    if not volume:
        return spacing
    gap = _first(about[0].get("SpacingBetweenSlices"))
    if not gap:
        first, second = (about[k].get("ImagePositionPatient") for k in (0, 1))
        gap = math.dist(first, second) if first and second else 0.0
    return (abs(gap), *spacing) if gap else None


def _first(value: Any) -> float | None:
    """The first of one or several numbers; a file may offer several windows."""
    if value is None or value == "":
        return None
    return float(value[0] if hasattr(value, "__len__") else value)
