"""Texture: a region in which structure of one size is stronger or weaker than elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from midclass.errors import InputError
from midclass.knowledge import _fields as fields
from midclass.knowledge._blur import blurred, local_mean
from midclass.knowledge._box import Box
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Length, Lengths, Params, Positive, Range

NOISE = 8
"""Samples along each axis of the noise that roughens the region's boundary."""

SHOWN = 0.8
"""Share of the Nyquist frequency up to which a grid shows texture."""

RATIO = 2.0
"""Widths of the two Gaussians whose difference is the band."""

PEAK = math.log(RATIO**2) / (RATIO**2 - 1)
"""2 pi^2 sigma^2 f^2 at the frequency f that the difference passes best."""

HEIGHT = math.exp(-PEAK) - math.exp(-PEAK * RATIO**2)
"""What it passes there."""


@dataclass(frozen=True)
class TextureChange(Knowledge):
    """Fibrosis and reticulation (more texture), or its loss; brightness stays.

    Why: interstitial disease is seen as texture before it is seen as density: a reticular
    pattern is many small lines that suggest a net (Hansell et al., Fleischner Society: Glossary
    of Terms for Thoracic Imaging, Radiology 246:697, 2008), and texture measures alone tell
    fibrosis from normal lung (Uppaluri et al., Am J Respir Crit Care Med 160:648, 1999).

    A band of spatial frequencies, a difference of Gaussians, is amplified or damped inside a
    soft-edged rough ball. The local mean (structure more than four times as coarse) stays. With
    ``keep_variance`` all finer structure is then scaled to the variance it had, so that the
    spectrum changes and nothing else.

    Args:
        change: more or less texture, or either.
        gain: factor on the band, log-uniform; where texture is lost, its inverse.
        frequency_per_mm: of the band's middle, cycles per mm, log-uniform; up to 0.8 of what the
            grid can show along its finest axis, and down to 1.5 cycles in the region.
        region_mm: diameter of the region.
        edge: softness of the region's border as a share of its radius.
        roughness: deviation of the border as a share of the radius.
        keep_variance: whether the variance stays too.
        centre_jitter_mm: None puts the region anywhere in the anatomy; a number puts it in the
            image's middle, that far off at most.

    Raises:
        InputError: when a pixel is too large for the lowest frequency.

    >>> batch = ImageBatch.of(torch.rand(2, 1, 64, 64), spacing_mm=1.0)
    >>> middle = TextureChange(change="less")(batch, torch.Generator().manual_seed(0))
    >>> bool((middle.pixels - batch.pixels).mean().abs() < 1e-2), bool((middle.severity > 0).all())
    (True, True)
    """

    change: Literal["more", "less", "either"] = "either"
    gain: Range = (2.0, 3.0)
    frequency_per_mm: Positive = (0.1, 1.0)
    region_mm: Lengths = (10, 80)
    edge: Range = (0.2, 0.6)
    roughness: Range = (0.0, 0.2)
    keep_variance: bool = True
    centre_jitter_mm: Length | None = None

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Region, band and gain of one change per image."""
        n, dims = batch.spacing_mm.shape
        more = {"more": 1.0, "less": 0.0, "either": 0.5}[self.change]
        way = 2 * (torch.rand(n, generator=rng) < more).float() - 1
        region_mm = fields.uniform(rng, n, self.region_mm)
        return {
            "place": torch.rand(n, dims, generator=rng),
            "region_mm": region_mm,
            "gain": fields.log_uniform(rng, n, self.gain) ** way,
            "frequency_per_mm": self._frequency(batch, region_mm, torch.rand(n, generator=rng)),
            "turn": fields.rotation(rng, n, dims),
            "edge": fields.uniform(rng, n, self.edge),
            "roughness": fields.uniform(rng, n, self.roughness),
            "boundary": torch.randn(n, 1, *(NOISE,) * dims, generator=rng),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Tissue with its band amplified or damped, and the region."""
        box = Box.of_anatomy(batch)
        alpha, mask = self._region(batch, params, box), box.cut(batch.anatomy)
        old = box.cut(batch.pixels)
        wavelength = params["frequency_per_mm"].reciprocal()
        # exp(-2 pi^2 sigma^2 f^2) is a half at a quarter of the band's frequency.
        coarse = wavelength * math.sqrt(8 * math.log(2)) / math.pi
        mean = local_mean(old, mask, batch.spacing_mm, coarse, box)
        detail = (old - mean) * mask  # no edge of the anatomy in it
        gain = fields.column(params["gain"], detail)
        changed = detail + (gain - 1) * _band(detail, batch, wavelength, box) * mask
        if self.keep_variance:
            changed = changed * _kept(detail, changed, alpha * mask)
        return box.paste(mean + changed, batch.pixels), box.alone(alpha)

    def _frequency(self, batch: ImageBatch, region_mm: Tensor, u: Tensor) -> Tensor:
        low, high = self.frequency_per_mm
        spacing = batch.spacing_mm.amin(1).cpu()
        coarsest = float(spacing.max())
        if SHOWN / (2 * coarsest) < low:
            raise InputError(
                f"TextureChange: a pixel of {coarsest:.2f} mm cannot show {low:g} cycles per mm; "
                f"use images of {SHOWN / (2 * low):.2f} mm per pixel or finer, lower "
                "frequency_per_mm, or leave texture change out of the recipe"
            )
        top = (SHOWN / (2 * spacing)).clamp_max(high)
        bottom = torch.minimum((1.5 / region_mm).clamp_min(low), top)
        return bottom * (top / bottom) ** u

    def _region(self, batch: ImageBatch, params: Params, box: Box) -> Tensor:
        """The soft rough ball ``(n, 1, *size)``."""
        centre = fields.centre_of(batch, params["place"], self.centre_jitter_mm)
        half_axes = (params["region_mm"] / 2).unsqueeze(1).expand(-1, centre.shape[1])
        frame = fields.lesion_frame(box.away_mm(centre), half_axes, params["turn"])
        rough = fields.smooth_noise(params["boundary"], frame)
        rough = rough * fields.column(params["roughness"], rough)
        inwards = 1 + rough - fields.length(frame)
        return torch.sigmoid(4 * inwards / fields.column(params["edge"], rough))


def _band(detail: Tensor, batch: ImageBatch, wavelength_mm: Tensor, box: Box) -> Tensor:
    """What of the detail lies in the band, 1 at its middle: a difference of Gaussians."""
    sigma = wavelength_mm * math.sqrt(PEAK / 2) / math.pi
    fine = blurred(detail, batch.spacing_mm, sigma, box)
    coarse = blurred(detail, batch.spacing_mm, RATIO * sigma, box)
    return (fine - coarse) / HEIGHT


def _kept(detail: Tensor, changed: Tensor, weight: Tensor) -> Tensor:
    """Factor ``(n, c, 1, ...)`` that gives the changed detail the variance it had."""
    axes = tuple(range(2, detail.ndim))
    before = (detail.square() * weight).sum(axes, keepdim=True)
    after = (changed.square() * weight).sum(axes, keepdim=True)
    return (before / after.clamp_min(1e-12)).sqrt()
