"""The structured report: an Imaging Measurement Report (PS3.16 TID 1500) of one image."""

from __future__ import annotations

import math
from typing import Any

from highdicom.sr import (
    AlgorithmIdentification,
    DeviceObserverIdentifyingAttributes,
    EnhancedSR,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from highdicom.sr.coding import CodedConcept
from pydicom.sr.codedict import codes

from midclass.evaluation.dicom.assessment import RESEARCH, Assessment, concept
from midclass.evaluation.dicom.uids import MAKER
from midclass.version import __version__

SERIES = 9801


def report(assessment: Assessment) -> Any:
    """The score, p-value, threshold, promise and flag of an image, or why there are none."""
    about = assessment.source
    observer = ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=assessment.uid("observer"),
            name=MAKER,
            manufacturer_name=MAKER,
            model_name="midclass",
        ),
    )
    algorithm = AlgorithmIdentification(
        name=f"midclass {assessment.recipe}"[:64],
        version=__version__,
        parameters=[
            f"detector sha256 {assessment.detector}",
            f"recipe {assessment.recipe}",
            RESEARCH,
        ],
    )
    frames = None if assessment.frame is None else [assessment.frame]
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(assessment.uid("tracking"), "midclass score"),
        algorithm_id=algorithm,
        measurements=_measurements(assessment),
        qualitative_evaluations=[
            QualitativeEvaluation(
                concept("result", "Result of one-class classification"), _flag(assessment)
            )
        ],
        source_images=[
            SourceImageForMeasurementGroup(about.SOPClassUID, about.SOPInstanceUID, frames)
        ],
    )
    remark = RESEARCH if not assessment.reason else f"{RESEARCH}. Not assessed: {assessment.reason}"
    group[0].ContentSequence.append(
        TextContentItem(codes.DCM.Comment, remark, RelationshipTypeValues.CONTAINS)
    )
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=observer),
        procedure_reported=CodedConcept("363679005", "SCT", "Imaging"),
        imaging_measurements=[group],
    )
    made = EnhancedSR(
        evidence=[about],
        content=content[0],
        is_complete=True,
        **assessment.equipment("report", SERIES),
    )
    return assessment.dated(made)


def _measurements(assessment: Assessment) -> list[Measurement]:
    numbers = {
        "score": ("Score, the higher the more abnormal", assessment.score),
        "p_value": ("p-value among normal cases", assessment.p_value),
        "threshold": ("Threshold of the score", assessment.threshold),
        **_rate(assessment),
    }
    return [
        Measurement(concept(code, meaning), value, codes.UCUM.NoUnits)
        for code, (meaning, value) in numbers.items()
        if math.isfinite(value)
    ]


def _rate(assessment: Assessment) -> dict[str, tuple[str, float]]:
    if assessment.aimed:
        said = "False-alarm rate aimed at by the threshold, an estimate"
        return {"aimed_fpr": (said, assessment.max_fpr)}
    return {"max_fpr": ("Promised false-alarm rate at the threshold", assessment.max_fpr)}


def _flag(assessment: Assessment) -> Any:
    if assessment.reason:
        return concept("not_assessed", "Not assessed")
    if assessment.flagged:
        return concept("flagged", "Flagged: unlike normal cases")
    return concept("not_flagged", "Not flagged")
