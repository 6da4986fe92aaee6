"""Crescent: a collection between the organ and its wall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from midclass.knowledge import _fields as fields
from midclass.knowledge._visibility import tissue_sigma
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Lengths, Params, Range


@dataclass(frozen=True)
class Crescent(Knowledge):
    """A crescent (subdural) or lens (epidural) against the border of the anatomy.

    Why: subdural blood spreads under the inner table in a crescent that follows the skull;
    epidural blood is held by the sutures and bulges inwards as a lens; both are 3 to 25 mm thick
    (Bullock et al., Neurosurgery 58:S2-7 and S2-16, 2006). A crescent is what the anatomy loses
    when it is moved away from its wall by the thickness; a lens is what a ball centred near the
    wall takes of it. Neither needs a distance transform, and both work in 2-D and 3-D.

    Args:
        shape: crescent, lens, or either with equal chance.
        sign: whether the collection is brighter or darker than the tissue.
        thickness_mm: at its thickest, log-uniform.
        arc_mm: extent along the wall.
        contrast_sigma: difference in standard deviations of the tissue.
        edge_mm: width of the inner transition.
    """

    shape: Literal["crescent", "lens", "either"] = "either"
    sign: Literal["bright", "dark"] = "bright"
    thickness_mm: Lengths = (3, 20)
    arc_mm: Lengths = (20, 140)
    contrast_sigma: Range = (1.5, 6.0)
    edge_mm: Lengths = (0.5, 2.5)

    border_mm: ClassVar[float] = 0.0  # it lies against the wall: no soft end there

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Side, thickness, arc and contrast of one collection per image."""
        n, dims = batch.spacing_mm.shape
        lens = {"crescent": 0.0, "lens": 1.0, "either": 0.5}[self.shape]
        return {
            "direction": fields.rotation(rng, n, dims)[:, 0],
            "lens": (torch.rand(n, generator=rng) < lens).float(),
            "thickness_mm": fields.log_uniform(rng, n, self.thickness_mm),
            "arc_mm": fields.uniform(rng, n, self.arc_mm),
            "contrast_sigma": fields.uniform(rng, n, self.contrast_sigma),
            "edge_mm": fields.uniform(rng, n, self.edge_mm),
            "texture": torch.randn(n, 1, *(8,) * dims, generator=rng),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Old tissue plus the contrast, where the collection is."""
        like = batch.pixels
        crescent = self._crescent(batch, params)
        lens = self._lens(batch, params)
        alpha = torch.where(fields.column(params["lens"], like) > 0, lens, crescent)
        grain = 1 + 0.15 * fields.smooth_field(params["texture"], batch, params["thickness_mm"])
        contrast = params["contrast_sigma"].to(like.device) * tissue_sigma(batch)
        step = fields.column(contrast, like) * grain
        return like + (step if self.sign == "bright" else -step), alpha

    def _crescent(self, batch: ImageBatch, params: Params) -> Tensor:
        """What the anatomy loses when it moves off its wall, less and less along the arc."""
        place, contact, direction = _wall(batch, params["direction"])
        along_mm = (place - contact).norm(dim=-1, keepdim=True)
        half_arc = fields.column(params["arc_mm"], place) / 2
        taper = (1 - (along_mm / half_arc).square()).clamp_min(0)
        shift_mm = direction * fields.column(params["thickness_mm"], place) * taper
        grid = fields.identity_grid(batch) + fields.to_grid(batch, shift_mm)
        moved = functional.grid_sample(batch.anatomy.float(), grid, align_corners=True)
        return batch.anatomy * (1 - moved)

    def _lens(self, batch: ImageBatch, params: Params) -> Tensor:
        """What a ball takes of the anatomy; chord and depth give its radius."""
        place, contact, direction = _wall(batch, params["direction"])
        depth = fields.column(params["thickness_mm"], place)
        half_chord = torch.minimum(fields.column(params["arc_mm"], place) / 2, 2.5 * depth)
        radius = (half_chord.square() + depth.square()) / (2 * depth)
        from_middle = (place - contact - direction * (radius - depth)).norm(dim=-1, keepdim=True)
        edge = fields.column(params["edge_mm"], place)
        ball = torch.sigmoid(4 * (radius - from_middle) / edge)
        return batch.anatomy * ball.squeeze(-1).unsqueeze(1)


def _wall(batch: ImageBatch, direction: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Positions, and the anatomy's outermost place in a direction; each ``(n, ..., d)`` in mm."""
    place = fields.positions_mm(batch)
    direction = direction.to(place.device)
    height = torch.einsum("n...d,nd->n...", place, direction)
    height = height.masked_fill(~batch.anatomy.squeeze(1), -torch.inf).flatten(1)
    outermost = height.argmax(1).view(-1, 1, 1).expand(-1, 1, place.shape[-1])
    contact = place.flatten(1, -2).gather(1, outermost).squeeze(1)  # (n, d)
    shape = (len(batch), *(1,) * len(batch.spatial), place.shape[-1])
    return place, contact.view(shape), direction.view(shape)
