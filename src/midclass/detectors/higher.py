"""Higher: do normal cases score higher here than those that calibrated, as far as scores tell?

Asked without labels, of all that is scored at once. Where that cannot be told, it is said whether
most are flagged. Whether the images are framed otherwise is asked apart, see ``framing``: scores
may move without that, and stay with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from midclass.detectors.folder import moving
from midclass.evaluation.clusters import one_of_each
from midclass.evaluation.conformal import aim, p_of_flags
from midclass.evaluation.empirical_null import FEWEST, MOSTLY, Null, shift_interval

if TYPE_CHECKING:
    from midclass.detectors.base import Detector

TIMES = 2
"""How many times the rate that is promised must be flagged at least, before anything is said."""
MOST, SOME, CHANCE = 0.5, 10, 0.01
"""Said where more than this share of at least so many patients is flagged, and chance is less."""


@dataclass(frozen=True)
class Higher:
    """Which share of normal cases is flagged here, as far as scores tell.

    Attributes:
        flagged: the share.
        low: what chance alone could make of it, the lower end (95 %).
        high: the upper end.
    """

    flagged: float
    low: float
    high: float

    def warning(self, rate: Mapping[str, float]) -> str:
        """What a user should know and do; ``rate`` is ``Detector.promise``."""
        moved = "moved" in rate
        return (
            "note: as far as scores tell, normal cases score higher here than those that set the "
            f"threshold, and {self.flagged:.0%} of them are flagged (by chance {self.low:.0%} to "
            f"{self.high:.0%}), where at most {_word(rate)}; or most of these cases "
            "are ill. Set the threshold with normals of this kind, midclass calibrate; or where "
            f"most are normal and nobody knows which, {moving(moved)}"
        )


def normals_higher(
    detector: Detector, scores: ArrayLike, patients: ArrayLike, labels: ArrayLike
) -> Higher | None:
    """What is said; None where normal cases do not clearly score higher, or nothing can be told.

    Nothing can of fewer than ``FEWEST`` patients or calibration cases, where most cases look ill,
    and of a detector that learned in folds, whose scores are ranks.

    Args:
        detector: fitted.
        scores: of cases ``(n,)``, normal and ill; NaN where not assessed.
        patients: of each of them.
        labels: 1 for a case that is known to be ill, which does not count.
    """
    counted = detector.independent_ or len(detector.calibration_)
    if detector.folds_ is not None or counted < FEWEST:
        return None
    values = np.asarray(scores, np.float64)
    counted = ~np.isnan(values) & (np.asarray(labels) != 1)
    known, who = values[counted], np.asarray(patients)[counted]
    if len(np.unique(who)) < FEWEST:
        return None
    null, least = Null.among(detector.calibration_, known), TIMES * detector.max_fpr_
    if null.normal < MOSTLY or _flagged(detector, null.shift) < least:
        return None
    shifts = shift_interval(detector.calibration_, known, who, detector.independent_)
    shares = [_flagged(detector, one) for one in shifts]
    return Higher(*shares) if shares[1] >= least else None


@dataclass(frozen=True)
class MostFlagged:
    """How many patients are flagged, counted by one case of each; none is known to be ill."""

    flagged: int
    patients: int

    def warning(self, rate: Mapping[str, float]) -> str:
        """What a user should know and do; ``rate`` is ``Detector.promise``."""
        return (
            f"note: {self.flagged} of {self.patients} patients are flagged (one case of each "
            f"counts), and of normal ones at most {_word(rate)}. Unless most of these are ill, "
            "they are of another kind than those that set the threshold: look at some that are "
            "flagged, and set the threshold with normals of this kind, midclass calibrate"
        )


def most_flagged(
    detector: Detector, scores: ArrayLike, patients: ArrayLike, labels: ArrayLike
) -> MostFlagged | None:
    """What is said of any detector, also after few calibration cases; None where most are not.

    It cannot tell other images from ill patients. Arguments are those of ``normals_higher``.
    """
    values, who = np.asarray(scores, np.float64), np.asarray(patients)
    counted = ~np.isnan(values) & ~np.isin(who, who[np.asarray(labels) == 1])
    one = one_of_each(who[counted])
    flags = values[counted][one] > detector.threshold_
    if len(flags) < SOME or flags.mean() <= MOST:
        return None
    known = detector.calibration_, detector.threshold_, detector.independent_
    found = MostFlagged(int(flags.sum()), len(flags))
    return found if p_of_flags(flags, *known) < CHANCE else None


def _flagged(detector: Detector, shift: float) -> float:
    return float((detector.calibration_ > detector.threshold_ - shift).mean())


def _word(rate: Mapping[str, float]) -> str:
    word = "were promised" if aim(rate) == "promised" else "are aimed at"
    return f"{rate['max_fpr']:.1%} {word}"
