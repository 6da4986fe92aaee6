"""Generated DICOM files, with the pixels that they must be read to by the words of the standard.

The pipeline here is written for a single number, one formula after the other, and shares no code
with the one of midclass. ``made`` draws a file at random: how values are stored, what happens to
them on the way to the screen, and in which transfer syntax.
"""

from __future__ import annotations

import math
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels import get_encoder
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

ROWS, COLUMNS = 5, 7  # an odd number of bytes
SIDE = 32
"""Of both, for encoders that take no less."""
NATIVE = (
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
BY_GDCM = "JPEGLosslessProcess14_1"
OF_STORED_BITS = (JPEG2000Lossless, JPEGLSLossless, BY_GDCM)
"""Syntaxes of streams that know no unused bits."""


@dataclass
class Lut:
    """A lookup table as it is meant, and as it is written."""

    first: int
    entries: list[int]
    bits: int
    in_bytes: bool

    def at(self, value: float) -> int:
        return self.entries[min(max(round(value) - self.first, 0), len(self.entries) - 1)]

    def data(self, big: bool) -> bytes:
        if self.in_bytes:
            packed = np.array(self.entries, "u1").tobytes()
            packed += b"\0" * (len(packed) % 2)
            return np.frombuffer(packed, ">u2").astype("<u2").tobytes() if big else packed
        return np.array(self.entries, ">u2" if big else "<u2").tobytes()


@dataclass
class Drawn:
    """A file, by everything that is in it."""

    allocated: int = 16
    stored: int = 16
    high: int = 15
    signed: bool = False
    photometric: str = "MONOCHROME2"
    planar: int = 0
    syntax: Any = ExplicitVRLittleEndian
    values: NDArray[np.int64] = field(default_factory=lambda: np.zeros((1, ROWS, COLUMNS), int))
    junk: NDArray[np.int64] | None = None
    slope: float | None = None
    intercept: float | None = None
    modality: Lut | None = None
    voi: Lut | None = None
    window: tuple[float, float] | None = None
    function: str | None = None
    padding: tuple[int, int | None] | None = None
    palette: list[Lut] = field(default_factory=list)

    @property
    def range(self) -> tuple[int, int]:
        if self.signed:
            return -(2 ** (self.stored - 1)), 2 ** (self.stored - 1) - 1
        return 0, 2**self.stored - 1

    def of_modality(self, value: int) -> float:
        if self.modality:
            return self.modality.at(value)
        slope = 1.0 if self.slope is None else self.slope
        return slope * value + (self.intercept or 0.0)

    def range_of_modality(self) -> tuple[float, float]:
        if self.modality:
            return 0, 2**self.modality.bits - 1
        low, high = sorted(map(self.of_modality, self.range))
        return low, high

    def displayed(self, value: int, given: tuple[float, float] | None) -> float:
        """From 0 (dark) to 1, of one stored value; PS3.3 C.11.1, C.11.2 and C.7.5.1.1.2."""
        if self.padding is not None:
            one, other = self.padding
            other = one if other is None else other
            if min(one, other) <= value <= max(one, other):
                return 0.0
        x = self.of_modality(value)
        if given is not None:
            y = (x - given[0]) / (given[1] - given[0])
        elif self.voi is not None:
            y = self.voi.at(x) / (2**self.voi.bits - 1)
        elif self.window is not None:
            y = self._windowed(x, *self.window)
        else:
            low, high = self.range_of_modality()
            y = (x - low) / (high - low)
        y = min(max(y, 0.0), 1.0)
        return 1 - y if self.photometric == "MONOCHROME1" else y

    def _windowed(self, x: float, c: float, w: float) -> float:
        if self.function == "SIGMOID":
            power = -4 * (x - c) / w
            return 0.0 if power > 700 else 1 / (1 + math.exp(power))
        if self.function == "LINEAR_EXACT":
            return 0.0 if x <= c - w / 2 else 1.0 if x > c + w / 2 else (x - c) / w + 0.5
        if x <= c - 0.5 - (w - 1) / 2:
            return 0.0
        if x > c - 0.5 + (w - 1) / 2:
            return 1.0
        return (x - (c - 0.5)) / (w - 1) + 0.5

    def expected(self, given: tuple[float, float] | None = None) -> NDArray[np.float64]:
        """``(frames, channels, rows, columns)``."""
        if self.photometric == "RGB":
            return np.moveaxis(self.values, -1, 1) / (2**self.stored - 1)
        if self.palette:
            tables = [
                [lut.at(int(v)) / (2**lut.bits - 1) for v in self.values.flat]
                for lut in self.palette
            ]
            return np.stack([np.reshape(t, self.values.shape) for t in tables], axis=1)
        known = {int(v): self.displayed(int(v), given) for v in np.unique(self.values)}
        flat = [known[int(v)] for v in self.values.flat]
        return np.reshape(flat, self.values.shape)[:, None]


def made(rng: np.random.Generator) -> Drawn:
    """A file at random."""
    one = Drawn()
    one.allocated = int(rng.choice([8, 16, 32], p=[0.3, 0.65, 0.05]))
    one.stored = int(rng.integers(max(2, one.allocated // 2), one.allocated + 1))
    one.stored = min(one.stored, 24)
    one.high = one.stored - 1
    one.signed = bool(rng.random() < 0.4)
    kind = rng.choice(
        ["MONOCHROME2", "MONOCHROME1", "PALETTE COLOR", "RGB"], p=[0.5, 0.3, 0.1, 0.1]
    )
    one.photometric = str(kind)
    one.syntax = _one_of(rng, (*NATIVE, RLELossless, *OF_STORED_BITS))
    frames = int(rng.choice([1, 1, 2, 3]))
    if kind == "RGB":
        one.allocated = one.stored = int(rng.choice([8, 16]))
        one.high, one.signed, one.planar = one.stored - 1, False, int(rng.integers(2))
    elif kind == "PALETTE COLOR":
        one.allocated = one.stored = int(rng.choice([8, 16]))
        one.high, one.signed = one.stored - 1, one.signed and one.stored == 16
    least = 9 if one.allocated == 16 else 8
    if one.syntax in OF_STORED_BITS and (
        not least <= one.stored <= 16 or one.signed or kind in ("RGB", "PALETTE COLOR")
    ):
        one.syntax = ExplicitVRLittleEndian
    if one.syntax == RLELossless and one.allocated == 32:
        one.syntax = ImplicitVRLittleEndian
    if one.syntax not in OF_STORED_BITS and rng.random() < 0.3:
        one.high = int(rng.integers(one.stored - 1, one.allocated))
    sides = (SIDE, SIDE) if one.syntax in OF_STORED_BITS else (ROWS, COLUMNS)
    shape = (frames, *sides, 3) if kind == "RGB" else (frames, *sides)
    low, high = one.range
    one.values = rng.integers(low, high + 1, shape)
    if rng.random() < 0.5:  # close to each other, as in an organ
        middle = int(rng.integers(low, high + 1))
        one.values = (middle + rng.integers(-20, 21, shape)).clip(low, high)
    if one.syntax not in OF_STORED_BITS and one.stored < one.allocated and rng.random() < 0.5:
        one.junk = rng.integers(0, 2**one.allocated, shape)
    if kind == "PALETTE COLOR":
        _with_palette(one, rng)
    elif kind != "RGB":
        _with_pipeline(one, rng)
    return one


def _with_palette(one: Drawn, rng: np.random.Generator) -> None:
    bits, count = int(rng.choice([8, 16])), int(rng.integers(3, 300))
    first = int(rng.integers(*one.range) if one.signed else rng.integers(0, 200))
    in_bytes = bits == 8 and bool(rng.random() < 0.5)
    for _ in range(3):
        entries = rng.integers(0, 2**bits, count).tolist()
        entries[int(rng.integers(count))] = 2**bits - 1
        one.palette.append(Lut(first, entries, bits, in_bytes))


def _with_pipeline(one: Drawn, rng: np.random.Generator) -> None:
    way = rng.random()
    if way < 0.2 and one.stored <= 16:
        one.modality = _lut(rng, *one.range, bits=int(rng.choice([8, 16])))
    elif way < 0.8:
        one.slope = float(_one_of(rng, (1, 2, 0.5, 1.25, -1, -0.75, 0.003)))
        one.intercept = float(_one_of(rng, (0, -1024, 10, -0.5, 3.25)))
        if rng.random() < 0.2:
            one.slope, one.intercept = (None, one.intercept) if way < 0.5 else (one.slope, None)
    low, high = one.range_of_modality()
    if rng.random() < 0.5:
        span = max(high - low, 4)
        one.function = _one_of(rng, (None, "LINEAR", "LINEAR_EXACT", "SIGMOID"))
        one.window = (
            round(float(rng.uniform(low, high)), 2),
            float(_one_of(rng, (1, 2, 80, 400.5, max(1, round(span / 3)), round(span) + 1))),
        )
    elif rng.random() < 0.6 and low >= -(2**15) and high < 2**15:
        one.voi = _lut(rng, math.ceil(low), math.floor(high), int(rng.choice([8, 10, 12, 16])))
    if rng.random() < 0.3 and one.stored <= 16:
        inside = int(rng.choice(one.values.ravel()))
        other = inside + int(rng.integers(-3, 4))
        other = min(max(other, one.range[0]), one.range[1])
        one.padding = (inside, other if rng.random() < 0.5 else None)


def _lut(rng: np.random.Generator, low: int, high: int, bits: int) -> Lut:
    first = int(rng.integers(low, max(high, low) + 1))
    count = int(rng.integers(1, 400))
    entries = rng.integers(0, 2**bits, count).tolist()
    entries[int(rng.integers(count))] = 2**bits - 1
    return Lut(first, entries, bits, bits == 8 and bool(rng.random() < 0.5))


def _one_of(rng: np.random.Generator, choices: Any) -> Any:
    return choices[int(rng.integers(len(choices)))]


def written(one: Drawn, path: Path) -> Path:
    """The file."""
    dataset, meta = Dataset(), FileMetaDataset()
    by_gdcm = one.syntax == BY_GDCM
    meta.TransferSyntaxUID = ExplicitVRLittleEndian if by_gdcm else one.syntax
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.file_meta = meta
    dataset.Rows, dataset.Columns = one.values.shape[1:3]
    dataset.SamplesPerPixel = 3 if one.photometric == "RGB" else 1
    if dataset.SamplesPerPixel > 1:
        dataset.PlanarConfiguration = one.planar
    # GDCM does not encode MONOCHROME1 as JPEG; nothing but the word differs.
    dataset.PhotometricInterpretation = "MONOCHROME2" if by_gdcm else one.photometric
    dataset.BitsAllocated, dataset.BitsStored = one.allocated, one.stored
    dataset.HighBit, dataset.PixelRepresentation = one.high, int(one.signed)
    if len(one.values) > 1:
        dataset.NumberOfFrames = len(one.values)
    big = one.syntax == ExplicitVRBigEndian
    for name, value in (("RescaleSlope", one.slope), ("RescaleIntercept", one.intercept)):
        if value is not None:
            setattr(dataset, name, repr(value))
    if one.modality is not None:
        dataset.ModalityLUTSequence = [_item(one.modality, one.signed, big)]
    if one.voi is not None:
        negative = one.range_of_modality()[0] < 0
        dataset.VOILUTSequence = [_item(one.voi, negative, big)]
    if one.window is not None:
        dataset.WindowCenter, dataset.WindowWidth = map(repr, one.window)
    if one.function is not None:
        dataset.VOILUTFunction = one.function
    short = "SS" if one.signed else "US"
    if one.padding is not None:
        dataset.add_new(0x00280120, short, one.padding[0])
        if one.padding[1] is not None:
            dataset.add_new(0x00280121, short, one.padding[1])
    for k, lut in enumerate(one.palette):
        count = len(lut.entries) % 2**16
        dataset.add_new(0x00281101 + k, short, [count, lut.first, lut.bits])
        dataset.add_new(0x00281201 + k, "OW", lut.data(big))
    _add_pixels(dataset, one)
    dcmwrite(path, dataset, enforce_file_format=True)
    if by_gdcm:
        path = compressed(path, one.syntax)
        path.write_bytes(path.read_bytes().replace(b"MONOCHROME2", one.photometric.encode()))
    return path


def _item(lut: Lut, negative: bool, big: bool) -> Dataset:
    item = Dataset()
    item.add_new(0x00283002, "SS" if negative else "US", [len(lut.entries), lut.first, lut.bits])
    item.add_new(0x00283006, "OW", lut.data(big))
    return item


def _add_pixels(dataset: Dataset, one: Drawn) -> None:
    """Shift the values to their bits, with anything in the others."""
    shift = one.high + 1 - one.stored
    mask = (2**one.stored - 1) << shift
    cells = (one.values << shift) & mask
    if one.junk is not None:
        cells |= one.junk & ~mask
    elif one.signed and one.high == one.stored - 1:
        cells = one.values  # as most writers do, the sign in all higher bits
    cells = cells & (2**one.allocated - 1)
    order = ">" if one.syntax == ExplicitVRBigEndian else "<"
    pixels = cells.astype(f"{order}u{one.allocated // 8}")
    if one.syntax in (RLELossless, JPEG2000Lossless, JPEGLSLossless):
        encoder = get_encoder(one.syntax)
        options = {
            "rows": dataset.Rows,
            "columns": dataset.Columns,
            "samples_per_pixel": dataset.SamplesPerPixel,
            "bits_allocated": one.allocated,
            "bits_stored": one.allocated if one.syntax == RLELossless else one.stored,
            "pixel_representation": 0,
            "number_of_frames": 1,
            "photometric_interpretation": one.photometric,
            "planar_configuration": 0,
        }
        # GDCM ends the process over some frames that it cannot encode.
        plugin = {RLELossless: "pydicom", JPEG2000Lossless: "pylibjpeg"}.get(one.syntax, "pyjpegls")
        frames = [
            encoder.encode(frame.tobytes(), encoding_plugin=plugin, **options) for frame in pixels
        ]
        dataset.PixelData = encapsulate(frames)
        dataset["PixelData"].VR, dataset["PixelData"].is_undefined_length = "OB", True
        return
    if one.planar:
        pixels = np.moveaxis(pixels, -1, 1)
    data = pixels.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    if order == ">" and one.allocated == 8:  # words of two bytes each
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    dataset["PixelData"].VR = "OW"


def compressed(path: Path, syntax: str) -> Path:
    """The file encoded anew by GDCM, in a transfer syntax by the name that it has there."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    out = path.with_suffix(f".{syntax}.dcm")
    writer.SetFileName(str(out))
    assert writer.Write()
    return out


def of_gdcm(path: Path) -> NDArray[Any] | None:
    """Stored values as GDCM decodes them, ``(frames, rows, columns[, 3])``; None if it does not."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if not reader.Read():
        return None
    image = reader.GetImage()
    text = image.GetBuffer()
    kind = image.GetPixelFormat()
    dtype = f"{'ui'[kind.GetPixelRepresentation()]}{kind.GetBitsAllocated() // 8}"
    columns, rows, *frames = image.GetDimensions()
    shape = (*(frames or [1]), rows, columns)
    samples = kind.GetSamplesPerPixel()
    if text is None:
        return None
    values = np.frombuffer(text.encode("utf-8", "surrogateescape"), dtype)
    if values.size != math.prod(shape) * samples:
        return None
    if samples == 1:
        return values.reshape(shape)
    if image.GetPlanarConfiguration():
        return np.moveaxis(values.reshape(shape[0], samples, rows, columns), 1, -1)
    return values.reshape(*shape, samples)


def gdcm_can(one: Drawn) -> bool:
    """Whether GDCM can be asked: some files that are right end its process, others it misreads.

    It aborts over palettes and over 8 or 32 bits allocated of which not all are stored, takes
    HighBit for BitsStored - 1 whatever it is, and swaps the bytes of RLE colour of 16 bits.
    """
    swapped = one.syntax == RLELossless and one.photometric == "RGB" and one.allocated == 16
    whole = one.allocated == 16 or one.stored == one.allocated == 8
    return whole and one.high == one.stored - 1 and not one.palette and not swapped


def of_dcmtk(one: Drawn, path: Path) -> NDArray[np.float64] | None:
    """The first frame in [0, 1] as ``dcm2pnm`` displays it, ``(channels, rows, columns)``."""
    which = ["+Wl", "1"] if one.voi else ["+Wi", "1"] if one.window else []
    run = subprocess.run(
        ["dcm2pnm", "-q", "+opn", "16", *which, str(path)], capture_output=True, check=False
    )
    lines = [line for line in run.stdout.decode().splitlines() if not line.startswith("#")]
    words = " ".join(lines).split()
    if run.returncode or len(words) < 4:
        return None
    columns, rows, most = map(int, words[1:4])
    values = np.array(words[4:], float) / most
    return np.moveaxis(values.reshape(rows, columns, -1), -1, 0)


def dcmtk_can(one: Drawn) -> bool:
    """Whether dcm2pnm does the same: it knows no padding and no LINEAR_EXACT, leaves out a slope or
    an intercept alone, and computes with whole numbers after the modality step.
    """
    numbers = [one.slope, one.intercept]
    return (
        one.padding is None
        and one.function != "LINEAR_EXACT"
        and (numbers == [None, None] or None not in numbers)
        and all(value is None or value == int(value) for value in numbers)
        and one.syntax not in OF_STORED_BITS
        and (len(one.values) == 1 or one.values[0].size % 2 == 0)  # it misreads odd frames
    )
