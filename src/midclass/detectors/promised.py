"""Promised: what a threshold says of the false-alarm rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from midclass.evaluation.conformal import fewest, promised_range
from midclass.evaluation.cross_conformal import fewest_cases

if TYPE_CHECKING:
    from midclass.detectors.base import Detector


def promise_of(detector: Detector) -> dict[str, float]:
    """The promised false-alarm rate, and where the true one lies with these calibration cases.

    ``conformal.aim`` says whether it is a promise at all.

    Returns:
        ``max_fpr``, ``low`` and ``high``, see ``promised_range``. Where patients have several
        calibration cases ``independent``, as how many independent ones these count (see
        ``independent_cases``), and ``needed``, how many the rate takes; else, where folds
        calibrated, what is proven: ``guaranteed``, see ``guaranteed_rate``. Where unlabelled cases
        moved the threshold ``max_fpr`` is aimed at, and besides is only ``moved``, by how much.
    """
    if detector.parent_ is not None and detector.moved:
        return {"max_fpr": detector.max_fpr_, "moved": detector.parent_["shift"]}
    scores, independent = detector.calibration_, detector.independent_
    low, high = promised_range(scores, threshold=detector.threshold_, independent=independent)
    rates = {"max_fpr": detector.max_fpr_, "low": low, "high": high}
    folds = detector.folds_ if detector.parent_ is None else None
    if independent is not None:
        enough = fewest if folds is None else fewest_cases
        rates |= {"independent": independent, "needed": enough(detector.max_fpr_)}
    elif folds is not None:
        rates["guaranteed"] = folds.guaranteed(detector.max_fpr_)
    return rates
