"""Calibrated: scores of the given-class patients by whom other patients are judged."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from midclass.evaluation.conformal import smallest_rate
from midclass.evaluation.metrics import TOP, by_patient
from midclass.evaluation.ranking import FloatArray, IntArray

MORE, USUALLY = 1.25, 0.9
"""Times as many cases as nine of ten who calibrated: of a patient with more nothing is promised.

The highest three of many are higher. A quarter more cases hardly tells, nor up to three in all,
whose mean is taken.
"""


@dataclass(frozen=True)
class CalibratedPatients:
    """Scores of given-class patients that learning has not seen.

    One image scatters more than the mean of three. So that a patient with fewer images is judged by
    as few of each patient who calibrated.

    Attributes:
        scores: of all cases of each ``(n,)``, ascending; see ``metrics.by_patient``.
        fewer: the same of one case of each, and of two, drawn at random; then of those with
            ``TOP`` cases or more, where not all have as many. Nothing where nobody knows.
        most: cases of nine of ten of them; None where nobody knows.
    """

    scores: FloatArray
    fewer: tuple[FloatArray, ...] = ()
    most: int | None = None

    @classmethod
    def of(cls, scores: ArrayLike, patients: ArrayLike) -> CalibratedPatients:
        """Of the scores of their cases ``(n,)``, NaN for one that is not assessed.

        >>> found = CalibratedPatients.of([1.0, 5.0, float("nan"), 2.0], ["a", "a", "a", "b"])
        >>> found.scores.tolist(), found.most, found.fewer[0].tolist()
        ([2.0, 3.0], 2, [2.0, 5.0])
        """
        values, whose = np.asarray(scores, np.float64), np.asarray(patients)
        there = ~np.isnan(values)
        values, whose = values[there], whose[there]
        if not len(values):
            return cls(np.empty(0))
        order = np.lexsort((values, whose))  # the order of cases must not matter
        values, whose = values[order], whose[order]
        counts = np.unique(whose, return_counts=True)[1]
        most = int(np.quantile(counts, USUALLY, method="higher"))
        numbers = range(1, min(TOP, counts.max()))  # of as many as any has, all are the same
        rank = _ranks(whose)
        fewer = tuple(_scores(values[part], whose[part]) for part in (rank < k for k in numbers))
        if fewer and counts.min() < TOP <= counts.max():  # else few images set who has many apart
            full = np.isin(whose, np.unique(whose)[counts >= TOP])
            fewer += (_scores(values[full], whose[full]),)
        return cls(_scores(values, whose), fewer, most)

    def __len__(self) -> int:
        return len(self.scores)

    def for_cases(self, cases: int, max_fpr: float) -> FloatArray:
        """The scores by which a patient with so many assessed cases is judged, ascending.

        Those of all where those with as many are too few for the rate.
        """
        alike = self.fewer[cases - 1] if 0 < cases <= len(self.fewer) else self.scores
        return alike if smallest_rate(len(alike)) <= max_fpr else self.scores

    def too_many(self, cases: IntArray) -> NDArray[np.bool_]:
        """Whether a patient has so many cases that nothing is promised."""
        if self.most is None:
            return np.zeros(len(cases), bool)
        return np.asarray(cases > max(TOP, MORE * self.most))

    def to_json(self) -> dict[str, Any]:
        """What a saved detector says of them: ``patient_calibration``, and what is known."""
        fewer = [scores.tolist() for scores in self.fewer]
        return {
            "patient_calibration": self.scores.tolist(),
            **({"patient_fewer": fewer} if fewer else {}),
            **({} if self.most is None else {"patient_cases": self.most}),
        }

    def moved(self, by: float) -> CalibratedPatients:
        """All scores moved by as much."""
        fewer = tuple(scores + by for scores in self.fewer)
        return replace(self, scores=self.scores + by, fewer=fewer)


def _scores(scores: FloatArray, patients: NDArray[np.generic]) -> FloatArray:
    return np.sort(by_patient(scores, np.zeros(len(scores), np.int64), patients)[2])


def _ranks(patients: NDArray[np.generic]) -> IntArray:
    """Of each case its number among its patient's, in an order drawn at random."""
    drawn = np.random.default_rng(0).permutation(len(patients))
    _, whose, counts = np.unique(patients, return_inverse=True, return_counts=True)
    order = np.lexsort((drawn, whose))
    rank = np.empty(len(patients), np.int64)
    rank[order] = np.arange(len(patients)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rank
