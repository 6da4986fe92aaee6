"""Operating points: what flags mean at several promised rates, and at a prevalence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from midclass.errors import InputError
from midclass.evaluation.metrics import share_interval
from midclass.evaluation.table import UNKNOWN, ScoreTable

RATES = (0.01, 0.02, 0.05, 0.1, 0.2)
"""Promised false-alarm rates that readers compare."""


class Share(NamedTuple):
    """A share, and its 95 % interval over patients."""

    value: float
    low: float
    high: float

    @property
    def rest(self) -> Share:
        """The share of all others.

        >>> Share(0.25, 0.0, 0.5).rest
        Share(value=0.75, low=0.5, high=1.0)
        """
        return Share(1 - self.value, 1 - self.high, 1 - self.low)


class OperatingPoint(NamedTuple):
    """What is flagged where a false-alarm rate is promised.

    Attributes:
        max_fpr: promised.
        sensitivity: of target-class cases flagged.
        specificity: of given-class cases not flagged.
    """

    max_fpr: float
    sensitivity: Share
    specificity: Share


def operating_points(
    table: ScoreTable, rates: Sequence[float], least: float = 0.0
) -> list[OperatingPoint]:
    """Sensitivity and specificity of assessed cases at each promised rate.

    Args:
        table: of both classes, with the extra column ``p_value``.
        rates: promised; flagged is a case whose p-value is the rate at most.
        least: the smallest rate that can be promised (``conformal.smallest_rate``); smaller ones
            are left out.

    >>> table = ScoreTable.of([*"abcd"], [*"pqrs"], [0, 0, 1, 1], [1, 2, 3, 4],
    ...                       extra={"p_value": [0.9, 0.1, 0.02, 0.02]})
    >>> [(p.max_fpr, p.sensitivity.value, p.specificity.value) for p in
    ...  operating_points(table, [0.01, 0.05, 0.1], least=0.02)]
    [(0.05, 1.0, 1.0), (0.1, 1.0, 0.5)]
    """
    seen = table.take(table.assessed & (table.label != UNKNOWN))

    def share(rate: float, label: int) -> Share:
        flagged, among = seen.extra["p_value"] <= rate, seen.label == label
        limits = share_interval(flagged, seen.patient_id, among)
        return Share(float(flagged[among].mean()), *limits)

    return [
        OperatingPoint(rate, share(rate, 1), share(rate, 0).rest)
        for rate in sorted(set(rates))
        if rate >= least - 1e-12
    ]


class PredictiveValues(NamedTuple):
    """What a flag, and no flag, say of a case; and what becomes of 1000 cases.

    Attributes:
        positive: the share of flagged cases that are of the target class; NaN where none is.
        negative: the share of other cases that are of the given class; NaN where none is.
        false_alarms: flagged of the given class, of 1000 cases.
        found: flagged of the target class, of 1000 cases.
        missed: not flagged of the target class, of 1000 cases.
    """

    positive: float
    negative: float
    false_alarms: float
    found: float
    missed: float


def predictive_values(
    sensitivity: float, specificity: float, prevalence: float
) -> PredictiveValues:
    """Predictive values by the theorem of Bayes.

    Args:
        sensitivity: in [0, 1].
        specificity: in [0, 1].
        prevalence: share of target-class cases where the detector is used, between 0 and 1.

    Raises:
        InputError: the prevalence is no share.

    >>> found = predictive_values(0.9, 0.95, 0.01)
    >>> [round(value, 3) for value in found]
    [0.154, 0.999, 49.5, 9.0, 1.0]
    """
    if not 0 < prevalence < 1:
        raise InputError(f"prevalence is {prevalence}; give a share between 0 and 1, such as 0.01")
    found, missed = sensitivity * prevalence, (1 - sensitivity) * prevalence
    alarms, right = (1 - specificity) * (1 - prevalence), specificity * (1 - prevalence)
    with np.errstate(invalid="ignore"):
        positive, negative = np.divide([found, right], [found + alarms, right + missed]).tolist()
    return PredictiveValues(positive, negative, 1000 * alarms, 1000 * found, 1000 * missed)
