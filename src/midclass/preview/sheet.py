"""Contact sheet: what a recipe's knowledge makes of given-class images, before any training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.evaluation.panel import Panel
from midclass.images.tiles import to_learn_from
from midclass.preview.page import Block, Strip

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from midclass.images.prepare import Prepared
    from midclass.knowledge.base import Knowledge
    from midclass.recipe.recipe import Recipe
    from midclass.types import ImageBatch


DRAWS = 24
"""What each operator draws for each image, to choose from by severity."""


def block(prepared: Prepared, recipe: Recipe, n: int, seed: int, images: str) -> Block:
    """At most n given-class images, and what each operator makes of them, faint to clear.

    Every operator draws ``DRAWS`` times for each image; shown are draws at even steps of the
    severities measured, from left to right. Operators draw for all prepared images at once, since
    some take tissue of other patients.

    Args:
        prepared: the candidates.
        recipe: whose knowledge to show.
        n: number of images.
        seed: of the draws.
        images: what the images are, for readers.

    Raises:
        InputError: no image shows any anatomy.
    """
    import torch

    prepared = to_learn_from(prepared, recipe.geometry, seed, most=0)  # of view tiles one of each
    rows = np.flatnonzero(prepared.assessable)
    if not len(rows):
        names = " or ".join(recipe.anatomies)
        raise InputError(f"{prepared.cases.name}: no image in which {names} finds anything")
    batch = prepared.batch(rows)
    shown = _full_tiles(batch, n)
    rng = torch.Generator().manual_seed(seed)
    groups = (
        ("middle class", recipe.middle_classes, recipe.operators()),
        ("held out: never trained on", recipe.held_out, recipe.held_out_operators()),
    )
    return Block(
        recipe.given_class,
        f"{images}. A column is one image, the line its anatomy. Below: what is made of it, "
        "fainter on the left, clearer on the right.",
        _given(batch[shown]),
        [
            Strip(
                name.replace("_", " "),
                kind,
                entries[name].title,
                entries[name].reason,
                _faint_to_clear(operator, batch, shown, recipe.floor, rng),
            )
            for kind, entries, operators in groups
            for name, operator in operators.items()
        ],
    )


def _full_tiles(batch: ImageBatch, n: int) -> Tensor:
    """Rows of n images of the half that shows most anatomy, so that tiles are not empty."""
    size = batch.anatomy.flatten(1).sum(1)
    most = size.argsort(descending=True, stable=True)[: max(n, len(batch) // 2)]
    return most.sort().values[:n]


def _given(batch: ImageBatch) -> list[Panel]:
    return [
        Panel(pixels.numpy(), anatomy[0].numpy(), spacing_mm=(float(mm[0]), float(mm[1])))
        for pixels, anatomy, mm in zip(batch.pixels, batch.anatomy, batch.spacing_mm, strict=True)
    ]


def _faint_to_clear(
    operator: Knowledge, batch: ImageBatch, shown: Tensor, floor: float, rng: torch.Generator
) -> list[Panel]:
    draws = []
    for _ in range(DRAWS):
        params = operator.draw(batch, rng)
        some = {name: values[shown] for name, values in params.items()}
        draws.append(operator.apply(batch[shown], some))
    severity = np.stack([middle.severity.numpy() for middle in draws])
    return [
        Panel(
            draws[k].pixels[j].numpy(),
            heat=draws[k].change[j, 0].numpy(),
            text=f"severity {severity[k, j]:.2f}",
        )
        for j, k in enumerate(rising(severity, floor))
    ]


def rising(severity: NDArray[np.floating[Any]], floor: float) -> list[int]:
    """Which draw to show of each image, so that severity rises in even steps of its ranks.

    Args:
        severity: ``(draws, images)``.
        floor: what is fainter is never trained on, and shown only where there is nothing else.

    >>> rising(np.array([[0.1, 0.1, 0.1], [0.5, 0.5, 0.5], [0.9, 0.9, 0.9]]), floor=0.05)
    [0, 1, 2]
    """
    visible = severity[severity >= floor]
    n = severity.shape[1]
    steps = np.linspace(0.05, 0.95, n) if n > 1 else 0.5
    aims = np.atleast_1d(np.quantile(visible if visible.size else severity, steps))
    most = severity.max(0)
    most = np.where(most >= floor, most, np.inf)  # what is faint in all draws holds no other back
    most = np.minimum.accumulate(most[::-1])[::-1]  # what the later ones can follow
    chosen: list[int] = []
    least = floor
    for aim, of_image, limit in zip(np.minimum(aims, most), severity.T, most, strict=True):
        rises = of_image >= least
        choices = (rises & (of_image <= limit), rises, of_image >= floor, of_image >= 0)
        allowed = np.flatnonzero(next(choice for choice in choices if choice.any()))
        chosen.append(int(allowed[np.abs(of_image[allowed] - aim).argmin()]))
        least = max(least, of_image[chosen[-1]])
    return chosen
