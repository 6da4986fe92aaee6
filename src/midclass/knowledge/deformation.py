"""Deformation: a local random warp, the part of the control that moves tissue."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._box import Box
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Lengths, Params


@dataclass(frozen=True)
class Deformation(Knowledge):
    """Tissue moved at random inside a ball, smoothly.

    Why: it says only that shape can be abnormal, not how, and so belongs to the knowledge-free
    control. Smooth local warps are a generic synthetic anomaly (Tan et al., "Detecting outliers
    with foreign patch interpolation", MELBA 2022, compares such corruptions).

    Args:
        radius_mm: of the ball that moves.
        shift_mm: largest movement inside it.
    """

    radius_mm: Lengths = (8, 30)
    shift_mm: Lengths = (2, 10)

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Place, size and a coarse field of directions."""
        n, dims = batch.spacing_mm.shape
        return {
            "place": torch.rand(n, dims, generator=rng),
            "radius_mm": fields.log_uniform(rng, n, self.radius_mm),
            "shift_mm": fields.uniform(rng, n, self.shift_mm),
            "field": torch.randn(n, dims, *(5,) * dims, generator=rng),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """The warped image, where it moved by a good part of a sample."""
        return fields.displaced(batch, *self._shift(batch, params))

    def sham_tissue(self, batch: ImageBatch, params: Params) -> Tensor:
        """The blur of the warp without its movement."""
        return fields.blurred_as_displaced(batch, *self._shift(batch, params))

    def _shift(self, batch: ImageBatch, params: Params) -> tuple[Box, list[Tensor]]:
        """The ball's box, and where its samples are fetched from, in mm."""
        centre = fields.centre_of(batch, params["place"], None)
        radius = params["radius_mm"].to(centre.device)
        away = [part.flatten(1) / radius.unsqueeze(1) for part in Box.whole(batch).away_mm(centre)]
        # The field's axes are those of ``grid_sample``, the last one first.
        turned = params["field"].permute(0, 1, *reversed(range(2, batch.pixels.ndim)))
        field = fields.on_lines(turned, away)
        longest = field.square().sum(1).flatten(1).amax(1).sqrt().clamp_min(1e-6)
        # A third of the radius at most, so that tissue hardly folds.
        amount = torch.minimum(params["shift_mm"].to(centre.device), radius / 3)

        box = Box.around(batch, centre, radius.unsqueeze(1))
        from_centre = box.away_mm(centre)
        relative2 = fields.total([part.square() for part in from_centre])
        window = (1 - relative2 / fields.column(radius, relative2).square()).clamp_min(0).square()
        window = window * fields.column(amount / longest, window)
        return box, [part.unsqueeze(1) * window for part in box.cut(field).unbind(1)]
