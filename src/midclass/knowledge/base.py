"""Knowledge: what every operator promises, kept in one place."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

from midclass.knowledge._box import Box
from midclass.knowledge._visibility import FAINTEST, severity_of, within_border
from midclass.types import ImageBatch, Middle, Params


def unblended(batch: ImageBatch, pixels: Tensor, alpha: Tensor) -> tuple[Tensor, Tensor]:
    """What ``render`` says of images into which knowledge has gone already.

    Args:
        batch: the images before.
        pixels: after: ``old + alpha * (new - old)``.
        alpha: ``(n, 1, *spatial)``.

    Returns:
        New and alpha; the old where alpha is 0.
    """
    whole = torch.where(alpha > 0, alpha, 1)
    return batch.pixels + (pixels - batch.pixels) / whole, alpha


class Knowledge(ABC):
    """Medical knowledge as an operator: given-class images in, one middle class out.

    A subclass is a dataclass of ranges and fills two holes (three, where it resamples tissue).
    ``draw`` takes small random numbers from the generator, on the CPU, one row per image, so that
    a draw can be repeated on any device, recorded, and cut into smaller batches. ``render`` is a
    pure function that says what the tissue would look like (``new``) and how much of it is there
    (``alpha``)::

        pixels = old + alpha * (new - old)        # alpha is 0 outside the anatomy

    The docstring of a subclass says why the knowledge holds, with a source.
    """

    border_mm: ClassVar[float] = 1.0
    """How softly a change ends at the anatomy's border, so that the mask leaves no edge.

    In a field below 35 mm it is less by as much as the field is smaller."""

    @abstractmethod
    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Choose, for each image, what to change: tensors with ``len(batch)`` rows."""

    @abstractmethod
    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """The changed tissue ``(n, c, *spatial)`` and its share ``(n, 1, *spatial)`` in [0, 1]."""

    def sham_tissue(self, batch: ImageBatch, params: Params) -> Tensor | None:
        """The old tissue after the processing of ``render``; None where that leaves no trace."""
        return None

    def apply(self, batch: ImageBatch, params: Params) -> Middle:
        """Make the middle class; the input is left as it is."""
        box, old, new, alpha = self._blended(batch, *self.render(batch, params))
        rated = severity_of(batch, new - old, alpha)
        return Middle(box.paste(new, batch.pixels), box.alone(alpha), rated)

    def sham(self, batch: ImageBatch, params: Params) -> Tensor:
        """The same processing with no change: pixels for the given class, seams included."""
        tissue = self.sham_tissue(batch, params)
        if tissue is None:
            return batch.pixels
        _, alpha = self.render(batch, params)
        box, _, new, _ = self._blended(batch, tissue, alpha)
        return box.paste(new, batch.pixels)

    def _blended(
        self, batch: ImageBatch, new: Tensor, alpha: Tensor
    ) -> tuple[Box, Tensor, Tensor, Tensor]:
        """The box that holds the change; in it the old pixels, the new ones and their share."""
        box = Box.holding(batch, alpha, FAINTEST)
        old, new, alpha = box.cut(batch.pixels), box.cut(new), box.cut(alpha)
        alpha = alpha.clamp(0, 1) * within_border(batch, self.border_mm, box)
        alpha = torch.where(alpha > FAINTEST, alpha, 0)
        return box, old, torch.lerp(old, new.clamp(0, 1), alpha.expand_as(old)), alpha

    def __call__(self, batch: ImageBatch, rng: torch.Generator) -> Middle:
        """Draw and apply."""
        return self.apply(batch, self.draw(batch, rng))
