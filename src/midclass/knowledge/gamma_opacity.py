"""Gamma opacity: a shadow that deepens inwards, through which ribs and vessels are still seen."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Params, Positive, Range

NOISE = 8
"""Samples along each axis of the noise that roughens the boundary."""
FULL = 0.25
"""Of the way from the border to the deepest place: from there on the change counts fully."""


@dataclass(frozen=True)
class GammaOpacity(Knowledge):
    """An opacity that keeps the structure of what it covers.

    Why: a radiograph adds up what a ray passes, so that ribs and vessels stay visible through an
    infiltrate, and ground glass is by definition an opacity that does not hide them (Hansell et
    al., Fleischner Society: Glossary of Terms for Thoracic Imaging, Radiology 246:697, 2008).
    ``Opacity`` moves tissue towards one brightness, which veils them. Here pixels in [0, 1] are
    raised to a power that is 1 at the border and falls to ``gamma`` at the deepest place, and so
    the order of grey levels stays: the structure-keeping synthesis of Sun et al., "Position-guided
    prompt learning for anomaly detection in chest X-rays" (PPAD), MICCAI 2024, whose weights are
    from -.99 to 3 (``gamma`` is one plus the weight) on 20 to 80 % of the image's side.

    Ours: a rough ellipsoid, in 3-D too, in place of a hull of ten points with curved edges.

    Args:
        gamma: the power at the deepest place; below 1 brighter (.1 to .7 is subtle), above darker.
        extent: of the shadow along each axis, as a share of the image's shorter side.
        roughness: deviation of the border as a share of the radius.

    >>> batch = ImageBatch.of(torch.full((2, 1, 64, 64), 0.4))
    >>> middle = GammaOpacity()(batch, torch.Generator().manual_seed(0))
    >>> bool((middle.pixels >= batch.pixels - 1e-6).all()), bool((middle.severity > 0).all())
    (True, True)
    """

    gamma: Positive = (0.1, 0.7)
    extent: Range = (0.2, 0.8)
    roughness: Range = (0.05, 0.3)

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Place, size, form and power of one shadow per image."""
        n, dims = batch.spacing_mm.shape
        return {
            "place": torch.rand(n, dims, generator=rng),
            "extent": fields.uniform(rng, n * dims, self.extent).view(n, dims),
            "turn": fields.rotation(rng, n, dims),
            "gamma": fields.uniform(rng, n, self.gamma),
            "roughness": fields.uniform(rng, n, self.roughness),
            "boundary": torch.randn(n, 1, *(NOISE,) * dims, generator=rng),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Old tissue raised to its power, where the shadow is."""
        centre = fields.centre_of(batch, params["place"], None)
        side_mm = fields.shorter_side_mm(batch).unsqueeze(1)
        half_axes = params["extent"].to(side_mm.device) * side_mm / 2
        bulge = params["roughness"] * params["boundary"].flatten(1).amax(1).clamp_min(0)
        box = fields.lesion_box(batch, centre, half_axes, params["turn"], 1 + bulge)
        like = box.cut(batch.pixels)
        frame = fields.lesion_frame(box.away_mm(centre), half_axes, params["turn"])
        rough = fields.smooth_noise(params["boundary"], frame)
        rough = rough * fields.column(params["roughness"], like)
        inwards = (1 + rough - fields.length(frame)).clamp_min(0) * box.cut(batch.anatomy)
        depth = inwards / inwards.flatten(1).amax(1).clamp_min(1e-3).view(-1, *(1,) * rough[0].ndim)
        power = 1 + (fields.column(params["gamma"], like) - 1) * depth
        new = like.clamp_min(1e-4) ** power.expand_as(like)
        return box.paste(new, batch.pixels), box.alone((depth / FULL).clamp_max(1))
