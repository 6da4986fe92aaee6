"""Artefacts of acquisition and storage: dose, display window, collimation, markers, compression.

Each has a ``draw_...`` and a function that applies what was drawn, and leaves the pixels as they
are where nothing was. All change pixels alone: anatomy and change maps stay.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from midclass.knowledge import _fields as fields
from midclass.knowledge._visibility import box_mean, noise_sigma
from midclass.types import ImageBatch, Params, Range

LETTER_R = ("11110", "10001", "10001", "11110", "10100", "10010", "10001")
LETTER_L = ("10000", "10000", "10000", "10000", "10000", "10000", "11111")
PLATE = ("11111",) * 7
GLYPHS = torch.tensor(
    [[[float(x) for x in line] for line in g] for g in (LETTER_R, LETTER_L, PLATE)]
)
"""What markers show, ``(3, 7, 5)``: side letters and a plain plate."""

MOST = 8
"""A strip or marker takes at most one in so many of the side: a small region keeps its middle."""

LUMINANCE = torch.tensor(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ],
    dtype=torch.float32,
)
"""Steps of JPEG's coefficients at quality 50 (ITU-T T.81, 1992, table K.1)."""


def draw_dose(batch: ImageBatch, rng: torch.Generator, dose: Range) -> Params:
    """Dose relative to the image's own, and the noise that a lower one has."""
    return {
        "dose": fields.log_uniform(rng, len(batch), dose),
        "quanta": torch.randn(len(batch), 1, *batch.spatial, generator=rng),
    }


def dosed(pixels: Tensor, anatomy: Tensor, params: Params) -> Tensor:
    """Noise of variance 1 / dose, relative to the noise that is measured in the anatomy.

    A lower dose adds noise that grows with the signal, as counts do; a higher one is a mix with
    the mean over 3 samples, since noise that is there can only be smoothed away.
    """
    if "dose" not in params:
        return pixels
    variance = fields.column(1 / params["dose"], pixels)
    axes = tuple(range(1, pixels.ndim))
    count = (anatomy.sum(axes, keepdim=True) * pixels.shape[1]).clamp_min(1)
    sigma = (noise_sigma(pixels) * anatomy).sum(axes, keepdim=True) / count
    signal = ((pixels * anatomy).sum(axes, keepdim=True) / count).clamp_min(1e-3)
    growth = (pixels.clamp_min(0) / signal).sqrt()
    noise = (variance - 1).clamp_min(0).sqrt() * sigma * growth
    # The mix (1 - m) p + m mean(p) has the share v of a white noise's variance.
    kept = 1 - (1 - variance).clamp_min(0) / (1 - 3.0 ** (2 - pixels.ndim))
    mix = 1 - kept.clamp_min(0).sqrt()
    smooth = torch.lerp(pixels, box_mean(pixels, 3), mix.expand_as(pixels))
    return smooth + noise * params["quanta"].to(pixels.device)


def draw_window(batch: ImageBatch, rng: torch.Generator, window: float) -> Params:
    """How far each end of the display window moves."""
    return {"window": fields.uniform(rng, 2 * len(batch), (-window, window)).view(-1, 2)}


def windowed(pixels: Tensor, params: Params) -> Tensor:
    """Pixels seen through a window whose ends have moved."""
    if "window" not in params:
        return pixels
    low, high = (fields.column(end, pixels) for end in params["window"].unbind(1))
    return ((pixels - low) / (1 + high - low)).clamp(0, 1)


def draw_collimation(
    batch: ImageBatch, rng: torch.Generator, share: float, width_mm: Range
) -> Params:
    """Which of the four borders have a strip, how wide, and how bright; width 0 for none."""
    n = len(batch)
    there = (torch.rand(n, 1, generator=rng) < share) & (torch.rand(n, 4, generator=rng) < 0.5)
    bright = torch.rand(n, generator=rng) < 0.5
    shade = fields.uniform(rng, n, (0.0, 0.1))
    return {
        "strip_mm": fields.uniform(rng, 4 * n, width_mm).view(n, 4) * there,
        "strip_shade": torch.where(bright, 1 - shade, shade),
    }


def collimated(pixels: Tensor, spacing_mm: Tensor, params: Params) -> Tensor:
    """Strips at the borders of the last two axes."""
    if "strip_mm" not in params:
        return pixels
    clear = torch.ones_like(pixels[:, :1])
    for side, width_mm in enumerate(params["strip_mm"].to(pixels.device).unbind(1)):
        axis = -2 if side < 2 else -1
        steps = torch.arange(pixels.shape[axis], device=pixels.device)
        steps = steps.flip(0) if side % 2 else steps
        shape = [1] * pixels.ndim
        shape[axis] = -1
        most = pixels.shape[axis] / MOST
        samples = fields.column((width_mm / spacing_mm[:, axis]).clamp_max(most), pixels)
        clear = clear * (1 + steps.view(shape) - samples).clamp(0, 1)
    shade = fields.column(params["strip_shade"], pixels)
    return torch.lerp(shade.expand_as(pixels), pixels, clear.expand_as(pixels))


