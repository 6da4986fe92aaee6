"""Damage that knows DICOM: attributes, tags, VRs, lengths, transfer syntaxes and fragments."""

from __future__ import annotations

import io
import struct
import warnings
from typing import Any

import numpy as np

from fuzz.elements import spoil_element
from fuzz.spoil import pick

NUMBERS = (
    "",
    "0",
    "1",
    "-1",
    "2",
    "0.5",
    "1e-6",
    "1e-30",
    "1e30",
    "1e308",
    "1e400",
    "nan",
    "inf",
    "-inf",
)
NUMBERS += (
    "1,5",
    "auto",
    "0\\0",
    "1\\1",
    "0.2",
    "1e-6\\1e-6",
    "-1\\1",
    "nan\\nan",
    "0.143,0.143",
    "1\\2\\3",
)
NUMBERS += (
    "99999999999",
    "4096\\100",
    "\\",
    " 1 ",
    "0x10",
    "1.5.2",
    "\x1b[31m",
    "1e5\\1e-5",
    "40\\80",
)
SHORTS = (0, 1, 2, 3, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 64, 255, 4096, 32768, 65535)
TEXTS = (
    "",
    "MONOCHROME1",
    "MONOCHROME2",
    "RGB",
    "PALETTE COLOR",
    "YBR_FULL",
    "YBR_FULL_422",
    "YBR_ICT",
)
TEXTS += (
    "YBR_PARTIAL_420",
    "monochrome2",
    "HSV",
    "SIGMOID",
    "LINEAR",
    "LINEAR_EXACT",
    "\xff\xfe",
    "A" * 5000,
)
STRINGS = ("NumberOfFrames", "RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth")
STRINGS += ("PixelSpacing", "ImagerPixelSpacing", "PixelAspectRatio", "SpacingBetweenSlices")
STRINGS += (
    "ImagePositionPatient",
    "NominalScannedPixelSpacing",
    "EstimatedRadiographicMagnificationFactor",
)
WORDS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
WORDS += ("SamplesPerPixel", "PlanarConfiguration", "PixelPaddingValue", "SmallestImagePixelValue")
WORDS += (
    "RedPaletteColorLookupTableDescriptor",
    "PixelPaddingRangeLimit",
    "LargestImagePixelValue",
)
NAMES = ("PhotometricInterpretation", "VOILUTFunction", "PresentationLUTShape", "RescaleType")
NAMES += ("SpecificCharacterSet", "Modality", "SOPClassUID", "PatientName", "LossyImageCompression")
SYNTAXES = (
    "",
    ".1",
    ".2",
    ".1.99",
    ".4.50",
    ".4.51",
    ".4.57",
    ".4.70",
    ".4.80",
    ".4.81",
    ".4.90",
    ".4.91",
)
SYNTAXES += (".5", ".4.100", ".4.102", ".4.201", ".1.98", ".77", ".4.92")


def spoil_dicom(data: bytes, rng: np.random.Generator) -> tuple[bytes, str]:
    """One edit by attribute, through pydicom, or one of the bytes of an element."""
    kind = int(rng.integers(10))
    if kind >= 7:
        return spoil_element(data, rng)
    import pydicom

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        names = []
        for _ in range(1 if rng.random() < 0.7 else 2):
            names.append(_attribute(dataset, rng, kind))
            kind = int(rng.integers(5))
        out = io.BytesIO()
        try:
            pydicom.dcmwrite(out, dataset)
        except Exception:
            return spoil_element(data, rng)  # what pydicom does not write
    return out.getvalue(), ", ".join(names)


def _attribute(dataset: Any, rng: np.random.Generator, kind: int) -> str:
    if kind <= 1:
        name = pick(rng, STRINGS)
        text = pick(rng, NUMBERS)
        _set(dataset, name, text.encode())
        return f"{name} {text!r}"
    if kind == 2:
        name = pick(rng, WORDS)
        number = int(rng.choice(SHORTS))
        count = int(rng.choice([1, 1, 1, 1, 0, 2, 3]))
        _set(dataset, name, struct.pack("<H", number) * count)
        return f"{name} {number} x {count}"
    if kind == 3:
        name = pick(rng, NAMES)
        text = pick(rng, TEXTS)
        _set(dataset, name, text.encode("latin-1"))
        return f"{name} {text[:20]!r}"
    if kind == 4:
        tags = [e.tag for e in dataset if e.tag.group >= 0x18] or list(dataset.keys())
        tag = pick(rng, tags)
        del dataset[tag]
        return f"{tag} removed"
    if kind == 5:
        return _pixels(dataset, rng)
    ways = (_syntax, _lookup, _nested, _many, _meta)
    return pick(rng, ways)(dataset, rng)


def _set(dataset: Any, name: str, value: bytes) -> None:
    """Set bytes past pydicom's checks."""
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    tag = Tag(tag_for_keyword(name))
    vr = dictionary_VR(tag)
    vr = "US" if vr in ("US or SS", "US or OW") else vr
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    implicit, little = dataset.original_encoding
    raw = RawDataElement(tag, vr, len(value), value, 0, bool(implicit), little is not False)
    dataset._dict[tag] = raw


