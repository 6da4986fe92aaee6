"""Crescent: a collection between the organ and its wall."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._box import Box
from midclass.knowledge._visibility import FADED, tissue_sigma
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
        contact, direction = _wall(batch, params["direction"])
        lens = params["lens"] > 0
        reach = torch.where(lens, _reach_of_lens_mm(params), params["arc_mm"] / 2)
        box = Box.around(batch, contact, reach.to(contact.device).unsqueeze(1))
        like, away = box.cut(batch.pixels), box.away_mm(contact)
        alpha = torch.where(
            fields.column(lens, like),
            _lens(batch, params, direction, box, away),
            _crescent(batch, params, direction, box, away),
        )
        grain = 1 + 0.15 * fields.smooth_field(params["texture"], box, params["thickness_mm"])
        contrast = params["contrast_sigma"].to(like.device) * tissue_sigma(batch)
        step = fields.column(contrast, like) * grain
        new = like + (step if self.sign == "bright" else -step)
        return box.paste(new, batch.pixels), box.alone(alpha)


def _crescent(
    batch: ImageBatch, params: Params, direction: Tensor, box: Box, away: Sequence[Tensor]
) -> Tensor:
    """What the anatomy loses when it moves off its wall, less and less along the arc."""
    along2 = fields.total([part.square() for part in away])
    half_arc = fields.column(params["arc_mm"], along2) / 2
    taper = (1 - along2 / half_arc.square()).clamp_min(0)
    shift = fields.column(params["thickness_mm"], taper) * taper
    shifts = [fields.column(direction[:, k], shift) * shift for k in range(len(away))]
    mask = batch.anatomy.float()
    return box.cut(mask) * (1 - fields.sample(mask, fields.shifted_grid(box, shifts), "zeros"))


def _lens(
    batch: ImageBatch, params: Params, direction: Tensor, box: Box, away: Sequence[Tensor]
) -> Tensor:
    """What a ball takes of the anatomy."""
    radius, depth, _ = (fields.column(values, away[0]) for values in _ball_mm(params))
    from_middle = fields.length(
        [
            part - fields.column(direction[:, k], part) * (radius - depth)
            for k, part in enumerate(away)
        ]
    )
    ball = torch.sigmoid(4 * (radius - from_middle) / fields.column(params["edge_mm"], away[0]))
    return box.cut(batch.anatomy) * ball


def _ball_mm(params: Params) -> tuple[Tensor, Tensor, Tensor]:
    """Of a lens: the radius of its ball, its depth and half of its chord, which give it; in mm."""
    depth = params["thickness_mm"]
    half_chord = torch.minimum(params["arc_mm"] / 2, 2.5 * depth)
    return (half_chord.square() + depth.square()) / (2 * depth), depth, half_chord


def _reach_of_lens_mm(params: Params) -> Tensor:
    """How far from the wall's outermost place the ball's soft edge still shows: ``(n,)``."""
    radius, depth, half_chord = _ball_mm(params)
    edge = FADED / 4 * params["edge_mm"]
    chord = (half_chord.square() + 2 * radius * edge + edge.square()).sqrt()
    return torch.maximum(chord, depth + edge)


def _wall(batch: ImageBatch, direction: Tensor) -> tuple[Tensor, Tensor]:
    """The anatomy's outermost place in a direction, in mm, and the direction: ``(n, d)`` both."""
    direction = direction.to(batch.pixels.device)
    place = Box.whole(batch).away_mm(torch.zeros_like(direction))
    height = fields.total(
        [part * fields.column(direction[:, k], part) for k, part in enumerate(place)]
    )
    outermost = height.masked_fill(~batch.anatomy, -torch.inf).flatten(1).argmax(1)
    index = torch.stack(torch.unravel_index(outermost, batch.spatial), -1)
    return fields.in_mm(batch, index), direction
