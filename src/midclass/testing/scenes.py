"""Scenes: generated images that operators are checked on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from midclass.types import ImageBatch


def example_batch(
    dims: int = 2,
    n: int = 6,
    channels: int = 1,
    seed: int = 0,
    *,
    size: Sequence[int] | None = None,
    spacing_mm: tuple[float, float] = (0.8, 1.2),
) -> ImageBatch:
    """Smooth textured images with a ball of anatomy, each with a spacing of its own.

    Args:
        dims: 2 or 3.
        n: number of images.
        channels: 1 or 3.
        seed: of everything random.
        size: of the images, ``dims`` numbers; 64 or 24 along every axis by default.
        spacing_mm: of the first and of the last image; those between lie between.

    >>> example_batch(dims=3).spatial
    (24, 24, 24)
    """
    rng = torch.Generator().manual_seed(seed)
    spatial = tuple(size) if size is not None else ((64,) * 2 if dims == 2 else (24,) * 3)
    mode = "bicubic" if dims == 2 else "trilinear"
    coarse = torch.rand(n, channels, *(side // 4 for side in spatial), generator=rng)
    texture = torch.nn.functional.interpolate(coarse, size=spatial, mode=mode)
    grain = torch.randn(n, channels, *spatial, generator=rng)
    pixels = (0.25 + 0.3 * texture + 0.01 * grain).clamp(0, 1)
    axes = [torch.linspace(-1, 1, side) for side in spatial]
    radius = torch.stack(torch.meshgrid(*axes, indexing="ij")).square().sum(0).sqrt()
    spacing = torch.linspace(*spacing_mm, n).unsqueeze(1)
    return ImageBatch(
        pixels, (radius < 0.8).expand(n, 1, *spatial).clone(), spacing.repeat(1, dims)
    )


def sampled_scene(
    size: Sequence[int], spacing_mm: Sequence[float], n: int, channels: int, seed: int
) -> ImageBatch:
    """A scene that is a function of the place in mm, so that any sampling shows the same one.

    Twelve waves each 5 to 25 % of the field of view long, and a ball of anatomy that takes 80 %
    of its shorter side.
    """
    rng = torch.Generator().manual_seed(seed)
    view_mm = min(side * mm for side, mm in zip(size, spacing_mm, strict=True))
    direction = torch.randn(n * channels, 12, len(size), generator=rng)
    direction = torch.nn.functional.normalize(direction, dim=-1)
    cycles = 4 + 16 * torch.rand(n * channels, 12, 1, generator=rng)
    phase = 2 * math.pi * torch.rand(n * channels, 12, 1, generator=rng)
    place = _places_mm(size, spacing_mm) / view_mm  # (samples, d)
    waves = torch.sin(2 * math.pi * (direction * cycles) @ place.T + phase).mean(1)
    pixels = (0.4 + 0.3 * waves).clamp(0, 1).view(n, channels, *size)
    anatomy = (place.norm(dim=1) < 0.4).view(1, 1, *size).expand(n, 1, *size).clone()
    return ImageBatch.of(pixels, anatomy, torch.tensor(spacing_mm))


def _places_mm(size: Sequence[int], spacing_mm: Sequence[float]) -> Tensor:
    axes = [
        (torch.arange(side) - (side - 1) / 2) * mm
        for side, mm in zip(size, spacing_mm, strict=True)
    ]
    return torch.cartesian_prod(*axes)
