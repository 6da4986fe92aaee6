"""How the pixels of a DICOM file are stored (PS3.3 C.7.6.3 and PS3.5 section 8)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from midclass.images.formats.dicom_attributes import Dataset, Unusable, code, whole
from midclass.images.formats.limits import check_size

PIXELS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_RCT", "YBR_ICT")
OF_JPEG_2000_DECODER = 24
"""Bytes that OpenJPEG takes for a value of the frame that it decodes."""
MOST_FRAMES = 2**31 - 1
OF_JPEG_2000 = ("YBR_RCT", "YBR_ICT")


@dataclass(frozen=True)
class Layout:
    """The attributes by which bytes become values.

    Attributes:
        keyword: ``PixelData``, ``FloatPixelData`` or ``DoubleFloatPixelData``.
        frames: how many.
        rows: of one frame.
        columns: of one frame.
        samples: 1, or 3 for colour.
        allocated: bits of a value with those that are not used.
        stored: bits that are.
        high: the number of the highest bit used, from 0 on.
        signed: two's complement.
        photometric: PhotometricInterpretation.
    """

    keyword: str
    frames: int
    rows: int
    columns: int
    samples: int
    allocated: int
    stored: int
    high: int
    signed: bool
    photometric: str

    @property
    def floating(self) -> bool:
        """Whether values are floating-point numbers."""
        return self.keyword != "PixelData"

    @property
    def bytes(self) -> int:
        """Of all frames, uncompressed and native: subsampled colour takes two thirds."""
        samples = 2 if self.photometric == "YBR_FULL_422" else self.samples
        values = self.frames * self.rows * self.columns * samples
        return math.ceil(values * self.allocated / 8)


def frames_of(dataset: Dataset) -> int:
    """NumberOfFrames; 1 where it is absent, or the 0 that some write for one.

    Raises:
        Unusable: below 0, no number, or more than an integer string can say (PS3.5 table 6.2-1).
    """
    frames = whole(dataset, "NumberOfFrames", 1)
    if not 0 <= frames <= MOST_FRAMES:
        raise Unusable(f"NumberOfFrames is {frames:.6g}, expected 1 to {MOST_FRAMES}")
    return frames or 1


def promised_bytes(dataset: Dataset) -> int:
    """How many bytes all pixels take uncompressed.

    Raises:
        Unusable: an attribute that tells is missing or wrong.
    """
    sides = [_side(dataset, keyword) for keyword in ("Rows", "Columns")]
    samples = whole(dataset, "SamplesPerPixel", 1)
    allocated = whole(dataset, "BitsAllocated")
    return math.ceil(frames_of(dataset) * math.prod(sides) * samples * allocated / 8)


def check_memory(path: Path, dataset: Dataset, frames: int | None = None) -> None:
    """Refuse more values than fit into memory, before any is decoded.

    Args:
        path: for messages.
        dataset: the header.
        frames: how many are to be decoded; by default all.

    Raises:
        InputError: too many.
        Unusable: an attribute that tells is missing or wrong.
    """
    frames = frames_of(dataset) if frames is None else frames
    sides = (frames, _side(dataset, "Rows"), _side(dataset, "Columns"))
    shape = (*sides, whole(dataset, "SamplesPerPixel", 1))
    check_size(path, [side for side in shape if side > 1], itemsize=8)
    if "2000" in dataset.file_meta.TransferSyntaxUID.keyword:
        check_size(path, [side for side in shape[1:] if side > 1], itemsize=OF_JPEG_2000_DECODER)


def layout_of(dataset: Dataset) -> Layout:
    """The layout that a header describes, checked.

    Raises:
        Unusable: an attribute is missing, wrong, or of a kind that is not read.
    """
    keyword = next(name for name in PIXELS.values() if name in dataset)
    samples, allocated = whole(dataset, "SamplesPerPixel"), whole(dataset, "BitsAllocated")
    photometric = _photometric(dataset, samples)
    floating = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}.get(keyword)
    if floating and (allocated != floating or samples != 1 or photometric not in GREY):
        raise Unusable(f"{keyword} with BitsAllocated {allocated}, expected {floating} and grey")
    if allocated not in (1, 8, 16, 32, 64):
        raise Unusable(f"BitsAllocated is {allocated}, only 1, 8, 16 and 32 are read")
    stored = allocated if floating else whole(dataset, "BitsStored")
    if not 1 <= stored <= allocated:
        raise Unusable(f"BitsStored is {stored}, expected 1 to BitsAllocated, {allocated}")
    high = stored - 1 if floating else whole(dataset, "HighBit", stored - 1)
    if not stored - 1 <= high < allocated:
        raise Unusable(
            f"HighBit is {high}, expected {stored - 1} to {allocated - 1} with BitsStored "
            f"{stored} and BitsAllocated {allocated}"
        )
    signed = 0 if floating else whole(dataset, "PixelRepresentation")
    if signed not in (0, 1):
        raise Unusable(f"PixelRepresentation is {signed}, expected 0 or 1")
    if samples > 1 and whole(dataset, "PlanarConfiguration", 0) not in (0, 1):
        raise Unusable("PlanarConfiguration is neither 0 nor 1")
    if photometric.startswith("YBR") and (allocated, stored) != (8, 8):
        raise Unusable(f"PhotometricInterpretation {photometric} of {stored} bits, only 8 are read")
    return Layout(
        keyword,
        frames_of(dataset),
        _side(dataset, "Rows"),
        _side(dataset, "Columns"),
        samples,
        allocated,
        stored,
        high,
        bool(signed),
        photometric,
    )


def _photometric(dataset: Dataset, samples: int) -> str:
    """PhotometricInterpretation, which fits the samples and PresentationLUTShape."""
    keyword = "PhotometricInterpretation"
    photometric = code(dataset, keyword, (*GREY, "PALETTE COLOR", *COLOUR))
    if not photometric:
        raise Unusable(f"{keyword} is missing")
    if samples != (3 if photometric in COLOUR else 1):
        raise Unusable(f"SamplesPerPixel is {samples}, which does not fit {keyword} {photometric}")
    syntax = dataset.file_meta.TransferSyntaxUID
    if photometric in OF_JPEG_2000 and "JPEG2000" not in syntax.keyword:
        raise Unusable(f"{keyword} {photometric} is of JPEG 2000, and this is {syntax.name}")
    shape = code(dataset, "PresentationLUTShape", ("IDENTITY", "INVERSE", "LIN OD"))
    if (photometric, shape) in (("MONOCHROME1", "IDENTITY"), ("MONOCHROME2", "INVERSE")):
        raise Unusable(  # PS3.3 C.8.11.3: one of them is wrong, and viewers differ in which
            f"PresentationLUTShape {shape} contradicts {keyword} {photometric}; correct one of them"
        )
    return photometric


def _side(dataset: Dataset, keyword: str) -> int:
    side = whole(dataset, keyword)
    if side < 1:
        raise Unusable(f"{keyword} is {side}, expected 1 or more")
    return side
