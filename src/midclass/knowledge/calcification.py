"""Calcification: a cluster of small, very bright particles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from midclass.errors import InputError
from midclass.knowledge import _fields as fields
from midclass.knowledge._visibility import tissue_sigma
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Length, Lengths, Params, Range


@dataclass(frozen=True)
class Calcification(Knowledge):
    """A cluster of microcalcifications, with the partial volume of each particle.

    Why: five or more calcifications of 0.1 to 1 mm within a square centimetre or two are a
    grouped distribution, the commonest sign of ductal carcinoma in situ (ACR BI-RADS Atlas,
    5th ed., 2013, "calcifications"). A particle that is smaller than a pixel raises it by the
    share that it fills, so knowledge of particles is refused where a pixel cannot show them.

    Args:
        count: number of particles.
        cluster_mm: diameter of the cluster.
        particle_mm: diameter of a particle.
        contrast_sigma: of a particle that fills a pixel, in standard deviations of the tissue.
        centre_jitter_mm: None puts the cluster anywhere in the anatomy; a number puts it in the
            image's middle, that far off at most.

    Raises:
        InputError: when a pixel is larger than twice the largest particle.
    """

    count: tuple[int, int] = (5, 30)
    cluster_mm: Lengths = (5, 20)
    particle_mm: Lengths = (0.2, 1.0)
    contrast_sigma: Range = (2.0, 10.0)
    centre_jitter_mm: Length | None = None

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Place, size and brightness of every particle; unused ones have size 0."""
        n, dims = batch.spacing_mm.shape
        pixel = float(batch.spacing_mm.max())
        if pixel > 2 * self.particle_mm[1]:
            raise InputError(
                f"Calcification: a pixel of {pixel:.2f} mm cannot show a particle of "
                f"{self.particle_mm[1]:.2f} mm; use images of {2 * self.particle_mm[1]:.2f} mm per "
                "pixel or finer, or leave calcification out of the recipe"
            )
        low, high = self.count
        drawn = torch.randint(low, high + 1, (n, 1), generator=rng)
        spread = torch.randn(n, high, dims, generator=rng) / 4
        size = fields.log_uniform(rng, n * high, self.particle_mm).view(n, high)
        return {
            "place": torch.rand(n, dims, generator=rng),
            "offset_mm": spread * fields.uniform(rng, n, self.cluster_mm).view(n, 1, 1),
            "diameter_mm": size * (torch.arange(high) < drawn),
            "contrast_sigma": fields.uniform(rng, n, self.contrast_sigma),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Old tissue plus the contrast, as much as particles fill each sample."""
        like = batch.pixels
        filled = _filled(batch, params, self.centre_jitter_mm)
        contrast = params["contrast_sigma"].to(like.device) * tissue_sigma(batch)
        return like + fields.column(contrast, like), filled


def _filled(batch: ImageBatch, params: Params, jitter_mm: float | None) -> Tensor:
    """Share of every sample that particles fill: ``(n, 1, *spatial)``.

    Each particle is drawn in a small window around it, then put into the image by its index.
    """
    n, dims = batch.spacing_mm.shape
    device = batch.pixels.device
    centre = fields.centre_of(batch, params["place"], jitter_mm)
    spacing = batch.spacing_mm.unsqueeze(1)
    half = (torch.tensor(batch.spatial, device=device) - 1) / 2
    diameter = params["diameter_mm"].to(device)
    place = (centre.unsqueeze(1) + params["offset_mm"].to(device)) / spacing + half  # samples

    reach = math.ceil(float(diameter.max()) / 2 / float(spacing.min())) + 1
    steps = torch.arange(-reach, reach + 1, device=device)
    window = torch.cartesian_prod(*(steps,) * dims).view(-1, dims)
    index = place.round().long().unsqueeze(2) + window  # (n, count, window, d)
    distance = ((index - place.unsqueeze(2)) * spacing.unsqueeze(2)).norm(dim=-1)
    blur = spacing.mean(-1).unsqueeze(-1) * 0.6  # half a sample of soft edge, and partial volume
    radius = diameter.unsqueeze(-1) / 2
    small = (diameter.unsqueeze(-1) / spacing.amin(-1).unsqueeze(-1)).clamp_max(1) ** dims
    share = torch.sigmoid(4 * (torch.maximum(radius, blur / 2) - distance) / blur) * small
    share = share * (diameter > 0).unsqueeze(-1)

    size = torch.tensor(batch.spatial, device=device)
    inside = ((index >= 0) & (index < size)).all(-1)
    strides = [math.prod(batch.spatial[i + 1 :]) for i in range(dims)]
    flat = (index * torch.tensor(strides, device=device)).sum(-1).where(inside, 0)
    filled = torch.zeros(n, math.prod(batch.spatial), device=device)
    filled.scatter_reduce_(1, flat.flatten(1), (share * inside).flatten(1), "amax")
    return filled.view(n, 1, *batch.spatial)
