"""Columns: what the header of a manifest means, and names in it that are nearly one of ours.

A column that is not read is no mistake: tables have many. But one that was *meant* to be read, and
is not, moves test cases into training (``Split``) or takes every image for a patient of its own
(``PatientID``), without a word. So a name that is nearly ours is an error that says both.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from midclass.errors import InputError
from midclass.images.row import Row

SPLIT = "split"
SERIES = "series_id"
KNOWN = (*Row.model_fields, SPLIT)
EXACT = ("view_position", "study_id")
"""Columns that are read by this very name alone: what is nearly called so is often something else,
and without them no more is lost than a comparison."""
REMARKS = ("accession_id", "modality", "body_part")
"""Columns that ``midclass manifest`` writes for people: nothing is read from them, nor missed."""
OTHER_NAMES = {
    "path": "file filename filepath filelocation image images imagefile imagefilename imagename "
    "imagepath imagefilepath img imgpath imgfile dicom dicompath dcm dcmpath uri url relativepath",
    "label": "target class classid classlabel truth groundtruth gt outcome diagnosis abnormal "
    "ispositive positive y_true ytrue",
    "patient_id": "patient patientnumber patientno patientname subject subjectid subjectno "
    "participant participantid person personid pid mrn studysubject",
    "split": "set subset dataset datasplit part partition traintest phase usage",
    "spacing_mm": "spacing pixelspacing pixelspacingmm imagerpixelspacing pixelsize pixelsizemm "
    "resolution resolutionmm mmperpixel mmperpx spacinginmm",
    "class_name": "classname labelname category",
    "laterality": "side imagelaterality leftright breastside eye lr",
    "x": "xcenter xcentre centerx centrex cx centroidx xcoordinate xpos",
    "y": "ycenter ycentre centery centrey cy centroidy ycoordinate ypos",
    "radius": "radiuspx radiuspixels lesionradius",
    "index": "idx arrayindex rowindex",
    "array": "arrayname npzarray",
    "frame": "frameno framenumber frameindex",
    "mask": "maskfile maskfilename",
    "slice": "sliceno slicenumber sliceindex slicelocation instancenumber",
    "case_id": "caseid caseno casenumber",
}
"""Column -> other names that people give it, without case and separators."""
NEARLY, LONG = 0.8, 4
"""How alike two names are that differ by a slip, and how long they are at least."""
TRAIN, TEST = ("train", "training", "trn"), ("test", "testing", "tst")
PARTS = (*TRAIN, *TEST, *["val", "valid", "validation", "dev", "development"])
"""What stands in a column that divides cases, without case and separators."""


def plain(name: str) -> str:
    """A name without case and without anything but letters and digits.

    >>> plain("Patient-ID "), plain("\\ufefflabel")
    ('patientid', 'label')
    """
    return "".join(letter for letter in name.casefold() if letter.isalnum())


_OURS = {plain(one): one for one in KNOWN if one not in EXACT}
NEARLY_SERIES = 0.87
"""No split hangs on a series, and tables had a column ``series`` before any was read."""
_OTHERS = {plain(one): ours for ours, names in OTHER_NAMES.items() for one in names.split()}


def meant(column: str, columns: Sequence[str], asked: Sequence[str] = ()) -> str | None:
    """Which of ours a column was meant to be; None where it is ours, or something else.

    What differs in case and separators alone is always meant. Another name for a column of ours,
    or one with a slip in it, is meant where that column is not there.

    >>> meant("Split", ["path"]), meant("target", ["path"]), meant("lable", ["path"])
    ('split', 'label', 'label')
    >>> meant("target", ["path", "label"]), meant("age", ["path"])
    (None, None)
    """
    if column in (*KNOWN, *REMARKS, *asked) or not (name := plain(column)):
        return None
    if name in _OURS:
        return _OURS[name]
    close = difflib.get_close_matches(name, _OURS, 1, NEARLY) if len(name) >= LONG else []
    if close and _OURS[close[0]] == SERIES:
        close = difflib.get_close_matches(name, close, 1, NEARLY_SERIES)
    ours = _OTHERS.get(name) or (_OURS[close[0]] if close and len(close[0]) >= LONG else None)
    there = ours in columns or (ours == SPLIT and bool(asked))
    return None if there else ours


def refuse_near_misses(file: Path, columns: Sequence[str], asked: Sequence[str]) -> None:
    """Raise InputError that names a column and the one of ours that it nearly is.

    Args:
        file: the manifest, for the message.
        columns: its header.
        asked: columns that the user names himself, such as that of a split.
    """
    for column in columns:
        if ours := meant(column, columns, asked):
            raise InputError(
                f"{file}: column {column!r} is not used, it is nearly {ours!r}; call it {ours} if "
                "it is that, or give it quite another name"
            )


def unused(columns: Sequence[str], asked: Sequence[str] = ()) -> tuple[str, ...]:
    """The columns that nothing is read from."""
    known = {*KNOWN, *REMARKS, *asked}
    return tuple(one for one in columns if one and one not in known)


class Divided:
    """Looks for a column that divides the cases although nobody named it.

    Args:
        columns: those that nothing is read from.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._seen: dict[str, set[str]] = {column: set() for column in columns}

    def look(self, fields: Mapping[str, str]) -> None:
        """At one row; a column with any other word in it is out."""
        for column in list(self._seen):
            value = plain(fields[column])
            if value in PARTS:
                self._seen[column].add(value)
            elif value:
                del self._seen[column]

    def refuse(self, file: Path) -> None:
        """Raise InputError where a column says of some cases train and of some test."""
        for column, values in self._seen.items():
            if values.intersection(TRAIN) and values.intersection(TEST):
                raise InputError(
                    f"{file}: column {column!r} says {' and '.join(sorted(values))}, and no split "
                    "was named, so that all cases would be learned from; name it (--split "
                    f"{column}), call it split, or remove it"
                )


def refuse_part(part: str) -> str:
    """Why a part of a split is written wrong, or "".

    >>> refuse_part("Train"), refuse_part("fold_3")
    ("which is nearly 'train'; write train", '')
    """
    name = plain(part)
    for words in (TRAIN, TEST):
        if name in words and part != words[0]:
            return f"which is nearly {words[0]!r}; write {words[0]}"
    return ""
