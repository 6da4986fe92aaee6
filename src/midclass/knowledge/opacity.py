"""Opacity: patches of an airy organ filled towards the brightness of soft tissue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._visibility import soft_tissue
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
    """

    share: Range = (0.05, 0.5)
    patch_mm: Lengths = (20, 70)
    patchiness_mm: Lengths = (3, 15)
    strength: Range = (0.2, 0.8)
    edge: Range = (0.2, 0.8)

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
        shape = fields.smooth_field(params["patches"], batch, params["patch_mm"])
        shape = _standardised(shape, batch.anatomy)
        # The share of a normal variable above t is the share of the organ that is filled.
        threshold = torch.special.ndtri(1 - params["share"])
        height = shape - fields.column(threshold, like)
        alpha = torch.sigmoid(4 * height / fields.column(params["edge"], like))
        inside = fields.smooth_field(params["inside"], batch, params["patchiness_mm"])
        strength = fields.column(params["strength"], like) * (1 + 0.4 * inside).clamp(0.2, 1.2)
        return torch.lerp(like, soft_tissue(batch), strength.expand_as(like)), alpha


def _standardised(field: Tensor, mask: Tensor) -> Tensor:
    """Mean 0 and variance 1 inside the mask."""
    axes = tuple(range(1, field.ndim))
    count = mask.sum(axes, keepdim=True).clamp_min(1)
    centred = field - (field * mask).sum(axes, keepdim=True) / count
    variance = (centred.square() * mask).sum(axes, keepdim=True) / count
    return centred / variance.sqrt().clamp_min(1e-6)
