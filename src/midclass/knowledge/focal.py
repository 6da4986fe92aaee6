"""Focal: a rounded, rough-edged lesion brighter or darker than its tissue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._box import Box
from midclass.knowledge._visibility import FADED, tissue_sigma
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Length, Lengths, Params, Range

NOISE = 8
"""Samples along each axis of the noise that roughens a boundary or an inside."""


@dataclass(frozen=True)
class Focal(Knowledge):
    """A nodule, mass or haemorrhage (bright), a cyst or infarct (dark).

    Why: expansive lesions are rounder than the tissue they push aside and attenuate differently.
    Masses in mammograms are described by shape, margin and density (ACR BI-RADS Atlas, 5th ed.,
    2013); acute parenchymal blood is 50 to 90 HU in brain of 20 to 40 HU (Broderick et al.,
    Stroke 38:2001, 2007).

    Args:
        sign: whether the lesion is brighter or darker than its tissue.
        diameter_mm: mean of the longest and shortest axis, log-uniform.
        axis_ratio: shortest over longest axis.
        contrast_sigma: difference in standard deviations of the tissue.
        roughness: deviation of the boundary as a share of the radius.
        edge_mm: width of the transition at the boundary, at most the diameter.
        texture: share of the contrast that varies inside the lesion.
        centre_jitter_mm: None puts the centre anywhere in the anatomy; a number puts it in the
            image's middle, that far off at most (regions of interest are centred on a finding).

    >>> batch = ImageBatch.of(torch.full((2, 1, 64, 64), 0.4), spacing_mm=1.0)
    >>> middle = Focal(diameter_mm=(10, 10))(batch, torch.Generator().manual_seed(0))
    >>> bool((middle.pixels >= batch.pixels - 1e-6).all()), tuple(middle.change.shape)
    (True, (2, 1, 64, 64))
    """

    sign: Literal["bright", "dark"] = "bright"
    diameter_mm: Lengths = (5, 30)
    axis_ratio: Range = (0.5, 1.0)
    contrast_sigma: Range = (1.0, 6.0)
    roughness: Range = (0.0, 0.2)
    edge_mm: Lengths = (0.5, 3.0)
    texture: Range = (0.0, 0.5)
    centre_jitter_mm: Length | None = None

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Place, size, shape and contrast of one lesion per image."""
        n, dims = batch.spacing_mm.shape
        drawn = {
            "place": torch.rand(n, dims, generator=rng),
            "radius_mm": fields.log_uniform(rng, n, self.diameter_mm) / 2,
            "axis_ratio": fields.uniform(rng, n, self.axis_ratio),
            "turn": fields.rotation(rng, n, dims),
            "contrast_sigma": fields.uniform(rng, n, self.contrast_sigma),
            "roughness": fields.uniform(rng, n, self.roughness),
            "edge_mm": fields.uniform(rng, n, self.edge_mm),
            "texture": fields.uniform(rng, n, self.texture),
            "boundary": torch.randn(n, 1, *(NOISE,) * dims, generator=rng),
            "inside": torch.randn(n, 1, *(NOISE,) * dims, generator=rng),
        }
        return drawn | {"edge_mm": torch.minimum(drawn["edge_mm"], 2 * drawn["radius_mm"])}

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Old tissue plus the contrast, where the rough ball is."""
        box, frame, alpha = rough_ball(batch, params, self.centre_jitter_mm)
        like = box.cut(batch.pixels)
        texture = 1 + fields.smooth_noise(params["inside"], frame) * fields.column(
            params["texture"], like
        )
        contrast = params["contrast_sigma"].to(like.device) * tissue_sigma(batch)
        step = fields.column(contrast, like) * texture.clamp_min(0.2)
        new = like + (step if self.sign == "bright" else -step)
        return box.paste(new, batch.pixels), box.alone(alpha)


def rough_ball(
    batch: ImageBatch, params: Params, centre_jitter_mm: Length | None
) -> tuple[Box, list[Tensor], Tensor]:
    """The box of a lesion, coordinates in which it is the unit ball, and its share in the box."""
    centre = fields.centre_of(batch, params["place"], centre_jitter_mm)
    half_axes, turn = half_axes_mm(params, centre.shape[1]), params["turn"]
    box = fields.lesion_box(batch, centre, half_axes, turn, _reach(params))
    frame = fields.lesion_frame(box.away_mm(centre), half_axes, turn)
    rough = fields.smooth_noise(params["boundary"], frame)
    rough = rough * fields.column(params["roughness"], rough)
    inwards_mm = (1 + rough - fields.length(frame)) * fields.column(params["radius_mm"], rough)
    return box, frame, torch.sigmoid(4 * inwards_mm / fields.column(params["edge_mm"], rough))


def half_axes_mm(params: Params, dims: int) -> Tensor:
    """Of the smooth lesion: ``(n, d)``, the first the longest."""
    longest = params["axis_ratio"].rsqrt()
    half_axes = (params["radius_mm"] / longest).unsqueeze(1).repeat(1, dims)
    half_axes[:, 0] = params["radius_mm"] * longest
    return half_axes


def _reach(params: Params) -> Tensor:
    """How many times as large as the smooth lesion it is with its bulges and its edge: ``(n,)``."""
    edge = params["edge_mm"] / params["radius_mm"]
    bulge = params["roughness"] * params["boundary"].flatten(1).amax(1).clamp_min(0)
    return 1 + bulge + FADED / 4 * edge
