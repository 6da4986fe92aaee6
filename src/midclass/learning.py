"""Learning: the images that a detector learns from, seen through the nuisance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from midclass.images.prepare import Prepared
from midclass.knowledge.nuisance import Nuisance
from midclass.types import ImageBatch

AT_ONCE = 64
"""Images that go through a network together where nothing is learned."""


@dataclass(frozen=True)
class LearningImages:
    """Prepared images of one class, as they are and as other acquisitions would show them.

    Attributes:
        prepared: the images.
        rows: int ``(n,)``: those of them to use, at least one.
        nuisance: acquisition variation, or None.
        device: where batches go.
    """

    prepared: Prepared
    rows: NDArray[np.int64]
    nuisance: Nuisance | None
    device: torch.device

    def draw(self, n: int, rng: torch.Generator) -> ImageBatch:
        """Any n images, as they are."""
        drawn = torch.randint(len(self.rows), (n,), generator=rng).numpy()
        return self.prepared.batch(self.rows[drawn]).to(self.device)

    def draw_acquired(self, n: int, rng: torch.Generator) -> ImageBatch:
        """Any n images, seen through the nuisance."""
        return acquired(self.draw(n, rng), self.nuisance, rng)

    def few(self, n: int) -> LearningImages:
        """The first n images at most."""
        return replace(self, rows=self.rows[:n])

    def collect(self, look: Callable[[ImageBatch], Tensor]) -> Tensor:
        """What a function gives for every image as it is: ``(n, ...)``, on the CPU."""
        return _joined(look, self._batches())

    def collect_twice(self, look: Callable[[ImageBatch], Tensor], rng: torch.Generator) -> Tensor:
        """The same, followed by every image seen through the nuisance: ``(2n, ...)``."""
        if self.nuisance is None:
            return self.collect(look)
        seen = (acquired(batch, self.nuisance, rng) for batch in self._batches())
        return torch.cat([self.collect(look), _joined(look, seen)])

    def _batches(self) -> Iterator[ImageBatch]:
        for start in range(0, len(self.rows), AT_ONCE):
            yield self.prepared.batch(self.rows[start : start + AT_ONCE]).to(self.device)


@torch.inference_mode()
def _joined(look: Callable[[ImageBatch], Tensor], batches: Iterable[ImageBatch]) -> Tensor:
    return torch.cat([look(batch).cpu() for batch in batches])


def acquired(images: ImageBatch, nuisance: Nuisance | None, rng: torch.Generator) -> ImageBatch:
    """The images as other acquisitions would show them."""
    if nuisance is None or not len(images):
        return images
    unchanged = torch.zeros_like(images.anatomy, dtype=torch.float32)
    return nuisance.apply(images, nuisance.draw(images, rng), unchanged)[0]
