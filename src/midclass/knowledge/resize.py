"""Resize: a structure that is too large or too small."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._blur import blurred, local_mean
from midclass.knowledge._box import Box
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Lengths, Params, Range

STEEPEST = 0.8
"""Largest squeeze of the tissue; below 1, so that nothing folds over."""

FOUND = 0.25
"""Least share of a structure's neighbourhood that must stand out for it to be one."""


@dataclass(frozen=True)
class Resize(Knowledge):
    """Cardiomegaly, enlarged ventricles, a large optic cup, atrophy.

    Why: size is a finding of its own: a heart wider than half of the chest is enlarged
    (Danzer, Am J Med Sci 157:513, 1919), ventricles wider than 0.3 of the brain are (Evans,
    Arch Neurol Psychiatry 47:931, 1942), and the cup-to-disc ratio grows in glaucoma (Armaly,
    Invest Ophthalmol 9:425, 1970).

    A batch says where disease can be, not where a structure is. So the structure is looked for in
    each image: what is one standard deviation darker or brighter than the anatomy at the scale of
    ``size_mm``, at the place where most of it is together; where nothing stands out, and with
    ``structure="place"``, a ball anywhere in the anatomy. It is scaled about its centre of mass;
    around it the change fades. Nothing outside the anatomy moves, so the anatomy must hold the
    structure and its surroundings (for a heart the whole chest, not the lungs); and look at what is
    found with ``midclass show``: in a chest the largest bright part is heart and diaphragm in one.

    Args:
        structure: dark (ventricles in CT), bright (heart, optic cup), or any place.
        change: larger, smaller, or either.
        larger: factor on the structure's diameter.
        smaller: the same.
        size_mm: of the structure, log-uniform; at most half of the image's shorter side.
        margin_mm: how far outside the structure its surroundings move; at most its radius.

    >>> batch = ImageBatch.of(torch.rand(2, 1, 64, 64), spacing_mm=1.0)
    >>> middle = Resize(structure="place")(batch, torch.Generator().manual_seed(0))
    >>> bool(middle.change.amax() == 1), bool((middle.severity > 0).all())
    (True, True)
    """

    structure: Literal["dark", "bright", "place"] = "dark"
    change: Literal["larger", "smaller", "either"] = "either"
    larger: Range = (1.05, 1.6)
    smaller: Range = (0.6, 0.95)
    size_mm: Lengths = (15, 60)
    margin_mm: Lengths = (5, 20)

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Factor, size and margin; a place for the case that no structure is found."""
        n, dims = batch.spacing_mm.shape
        share = {"larger": 1.0, "smaller": 0.0, "either": 0.5}[self.change]
        larger = torch.rand(n, generator=rng) < share
        enlarging = fields.log_uniform(rng, n, self.larger)
        shrinking = fields.log_uniform(rng, n, self.smaller)
        size_mm = fields.log_uniform(rng, n, self.size_mm)
        side_mm = fields.shorter_side_mm(batch).cpu()
        return {
            "place": torch.rand(n, dims, generator=rng),
            "factor": torch.where(larger, enlarging, shrinking),
            "size_mm": torch.minimum(size_mm, side_mm / 2),
            "margin_mm": fields.uniform(rng, n, self.margin_mm),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """The moved tissue, where it moved by a good part of a sample."""
        return fields.displaced(batch, *self._shift(batch, params))

    def sham_tissue(self, batch: ImageBatch, params: Params) -> Tensor:
        """The blur of the warp without its movement."""
        return fields.blurred_as_displaced(batch, *self._shift(batch, params))

    def _shift(self, batch: ImageBatch, params: Params) -> tuple[Box, list[Tensor]]:
        """Where tissue is fetched from, in mm: towards the centre where it grows."""
        box = Box.of_anatomy(batch).grown(1)  # slopes need two samples
        structure, centre = self._found(batch, params, box)
        from_centre = box.away_mm(centre)
        weight = _weight(batch, params, box, structure, from_centre)
        factor = params["factor"].to(weight.device)
        pull = _unfolded(batch, 1 / factor - 1, weight, from_centre)
        amount = weight * fields.column(pull, weight)
        return box, [part * amount for part in from_centre]

    def _found(self, batch: ImageBatch, params: Params, box: Box) -> tuple[Tensor, Tensor]:
        """The structure ``(n, 1, *spatial)`` in [0, 1], and its centre ``(n, d)`` in mm."""
        size = params["size_mm"].to(batch.pixels.device)
        place = fields.centre_of(batch, params["place"], None)
        ball = _ball(Box.whole(batch), place, size / 2)
        if self.structure == "place":
            return ball, place
        part, share = _standing_out(batch, box, size, -1 if self.structure == "dark" else 1)
        found = share > FOUND
        mass = part.flatten(1).sum(1).clamp_min(1e-6)
        middle = box.away_mm(torch.zeros_like(place))
        centre = torch.stack([(part * one).flatten(1).sum(1) / mass for one in middle], 1)
        return (
            torch.where(found.view(-1, *(1,) * (part.ndim - 1)), box.alone(part), ball),
            torch.where(found.unsqueeze(1), centre, place),
        )


def _ball(box: Box, centre: Tensor, radius_mm: Tensor) -> Tensor:
    """``(n, 1, *size)``: 1 inside, with an edge of a tenth of the diameter."""
    distance = fields.length(box.away_mm(centre))
    relative = distance / fields.column(radius_mm, distance)
    return torch.sigmoid(20 * (1 - relative))


def _standing_out(batch: ImageBatch, box: Box, size_mm: Tensor, sign: int) -> tuple[Tensor, Tensor]:
    """The largest part that is dark (-1) or bright (1), and its share of its neighbourhood."""
    mask = box.cut(batch.anatomy)
    pixels = box.cut(batch.pixels).mean(1, keepdim=True)
    grey = local_mean(pixels, mask, batch.spacing_mm, size_mm / 10, box)
    axes = tuple(range(1, grey.ndim))
    count = mask.sum(axes, keepdim=True).clamp_min(1)
    centred = grey - (grey * mask).sum(axes, keepdim=True) / count
    sigma = ((centred.square() * mask).sum(axes, keepdim=True) / count).sqrt().clamp_min(1 / 255)
    stands_out = torch.sigmoid(6 * (sign * centred / sigma - 1)) * mask
    together = blurred(stands_out, batch.spacing_mm, size_mm / 4, box)
    to_border = fields.all_to_border_mm(box)
    whole = (to_border / fields.column(size_mm / 2, to_border)).clamp(0, 1)  # not cut off
    share, index = (together * whole).flatten(1).max(1)
    peak = fields.in_mm(batch, box.first + torch.stack(torch.unravel_index(index, box.size), -1))
    return stands_out * _ball(box, peak, 0.6 * size_mm), share


def _weight(
    batch: ImageBatch, params: Params, box: Box, structure: Tensor, from_centre: Sequence[Tensor]
) -> Tensor:
    """1 in what the structure becomes, 0 beyond the margin and at the wall: ``(n, 1, *size)``."""
    factor, margin, size = (
        params[name].to(structure.device) for name in ("factor", "margin_mm", "size_mm")
    )
    nearer = [part * fields.column(1 / factor - 1, part) for part in from_centre]
    becomes = fields.sample(structure, fields.shifted_grid(box, nearer))
    reach = torch.minimum(margin + (1 - factor).clamp_min(0) * size / 2, size / 2)
    mask = box.cut(batch.anatomy)
    both = torch.cat([becomes * mask, mask], 1)
    both = blurred(both, batch.spacing_mm, reach / 2, box)
    t = (2 * both[:, :1]).clamp_max(1)
    to_border = fields.all_to_border_mm(box)
    wall = torch.minimum(2 * both[:, 1:] - 1, to_border / fields.column(reach, to_border))
    return t.square() * (3 - 2 * t) * wall.clamp(0, 1)


def _unfolded(
    batch: ImageBatch, pull: Tensor, weight: Tensor, from_centre: Sequence[Tensor]
) -> Tensor:
    """The pull ``(n,)``, less where tissue would fold.

    The map is ``x + pull * w(x) * (x - c)``; its Jacobian determinant is
    ``(1 + pull w)^(d-1) * (1 + pull (w + (x - c) . grad w))``, linear in the pull along the radius.
    """
    along = weight
    for axis, part in enumerate(from_centre):
        if weight.shape[2 + axis] > 1:  # a single sample has no slope
            (slope,) = torch.gradient(weight, dim=2 + axis)
            along = along + slope * (part / fields.column(batch.spacing_mm[:, axis], part))
    squeeze = (-fields.column(pull, along) * along).flatten(1).amax(1)
    return pull * (STEEPEST / squeeze.clamp_min(1e-6)).clamp_max(1)
