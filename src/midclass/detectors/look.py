"""Look: what a detector says of some samples, and what follows for their cases."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.evaluation.ranking import FloatArray
from midclass.images.case import Case
from midclass.images.prepared import Prepared
from midclass.types import ImageBatch


class Look(NamedTuple):
    """What a detector says of some of the samples.

    Attributes:
        rows: int ``(n,)``: which of the prepared samples.
        images: the samples, on the detector's device.
        scores: float64 ``(n,)``, or ``(n, K)`` of a detector that learned in K folds.
        maps: float32 ``(n, *spatial)`` in [0, 1], 0 outside the anatomy; None where none are made.
        compared: of tiles, the scores beside the other side, likewise, NaN where none is compared;
            None of other views. See ``other_side``.
    """

    rows: NDArray[np.int64]
    images: ImageBatch
    scores: FloatArray
    maps: NDArray[np.float32] | None
    compared: FloatArray | None = None


class CaseScores(NamedTuple):
    """Scores of cases ``(n,)`` or ``(n, K)``, NaN where there is none.

    Attributes:
        alone: without context; of a calibration in folds with it.
        compared: beside the other side; None where context counts already.
    """

    alone: FloatArray
    compared: FloatArray | None


NAMED = 5
"""Calibration cases that are named, of the highest scores."""

NO_NUMBER = "no score: what the detector computes of it is no number"
"""Why a case has none that the detector looked at."""


def filled_up(images: ImageBatch, size: int) -> ImageBatch:
    """The images, and the last of them again until there are so many.

    Kernels are chosen by the size of a batch, and round otherwise: a case alone would differ from
    the same case among others in the last digits of its score.
    """
    missing = size - len(images)
    if missing <= 0:
        return images
    return images[torch.arange(size, device=images.pixels.device).clamp_max(len(images) - 1)]


def case_scores(looks: Iterable[Look], prepared: Prepared, *, strict: bool = True) -> CaseScores:
    """The highest score among the samples of each case; NaN where there is none.

    Of looks with K scores a sample, each column for itself. Without ``strict`` a case has none,
    too, of which any score is not finite; others are scored all the same.

    Raises:
        InputError: a score is not finite, and ``strict``: the detector failed on an image that it
            could look at.
    """
    highest, failed = np.full(len(prepared.cases), -np.inf), list[int]()
    compared = np.full(len(prepared.cases), np.nan)
    for look in looks:
        cases = prepared.case_index[look.rows]
        finite = np.isfinite(look.scores.reshape(len(cases), -1)).all(1)
        failed += cases[~finite].tolist()
        if strict and not finite.all():
            bad = int(np.argmin(finite))
            raise InputError(
                f"{prepared.cases.cases[cases[bad]].case_id}: the detector's score is "
                f"{look.scores[bad]}, which is no number; fit it anew, with a lower learning rate"
            )
        if highest.ndim < look.scores.ndim:
            highest, compared = (
                np.repeat(one[:, None], look.scores.shape[1], axis=1) for one in (highest, compared)
            )
        np.maximum.at(highest, cases, look.scores)
        if look.compared is not None:  # of tiles, one sample a case
            compared[cases] = look.compared
    highest[failed] = -np.inf
    alone = np.where(np.isneginf(highest), np.nan, highest)
    return CaseScores(alone, compared)


def highest(scores: FloatArray, cases: Iterable[Case]) -> tuple[str, ...]:
    """Which cases have the highest scores ``(n,)``, the highest first, by their ids.

    Of each patient the highest alone; NaN is no score.
    """
    every, found = list(cases), dict[str, str]()
    for row in np.argsort(-scores, kind="stable"):
        if not np.isnan(scores[row]):
            found.setdefault(every[row].patient_id, every[row].case_id)
    return tuple(found.values())[:NAMED]


class Hottest:
    """The highest heat of each case, noted while looks go by.

    Args:
        prepared: the samples that are looked at.
    """

    def __init__(self, prepared: Prepared) -> None:
        self._cases = prepared.case_index
        self._highest = np.full(len(prepared.cases), np.nan)

    def noting(self, looks: Iterable[Look]) -> Iterator[Look]:
        """The looks themselves."""
        for look in looks:
            if look.maps is not None:
                highest = look.maps.reshape(len(look.rows), -1).max(1)
                np.fmax.at(self._highest, self._cases[look.rows], highest)
            yield look

    @property
    def found(self) -> FloatArray:
        """Of the cases of which a map was seen, in any order."""
        found: FloatArray = self._highest[~np.isnan(self._highest)]
        return found
