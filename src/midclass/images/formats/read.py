"""Reading: one file -> pixels in [0, 1] and spacing, for PNG, JPEG, TIFF, DICOM, NIfTI and npz.

The format is found by content, never by the name alone, and nothing is silently put in the place
of what cannot be read: every failure is an ``InputError`` that names the file and the reason.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from midclass.errors import STOPS, InputError
from midclass.images.formats import dicom, nifti, npz, raster
from midclass.images.formats.contents import contents, refuse_special
from midclass.images.formats.limits import GZIP, gunzipped_head
from midclass.images.formats.raw import (
    Raw,
    Values,
    one_line,
)

RASTER_FORMATS = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
HEAD_BYTES = 352  # as far as the magic number of NIfTI-1
PACKED_HEAD_BYTES = 1 << 16  # with the name that gzip may keep in its own header


@dataclass(frozen=True)
class Image:
    """One image, or one volume, as it comes out of a file.

    Attributes:
        pixels: float32 ``(c, *spatial)`` in [0, 1]; ``c`` is 1 (grey) or 3 (red, green, blue).
        spacing_mm: one number per spatial axis, ``(rows, cols)`` or ``(d, rows, cols)``; None
            where the file does not tell (PNG, JPEG and TIFF never do: their resolution tags are
            for printers).
        aspect: height of a pixel over its width, where a DICOM file tells that but no spacing.
        modality: Modality of a DICOM file, such as "CR"; "" where none is told.
        body_part: BodyPartExamined, such as "CHEST"; likewise.
        plane: in which a slice lies, by its header: "sagittal", "coronal", "axial" or "".
    """

    pixels: NDArray[np.float32]
    spacing_mm: tuple[float, ...] | None
    aspect: float = 1.0
    modality: str = ""
    body_part: str = ""
    plane: str = ""


def read(
    path: str | Path,
    *,
    array: str | None = None,
    index: int | None = None,
    frame: int | None = None,
    window: tuple[float, float] | None = None,
    volume: bool = False,
) -> Image:
    """Read one image from a file of any known format.

    What becomes 0 and 1: the given window; else the VOI LUT or first window of a DICOM file, or the
    display range of a NIfTI header; else the range which the stored bits can hold; else, for float
    data, NIfTI, and npz with signed integers or more than 16 bits, the lowest and highest value of
    the file (npz: of its arrays of that type and row shape). Values outside are clipped.

    * PNG, JPEG, TIFF: alpha is laid over black; palettes become RGB; colour of 16 bits is read
      with 8. The stored rows count: an orientation tag (EXIF, TIFF tag 274) is applied in none of
      them, as in MONAI, torchvision and ITK with PNG and JPEG, so that masks and centres fit that
      were made from the pixels. Viewers and OpenCV do apply it: turn such files before.
    * DICOM: after the modality LUT; MONOCHROME1 is inverted, so that a high value is bright;
      palette and YBR become RGB; spacing from PixelSpacing, else ImagerPixelSpacing (at the
      detector), else the regions of ultrasound, beside which the screen becomes dark.
    * NIfTI: slices in the plane in which they were acquired, told by voxels that are 1.5 times as
      long across it (or one alone), else axial ones; each as a radiologist looks at it. Axial:
      from feet to head, the patient's right on the left of the image, the front on top. Coronal:
      from back to front, the right on the left, the head on top. Sagittal: from left to right, the
      front on the left, the head on top. Spacing is the length of the columns of the affine (sform,
      else qform, else pixdim), in mm whatever xyzt_units says. Oblique volumes are not resampled.
    * npz (MedMNIST): arrays ``(n, h, w)``, ``(n, h, w, 3)`` or, for volumes, ``(n, d, h, w)``.

    An image of more than 300 megapixels (numbers: three for a pixel in colour, all frames of a
    volume) is refused before it is decoded; ``MIDCLASS_MAX_MEGAPIXELS`` sets another limit.

    Args:
        path: the file.
        array: npz only, the name of the array.
        index: npz: the row of the array. NIfTI with a time axis: the time point.
        frame: which frame of a multi-frame DICOM or TIFF file, or slice of a volume. A file with
            several is an error without it, unless ``volume`` is set.
        window: ``(low, high)`` in the file's units after rescale, for example Hounsfield units;
            overrides what the file says. A picture (PNG, JPEG, TIFF) holds no such units: of a
            window that begins below its values it takes no notice.
        volume: read all frames of a DICOM, NIfTI or npz volume as ``(c, d, rows, cols)``.

    Raises:
        InputError: the file is missing, damaged, of an unknown format or holds NaN or infinite
            values, or the arguments do not fit to it.

    >>> import tempfile
    >>> import PIL.Image
    >>> with tempfile.NamedTemporaryFile(suffix=".png") as file:
    ...     PIL.Image.new("L", (3, 2), color=51).save(file.name)
    ...     image = read(file.name)
    >>> image.pixels.shape, round(float(image.pixels.max()), 6), image.spacing_mm
    ((1, 2, 3), 0.2, None)
    """
    path = Path(path)
    kind = _format(path)
    _check_arguments(path, kind, array, index, frame, window, volume)
    with failures_name(path):
        if kind == "DICOM":
            raw = dicom.read_dicom(path, frame=frame, window=window, volume=volume)
        elif kind == "NIfTI":
            raw = nifti.read_nifti(
                path, frame=frame, time_point=index, window=window, volume=volume
            )
        elif kind == "npz":
            raw = npz.read_npz(path, array, index, frame=frame, window=window, volume=volume)
        else:
            raw = raster.read_raster(path, kind, frame, window)
        pixels = _to_unit_range(path, raw)
        said = raw.modality, raw.body_part, raw.plane
        return Image(pixels, raw.spacing_mm, raw.aspect, *said)


def decode(path: str | Path, *, array: str | None = None, index: int | None = None) -> Values:
    """The values of a file exactly as stored: what two encodings of one image have in common.

    All frames of a DICOM file (YBR as RGB, palettes as indices), the scaled array of a NIfTI file
    in its own axis order, one row of an npz array, the first page of a TIFF file.

    Raises:
        InputError: as ``read``.
    """
    path = Path(path)
    kind = _format(path)
    _check_arguments(path, kind, array, None if kind == "NIfTI" else index)
    with failures_name(path):
        if kind == "DICOM":
            return dicom.stored_values(path)
        if kind == "NIfTI":
            return nifti.stored_values(path)
        if kind == "npz":
            return npz.stored_values(path, array, index)
        return raster.stored_values(path, kind)


def file_format(path: str | Path) -> str:
    """``"PNG"``, ``"JPEG"``, ``"TIFF"``, ``"DICOM"``, ``"NIfTI"`` or ``"npz"``, by content.

    Raises:
        InputError: no such file, a folder, an empty file, or none of these formats.
    """
    path = Path(path)
    with failures_name(path):
        refuse_special(path, path.stat().st_mode)
        with path.open("rb") as file:
            head = _unpacked(file.read(PACKED_HEAD_BYTES))
    return _format_of(path, head)


def _format(path: Path) -> str:
    """``file_format`` of a file that is going to be read as a whole."""
    if path.suffix.lower() == ".npz":
        return file_format(path)  # may be larger than all other files, and is read in parts
    with failures_name(path):
        head = _unpacked(contents(path))
    return _format_of(path, head)


def _unpacked(data: bytes) -> bytes:
    head = data[:HEAD_BYTES]
    return gunzipped_head(data, HEAD_BYTES) if head.startswith(GZIP) else head


def _format_of(path: Path, head: bytes) -> str:
    if not head:
        raise InputError(f"{path}: is empty")
    if dicom.is_dicom(head):  # first: the preamble of a DICOM file may look like a TIFF
        return "DICOM"
    if nifti.is_nifti(head):
        return "NIfTI"
    if head[:4] == b"PK\x03\x04":
        return "npz"
    for magic, kind in RASTER_FORMATS.items():
        if head.startswith(magic):
            return kind
    raise InputError(
        f"{path}: its content is none of PNG, JPEG, TIFF, DICOM (with file meta), NIfTI, npz"
    )


def _check_arguments(
    path: Path,
    kind: str,
    array: str | None,
    index: int | None,
    frame: int | None = None,
    window: tuple[float, float] | None = None,
    volume: bool = False,
) -> None:
    if array is not None and kind != "npz":
        raise InputError(f"{path}: array {array!r} was named, but this is {kind}, not npz")
    if index is not None and kind not in ("npz", "NIfTI"):
        raise InputError(f"{path}: index {index} was named, but this is {kind}; use frame")
    if volume and kind in RASTER_FORMATS.values():
        raise InputError(f"{path}: {kind} holds no volume; use DICOM, NIfTI or npz")
    if volume and frame is not None:
        raise InputError(f"{path}: frame {frame} and volume exclude each other")
    if window is not None and not (np.isfinite(window).all() and window[0] < window[1]):
        raise InputError(f"{path}: window {window}, expected (low, high) with low < high")


@contextmanager
def failures_name(path: Path) -> Iterator[None]:
    """Turn whatever a decoder raises on a damaged file into an error that names the file."""
    try:
        yield
    except (InputError, *STOPS):
        raise
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        reason = error.strerror or one_line(error)
        raise InputError(f"{path}: cannot be read: {reason}") from error
    except (EOFError, zlib.error) as error:
        raise InputError(f"{path}: is truncated or damaged: {one_line(error)}") from error
    except MemoryError as error:
        raise InputError(f"{path}: takes more memory than there is") from error
    except BaseException as error:
        # Damaged files make decoders fail in unforeseeable ways; what a decoder in Rust raises
        # when it panics is no Exception.
        raise InputError(f"{path}: cannot be read: {one_line(error)}") from error


BAND = 1 << 18
"""Numbers that are brought to [0, 1] at once, with 8 bytes each."""


def _to_unit_range(path: Path, raw: Raw) -> NDArray[np.float32]:
    """Float32 ``(c, *spatial)``, of its own memory.

    What is not in [0, 1] yet is computed in double precision, part by part to save memory.
    """
    values, broken = raw.values, 0
    if not values.size:
        raise InputError(f"{path}: has no pixels")
    if not np.isfinite(raw.high - raw.low):
        raise InputError(f"{path}: values from {raw.low:g} to {raw.high:g} cannot be scaled")
    if _is_unit_range(raw):
        return np.array(values[None], order="C")  # a copy: npz keeps its arrays for the next row
    *spatial, colours = values.shape if raw.colour else (*values.shape, 1)
    pixels = np.empty((colours, *spatial), np.float32)
    target = np.moveaxis(pixels, 0, -1) if raw.colour else pixels[0]
    table, bits = None, 8 * values.itemsize
    if values.dtype.kind == "u" and bits <= 16 and values.size > 2**bits:
        table = _scaled(np.arange(2**bits, dtype=np.float64), raw).astype(np.float32)
    step = max(1, BAND * len(values) // values.size)
    for start in range(0, len(values), step):
        part = values[start : start + step]
        if table is not None:
            table.take(part, out=target[start : start + step], mode="clip")  # all are in it
            continue
        with np.errstate(invalid="ignore"):  # what is no number is counted below
            part = np.asarray(part, np.float64)
        broken += int(part.size - np.isfinite(part).sum())
        if not broken:
            target[start : start + step] = _scaled(part, raw)
    if broken:
        raise InputError(
            f"{path}: {broken} of {values.size} values are NaN or infinite; "
            "write the file again with numbers there"
        )
    return pixels


def _is_unit_range(raw: Raw) -> bool:
    """Whether values are grey float32 in [0, 1] already; NaN is not, it compares with nothing."""
    grey = raw.values.dtype == np.float32 and not raw.colour and (raw.low, raw.high) == (0, 1)
    return bool(grey and raw.values.min() >= 0 and raw.values.max() <= 1)


def _scaled(values: NDArray[np.float64], raw: Raw) -> NDArray[np.float64]:
    if raw.low == raw.high:  # one value only, or a window of no width: a threshold
        return (values > raw.low).astype(np.float64)
    return ((values - raw.low) / (raw.high - raw.low)).clip(0, 1)