def _pixels(dataset: Any, rng: np.random.Generator) -> str:
    for name in ("PixelData", "FloatPixelData"):
        if name in dataset:
            break
    else:
        return "no pixels"
    data = bytes(dataset[name].value or b"")
    ways = (
        b"",
        data[: len(data) // 2 // 2 * 2],
        data + data,
        data[:-2],
        data + bytes(10),
        data[2:],
    )
    ways += (data[:8], bytes(len(data)), data + bytes(2_000_000))
    k = int(rng.integers(len(ways)))
    if data[:4] == b"\xfe\xff\x00\xe0":  # encapsulated: items, the first of which is a table
        items = _items(data)
        changed = int(rng.integers(6))
        k = int(rng.integers(len(items)))
        if changed == 0:
            items[0] = struct.pack("<I", int(rng.choice([0, 1, 8, 2**31, 2**32 - 1]))) * int(
                rng.integers(4)
            )
        elif changed == 1:
            del items[k]
        elif changed == 2:
            items[k] = items[k][: len(items[k]) // 4 * 2]
        elif changed == 3:
            items.insert(k, b"")
        elif changed == 4:
            items = [items[0], *[rng.bytes(64) for _ in items[1:]]]
        else:
            items = [items[0], *[i[:1] for i in items[1:] for _ in range(2)]]
        made = b"".join(b"\xfe\xff\x00\xe0" + struct.pack("<I", len(i)) + i for i in items)
        dataset[name].value = made + b"\xfe\xff\xdd\xe0\0\0\0\0"
        return f"fragments {changed}"
    dataset[name].value = ways[k]
    return f"pixels {k}"


def _items(data: bytes) -> list[bytes]:
    items, at = [], 0
    while data[at : at + 4] == b"\xfe\xff\x00\xe0":
        (size,) = struct.unpack("<I", data[at + 4 : at + 8])
        items.append(data[at + 8 : at + 8 + size])
        at += 8 + size
    return items


def _syntax(dataset: Any, rng: np.random.Generator) -> str:
    new = "1.2.840.10008.1.2" + pick(rng, SYNTAXES)
    _set(dataset.file_meta, "TransferSyntaxUID", new.encode())
    return f"transfer syntax {new}"


def _lookup(dataset: Any, rng: np.random.Generator) -> str:
    from pydicom.dataset import Dataset

    item = Dataset()
    entries = int(rng.choice([0, 1, 2, 16, 256, 4096, 65535]))
    first, bits = (
        int(rng.choice([0, 1, 32768, 65535])),
        int(rng.choice([0, 1, 8, 10, 12, 16, 17, 255])),
    )
    _set(item, "LUTDescriptor", struct.pack("<HHH", entries, first, bits))
    size = int(rng.choice([0, 1, 2, 512, 8192]))
    _set(item, "LUTData", bytes(range(256)) * (size // 256) + bytes(size % 256))
    name = pick(rng, ("VOILUTSequence", "ModalityLUTSequence"))
    setattr(dataset, name, [item] if rng.random() < 0.8 else [])
    return f"{name} {entries} {first} {bits}, {size} bytes"


def _nested(dataset: Any, rng: np.random.Generator) -> str:
    """Functional groups within functional groups; as bytes, since pydicom is slow to write them."""
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    implicit, little = (bool(one) for one in dataset.original_encoding)
    order, depth = "<" if little else ">", int(rng.choice([2, 50, 400]))

    def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
        tag = struct.pack(order + "HH", group, number)
        if implicit:
            return tag + struct.pack(order + "I", len(value)) + value
        size = struct.pack(order + "xxI" if vr == b"SQ" else order + "H", len(value))
        return tag + vr + size + value

    def item(value: bytes) -> bytes:
        return struct.pack(order + "HHI", 0xFFFE, 0xE000, len(value)) + value

    value = item(element(0x28, 0x30, b"DS", b"1e-6\\1e-6 "))
    for _ in range(depth):
        value = item(element(0x28, 0x9110, b"SQ", value))  # Pixel Measures Sequence
    tag = Tag(pick(rng, (0x52009229, 0x52009230)))  # shared and per frame
    dataset._dict[tag] = RawDataElement(tag, "SQ", len(value), value, 0, implicit, little)
    return f"{tag} of depth {depth}"


def _many(dataset: Any, rng: np.random.Generator) -> str:
    count = int(rng.choice([1000, 10_000]))
    for k in range(count):
        dataset.add_new(0x00090000 + 0x1000 + (k % 0xEFFF), "UN", b"FUZZINGTON 19370203")
    return f"{count} private elements"


def _meta(dataset: Any, rng: np.random.Generator) -> str:
    names = list(dataset.file_meta.keys())
    if not names:
        return "no file meta"
    tag = pick(rng, names)
    del dataset.file_meta[tag]
    return f"{tag} removed"
