"""Subject: one operator on one batch, run as often as the promises ask, each time on copies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch

from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Middle, Params


@dataclass(frozen=True)
class Subject:
    """An operator, the images that it is tried on and the seed of its draw.

    Every run is on copies of images and draw, so that an operator that writes into its input is
    found by the one promise about that and spoils no other check.
    """

    operator: Knowledge
    batch: ImageBatch
    seed: int

    def draw(self, batch: ImageBatch | None = None, seed: int | None = None) -> Params:
        """What the operator draws from a new generator."""
        rng = torch.Generator().manual_seed(self.seed if seed is None else seed)
        return self.operator.draw(copied(self.batch if batch is None else batch), rng)

    def apply(self, batch: ImageBatch | None = None, params: Params | None = None) -> Middle:
        """The middle class of the images, or of others."""
        chosen = self.params if params is None else params
        return self.operator.apply(
            copied(self.batch if batch is None else batch),
            {name: values.clone() for name, values in chosen.items()},
        )

    @cached_property
    def params(self) -> Params:
        """The draw of the seed."""
        return self.draw()

    @cached_property
    def middle(self) -> Middle:
        """The middle class of the draw."""
        return self.apply()


def copied(batch: ImageBatch) -> ImageBatch:
    """The same images in other memory."""
    return ImageBatch(batch.pixels.clone(), batch.anatomy.clone(), batch.spacing_mm.clone())
