"""Transplant: tissue from elsewhere, blended in softly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
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
        from_centre, side_mm = self._from_centre(batch, params)
        half_width = fields.row(params["half_width"].to(side_mm.device), batch)
        frame = from_centre / (half_width * side_mm)
        distance = frame.pow(4).sum(-1).pow(0.25).unsqueeze(1)  # between a disc and a box
        edge = fields.column(params["edge"], distance)
        alpha = _smoothstep((1 - distance) / edge) * fields.column(params["share"], distance)
        source = self._source(batch, params, from_centre, side_mm)
        if self.tissue == "own":
            return fields.sample(batch.pixels, source), alpha
        # Foreign tissue of the same anatomy: air or a blank beside it would give it away.
        anatomy = fields.sample(params["donor_anatomy"].to(alpha.device), source)
        return fields.sample(params["donor"].to(alpha.device), source), alpha * anatomy.square()

    def sham_tissue(self, batch: ImageBatch, params: Params) -> Tensor:
        """The tissue of the same place, resampled half a sample off."""
        shift = fields.row(batch.spacing_mm / 2, batch)
        return fields.warp(batch, shift.expand(len(batch), *batch.spatial, -1))

    def _from_centre(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Positions from the patch's centre, and the image's shorter side, in mm."""
        centre = fields.centre_of(batch, params["place"], None)
        place = fields.positions_mm(batch)
        side_mm = fields.column(fields.shorter_side_mm(batch), place)
        return place - fields.row(centre, batch), side_mm

    def _source(
        self, batch: ImageBatch, params: Params, from_centre: Tensor, side_mm: Tensor
    ) -> Tensor:
        """Where the donor is sampled: the patch scaled and flipped, ``away`` from its place."""
        device = from_centre.device
        offset = fields.row((params["direction"] * params["away"].unsqueeze(1)).to(device), batch)
        scaled = from_centre / fields.column(params["scale"], from_centre)
        scaled = torch.cat(
            [scaled[..., :-1], scaled[..., -1:] * fields.column(params["flip"], from_centre)], -1
        )
        shift = scaled - from_centre + offset * side_mm
        grid = fields.identity_grid(batch) + fields.to_grid(batch, shift)
        return _reflected(grid)


def _reflected(grid: Tensor) -> Tensor:
    """Places outside [-1, 1] mirrored at the border, so that a source is always tissue."""
    return (grid + 1).remainder(4).sub(2).abs().neg().add(1)


def _smoothstep(x: Tensor) -> Tensor:
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)
