"""Plausible: does a sample look as the given class does, so that a detector may judge it?

A network finds a head in noise, and a detector that has learned heads calls it normal. So what the
given class looks like in a few numbers (``images.traits``) is learned with it, and a sample far
outside is not assessed. The danger is to refuse disease: brightness and contrast inside the
anatomy are no reason, and the limits are wide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from midclass.detectors.likeness import LIKENESS, Likeness
from midclass.detectors.limits import NEVER, RULES, Limits, Rule, distance, limit_of, scaled
from midclass.images.sample import OF_USER
from midclass.images.traits import TRAITS, Traits
from midclass.knowledge.acquisition import acquired

if TYPE_CHECKING:
    from midclass.images.prepared import Prepared
    from midclass.knowledge.nuisance import Nuisance
    from midclass.recipe.recipe import Recipe

EMPTY = "nothing to see: all of the anatomy has one value"
ONE_VALUE = 2 / 65535
"""Standard deviation that rounding leaves; whatever the given class is like, nothing is seen."""
_SPREAD = TRAITS.index("spread")
FEWEST = 20
"""Samples of the given class from which limits are learned; of fewer there are none."""
TOGETHER = 2.5
"""Sum of the squares of all distances from the medians (1: at a limit) that is too much."""
SLACK = 0.25
"""How much farther than nuisance led the samples that were tried a limit lies at least."""
MOVED, MOVED_SAMPLES = 200, 2**25
"""Images that are looked at under the recipe's nuisance, and points of their grids in all."""


@dataclass(frozen=True)
class Plausible:
    """Limits of the traits of the given class; without any, everything is plausible.

    Attributes:
        limits: anatomy of the recipe by number (-1 the user's masks) -> trait -> its limits.
        likeness: the same -> what whole images look like from afar, where they look alike.
    """

    limits: Mapping[int, Mapping[str, Limits]] = field(default_factory=dict)
    likeness: Mapping[int, Likeness] = field(default_factory=dict)

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
        limits, likeness = {}, dict[int, Likeness]()
        for option in given.by_link():
            for link in np.unique(option.link[option.anatomy_mm2 > least_mm2]).tolist():
                rows = np.flatnonzero((option.link == link) & (option.anatomy_mm2 > least_mm2))
                if len(rows) >= FEWEST:
                    limits[link] = _limits(option, rows, rules, nuisance)
                    if recipe.geometry.shows_all:
                        likeness |= Likeness.of(option.at(rows), link, nuisance)
        return cls(limits, likeness)

    def assessable(self, prepared: Prepared, least_mm2: float) -> NDArray[np.bool_]:
        """``(n,)``: which samples show more anatomy than that, of a plausible kind."""
        plausible = np.array([not reason for reason in self.reasons(prepared)], bool)
        return np.asarray(plausible & (prepared.anatomy_mm2 > least_mm2))

    def by_first(self, prepared: Prepared, least_mm2: float) -> Prepared:
        """Each sample by the first of the recipe's anatomies that is assessable, or by the last.

        Samples that are so already, by these rules, or have one anatomy alone, stay as they are.
        """
        settled = f"by the first of more than {least_mm2} mm2"
        if prepared.store.each == 1 or prepared.once(settled, self, lambda: False):
            return prepared
        found = prepared.by_first([self.assessable(o, least_mm2) for o in prepared.by_link()])
        found.once(settled, self, lambda: True)
        return found

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
        return prepared.once("reasons", self, lambda: self._reasons(prepared))

    def _reasons(self, prepared: Prepared) -> list[str]:
        said = [
            EMPTY
            if traits[_SPREAD] <= ONE_VALUE
            else self._reason(traits, self.limits.get(int(link), {}))
            for traits, link in zip(prepared.traits, prepared.link, strict=True)
        ]
        for link, alike in self.likeness.items():
            rows = np.flatnonzero(prepared.link == link)
            for row, reason in zip(rows.tolist(), alike.reasons(prepared.at(rows)), strict=True):
                said[row] = said[row] or reason
        return said

    def _reason(self, traits: Traits, limits: Mapping[str, Limits]) -> str:
        """In words, the trait that is farthest outside; or those that are near a limit together."""
        values = {name: float(traits[TRAITS.index(name)]) for name in limits}
        far = {
            name: distance(value, limits[name], RULES[name])
            for name, value in values.items()
            if not np.isnan(value)
        }
        outer = sorted(far, key=lambda name: -far[name])
        if outer and far[outer[0]] > 1:
            name = outer[0]
            value, (low, middle, high), rule = values[name], limits[name], RULES[name]
            bound, how = (low, "at least") if value < middle else (high, "at most")
            kind = "not like the given class" if rule.image else "implausible anatomy"
            said, other = rule.beside(value, bound)
            return f"{kind}: {said}, {how} {other} is like the given class"
        if sum(one**2 for one in far.values()) > TOGETHER:
            said = ", ".join(RULES[name].said(values[name]) for name in outer[:3])
            return f"not like the given class: in several ways at once ({said})"
        return ""

    def to_json(self) -> dict[str, Any]:
        """For a saved detector; None in place of a limit that is none."""
        return {
            str(link): {
                name: [None if np.isinf(bound) else bound for bound in bounds]
                for name, bounds in limits.items()
            }
            | ({LIKENESS: self.likeness[link].to_json()} if link in self.likeness else {})
            for link, limits in self.limits.items()
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any] | None) -> Plausible:
        """What ``to_json`` gave; detectors of earlier versions have none, and refuse nothing.

        Raises:
            ValueError: a trait that is none, or limits out of order.
        """
        limits, likeness = dict[int, dict[str, Limits]](), dict[int, Likeness]()
        for link, traits in (saved or {}).items():
            for name, bounds in traits.items():
                if name == LIKENESS:
                    likeness[int(link)] = Likeness.from_json(bounds)
                    continue
                low, middle, high = bounds
                found = Limits(
                    -NEVER if low is None else low, middle, NEVER if high is None else high
                )
                if name not in RULES or not found.low <= found.middle <= found.high:
                    raise ValueError(f"plausible: {name[:80]!r} has the limits {tuple(found)}")
                limits.setdefault(int(link), {})[name] = found
        return cls(limits, likeness)


