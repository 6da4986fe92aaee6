"""A DICOM file as a data set: its header, and its pixel data without what follows them.

The standard is PS3.5 section 7 and A.4, and PS3.10 section 7. Nothing is unpacked or read beyond
what the header promises.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from midclass.errors import InputError, NoImage
from midclass.images.formats.contents import contents, state_of
from midclass.images.formats.dicom_attributes import Dataset, Unusable
from midclass.images.formats.dicom_layout import PIXELS, check_memory, promised_bytes
from midclass.images.formats.limits import GZIP, gunzipped_head

DICOMDIR = "1.2.840.10008.1.3.10"
ROWS = 0x0028_0011
WITH_PIXELS = ("Image", "Segmentation", "Dose", "ParametricMap", "Photography")
"""Parts of the names of SOP classes whose objects hold pixel data."""
WITHOUT_PIXELS = {
    **dict.fromkeys(("SR", "DOC"), "a report"),
    "PR": "a presentation state",
    **dict.fromkeys(("RTSTRUCT", "RTPLAN", "RTRECORD", "PLAN"), "a treatment plan"),
    **dict.fromkeys(("ECG", "HD", "EPS", "AU", "RESP"), "a recording"),
    **dict.fromkeys(("KO", "REG", "FID", "RWV", "SEGSURF", "M3D"), "an object beside images"),
}
"""Modalities (PS3.3 C.7.3.1.1.1) of objects that hold none."""
ENDLESS = 0xFFFFFFFF
"""In place of a length: the value goes on to a delimiter."""
BEGINNING = 2**18
"""Bytes in which most headers end."""
MOST_HEADER = 64 * 2**20
"""Bytes of a packed file in which its pixel data must begin."""
MOST_ATTRIBUTES = 100_000
"""Attributes of a header, those in sequences not counted."""
MOST_TAIL = 16 * 2**20
"""Bytes of a packed file that may follow its pixel data."""


class _PixelElement(NamedTuple):
    tag: int
    vr: str | None
    length: int
    start: int


class _Stream(BytesIO):
    """Bytes that are read through a few times at most.

    Values of undefined length are searched for their end: made for it, a small file keeps a reader
    that does so busy for hours.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._calls, self._bytes = len(data) // 2 + 10_000, 2 * len(data) + 2**20

    def read(self, size: int | None = -1, /) -> bytes:
        found = super().read(size)
        self._calls, self._bytes = self._calls - 1, self._bytes - len(found)
        if min(self._calls, self._bytes) < 0:
            raise Unusable("is damaged: its header has no end")
        return found


def open_header(path: Path) -> Dataset:
    """All attributes that stand before the pixel data.

    Raises:
        NoImage: the file is, and says that it is, something else than an image.
        InputError: it is damaged, or an image without pixel data.
    """
    with quiet(), failures(path):
        return _of_beginning(path) or _open(path)[0]


def open_image(path: Path) -> Dataset:
    """Header and pixel data; what follows them is not read.

    Raises:
        NoImage: the file is, and says that it is, something else than an image.
        InputError: it is damaged, cut off, or an image without pixel data.
    """
    with quiet(), failures(path):
        dataset, data, found = _open(path)
        _add_pixels(dataset, data, found)
        return dataset


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom's remarks on odd but readable files off the user's terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


@contextmanager
def failures(path: Path) -> Iterator[None]:
    """Turn what goes wrong into one line about a file, without the words of a library.

    Those may quote the header, and with it a name or a date of birth.
    """
    try:
        yield
    except Unusable as error:
        raise InputError(f"{path}: {error}") from None
    except InputError:
        raise
    except OSError as error:
        if error.errno is None:  # of pydicom, not of the file system
            raise InputError(f"{path}: is truncated or damaged; copy it again") from None
        raise
    except (EOFError, zlib.error):
        raise InputError(f"{path}: is truncated or damaged; copy it again") from None
    except MemoryError:
        raise InputError(f"{path}: its pixels do not fit into memory") from None
    except Exception as error:  # damaged headers make pydicom fail in unforeseeable ways
        kind = type(error).__name__
        raise InputError(f"{path}: is damaged: its header cannot be read ({kind})") from None


def _of_beginning(path: Path) -> Dataset | None:
    """The header, where the first bytes of a large file hold it whole and as it is."""
    if state_of(path).size <= BEGINNING:
        return None
    with path.open("rb") as file:
        data = file.read(BEGINNING)
    if data[:2] == GZIP:
        return None
    try:
        dataset, _, found = _parsed(path, data)
    except Exception:  # it is cut off, or damaged: the whole file says which
        return None
    return dataset if found is not None else None


def _open(path: Path) -> tuple[Dataset, bytes, _PixelElement]:
    packed = contents(path)
    if packed[:2] == GZIP:
        dataset, data, found = _unpacked(
            path, partial(gunzipped_head, packed), partial(_parsed, path)
        )
    else:
        dataset, data, found = _parsed(path, packed)
    if found is None:
        raise _without_pixels(path, dataset)
    return dataset, data, found


Parsed = tuple[Dataset, bytes, "_PixelElement | None"]


