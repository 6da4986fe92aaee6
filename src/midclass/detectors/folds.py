"""Folds: a detector that learned several times, each time without the cases that then calibrate."""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from midclass.detectors.context import Context, in_json
from midclass.detectors.eye import taught
from midclass.detectors.look import Hottest, case_scores, highest
from midclass.detectors.parts import IN_A_FOLD, parted, split_known
from midclass.errors import InputError
from midclass.evaluation.clusters import independent_cases
from midclass.evaluation.conformal import smallest_rate
from midclass.evaluation.cross_conformal import (
    cross_conformal_scores,
    fewest_cases,
    guaranteed_rate,
    steps,
)
from midclass.evaluation.ranking import FloatArray
from midclass.images.cohort import Case, Cohort
from midclass.images.prepare import Prepared
from midclass.training.lesson import Lesson
from midclass.types import ImageBatch, Progress

if TYPE_CHECKING:
    from midclass.detectors.base import Detector

FOLDS = 5
"""Of a fit that needs folds and does not say how many."""


@dataclass(frozen=True)
class Folds:
    """What was learned in K folds, and how the cases of each are scored by what the others taught.

    Attributes:
        members: a detector for each fold, which learned from the other folds.
        calibrations: of each fold the scores of its cases, ascending.
        hottest: while they learn, the highest heat of each of these cases.
        independent: while they learn, as how many independent cases they count.
        highest: while they learn, which of these cases are highest beside others of their fold.
    """

    members: tuple[Detector, ...]
    calibrations: tuple[FloatArray, ...]
    hottest: FloatArray = field(default_factory=lambda: np.empty(0))
    independent: float | None = None
    highest: tuple[str, ...] = ()

    @classmethod
    def learned(
        cls,
        detector: Detector,
        given: Prepared,
        lesson: Lesson,
        known: Collection[str],
        number: int,
    ) -> Folds:
        """Divide the given class by patient, learn without each fold, and score it.

        Args:
            detector: of the kind and with the settings of the members; it is not changed.
            given: the given class.
            lesson: with seed, workdir, progress and positives; an interrupted fit goes on from the
                fold it was in.
            known: patients whose given-class cases are learned from in every fold, and calibrate in
                none.
            number: of folds.
        """
        members, calibrations, hottest = [], [], []
        found, patients, of_fold = list[FloatArray](), list[str](), list[int]()
        beside, held_out = list[FloatArray](), list[Case]()
        for k, fold in enumerate(divided(given.cases, known, lesson.seed, number)):
            inside = {case.case_id for case in fold}
            others = given.cases[[case.case_id not in inside for case in given.cases]]
            parts = parted(others, known, lesson.seed, IN_A_FOLD)
            member = _member(detector)
            in_fold = Lesson(
                given.subset(parts["train"]),
                given.subset(parts["select"]),
                lesson.seed,
                lesson.workdir and lesson.workdir / f"fold_{k + 1}_of_{number}",
                _counted(lesson.progress, k, number),
                lesson.positives,
            )
            taught(member, in_fold)
            aside = given.subset(fold)
            noted = Hottest(aside)
            looks = member.looks(aside, heat_maps=member.makes_heat_maps)
            scores, compared = case_scores(noted.noting(looks), aside)
            geometry = detector.recipe.geometry
            member.context_ = Context.of(scores, aside.cases, geometry, compared)
            members.append(member)
            there = ~np.isnan(scores)
            found.append(member.context_(scores, aside.cases, compared)[there])
            calibrations.append(np.sort(scores[there]))
            of_fold += [k] * int(there.sum())
            patients += [aside.cases.cases[row].patient_id for row in np.flatnonzero(there)]
            hottest.append(noted.found)
            beside.append(_in_spreads(scores))
            held_out += aside.cases.cases
        if detector.recipe.geometry.compare and not all(one.context_ for one in members):
            for member in members:  # all in one way, or a score would be neither
                member.context_ = Context()
        independent = independent_cases(np.concatenate(found), patients, of_fold)
        return cls(
            tuple(members),
            tuple(calibrations),
            np.concatenate(hottest),
            independent,
            highest(np.concatenate(beside), held_out),
        )

    def __len__(self) -> int:
        return len(self.members)

    @property
    def steps(self) -> FloatArray:
        """What stands for the calibration scores on the scale of ``scores``, ``(n,)``."""
        return steps(sum(map(len, self.calibrations)))

    def guaranteed(self, max_fpr: float) -> float:
        """The mean false-alarm rate that is proven, see ``guaranteed_rate``."""
        return guaranteed_rate(len(self.steps), len(self), max_fpr)

    def look(self, images: ImageBatch) -> tuple[Tensor, Tensor | None]:
        """Scores ``(n, K)`` by each member; the mean of their heat maps, or None."""
        found = [member.score(images) for member in self.members]
        maps = [heat for _, heat in found if heat is not None]
        scores = torch.stack([scores.double().cpu() for scores, _ in found], 1)
        return scores, torch.stack(maps).mean(0) if maps else None

    def scores(
        self,
        by_member: FloatArray,
        cases: Sequence[Case] = (),
        compared: FloatArray | None = None,
    ) -> FloatArray:
        """One score of each case ``(n,)`` from those of each member ``(n, K)``; NaN stays NaN.

        Cases are seen in their context; where it is not said which cases they are, each alone.
        """
        found = np.full(len(by_member), np.nan)
        if not len(found):
            return found
        several = by_member.reshape(len(found), -1)  # without any look a single column of NaN
        seen = ~np.isnan(several).any(1)
        if seen.any():
            if cases:
                beside = [None] * len(self) if compared is None else [*compared.T]
                trios = zip(self.members, several.T, beside, strict=True)
                said = [member.context_(alone, cases, side) for member, alone, side in trios]
                several = np.stack(said, 1)
            found[seen] = cross_conformal_scores(self.calibrations, several[seen])
        return found

    def state(self) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
        """Tensors by fold and name, and JSON of each fold.

        What is the same as in the first fold, such as pretrained weights, is there once.
        """
        tensors: dict[str, Tensor] = {}
        about = []
        for k, (member, calibration) in enumerate(
            zip(self.members, self.calibrations, strict=True)
        ):
            own, facts = member.state()
            shared = sorted(n for n, v in own.items() if _same(tensors.get(f"fold0.{n}"), v))
            fold = {"calibration": calibration.tolist(), "shared": shared, "state": facts}
            about.append(fold | in_json(member.context_))
            tensors |= {f"fold{k}.{n}": value for n, value in own.items() if n not in shared}
        return tensors, about

    @classmethod
    def restored(
        cls, detector: Detector, tensors: Mapping[str, Tensor], about: Sequence[Mapping[str, Any]]
    ) -> Folds:
        """Take back what ``state`` gave, for a detector of the same kind."""
        members = []
        for k, fold in enumerate(about):
            prefix, member = f"fold{k}.", _member(detector)
            own = {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
            own |= {n: tensors[f"fold0.{n}"] for n in fold["shared"]}
            member.restore(own, fold["state"])
            member.context_ = Context.from_json(fold.get("context"))
            members.append(member)
        return cls(tuple(members), tuple(np.array(fold["calibration"], float) for fold in about))


def _in_spreads(scores: FloatArray) -> FloatArray:
    """How far scores ``(n,)`` lie from their median, by the median distance; NaN stays NaN."""
    if np.isnan(scores).all():
        return scores
    away = scores - np.nanmedian(scores)
    return np.asarray(away / max(float(np.nanmedian(np.abs(away))), 1e-9))


def learners(detector: Detector) -> tuple[Detector, ...]:
    """The detectors that have learned: itself, or its member of each fold."""
    return (detector,) if detector.folds_ is None else detector.folds_.members


def number_of_folds(asked: int | None, max_fpr: float, held_out: int, free: Cohort) -> int:
    """How many folds a fit needs; 0 where the part that is held out calibrates alone.

    Folds cost as many trainings and have the weaker proof, so they are for cohorts of which that
    part is too small.

    Args:
        asked: None decides; 0 and 1 are no folds; more are so many.
        max_fpr: rate to promise.
        held_out: cases of the held-out part that can be assessed.
        free: all cases that can be assessed and may calibrate.

    Raises:
        InputError: there are too few cases for folds, or too few patients.
    """
    if asked is not None and not (_is_whole(asked) and asked >= 0):
        raise InputError(f"folds is {asked!r}; give 0 for none, or 2 or more")
    if asked in (0, 1) or (asked is None and smallest_rate(held_out) <= max_fpr):
        return 0
    cases, patients, need = len(free), len(free.patients), fewest_cases(max_fpr)
    if cases < need:
        way_out = f" or raise max_fpr to {_upwards(2 / (cases + 1))}" if cases > 1 else ""
        raise InputError(
            f"max_fpr {max_fpr:g} cannot be promised with {cases} given-class cases that can be "
            f"assessed: folds need {need} of them; give {need - cases} more{way_out}"
        )
    number = min(FOLDS, patients) if asked is None else asked
    if number > patients or patients - -(-patients // number) < 2:
        possible = f"3 to {patients} folds" if patients >= 3 else "cases of 3 patients or more"
        raise InputError(
            f"{number} folds of {patients} patients leave fewer than one to calibrate with, one to "
            f"learn from and one to choose with; give {possible}"
        )
    return number


def _is_whole(number: object) -> bool:
    return isinstance(number, Integral)


def _upwards(rate: float) -> str:
    """Three decimals that are not below the rate."""
    return f"{math.ceil(rate * 1000) / 1000:g}"


def divided(given: Cohort, known: Collection[str], seed: int, number: int) -> list[Cohort]:
    """The folds: cases of about as many patients each; those of known patients are in none."""
    names = {str(k): 1 / number for k in range(number)}
    return list(split_known(given, known)[0].split_by_patient(names, seed).values())


def _member(detector: Detector) -> Detector:
    """A detector like this one that has learned nothing in folds, and shares nothing to fill."""
    alone = copy.copy(detector)
    alone.folds_ = None
    return copy.deepcopy(alone, {id(detector.recipe): detector.recipe})


def _same(one: Tensor | None, other: Tensor) -> bool:
    """Whether both are the same to the last bit."""
    return one is not None and one.dtype == other.dtype and torch.equal(one, other)


def _counted(progress: Progress | None, fold: int, folds: int) -> Progress | None:
    """Steps counted with those of the other folds, which have as many."""
    if progress is None:
        return None
    told = progress

    def counted(step: int, steps: int, text: str) -> None:
        told(fold * steps + step, folds * steps, f"fold {fold + 1} of {folds}, {text}")

    return counted