def draw_marker(batch: ImageBatch, rng: torch.Generator, share: float, height_mm: Range) -> Params:
    """A letter or plate, its corner, size and brightness; brightness 0 for none."""
    n = len(batch)
    there = torch.rand(n, generator=rng) < share
    return {
        "marker": GLYPHS[torch.randint(len(GLYPHS), (n,), generator=rng)].unsqueeze(1),
        "marker_corner": 2.0 * torch.randint(2, (n, 2), generator=rng) - 1,
        "marker_inset": fields.uniform(rng, 2 * n, (0.6, 2.0)).view(n, 2),
        "marker_mm": fields.log_uniform(rng, n, height_mm),
        "marker_shade": fields.uniform(rng, n, (0.7, 1.0)) * there,
    }


def marked(pixels: Tensor, spacing_mm: Tensor, params: Params) -> Tensor:
    """A marker near a corner, in the plane of the last two axes and on every slice of them."""
    if "marker" not in params:
        return pixels
    glyph, corner, inset, height, shade = (
        params[name].to(pixels.device)
        for name in ("marker", "marker_corner", "marker_inset", "marker_mm", "marker_shade")
    )
    sides = torch.tensor(pixels.shape[-2:], device=pixels.device) * spacing_mm[:, -2:]
    height = torch.minimum(height, sides.amin(1) / MOST)
    frame = []
    for axis, extent in ((-1, height * 5 / 7), (-2, height)):
        size = pixels.shape[axis]
        steps = torch.arange(size, device=pixels.device) - (size - 1) / 2
        centre = corner[:, axis] * (size / 2 * spacing_mm[:, axis] - inset[:, axis] * height)
        place = steps * spacing_mm[:, axis, None] - centre.unsqueeze(1)
        frame.append(place / (extent / 2).unsqueeze(1))  # 1 at the glyph's border
    x, y = frame[0].unsqueeze(1), frame[1].unsqueeze(2)
    grid = torch.stack([x + 0 * y, y + 0 * x], -1)
    ink = functional.grid_sample(glyph, grid, align_corners=False)
    ink = ink.view(len(ink), 1, *(1,) * (pixels.ndim - 4), *ink.shape[2:])
    ink = ink * (fields.column(shade, pixels) > 0)
    return torch.lerp(pixels, fields.column(shade, pixels).expand_as(pixels), ink.expand_as(pixels))


def draw_compression(
    batch: ImageBatch, rng: torch.Generator, share: float, quality: Range
) -> Params:
    """JPEG quality; 0 for images that are not compressed."""
    there = torch.rand(len(batch), generator=rng) < share
    return {"quality": fields.uniform(rng, len(batch), quality) * there}


def compressed(pixels: Tensor, params: Params) -> Tensor:
    """Pixels in [0, 1] after JPEG's quantisation, each channel as luminance; 3-D is left as it is.

    Blocks are 8 x 8 samples of the prepared image, so they are coarser than those of a file that
    was compressed before it was reduced.
    """
    if "quality" not in params or pixels.ndim != 4:
        return pixels
    n, channels, height, width = pixels.shape
    padded = functional.pad(pixels, (0, -width % 8, 0, -height % 8), mode="replicate")
    rows, columns = padded.shape[2] // 8, padded.shape[3] // 8
    blocks = (padded * 255 - 128).view(n, channels, rows, 8, columns, 8)
    k = torch.arange(8, device=pixels.device)
    cosine = torch.cos(math.pi / 16 * k.unsqueeze(1) * (2 * k + 1)) / 2
    cosine[0] /= math.sqrt(2)  # orthonormal
    quality = params["quality"].to(pixels.device).clamp(1, 100)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)  # as libjpeg does
    step = (scale.view(-1, 1, 1) * LUMINANCE.to(pixels.device) + 50).div(100).floor().clamp(1, 255)
    step = step.view(n, 1, 1, 8, 1, 8)
    coefficients = torch.einsum("ui,ncyixj,vj->ncyuxv", cosine, blocks, cosine)
    coefficients = (coefficients / step).round() * step
    blocks = torch.einsum("ui,ncyuxv,vj->ncyixj", cosine, coefficients, cosine)
    decoded = ((blocks.reshape(padded.shape) + 128) / 255).clamp(0, 1)[..., :height, :width]
    return torch.where(fields.column(params["quality"], pixels) > 0, decoded, pixels)
