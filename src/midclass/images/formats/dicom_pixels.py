"""Stored values of a DICOM file: decoded by decoders that are named, without unused bits.

The standard is PS3.5 section 8 and annex A. Which of pydicom's plug-ins decodes what is fixed here.
"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import numpy as np

from midclass.errors import STOPS, InputError
from midclass.images.formats import jpeg_extended
from midclass.images.formats.dicom_attributes import Dataset, Unusable
from midclass.images.formats.dicom_layout import Layout
from midclass.images.formats.dicom_streams import check_stream
from midclass.images.formats.raw import Values, integer_range
from midclass.images.formats.silence import silent_library

JPEG_EXTENDED = jpeg_extended.JPEG_EXTENDED
JPEG_LS = ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81")
RLE = "1.2.840.10008.1.2.5"
OF_8_OR_12_BITS = ("1.2.840.10008.1.2.4.50", JPEG_EXTENDED)
WITH_LOSSES = (*OF_8_OR_12_BITS, "1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.4.91")
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
    RLE: ("pylibjpeg", "pydicom"),
}
ALL = ("",)  # all plug-ins that are installed, in pydicom's order


def decoded(path: Path, dataset: Dataset, layout: Layout, index: int | None) -> Values:
    """One frame, or all, as stored: YBR becomes RGB, palette indices stay indices.

    Args:
        path: for messages.
        dataset: with pixel data.
        layout: of it.
        index: which frame; None for all, then with a leading axis if there are several.

    Raises:
        Unusable: the pixel data are not what the header says.
        InputError: no decoder understands them.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        _check_frames(dataset, layout, index)
    else:
        _check_length(dataset, layout)
    values = _decompressed(path, dataset, layout, index)
    return values if layout.floating else _without_unused_bits(values, layout, syntax)


def _check_length(dataset: Dataset, layout: Layout) -> None:
    there, promised = len(dataset[layout.keyword].value), layout.bytes
    if there < promised:
        raise Unusable(
            f"{layout.keyword} holds {there} bytes, but Rows, Columns, SamplesPerPixel, "
            f"BitsAllocated and NumberOfFrames say {promised}"
        )
    each = max(promised // layout.frames, 2)
    if there - promised - promised % 2 >= each:
        raise Unusable(
            f"{layout.keyword} holds {there // each} frames, but NumberOfFrames is {layout.frames}"
        )


def _check_frames(dataset: Dataset, layout: Layout, index: int | None) -> None:
    from pydicom.encaps import generate_frames, get_frame

    syntax = dataset.file_meta.TransferSyntaxUID.keyword
    offsets = None
    if "ExtendedOffsetTable" in dataset and "ExtendedOffsetTableLengths" in dataset:
        offsets = dataset.ExtendedOffsetTable, dataset.ExtendedOffsetTableLengths
    count = layout.frames
    try:
        frames = (
            generate_frames(dataset.PixelData, number_of_frames=count, extended_offsets=offsets)
            if index is None
            else [
                get_frame(
                    dataset.PixelData, index, number_of_frames=count, extended_offsets=offsets
                )
            ]
        )
        for frame in frames:
            check_stream(frame, layout, syntax)
    except Unusable:
        raise
    except Exception:
        reason = f"PixelData does not hold the {count} frames of NumberOfFrames"
        raise _undecodable(dataset.file_meta.TransferSyntaxUID, reason) from None


def _decompressed(path: Path, dataset: Dataset, layout: Layout, index: int | None) -> Values:
    from pydicom.pixels import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    decoders = _decoders(layout, syntax)
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise _undecodable(syntax, "it is of a kind that nothing here decodes") from None
    # Decoders in C and Rust write to the terminal what they think of a stream.
    silent = silent_library if syntax.is_compressed else nullcontext
    reason = "the stream is cut off or corrupt"
    for plugin in decoders:
        try:
            with silent():
                values, _ = decoder.as_array(
                    dataset,
                    index=index,
                    decoding_plugin=plugin,
                    allow_excess_frames=False,
                    correct_unused_bits=False,
                )
            return cast(Values, values)
        except STOPS:
            raise
        except (ImportError, NotImplementedError):
            reason = "no decoder of it is here"
        except BaseException as error:  # the decoders behind pydicom raise what they like
            if isinstance(error, MemoryError):
                reason = "it does not fit into memory"
    missing = syntax in (JPEG_EXTENDED, *JPEG_LS) and decoders == ALL and not find_spec("libjpeg")
    way_out = "; a decoder under GPL-3.0 may: pip install 'midclass[gpl-decoders]'"
    raise InputError(f"{path}: {_undecodable(syntax, reason)}{way_out if missing else ''}")


def _undecodable(syntax: Any, reason: str) -> Unusable:
    return Unusable(
        f"pixel data of transfer syntax {syntax.name} ({syntax}) cannot be decoded: {reason}"
    )


def _decoders(layout: Layout, syntax: str) -> tuple[str, ...]:
    """The plug-ins to try for a file; for a kind that none of those required decodes, all."""
    if syntax == JPEG_EXTENDED and layout.stored != 8:
        _add_decoder()
        return ("midclass",) if layout.samples == 1 and not layout.signed else ALL
    if syntax in JPEG_LS and layout.stored in (6, 7):
        return ALL
    return DECODERS.get(syntax, ALL)


def _add_decoder() -> None:
    """Make the decoder of JPEG Extended known to pydicom; a second call does nothing."""
    from pydicom.pixels import get_decoder

    with suppress(ValueError):  # it is known already
        decoder = get_decoder(JPEG_EXTENDED)
        decoder.add_plugin("midclass", (jpeg_extended.__name__, "decode_frame"))


def _without_unused_bits(values: Values, layout: Layout, syntax: Any) -> Values:
    """Values of the bits from HighBit down alone: others may hold overlays (PS3.5 8.1.1)."""
    if syntax.is_encapsulated and syntax != RLE:
        if layout.high != layout.stored - 1:
            raise Unusable(
                f"HighBit is {layout.high} in a compressed stream, expected BitsStored - 1, "
                f"{layout.stored - 1}"
            )
        if syntax in WITH_LOSSES and not (layout.signed and syntax in OF_8_OR_12_BITS):
            # Such a stream may go beyond; what would wrap around is clipped.
            low, high = integer_range(layout.stored, layout.signed)
            return values.clip(*_held(low, high, values.dtype))
        high_bit = layout.stored - 1
    else:
        high_bit = layout.high
    bits = values.dtype.itemsize * 8
    if layout.allocated == 1 or (layout.stored == bits and high_bit == bits - 1):
        return values
    return (values << (bits - 1 - high_bit)) >> (bits - layout.stored)


def _held(low: float, high: float, dtype: np.dtype[Any]) -> tuple[int, int]:
    limits = np.iinfo(dtype)
    return max(int(low), int(limits.min)), min(int(high), int(limits.max))
