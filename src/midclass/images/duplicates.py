"""Duplicates: the same image under two patients, exactly or as a near copy, found before any work.

A near copy is an image saved again: as JPEG, in another size, brighter or darker, in another
window. Its perceptual hash is almost the same, and so is what lies between fine noise and coarse
shape; the neighbouring slice of a volume can be as alike. What was cropped, turned or mirrored is
not found. How well this works: docs/duplicates.md.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from midclass.images.case import Case
from midclass.images.fingerprint import BITS, SIDE, Fingerprint, Fingerprints, perceptual_bits
from midclass.images.identity import FittedWith

if TYPE_CHECKING:
    from midclass.images.cohort import Cohort

MOST_BITS = 28
"""In which the perceptual hashes of near copies differ, of 256; with the next number measured."""
LEAST_CORRELATION = 0.97
"""Of the thumbnails of near copies between ``BAND`` pixels; different patients: below .96."""
BAND = (1.0, 4.0)
"""Standard deviations of the two Gaussians whose difference is compared, in thumbnail pixels."""
SURE_BITS = 12
"""Different bits up to which the hash alone is enough to warn; different patients: 18 and more."""
_AT_ONCE = 2048


@dataclass(frozen=True)
class Duplicate:
    """Two cases of different patients that show the same.

    Attributes:
        first: the earlier one in the cohort.
        second: the other.
        kind: ``"same file"``, ``"same pixels"`` or ``"near copy"``.
        correlation: of the two, 1 where they are the same.
    """

    first: Case
    second: Case
    kind: str
    correlation: float = 1.0

    @property
    def exact(self) -> bool:
        """Whether the pixels are equal."""
        return self.kind != "near copy"

    @property
    def across(self) -> bool:
        """Whether the two are in different parts of the split."""
        return self.first.part != self.second.part

    def to_remove(self, learning: str) -> tuple[Case, Case]:
        """Which of the two to remove and which to keep: what is learned from gives way to a test.

        Args:
            learning: the part of the split to learn from.
        """
        if self.across and self.first.part == learning:
            return self.first, self.second
        return self.second, self.first

    def __str__(self) -> str:
        return " and ".join(
            case.case_id + (f" ({case.part})" if case.part else "")
            for case in (self.first, self.second)
        )


def duplicates(prints: Fingerprints) -> list[Duplicate]:
    """Pairs of cases of different patients that show the same, in the order of the cohort.

    Of many copies of one image each is paired with the first in each part, not with all. In a
    cohort with a split, cases in no part are left out. Images of one value are nobody's copies.

    Args:
        prints: of the cohort.
    """
    rows = _one_of_each(prints)
    pairs: dict[tuple[int, int], tuple[str, float]] = {}
    for i, j in _exact(prints, rows):
        same = prints.each[i].content == prints.each[j].content
        pairs[i, j] = ("same file" if same else "same pixels", 1.0)
    for i, j, correlation in _near(prints, rows):
        pairs.setdefault((i, j), ("near copy", correlation))
    cases = prints.cohort.cases
    return [Duplicate(cases[i], cases[j], *pairs[i, j]) for i, j in sorted(pairs)]


def without_copies(cohort: Cohort, found: Sequence[Duplicate], learning: str) -> Cohort:
    """The cohort without the cases that ``to_remove`` names."""
    gone = {pair.to_remove(learning)[0].case_id for pair in found}
    return cohort[[k for k, case in enumerate(cohort) if case.case_id not in gone]]


def copies_of_fitted(detector: Path, prints: Fingerprints) -> tuple[list[Case], list[Case]]:
    """Cases that show what a detector was fitted with, under another name.

    A saved detector holds no thumbnails, which would be images of patients, so that near copies
    are told by their perceptual hash alone, and only those that differ in few bits.

    Args:
        detector: its folder; one fitted by an older version, or not by the command, knows nothing.
        prints: of the cases.

    Returns:
        Cases with the same pixels, and near copies.
    """
    known = FittedWith.read(detector)
    if known is None:
        return [], []
    fitted = [Fingerprint("", "", bytes.fromhex(one)) for one in known.perceptual]
    asked = [one for one in prints.each if one.perceptual]
    bits = [perceptual_bits(each).astype(np.float32) * 2 - 1 for each in (fitted, asked)]
    near = set()
    for start in range(0, len(asked), _AT_ONCE):
        agree = (bits[1][start : start + _AT_ONCE] @ bits[0].T >= BITS - 2 * SURE_BITS).any(1)
        near |= {asked[start + int(row)].pixels for row in np.flatnonzero(agree)}
    same = [
        case
        for case, one in zip(prints.cohort, prints.each, strict=True)
        if known.seal.of_image(one.pixels) in known.pixels
    ]
    again = {case.case_id for case in same}
    others = zip(prints.cohort, prints.each, strict=True)
    return same, [c for c, one in others if one.pixels in near and c.case_id not in again]


def _one_of_each(prints: Fingerprints) -> list[int]:
    """Rows to compare: the first of each image, patient and part; none of one value, which is
    that of many people."""
    split = bool(prints.cohort.parts)
    first: dict[tuple[str, str, str], int] = {}
    for row, (case, one) in enumerate(zip(prints.cohort, prints.each, strict=True)):
        if one.perceptual and (case.part or not split):
            first.setdefault((one.pixels, case.patient_id, case.part), row)
    return list(first.values())


def _exact(prints: Fingerprints, rows: Sequence[int]) -> Iterator[tuple[int, int]]:
    cases = prints.cohort.cases
    groups: dict[str, list[int]] = {}
    for row in rows:
        group = groups.setdefault(prints.each[row].pixels, [])
        first = {cases[other].part: other for other in reversed(group)}
        yield from ((other, row) for other in first.values() if _two_patients(cases, other, row))
        group.append(row)


def _two_patients(cases: Sequence[Case], i: int, j: int) -> bool:
    return cases[i].patient_id != cases[j].patient_id


def _near(prints: Fingerprints, rows: Sequence[int]) -> Iterator[tuple[int, int, float]]:
    """Candidates by the hash, confirmed by the thumbnails."""
    alike: dict[str, list[int]] = {}
    for row in rows:
        alike.setdefault(prints.each[row].pixels, []).append(row)
    groups = list(alike.values())
    bands: dict[int, NDArray[np.float32]] = {}
    for a, b in _candidates([prints.each[group[0]] for group in groups]):
        both = product(groups[a], groups[b])
        pairs = [(i, j) for i, j in both if _two_patients(prints.cohort.cases, i, j)]
        if not pairs:  # neighbouring slices
            continue
        for group in (a, b):
            if group not in bands:
                bands[group] = _band(prints.each[groups[group][0]])
        correlation = float(bands[a] @ bands[b])
        if correlation >= LEAST_CORRELATION:
            yield from ((min(pair), max(pair), correlation) for pair in pairs)


def _candidates(each: Sequence[Fingerprint], most: int = MOST_BITS) -> Iterator[tuple[int, int]]:
    """Pairs whose hashes differ in few bits; all pairs are compared, 5 billion a minute."""
    bits = perceptual_bits(each).astype(np.float32) * 2 - 1
    for start in range(0, len(bits), _AT_ONCE):
        agree = bits[start : start + _AT_ONCE] @ bits[start:].T
        close = np.argwhere(np.triu(agree >= BITS - 2 * most, 1))
        yield from ((start + int(a), start + int(b)) for a, b in close)


def _band(one: Fingerprint) -> NDArray[np.float32]:
    """The thumbnail without noise and coarse shape, of length 1."""
    pixels = np.frombuffer(one.thumbnail, np.uint8).reshape(SIDE, SIDE).astype(np.float32)
    fine, coarse = (ndi.gaussian_filter(pixels, sigma) for sigma in BAND)
    band = (fine - coarse).ravel()
    band -= band.mean()
    return np.asarray(band / max(float(np.linalg.norm(band)), 1e-6), np.float32)
