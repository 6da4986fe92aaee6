"""DICOM out: what a detector says of a DICOM image, as objects in the image's study."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from midclass.detectors.base import Detector
from midclass.detectors.on_source import refuse_changed
from midclass.detectors.saved import known_id
from midclass.errors import InputError
from midclass.evaluation.conformal import aim
from midclass.evaluation.table import ScoreTable
from midclass.files import NewFile
from midclass.images.case import Case
from midclass.images.formats.dicom_file import open_header
from midclass.images.formats.read import file_format
from midclass.images.prepared import Prepared

Made = TypeVar("Made")


class DicomOut:
    """Writes, for each DICOM image, a report, a segmentation and a secondary capture.

    A segmentation is written only where heat is above the beginning of its scale anywhere.

    Args:
        detector: fitted.
        made: date and time that the objects bear.

    Raises:
        InputError: highdicom is not installed.
    """

    def __init__(self, detector: Detector, made: datetime.datetime) -> None:
        try:
            import highdicom  # noqa: F401  # or it would be missed only after the work
        except ImportError as error:
            raise InputError(
                "writing DICOM needs highdicom: pip install 'midclass[seg]', or leave out --dicom"
            ) from error
        self.detector, self.made = detector, made
        self.id = known_id(detector)
        self.written = 0
        self.others = 0
        self.failed: list[tuple[Case, str]] = []

    def write(
        self,
        new: NewFile,
        name: str,
        prepared: Prepared,
        row: int,
        table: ScoreTable,
        heat: NDArray[Any] | None,
        picture: NDArray[np.uint8] | None,
    ) -> None:
        """The objects of one sample; what cannot be written is noted in ``failed``.

        Args:
            new: makes a file of a name.
            name: with which theirs begin.
            prepared: the samples.
            row: which of them.
            table: of all cases of ``prepared``.
            heat: of the sample; None where there is none.
            picture: for the secondary capture, ``(rows, columns, 3)``; None for none.
        """
        number = int(prepared.case_index[row])
        case = prepared.cases.cases[number]
        if not is_dicom_file(case):
            self.others += 1
            return
        try:
            refuse_changed(prepared, row)
            makers = self._makers(prepared, row, table, heat, picture)
        except InputError as error:
            self.failed.append((case, str(error)))
            return
        failed = list[str]()
        for kind, make in makers.items():
            try:
                made = _unless_it_fails(make)
            except InputError as error:
                failed.append(f"{kind}: {error}")
            else:
                with new(f"{name}_{kind}.dcm") as file:
                    made.save_as(file, enforce_file_format=True)
        if failed:
            self.failed.append((case, "; ".join(failed)))
        self.written += len(failed) < len(makers)

    def _makers(
        self,
        prepared: Prepared,
        row: int,
        table: ScoreTable,
        heat: NDArray[Any] | None,
        picture: NDArray[np.uint8] | None,
    ) -> dict[str, Callable[[], Any]]:
        """What makes each object, by its kind."""
        from midclass.evaluation.dicom.assessment import Assessment, header_of
        from midclass.evaluation.dicom.capture import capture
        from midclass.evaluation.dicom.report import report
        from midclass.evaluation.dicom.segmentation import segmentation

        number, detector = int(prepared.case_index[row]), self.detector
        case, placement = prepared.cases.cases[number], prepared.placement(row)
        warm = None if heat is None else detector.heat_(heat) > 0

        def assessed() -> Assessment:
            source = header_of(open_header(case.path))
            several = int(source.get("NumberOfFrames") or 1) > 1
            return Assessment(
                source,
                detector=self.id,
                recipe=detector.recipe.name,
                threshold=detector.threshold_,
                max_fpr=detector.max_fpr_,
                aimed=aim(detector.promise()) != "promised",
                made=self.made,
                score=float(table.score[number]),
                p_value=float(table.extra["p_value"][number]),
                flagged=bool(table.flagged[number]),
                reason=table.reason[number],
                frame=(case.frame or 0) + 1 if several else None,
            )

        assessment = _unless_it_fails(assessed)
        makers: dict[str, Callable[[], Any]] = {"report": partial(report, assessment)}
        if warm is not None and warm.any():
            makers["segmentation"] = partial(segmentation, assessment, placement.on_source(warm))
        if picture is not None:
            makers["capture"] = partial(capture, assessment, picture)
        return makers


def _unless_it_fails(make: Callable[[], Made]) -> Made:
    """What it makes; an InputError with no words of a library, which may quote the header."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they may quote it, too
            return make()
    except InputError:
        raise
    except Exception as error:
        kind = type(error).__name__
        raise InputError(
            f"its header does not allow an object about it to be written ({kind})"
        ) from error


def is_dicom_file(case: Case) -> bool:
    """Whether the case is of a DICOM file; one that cannot be read is none."""
    try:
        return file_format(case.path) == "DICOM"
    except InputError:
        return False


def refuse_none(cases: Iterable[Case], is_one: Callable[[Case], bool] = is_dicom_file) -> None:
    """Raise InputError where no case is of a DICOM file."""
    if not any(map(is_one, cases)):
        raise InputError(
            "none of the images is DICOM, so there is no study for --dicom to write into; "
            "leave it out, or score DICOM files"
        )
