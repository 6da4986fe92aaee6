"""Case: one image and what is known about it, before any of it is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from midclass.errors import InputError

NOBODY = frozenset(
    (
        *("", "None", "nan", "NaN", "-nan", "-NaN", "<NA>", "NaT", "NA", "N/A", "n/a", "#N/A"),
        *("#NA", "NULL", "null"),
    )
)
"""What programs write where nobody knows whose an image is, and pandas takes for missing: it is
then of a patient of its own."""


@dataclass(frozen=True, slots=True)
class Case:
    """One image and what is known about it.

    Attributes:
        case_id: unique in its cohort.
        path: the file.
        label: 0 given class, 1 target class, None unknown.
        patient_id: the unit of splits.
        class_name: a finer name of the class, or "".
        part: the part of the split to which it belongs, such as ``"train"``, or "".
        spacing_mm: ``(rows, cols)`` where the manifest gives it.
        centre: ``(x, y)`` of a region of interest, in pixels of the file, origin top left.
        laterality: ``"L"``, ``"R"`` or "".
        view_position: how a side was imaged, such as MLO or CC of a mammogram (DICOM's
            ViewPosition), or "".
        study_id: of the examination, which a patient may have several of; "" where nothing says.
        array: npz only, the name of the array.
        index: npz: the row of the array; NIfTI: the time point.
        frame: the frame or slice of a file with several.
        mask: a file that says where in the image disease can be, in place of the recipe's anatomy.
        slice: the image's place among those of its patient, and of its series where there is one;
            in any unit; None where the manifest does not say.
        series_id: of the images that were taken in one go, such as the slices of a CT; "" where
            nothing says.
        row: the line of the manifest, the header being line 1; 0 without a manifest.
        radius: of the lesion at the centre, in pixels of the file; None where nothing says.
    """

    case_id: str
    path: Path
    label: int | None
    patient_id: str
    class_name: str = ""
    part: str = ""
    spacing_mm: tuple[float, float] | None = None
    centre: tuple[float, float] | None = None
    laterality: str = ""
    array: str | None = None
    index: int | None = None
    frame: int | None = None
    mask: Path | None = None
    slice: float | None = None
    series_id: str = ""
    row: int = 0
    radius: float | None = None
    view_position: str = ""
    study_id: str = ""

    @property
    def stack(self) -> tuple[str, ...]:
        """The same for the slices of one patient and series; a case without a place has its own."""
        return (self.case_id,) if self.slice is None else (self.patient_id, self.series_id)

    @property
    def both_sides(self) -> tuple[str, ...]:
        """The same for both sides in one view of one study; a case without a side has its own."""
        whole = (self.patient_id, self.study_id, self.view_position)
        return whole if self.laterality else (self.case_id,)


def across_parts(cases: Iterable[Case]) -> Iterator[tuple[Case, Case]]:
    """Cases in another part than the first case of their patient that is in any, each after it."""
    first: dict[str, Case] = {}
    for case in cases:
        known = first.setdefault(case.patient_id, case) if case.part else case
        if known.part != case.part:
            yield known, case


class Folder(str):
    """In place of a case's path: its name is that of the file, relative to this folder."""

    __slots__ = ()


def _path(case: Case) -> Path:
    text = _text.__get__(case)
    return Path(text, case.case_id) if isinstance(text, Folder) else Path(text)


# A Path takes four times the memory of its text, and a cohort may have a million cases.
_text = Case.__dict__["path"]
Case.path = property(  # type: ignore[assignment, misc]
    _path, lambda case, path: _text.__set__(case, os.fspath(path))
)


def without_folder(file: Path, reason: str | Exception) -> str:
    """What is wrong with a file, without where it lies: that may say whose it is.

    >>> without_folder(Path("/home/doe/a.png"), InputError("/home/doe/a.png: is empty"))
    'is empty'
    """
    path = str(InputError(file))
    text = str(reason).removeprefix(f"{path}: ")
    return text.replace(path, str(InputError(file.name)))


def names_of(given: Sequence[Path], files: Sequence[Path]) -> list[str]:
    """What files are called in tables."""
    if not any(path.is_absolute() or ".." in path.parts for path in given):
        return [file.as_posix() for file in files]
    folders = [str((path if path.is_dir() else path.parent).absolute()) for path in given]
    top = Path(os.path.normpath(os.path.commonpath(folders)))
    return [Path(os.path.relpath(file.absolute(), top)).as_posix() for file in files]
