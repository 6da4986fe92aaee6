"""The secondary capture: the image with its heat and a caption, for every viewer (PS3.3 A.8)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pydicom
from highdicom.sc import ConversionTypeValues, SCImage
from numpy.typing import NDArray
from pydicom.uid import ExplicitVRLittleEndian

from midclass.evaluation.dicom.assessment import RESEARCH, Assessment

SERIES = 9803


def capture(assessment: Assessment, picture: NDArray[np.uint8]) -> Any:
    """A picture ``(rows, columns, 3)`` in the study of its source."""
    about = assessment.source
    said = assessment.equipment("capture", SERIES)
    said["sop_instance_uid"] = assessment.uid("capture", picture.tobytes())
    made = SCImage.from_ref_dataset(
        about,
        pixel_array=picture,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=("L", "P"),  # asked for by the library; see below
        transfer_syntax_uid=ExplicitVRLittleEndian,
        **said,
    )
    made.ConversionType = ConversionTypeValues.WSD.value
    made.PatientOrientation = about.get("PatientOrientation") or None
    made.Laterality = about.get("Laterality") or None  # both are of type 2C
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.BurnedInAnnotation = about.get("BurnedInAnnotation") or "NO"
    made.DerivationDescription = "Heat map of a one-class detector beside and over the image"
    made.ImageComments = RESEARCH
    item = pydicom.Dataset()
    item.ReferencedSOPClassUID = about.SOPClassUID
    item.ReferencedSOPInstanceUID = about.SOPInstanceUID
    if assessment.frame is not None:
        item.ReferencedFrameNumber = assessment.frame
    made.SourceImageSequence = [item]
    return assessment.dated(made)
