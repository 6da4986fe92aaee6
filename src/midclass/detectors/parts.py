"""Parts of the given class: to learn from, to choose with, to calibrate with; never by image."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

import numpy as np

from midclass.errors import InputError
from midclass.images.cohort import Cohort
from midclass.images.prepared import Prepared

HELD_OUT = {"train": 0.7, "select": 0.1, "calibrate": 0.2}
"""Parts of the given class, by patient: to learn from, to choose with, to set the threshold."""
IN_A_FOLD = {"train": 0.875, "select": 0.125}
"""Parts of all folds but one, which calibrates: to learn from, to choose with; 7 to 1 as above."""


def parted(
    given: Cohort, known: Collection[str], seed: int, fractions: Mapping[str, float] = HELD_OUT
) -> dict[str, Cohort]:
    """Divide by patient; those whose positives are known are learned from, not held out."""
    rest, learned = split_known(given, known)
    parts = rest.split_by_patient(fractions, seed)
    parts["train"] = replace(parts["train"], cases=(*parts["train"], *learned))
    return parts


def split_known(given: Cohort, known: Collection[str]) -> tuple[Cohort, Cohort]:
    """The cases of patients of whom no positive is known, and the others."""
    is_known = np.array([case.patient_id in known for case in given], bool)
    return given[~is_known], given[is_known]


def may_calibrate(given: Cohort, unseen: Collection[int], known: Collection[str]) -> Cohort:
    """The cases that may be held out: not those unseen (their numbers), nor of known patients."""
    seen = given[[number for number in range(len(given)) if number not in unseen]]
    return split_known(seen, known)[0]


def only_given_class(given: Prepared) -> None:
    """Raise InputError where a case is of the target class, or there is none."""
    target = [case for case in given.cases if case.label == 1]
    if target:
        raise InputError(
            f"{target[0].case_id} and {len(target) - 1} more cases are of the target class; "
            "give cases of the given class (label 0) only: use cohort.given_class()"
        )
    if not len(given):
        raise InputError("no case of the given class (label 0)")


def only_target_class(positives: Prepared | None) -> Cohort:
    """The cases of the positives, none without any; InputError where one is of another class."""
    if positives is None:
        return Cohort(())
    wrong = [case for case in positives.cases if case.label != 1]
    if wrong:
        raise InputError(
            f"positives: {wrong[0].case_id} and {len(wrong) - 1} more cases are not of the "
            "target class (label 1): use cohort.target_class()"
        )
    return positives.cases
