"""Site: the threshold of a fitted detector, set anew for another hospital.

With its normals it is promised as before. Where nobody knows which of its cases are normal it is
moved as far as their scores tell, which is an estimate.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from midclass.detectors.base import Detector
from midclass.detectors.folder import ABOUT, refuse_unmovable
from midclass.detectors.parts import only_given_class
from midclass.detectors.saved import id_of
from midclass.evaluation import conformal
from midclass.evaluation.clusters import p_of_alike
from midclass.evaluation.empirical_null import Null, shift_interval
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
        above = local > before.threshold_
        low, high = share_interval(above, patients)
        p_value = p_of_alike(before.calibration_, before.independent_, local, patients)
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
    place. Of view ``slices`` the scores of slices with neighbours are put on that place's scale,
    too, without folds.

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
    found = detector.calibrate(local)
    scores = before.context_(found.alone, local.cases, found.compared)
    there = np.flatnonzero(~np.isnan(scores))
    patients = [local.cases.cases[row].patient_id for row in there]
    detector.cases_ = detector.cases_ | {"calibrate": len(local.cases)}
    detector.patients_ = detector.patients_ | {"calibrate": len(local.cases.patients)}
    detector.not_assessed_ = detector.not_assessed_ | {"calibrate": len(scores) - len(there)}
    _is_of(detector, before, folder)
    return Shift.between(before, scores[there], patients)


@dataclass(frozen=True)
class Move:
    """How far a threshold was moved by cases of which nobody knows which are normal.

    Attributes:
        cases: that could be assessed.
        patients: of them.
        not_assessed: the others.
        flagged: of the cases, above the threshold of before.
        flagged_now: above the new one.
        shift: how much higher normal cases score here; see ``evaluation.empirical_null``.
        low: what chance alone could make of the shift, the lower end (95 %).
        high: the upper end.
        normal: which share of the cases is normal, as far as scores tell.
    """

    cases: int
    patients: int
    not_assessed: int
    flagged: int
    flagged_now: int
    shift: float
    low: float
    high: float
    normal: float


def move_threshold(
    detector: Detector, unknown: Prepared, folder: Path, max_fpr: float | None = None
) -> Move:
    """Move the threshold of a detector with cases of another place that nobody has looked at.

    Every calibration score is moved by as much, so that p-values go with the threshold. It is
    never lower than before at the same rate. Scores and heat stay. The move is an estimate, and no
    promise.

    Args:
        detector: fitted, without folds; changed in place.
        unknown: cases of the other place, whatever their label.
        folder: where it is saved, which the new one names.
        max_fpr: false-alarm rate aimed at; that of before where none is given.

    Raises:
        InputError: the detector learned in folds, or the patients are too few.
    """
    refuse_unmovable(folder, in_folds=detector.folds_ is not None, moved=detector.moved)
    rate = detector.max_fpr_ if max_fpr is None else checked_fpr(max_fpr)
    conformal.refuse_too_few(len(detector.calibration_), rate)
    scores = detector.score_samples(unknown)
    there = ~np.isnan(scores)
    patients = np.array([case.patient_id for case in unknown.cases])[there]
    known, before = scores[there], copy(detector)
    shift, low, high = shift_interval(
        detector.calibration_, known, patients, detector.independent_
    ).tolist()
    normal = Null.among(detector.calibration_, known).normal
    detector.max_fpr_ = rate
    detector.calibration_ = detector.calibration_ + shift
    detector.patient_calibration_ = detector.patient_calibration_.moved(shift)
    detector.threshold_ = conformal.conformal_threshold(detector.calibration_, rate)
    _is_of(detector, before, folder, unknown=len(known), shift=shift)
    return Move(
        cases=len(known),
        patients=len(np.unique(patients)),
        not_assessed=int((~there).sum()),
        flagged=int((known > before.threshold_).sum()),
        flagged_now=int((known > detector.threshold_).sum()),
        shift=shift,
        low=low,
        high=high,
        normal=normal,
    )


def _is_of(detector: Detector, before: Detector, folder: Path, **moved: float) -> None:
    """Note of which detector this is the one with another threshold."""
    detector.parent_ = {
        "name": folder.resolve().name,
        "sha256": hash_of_file(folder / ABOUT),
        "max_fpr": before.max_fpr_,
        "threshold": before.threshold_,
        **moved,
    }
    detector.origin_ = replace(detector.origin_, id=id_of(detector))


def promise(detector: Detector, max_fpr: float) -> None:
    """Promise another false-alarm rate, from the calibration that a detector has.

    Raises:
        InputError: it is no rate, or the calibration cases are too few for it.
    """
    detector.threshold_ = conformal.conformal_threshold(detector.calibration_, max_fpr)
    detector.max_fpr_ = max_fpr
