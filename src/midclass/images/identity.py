"""Identity: what makes two images, cases or cohorts the same: what they show, by one hash."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from midclass.errors import STOPS, InputError
from midclass.images.case import Case
from midclass.images.formats.contents import State, contents, state_of
from midclass.images.formats.read import decode

if TYPE_CHECKING:
    from midclass.images.cohort import Cohort
    from midclass.images.fingerprint import Fingerprint

FITTED_WITH = "cohort.json"
"""File in a saved detector's folder: hashes of the patients and images it was fitted with."""
SHORT = 16
"""Digits of a hash in that file; two of a million images share them once in ten million fits."""


def hash_of_file(path: Path) -> str:
    """The hash of a file's bytes, in 64 hexadecimal digits; that of the last files is at hand."""
    return _hash(path, state_of(path))


@lru_cache(maxsize=8)
def _hash(path: Path, state: State) -> str:
    return sha256(contents(path)).hexdigest()


def content_of(case: Case) -> str:
    """The hash of what a case shows: of its file, or of its row of an npz array.

    Raises:
        InputError: the row does not exist.
        OSError: the file cannot be opened.
    """
    if case.array is None:
        return hash_of_file(case.path)
    values = decode(case.path, array=case.array, index=case.index)
    return sha256(f"{values.dtype} {values.shape}".encode() + values.tobytes()).hexdigest()


def content_if_readable(case: Case) -> str:
    """The same, but "" where the image cannot be read; reading its pixels says why."""
    try:
        return content_of(case)
    except STOPS:
        raise
    except BaseException:  # a decoder raises what it likes
        return ""


def mask_content(case: Case) -> str:
    """The hash of the bytes of its mask; "" where it has none, or none that can be opened."""
    try:
        return hash_of_file(case.mask) if case.mask is not None else ""
    except (OSError, InputError):
        return ""


def fitted_with(
    cases: Iterable[Case], shown: Iterable[str], prints: Iterable[Fingerprint] = ()
) -> str:
    """What ``refuse_seen`` and ``copies_of_fitted`` need to know of a fit, as JSON without names.

    Args:
        cases: of the fit.
        shown: ``content_of`` each image, in any order.
        prints: of the images, in any order.
    """
    readable = [one for one in prints if one.pixels]
    known = {
        "patients": {_of_patient(case) for case in cases},
        "contents": {content[:SHORT] for content in shown},
        "pixels": {one.pixels[:SHORT] for one in readable},
        "perceptual": {one.perceptual.hex() for one in readable if one.perceptual},
    }
    return json.dumps({name: sorted(values) for name, values in known.items()}, indent=1)


def refuse_seen(detector: Path, cohort: Cohort, shown: Sequence[str] = ()) -> None:
    """Refuse to evaluate on a patient or an image that the detector was fitted with.

    Args:
        detector: its folder.
        cohort: the cases.
        shown: ``content_of`` each of them; without, patients alone are compared.

    Raises:
        InputError: names the first such case; or the detector's folder does not say what it was
            fitted with.
    """
    file = detector / FITTED_WITH
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        patients, seen = set(known["patients"]), set(known["contents"])
    except FileNotFoundError:
        raise InputError(
            f"{file}: is missing, so that nothing says which patients the detector has seen; "
            "fit it with `midclass fit`"
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file}: is damaged ({error}); fit the detector again") from error
    for case in cohort:
        if _of_patient(case) in patients:
            raise InputError(
                f"{cohort.name}: patient {case.patient_id} ({case.case_id}) was used to fit "
                f"{detector}; evaluate on patients it has not seen"
            )
    for case, content in zip(cohort, shown, strict=True) if shown else ():
        if content[:SHORT] in seen:
            raise InputError(
                f"{cohort.name}: the image of {case.case_id} was used to fit {detector}, under "
                "another name; remove it from one of the two"
            )


def seen_by(detector: Path, shown: Iterable[str]) -> int:
    """How many images a detector was fitted with: their p-values are not those of new ones.

    Args:
        detector: its folder; of one that does not say what it was fitted with, none are known.
        shown: ``content_of`` each image.
    """
    try:
        seen = set(json.loads((detector / FITTED_WITH).read_text(encoding="utf-8"))["contents"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return sum(content[:SHORT] in seen for content in shown)


def same_image(one: Iterable[Case], other: Iterable[Case]) -> tuple[Case, Case] | None:
    """The first case of each that show the same, byte for byte; None where no two do."""
    mine, theirs = _by_size(one), _by_size(other)
    for size in sorted(mine.keys() & theirs.keys()):
        known = {content_of(case): case for case in reversed(mine[size])}
        for case in theirs[size]:
            if same := known.get(content_of(case)):
                return same, case
    return None


def _by_size(cases: Iterable[Case]) -> dict[int, list[Case]]:
    """Cases by file size, since only files of one size can be equal; npz rows are all at -1."""
    by_size: dict[int, list[Case]] = {}
    for case in cases:
        size = -1 if case.array is not None else case.path.stat().st_size
        by_size.setdefault(size, []).append(case)
    return by_size


def _of_patient(case: Case) -> str:
    return sha256(case.patient_id.encode("utf-8", "backslashreplace")).hexdigest()[:SHORT]
