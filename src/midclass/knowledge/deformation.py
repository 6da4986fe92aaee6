"""Deformation: a local random warp, the part of the control that moves tissue."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
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
        shift = self._shift(batch, params)
        samples = (shift / fields.row(batch.spacing_mm, batch)).norm(dim=-1)
        return fields.warp(batch, shift), samples.clamp_max(1).unsqueeze(1)

    def sham_tissue(self, batch: ImageBatch, params: Params) -> Tensor:
        """The blur of the warp without its movement."""
        return fields.warp(batch, fields.less_than_a_sample(batch, self._shift(batch, params)))

    def _shift(self, batch: ImageBatch, params: Params) -> Tensor:
        centre = fields.centre_of(batch, params["place"], None)
        from_centre = fields.positions_mm(batch) - fields.row(centre, batch)
        radius = fields.column(params["radius_mm"], from_centre)
        relative2 = (from_centre / radius).square().sum(-1, keepdim=True)
        window = (1 - relative2).clamp_min(0).square()
        field = fields.smooth_noise(params["field"], from_centre / radius, reach=1.0)
        direction = field.movedim(1, -1)
        longest = direction.flatten(1, -2).norm(dim=-1).amax(1).clamp_min(1e-6)
        # A third of the radius at most, so that tissue hardly folds.
        amount = torch.minimum(params["shift_mm"], params["radius_mm"] / 3).to(longest.device)
        return direction * window * fields.column(amount / longest, direction)
