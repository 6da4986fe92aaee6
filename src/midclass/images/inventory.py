"""Inventory: the cases of a folder, each with what its header says of it, and what is left out."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from midclass.errors import InputError, NoImage
from midclass.images.case import Case, without_folder
from midclass.images.folders import case_id_of, files_with_images, without_copies
from midclass.images.formats.contents import state_of
from midclass.images.formats.dicom_header import Header, header_of
from midclass.images.formats.read import file_format
from midclass.images.identity import hash_of_file
from midclass.images.labels import OF_IMAGES, Label, LabelTable, by_folder, label_of
from midclass.images.planes import PLANE, plane_told
from midclass.images.pseudonyms import Pseudonyms
from midclass.images.series import FoundFile, PlacedImage, Whose, placed, telling
from midclass.images.where import Condition

if TYPE_CHECKING:
    from midclass.types import Progress

NO_IMAGE = "no image, by name and content"
NOT_ACQUIRED = {"SEG": "a segmentation", "RTDOSE": "a dose distribution"}
"""Modalities of objects with pixels that are no image of a patient."""


class LeftOut(NamedTuple):
    """A file that is no case, and why; ``failed`` where it should have been one."""

    called: str
    reason: str
    failed: bool = False

    @property
    def kind(self) -> str:
        """The reason without its particulars, to be counted."""
        return self.reason.partition(":")[0]


@dataclass(frozen=True)
class Wish:
    """What a user asks of the cases of a folder.

    Attributes:
        where: conditions that a header must fulfil, all of them.
        labels: ``"folder"``, a table, the label of all, or None.
        given: names of the given class, for folders.
        patients: one of ``series.TOLD_APART``.
    """

    where: tuple[Condition, ...] = ()
    labels: str | int | LabelTable | None = None
    given: frozenset[str] = frozenset()
    patients: str = "header"


@dataclass(frozen=True)
class ListedCase:
    """A case, its file, whose it is, and what else the header says; see ``columns.REMARKS``."""

    case: Case
    called: str
    whose: Whose
    remarks: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Inventory:
    """Of a folder.

    Attributes:
        entries: the cases, patients, studies and series by pseudonyms.
        left_out: what is no case.
        told_apart: by what patients are told apart -> files.
        in_path: how many files have a patient's name or number in their path.
    """

    entries: tuple[ListedCase, ...]
    left_out: tuple[LeftOut, ...]
    told_apart: Counter[str]
    in_path: int = 0

    @property
    def cases(self) -> tuple[Case, ...]:
        """The cases alone."""
        return tuple(entry.case for entry in self.entries)

    def without(self, gone: Mapping[str, LeftOut]) -> Inventory:
        """The same without some cases, by ``case_id``."""
        kept = tuple(one for one in self.entries if one.case.case_id not in gone)
        return replace(self, entries=kept, left_out=(*self.left_out, *gone.values()))

    def changed(self, change: Callable[[Case], Case]) -> Inventory:
        """The same with other cases."""
        entries = tuple(replace(one, case=change(one.case)) for one in self.entries)
        return replace(self, entries=entries)


def inventory(
    folder: Path,
    names: Pseudonyms,
    wish: Wish | None = None,
    *,
    start: str = "",
    progress: Progress | None = None,
) -> Inventory:
    """The cases of a folder; of DICOM files the headers are read, and no pixels.

    Args:
        folder: with all its subfolders.
        names: what patients are called.
        wish: which cases, and how they are labelled.
        start: stands before the name of each file, such as ``"data/"``.
        progress: called with the number of files done, of all, and "".

    Raises:
        InputError: there is no image, or none is left.
    """
    wish = wish or Wish()
    files, passed = files_with_images([folder])
    top = folder.absolute()
    inside = f"{folder}{os.sep}"
    left = [
        LeftOut(f"{start}{_called(one.path, top)}", one.reason.replace(inside, "") or NO_IMAGE)
        for one in passed
    ]
    read = list[FoundFile]()
    asked = tuple(_asked(wish))
    for done, file in enumerate(files, start=1):
        called = _called(file.path, top)
        try:
            header = _header(file, asked, called)
            if reason := _refused(file, header, wish):
                left.append(LeftOut(f"{start}{called}", reason))
            else:
                read.append(file._replace(called=called, header=header))
        except InputError as error:
            failed = not isinstance(error, NoImage)
            left.append(LeftOut(f"{start}{called}", without_folder(file.path, error), failed))
        if progress is not None:
            progress(done, len(files), "")
    read, copies = without_copies(read)
    left += [
        LeftOut(
            f"{start}{copy.called}", f"another copy by its SOPInstanceUID: {start}{kept.called}"
        )
        for copy, kept in copies
    ]
    images = placed(read, telling(wish.patients))
    entries, people = list[ListedCase](), dict[Whose, str]()
    table = wish.labels if isinstance(wish.labels, LabelTable) else None
    keys = [_keys(image, table.key, names, start) if table else () for image in images]
    if table and images:
        table.refuse_strangers({key for some in keys for key in some})
    for image, known_by in zip(images, keys, strict=True):
        label = _label(image, wish, known_by)
        if label.unsure:
            left.append(LeftOut(f"{start}{case_id_of(image)}", label.unsure, failed=True))
        else:
            if image.whose not in people:
                people[image.whose] = _patient(image, folder, names)
            by_name = wish.labels == "folder"
            entries.append(_entry(image, label, people[image.whose], names, start, by_name))
    if not entries:
        reasons = Counter(one.kind for one in left).most_common(3)
        said = "; ".join(f"{reason} ({count})" for reason, count in reasons)
        raise InputError(f"{folder}: no case is left: {said}")
    told = Counter(image.whose[0] for image in {one.file.path: one for one in images}.values())
    in_path = sum(bool(file.header and file.header.in_path) for file in read)
    return Inventory(tuple(entries), tuple(left), told, in_path)


def _called(file: Path, top: Path) -> str:
    name = file.absolute().relative_to(top).as_posix()
    return name.encode("utf-8", "backslashreplace").decode()


def _asked(wish: Wish) -> set[str]:
    keywords = {condition.keyword for condition in wish.where} - {PLANE}
    if isinstance(wish.labels, LabelTable) and wish.labels.key not in OF_IMAGES:
        keywords.add(wish.labels.key)
    return keywords


def _header(file: FoundFile, asked: Sequence[str], called: str) -> Header | None:
    if called != called.strip() or not called.isprintable() or "\\udc" in called:
        raise InputError("its name has signs that a table cannot hold; rename it")
    try:
        state_of(file.path)
        if file_format(file.path) != "DICOM":
            return None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}") from None
    return header_of(file.path, file.images, asked, called)


def _refused(file: FoundFile, header: Header | None, wish: Wish) -> str:
    """Why a file is left out, or ""."""
    about, asked = header or Header(), {condition.keyword for condition in wish.where}
    values = about.asked | ({PLANE: (plane_told(file.path, header),)} if PLANE in asked else {})
    for condition in wish.where:
        if not condition.holds(values):
            return f"not {condition}"
    if about.modality in NOT_ACQUIRED and "Modality" not in asked:
        return f"holds {NOT_ACQUIRED[about.modality]} (Modality {about.modality})"
    return ""


def _keys(image: PlacedImage, key: str, names: Pseudonyms, start: str) -> tuple[str, ...]:
    """By what a table of labels knows an image."""
    called = image.file.called
    if key == "path":
        return called, f"{start}{called}"
    if key == "file":
        return (Path(called).name,)
    if key == "case_id":
        return case_id_of(image), _case_id(image, names, start)
    return image.file.header.asked.get(key, ()) if image.file.header else ()


def _case_id(image: PlacedImage, names: Pseudonyms, start: str) -> str:
    """Its path; a hash where that holds the patient's name: it stands in every score table."""
    if image.file.header is None or not image.file.header.in_path:
        return f"{start}{case_id_of(image)}"
    own = names.image(f"{image.file.header.instance} {image.file.called}")
    return own if image.frame is None else f"{own}#{image.frame}"


