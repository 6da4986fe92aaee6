"""DICOM images of discs as each kind of device writes them, and a detector that knows discs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    UltrasoundMultiFrameImageStorage,
)

from makers import discs, recipe
from midclass import prepare_array
from midclass.detectors.baselines.pca import PCA

MARK = (10, 16)
"""Row and column of the corner of the bright square of 6 pixels, in images of 32."""
TIMES = 4
"""Pixels of a file for one of these."""
KINDS = {
    "CT": CTImageStorage,
    "CR": ComputedRadiographyImageStorage,
    "MG": DigitalMammographyXRayImageStorageForPresentation,
    "US": UltrasoundMultiFrameImageStorage,
    "ECT": EnhancedCTImageStorage,
}
NAME = "Doe^Jane"


def written(path: Path, kind: str, images: np.ndarray, **fields: object) -> Path:
    """A DICOM file of a patient, of one frame, or of several (US without geometry, ECT with)."""
    frames = (np.kron(images, np.ones((TIMES, TIMES))) * 255).astype(np.uint8)
    made = Dataset()
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = KINDS[kind], f"1.2.3.{len(kind)}.{path.stem}"
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    made.PatientName, made.PatientID, made.PatientBirthDate = NAME, "77", "19500102"
    made.PatientSex, made.PatientComments = "F", "not to be copied"
    made.StudyInstanceUID, made.SeriesInstanceUID = "1.2.3.4", "1.2.3.4.5"
    made.StudyDate, made.StudyTime, made.StudyID = "20200102", "101112", "S"
    made.AccessionNumber, made.ReferringPhysicianName = "A1", ""
    made.Modality, made.InstanceNumber = kind[-2:], 7
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.Rows, made.Columns = frames.shape[1:]
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit, made.PixelRepresentation = 7, 0
    made.WindowCenter, made.WindowWidth = 128, 256
    position, direction = [10.0, -20.0, 30.0], [1.0, 0, 0, 0, 1, 0]
    spacing = [1 / TIMES, 1 / TIMES]
    if kind == "CT":
        made.FrameOfReferenceUID, made.SliceThickness = "1.2.3.9", 2
        made.ImagePositionPatient, made.ImageOrientationPatient = position, direction
        made.RescaleSlope, made.RescaleIntercept = 1, 0
    if kind == "ECT":
        made.FrameOfReferenceUID = "1.2.3.9"
        shared, measures, planes = Dataset(), Dataset(), Dataset()
        measures.PixelSpacing, measures.SliceThickness = spacing, 2
        planes.ImageOrientationPatient = direction
        shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [planes]
        made.SharedFunctionalGroupsSequence = [shared]
        groups = []
        for number in range(len(frames)):
            group, place = Dataset(), Dataset()
            place.ImagePositionPatient = [10.0, -20.0, 30.0 + 2 * number]
            group.PlanePositionSequence = [place]
            groups.append(group)
        made.PerFrameFunctionalGroupsSequence = groups
    elif kind in ("CR", "MG"):
        made.ImagerPixelSpacing, made.PatientOrientation = spacing, ["L", "F"]
        made.Laterality = "L"
    else:
        made.PixelSpacing = spacing
    if kind in ("US", "ECT"):
        made.NumberOfFrames = len(frames)
    for name, value in fields.items():
        setattr(made, name, value)
        if value is None:
            delattr(made, name)
    made.PixelData = frames.tobytes()
    made.save_as(path, enforce_file_format=True)
    return path


def knowing_discs(folder: Path, **changes: Any) -> None:
    """Save a detector that was fitted with discs."""
    plain = recipe(budget={"standardise": False}, intensity={"rule": "none"}, **changes)
    PCA(plain).fit(prepare_array(discs(120, 0), plain, 1.0), max_fpr=0.1).save(folder)
