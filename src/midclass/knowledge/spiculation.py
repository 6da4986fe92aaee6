"""Spiculation: lines that radiate from a point and pull the tissue towards it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._visibility import tissue_sigma
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Length, Lengths, Params, Range


@dataclass(frozen=True)
class Spiculation(Knowledge):
    """A spiculated mass or an architectural distortion, with or without a core.

    Why: a scirrhous cancer contracts the tissue around it, so that thin lines radiate from a
    point and the normal architecture is drawn in, often without a visible mass (ACR BI-RADS
    Atlas, 5th ed., 2013, "spiculated margin" and "architectural distortion").

    Args:
        count: number of spicules.
        length_mm: of a spicule, from the centre.
        width_mm: of a spicule at its root; it tapers to its tip.
        pull_mm: how far tissue is drawn towards the centre.
        core_mm: diameter of the dense core.
        contrast_sigma: of core and spicules, in standard deviations of the tissue.
        centre_jitter_mm: None puts the centre anywhere in the anatomy; a number puts it in the
            image's middle, that far off at most.
    """

    count: tuple[int, int] = (6, 30)
    length_mm: Lengths = (5, 25)
    width_mm: Lengths = (0.5, 1.5)
    pull_mm: Lengths = (1, 5)
    core_mm: Lengths = (1, 10)
    contrast_sigma: Range = (0.5, 3.0)
    centre_jitter_mm: Length | None = None

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Centre, pull, and direction and length of every spicule."""
        n, dims = batch.spacing_mm.shape
        low, high = self.count
        drawn = torch.randint(low, high + 1, (n, 1), generator=rng)
        length = fields.uniform(rng, n, self.length_mm).unsqueeze(1)
        share = fields.uniform(rng, n * high, (0.5, 1.0)).view(n, high)
        return {
            "place": torch.rand(n, dims, generator=rng),
            "direction": torch.nn.functional.normalize(
                torch.randn(n, high, dims, generator=rng), dim=-1
            ),
            "length_mm": length * share * (torch.arange(high) < drawn),
            "width_mm": fields.uniform(rng, n, self.width_mm),
            "pull_mm": fields.uniform(rng, n, self.pull_mm),
            "core_mm": fields.uniform(rng, n, self.core_mm),
            "contrast_sigma": fields.uniform(rng, n, self.contrast_sigma),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """The drawn-in tissue plus core and spicules."""
        like = batch.pixels
        from_centre = self._from_centre(batch, params)
        star = torch.maximum(_spicules(from_centre, params), _core(from_centre, params))
        contrast = params["contrast_sigma"].to(like.device) * tissue_sigma(batch)
        shift = _pull(from_centre, params)
        new = fields.warp(batch, shift) + fields.column(contrast, like) * star
        moved = shift.norm(dim=-1) / batch.spacing_mm.amin(1).view(-1, *(1,) * (like.ndim - 2))
        return new, torch.maximum(star, moved.unsqueeze(1).clamp_max(1))

    def sham_tissue(self, batch: ImageBatch, params: Params) -> Tensor:
        """The blur of the warp without its pull."""
        shift = _pull(self._from_centre(batch, params), params)
        return fields.warp(batch, fields.less_than_a_sample(batch, shift))

    def _from_centre(self, batch: ImageBatch, params: Params) -> Tensor:
        centre = fields.centre_of(batch, params["place"], self.centre_jitter_mm)
        return fields.positions_mm(batch) - fields.row(centre, batch)


def _spicules(from_centre: Tensor, params: Params) -> Tensor:
    """``(n, 1, *spatial)``: 1 on the axis of a spicule, fading across and along it.

    The spicule next in direction decides: one product for all, the rest for that one only.
    """
    n, *spatial, dims = from_centre.shape
    place = from_centre.reshape(n, -1, dims)
    lengths = params["length_mm"].to(place.device)  # 0 for those that are not drawn
    along = place @ params["direction"].to(place.device).transpose(1, 2)  # (n, samples, count)
    along, nearest = along.masked_fill_((lengths == 0).unsqueeze(1), -torch.inf).max(-1)
    across2 = (place.square().sum(-1) - along.square()).clamp_min(0)
    left = (1 - along / lengths.gather(1, nearest)).clamp(0, 1) * (along > 0)  # 0 at the tip
    width = params["width_mm"].to(place.device).unsqueeze(1) / 2 * (0.4 + 0.6 * left)
    line = torch.exp(-across2 / (2 * width.square())) * left.sqrt()
    return line.view(n, 1, *spatial)


def _core(from_centre: Tensor, params: Params) -> Tensor:
    """``(n, 1, *spatial)``: a soft ball in the middle."""
    radius = fields.column(params["core_mm"] / 2, from_centre[..., 0])
    distance = from_centre.norm(dim=-1)
    return torch.sigmoid(3 * (radius - distance) / (0.4 * radius + 0.5)).unsqueeze(1)


def _pull(from_centre: Tensor, params: Params) -> Tensor:
    """Where tissue is fetched from, in mm: outwards, most at half of the reach."""
    distance = from_centre.norm(dim=-1, keepdim=True)
    reach = fields.column(params["length_mm"].amax(1), from_centre)
    pull = fields.column(params["pull_mm"], from_centre)
    relative = (distance / reach).clamp_max(1)
    # x (1 - x)^2 is 4/27 at its maximum; the slope stays below 1, so that nothing folds over.
    amount = torch.minimum(pull, 0.14 * reach) * relative * (1 - relative).square() * 27 / 4
    shift: Tensor = from_centre / distance.clamp_min(1e-6) * amount
    return shift
