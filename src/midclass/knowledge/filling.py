"""Filling: blood or pus takes the place of the fluid in the spaces of an organ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._blur import blurred
from midclass.knowledge._box import Box
from midclass.knowledge._visibility import tissue_sigma
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Lengths, Params, Range

NOISE = 8
"""Samples along each axis of the noise that roughens where the filling ends."""

FIRST, ALL = 1.0, 2.5
"""A sample begins to belong to the spaces where it differs from the tissue by so many of its
standard deviations, and belongs to them wholly from the second number on."""

AROUND_MM, FEW = 4.0, 0.08
"""Where within some millimetres no more than this share is space, there is none: its specks are
noise. From twice that on it is space."""

FINE_MM = 2.0
"""On samples further apart both widths are as many samples as here."""

SMOOTHED_MM = 1.0
"""Spaces are looked for after a blur so wide: noise makes single samples dark."""


@dataclass(frozen=True)
class Filling(Knowledge):
    """Subarachnoid and intraventricular haemorrhage: dark fluid spaces that have turned bright.

    Why: blood that reaches the cerebrospinal fluid keeps to its spaces. It takes the form of the
    cisterns, fissures, sulci and ventricles that it fills, which are darker than brain in CT and
    become brighter than it (Fisher, Kistler and Davis, Neurosurgery 6:1, 1980; modified scale with
    the ventricles: Frontera et al., Neurosurgery 59:21, 2006). In FLAIR blood, pus and tumour
    cells in the sulci do the same (Stuckey et al., AJR 189:913, 2007). ``Focal`` is a rounded
    lesion anywhere and ``Crescent`` lies against the wall: neither follows the spaces.

    Spaces are what differs from the tissue's own level by more than its standard deviation. They
    are filled around a place in them, as far as the drawn diameter. An image that shows hardly any
    gets a change of no severity, which no training counts. No published code makes this lesion.

    Args:
        spaces: how fluid looks beside tissue: dark (CT, FLAIR), or bright (T2-weighted MR), where
            what fills them is darker than tissue.
        diameter_mm: of the filled region, log-uniform; one larger than the organ fills all.
        contrast_sigma: of what fills them beside tissue, in standard deviations of the tissue.
        replaced: share of the fluid that it replaces.
        edge_mm: width over which the filling ends.
        roughness: deviation of where it ends, as a share of the radius.

    >>> pixels = torch.full((2, 1, 64, 64), 0.5)
    >>> pixels[:, :, 24:40, 30:34] = 0.3
    >>> batch = ImageBatch.of(pixels, spacing_mm=3.0)
    >>> change = Filling(diameter_mm=(300, 300))(batch, torch.Generator().manual_seed(0)).change
    >>> bool(change[:, :, 28:36, 31:33].min() > 0.5), float(change[:, :, :, 40:].max())
    (True, 0.0)
    """

    spaces: Literal["dark", "bright"] = "dark"
    diameter_mm: Lengths = (20, 150)
    contrast_sigma: Range = (0.5, 5.0)
    replaced: Range = (0.5, 1.0)
    edge_mm: Lengths = (5, 15)
    roughness: Range = (0.0, 0.4)

    border_mm: ClassVar[float] = 0.0  # sulci open to the surface

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Where the filling begins, how far it reaches and how dense it is."""
        n, dims = batch.spacing_mm.shape
        return {
            "place": torch.rand(n, generator=rng),
            "radius_mm": fields.log_uniform(rng, n, self.diameter_mm) / 2,
            "contrast_sigma": fields.uniform(rng, n, self.contrast_sigma),
            "replaced": fields.uniform(rng, n, self.replaced),
            "edge_mm": fields.uniform(rng, n, self.edge_mm),
            "roughness": fields.uniform(rng, n, self.roughness),
            "border": torch.randn(n, 1, *(NOISE,) * dims, generator=rng),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Tissue's level plus the contrast, in the spaces around a place; noise is kept."""
        like = batch.pixels
        sign = 1 if self.spaces == "dark" else -1
        level = _tissue_level(batch)
        smooth = _smoothed(batch, level, SMOOTHED_MM)
        coarse = bool((batch.spacing_mm.amin(1) > FINE_MM).any())
        looked_at = _smoothed(batch, level, _width(batch, SMOOTHED_MM)) if coarse else smooth
        sigma = fields.column(tissue_sigma(batch), like)
        differs = sign * (level - looked_at).mean(1, keepdim=True) / sigma
        share = ((differs - FIRST) / (ALL - FIRST)).clamp(0, 1)
        share = _without_specks(batch, share.square() * (3 - 2 * share) * batch.anatomy)
        contrast = sign * fields.column(params["contrast_sigma"], like) * sigma
        region = self._region(batch, params, share)
        return like - smooth + level + contrast, share * region

    def _region(self, batch: ImageBatch, params: Params, share: Tensor) -> Tensor:
        """Share of the fluid that is replaced wherever there is any: ``(n, 1, *spatial)``."""
        centre = fields.in_mm(batch, fields.place_in(share > 0.5, params["place"]))
        box, radius_mm = Box.whole(batch), params["radius_mm"]
        rough = fields.smooth_field(params["border"], box, radius_mm / 2)
        away = fields.length(box.away_mm(centre))
        radius = fields.column(radius_mm, away)
        ends = radius * (1 + fields.column(params["roughness"], away) * rough)
        inside = torch.sigmoid(4 * (ends - away) / fields.column(params["edge_mm"], away))
        return inside * fields.column(params["replaced"], away)


def _smoothed(batch: ImageBatch, level: Tensor, width_mm: float | Tensor) -> Tensor:
    """The anatomy without its finest noise, ``(n, c, *spatial)``; around it lies tissue's level.

    Where coarse grids are smoothed more, to find spaces, that takes away more than noise: pixels
    keep what the finer blur takes.
    """
    inside = torch.where(batch.anatomy, batch.pixels, level)
    width = torch.as_tensor(width_mm, device=level.device).expand(len(batch))
    return blurred(inside, batch.spacing_mm, width)


def _without_specks(batch: ImageBatch, share: Tensor) -> Tensor:
    """The spaces alone: noise is dark in single samples, which have few others around them."""
    dense = blurred(share, batch.spacing_mm, _width(batch, AROUND_MM))
    return share * ((dense - FEW) / FEW).clamp(0, 1)


def _width(batch: ImageBatch, mm: float) -> Tensor:
    """Of a blur, ``(n,)`` in mm; on coarse grids wider, since noise is one of samples."""
    return (batch.spacing_mm.amin(1) * (mm / FINE_MM)).clamp_min(mm)


def _tissue_level(batch: ImageBatch) -> Tensor:
    """Mean of what in the anatomy is neither fluid nor bone: ``(n, c, 1, ...)``.

    The mean of all, and of what lies within two standard deviations of the tissue of it.
    """
    mask, axes = batch.anatomy.float(), tuple(range(2, batch.pixels.ndim))
    near = 2 * fields.column(tissue_sigma(batch), batch.pixels)
    counted = mask.expand_as(batch.pixels)
    for _ in range(2):
        total = (batch.pixels * counted).sum(axes, keepdim=True)
        level = total / counted.sum(axes, keepdim=True).clamp_min(1)
        counted = mask * ((batch.pixels - level).abs() < near)
    return level
