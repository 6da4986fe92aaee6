"""Holding: how many images a file holds by its own words, told from its header alone."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import IO, Any

from midclass.errors import STOPS, NoImage
from midclass.images.formats.contents import contents, state_of
from midclass.images.formats.dicom_file import MOST_HEADER, open_header, quiet
from midclass.images.formats.limits import GZIP, gunzipped_head
from midclass.images.formats.nifti import HEADER_BYTES, cut_of, is_placed
from midclass.images.formats.read import file_format
from midclass.images.formats.tiff import images_in_tiff

LEAST_BYTES = 64
"""Of a compressed frame: as much as the header of RLE (PS3.5 annex G.5); else the number lies."""
MOST_PACKED = 1032
"""Times smaller that gzip can make a file."""


def images_in(path: Path) -> int:
    """How many frames of a DICOM file, slices of a NIfTI file or like pages of a TIFF can be named.

    Of all others it is 1.

    Of a file that is damaged, of unknown format or says more than it can hold it is 1: reading it
    says what is wrong.

    Raises:
        NoImage: a DICOM file that says itself that it is none: a DICOMDIR (PS3.10 section 8), a
            report, a presentation state, or of a private class and without rows and pixels.
    """
    try:
        state_of(path)  # a pipe would be waited for
        kind = file_format(path)
        if kind == "DICOM":
            with _beginning(path, MOST_HEADER) as file:
                return _frames(path, file)
        if kind == "NIfTI":
            return _cut(path)[1]
        if kind == "TIFF":
            return images_in_tiff(path)
        return 1
    except (NoImage, *STOPS):
        raise
    except BaseException:  # a damaged header makes libraries fail in unforeseeable ways
        return 1


def _beginning(path: Path, size: int) -> IO[bytes]:
    """A file; of a packed one as much as is asked for, unpacked."""
    file = path.open("rb")
    packed = file.read(2) == GZIP
    file.seek(0)
    if not packed:
        return file
    file.close()
    return BytesIO(gunzipped_head(contents(path), size))


def _frames(path: Path, file: IO[bytes]) -> int:
    import pydicom

    wanted = ["NumberOfFrames", "Rows", "Columns", "BitsAllocated", "SamplesPerPixel"]
    with quiet():
        about = pydicom.dcmread(file, stop_before_pixels=True, force=True, specific_tags=wanted)
        rows, columns = int(about.get("Rows") or 0), int(about.get("Columns") or 0)
        if not rows and not columns:
            open_header(path)  # says so where it is none
            return 1
        frames = int(about.get("NumberOfFrames") or 1)
        size = state_of(path).size
        if isinstance(file, BytesIO):  # unpacked
            size *= MOST_PACKED
        if about.file_meta.TransferSyntaxUID.is_compressed:
            least = LEAST_BYTES
        else:
            bits = int(about.get("BitsAllocated") or 8) * int(about.get("SamplesPerPixel") or 1)
            least = max(1, rows * columns * bits // 8)
    return frames if 1 <= frames <= size // least else 1


def plane_in(path: Path) -> str:
    """The plane in which a NIfTI file is cut; "" where it, or a damaged one, does not tell."""
    try:
        return _cut(path)[0]
    except STOPS:
        raise
    except BaseException:  # see above
        return ""


def lies_anyhow(path: Path) -> bool:
    """Whether a NIfTI file does not say how the patient lies in it; of a damaged one, False."""
    try:
        header = _nifti_header(path)
        return len(header.get_data_shape()) > 1 and not is_placed(header)
    except STOPS:
        raise
    except BaseException:  # see above
        return False


def _nifti_header(path: Path) -> Any:
    import nibabel

    with _beginning(path, HEADER_BYTES) as file:
        head = file.read(HEADER_BYTES)
    kind = nibabel.Nifti2Header if head[4:8] == b"n+2\0" else nibabel.Nifti1Header
    return kind.from_fileobj(BytesIO(head), check=False)


def _cut(path: Path) -> tuple[str, int]:
    """As ``nifti`` does it: the plane, and how many slices; of what has no three axes one."""
    header = _nifti_header(path)
    shape = header.get_data_shape()
    if len(shape) < 3 or any(length > 1 for length in shape[3:]):
        return "", 1
    return cut_of(header)
