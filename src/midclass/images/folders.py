"""Folders: which cases lie in folders as they are: exported, copied, burnt on a CD."""

from __future__ import annotations

import filecmp
import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from midclass.errors import STOPS, InputError, NoImage
from midclass.files import refuse_no_path
from midclass.images.case import Case, names_of
from midclass.images.formats.contents import state_of
from midclass.images.formats.dicom_header import Header, header_of
from midclass.images.formats.holding import images_in
from midclass.images.formats.read import file_format
from midclass.images.series import FoundFile, PlacedImage, placed

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".nii", ".npz")
OTHER_SUFFIXES = (
    *(".bmp", ".gif", ".webp", ".jp2", ".j2k", ".jls", ".jxl", ".heic", ".heif", ".avif"),
    *(".mha", ".mhd", ".nrrd", ".nhdr", ".mgz", ".mgh", ".hdr", ".svs", ".ndpi", ".czi"),
)
"""Of images that are not read. Beside DICOM files they are mostly those of a CD's viewer."""
NOT_ENTERED = frozenset(("__MACOSX", "$RECYCLE.BIN", "System Volume Information"))
"""Folders of systems, with copies of names but no images."""
EXAMPLES = 3


class PassedFile(NamedTuple):
    """A file without an image to look at, and why; "" where neither name nor content is of one."""

    path: Path
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.path} ({self.reason})" if self.reason else str(self.path)


def cases_of(paths: Iterable[str | Path]) -> tuple[Case, ...]:
    """Unlabelled cases of files and folders; see ``Cohort.from_files``."""
    given = [Path(path) for path in paths]
    files, passed = files_with_images(given)
    unread = [(one.path, 1) for one in passed if _is_unread(one)]
    if unread and not any(_is_dicom(file.path) for file in files):
        files += _named(given, unread, {file.called for file in files})
        passed = [one for one in passed if not _is_unread(one)]
    if passed:
        warnings.warn(_in_words(passed), UserWarning, stacklevel=3)
    files = _with_headers(files)
    if copies := _equal(files):
        said = _named_in_words(list(copies.values()))
        warnings.warn(f"passed over, equal to another file: {said}", UserWarning, stacklevel=3)
    return tuple(_cases([file for file in files if file.called not in copies], {}))


def _equal(files: Sequence[FoundFile]) -> dict[str, PassedFile]:
    """DICOM files that are copies byte for byte: two slices at one place have no neighbours.

    What only says the same of itself may be another image, and has a row of its own.
    """
    return {
        copy.called: PassedFile(copy.path, f"a copy of {kept.path}")
        for copy, kept in without_copies(files)[1]
        if filecmp.cmp(copy.path, kept.path, shallow=False)
    }


def cases_of_files(files: Sequence[FoundFile], names: dict[object, str]) -> tuple[Case, ...]:
    """Unlabelled cases of files that hold images.

    Args:
        files: without their headers.
        names: of patients and series that are known already; gets those of new ones.
    """
    return tuple(_cases(_with_headers(files), names))


def without_copies(
    files: Iterable[FoundFile],
) -> tuple[list[FoundFile], list[tuple[FoundFile, FoundFile]]]:
    """Of files with one SOPInstanceUID the largest: another may be cut off.

    Files that also differ in number or place are no copies: some anonymisers give all one UID.

    Returns:
        The files that are kept, and each copy with the one that is kept in its stead.
    """
    kept, gone = dict[tuple[object, ...], FoundFile](), list[tuple[FoundFile, tuple[object, ...]]]()
    for file in files:
        about, key = file.header, tuple[object, ...]((file.called,))
        if about is not None and about.instance:
            identity = (about.patient, about.study, about.series, about.instance)
            key = (*identity, about.number, about.places)
        known = kept.setdefault(key, file)
        if known is not file:
            larger = state_of(file.path).size > state_of(known.path).size
            copy, kept[key] = (known, file) if larger else (file, known)
            gone.append((copy, key))
    return list(kept.values()), [(copy, kept[key]) for copy, key in gone]


def files_with_images(given: Sequence[Path]) -> tuple[list[FoundFile], list[PassedFile]]:
    """The files that hold images, in the order of their names, and those that hold none.

    Raises:
        InputError: nothing there, no images, or the same file named twice.
    """
    for path in given:
        refuse_no_path(path)
    found, passed = list[tuple[Path, int]](), list[PassedFile]()
    taken = dict[str, tuple[Path, int]]()
    for number, path in enumerate(given):
        inside = path.is_dir()
        for file in _files(path) if inside else (path,):
            real = os.path.realpath(file)
            if real in taken:
                first, its_number = taken[real]
                if its_number != number:
                    raise InputError(
                        f"{file}: was named twice; name a file or its folder, not both"
                    )
                passed.append(PassedFile(file, f"a link to {first}"))
            elif (count := _images(file, inside, passed)) > 0:
                found.append((file, count))
                taken[real] = file, number
    if not found:
        where = ", ".join(map(str, given)) or "no path was given"
        other = f"; {_in_words(passed)}" if passed else ""
        expected = f"expected {' '.join(IMAGE_SUFFIXES)}{other}"
        raise InputError(f"{where}: no image files found; {expected}")
    return list(_named(given, found)), passed


