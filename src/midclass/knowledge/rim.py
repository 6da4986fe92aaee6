"""Rim: a core inside a wall inside a halo, each brighter or darker than its tissue or like it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._visibility import FADED, tissue_sigma
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Length, Lengths, Params, Range

Sign: TypeAlias = Literal["bright", "dark", "none"]
STEP = {"bright": 1.0, "dark": -1.0, "none": 0.0}

NOISE = 8
"""Samples along each axis of the noise that roughens the boundaries."""

UNEVEN = 0.3
"""How much the contrast varies around the lesion, as a share of it: no wall is drawn with a pen."""


@dataclass(frozen=True)
class Rim(Knowledge):
    """An abscess, a cavity or cyst with a wall, a necrotic tumour with oedema around it.

    Why: necrosis leaves a dark core inside a wall that takes up contrast, and vasogenic oedema
    spreads from it: abscess, metastasis and high-grade glioma are the leading causes of a
    ring-enhancing lesion of the brain (Smirniotopoulos et al., RadioGraphics 27:525, 2007). In the
    lung a cavity is a lucency inside a wall (Hansell et al., Radiology 246:697, 2008).

    Args:
        core: whether the core is brighter or darker than its tissue, or none: like it.
        rim: the same of the wall.
        halo: the same of what surrounds the wall.
        core_mm: diameter of the core, log-uniform.
        rim_mm: thickness of the wall.
        halo_mm: width of the halo, from the wall to where it ends.
        axis_ratio: shortest over longest axis of the core.
        core_sigma: difference of the core in standard deviations of the tissue.
        rim_sigma: the same of the wall.
        halo_sigma: the same of the halo.
        roughness: deviation of the boundaries as a share of the core's radius; the wall's
            thickness varies twice and the halo's width thrice as much.
        edge_mm: width of the transitions, a sample at least.
        centre_jitter_mm: None puts the centre anywhere in the anatomy; a number puts it in the
            image's middle, that far off at most.

    >>> batch = ImageBatch.of(torch.full((2, 1, 64, 64), 0.4), spacing_mm=1.0)
    >>> ring = Rim(core="none", halo="none", centre_jitter_mm=0.0)
    >>> middle = ring(batch, torch.Generator().manual_seed(0))
    >>> bool((middle.pixels >= batch.pixels - 1e-6).all()), tuple(middle.change.shape)
    (True, (2, 1, 64, 64))
    """

    core: Sign = "dark"
    rim: Sign = "bright"
    halo: Sign = "dark"
    core_mm: Lengths = (3, 30)
    rim_mm: Lengths = (1, 5)
    halo_mm: Lengths = (5, 30)
    axis_ratio: Range = (0.6, 1.0)
    core_sigma: Range = (0.5, 3.0)
    rim_sigma: Range = (1.0, 4.0)
    halo_sigma: Range = (0.3, 1.5)
    roughness: Range = (0.0, 0.2)
    edge_mm: Lengths = (0.5, 3.0)
    centre_jitter_mm: Length | None = None

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Place, size, shape and contrasts of one lesion per image."""
        n, dims = batch.spacing_mm.shape
        return {
            "place": torch.rand(n, dims, generator=rng),
            "core_mm": fields.log_uniform(rng, n, self.core_mm),
            "rim_mm": fields.uniform(rng, n, self.rim_mm),
            "halo_mm": fields.uniform(rng, n, self.halo_mm),
            "axis_ratio": fields.uniform(rng, n, self.axis_ratio),
            "turn": fields.rotation(rng, n, dims),
            "core_sigma": fields.uniform(rng, n, self.core_sigma),
            "rim_sigma": fields.uniform(rng, n, self.rim_sigma),
            "halo_sigma": fields.uniform(rng, n, self.halo_sigma),
            "roughness": fields.uniform(rng, n, self.roughness),
            "edge_mm": fields.uniform(rng, n, self.edge_mm),
            "boundary": torch.randn(n, 4, *(NOISE,) * dims, generator=rng),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Old tissue plus each compartment's contrast, where a compartment has one."""
        sigma = tissue_sigma(batch)
        centre = fields.centre_of(batch, params["place"], self.centre_jitter_mm)
        axes, turn = _axes(params, centre.shape[1]), params["turn"]
        edge = torch.maximum(params["edge_mm"].to(centre.device), batch.spacing_mm.amax(1))
        box = fields.lesion_box(batch, centre, axes, turn, _reach_mm(params, edge))
        frame = fields.lesion_frame(box.away_mm(centre), axes, turn)  # in mm: the core is a ball
        like = box.cut(batch.pixels)
        noise, shares = _compartments(frame, edge, params)
        alpha, step = torch.zeros_like(noise[:, :1]), torch.zeros_like(noise[:, :1])
        for name, share in zip(("core", "rim", "halo"), shares, strict=True):
            sign = STEP[getattr(self, name)]
            if sign:
                alpha = alpha + share
                contrast = sign * params[f"{name}_sigma"].to(like.device) * sigma
                step = step + fields.column(contrast, like) * share
        grain = (1 + UNEVEN * noise[:, 3:]).clamp_min(0.2)
        new = like + step * grain / alpha.clamp_min(1e-6)
        return box.paste(new, batch.pixels), box.alone(alpha)


def _axes(params: Params, dims: int) -> Tensor:
    """Half-axes of the ellipsoid that has a ball's size: ``(n, d)``, the first the longest."""
    longest = params["axis_ratio"].rsqrt()
    axes = longest.reciprocal().unsqueeze(1).repeat(1, dims)
    axes[:, 0] = longest
    return axes


def _reach_mm(params: Params, edge: Tensor) -> Tensor:
    """Radius beyond which nothing of the halo is seen, wherever it is rough: ``(n,)``."""
    core, rim, halo, roughness, noise = (
        params[name].to(edge.device)
        for name in ("core_mm", "rim_mm", "halo_mm", "roughness", "boundary")
    )
    bulge = roughness.unsqueeze(1) * noise.flatten(2).amax(2).clamp_min(0)
    halo = halo * (1 + 3 * bulge[:, 2])
    wall = core / 2 * (1 + bulge[:, 0]) + rim * (1 + 2 * bulge[:, 1])
    return wall + halo + FADED / 4 * (edge + halo / 2)


def _compartments(
    frame: Sequence[Tensor], edge_mm: Tensor, params: Params
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The noise, and shares of core, rim and halo, each ``(n, 1, *size)``; together 1 at most.

    The noise depends on the direction alone, so that the boundaries follow one another.
    """
    distance = fields.length(frame)
    nearness = distance.clamp_min(1e-6).reciprocal()
    direction = [part * nearness for part in frame]
    noise = fields.smooth_noise(params["boundary"], direction)
    rough = noise * fields.column(params["roughness"], noise)
    core, rim, halo = (
        fields.column(params[name], noise) for name in ("core_mm", "rim_mm", "halo_mm")
    )
    to_core = core / 2 * (1 + rough[:, :1])
    to_rim = to_core + rim * (1 + 2 * rough[:, 1:2]).clamp_min(0.3)
    halo = halo * (1 + 3 * rough[:, 2:3]).clamp_min(0.2)
    edge = fields.column(edge_mm, noise)
    inwards = to_rim - distance
    in_core = torch.sigmoid((to_core - distance) * (4 / edge))
    in_rim = torch.sigmoid(inwards * (4 / edge))
    in_halo = torch.sigmoid(4 * (inwards + halo) / (edge + halo / 2))  # fades out
    within_rim = torch.maximum(in_rim, in_core)
    return noise, (in_core, within_rim - in_core, (in_halo - within_rim).clamp_min(0))
