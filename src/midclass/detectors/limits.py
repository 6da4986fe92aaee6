"""Limits: how far a trait of a sample may lie from the given class's, and how that is said."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from midclass.images.traits import Traits


class Rule(NamedTuple):
    """How far a trait may always lie from the given class's median, and how it is said.

    Attributes:
        below: that far below is never a reason; a factor where ``log``.
        above: the same, above.
        log: whether the trait is a size, compared by factors.
        words: for a reason; ``{}`` is the number,
        number: in this format.
        image: whether it is of the image, and not of the mask.
        fine: a number up to which it is never a reason.
        most: a number above which it always is one, unless the given class comes near it.
    """

    below: float
    above: float
    log: bool
    words: str
    number: str
    image: bool = False
    fine: float = 0.0
    most: float = float("inf")

    def said(self, value: float) -> str:
        """The trait in words."""
        return self.words.format(format(value, self.number))

    def beside(self, value: float, bound: float) -> tuple[str, str]:
        """The trait in words, and a bound that it crosses."""
        one, other = told_apart(value, bound, self.number)
        return self.words.format(one), other


def told_apart(one: float, other: float, number: str) -> tuple[str, str]:
    """Two numbers with as many more digits as it takes to tell them apart.

    >>> told_apart(0.1381, 0.1379, ".1%"), told_apart(0.3, 0.1, ".1%")
    (('13.81%', '13.79%'), ('30.0%', '10.0%'))
    """
    digits, kind = int(number[1:-1]), number[-1]
    for more in range(6):
        found = (format(one, f".{digits + more}{kind}"), format(other, f".{digits + more}{kind}"))
        if found[0] != found[1]:
            return found
    return format(one, number), format(other, number)


class Limits(NamedTuple):
    """Of one trait of the given class: the lowest, the median and the highest; infinite: none."""

    low: float
    middle: float
    high: float


NEVER = float("inf")
RULES = {
    "area": Rule(2.5, 2.5, True, "it covers {} of the sample", ".1%"),
    "area_mm2": Rule(6, 6, True, "its size is {} mm2", ".3g"),
    "centre_y": Rule(0.15, 0.15, False, "its middle lies at {} of the height", ".0%"),
    "centre_x": Rule(0.15, 0.15, False, "its middle lies at {} of the width", ".0%"),
    "height": Rule(0.4, 0.25, False, "it takes {} of the height", ".0%"),
    "width": Rule(0.4, 0.25, False, "it takes {} of the width", ".0%"),
    "solidity": Rule(0.4, NEVER, False, "it fills {} of its outline", ".0%"),
    "parts": Rule(NEVER, 5, False, "it has {} parts", ".0f"),
    "border": Rule(NEVER, 0.7, False, "it lies along {} of the edge of the image", ".0%"),
    "rim": Rule(0.6, 0.6, False, "what is around it is brighter by {}", ".2f", True),
    "fineness": Rule(2.5, NEVER, True, "its file has {} of a pixel a sample", ".2f", image=True),
    "grain": Rule(NEVER, 2, True, "the grain inside is {}", ".3f", True, fine=0.03),
    "roughness": Rule(NEVER, 2, True, "the grain is {} of the spread", ".2f", True, 0.5, most=3),
    "detail": Rule(8, NEVER, True, "the detail is {} of the spread", ".3f", True),
    "flat": Rule(NEVER, 0.8, False, "{} of it is flat", ".0%", True),
    "spread": Rule(4, NEVER, True, "the spread inside is {} of the range", ".3f", True),
}
"""Trait -> rule. These numbers, and BEYOND, were chosen on the development sets."""
TAIL = 0.1
"""Share of the given class at either end that does not count: some of it may be something else."""
BEYOND = 3.0
"""A limit lies so many times as far beyond these quantiles as they lie from the median."""


def limit_of(values: Traits, rule: Rule) -> Limits:
    """Of what the given class shows, far beyond all but its ends."""
    compared = scaled(values, rule)
    low, middle, high = np.quantile(compared, (TAIL, 0.5, 1 - TAIL))
    below, above = (np.log(far) if rule.log else far for far in (rule.below, rule.above))
    lowest = min(low - BEYOND * (middle - low), middle - below)
    highest = max(high + BEYOND * (high - middle), middle + above)
    bounds = (np.exp(lowest), np.exp(highest)) if rule.log else (lowest, highest)
    most = rule.most if 1.5 * np.quantile(values, 1 - TAIL) < rule.most else NEVER
    highest = min(max(bounds[1], rule.fine), most)
    return Limits(float(bounds[0]), float(np.median(values)), float(highest))


def scaled(values: Traits, rule: Rule) -> Traits:
    """Sizes by their logarithm, so that factors are compared."""
    return np.log(np.maximum(values, 1e-9)) if rule.log else values


def distance(value: float, limits: Limits, rule: Rule) -> float:
    """0 at the given class's median, 1 at a limit; 0 where there is none on this side."""
    bound = limits.low if value < limits.middle else limits.high
    if np.isinf(bound) or (rule.log and bound <= 0):
        return 0.0
    at, middle, end = value, limits.middle, bound
    if rule.log:
        at, middle, end = (float(np.log(max(one, 1e-9))) for one in (at, middle, end))
    return (at - middle) / (end - middle) if end != middle else float(at != middle)
