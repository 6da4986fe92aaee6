"""Evaluation: a detector's scores of a cohort as a table, and everything that follows from it."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.images.cohort import Case, Cohort
from midclass.images.read import decode
from midclass.results import UNKNOWN, ScoreTable, summary

if TYPE_CHECKING:
    from midclass.detectors.base import Detector
    from midclass.images.prepare import Prepared

FITTED_WITH = "cohort.json"
"""File in a saved detector's folder: hashes of the patients and images it was fitted with."""


def score_table(
    detector: Detector, prepared: Prepared, slices: NDArray[np.float64] | None = None
) -> ScoreTable:
    """Score every case of ``prepared``.

    Args:
        detector: fitted.
        prepared: n cases, of known class or not.
        slices: ``(n,)``, the place of each case in its patient, where cases are slices.

    Returns:
        The table, with the extra columns ``p_value``, ``flagged``, ``assumed_spacing`` (0 or 1)
        and, where given, ``slice``.
    """
    cases = prepared.cases
    scores = detector.score_samples(prepared)
    assumed = np.zeros(len(cases), np.int64)
    assumed[prepared.case_index[prepared.store.assumed[prepared.rows]]] = 1
    extra = {
        "p_value": detector.p_values(scores),
        "flagged": (scores > detector.threshold_).astype(np.int64),
        "assumed_spacing": assumed,
    }
    if slices is not None:
        extra["slice"] = slices
    return ScoreTable.of(
        [case.case_id for case in cases],
        [case.patient_id for case in cases],
        [UNKNOWN if case.label is None else case.label for case in cases],
        scores,
        threshold=detector.threshold_,
        class_name=[case.class_name for case in cases],
        extra=extra,
    )


def report(table: ScoreTable, max_fpr: float) -> dict[str, Any]:
    """All figures of a score table, ready for JSON.

    Those of ``results.summary``, and ``not_assessed`` (cases scored -inf, by class) and
    ``assumed_spacing`` (cases whose spacing came from the recipe). Scores are smoothed along the
    column ``slice``, where there is one, before they are put together by patient.

    >>> table = ScoreTable.of([*"abcd"], [*"pqrs"], [0, 0, 1, 1], [1, 2, 3, -np.inf], threshold=2.5)
    >>> figures = report(table, max_fpr=0.05)
    >>> figures["auroc"]["value"], figures["not_assessed"]
    (0.5, {'given': 0, 'target': 1})
    """
    missing = np.isneginf(table.score)
    counts = {
        name: int(np.sum(missing & (table.label == label)))
        for label, name in enumerate(("given", "target"))
    }
    assumed = table.extra.get("assumed_spacing", np.zeros(len(table)))
    return summary(table, max_fpr, order=table.extra.get("slice")) | {
        "not_assessed": counts,
        "assumed_spacing": int(np.sum(assumed)),
    }


def slice_numbers(manifest: Path, cohort: Cohort) -> NDArray[np.float64] | None:
    """The column ``slice`` of the manifest for each case ``(n,)``.

    None where the manifest has no such column, or not a number for every case: then nothing says
    which images of a patient are neighbours.
    """
    with manifest.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader)]
        if "slice" not in header:
            return None
        of_line, line = {}, reader.line_num + 1
        for fields in reader:
            of_line[line] = fields[header.index("slice")] if any(fields) else ""
            line = reader.line_num + 1
    try:
        numbers = np.array([float(of_line[case.row]) for case in cohort])
    except ValueError:
        return None
    return numbers if np.isfinite(numbers).all() else None


def examples(table: ScoreTable, n: int = 4) -> dict[str, NDArray[np.int64]]:
    """Rows worth looking at: hits, misses and false alarms, at most n each, the clearest first.

    >>> table = ScoreTable.of([*"abcd"], [*"pqrs"], [0, 0, 1, 1], [1, 3, 4, 2], threshold=2.5)
    >>> {name: rows.tolist() for name, rows in examples(table).items()}
    {'hits': [2], 'misses': [3], 'false alarms': [1]}
    """
    assessed = np.isfinite(table.score)
    target, given, flagged = table.label == 1, table.label == 0, table.flagged
    order = np.argsort(-table.score, kind="stable")

    def first(wanted: NDArray[np.bool_], order: NDArray[np.int64]) -> NDArray[np.int64]:
        return order[(wanted & assessed)[order]][:n]

    return {
        "hits": first(target & flagged, order),
        "misses": first(target & ~flagged, order[::-1]),
        "false alarms": first(given & flagged, order),
    }


def fitted_with(*cohorts: Cohort) -> str:
    """What ``refuse_seen`` needs to know of the cases of a fit, as JSON without any name."""
    patients = {_short_hash(case.patient_id.encode()) for cohort in cohorts for case in cohort}
    contents = {content for cohort in cohorts for content in _contents(cohort).values()}
    return json.dumps({"patients": sorted(patients), "contents": sorted(contents)}, indent=1)


def refuse_seen(detector: Path, cohort: Cohort) -> None:
    """Refuse to evaluate on a patient or an image that the detector was fitted with.

    Raises:
        InputError: names the first such case; or the detector's folder does not say what it was
            fitted with.
    """
    file = detector / FITTED_WITH
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        patients, contents = set(known["patients"]), set(known["contents"])
    except FileNotFoundError:
        raise InputError(
            f"{file}: is missing, so that nothing says which patients the detector has seen; "
            "fit it with `midclass fit`"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: is damaged ({error}); fit the detector again") from error
    for case in cohort:
        if _short_hash(case.patient_id.encode()) in patients:
            raise InputError(
                f"{cohort.name}: patient {case.patient_id} ({case.case_id}) was used to fit "
                f"{detector}; evaluate on patients it has not seen"
            )
    for case_id, content in _contents(cohort).items():
        if content in contents:
            raise InputError(
                f"{cohort.name}: the image of {case_id} was used to fit {detector}, under another "
                "name; remove it from one of the two"
            )


def _contents(cohort: Cohort) -> dict[str, str]:
    """Hash of what each case shows: of its file, or of its row of an npz array."""
    of_source: dict[tuple[Path, str | None, int | None], str] = {}
    hashes = {}
    for case in cohort:
        source = (case.path, case.array, case.index if case.array else None)
        if source not in of_source:
            of_source[source] = _short_hash(_content(case))
        hashes[case.case_id] = of_source[source]
    return hashes


def _content(case: Case) -> bytes:
    if case.array is None:
        return case.path.read_bytes()
    values = decode(case.path, array=case.array, index=case.index)
    return f"{values.dtype} {values.shape}".encode() + values.tobytes()


def _short_hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
