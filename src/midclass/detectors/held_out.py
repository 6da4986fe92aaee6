"""Held out: middle classes of images that training has not seen, to choose without labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from midclass.errors import InputError
from midclass.knowledge.acquisition import acquired
from midclass.knowledge.base import Knowledge
from midclass.knowledge.nuisance import Nuisance
from midclass.recipe.recipe import Recipe
from midclass.training.lesson import FORWARD_BATCH
from midclass.types import ImageBatch

MOST = 512
"""Middle classes of all operators together: of more an AUROC hardly changes, and each is seen at
every checkpoint."""


@dataclass(frozen=True)
class HeldOutMiddles:
    """Middle classes of images that training has not seen.

    Attributes:
        images: n of them, through the nuisance.
        names: of the operator that made each.
        operators: names of all, also of those that made nothing visible.
    """

    images: ImageBatch
    names: tuple[str, ...]
    operators: tuple[str, ...]


def held_out_middles(recipe: Recipe, given: ImageBatch, rng: torch.Generator) -> HeldOutMiddles:
    """The recipe's middle classes of images that training has not seen, through the nuisance.

    Args:
        recipe: its knowledge.
        given: images of the given class, held out of training.
        rng: draws change and nuisance.

    Raises:
        InputError: no change is visible.
    """
    operators = recipe.operators()
    found = _middles(operators, recipe, given, rng)
    if not found.names:
        raise InputError(
            f"middle_classes: {', '.join(operators)} left no visible change on the {len(given)} "
            "images held out to choose with; use other operators, or more images"
        )
    return found


def undescribed_middles(recipe: Recipe, given: ImageBatch, rng: torch.Generator) -> ImageBatch:
    """Those of the recipe's ``held_out`` operators, which training does not know; maybe none."""
    return _middles(recipe.held_out_operators(), recipe, given, rng).images


def _middles(
    operators: Mapping[str, Knowledge], recipe: Recipe, given: ImageBatch, rng: torch.Generator
) -> HeldOutMiddles:
    nuisance, found = recipe.nuisance_operator(), [given[:0]]
    names: list[str] = []
    for name, operator in operators.items():
        order = torch.randperm(len(given), generator=rng)[: max(1, MOST // len(operators))]
        some = given[order.to(given.pixels.device)]
        middle = operator(some, rng)
        visible = middle.severity >= recipe.floor
        found.append(acquired(some.with_pixels(middle.pixels)[visible], nuisance, rng))
        names += [name] * len(found[-1])
    return HeldOutMiddles(ImageBatch.joined(found), tuple(names), tuple(operators))


def often_acquired(
    given: ImageBatch, nuisance: Nuisance | None, rng: torch.Generator
) -> ImageBatch:
    """The images through the nuisance; few ones several times: a median of five says little."""
    times = -(-FORWARD_BATCH // len(given))
    return ImageBatch.joined([acquired(given, nuisance, rng) for _ in range(times)])
