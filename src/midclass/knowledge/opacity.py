"""Opacity: patches of an airy organ filled towards the brightness of soft tissue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._box import Box
from midclass.knowledge._visibility import box_mean, soft_tissue
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Lengths, Params, Range

NODES = 24
"""Samples along each axis of the noise that shapes the patches."""


@dataclass(frozen=True)
class Opacity(Knowledge):
    """Consolidation and ground glass: air replaced, vessels and borders veiled, edges soft.

    Why: fluid in the air spaces raises attenuation to that of soft tissue and obscures vessels
    (consolidation) or veils them (ground glass) (Hansell et al., Fleischner Society: Glossary of
    Terms for Thoracic Imaging, Radiology 246:697, 2008).

    Args:
        share: of the organ that is filled.
        patch_mm: size of one focus.
        patchiness_mm: size of the structure inside a focus.
        strength: share of the gap between the organ and soft tissue that is closed.
        edge: softness of the border, in standard deviations of the shaping noise.
        only_air: fill only what is darker than soft tissue. In CT the anatomy may hold heart and
            chest wall, where there is nothing to fill; in a radiograph the lungs alone are marked.
    """

    share: Range = (0.05, 0.5)
    patch_mm: Lengths = (20, 70)
    patchiness_mm: Lengths = (3, 15)
    strength: Range = (0.2, 0.8)
    edge: Range = (0.2, 0.8)
    only_air: bool = False

    border_mm: ClassVar[float] = 5.0

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Extent, strength and the noise that shapes the patches."""
        n, dims = batch.spacing_mm.shape
        nodes = (NODES,) * dims
        return {
            "share": fields.log_uniform(rng, n, self.share),
            "patch_mm": fields.log_uniform(rng, n, self.patch_mm),
            "patchiness_mm": fields.log_uniform(rng, n, self.patchiness_mm),
            "strength": fields.uniform(rng, n, self.strength),
            "edge": fields.uniform(rng, n, self.edge),
            "patches": torch.randn(n, 1, *nodes, generator=rng),
            "inside": torch.randn(n, 1, *nodes, generator=rng),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Tissue moved towards soft tissue, where the shaping noise is high."""
        like = batch.pixels
        shape = fields.smooth_field(params["patches"], Box.whole(batch), params["patch_mm"])
        soft = soft_tissue(batch)
        air = _airy(batch, soft) if self.only_air else batch.anatomy.float()
        shape = _standardised(shape, air)
        # The share of a normal variable above t is the share of the organ that is filled.
        threshold = torch.special.ndtri(1 - params["share"])
        height = shape - fields.column(threshold, like)
        alpha = torch.sigmoid(4 * height / fields.column(params["edge"], like)) * air
        inside = fields.smooth_field(params["inside"], Box.whole(batch), params["patchiness_mm"])
        strength = fields.column(params["strength"], like) * (1 + 0.4 * inside).clamp(0.2, 1.2)
        return torch.lerp(like, soft, strength.expand_as(like)), alpha


def _airy(batch: ImageBatch, soft: Tensor) -> Tensor:
    """1 in air and 0 in soft tissue ``(n, 1, *spatial)``; vessels in the lung count as lung."""
    grey, tissue = batch.pixels.mean(1, keepdim=True), soft.mean(1, keepdim=True)
    inside = grey.masked_fill(~batch.anatomy, torch.nan).flatten(1)
    dark = fields.column(inside.nanquantile(0.05, dim=1).nan_to_num(0), grey)
    local = box_mean(grey, max(3, min(batch.spatial) // 16 | 1))
    return ((tissue - local) / (tissue - dark).clamp_min(0.05) * 2).clamp(0, 1) * batch.anatomy


def _standardised(field: Tensor, mask: Tensor) -> Tensor:
    """Mean 0 and variance 1 inside the mask, or by its weights."""
    axes = tuple(range(1, field.ndim))
    count = mask.sum(axes, keepdim=True).clamp_min(1)
    centred = field - (field * mask).sum(axes, keepdim=True) / count
    variance = (centred.square() * mask).sum(axes, keepdim=True) / count
    return centred / variance.sqrt().clamp_min(1e-6)
