"""Site: the threshold of a fitted detector, set anew with the normals of another hospital."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from midclass.detectors.base import Detector
from midclass.detectors.parts import only_given_class
from midclass.detectors.saved import ABOUT, id_of
from midclass.evaluation import conformal
from midclass.evaluation.metrics import checked_fpr, share_interval
from midclass.evaluation.ranking import FloatArray
from midclass.images.identity import hash_of_file
from midclass.images.prepare import Prepared

CLEARLY = 0.01
"""Of the Kolmogorov-Smirnov test: below it, local normals are said to differ."""


@dataclass(frozen=True)
class Shift:
    """How local normals differ from those that a detector was calibrated with.

    Attributes:
        cases: local normals that could be assessed.
        flagged: of them, above the threshold of before.
        low: of the 95 % interval of its rate here.
        high: of that interval.
        promised: what that threshold promised there.
        p_value: of the two-sample Kolmogorov-Smirnov test on scores, one of each patient here.
    """

    cases: int
    flagged: int
    low: float
    high: float
    promised: float
    p_value: float

    @classmethod
    def between(cls, before: Detector, local: FloatArray, patients: Sequence[str]) -> Shift:
        """Compare a detector's calibration with local normals.

        Args:
            before: the detector; with folds its scores are cross-conformal.
            local: scores ``(n,)``.
            patients: of each of them; slices of one patient say less than those of several.
        """
        from scipy.stats import ks_2samp

        above = local > before.threshold_
        low, high = share_interval(above, patients)
        mixed = np.random.default_rng(0).permutation(len(local))
        _, first = np.unique(np.asarray(patients)[mixed], return_index=True)
        p_value = float(ks_2samp(before.calibration_, local[mixed[first]]).pvalue)
        return cls(len(local), int(above.sum()), low, high, before.max_fpr_, p_value)

    @property
    def differs(self) -> bool:
        """Whether chance alone would hardly make scores so different."""
        return self.p_value < CLEARLY


def set_threshold(
    detector: Detector, local: Prepared, folder: Path, max_fpr: float | None = None
) -> Shift:
    """Set the threshold of a detector with given-class cases of another place.

    Scores and heat stay; p-values, flags, the promise and where colour begins are then of that
    place.

    Args:
        detector: fitted; changed in place.
        local: given-class cases that it was not fitted with.
        folder: where it is saved, which the new one names.
        max_fpr: promised false-alarm rate; that of before where none is given.

    Raises:
        InputError: a case is not of the given class, or too few can be assessed for the rate.
    """
    only_given_class(local)
    rate = detector.max_fpr_ if max_fpr is None else checked_fpr(max_fpr)
    seen = len(local.cases) - len(detector.reasons(local))
    conformal.refuse_too_few(seen, rate)
    before = copy(detector)
    detector.max_fpr_ = rate
    scores = detector.calibrate(local)
    there = np.flatnonzero(~np.isnan(scores))
    patients = [local.cases.cases[row].patient_id for row in there]
    detector.parent_ = {
        "name": folder.resolve().name,
        "sha256": hash_of_file(folder / ABOUT),
        "max_fpr": before.max_fpr_,
        "threshold": before.threshold_,
    }
    detector.cases_ = detector.cases_ | {"calibrate": len(local.cases)}
    detector.patients_ = detector.patients_ | {"calibrate": len(local.cases.patients)}
    detector.not_assessed_ = detector.not_assessed_ | {"calibrate": len(scores) - len(there)}
    detector.origin_ = replace(detector.origin_, id=id_of(detector))
    return Shift.between(before, scores[there], patients)


def promise(detector: Detector, max_fpr: float) -> None:
    """Promise another false-alarm rate, from the calibration that a detector has.

    Raises:
        InputError: it is no rate, or the calibration cases are too few for it.
    """
    detector.threshold_ = conformal.conformal_threshold(detector.calibration_, max_fpr)
    detector.max_fpr_ = max_fpr
