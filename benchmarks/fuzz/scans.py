"""Right DICOM files of several transfer syntaxes, and the real ones."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from fuzz.right import BORN, NAME, NUMBER, Seed, encoded, picture

CT, MULTI = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.7.3"
RLE, JPEG, JPEG_2000 = "1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.90"
DEFLATED, BIG, IMPLICIT = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
LARGEST = 700_000  # of the real files: larger ones take the time of many inputs


def dataset_of(array: np.ndarray, **more: Any) -> Any:
    """A small DICOM dataset with an identity, in explicit VR little endian."""
    from pydicom.dataset import Dataset, FileMetaDataset

    colour = array.ndim == 3 and array.shape[-1] == 3
    rows, columns = array.shape[-3:-1] if colour else array.shape[-2:]
    bits = array.dtype.itemsize * 8
    dataset, meta = Dataset(), FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CT
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3.4"
    meta.TransferSyntaxUID, meta.ImplementationClassUID = EXPLICIT, "1.2.3"
    dataset.file_meta = meta
    about = {
        "PatientName": NAME,
        "PatientID": NUMBER,
        "PatientBirthDate": BORN,
        "Modality": "CT",
        "OtherPatientIDs": NUMBER,
        "InstitutionName": NAME,
        "AccessionNumber": NUMBER,
        "SamplesPerPixel": 3 if colour else 1,
        "Rows": rows,
        "Columns": columns,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": bits - 1,
        "PixelRepresentation": int(array.dtype.kind == "i"),
        "PixelSpacing": [0.5, 0.5],
        "PixelData": array.tobytes(),
    }
    if colour:
        about["PlanarConfiguration"] = 0
    if array.ndim - colour == 3:
        about |= {"NumberOfFrames": len(array), "SOPClassUID": MULTI}
    for name, value in (about | more).items():
        setattr(dataset, name, value)
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    return dataset


def written(dataset: Any, syntax: str = EXPLICIT, raw: bytes | None = None) -> bytes:
    import pydicom
    from pydicom.encaps import encapsulate

    if raw is not None:
        dataset.PixelData = encapsulate([raw])
        dataset["PixelData"].VR = "OB"
    elif syntax == BIG:
        array = np.frombuffer(dataset.PixelData, f"<u{dataset.BitsAllocated // 8}")
        dataset.PixelData = array.byteswap().tobytes()
    elif syntax == RLE:
        dataset.compress(RLE, generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = syntax
    out = io.BytesIO()
    implicit, little = syntax == IMPLICIT, syntax != BIG
    pydicom.dcmwrite(
        out, dataset, implicit_vr=implicit, little_endian=little, enforce_file_format=True
    )
    return out.getvalue()


def dicom() -> Iterator[Seed]:
    window = {"WindowCenter": 2000, "WindowWidth": 4000}
    signed = {"RescaleSlope": "1.5", "RescaleIntercept": "-1024", "BitsStored": 12, "HighBit": 11}
    grey = picture("i2")
    for name, syntax in (
        ("explicit", EXPLICIT),
        ("implicit", IMPLICIT),
        ("big", BIG),
        ("deflated", DEFLATED),
    ):
        yield Seed("DICOM", name, written(dataset_of(grey, **window, **signed), syntax))
    yield Seed("DICOM", "RLE", written(dataset_of(picture("u2")), RLE))
    colour = np.stack([picture()] * 3, -1)
    yield Seed("DICOM", "RLE colour", written(dataset_of(colour), RLE))
    yield Seed("DICOM", "colour", written(dataset_of(colour)))
    yield Seed("DICOM", "frames", written(dataset_of(np.stack([picture()] * 3))))
    yield Seed("DICOM", "RLE frames", written(dataset_of(np.stack([picture("u2")] * 3)), RLE))
    baseline = encoded(picture(), "JPEG")
    yield Seed("DICOM", "JPEG", written(dataset_of(picture()), JPEG, baseline))
    wavelets = encoded(picture("u2"), "JPEG2000", no_jp2=True)
    yield Seed("DICOM", "JPEG 2000", written(dataset_of(picture("u2")), JPEG_2000, wavelets))
    yield Seed(
        "DICOM", "MONOCHROME1", written(dataset_of(grey, PhotometricInterpretation="MONOCHROME1"))
    )
    palette = {
        f"{c}PaletteColorLookupTable{part}": value
        for c in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, 8]), ("Data", bytes(range(256))))
    }
    yield Seed(
        "DICOM",
        "palette",
        written(dataset_of(picture(), PhotometricInterpretation="PALETTE COLOR", **palette)),
    )


def real(folder: Path) -> Iterator[Seed]:
    """The real DICOM and NIfTI files, with what their own headers say of a patient."""
    import pydicom

    for file in sorted((folder / "reader_tests").rglob("*")):
        if not file.is_file() or file.suffix not in (".dcm", ".nii", ".gz"):
            continue
        if file.stat().st_size > LARGEST:
            continue
        data, identity = file.read_bytes(), ()
        if file.suffix == ".dcm":
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                about = pydicom.dcmread(io.BytesIO(data), force=True, stop_before_pixels=True)
                named = (
                    str(about.get(k) or "")
                    for k in ("PatientName", "PatientID", "PatientBirthDate")
                )
                identity = tuple(text for text in named if len(text) > 5)
        kind = "real DICOM" if file.suffix == ".dcm" else "real NIfTI"
        yield Seed(kind, file.name, data, identity=identity)
