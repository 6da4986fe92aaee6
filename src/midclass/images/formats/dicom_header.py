"""What the header of a DICOM file says of whose image it is and of what; its pixels are not read.

Attributes are those of PS3.3 C.7.1.1 (patient), C.7.2.1 (study), C.7.3.1 (series), C.7.6.1 (image)
and C.7.6.2 (plane). Names and dates of birth are compared with the path of the file and given to
nobody.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from midclass.images.formats.dicom_attributes import Dataset, Unusable, number, numbers, word
from midclass.images.formats.dicom_file import failures, open_header, quiet
from midclass.images.formats.dicom_frames import attributes_of
from midclass.images.formats.dicom_geometry import normal_of, plane_of, spacing_mm
from midclass.images.formats.limits import check_spacing
from midclass.recipe.parts import MODALITIES

VIEW_POSITIONS = frozenset(
    (
        *("AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "LAO", "RAO", "LPO", "RPO", "LAT"),
        *("LATERAL", "OBLIQUE", "AXIAL", "CC", "MLO", "ML", "LM", "LMO", "FB", "SIO", "ISO", "XCC"),
        *("XCCL", "XCCM", "CCID", "MLOID", "AT", "CV", "RM", "TAN", "SPECIMEN"),
    )
)
"""PS3.3 C.8.1.1.1 and C.8.11.7, PS3.16 CID 4014, and what users write. Other words are not
repeated: in a damaged file they may be a name. The same holds of body parts."""
VIEWS = {
    **dict.fromkeys(("R-10242", "399162004"), "CC"),
    **dict.fromkeys(("R-10226", "399368009"), "MLO"),
}
"""View codes of mammography (PS3.16 CID 4014, in SNOMED RT and CT) -> ViewPosition."""
BODY_PARTS = frozenset(
    (
        *("ABDOMEN", "ABDOMENPELVIS", "ANKLE", "AORTA", "ARM", "BRAIN", "BREAST", "CAROTID"),
        *("CERVIX", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "CLAVICLE", "COCCYX", "COLON"),
        *("CSPINE", "CTSPINE", "ELBOW", "EXTREMITY", "EYE", "FACE", "FEMUR", "FINGER", "FOOT"),
        *("FOREARM", "HAND", "HEAD", "HEADNECK", "HEART", "HIP", "HUMERUS", "JAW", "KIDNEY"),
        *("KNEE", "LEG", "LIVER", "LSPINE", "LUNG", "NECK", "ORBIT", "PANCREAS", "PELVIS"),
        *("PROSTATE", "RETINA", "RIB", "SCALP", "SHOULDER", "SKIN", "SKULL", "SPINE", "SSPINE"),
        *("STERNUM", "THIGH", "THYROID", "TOE", "TSPINE", "UTERUS", "WHOLE BODY", "WHOLEBODY"),
        *("WRIST", "ZYGOMA"),
    )
)
"""Defined terms of PS3.16 annex L, the common ones."""
IDENTITY = ("PatientName", "PatientBirthDate", "PatientID", "OtherPatientIDs")
LEAST, LEAST_ALONE = 4, 3
"""Signs of a name or number that is looked for in parts of a path, and as a whole word there."""


@dataclass(frozen=True)
class Header:
    """What a DICOM file says of itself; "" and None where it does not.

    Attributes:
        patient: PatientID, as it is in the file.
        study: StudyInstanceUID.
        series: SeriesInstanceUID.
        instance: SOPInstanceUID.
        accession: AccessionNumber.
        modality: Modality, one of ``recipe.parts.MODALITIES``.
        body_part: BodyPartExamined, one of ``BODY_PARTS``.
        view: ViewPosition, one of ``VIEW_POSITIONS``, also of the view code.
        laterality: "L", "R" or "".
        spacing_mm: ``(rows, columns)``, where it is the same in all frames.
        number: InstanceNumber.
        places: mm along the normal of the image plane, of each frame; empty where it is not told.
        plane: the normal, to compare with that of other images; likewise.
        lies: in which plane, one of ``recipe.parts.PLANES``; "" where frames differ or none tells.
        in_path: whether the path of the file holds a name, a number or a birth date of the patient.
        asked: further attributes by keyword, each a tuple of texts.
    """

    patient: str = ""
    study: str = ""
    series: str = ""
    instance: str = ""
    accession: str = ""
    modality: str = ""
    body_part: str = ""
    view: str = ""
    laterality: str = ""
    spacing_mm: tuple[float, float] | None = None
    number: float | None = None
    places: tuple[float, ...] = ()
    plane: tuple[float, ...] = ()
    lies: str = ""
    in_path: bool = False
    asked: dict[str, tuple[str, ...]] = field(default_factory=dict)


def header_of(
    path: Path, frames: int = 1, asked: Sequence[str] = (), shown_path: str = ""
) -> Header:
    """The header of a DICOM file.

    Args:
        path: the file.
        frames: how many it holds, see ``holding.images_in``; what it says may be no truth.
        asked: keywords of further attributes.
        shown_path: what will be written of the path, in which a patient's name is looked for.

    Raises:
        NoImage: the file says that it is something else than an image.
        InputError: it is damaged, or its spacing cannot be understood.
    """
    about = open_header(path)
    with quiet(), failures(path):
        each = attributes_of(about, frames, None)
        spacings = {spacing_mm(one) for one in each}
        for spacing in spacings - {None}:
            check_spacing(spacing or ())
        places, plane = _places(each)
        lies = {plane_of(normal_of(one)) for one in each}
        return Header(
            **{name: _text(about, keyword) for name, keyword in _TEXTS.items()},
            modality=_known(about, "Modality", MODALITIES),
            body_part=_known(about, "BodyPartExamined", BODY_PARTS),
            view=_known(about, "ViewPosition", VIEW_POSITIONS) or _view(about),
            laterality=_laterality(about),
            spacing_mm=spacings.pop() if len(spacings) == 1 else None,
            number=_number(about),
            places=places,
            plane=plane,
            lies=lies.pop() if len(lies) == 1 else "",
            in_path=_is_in(about, shown_path),
            asked={keyword: values_of(about, keyword) for keyword in asked},
        )


_TEXTS = {
    "patient": "PatientID",
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "instance": "SOPInstanceUID",
    "accession": "AccessionNumber",
}


def values_of(about: Dataset, keyword: str) -> tuple[str, ...]:
    """The values of an attribute as texts without blanks around them; none where it is absent."""
    found = about.get(keyword)
    if found is None or found == "":
        return ()
    several = isinstance(found, Sequence) and not isinstance(found, str | bytes)  # no PersonName
    values = (str(one).strip(" \0") for one in (found if several else [found]))
    return tuple(value for value in values if value)


def _text(about: Dataset, keyword: str) -> str:
    return next(iter(values_of(about, keyword)), "")


def _known(about: Dataset, keyword: str, words: frozenset[str]) -> str:
    found = word(about, keyword)
    return found if found in words else ""


def _laterality(about: Dataset) -> str:
    for keyword in ("ImageLaterality", "Laterality"):
        if (found := word(about, keyword)) in ("L", "R"):
            return found
    return ""


def _view(about: Dataset) -> str:
    for item in about.get("ViewCodeSequence") or ():
        return VIEWS.get(_text(item, "CodeValue"), "")
    return ""


def _number(about: Dataset) -> float | None:
    try:
        return number(about, "InstanceNumber")
    except Unusable:
        return None


def _places(each: Sequence[Dataset]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of every frame along one normal, and the normal; none where any does not say, or differs."""
    try:
        positions = [numbers(one, "ImagePositionPatient") for one in each]
        directions = {numbers(one, "ImageOrientationPatient") for one in each}
    except Unusable:
        return (), ()
    if len(directions) != 1 or any(len(position) != 3 for position in positions):
        return (), ()
    normal = normal_of(each[0])
    return (tuple(float(np.dot(normal, one)) for one in positions), normal) if normal else ((), ())


def _is_in(about: Dataset, path: str) -> bool:
    """Whether a name, number or date of the patient's stands in a path."""
    folders = [_letters(one) for one in Path(path.casefold()).parts]
    words = set(re.split(r"[\W_]+", path.casefold()))
    told = {
        _letters(part)
        for keyword in IDENTITY
        for value in values_of(about, keyword)
        for part in re.split(r"[\^=, ]+", value.casefold())
    }
    return any(
        (len(one) >= LEAST_ALONE and one in words)
        or (len(one) >= LEAST and any(one in folder for folder in folders))
        for one in told
    )


def _letters(text: str) -> str:
    return "".join(letter for letter in text if letter.isalnum())
