"""The segmentation: where heat is above the beginning of its scale (PS3.3 A.51)."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import numpy as np
import pydicom
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.uid import SecondaryCaptureImageStorage

from midclass.evaluation.dicom.assessment import Assessment, concept

SERIES = 9802


def segmentation(assessment: Assessment, warm: NDArray[np.bool_]) -> Any:
    """A binary segmentation on the pixels, and in the frame of reference, of the source.

    Args:
        assessment: of the image.
        warm: ``(rows, columns)`` of the source; somewhere True.
    """
    about = _one_frame(assessment.source, assessment.frame)
    description = SegmentDescription(
        segment_number=1,
        segment_label="Unlike normal cases",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=concept("unlike_normal", "Unlike normal cases"),
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=assessment.algorithm(),
        tracking_uid=assessment.uid("tracking"),
        tracking_id="midclass score",
    )
    said = assessment.equipment("segmentation", SERIES)
    said["sop_instance_uid"] = assessment.uid("segmentation", warm.tobytes())
    made = Segmentation(
        source_images=[about],
        pixel_array=warm.astype(np.uint8),
        segmentation_type="BINARY",
        segment_descriptions=[description],
        content_label="MIDCLASS",
        content_description="Research only: where heat is unusual",
        omit_empty_frames=True,
        **said,
    )
    organization = assessment.uid("dimensions")  # made at random by the library
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization
    if "FrameOfReferenceUID" not in about:
        made.PatientOrientation = about.get("PatientOrientation") or None  # type 2C
    for source in _references(made):
        source.ReferencedSOPClassUID = assessment.source.SOPClassUID
        if assessment.frame is not None:
            source.ReferencedFrameNumber = assessment.frame
    return assessment.dated(made)


GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing")


def _one_frame(about: Any, frame: int | None) -> Any:
    """The header as if the image had this frame alone; its class then lets the library do so.

    Where the file does not say where in the patient the frame lies, the segmentation has no frame
    of reference, and lies on the image alone (PS3.3 C.8.20.2, Derivation Image).
    """
    one = pydicom.Dataset()
    one.update({e.tag: deepcopy(e) for e in about if e.keyword not in GROUPS})
    for name, number in zip(GROUPS, (0, (frame or 1) - 1), strict=True):
        for group in list(about.get(name) or ())[number : number + 1]:
            for macro in (e for e in group if e.VR == "SQ"):
                for item in macro.value[:1]:
                    one.update({e.tag: e for e in item if e.keyword in (*GEOMETRY, *THICKNESS)})
    known = all(one.get(name) for name in GEOMETRY)
    if not known or (frame is not None and GROUPS[1] not in about):
        for name in ("FrameOfReferenceUID", *GEOMETRY):
            one.pop(name, None)
    if "SliceThickness" not in one:
        one.SliceThickness = None  # the library takes it for granted
    if "NumberOfFrames" in one or "FrameOfReferenceUID" not in one:
        one.SOPClassUID = SecondaryCaptureImageStorage
    one.pop("NumberOfFrames", None)
    return one


THICKNESS = ("SliceThickness", "SpacingBetweenSlices")
GROUPS = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")


def _references(made: Any) -> Iterator[Any]:
    """The items that refer to the source."""
    for series in made.get("ReferencedSeriesSequence") or ():
        yield from series.ReferencedInstanceSequence
    for frame in made.PerFrameFunctionalGroupsSequence:
        for derived in frame.get("DerivationImageSequence") or ():
            yield from derived.SourceImageSequence
