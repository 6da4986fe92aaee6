"""Fluid: what gravity collects in the lowest part of an airy organ, with its level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from midclass.errors import InputError
from midclass.knowledge import _fields as fields
from midclass.knowledge._visibility import soft_tissue
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Lengths, Params, Range

DOWN = {"bottom": (-2, 1), "top": (-2, -1), "last_slice": (-3, 1), "first_slice": (-3, -1)}
"""Where the fluid goes -> the axis, and the sign of that way along it."""


@dataclass(frozen=True)
class Fluid(Knowledge):
    """An effusion with a meniscus, or a fluid level under air, on one side or on both.

    Why: free pleural fluid fills the chest from its lowest part, hides vessels and diaphragm, and
    has a concave upper border that is higher at the chest wall than in the middle (Davis, Gardner
    and Qvist, "The shape of a pleural effusion", BMJ 1:436, 1963; Light, "Pleural effusion",
    N Engl J Med 346:1971, 2002). With air above it, the level is straight and sharp.

    The sides are the halves of the anatomy left and right of its centre of mass; each has a height
    of its own, so that two lungs fill from their own lowest points.

    Args:
        dependent: where gravity points. ``bottom`` and ``top`` are the ends of the axis before the
            last: in 2-D the image's lower edge (a frontal X-ray, patient upright); in axial
            slices the back of a patient who lies on it. ``last_slice`` and ``first_slice``
            are the ends of the first axis of a 3-D image.
        sides: whether one side is filled, both to shares of their own, or either way at random.
        level: meniscus, flat (sharp, under air), or either.
        share: of the side's height that is filled, in the middle.
        meniscus_mm: width over which the level rises towards the lateral wall.
        rise: height of the meniscus at the wall over its width.
        strength: share of the gap between the organ and soft tissue that is closed.
        edge_mm: width of the level's transition; of a flat level a sixth of that.

    Raises:
        InputError: when ``dependent`` names a slice and the images have none.

    >>> batch = ImageBatch.of(torch.full((2, 1, 64, 64), 0.2), spacing_mm=4.0)
    >>> change = Fluid(share=(0.25, 0.25), sides="both")(batch, torch.Generator()).change
    >>> bool(change[:, :, 60:].min() > 0.9), bool(change[:, :, :16].max() < 0.1)
    (True, True)
    """

    dependent: Literal["bottom", "top", "last_slice", "first_slice"] = "bottom"
    sides: Literal["one", "both", "either"] = "either"
    level: Literal["meniscus", "flat", "either"] = "meniscus"
    share: Range = (0.05, 0.6)
    meniscus_mm: Lengths = (20, 80)
    rise: Range = (0.3, 0.8)
    strength: Range = (0.5, 0.9)
    edge_mm: Lengths = (5, 25)

    border_mm: ClassVar[float] = 4.0  # it lies against the wall: a short end there

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Which sides, how high, and the form of the level."""
        n = len(batch)
        if DOWN[self.dependent][0] == -3 and len(batch.spatial) == 2:
            raise InputError(
                f"Fluid: dependent {self.dependent!r} needs 3-D images, and these are 2-D; "
                "use bottom or top"
            )
        both = {"one": 0.0, "both": 1.0, "either": 0.3}[self.sides]
        flat = {"meniscus": 0.0, "flat": 1.0, "either": 0.5}[self.level]
        only = torch.randint(2, (n,), generator=rng)
        filled = torch.nn.functional.one_hot(only, 2).bool()
        filled = filled | (torch.rand(n, 1, generator=rng) < both)
        return {
            "share": fields.uniform(rng, 2 * n, self.share).view(n, 2) * filled,
            "flat": (torch.rand(n, generator=rng) < flat).float(),
            "meniscus_mm": fields.uniform(rng, n, self.meniscus_mm),
            "rise": fields.uniform(rng, n, self.rise),
            "strength": fields.uniform(rng, n, self.strength),
            "edge_mm": fields.log_uniform(rng, n, self.edge_mm),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Tissue moved towards soft tissue, never away from it, below the level."""
        like = batch.pixels
        left, right = (self._side(batch, params, side) for side in (0, 1))
        strength = fields.column(params["strength"], like)
        filled = torch.maximum(like, soft_tissue(batch))  # water absorbs: nothing gets darker
        return torch.lerp(like, filled, strength.expand_as(like)), left + right

    def _side(self, batch: ImageBatch, params: Params, side: int) -> Tensor:
        """Share of every sample that one side's fluid takes: ``(n, 1, *spatial)``."""
        lateral_mm = fields.from_midline_mm(batch) * (1 if side else -1)
        organ = batch.anatomy & (lateral_mm > 0)
        depth_mm = self._depth_mm(batch)
        low, high = _extent(depth_mm, organ)
        share = fields.column(params["share"][:, side], organ)
        flat = fields.column(params["flat"], organ)
        # The wall is the outermost sample of its own row: chests widen downwards.
        wall_mm = lateral_mm.masked_fill(~organ, -torch.inf).amax(-1, keepdim=True) - lateral_mm
        width = fields.column(params["meniscus_mm"], organ)
        near_wall = (1 - wall_mm.clamp_min(0) / width).clamp_min(0)
        rise = fields.column(params["rise"], organ) * width * (1 - flat)
        below_mm = depth_mm - low + share * (low - high) + rise * near_wall.square()
        edge = fields.column(params["edge_mm"], organ) * (1 - 5 / 6 * flat)
        return torch.sigmoid(4 * below_mm / edge) * organ * (share > 0)

    def _depth_mm(self, batch: ImageBatch) -> Tensor:
        """How far down every sample lies, from the image's centre: broadcasts to the images."""
        axis, sign = DOWN[self.dependent]
        size = batch.spatial[axis]
        steps = torch.arange(size, device=batch.pixels.device) - (size - 1) / 2
        shape = [1] * batch.pixels.ndim
        shape[axis] = size
        return sign * steps.view(shape) * fields.column(batch.spacing_mm[:, axis], batch.pixels)


def _extent(depth_mm: Tensor, organ: Tensor) -> tuple[Tensor, Tensor]:
    """Lowest and highest depth of the organ, ``(n, 1, ...)``; 0 and 0 where there is none."""
    axes = tuple(range(1, organ.ndim))
    low = torch.where(organ, depth_mm, -torch.inf).amax(axes, keepdim=True)
    high = torch.where(organ, depth_mm, torch.inf).amin(axes, keepdim=True)
    return torch.nan_to_num(low, neginf=0), torch.nan_to_num(high, posinf=0)
