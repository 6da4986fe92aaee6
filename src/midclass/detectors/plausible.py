"""Plausible: does a sample look as the given class does, so that a detector may judge it?

A network finds a head in noise, and a detector that has learned heads calls it normal. So what the
given class looks like in a few numbers (``images.traits``) is learned with it, and a sample far
outside is not assessed. The danger is to refuse disease: brightness and contrast inside the
anatomy are no reason, and the limits are wide.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from midclass.images.sample import OF_USER
from midclass.images.traits import TRAITS, Traits
from midclass.knowledge.acquisition import acquired

if TYPE_CHECKING:
    from midclass.images.prepared import Prepared
    from midclass.knowledge.nuisance import Nuisance
    from midclass.recipe.recipe import Recipe

FEWEST = 20
"""Samples of the given class from which limits are learned; of fewer there are none."""
TAIL = 0.05
BEYOND = 2.0
"""A limit lies so many times as far beyond the 5 and 95 % quantiles as they lie from the median."""
NOISE = 3.0
"""Roughness from which on an image is noise, if the given class is not as rough itself."""
MOVED = 200
"""Samples that are looked at under the recipe's nuisance."""


class Rule(NamedTuple):
    """How far a trait may always lie from the given class's median, and how it is said.

    Attributes:
        below: that far below is never a reason; a factor where ``log``.
        above: the same, above.
        log: whether the trait is a size, compared by factors.
        words: for a reason; ``{}`` is the number.
        image: whether it is of the image, and not of the mask.
    """

    below: float
    above: float
    log: bool
    words: str
    image: bool = False


NEVER = float("inf")
RULES = {
    "area": Rule(2.5, 2.5, True, "it covers {:.1%} of the sample"),
    "area_mm2": Rule(6, 6, True, "it has {:.3g} mm2"),
    "centre_y": Rule(0.15, 0.15, False, "its middle lies at {:.0%} of the height"),
    "centre_x": Rule(0.15, 0.15, False, "its middle lies at {:.0%} of the width"),
    "height": Rule(0.4, 0.25, False, "it takes {:.0%} of the height"),
    "width": Rule(0.4, 0.25, False, "it takes {:.0%} of the width"),
    "solidity": Rule(0.4, NEVER, False, "it fills {:.0%} of its outline"),
    "parts": Rule(NEVER, 5, False, "it has {:.0f} parts"),
    "border": Rule(NEVER, 0.7, False, "it lies at {:.0%} of the edge of the image"),
    "rim": Rule(0.6, 0.6, False, "what is around it is brighter by {:.2f}", True),
    "grain": Rule(8, 2, True, "its grain is {:.3f}", True),
    "roughness": Rule(8, 2, True, "its grain is {:.2f} of its spread", True),
    "flat": Rule(NEVER, 0.8, False, "{:.0%} of it is flat", True),
}
"""Trait -> rule. These numbers, and BEYOND, were chosen on the development sets."""


