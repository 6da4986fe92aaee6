"""Scorer: a saved detector that scores files as ``midclass score`` does, and keeps nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from midclass.detectors.cohort_scores import score_table
from midclass.detectors.saved import known_id
from midclass.detectors.site import promise
from midclass.detectors.storage import load_detector
from midclass.errors import InputError
from midclass.evaluation.patients import patient_table
from midclass.evaluation.table import ScoreTable
from midclass.images.case import Case
from midclass.images.cohort import Cohort
from midclass.images.folders import cases_of_files
from midclass.images.formats.holding import images_in
from midclass.images.prepare import prepare_unkept
from midclass.images.rules import Rules
from midclass.images.series import FoundFile
from midclass.version import __version__

USE = "Research only. This is no medical device; no clinical decision may rest on it."
MOST_FRAMES = 2000
"""Of one file; each takes a place in memory until all are scored."""


class Arrived(NamedTuple):
    """A file to score.

    Attributes:
        name: what it is called in answers; it says nothing of where it lies.
        path: where it can be read.
    """

    name: str
    path: Path


@dataclass(frozen=True)
class Scored:
    """What became of a file.

    Attributes:
        table: a row for each of its images that could be read; None where none could.
        failed: why the others could not, by their names.
        no_image: it says itself that it is none, such as a report.
    """

    table: ScoreTable | None
    failed: dict[str, str]
    no_image: bool = False


class Scorer:
    """A detector, ready for one file after another; for one thread at a time.

    Args:
        folder: written by ``Detector.save``.
        trust: files of the user's, and names of packages, that may run.
        max_fpr: false-alarm rate of the flags, in place of that promised by fit.

    Raises:
        InputError: see ``load_detector`` and ``site.promise``.
    """

    def __init__(
        self, folder: Path, trust: Collection[Path] = (), max_fpr: float | None = None
    ) -> None:
        self.detector = load_detector(folder, trust)
        if max_fpr is not None:
            promise(self.detector, max_fpr)
        self.detector_id = known_id(self.detector)
        self._rules = Rules(self.detector.recipe)

    def score(self, files: Sequence[Arrived]) -> list[Scored]:
        """Score some files together; each has the scores that it has alone."""
        found: list[Scored | list[Case]] = [
            _cases_of(number, one) for number, one in enumerate(files)
        ]
        cases = [case for one in found if isinstance(one, list) for case in one]
        if not cases:
            return [one for one in found if isinstance(one, Scored)]
        prepared = prepare_unkept(Cohort(tuple(cases), "files"), self._rules)
        table = score_table(self.detector, prepared) if len(prepared) else None
        failed = {case.case_id: reason for case, reason in prepared.failed}
        return [
            one if isinstance(one, Scored) else _outcome(file, one, table, failed)
            for file, one in zip(files, found, strict=True)
        ]

    def about(self) -> dict[str, Any]:
        """What the detector is, and what it promises."""
        detector, recipe = self.detector, self.detector.recipe
        return {
            "midclass": __version__,
            "use": USE,
            "detector_id": self.detector_id,
            "kind": type(detector).__name__,
            "recipe": recipe.name,
            "given_class": recipe.given_class,
            "target_class": recipe.target_class,
            "accepts": recipe.accepts.model_dump(mode="json"),
            "threshold": detector.threshold_,
            "promise": detector.promise(),
        }

    def answer(self, scored: Scored) -> dict[str, Any]:
        """What is said of a file, as JSON can hold it: its images, and all of them together.

        Raises:
            InputError: no image of it could be read.
        """
        table = scored.table
        if table is None:
            raise InputError(next(iter(scored.failed.values())))
        said = {
            "use": USE,
            "detector_id": self.detector_id,
            "threshold": self.detector.threshold_,
            "promise": self.detector.promise(),
            "cases": [_row(table, row) for row in range(len(table))],
            "failed": scored.failed,
        }
        if len(table) > 1:
            one = np.repeat(table.patient_id[:1], len(table))
            together = patient_table(
                replace(table, patient_id=one, extra={}),
                self.detector.patient_calibration_,
                self.detector.max_fpr_,
            )
            said["together"] = _row(together, 0)
        return said


def _row(table: ScoreTable, row: int) -> dict[str, Any]:
    """A row of a score table; null where nothing is known."""
    score, p_value = float(table.score[row]), float(table.extra["p_value"][row])
    known = bool(table.assessed[row]) and not np.isnan(table.threshold[row])
    said = {
        "case": str(table.case_id[row]),
        "assessed": bool(table.assessed[row]),
        "reason": str(table.reason[row]),
        "score": None if np.isnan(score) else score,
        "p_value": None if np.isnan(p_value) else p_value,
        "flagged": bool(table.flagged[row]) if known else None,
        "review": bool(table.review[row]),
    }
    if "assumed_spacing" in table.extra:
        said["assumed_spacing"] = bool(table.extra["assumed_spacing"][row])
    return said


def _cases_of(number: int, file: Arrived) -> Scored | list[Case]:
    """A case for each frame of a file, named by its place among the files."""
    try:
        count = images_in(file.path)
    except InputError as error:
        return Scored(None, {file.name: _about(file, str(error))}, no_image=True)
    if count > MOST_FRAMES:
        why = f"{file.name}: {count} frames, at most {MOST_FRAMES} are scored at once"
        return Scored(None, {file.name: why})
    told = cases_of_files([FoundFile(file.path, file.name, count)], {})  # as `midclass score`
    return [
        replace(
            case,
            case_id=f"{number}#{case.frame}",
            patient_id=str(number),
            series_id="",
            slice=None if count == 1 else case.slice,
        )
        for case in sorted(told, key=lambda case: case.frame or 0)
    ]


def _outcome(
    file: Arrived, cases: Sequence[Case], table: ScoreTable | None, failed: dict[str, str]
) -> Scored:
    names = {
        case.case_id: file.name if case.frame is None else f"{file.name}#{case.frame}"
        for case in cases
    }
    why = {names[one]: _about(file, failed[one]) for one in names if one in failed}
    rows = [] if table is None else [row for row, one in enumerate(table.case_id) if one in names]
    if table is None or not rows:
        return Scored(None, why)
    own = table.take(np.array(rows))
    called = np.array([names[str(one)] for one in own.case_id])
    return Scored(replace(own, case_id=called, patient_id=np.repeat(file.name, len(rows))), why)


def _about(file: Arrived, message: str) -> str:
    """A reader's line with the file's name in place of where it lies."""
    return message.replace(str(file.path), file.name)
