"""Division: patients into a part to learn from and a part to test with, never across a patient."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from midclass.errors import InputError
from midclass.images.case import Case, across_parts
from midclass.images.cohort import Cohort
from midclass.images.inventory import LeftOut

if TYPE_CHECKING:
    from midclass.images.duplicates import Duplicate

TRAIN, TEST = "train", "test"


def divided(cases: Sequence[Case], test: float, seed: int, positives: int = 0) -> list[str]:
    """The part of each case.

    A patient with any case of the target class is tested with, but for a few who may be learned
    from, and so is a share of the others, all drawn at random. A case without a label is in no
    part.

    Args:
        cases: of known and unknown class.
        test: share of the patients without the target class to test with; 0 for none.
        seed: of the draw; the order of the cases does not matter.
        positives: patients with the target class to learn from; with one seed the fewer are among
            the more.

    Raises:
        InputError: there are too few patients to divide.
    """
    ill = {case.patient_id for case in cases if case.label == 1}
    if positives >= max(len(ill), 1):
        raise InputError(
            f"{positives} patients of the target class to learn from leave none to test with, "
            f"there are {len(ill)}; ask for fewer"
        )
    target = set(np.random.default_rng(seed).permutation(sorted(ill))[positives:].tolist())
    given = Cohort(tuple(case for case in cases if case.label == 0 and case.patient_id not in ill))
    tested = target
    if test and len(given):
        if len(given.patients) < 2:
            raise InputError(
                f"only {len(given.patients)} patient of the given class, who cannot be divided "
                f"into {TRAIN} and {TEST}; give more images, or --test 0"
            )
        parts = given.split_by_patient({TRAIN: 1 - test, TEST: test}, seed)
        tested = target | set(parts[TEST].patients)
    return [
        "" if case.label is None else TEST if case.patient_id in tested else TRAIN for case in cases
    ]


def why_unlearned(cases: Sequence[Case], divisions: Mapping[str, Sequence[str]]) -> str:
    """Why a division leaves none of the given class to learn from, or "" where it leaves some.

    Args:
        cases: of known and unknown class.
        divisions: the part of each case, by the name of the division.
    """
    given = [k for k, case in enumerate(cases) if case.label == 0]
    if not given or all(any(of[k] != TEST for k in given) for of in divisions.values()):
        return ""
    return (
        f"none of {len(given)} cases of the given class is left to learn from: their patients have "
        "a case of the target class, too, and are tested with; tell patients apart otherwise "
        "(--patients), or do not take those for one who share an image (--duplicates skip)"
    )


def refuse_patients_across(cases: Iterable[Case], before: Mapping[str, str]) -> None:
    """Raise InputError where folders put a patient into two parts.

    Args:
        cases: of patients of whom those who share an image are one.
        before: the patient of each case before that.
    """
    for known, case in across_parts(cases):
        same = before[known.case_id] == before[case.case_id]
        why, way_out = ("but they are of one patient", "")
        if not same:
            why = (
                "and are taken for one patient's, since images of both, or of patients between "
                "them, are equal or near copies"
            )
            way_out = "; if they are different people, --duplicates skip takes nobody for another"
        raise InputError(
            f"{known.case_id} is in {known.part} and {case.case_id} in {case.part}, {why}; "
            f"--divide divides anew, by patient{way_out}"
        )


CROWD, MOST = 10, 0.5
"""Patients of whom so many together are no longer copies of one, where as large a share of all
patients would be none of their own."""


def taken_for_one(
    found: Sequence[Duplicate], patients: Collection[str]
) -> tuple[dict[str, str], str]:
    """``one_patient``, and why some copies do not count, or "".

    One image of a crowd of patients is a title page or a test image, and makes nobody another.
    Where most patients would be others, images are alike by their layout (maps of a device, forms),
    and not because they show one person. Then no near copies make a crowd one patient.

    Args:
        found: cases of different patients that show the same.
        patients: all there are.
    """
    pages = _of_a_crowd(found)
    found = [pair for pair in found if not (pair.exact and pair.first.case_id in pages)]
    said = [
        f"{case} shows the same as images of {len(pages[case])} other patients: nobody is taken "
        "for another by it"
        for case in pages
    ]
    same = one_patient(found)
    together = Counter(same.get(name, name) for name in patients)
    if len(patients) - len(together) > MOST * len(patients):

        def counts(pair: Duplicate) -> bool:
            name = pair.first.patient_id
            return pair.exact or together[same.get(name, name)] < CROWD

        fewer = one_patient(filter(counts, found))
        if fewer != same:
            said.append(
                f"near copies would leave {len(together)} of {len(patients)} patients: images of "
                f"one layout look so; where they would make one of {CROWD} or more, only those of "
                "equal images are taken for one. If they are copies, give them one patient_id"
            )
        same = fewer
    return same, "; ".join(said)


def _of_a_crowd(found: Iterable[Duplicate]) -> dict[str, set[str]]:
    """The first cases of images that a crowd of patients has, and the others of the crowd."""
    others: dict[str, set[str]] = {}
    for pair in found:
        if pair.exact and pair.first.patient_id != pair.second.patient_id:
            others.setdefault(pair.first.case_id, set()).add(pair.second.patient_id)
    return {case: some for case, some in others.items() if len(some) + 1 >= CROWD}


def superfluous(pair: Duplicate, called: Mapping[str, str]) -> dict[str, LeftOut]:
    """Of two cases with one image the one to leave out; of two classes both."""
    one, other = pair.first, pair.second
    if None not in (one.label, other.label) and one.label != other.label:
        return {
            case.case_id: LeftOut(
                called[case.case_id], f"{CONTRADICT}: {called[twin.case_id]}", failed=True
            )
            for case, twin in ((one, other), (other, one))
        }
    gone, kept = (one, other) if one.label is None and other.label is not None else (other, one)
    reason = f"another copy of an image: {called[kept.case_id]}"
    return {gone.case_id: LeftOut(called[gone.case_id], reason)}


CONTRADICT = "the same image stands there with another label"


def one_patient(found: Iterable[Duplicate]) -> dict[str, str]:
    """Patients who share an image, exactly or as a near copy: what each is called as one.

    >>> from pathlib import Path
    >>> from midclass.images.duplicates import Duplicate
    >>> a, b, c = (Case(name, Path(name), 0, name) for name in "abc")
    >>> one_patient([Duplicate(a, b, "near copy"), Duplicate(b, c, "same file")])
    {'b': 'a', 'c': 'a'}
    """
    root: dict[str, str] = {}

    def find(name: str) -> str:
        while name in root:
            name = root[name]
        return name

    for pair in found:
        first, second = sorted((find(pair.first.patient_id), find(pair.second.patient_id)))
        if first != second:
            root[second] = first
    return {name: find(name) for name in root}
