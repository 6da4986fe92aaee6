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

from midclass.evaluation.dicom.finding import MAKER, RESEARCH, Finding, concept
from midclass.version import __version__

SERIES = 9801


def report(finding: Finding) -> Any:
    """The score, p-value, threshold, promise and flag of an image, or why there are none."""
    about = finding.source
    observer = ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=finding.uid("observer"), name=MAKER, manufacturer_name=MAKER, model_name="midclass"
        ),
    )
    algorithm = AlgorithmIdentification(
        name=f"midclass {finding.recipe}"[:64],
        version=__version__,
        parameters=[f"detector sha256 {finding.detector}", f"recipe {finding.recipe}", RESEARCH],
    )
    frames = None if finding.frame is None else [finding.frame]
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(finding.uid("tracking"), "midclass score"),
        algorithm_id=algorithm,
        measurements=_measurements(finding),
        qualitative_evaluations=[
            QualitativeEvaluation(
                concept("result", "Result of one-class classification"), _flag(finding)
            )
        ],
        source_images=[
            SourceImageForMeasurementGroup(about.SOPClassUID, about.SOPInstanceUID, frames)
        ],
    )
    remark = RESEARCH if not finding.reason else f"{RESEARCH}. Not assessed: {finding.reason}"
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
        **finding.equipment("report", SERIES),
    )
    return finding.dated(made)


def _measurements(finding: Finding) -> list[Measurement]:
    numbers = {
        "score": ("Score, the higher the more abnormal", finding.score),
        "p_value": ("p-value among normal cases", finding.p_value),
        "threshold": ("Threshold of the score", finding.threshold),
        "max_fpr": ("Promised false-alarm rate at the threshold", finding.max_fpr),
    }
    return [
        Measurement(concept(code, meaning), value, codes.UCUM.NoUnits)
        for code, (meaning, value) in numbers.items()
        if math.isfinite(value)
    ]


def _flag(finding: Finding) -> Any:
    if finding.reason:
        return concept("not_assessed", "Not assessed")
    if finding.flagged:
        return concept("flagged", "Flagged: unlike normal cases")
    return concept("not_flagged", "Not flagged")
