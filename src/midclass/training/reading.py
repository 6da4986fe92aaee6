"""Reading: what of a network's maps lies where disease can be."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

OUTSIDE = -20.0
"""Logit of the change map where there is no anatomy."""

SMALL = 1e-6
"""Variance below which a channel is constant; the root of none has no slope."""
TOPS = (0.002, 0.05)
"""Of all cells of the change map: the highest, whose mean the class head reads."""
ROUNDED = 1e-4
"""Less than half of what a cell's share of anatomy changes by a pixel, below 5000 pixels a cell.

A share of exactly one half must count the same on a machine that sums in another order."""


def read_inside(stages: Sequence[Tensor], small: Tensor, anatomy: Tensor) -> tuple[Tensor, Tensor]:
    """What a class head reads: of all disease can be, and of the places that look most like it.

    A small lesion is in no mean, and what is outside the anatomy no middle class has changed.

    Args:
        stages: feature maps ``(n, c, *cells)``, of which the last two are read.
        small: logits ``(n, 1, *cells)`` of the change map at its own resolution.
        anatomy: bool ``(n, 1, *spatial)``.

    Returns:
        Mean and spread of each channel inside the anatomy ``(n, 2 * channels)``, and the means of
        the highest cells of the change map inside it ``(n, 2)``: as many as ``TOPS`` of all cells
        of the image, so that an anatomy of fewer is filled up with ``OUTSIDE``.
    """
    share = share_of_cells(anatomy, small.shape[2:])
    logits = only_inside(small.float(), share >= 0.5 - ROUNDED)
    tops = [top_mean(logits, top) for top in TOPS]
    pooled = [moments_inside(one, anatomy, torch.float32, SMALL) for one in stages[-2:]]
    return torch.cat([part for both in pooled for part in both], 1), torch.stack(tops, 1)


def classified(head: nn.Linear, seen: Tensor, *, exactly: bool) -> Tensor:
    """Logits ``(n, K + 1)`` of what a class head reads ``(n, f)``.

    Args:
        head: the linear layer.
        seen: what it reads.
        exactly: each row the same, to the bit, alone and among any others. A product of matrices
            whose width is no multiple of what a processor adds at once rounds by the row's place.
    """
    if not exactly:
        logits: Tensor = head(seen)
        return logits
    return (seen.unsqueeze(1) * head.weight).sum(2) + head.bias


def moments_inside(
    maps: Tensor, anatomy: Tensor, dtype: torch.dtype, least: float = 0.0
) -> list[Tensor]:
    """Mean and spread of each channel inside the anatomy: ``(n, c)`` both.

    Args:
        maps: ``(n, c, *cells)``.
        anatomy: ``(n, 1, *spatial)``.
        dtype: in which is computed.
        least: added to each variance, where its root is differentiated.
    """
    share = share_of_cells(anatomy, maps.shape[2:]).flatten(2)
    weight = share.to(dtype) / share.to(dtype).sum(2, keepdim=True).clamp_min(1e-6)
    values = maps.flatten(2).to(dtype)
    mean = (values * weight).sum(2, keepdim=True)
    spread = (((values - mean).square() * weight).sum(2) + least).sqrt()
    return [mean.squeeze(2), spread]


def share_of_cells(anatomy: Tensor, cells: Sequence[int]) -> Tensor:
    """How much of each cell lies in the anatomy ``(n, 1, *spatial)``: ``(n, 1, *cells)``.

    Of volumes slice by slice and then along depth: ONNX has no average of blocks of any size.
    """
    share = anatomy.float()
    if len(cells) == 2:
        return functional.interpolate(share, size=cells, mode="area")
    depth, *plane = cells
    slices = functional.interpolate(share.squeeze(1), size=plane, mode="area").flatten(2)
    stacked = functional.interpolate(slices.unsqueeze(1), (depth, math.prod(plane)), mode="area")
    return stacked.view(-1, 1, *cells)


def only_inside(change: Tensor, inside: Tensor) -> Tensor:
    """Logits of a change map ``(n, 1, *spatial)``, low outside the mask: ``(n, samples)``."""
    return change.masked_fill(~inside, OUTSIDE).flatten(1)


def top_mean(logits: Tensor, share: float) -> Tensor:
    """Mean of that share of the logits ``(n, samples)`` that is the highest: ``(n,)``."""
    return logits.topk(max(1, round(share * logits.shape[1])), dim=1).values.mean(1)