def _limits(
    given: Prepared,
    rows: NDArray[np.int64],
    rules: Mapping[str, Rule],
    nuisance: Nuisance | None,
) -> dict[str, Limits]:
    """Of some of the samples; where they are within, nuisance must not lead out."""
    columns = given.traits[rows].astype(np.float64).T
    known = {name: columns[TRAITS.index(name)] for name in rules}
    known = {name: values[np.isfinite(values)] for name, values in known.items()}
    found = {n: limit_of(v, rules[n]) for n, v in known.items() if len(v) >= FEWEST}
    if nuisance is None:
        return found
    alike = Plausible(dict.fromkeys(np.unique(given.link[rows]).tolist(), found))
    some = given.at(rows)
    within = np.flatnonzero([not reason for reason in alike.reasons(some)])
    if not len(within):
        return found
    count = min(MOVED, len(within), max(1, MOVED_SAMPLES // math.prod(given.shape[2:])))
    some = some.at(within[np.linspace(0, len(within) - 1, count).astype(int)])
    rng = torch.Generator().manual_seed(0)
    moved = some.showing(acquired(some.batch(slice(None)), nuisance, rng)).traits
    for name, known_limits in list(found.items()):
        values = moved[:, TRAITS.index(name)].astype(np.float64)
        seen = scaled(values[np.isfinite(values)], rules[name])
        if not len(seen):
            continue
        least, centre, most = np.quantile(seen, (0.01, 0.5, 0.99))
        ends = [end + SLACK * (end - centre) for end in (least, most)]
        least, most = np.exp(ends) if rules[name].log else ends
        low, high = min(known_limits.low, float(least)), max(known_limits.high, float(most))
        found[name] = known_limits._replace(low=low, high=high)
    return found
