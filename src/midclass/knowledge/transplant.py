"""Transplant: tissue from elsewhere, blended in softly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._box import Box
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Params, Range


@dataclass(frozen=True)
class Transplant(Knowledge):
    """A soft-edged patch of the anatomy replaced by tissue from another place or patient.

    Why: consolidation replaces the lung's texture by one like that of other soft tissue and
    obscures vessels and borders (Hansell et al., Radiology 246:697, 2008); moving a patient's own
    tissue does this with real texture, so that smoothness is no cue. Foreign tissue is the
    generic synthetic anomaly of the field (CutPaste, Li et al., CVPR 2021; foreign patch
    interpolation, Tan et al., MELBA 2022; NSA, Schlueter et al., ECCV 2022) and is the
    knowledge-free control.

    Args:
        tissue: the patient's ``own``, or ``foreign`` (another image of the batch).
        half_width: of the patch along each axis, as a share of the image's shorter side.
        scale: magnification of the transplanted tissue.
        share: how much of the old tissue the new one replaces.
        edge: softness of the patch's border as a share of its half-width.
        away: distance of the source from the patch's place, as a share of the shorter side;
            for foreign tissue ``(0, 0)`` takes it from the same place.
        mirrored: whether half of the patches are flipped left to right.
    """

    tissue: Literal["own", "foreign"] = "foreign"
    half_width: Range = (0.06, 0.2)
    scale: Range = (0.7, 1.3)
    share: Range = (0.6, 1.0)
    edge: Range = (0.2, 0.6)
    away: Range = (0.0, 0.1)
    mirrored: bool = True

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Where to, where from, how large; the donor's pixels are part of the draw."""
        n, dims = batch.spacing_mm.shape
        flip = torch.rand(n, generator=rng) < (0.5 if self.mirrored else 0.0)
        drawn: Params = {
            "place": torch.rand(n, dims, generator=rng),
            "half_width": fields.log_uniform(rng, n * dims, self.half_width).view(n, dims),
            "scale": fields.uniform(rng, n, self.scale),
            "flip": 1 - 2 * flip.float(),
            "share": fields.uniform(rng, n, self.share),
            "edge": fields.uniform(rng, n, self.edge),
            "away": fields.uniform(rng, n, self.away),
            "direction": fields.rotation(rng, n, dims)[:, 0],
        }
        if self.tissue == "foreign":
            step = int(torch.randint(1, max(n, 2), (), generator=rng))
            drawn["donor"] = batch.pixels.roll(step, 0)
            drawn["donor_anatomy"] = batch.anatomy.float().roll(step, 0)
        return drawn

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """The donor's tissue at the patch's place, and the soft patch."""
        centre = fields.centre_of(batch, params["place"], None)
        side_mm = fields.shorter_side_mm(batch)
        half_width = params["half_width"].to(centre.device) * side_mm.unsqueeze(1)
        box = Box.around(batch, centre, half_width)
        from_centre = box.away_mm(centre)
        frame = [part / fields.column(half_width[:, k], part) for k, part in enumerate(from_centre)]
        distance = fields.total([part**4 for part in frame]) ** 0.25  # between a disc and a box
        edge = fields.column(params["edge"], distance)
        alpha = _smoothstep((1 - distance) / edge) * fields.column(params["share"], distance)
        source = _source(box, params, from_centre, side_mm)
        if self.tissue == "own":
            new = fields.sample(batch.pixels, source)
        else:
            # Foreign tissue of the same anatomy: air or a blank beside it would give it away.
            donor = [params[name].to(alpha.device) for name in ("donor", "donor_anatomy")]
            both = fields.sample(torch.cat(donor, 1), source)
            new, alpha = both[:, :-1], alpha * both[:, -1:].square()
        return box.paste(new, batch.pixels), box.alone(alpha)

    def sham_tissue(self, batch: ImageBatch, params: Params) -> Tensor:
        """The tissue of the same place, resampled half a sample off."""
        box = Box.whole(batch)
        half = [
            fields.column(batch.spacing_mm[:, k] / 2, batch.pixels) for k in range(len(box.size))
        ]
        return fields.warp(batch, half, box)


def _source(box: Box, params: Params, from_centre: Sequence[Tensor], side_mm: Tensor) -> Tensor:
    """Where the donor is sampled: the patch scaled and flipped, ``away`` from its place."""
    offset = (params["direction"] * params["away"].unsqueeze(1)).to(side_mm.device)
    offset = offset * side_mm.unsqueeze(1)
    shift = []
    for axis, part in enumerate(from_centre):
        factor = 1 / fields.column(params["scale"], part)
        if axis == len(from_centre) - 1:
            factor = factor * fields.column(params["flip"], part)
        shift.append(part * (factor - 1) + fields.column(offset[:, axis], part))
    return _reflected(fields.shifted_grid(box, shift))


def _reflected(grid: Tensor) -> Tensor:
    """Places outside [-1, 1] mirrored at the border, so that a source is always tissue."""
    return (grid + 1).remainder(4).sub(2).abs().neg().add(1)


def _smoothstep(x: Tensor) -> Tensor:
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)
