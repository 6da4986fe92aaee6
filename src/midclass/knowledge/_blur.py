"""Blur: Gaussians of a width of its own for each image, 2-D and 3-D."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from midclass.knowledge._box import Box

REACH = 5.0
"""Standard deviations beyond which a Gaussian, below 4e-6 of its middle there, is not counted."""

BLOCK = 32
"""Samples that a blur makes at a time: more reach too many, fewer make too many small products."""


def blurred(values: Tensor, spacing_mm: Tensor, sigma_mm: Tensor, box: Box | None = None) -> Tensor:
    """Gaussian blur of ``(n, c, *spatial)`` by ``sigma_mm`` ``(n,)``, mirrored at the borders.

    One matrix per image and axis: a width of its own for each image, without a loop over images.

    Args:
        values: of whole images, or of the box.
        spacing_mm: ``(n, d)``, of the images.
        sigma_mm: of the blur.
        box: what the values lie in: outside they are 0.
    """
    size = tuple(values.shape[2:])
    spatial, first = size, torch.zeros_like(spacing_mm)
    if box is not None:
        spatial, first = box.spatial, box.first
    made: tuple[tuple[int, int], Tensor, Tensor] | None = None
    for axis in reversed(range(len(size))):
        sides = size[axis], spatial[axis]
        asked = torch.stack([sigma_mm.to(values.device) / spacing_mm[:, axis], first[:, axis]])
        if made is None or made[0] != sides or not torch.equal(made[1], asked):
            made = sides, asked, _mirrored_kernel(asked[0], asked[1].long(), *sides)
        values = _mixed(values, made[2], 2 + axis, math.ceil(REACH * float(asked[0].max())))
    return values


def local_mean(
    pixels: Tensor,
    mask: Tensor,
    spacing_mm: Tensor,
    sigma_mm: Tensor,
    box: Box | None = None,
    least: float = 1e-6,
) -> Tensor:
    """Mean of the samples of a mask around each place: as ``pixels``.

    Args:
        pixels: ``(n, c, *spatial)``, of whole images or of the box.
        mask: bool ``(n, 1, *spatial)``, the same; none beyond the box.
        spacing_mm: ``(n, d)``, of the images.
        sigma_mm: ``(n,)``, of the Gaussian that the samples count by.
        box: what the pixels lie in.
        least: share of the surroundings that the mask takes at the least.
    """
    both = blurred(torch.cat([pixels * mask, mask], 1), spacing_mm, sigma_mm, box)
    return both[:, :-1] / both[:, -1:].clamp_min(least)


def _mixed(values: Tensor, kernel: Tensor, axis: int, reach: int) -> Tensor:
    """``(n, c, *spatial)``, along an axis mixed by ``(n, side, side)``.

    Args:
        values: to mix.
        kernel: what each sample (row) takes of each (column).
        axis: of the values.
        reach: samples farther away than this are not taken. Some samples are made at a time, of
            those that they reach.
    """
    side = values.shape[axis]
    if 2 * reach + BLOCK > side:
        return _product(values, kernel, axis)
    parts = []
    for start in range(0, side, BLOCK):
        first, end = max(0, start - reach), min(side, start + BLOCK + reach)
        near = values.narrow(axis, first, end - first)
        parts.append(_product(near, kernel[:, start : start + BLOCK, first:end], axis))
    return torch.cat(parts, axis)


def _product(values: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """``(n, c, *spatial)``, along an axis multiplied by ``(n, rows, side)``."""
    if axis == values.ndim - 1:
        made = values.flatten(1, -2) @ kernel.mT
    else:
        made = kernel.view(len(kernel), *(1,) * (axis - 1), *kernel.shape[1:]) @ values.flatten(
            axis + 1
        )
    return made.view(*values.shape[:axis], kernel.shape[1], *values.shape[axis + 1 :])


def _mirrored_kernel(sigma: Tensor, first: Tensor, size: int, whole: int) -> Tensor:
    """What each sample (row) takes of each (column), with mirror images: ``(n, size, size)``.

    Args:
        sigma: ``(n,)``, in samples.
        first: int64 ``(n,)``, of the samples.
        size: how many there are from the first on.
        whole: how many there are in all, at whose ends they are mirrored.
    """
    steps = torch.arange(2 * whole, device=sigma.device)
    line = torch.exp(-(steps / sigma.clamp_min(1e-3).unsqueeze(1)).square() / 2)
    both_ways = torch.cat([line[:, :size].flip(1), line[:, 1:size]], 1)
    kernel = both_ways.unfold(1, size, 1).flip(1)  # at |row - column|
    twice, pairs = 2 * first.unsqueeze(1), steps[: 2 * size - 1]  # row + column, from the first on
    low, high = line.gather(1, twice + 1 + pairs), line.gather(1, 2 * whole - 1 - twice - pairs)
    kernel = kernel + low.unfold(1, size, 1) + high.unfold(1, size, 1)
    rows = first.unsqueeze(1) + steps[:size]
    up_to = line.cumsum(1)
    total = up_to.gather(1, rows + whole) + up_to.gather(1, 2 * whole - 1 - rows) - line[:, :1]
    return kernel / total.unsqueeze(2)