def _unpacked(
    path: Path, unpack: Callable[[int], bytes], parse: Callable[[bytes], Parsed]
) -> Parsed:
    """Unpack the header, and then as much as it says that there is."""
    head = unpack(MOST_HEADER)
    dataset, data, found = parse(head)
    if len(head) < MOST_HEADER:
        return dataset, data, found
    if found is None:
        raise Unusable(f"holds no pixel data in its first {MOST_HEADER >> 20} MiB")
    check_memory(path, dataset)
    most = found.start + promised_bytes(dataset) * 9 // 8 + MOST_TAIL
    whole = unpack(max(most, MOST_HEADER) + 1)
    if len(whole) > max(most, MOST_HEADER):
        raise Unusable("is packed, and holds more than Rows, Columns and the others promise")
    return parse(whole)


def _inflated(packed: bytes, most: int) -> bytes:
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    data = unpacking.decompress(packed, most)
    if not unpacking.eof and len(data) < most:
        raise EOFError
    return data


def _parsed(path: Path, data: bytes) -> Parsed:
    """The header of a file, and where in which bytes its pixel data begin."""
    from pydicom.dataset import FileMetaDataset
    from pydicom.filereader import read_dataset

    stream = _Stream(data)
    stream.seek(132 if data[128:132] == b"DICM" else 0)
    meta = FileMetaDataset(
        read_dataset(stream, False, True, stop_when=lambda tag, vr, length: tag >> 16 != 2)
    )
    syntax = meta.get("TransferSyntaxUID")
    if not syntax or not syntax.is_transfer_syntax:
        raise Unusable("TransferSyntaxUID is missing or none that the standard knows")
    if syntax.is_deflated:
        rest = data[stream.tell() :]
        dataset, data, found = _unpacked(
            path,
            lambda most: _inflated(rest, most),
            lambda part: _data_set(_Stream(part), part, meta),
        )
    else:
        dataset, data, found = _data_set(stream, data, meta)
    return dataset, data, found


def _data_set(stream: _Stream, data: bytes, meta: Dataset) -> Parsed:
    from pydicom.filereader import read_dataset

    found: list[_PixelElement] = []
    count = iter(range(MOST_ATTRIBUTES))

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        if next(count, None) is None:
            raise Unusable(f"is damaged: its header has more than {MOST_ATTRIBUTES} attributes")
        if length == ENDLESS and tag not in PIXELS and vr not in (None, "SQ", "UN"):
            raise Unusable("is damaged: its header has no end")  # PS3.5 section 7.1.1
        if tag in PIXELS:
            found.append(_PixelElement(tag, vr, length, stream.tell()))
        return tag in PIXELS

    syntax = meta.TransferSyntaxUID
    implicit, little = syntax.is_implicit_VR, syntax.is_little_endian
    dataset = read_dataset(stream, implicit, little, stop_when=at_pixels)
    dataset.file_meta = meta
    return dataset, data, found[-1] if found else None


def _add_pixels(dataset: Dataset, data: bytes, found: _PixelElement) -> None:
    from pydicom.dataelem import DataElement

    keyword, endless = PIXELS[found.tag], found.length == ENDLESS
    packed = dataset.file_meta.TransferSyntaxUID.is_encapsulated
    if endless and not packed:
        raise Unusable(f"{keyword} has no length, which only compressed pixel data may lack")
    end = _end_of_items(data, found.start) if endless else found.start + found.length
    there = len(data) - found.start
    if end > len(data) and (packed or there < promised_bytes(dataset)):
        raise Unusable(
            f"{keyword} is truncated: {there} of {end - found.start} bytes are there; "
            "copy the file again"
        )
    vr = found.vr or {"FloatPixelData": "OF", "DoubleFloatPixelData": "OD"}.get(keyword, "OW")
    value = data[found.start : end]
    dataset[found.tag] = DataElement(found.tag, vr, value, is_undefined_length=endless)


def _end_of_items(data: bytes, start: int) -> int:
    """Where the items of a value of undefined length end (PS3.5 section A.4)."""
    at = start
    while data[at : at + 4] == b"\xfe\xff\x00\xe0":
        at += 8 + int.from_bytes(data[at + 4 : at + 8], "little")
    if data[at : at + 4] == b"\xfe\xff\xdd\xe0":
        return at
    raise Unusable("PixelData is truncated or damaged: its items have no end; copy the file again")


def _without_pixels(path: Path, dataset: Dataset) -> InputError:
    """What to say of a file without pixel data: holds it no image, or has it lost it?"""
    from pydicom.uid import UID

    sop_class = UID(str(dataset.file_meta.get("MediaStorageSOPClassUID") or ""))
    if sop_class == DICOMDIR or "DirectoryRecordSequence" in dataset:
        return NoImage(f"{path}: holds no image: it is a DICOMDIR, the index of a medium")
    name = sop_class.keyword
    other = name.endswith("Storage") and not any(part in name for part in WITH_PIXELS)
    modality = str(dataset.get("Modality") or "").strip()
    if "Rows" not in dataset and (other or modality in WITHOUT_PIXELS):
        what = WITHOUT_PIXELS.get(modality, "no image by its SOPClassUID")
        told = f"Modality {modality}" if modality in WITHOUT_PIXELS else sop_class.name
        return NoImage(f"{path}: holds no image: it is {what} ({told})")
    # Of a vendor's own class: elements are in order, so one behind the rows' shows that none were
    # cut off.
    if sop_class and not name and max(dataset.keys(), default=0) > ROWS and "Rows" not in dataset:
        return NoImage(f"{path}: holds no image: it is of a vendor's own class ({sop_class})")
    return InputError(
        f"{path}: PixelData is missing: a DICOM file without pixel data, cut off or emptied; "
        "export the image again"
    )