def _in_words(passed: Sequence[PassedFile]) -> str:
    files = "1 file" if len(passed) == 1 else f"{len(passed)} files"
    return f"{files} passed over, without an image to look at: {_named_in_words(passed)}"


def _named_in_words(passed: Sequence[PassedFile]) -> str:
    named = ", ".join(map(str, passed[:EXAMPLES]))
    more = f" and {len(passed) - EXAMPLES} more" if len(passed) > EXAMPLES else ""
    return f"{named}{more}".encode("utf-8", "backslashreplace").decode()


def _images(file: Path, inside: bool, passed: list[PassedFile]) -> int:
    """How many cases a file is, at least 1 where it should hold an image; 0 where it is none."""
    if inside and not _looks_like_image(file):
        other = file.suffix.lower() in OTHER_SUFFIXES
        unread = f"{file.suffix} is not read; save it as PNG or TIFF" if other else ""
        passed.append(PassedFile(file, unread))
        return 0
    try:
        return images_in(file)
    except NoImage as error:
        passed.append(PassedFile(file, str(error).partition("holds no image: ")[2]))
        return 0


def _is_unread(one: PassedFile) -> bool:
    there = one.path.is_file() and not one.path.is_symlink()
    return there and bool(one.reason) and one.path.suffix.lower() in OTHER_SUFFIXES


def _named(
    given: Sequence[Path], found: Sequence[tuple[Path, int]], taken: Iterable[str] = ()
) -> Iterator[FoundFile]:
    """What files are called; ``taken`` are names of others."""
    names = set(taken)
    for called, (file, count) in zip(
        names_of(given, [file for file, _ in found]), found, strict=True
    ):
        # A name that is not UTF-8 could be written nowhere.
        name = called.encode("utf-8", "backslashreplace").decode()
        while name in names:
            name += "'"
        names.add(name)
        yield FoundFile(file, name, count)


def _with_headers(files: Iterable[FoundFile]) -> list[FoundFile]:
    return [file._replace(header=_header(file)) for file in files]


def _header(file: FoundFile) -> Header | None:
    """Of a DICOM file that can be understood; reading any other will say what is wrong."""
    try:
        return header_of(file.path, file.images) if _is_dicom(file.path) else None
    except (OSError, InputError):
        return None


def _is_dicom(file: Path) -> bool:
    try:
        state_of(file)  # a pipe would be waited for
        return file_format(file) == "DICOM"
    except (OSError, InputError):
        return False


def _cases(files: Sequence[FoundFile], first: dict[object, str]) -> Iterator[Case]:
    """A patient, a study and a series are called after their first image."""
    for image in placed(files):
        header = image.file.header or Header()
        for key in (image.whose, image.series, header.study):
            first.setdefault(key, image.file.called)
        yield Case(
            case_id=case_id_of(image),
            path=image.file.path,
            label=None,
            patient_id=first[image.whose],
            laterality=header.laterality,
            view_position=header.view,
            study_id=first[header.study] if header.study else "",
            frame=image.frame,
            slice=image.place,
            series_id=first[image.series] if image.series else "",
        )


def case_id_of(image: PlacedImage) -> str:
    """``FILE``, or ``FILE#FRAME`` of a file with several, as in a manifest."""
    called = image.file.called
    return called if image.frame is None else f"{called}#{image.frame}"


def _files(folder: Path) -> Iterator[Path]:
    """The files of a folder and its subfolders, in order; hidden ones are not there.

    Links to folders are followed, each folder once. What cannot be listed is there as a file that
    cannot be read: else nobody would know what is missing.
    """
    seen, unlisted = set[tuple[int, int]](), list[Path]()

    def note(error: OSError) -> None:
        unlisted.append(Path(error.filename))

    for where, folders, names in os.walk(folder, onerror=note, followlinks=True):
        status = os.stat(where)
        if (status.st_dev, status.st_ino) in seen:
            folders[:] = []
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(n for n in folders if not n.startswith(".") and n not in NOT_ENTERED)
        yield from (Path(where, name) for name in sorted(names) if not name.startswith("."))
    yield from unlisted


def _looks_like_image(file: Path) -> bool:
    if file.name.lower().removesuffix(".gz").endswith(IMAGE_SUFFIXES) or file.is_dir():
        return True
    try:
        state_of(file)  # a pipe would be waited for
        return file_format(file) != "npz"  # any zip file begins like an npz file
    except STOPS:
        raise
    except PermissionError:
        return True
    except BaseException:
        return False
