"""Higher: do normal cases score higher here than those that calibrated, as far as scores tell?

Asked without labels, of all that is scored at once. Whether the images are framed otherwise is
asked apart, see ``framing``: scores may move without that, and stay with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from midclass.evaluation.empirical_null import FEWEST, MOSTLY, Null, shift_interval

if TYPE_CHECKING:
    from midclass.detectors.base import Detector

TIMES = 2
"""How many times the rate that is promised must be flagged at least, before anything is said."""


@dataclass(frozen=True)
class Higher:
    """Which share of normal cases is flagged here, as far as scores tell.

    Attributes:
        flagged: the share.
        low: of its 95 % interval.
        high: of that interval.
    """

    flagged: float
    low: float
    high: float

    def warning(self, max_fpr: float) -> str:
        """What a user should know and do."""
        return (
            "note: as far as scores tell, normal cases score higher here than those that set the "
            f"threshold: {self.flagged:.0%} of them are flagged ({self.low:.0%} to {self.high:.0%})"
            f", where at most {max_fpr:.1%} were promised: set the threshold with normals of this "
            "kind, midclass calibrate, or without labels, --unlabelled"
        )


def normals_higher(detector: Detector, scores: ArrayLike, patients: ArrayLike) -> Higher | None:
    """What is said; None where normal cases do not clearly score higher, or nothing can be told.

    Nothing can of fewer than ``FEWEST`` patients or calibration cases, where most cases look ill,
    and of a detector whose scores are ranks (folds) or whose threshold was moved by such scores.

    Args:
        detector: fitted.
        scores: of cases ``(n,)``, normal and ill; NaN where not assessed.
        patients: of each of them.
    """
    ranks = detector.folds_ is not None and detector.parent_ is None
    moved = detector.parent_ is not None and "shift" in detector.parent_
    if ranks or moved or len(detector.calibration_) < FEWEST:
        return None
    values = np.asarray(scores, np.float64)
    there = ~np.isnan(values)
    known, who = values[there], np.asarray(patients)[there]
    if len(np.unique(who)) < FEWEST:
        return None
    null = Null.among(detector.calibration_, known)
    if null.normal < MOSTLY or _flagged(detector, null.shift) < TIMES * detector.max_fpr_:
        return None
    shares = [_flagged(detector, one) for one in shift_interval(detector.calibration_, known, who)]
    return Higher(*shares) if shares[1] >= TIMES * detector.max_fpr_ else None


def _flagged(detector: Detector, shift: float) -> float:
    return float((detector.calibration_ > detector.threshold_ - shift).mean())