def _label(image: PlacedImage, wish: Wish, keys: Sequence[str]) -> Label:
    if isinstance(wish.labels, LabelTable):
        return wish.labels.of(keys)
    if wish.labels == "folder":
        return label_of(by_folder(image.file.called).word, wish.given)
    return Label(wish.labels if isinstance(wish.labels, int) else None)


def _patient(image: PlacedImage, folder: Path, names: Pseudonyms) -> str:
    """What its patient is called; a file without any by what it holds, wherever it lies."""
    by, value = image.whose
    if by == "file":
        held = hash_of_file(image.file.path)
        return names.patient(f"file {state_of(image.file.path).size} {held}")
    if by == "folder":
        return names.patient(f"folder {folder.absolute().name}/{value}")
    return names.patient(value)


def _entry(
    image: PlacedImage, label: Label, patient: str, names: Pseudonyms, start: str, by_name: bool
) -> ListedCase:
    about, called = image.file.header or Header(), image.file.called
    case = Case(
        case_id=_case_id(image, names, start),
        path=image.file.path,
        label=label.label,
        patient_id=patient,
        class_name=label.class_name,
        part=by_folder(called).part if by_name and label.label is not None else "",
        spacing_mm=about.spacing_mm,
        laterality=about.laterality,
        view_position=about.view,
        study_id=names.study(about.study) if about.study else "",
        frame=image.frame,
        slice=image.place,
        series_id=names.series(image.series) if image.series else "",
    )
    remarks = {
        "accession_id": names.accession(about.accession) if about.accession else "",
        "modality": about.modality,
        "body_part": about.body_part,
    }
    return ListedCase(case, f"{start}{case_id_of(image)}", image.whose, remarks)
