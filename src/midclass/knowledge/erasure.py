"""Erasure: structure that should be there and is not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from midclass.knowledge import _fields as fields
from midclass.knowledge._box import Box
from midclass.knowledge._visibility import FADED, box_mean, noise_sigma, within_border
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Lengths, Params, Range

NOISE = 6
"""Samples along each axis of the noise that roughens a boundary."""


@dataclass(frozen=True)
class Erasure(Knowledge):
    """A blob or band whose vessels and texture are gone: filled from around, with its grain.

    Why: oligaemia shows as fewer and smaller vessels in a region, a bulla as a lucency that holds
    none, emphysema as low attenuation with the markings destroyed (Hansell et al., Fleischner
    Society: Glossary of Terms for Thoracic Imaging, Radiology 246:697, 2008). The fill is the
    surroundings interpolated by pull and push (Gortler et al., "The Lumigraph", SIGGRAPH 1996,
    a normalised convolution on a pyramid); noise as strong as the surroundings' own grain is
    added, so that neither a seam nor missing noise is a cue.

    Args:
        shape: blob, band, or either with equal chance.
        size_mm: diameter of a blob, length of a band, log-uniform.
        band_ratio: width of a band over its length.
        most: largest share of the anatomy that is erased; a larger shape is made smaller.
        strength: how much of the old structure goes.
        lucency: how much darker the fill is than the surroundings, as a share of them.
        roughness: deviation of the boundary as a share of the radius.
        edge_mm: width of the transition at the boundary.

    >>> rng = torch.Generator().manual_seed(0)
    >>> batch = ImageBatch.of(torch.rand(2, 1, 64, 64, generator=rng), spacing_mm=2.0)
    >>> middle = Erasure(size_mm=(30, 30))(batch, rng)
    >>> bool((middle.change.amax((1, 2, 3)) > 0.9).all())
    True
    """

    shape: Literal["blob", "band", "either"] = "either"
    size_mm: Lengths = (12, 40)
    band_ratio: Range = (0.2, 0.5)
    most: float = 0.1
    strength: Range = (0.8, 1.0)
    lucency: Range = (0.0, 0.15)
    roughness: Range = (0.0, 0.25)
    edge_mm: Lengths = (2, 6)

    border_mm: ClassVar[float] = 3.0

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Place and form of what is erased, and the noise of its filling."""
        n, dims = batch.spacing_mm.shape
        band = {"blob": 0.0, "band": 1.0, "either": 0.5}[self.shape]
        ratio = fields.uniform(rng, n, self.band_ratio)
        return {
            "place": torch.rand(n, dims, generator=rng),
            "length_mm": fields.log_uniform(rng, n, self.size_mm),
            "ratio": torch.where(torch.rand(n, generator=rng) < band, ratio, 1.0),
            "turn": fields.rotation(rng, n, dims),
            "strength": fields.uniform(rng, n, self.strength),
            "lucency": fields.uniform(rng, n, self.lucency),
            "roughness": fields.uniform(rng, n, self.roughness),
            "edge_mm": fields.uniform(rng, n, self.edge_mm),
            "boundary": torch.randn(n, 1, *(NOISE,) * dims, generator=rng),
            "grain": torch.randn(n, 1, *batch.spatial, generator=rng),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """The surroundings interpolated, with grain, where the shape is."""
        like = batch.pixels
        box, shape = self._shape(batch, params)
        alpha = box.alone(shape)
        around = batch.anatomy & (alpha < 0.02)
        fill = pull_push((like, noise_sigma(like)), around, box)
        level, sigma = fill.chunk(2, 1)
        darker = level * (1 - fields.column(params["lucency"], like))
        new = darker + sigma * box.cut(params["grain"].to(like.device))
        return box.paste(new, like), alpha * fields.column(params["strength"], like)

    def sham_tissue(self, batch: ImageBatch, params: Params) -> Tensor:
        """The tissue itself, its grain replaced by noise as strong."""
        like = batch.pixels
        sigma = pull_push((noise_sigma(like),), batch.anatomy, Box.whole(batch), finest=3)
        return box_mean(like, 3) + sigma * params["grain"].to(like.device)

    def _shape(self, batch: ImageBatch, params: Params) -> tuple[Box, Tensor]:
        """Share of every sample that is erased: a rough ellipsoid, ``(n, 1, *size)`` in its box."""
        half_axes = self._half_axes_mm(batch, params)
        centre = fields.centre_of(_inner(batch), params["place"], None)
        narrowest, roughness, edge = (
            values.to(half_axes.device)
            for values in (half_axes.amin(1), params["roughness"], params["edge_mm"])
        )
        bulge = roughness * params["boundary"].to(edge.device).flatten(1).amax(1).clamp_min(0)
        reach = 1 + bulge + FADED / 4 * edge / narrowest
        box = fields.lesion_box(batch, centre, half_axes, params["turn"], reach)
        frame = fields.lesion_frame(box.away_mm(centre), half_axes, params["turn"])
        rough = fields.smooth_noise(params["boundary"], frame)
        rough = rough * fields.column(roughness, rough)
        inwards_mm = (1 + rough - fields.length(frame)) * fields.column(narrowest, rough)
        return box, torch.sigmoid(4 * inwards_mm / fields.column(edge, rough))

    def _half_axes_mm(self, batch: ImageBatch, params: Params) -> Tensor:
        """``(n, d)``, the first the longest, so small that the share ``most`` is kept."""
        dims = batch.spacing_mm.shape[1]
        length = params["length_mm"].to(batch.pixels.device)
        width = length * params["ratio"].to(batch.pixels.device)
        half_axes = torch.stack([length, *(width,) * (dims - 1)], 1) / 2
        ball = math.pi if dims == 2 else 4 / 3 * math.pi
        organ = batch.anatomy.flatten(1).sum(1) * batch.spacing_mm.prod(1)
        scale = (self.most * organ / (ball * half_axes.prod(1))) ** (1 / dims)
        return half_axes * scale.clamp(1e-3, 1).unsqueeze(1)


def _inner(batch: ImageBatch) -> ImageBatch:
    """The anatomy without its outer 10 mm (less in a small field), where it has more."""
    inner = within_border(batch, 10.0) > 0.9
    some = inner.flatten(1).any(1).view(-1, *(1,) * (inner.ndim - 1))
    return replace(batch, anatomy=torch.where(some, inner, batch.anatomy))


def pull_push(values: Sequence[Tensor], known: Tensor, box: Box, finest: int = 1) -> Tensor:
    """Smooth fields that keep to the known values and are interpolated between them.

    Args:
        values: ``(n, c, *spatial)`` each; the fields are one tensor, channels in this order.
        known: bool ``(n, 1, *spatial)``; with none known, the field is 0.
        box: where the fields are asked for.
        finest: halvings of the resolution at which the field is smooth.
    """
    mode = "bilinear" if known.ndim == 4 else "trilinear"
    weight = known.to(values[0].dtype)
    parts = [*(value * weight for value in values), weight]
    weighted = torch.cat([_halved(part) for part in parts], 1)
    levels = []
    while True:  # pull: means of what is known, coarser and coarser
        levels.append((weighted[:, :-1] / weighted[:, -1:].clamp_min(1e-6), weighted[:, -1:]))
        if max(weighted.shape[2:]) <= 2:
            break
        weighted = _halved(weighted)
    field = levels[-1][0]
    for own, weight in reversed(levels[finest - 1 : -1]):  # push: to where little is known
        field = functional.interpolate(field, size=own.shape[2:], mode=mode)
        field = torch.lerp(field, own, (weight * 4).clamp_max(1).expand_as(own))
    inner = [  # the middles of the outermost samples do not lie at -1 and 1
        place * ((side - 1) / side)
        for place, side in zip(fields.places(box), box.spatial, strict=True)
    ]
    grid = fields.grid_of(box, inner)
    return functional.grid_sample(field, grid, padding_mode="border", align_corners=False)


def _halved(values: Tensor) -> Tensor:
    """Means of two samples along each axis that has two."""
    pool = functional.avg_pool2d if values.ndim == 4 else functional.avg_pool3d
    return pool(values, [min(2, side) for side in values.shape[2:]], ceil_mode=True)
