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
TAIL = 0.1
"""Share of the given class at either end that does not count: some of it may be something else."""
BEYOND = 3.0
"""A limit lies so many times as far beyond these quantiles as they lie from the median."""
SLACK = 0.25
"""How much farther than nuisance led the samples that were tried a limit lies at least."""
MOVED = 200
"""Samples that are looked at under the recipe's nuisance."""


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
    "grain": Rule(NEVER, 2, True, "the grain inside is {}", ".3f", True, fine=0.03),
    "roughness": Rule(NEVER, 2, True, "the grain is {} of the spread", ".2f", True, 0.5, most=3),
    "detail": Rule(8, NEVER, True, "the detail is {} of the spread", ".3f", True),
    "flat": Rule(NEVER, 0.8, False, "{} of it is flat", ".0%", True),
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

        Of squares around a place (view ``roi``) the mask is no reason: it is cut off wherever the
        user looks, and disease may lie at its border.

        Args:
            given: samples of the given class.
            recipe: its nuisance must not count as implausible, and samples with less anatomy than
                it asks for do not count here.
        """
        least_mm2, nuisance = recipe.geometry.least_anatomy_mm2, recipe.nuisance_operator()
        rules = {n: one for n, one in RULES.items() if one.image or recipe.geometry.view != "roi"}
        limits = {}
        for option in given.by_link():
            for link in np.unique(option.link[option.anatomy_mm2 > least_mm2]).tolist():
                rows = np.flatnonzero((option.link == link) & (option.anatomy_mm2 > least_mm2))
                if len(rows) >= FEWEST:
                    limits[link] = _limits(option, rows, rules, nuisance)
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
                bound, how = (low, "at least") if value < low else (high, "at most")
                kind = "not like the given class" if rule.image else "implausible anatomy"
                words = rule.words.format(format(value, rule.number))
                likely = f"{how} {format(bound, rule.number)} is like the given class"
                farthest, said = far, f"{kind}: {words}, {likely}"
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


def _limits(
    given: Prepared,
    rows: NDArray[np.int64],
    rules: Mapping[str, Rule],
    nuisance: Nuisance | None,
) -> dict[str, tuple[float, float]]:
    """Of some of the samples; where they are within, nuisance must not lead out."""
    columns = given.traits[rows].astype(np.float64).T
    known = {name: columns[TRAITS.index(name)] for name in rules}
    known = {name: values[np.isfinite(values)] for name, values in known.items()}
    found = {n: _limit(v, rules[n]) for n, v in known.items() if len(v) >= FEWEST}
    if nuisance is None:
        return found
    alike = Plausible(dict.fromkeys(np.unique(given.link[rows]).tolist(), found))
    some = given.at(rows)
    within = np.flatnonzero([not reason for reason in alike.reasons(some)])
    if not len(within):
        return found
    some = some.at(within[np.linspace(0, len(within) - 1, min(MOVED, len(within))).astype(int)])
    rng = torch.Generator().manual_seed(0)
    moved = some.showing(acquired(some.batch(slice(None)), nuisance, rng)).traits
    for name, (low, high) in found.items():
        values = moved[:, TRAITS.index(name)].astype(np.float64)
        scaled = _scaled(values[np.isfinite(values)], rules[name])
        least, middle, most = np.quantile(scaled, (0.01, 0.5, 0.99))
        ends = [end + SLACK * (end - middle) for end in (least, most)]
        least, most = np.exp(ends) if rules[name].log else ends
        found[name] = min(low, float(least)), max(high, float(most))
    return found


def _limit(values: Traits, rule: Rule) -> tuple[float, float]:
    """Lowest and highest value of one trait."""
    scaled = _scaled(values, rule)
    low, middle, high = np.quantile(scaled, (TAIL, 0.5, 1 - TAIL))
    below, above = (np.log(far) if rule.log else far for far in (rule.below, rule.above))
    lowest = min(low - BEYOND * (middle - low), middle - below)
    highest = max(high + BEYOND * (high - middle), middle + above)
    bounds = (np.exp(lowest), np.exp(highest)) if rule.log else (lowest, highest)
    most = rule.most if 1.5 * np.quantile(values, 1 - TAIL) < rule.most else NEVER
    return float(bounds[0]), float(min(max(bounds[1], rule.fine), most))


def _scaled(values: Traits, rule: Rule) -> Traits:
    return np.log(np.maximum(values, 1e-9)) if rule.log else values


def _distance(value: float, bound: float, low: float, high: float, rule: Rule) -> float:
    """How far outside, in widths of what is allowed where that is finite."""
    if rule.log:
        value, bound, low, high = (float(np.log(max(v, 1e-9))) for v in (value, bound, low, high))
    width = high - low
    return abs(value - bound) / width if np.isfinite(width) else abs(value - bound)
