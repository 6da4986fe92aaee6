"""DICOM: one file -> values after the modality LUT, the range to display, and spacing.

The steps are those of PS3.3 C.11 and PS3.4 N.2.1: stored values, modality LUT or rescale, VOI LUT
or window, presentation. Each has a file of its own beside this one, named ``dicom_*.py``; pydicom
is imported in these alone. Every attribute that changes pixels or geometry is used whole, or the
file is refused with a word that names it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from midclass.errors import InputError, NoImage
from midclass.images.formats.dicom_attributes import Dataset, word
from midclass.images.formats.dicom_file import failures, open_header, open_image, quiet
from midclass.images.formats.dicom_frames import attributes_of, refuse_other_pipelines
from midclass.images.formats.dicom_geometry import (
    aspect,
    normal_of,
    plane_of,
    spacing_mm,
    volume_spacing_mm,
)
from midclass.images.formats.dicom_grey import grey_pixels
from midclass.images.formats.dicom_layout import Layout, check_memory, frames_of, layout_of
from midclass.images.formats.dicom_pixels import decoded
from midclass.images.formats.dicom_tables import palette_of
from midclass.images.formats.dicom_ultrasound import beside_regions
from midclass.images.formats.raw import Raw, Values, integer_range, pick_frame

PALETTE = "PALETTE COLOR"


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins so is DICOM, with or without the preamble (PS3.10 section 7.1).

    >>> is_dicom(bytes(128) + b"DICM"), is_dicom(b"P5 512 512 255")
    (True, False)
    """
    without_preamble = head[:2] == b"\x02\x00" and head[4:6] in (b"UL", b"OB", b"UI")
    return head[128:132] == b"DICM" or without_preamble


def holds_image(path: Path) -> bool:
    """Whether a DICOM file is an image; False where it says itself that it is something else.

    Only the header is read. A DICOMDIR, a report (SR), a presentation state (PR) and their like
    hold none; an image without its pixels, or damaged, is still one, and reading it says what is
    wrong.
    """
    try:
        open_header(path)
    except NoImage:
        return False
    except InputError:
        return True
    return True


def stored_values(path: Path) -> Values:
    """All frames as stored, decompressed; YBR becomes RGB, palette indices stay indices."""
    dataset = open_image(path)
    with quiet(), failures(path):
        check_memory(path, dataset)
        return decoded(path, dataset, layout_of(dataset), None)


def read_dicom(
    path: Path, *, frame: int | None, window: tuple[float, float] | None, volume: bool
) -> Raw:
    """One frame, or all of them as a volume; see ``read`` for the meaning of the arguments."""
    dataset = open_image(path)
    with quiet(), failures(path):
        frames = frames_of(dataset)
        if volume and frames == 1:
            raise InputError(f"{path}: holds one frame, not a volume")
        index = None if volume else pick_frame(path, frames, frame)
        check_memory(path, dataset, frames if volume else 1)
        layout = layout_of(dataset)
        stored = decoded(path, dataset, layout, index)  # so many frames are there
        about = attributes_of(dataset, frames, index)
        spacing = spacing_mm(about[0])
        ratio = aspect(about[0], spacing)
        steps = volume_spacing_mm(about) if volume else spacing
        plane = "" if volume else plane_of(normal_of(about[0]))
        said = word(dataset, "Modality"), word(dataset, "BodyPartExamined"), plane
        if layout.photometric == PALETTE or layout.samples > 1:
            values, low, high = _colour(dataset, layout, stored, window)
            values = _without_screen(values, about[0], low, colour=True)
            return Raw(values, low, high, True, steps, ratio, *said)
        parts = stored if volume else stored[None]
        values, low, high = grey_pixels(parts, about, layout, window)
        values = _without_screen(values if volume else values[0], about[0], low, colour=False)
        return Raw(values, low, high, False, steps, ratio, *said)


def _without_screen(values: Values, about: Dataset, dark: float, *, colour: bool) -> Values:
    """Dark around the regions of an ultrasound image, where letters and scales are."""
    beside = beside_regions(about)
    if beside is None:
        return values
    fits = values.dtype.kind == "f" or (
        dark == int(dark) and np.iinfo(values.dtype).min <= dark <= np.iinfo(values.dtype).max
    )
    shown = values.copy() if fits else values.astype(np.float64)
    shown[(..., beside, slice(None)) if colour else (..., beside)] = dark
    return shown


def source_of(path: Path) -> tuple[str, str, str, int]:
    """Study, Series and SOP Instance UID ("" where the file does not say), and number of frames."""
    about = open_header(path)
    names = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    with quiet(), failures(path):
        study, series, instance = (str(about.get(name) or "") for name in names)
        return study, series, instance, frames_of(about)


def _colour(
    dataset: Dataset, layout: Layout, stored: Values, window: tuple[float, float] | None
) -> tuple[Values, float, float]:
    refuse_other_pipelines(dataset)
    values, bits = stored, layout.stored
    if layout.photometric == PALETTE:
        little = dataset.file_meta.TransferSyntaxUID.is_little_endian
        tables, bits = palette_of(dataset, little, layout.signed)  # alpha serves fusion only
        values = np.stack([table.of(stored) for table in tables], axis=-1)
    low, high = window or integer_range(bits, signed=False)
    return values, low, high
