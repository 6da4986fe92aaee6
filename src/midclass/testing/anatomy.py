"""The law of every anatomy: where disease can be does not depend on the disease.

No lesion moves it, and none falls out of it: what an anatomy cuts out nobody looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from midclass.knowledge.acquisition import one_part, sides
from midclass.knowledge.base import Knowledge
from midclass.knowledge.nuisance import Nuisance
from midclass.types import ImageBatch

AnatomyFunction = Callable[[NDArray[np.float32], tuple[float, ...]], NDArray[np.bool_]]

OF_DISEASE = 0.95
"""Least mean overlap of the anatomy before and after a middle class is put in."""
OF_LESION = 0.80
"""Least mean share of a lesion that still lies in the anatomy once it is there. A lesion is small
beside its organ: an anatomy can lose all of it and overlap with itself by more than is asked."""
OF_NUISANCE = 0.90
"""Least mean overlap of the moved anatomy and that of the moved image."""


@dataclass(frozen=True)
class Overlap:
    """How well an anatomy keeps its place under one change.

    Attributes:
        name: of the middle class, or of the nuisance with the end of its range.
        least: what the law asks of the mean.
        dice: Dice overlaps ``(n,)``, of the images in which an anatomy was found.
        held: of a middle class, which share of each lesion lies in the anatomy afterwards; a lesion
            is what is more than half changed, and where nothing is, none counts.
    """

    name: str
    least: float
    dice: NDArray[np.float64]
    held: NDArray[np.float64]

    @property
    def of_disease(self) -> bool:
        """Whether the change is a middle class, and no nuisance."""
        return self.least == OF_DISEASE

    @property
    def kept(self) -> bool:
        """Whether the law is kept."""
        return self.stays and self.holds

    @property
    def stays(self) -> bool:
        """Whether the anatomy as a whole is where it was."""
        return bool(self.dice.mean() >= self.least)

    @property
    def holds(self) -> bool:
        """Whether lesions are looked at: they lie in the anatomy."""
        return not len(self.held) or bool(self.held.mean() >= OF_LESION)


def anatomy_overlaps(
    function: AnatomyFunction,
    images: Iterable[tuple[NDArray[np.float32], tuple[float, ...]]],
    operators: Mapping[str, Knowledge],
    nuisance: Nuisance | None,
    seed: int = 0,
) -> list[Overlap]:
    """What each middle class, and each nuisance at either end of its range, does to an anatomy.

    Args:
        function: the anatomy.
        images: pixels ``(c, *spatial)`` in [0, 1] with their spacing in mm, of any sizes.
        operators: of the middle classes, by name.
        nuisance: of the recipe, or None.
        seed: of all draws.

    Returns:
        One for each change; none where no image has any anatomy.

    >>> from midclass.knowledge.focal import Focal
    >>> square = np.zeros((1, 64, 64), np.float32)
    >>> square[:, 8:56, 8:56] = 0.5
    >>> def bright(pixels, spacing_mm):  # takes a bright lesion for the whole organ
    ...     return pixels[0] > 0.8 * pixels.max()
    >>> lesion = {"mass": Focal(contrast_sigma=(40, 40))}
    >>> anatomy_overlaps(bright, [(square, (1.0, 1.0))], lesion, None)[0].kept
    False
    """
    found: dict[tuple[str, float], list[tuple[float, float]]] = {}
    for number, (pixels, spacing) in enumerate(images):
        mask = np.asarray(function(pixels, spacing))
        if not mask.any():
            continue
        batch = ImageBatch.of(
            torch.from_numpy(pixels)[None], torch.from_numpy(mask)[None, None], spacing
        )
        rng = torch.Generator().manual_seed(seed + number)
        for name, operator in operators.items():
            middle = operator(batch, rng)
            after = np.asarray(function(middle.pixels[0].clamp(0, 1).numpy(), spacing))
            lesion = middle.change[0, 0].numpy() > 0.5
            held = float(after[lesion].mean()) if lesion.any() else np.nan
            found.setdefault((name, OF_DISEASE), []).append((_dice(mask, after), held))
        if nuisance is None:
            continue
        for part, side in [(part, end) for part, ends in sides(nuisance).items() for end in ends]:
            params = one_part(nuisance, part, side, 1.0, batch, seed + number)
            elsewhere, shown = nuisance.apply(batch, params, torch.ones_like(batch.pixels[:, :1]))
            after = function(elsewhere.pixels[0].clamp(0, 1).numpy(), spacing)
            seen = shown[0, 0].numpy() > 0.5  # beyond the image's border nothing is known
            overlap = _dice(elsewhere.anatomy[0, 0].numpy() & seen, after & seen)
            found.setdefault((f"{part} {side:+d}", OF_NUISANCE), []).append((overlap, np.nan))
    overlaps = []
    for (name, least), pairs in found.items():
        dice, shares = np.array(pairs).T
        overlaps.append(Overlap(name, least, dice, shares[~np.isnan(shares)]))
    return overlaps


def _dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float((2 * (one & other).sum() + 1) / (one.sum() + other.sum() + 1))
