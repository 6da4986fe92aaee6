"""Folders of DICOM files as a hospital exports them, small, for several test files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

NAME, BORN = "Mustermann^Erika", "19640812"
"""Of every patient; nothing that is written may hold them."""


def image_file(path: Path, seed: int = 0, pixels: NDArray[Any] | None = None, **tags: Any) -> Path:
    """A radiograph of 16 x 20 pixels with everything in its header that tells who it is."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = tags.get("SOPInstanceUID", generate_uid())
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    if pixels is None:
        pixels = np.random.default_rng(seed).integers(0, 4096, (16, 20), np.uint16)
    frames = 1 if pixels.ndim == 2 else len(pixels)
    usual = {
        "SOPClassUID": meta.MediaStorageSOPClassUID,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "PatientName": NAME,
        "PatientBirthDate": BORN,
        "PatientID": f"PID{seed:05d}",
        "StudyInstanceUID": f"1.2.826.{seed}",
        "SeriesInstanceUID": f"1.2.826.{seed}.1",
        "AccessionNumber": f"{seed:08d}",
        "Modality": "CR",
        "PixelSpacing": [0.5, 0.5],
        "InstanceNumber": 1,
        "Rows": pixels.shape[-2],
        "Columns": pixels.shape[-1],
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelRepresentation": 0,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelData": pixels.astype(np.uint16).tobytes(),
    }
    if frames > 1:
        usual["NumberOfFrames"] = frames
    for keyword, value in (usual | tags).items():
        if value is not None:
            setattr(dataset, keyword, value)
    path.parent.mkdir(parents=True, exist_ok=True)
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def slice_file(path: Path, patient: int, series: int, at_mm: float, **tags: Any) -> Path:
    """An axial slice at a place along the body."""
    rng = np.random.default_rng([patient, series, int(at_mm * 10) + 10000])
    usual = {
        "Modality": "CT",
        "SeriesInstanceUID": f"1.2.826.{patient}.{series}",
        "SOPInstanceUID": f"1.2.826.{patient}.{series}.{int(at_mm * 10) + 10000}",
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "ImagePositionPatient": [0, 0, at_mm],
    }
    pixels = rng.integers(0, 4096, (16, 20))
    return image_file(path, patient, pixels, **usual | tags)


def item(**tags: Any) -> Dataset:
    """An item of a sequence."""
    dataset = Dataset()
    for keyword, value in tags.items():
        setattr(dataset, keyword, value)
    return dataset
