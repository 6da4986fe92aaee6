"""Assessment: what a detector says of one DICOM image, and what its objects have in common.

UIDs are made of what is written: the same detector that says the same of the same image writes the
same instances, whenever it does.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pydicom
from highdicom import AlgorithmIdentificationSequence
from highdicom.sr.coding import CodedConcept
from pydicom.sr.codedict import codes

from midclass.errors import InputError
from midclass.evaluation.dicom.uids import MAKER, series_uid, uid_of
from midclass.version import __version__

SCHEME = "99MIDCLASS"
RESEARCH = "Research only: not for diagnosis"

PATIENT_AND_STUDY = (
    *("SpecificCharacterSet", "PatientName", "PatientID", "IssuerOfPatientID"),
    *("PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
"""Modules Patient (PS3.3 C.7.1.1) and General Study (C.7.2.1): type 1 and 2, and what tells one
hospital's patient from another's."""
OF_IMAGE = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "InstanceNumber", "Modality"),
    *("Rows", "Columns", "NumberOfFrames", "FrameOfReferenceUID", "PositionReferenceIndicator"),
    *("ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing", "SliceThickness"),
    *(
        "SpacingBetweenSlices",
        "PatientOrientation",
        "Laterality",
        "BurnedInAnnotation",
        "ImageType",
    ),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("DimensionOrganizationSequence", "DimensionIndexSequence"),
)
DATED = (("InstanceCreation", ""), ("Content", ""), ("", "OfSecondaryCapture"))
"""What stands before and after Date and Time in the names of attributes."""
NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")


@dataclass(frozen=True)
class Assessment:
    """What a detector says of one image, or of one frame of it.

    Attributes:
        source: the image's header, as ``header_of`` gives it.
        detector: SHA-256 of the detector's ``detector.json``.
        recipe: its name.
        threshold: a score above it is flagged.
        max_fpr: the false-alarm rate that is promised.
        made: date and time that the objects bear; no UID depends on it.
        score: NaN where the image was not assessed.
        p_value: likewise.
        flagged: that, or left to a person.
        reason: why it was not assessed; "" where it was.
        frame: from 1 on, of an image with several; None of one with one.
        aimed: ``max_fpr`` is no promise but aimed at, see ``conformal.aim``.
    """

    source: Any
    detector: str
    recipe: str
    threshold: float
    max_fpr: float
    made: datetime.datetime
    score: float
    p_value: float
    flagged: bool
    reason: str = ""
    frame: int | None = None
    aimed: bool = False

    def uid(self, kind: str, *more: object) -> str:
        """Of an instance, or of another thing that is of this assessment alone."""
        said = (self.score, self.p_value, self.flagged, self.reason, self.threshold, self.max_fpr)
        return uid_of(kind, self._of_series, self.source.SOPInstanceUID, self.frame, *said, *more)

    def series_uid(self, kind: str) -> str:
        """Of the series in which all are that this detector says of one series."""
        about = self.source
        return series_uid(kind, self.detector, about.StudyInstanceUID, about.SeriesInstanceUID)

    @cached_property
    def _of_series(self) -> tuple[object, ...]:
        about = self.source
        return __version__, self.detector, about.StudyInstanceUID, about.SeriesInstanceUID

    @property
    def number(self) -> int:
        """InstanceNumber, the source's where it has one frame."""
        first = int(self.source.get("InstanceNumber") or 1)
        return max(1, first) if self.frame is None else self.frame

    def equipment(self, kind: str, number: int) -> dict[str, Any]:
        """The arguments that all objects have in common."""
        return {
            "series_instance_uid": self.series_uid(kind),
            "series_number": number,
            "sop_instance_uid": self.uid(kind),
            "instance_number": self.number,
            "manufacturer": MAKER,
            "manufacturer_model_name": f"midclass {self.recipe}"[:64],
            "software_versions": __version__,
            "device_serial_number": self.detector[:16],
            "series_description": f"midclass {kind}. {RESEARCH}",
        }

    def dated(self, made: Any) -> Any:
        """The object with this assessment's date in place of the clock's."""
        for name in DATED:
            if f"{name[0]}Date{name[1]}" in made:
                setattr(made, f"{name[0]}Date{name[1]}", self.made.strftime("%Y%m%d"))
                setattr(made, f"{name[0]}Time{name[1]}", self.made.strftime("%H%M%S"))
        for item in made.get("ContributingEquipmentSequence") or ():
            item.ContributionDateTime = self.made.strftime("%Y%m%d%H%M%S")
        return made

    def algorithm(self) -> AlgorithmIdentificationSequence:
        """Module of the algorithm (PS3.3 10.16)."""
        return AlgorithmIdentificationSequence(
            name=f"midclass {self.recipe}"[:64],
            family=codes.DCM.ArtificialIntelligence,
            version=f"{__version__} detector {self.detector[:16]}",
            source=MAKER,
        )


def concept(value: str, meaning: str) -> CodedConcept:
    """A term of midclass's own (PS3.16 section 8: a private scheme)."""
    return CodedConcept(value, SCHEME, meaning)


def header_of(about: Any) -> Any:
    """Of a DICOM image's header what goes into the objects about it, and what is needed for them.

    A patient's attributes are those that every object of a study must have, and no others. One of
    type 2 that is missing, or has a value which the standard does not know, becomes empty.

    Raises:
        InputError: it lacks a UID, without which nothing can refer to it.
    """
    for name in NEEDED:
        if not about.get(name):
            raise InputError(f"has no {name}, so that nothing can refer to it")
    header = pydicom.Dataset()
    for name in (*PATIENT_AND_STUDY, *OF_IMAGE):
        if name in about:
            header[name] = about[name]
        elif name in PATIENT_AND_STUDY and name not in (
            "SpecificCharacterSet",
            "IssuerOfPatientID",
        ):
            setattr(header, name, "")
    for name, form in _FORMS.items():
        if not re.fullmatch(form, str(header[name].value or "")):
            del header[name]  # the element is the file's, too
            setattr(header, name, "")
    return header


_FORMS = {
    "PatientSex": "[MFO]?",
    "PatientBirthDate": r"(\d{8})?",
    "StudyDate": r"(\d{8})?",
    "StudyTime": r"(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?",
}
