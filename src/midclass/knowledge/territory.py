"""Territory: the wedge of brain that one artery feeds, swollen and its detail gone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._blur import local_mean
from midclass.knowledge._box import Box
from midclass.knowledge._visibility import tissue_sigma
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Lengths, Params, Range

NOISE = 8
"""Samples along each axis of the noise that roughens the border."""


@dataclass(frozen=True)
class InfarctTerritory(Knowledge):
    """An infarct: a wedge from the depth of one hemisphere to its surface.

    Why: what an artery feeds dies together, so that an infarct of a branch is a wedge with its base
    at the surface and does not cross the midline. Oedema lowers its attenuation and takes the
    contrast of grey and white matter, which is often all that is seen at first (von Kummer et al.,
    Radiology 219:95, 2001; loss of the insular ribbon: Truwit et al., Radiology 176:801, 1990;
    regions of the middle cerebral artery: Barber et al., ASPECTS, Lancet 355:1670, 2000).
    ``Focal`` with ``sign: dark`` is a rounded lesion anywhere.

    The wedge is a cone in 3-D. Its tip lies on the way from the anatomy's centre of mass to the
    surface, beside the midline. No published code makes infarcts; the ranges follow the sizes of
    the territories of the three cerebral arteries in an axial slice, and want a clinician's check.

    Args:
        sign: dark as in CT, or bright as in T2-weighted, FLAIR and diffusion-weighted MR.
        contrast_sigma: difference in standard deviations of the tissue.
        detail: share of the contrast within a few millimetres that is lost.
        detail_mm: structure that small is detail.
        angle_deg: of the whole wedge.
        depth: of the tip, as a share of the way from the centre to the surface.
        edge_mm: width of the transition at the border.
        roughness: deviation of the border, as a share of half of the angle.

    >>> batch = ImageBatch.of(torch.full((2, 1, 64, 64), 0.5), spacing_mm=3.0)
    >>> middle = InfarctTerritory()(batch, torch.Generator().manual_seed(0))
    >>> bool((middle.pixels <= batch.pixels + 1e-6).all()), bool((middle.severity > 0).all())
    (True, True)
    """

    sign: Literal["dark", "bright"] = "dark"
    contrast_sigma: Range = (0.5, 3.0)
    detail: Range = (0.3, 0.9)
    detail_mm: Lengths = (3, 8)
    angle_deg: Range = (30, 100)
    depth: Range = (0.1, 0.4)
    edge_mm: Lengths = (2, 8)
    roughness: Range = (0.1, 0.4)

    border_mm: ClassVar[float] = 0.0  # it reaches the surface

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Direction and size of the wedge, and what the tissue loses."""
        n, dims = batch.spacing_mm.shape
        return {
            "place": torch.rand(n, generator=rng),
            "contrast_sigma": fields.uniform(rng, n, self.contrast_sigma),
            "detail": fields.uniform(rng, n, self.detail),
            "detail_mm": fields.uniform(rng, n, self.detail_mm),
            "angle_deg": fields.uniform(rng, n, self.angle_deg),
            "depth": fields.uniform(rng, n, self.depth),
            "edge_mm": fields.uniform(rng, n, self.edge_mm),
            "roughness": fields.uniform(rng, n, self.roughness),
            "border": torch.randn(n, 1, *(NOISE,) * dims, generator=rng),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Tissue without its detail and with the contrast, in the wedge."""
        like = batch.pixels
        coarse = local_mean(like, batch.anatomy, batch.spacing_mm, params["detail_mm"])
        lost = fields.column(params["detail"], like)
        contrast = params["contrast_sigma"].to(like.device) * tissue_sigma(batch)
        step = fields.column(contrast if self.sign == "bright" else -contrast, like)
        return torch.lerp(like, coarse, lost.expand_as(like)) + step, self._wedge(batch, params)

    def _wedge(self, batch: ImageBatch, params: Params) -> Tensor:
        """``(n, 1, *spatial)``."""
        place = fields.in_mm(batch, fields.place_in(batch.anatomy, params["place"]))
        centre = _centre_mm(batch)
        way = place - centre
        # Mostly sideways: a wedge along the midline would belong to both sides.
        side = torch.where(way[:, -1:] < 0, -1.0, 1.0)
        way = torch.cat([way[:, :-1], side * way[:, -1:].abs().clamp_min(1.0)], 1)
        way = way / way.norm(dim=1, keepdim=True)
        away = Box.whole(batch).away_mm(centre)
        along = fields.total([part * fields.column(way[:, k], part) for k, part in enumerate(away)])
        surface = along.masked_fill(~batch.anatomy, 0).flatten(1).amax(1)
        tip = params["depth"].to(surface) * surface
        beyond = along - fields.column(tip, along)
        across = (fields.length(away).square() - along.square()).clamp_min(0).sqrt()
        rough = fields.smooth_field(params["border"], Box.whole(batch), surface / 3)
        half_angle = fields.column(params["angle_deg"] / 2 * math.pi / 180, along)
        angle = half_angle * (1 + rough * fields.column(params["roughness"], along))
        inwards_mm = beyond * angle.clamp(0.05, 1.5).sin() - across * angle.clamp(0.05, 1.5).cos()
        from_midline = away[-1] * fields.column(side[:, 0], along)
        edge = fields.column(params["edge_mm"], along)
        inside = torch.sigmoid(4 * inwards_mm / edge) * torch.sigmoid(4 * from_midline / edge)
        return inside * batch.anatomy


def _centre_mm(batch: ImageBatch) -> Tensor:
    """Centre of mass of the anatomy, from the image's centre: ``(n, d)``; 0 without anatomy."""
    away = Box.whole(batch).away_mm(torch.zeros_like(batch.spacing_mm))
    mask = batch.anatomy.float()
    count = mask.flatten(1).sum(1).clamp_min(1)
    return torch.stack([(part * mask).flatten(1).sum(1) / count for part in away], 1)