@dataclass(frozen=True)
class Plausible:
    """Limits of the traits of the given class; without any, everything is plausible.

    Attributes:
        limits: anatomy of the recipe by number (-1 the user's masks) -> trait -> lowest and highest
            value.
    """

    limits: Mapping[int, Mapping[str, tuple[float, float]]] = field(default_factory=dict)

    @classmethod
    def of(cls, given: Prepared, recipe: Recipe) -> Plausible:
        """Learn limits: far beyond what the given class shows, and what nuisance makes of it.

        Args:
            given: samples of the given class.
            recipe: its nuisance must not count as implausible, and samples with less anatomy than
                it asks for do not count here.
        """
        least_mm2, nuisance = recipe.geometry.least_anatomy_mm2, recipe.nuisance_operator()
        limits = {}
        for option in given.by_link():
            for link in np.unique(option.link[option.anatomy_mm2 > least_mm2]).tolist():
                rows = np.flatnonzero((option.link == link) & (option.anatomy_mm2 > least_mm2))
                if len(rows) >= FEWEST:
                    limits[link] = _limits(option.traits[rows], _moved(option, rows, nuisance))
        return cls(limits)

    def assessable(self, prepared: Prepared, least_mm2: float) -> NDArray[np.bool_]:
        """``(n,)``: which samples show more anatomy than that, of a plausible kind."""
        enough = prepared.anatomy_mm2 > least_mm2
        plausible = np.array([not reason for reason in self.reasons(prepared)], bool)
        return np.asarray(enough & plausible)

    def by_first(self, prepared: Prepared, least_mm2: float) -> Prepared:
        """Each sample by the first of the recipe's anatomies that is assessable, or by the last."""
        options = prepared.by_link()
        return prepared.by_first([self.assessable(one, least_mm2) for one in options])

    def not_assessable(self, prepared: Prepared, least_mm2: float) -> dict[int, str]:
        """Why cases are not: number of the case -> words, before a colon the kind.

        Of its samples, the one with most anatomy tells.
        """
        seen = set(prepared.case_index[self.assessable(prepared, least_mm2)].tolist())
        sizes, said, found = prepared.anatomy_mm2, self.reasons(prepared), dict[int, str]()
        for row in np.argsort(-sizes, kind="stable").tolist():
            case, size = int(prepared.case_index[row]), sizes[row]
            if case in seen or case in found:
                continue
            if size > least_mm2:
                found[case] = said[row]
            elif size:
                found[case] = (
                    f"too little anatomy: {size:.4g} mm2 of the {least_mm2:g} that are needed"
                )
            elif prepared.link[row] == OF_USER:
                found[case] = "empty mask: the manifest's mask marks nothing in the sample"
            else:
                found[case] = "no anatomy found"
        return dict(sorted(found.items()))

    def reasons(self, prepared: Prepared) -> list[str]:
        """Why each sample is not plausible; "" where it is: ``(n,)``."""
        return [
            self._reason(traits, self.limits.get(int(link), {}))
            for traits, link in zip(prepared.traits, prepared.link, strict=True)
        ]

    def _reason(self, traits: Traits, limits: Mapping[str, tuple[float, float]]) -> str:
        """In words, the trait that is farthest outside."""
        farthest, said = 0.0, ""
        for name, (low, high) in limits.items():
            value, rule = float(traits[TRAITS.index(name)]), RULES[name]
            if np.isnan(value) or low <= value <= high:
                continue
            far = _distance(value, low if value < low else high, low, high, rule)
            if far > farthest:
                bound = f"at least {low:.3g}" if value < low else f"at most {high:.3g}"
                kind = "not like the given class" if rule.image else "implausible anatomy"
                farthest, said = far, f"{kind}: {rule.words.format(value)} ({name} {bound})"
        return said

    def to_json(self) -> dict[str, Any]:
        """For a saved detector; None in place of a limit that is none."""
        return {
            str(link): {
                name: [None if np.isinf(bound) else bound for bound in bounds]
                for name, bounds in limits.items()
            }
            for link, limits in self.limits.items()
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any] | None) -> Plausible:
        """What ``to_json`` gave; detectors of earlier versions have none, and refuse nothing."""
        return cls(
            {
                int(link): {
                    name: (-NEVER if low is None else low, NEVER if high is None else high)
                    for name, (low, high) in limits.items()
                }
                for link, limits in (saved or {}).items()
            }
        )


def _moved(
    given: Prepared, rows: NDArray[np.int64], nuisance: Nuisance | None
) -> NDArray[np.float32]:
    """Traits of some samples as other acquisitions would show them."""
    if nuisance is None:
        return given.traits[:0]
    some = rows[np.linspace(0, len(rows) - 1, min(MOVED, len(rows))).astype(np.int64)]
    shown = given.at(some)
    rng = torch.Generator().manual_seed(0)
    return shown.showing(acquired(shown.batch(slice(None)), nuisance, rng)).traits


def _limits(own: NDArray[np.float32], moved: NDArray[np.float32]) -> dict[str, tuple[float, float]]:
    found = {}
    for name, rule in RULES.items():
        column = TRAITS.index(name)
        values, shown = (_scaled(some[:, column], rule) for some in (own, moved))
        if len(values) < FEWEST:  # the others have none of it
            continue
        low, middle, high = np.quantile(values, (TAIL, 0.5, 1 - TAIL))
        below, above = (np.log(far) if rule.log else far for far in (rule.below, rule.above))
        low = min(low - BEYOND * (middle - low), middle - below)
        high = max(high + BEYOND * (high - middle), middle + above)
        if len(shown):
            low, high = min(low, np.quantile(shown, 0.01)), max(high, np.quantile(shown, 0.99))
        if name == "roughness":
            high = min(high, max(np.log(NOISE), values.max() + 0.1))
        bounds = (np.exp(low), np.exp(high)) if rule.log else (low, high)
        found[name] = (float(bounds[0]), float(bounds[1]))
    return found


def _scaled(values: NDArray[np.float32], rule: Rule) -> Traits:
    told = values[np.isfinite(values)].astype(np.float64)
    return np.log(np.maximum(told, 1e-9)) if rule.log else told


def _distance(value: float, bound: float, low: float, high: float, rule: Rule) -> float:
    """How far outside, in widths of what is allowed where that is finite."""
    if rule.log:
        return float(abs(np.log(max(value, 1e-9) / bound)) / np.log(high / low))
    width = high - low
    return abs(value - bound) / width if np.isfinite(width) else abs(value - bound)
