"""Spiculation: lines that radiate from a point and pull the tissue towards it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._box import Box
from midclass.knowledge._visibility import FADED, tissue_sigma
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Length, Lengths, Params, Range


@dataclass(frozen=True)
class Spiculation(Knowledge):
    """A spiculated mass or an architectural distortion, with or without a core.

    Why: a scirrhous cancer contracts the tissue around it, so that thin lines radiate from a
    point and the normal architecture is drawn in, often without a visible mass (ACR BI-RADS
    Atlas, 5th ed., 2013, "spiculated margin" and "architectural distortion").

    Args:
        sign: whether core and spicules are brighter or darker than the tissue.
        count: number of spicules.
        length_mm: of a spicule, from the centre.
        width_mm: of a spicule at its root; it tapers to its tip.
        pull_mm: how far tissue is drawn towards the centre.
        core_mm: diameter of the dense core.
        contrast_sigma: of core and spicules, in standard deviations of the tissue.
        centre_jitter_mm: None puts the centre anywhere in the anatomy; a number puts it in the
            image's middle, that far off at most.
    """

    sign: Literal["bright", "dark"] = "bright"
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
        box, from_centre = self._from_centre(batch, params)
        star = torch.maximum(_spicules(from_centre, params), _core(from_centre, params))
        contrast = params["contrast_sigma"].to(star.device) * tissue_sigma(batch)
        shift = _pull(from_centre, params)
        step = fields.column(contrast, star) * star
        drawn_in = fields.warp(batch, shift, box)
        new = drawn_in + step if self.sign == "bright" else drawn_in - step
        finest = fields.column(batch.spacing_mm.amin(1), star)
        moved = (fields.length(shift) / finest).clamp_max(1)
        return box.paste(new, batch.pixels), box.alone(torch.maximum(star, moved))

    def sham_tissue(self, batch: ImageBatch, params: Params) -> Tensor:
        """The blur of the warp without its pull."""
        box, from_centre = self._from_centre(batch, params)
        return fields.blurred_as_displaced(batch, box, _pull(from_centre, params))

    def _from_centre(self, batch: ImageBatch, params: Params) -> tuple[Box, list[Tensor]]:
        """The box of core and spicules, and how far its samples are from their centre, in mm."""
        centre = fields.centre_of(batch, params["place"], self.centre_jitter_mm)
        length, width, core = (
            params[name].to(centre.device) for name in ("length_mm", "width_mm", "core_mm")
        )
        of_core = core / 2 + FADED / 3 * (0.2 * core + 0.5)
        reach = torch.maximum(length.amax(1) + 2 * width, of_core)
        box = Box.around(batch, centre, reach.unsqueeze(1))
        return box, box.away_mm(centre)


def _spicules(from_centre: Sequence[Tensor], params: Params) -> Tensor:
    """``(n, 1, *size)``: 1 on the axis of a spicule, fading across and along it.

    The spicule next in direction decides: one product for all, the rest for that one only.
    """
    parts = torch.broadcast_tensors(*from_centre)  # type: ignore[no-untyped-call]
    place = torch.stack([part.flatten(1) for part in parts], 1)  # (n, d, samples)
    lengths = params["length_mm"].to(place.device)  # 0 for those that are not drawn
    along = params["direction"].to(place.device) @ place  # (n, count, samples)
    along, nearest = along.masked_fill_((lengths == 0).unsqueeze(2), -torch.inf).max(1)
    across2 = (place.square().sum(1) - along.square()).clamp_min(0)
    left = (1 - along / lengths.gather(1, nearest)).clamp(0, 1) * (along > 0)  # 0 at the tip
    width = params["width_mm"].to(place.device).unsqueeze(1) / 2 * (0.4 + 0.6 * left)
    line = torch.exp(-across2 / (2 * width.square())) * left.sqrt()
    return line.view(parts[0].shape)


def _core(from_centre: Sequence[Tensor], params: Params) -> Tensor:
    """``(n, 1, *size)``: a soft ball in the middle."""
    radius = fields.column(params["core_mm"] / 2, from_centre[0])
    return torch.sigmoid(3 * (radius - fields.length(from_centre)) / (0.4 * radius + 0.5))


def _pull(from_centre: Sequence[Tensor], params: Params) -> list[Tensor]:
    """Where tissue is fetched from, in mm: outwards, most at half of the reach."""
    distance = fields.length(from_centre)
    reach = fields.column(params["length_mm"].amax(1), distance)
    pull = fields.column(params["pull_mm"], distance)
    relative = (distance / reach).clamp_max(1)
    # x (1 - x)^2 is 4/27 at its maximum; the slope stays below 1, so that nothing folds over.
    amount = torch.minimum(pull, 0.14 * reach) * relative * (1 - relative).square() * 27 / 4
    amount = amount / distance.clamp_min(1e-6)
    return [part * amount for part in from_centre]
