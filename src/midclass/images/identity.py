"""Identity: what makes two images, cases or cohorts the same: what they show, by one hash."""

from __future__ import annotations

import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from hashlib import scrypt, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

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
    cases, shown = list(cases), sorted(set(shown))
    seal = Seal.of(shown, len({case.patient_id for case in cases}))
    return _in_json(seal, _sealed(seal, cases, shown, prints))


def fitted_with_more(
    detector: Path,
    cases: Iterable[Case],
    shown: Iterable[str],
    prints: Iterable[Fingerprint] = (),
) -> str:
    """The same of a detector's fit, and of cases that it was calibrated with after it.

    Raises:
        InputError: what it was fitted with is damaged, or not known.
    """
    known = FittedWith.known(detector)
    more = _sealed(known.seal, list(cases), shown, prints)
    before = {name: set(getattr(known, name)) for name in more}
    return _in_json(known.seal, {name: before[name] | more[name] for name in more})


def _sealed(
    seal: Seal, cases: Iterable[Case], shown: Iterable[str], prints: Iterable[Fingerprint]
) -> dict[str, set[str]]:
    """Images of one value are left out: those of two people are equal."""
    prints = list(prints)
    several = [one for one in prints if one.perceptual]
    of_one_value = {one.content for one in prints} - {one.content for one in several}
    return {
        "patients": {seal.of_patient(one) for one in {case.patient_id for case in cases}},
        "contents": {seal.of_image(content) for content in set(shown) - of_one_value},
        "pixels": {seal.of_image(one.pixels) for one in several},
        "perceptual": {one.perceptual.hex() for one in several},
    }


def _in_json(seal: Seal, known: Mapping[str, set[str]]) -> str:
    plain = {"salt": seal.salt, "cost": seal.cost} if seal.salt else {}
    return json.dumps(plain | {name: sorted(values) for name, values in known.items()}, indent=1)


class Seal(NamedTuple):
    """How names in ``FITTED_WITH`` are hidden.

    Patient ids are short: plain hashes of all of seven digits are compared in seconds. So they go
    through scrypt (RFC 7914) with a salt of this cohort alone, and all of seven digits take hours,
    for each detector anew. That is a price, no secret: who has the file and a list of ids can still
    ask which of them are in it.

    Attributes:
        salt: hexadecimal; follows from what the images show, so that the same fit has the same
            bytes. "" in files of earlier versions, which held plain hashes.
        cost: N of scrypt, a power of 2; 2048 takes some milliseconds.
    """

    salt: str = ""
    cost: int = 0

    @classmethod
    def of(cls, contents: Sequence[str], patients: int) -> Seal:
        """Of a fit with these images; of very many patients each costs less."""
        cost = next((n for n in (2048, 1024, 512) if patients * n <= 2_000_000), 256)
        return cls(sha256("\n".join(["salt", *contents]).encode()).hexdigest()[:32], cost)

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> Seal:
        """What a file says; raises ValueError where that cannot be."""
        if "salt" not in known and "cost" not in known:
            return cls()
        salt, cost = known["salt"], known["cost"]
        if not (isinstance(salt, str) and len(salt) == 32 and cost in (256, 512, 1024, 2048)):
            raise ValueError("salt or cost is none")
        return cls(salt, cost)

    def of_patient(self, patient_id: str) -> str:
        """Of a patient's name."""
        raw = patient_id.encode("utf-8", "backslashreplace")
        return _slow(raw, self.salt, self.cost) if self.salt else sha256(raw).hexdigest()[:SHORT]

    def of_image(self, content: str) -> str:
        """Of the hash of an image, which nobody can guess."""
        if not self.salt:
            return content[:SHORT]
        return hmac.new(self.salt.encode(), content.encode(), sha256).hexdigest()[:SHORT]


@lru_cache(maxsize=200_000)
def _slow(name: bytes, salt: str, cost: int) -> str:
    return scrypt(name, salt=salt.encode(), n=cost, r=8, p=1, dklen=SHORT // 2).hex()


class FittedWith(NamedTuple):
    """What a saved detector knows of its fit, see ``fitted_with``."""

    seal: Seal
    patients: frozenset[str]
    contents: frozenset[str]
    pixels: frozenset[str]
    perceptual: tuple[str, ...]

    @classmethod
    def read(cls, detector: Path) -> FittedWith | None:
        """Of a detector's folder; None where it has no such file.

        Raises:
            InputError: the file is damaged.
        """
        file = detector / FITTED_WITH
        try:
            if not file.is_file():
                return None
            known = json.loads(file.read_text(encoding="utf-8"))
            lists = {n: known.get(n, []) for n in cls._fields[1:]} | {
                n: known[n] for n in ("patients", "contents")
            }
            for name, values in lists.items():
                if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
                    raise ValueError(f"{name} is no list of words")
            for one in lists["perceptual"]:
                bytes.fromhex(one)
            seal = Seal.from_json(known)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            said = " ".join(str(error).split())[:200]
            raise InputError(f"{file}: is damaged ({said}); fit the detector again") from error
        patients, contents, pixels = (
            frozenset(lists[name]) for name in ("patients", "contents", "pixels")
        )
        return cls(seal, patients, contents, pixels, tuple(lists["perceptual"]))

    @classmethod
    def known(cls, detector: Path) -> FittedWith:
        """The same where it must be there.

        Raises:
            InputError: the file is damaged or missing.
        """
        found = cls.read(detector)
        if found is None:
            raise InputError(
                f"{detector / FITTED_WITH}: is missing, so that nothing says which patients the "
                "detector has seen; fit it with `midclass fit`"
            )
        return found


def refuse_seen(detector: Path, cohort: Cohort, shown: Sequence[str] = ()) -> None:
    """Refuse a patient or an image that the detector was fitted or calibrated with.

    Args:
        detector: its folder.
        cohort: the cases.
        shown: ``content_of`` each of them; without, patients alone are compared.

    Raises:
        InputError: names the first such case; or the detector's folder does not say what it was
            fitted with.
    """
    known = FittedWith.known(detector)
    for case in cohort:
        if known.seal.of_patient(case.patient_id) in known.patients:
            raise InputError(
                f"{cohort.name}: patient {case.patient_id} ({case.case_id}) was used to fit "
                f"{detector}; give patients that it has not seen"
            )
    for case, content in zip(cohort, shown, strict=True) if shown else ():
        if known.seal.of_image(content) in known.contents:
            raise InputError(
                f"{cohort.name}: the image of {case.case_id} was used to fit {detector}, under "
                "another name; remove it from one of the two"
            )


def seen_by(detector: Path, shown: Iterable[str]) -> int:
    """How many images a detector was fitted with: their p-values are not those of new ones.

    Args:
        detector: its folder; of one that does not say what it was fitted with, none are known.
        shown: ``content_of`` each image.

    Raises:
        InputError: what it was fitted with is damaged.
    """
    known = FittedWith.read(detector)
    if known is None:
        return 0
    return sum(known.seal.of_image(content) in known.contents for content in shown)


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
    """Cases by file size, since only files of one size can be equal; npz rows are all at -1.

    What is not there is like nothing.
    """
    by_size: dict[int, list[Case]] = {}
    for case in cases:
        if not case.path.is_file():
            continue
        size = -1 if case.array is not None else case.path.stat().st_size
        by_size.setdefault(size, []).append(case)
    return by_size
