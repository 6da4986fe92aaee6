"""Held out: images and knowledge that training has not seen, to choose with and without labels."""

from __future__ import annotations

import torch

from midclass.errors import InputError
from midclass.knowledge.acquisition import acquired
from midclass.knowledge.nuisance import Nuisance
from midclass.recipe.recipe import Recipe
from midclass.training.lesson import FORWARD_BATCH
from midclass.types import ImageBatch


def held_out_middles(recipe: Recipe, given: ImageBatch, rng: torch.Generator) -> list[ImageBatch]:
    """Middle classes of operators not in the recipe's knowledge, seen through the nuisance.

    Args:
        recipe: its ``held_out`` operators, or else its knowledge.
        given: images of the given class, held out of training.
        rng: draws change and nuisance.

    Raises:
        InputError: no change is visible.
    """
    operators = recipe.held_out_operators() or recipe.operators()
    nuisance, middles = recipe.nuisance_operator(), []
    for operator in operators.values():
        middle = operator(given, rng)
        visible = middle.severity >= recipe.floor
        middles.append(acquired(given.with_pixels(middle.pixels)[visible], nuisance, rng))
    if not sum(len(images) for images in middles):
        raise InputError(
            f"held_out: {', '.join(operators)} left no visible change on the {len(given)} "
            "images held out to choose with; use other operators, or more images"
        )
    return middles


def often_acquired(
    given: ImageBatch, nuisance: Nuisance | None, rng: torch.Generator
) -> ImageBatch:
    """The images through the nuisance; few ones several times: a median of five says little."""
    times = -(-FORWARD_BATCH // len(given))
    return ImageBatch.joined([acquired(given, nuisance, rng) for _ in range(times)])
