"""Identity: what makes two images, cases or cohorts the same, by content."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from midclass.errors import InputError
from midclass.images.formats.read import decode
from midclass.images.manifest import Case

if TYPE_CHECKING:
    from midclass.images.cohort import Cohort


FITTED_WITH = "cohort.json"
"""File in a saved detector's folder: hashes of the patients and images it was fitted with."""


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


def by_size(cohort: Cohort) -> dict[int, list[Case]]:
    """Cases by file size, since only files of one size can be equal; npz rows are all at -1."""
    by_size: dict[int, list[Case]] = {}
    for case in cohort.cases:
        size = -1 if case.array is not None else case.path.stat().st_size
        by_size.setdefault(size, []).append(case)
    return by_size


def content_hash(case: Case) -> bytes:
    """Hash of what a case shows: of its file, or of its row of an npz array."""
    if case.array is None:
        return hashlib.blake2b(case.path.read_bytes()).digest()
    values = decode(case.path, array=case.array, index=case.index)
    return hashlib.blake2b(f"{values.dtype} {values.shape}".encode() + values.tobytes()).digest()
