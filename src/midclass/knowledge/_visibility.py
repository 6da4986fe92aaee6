"""How visible a change is: contrast against what the tissue hides, times extent."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from midclass.knowledge._box import Box
from midclass.types import ImageBatch

FAINTEST = 1 / 255
"""A share below one grey level of an 8-bit display is no change."""

FADED = math.log(1 / FAINTEST - 1)
"""A sigmoid falls to the faintest share so far below its middle."""


EXTENT_MM, FIELD = 5.0, 7.0
"""Over which 3 sigma are half visible: 5 mm, in a field below 35 mm a seventh of its shorter side.
What is seen in a photograph of an eye or a section of tissue is measured by these."""


def box_mean(values: Tensor, width: int) -> Tensor:
    """Mean over a box of ``width`` (odd) samples along every spatial axis, edges repeated.

    Sums over 2, 4, 8 ... samples, and of those that make up the width: the cost hardly grows with
    it, and no more than the width is ever summed.
    """
    pad, dims = width // 2, values.ndim - 2
    values = functional.pad(values, (pad,) * (2 * dims), mode="replicate")
    for axis in range(2, values.ndim):
        values = _window_sum(values, axis, width)
    mean: Tensor = values / width**dims
    return mean


def _window_sum(values: Tensor, axis: int, width: int) -> Tensor:
    """Sums over ``width`` neighbours along an axis; there are as many fewer of them."""
    size = values.shape[axis] - width + 1
    found: Tensor | None = None
    taken, span = 0, 1
    while True:
        if width & span:
            part = values.narrow(axis, taken, size)
            found = part if found is None else found + part
            taken += span
        if 2 * span > width:
            assert found is not None
            return found
        left = values.shape[axis] - span
        values = values.narrow(axis, 0, left) + values.narrow(axis, span, left)
        span *= 2


def within_border(batch: ImageBatch, border_mm: float, box: Box | None = None) -> Tensor:
    """``soft_anatomy`` whose border is less wide in a small field, see ``FIELD``.

    In a scan of the retina all is nearer to a border than 1 mm.
    """
    return soft_anatomy(batch, border_mm * _of_small_field(batch), box)


def soft_anatomy(batch: ImageBatch, border_mm: float | Tensor, box: Box | None = None) -> Tensor:
    """The anatomy as float, rising from 0 at its border over ``border_mm``.

    Returns:
        ``(n, 1, *spatial)``, or the part in the box.
    """
    box = Box.whole(batch) if box is None else box
    samples = (border_mm / batch.spacing_mm.amin(1)).round().clamp(0, min(batch.spatial) // 4)
    widths = sorted(set(samples.int().tolist()))
    around = box.grown(widths[-1] if widths else 0)
    mask = around.cut(batch.anatomy).float()
    for width in widths:
        if width > 0:  # one box for the images whose border is as many samples wide
            rows = samples == width
            inner = 2 * box_mean(mask[rows], 2 * width + 1) - 1
            mask[rows] = mask[rows] * inner.clamp(0, 1)
    inside: Tensor = box.within(around).cut(mask)
    return inside


def _of_small_field(batch: ImageBatch) -> Tensor:
    """What lengths are multiplied by where an image shows less than 35 mm, else 1: ``(n,)``."""
    sides_mm = batch.spacing_mm[:, -2:] * batch.spacing_mm.new_tensor(batch.spatial[-2:])
    return (sides_mm.amin(1) / (FIELD * EXTENT_MM)).clamp_max(1)


def tissue_sigma(batch: ImageBatch) -> Tensor:
    """Standard deviation of the anatomy around its local mean: what a lesion hides in.

    Returns:
        ``(n,)``. The local mean is over an eighth of the image; at least one grey level of 8 bits.
    """
    return batch.once(_tissue_sigma)


def _tissue_sigma(batch: ImageBatch) -> Tensor:
    width = max(3, min(batch.spatial) // 8 | 1)
    mask = batch.anatomy.float()
    box = Box.holding(batch, mask).grown(width // 2)  # all that the anatomy's samples look at
    mask = box.cut(mask)
    grey = box.cut(batch.pixels).mean(1, keepdim=True)
    local = box_mean(grey * mask, width) / box_mean(mask, width).clamp_min(1e-6)
    axes = tuple(range(1, grey.ndim))
    variance = ((grey - local).square() * mask).sum(axes) / mask.sum(axes).clamp_min(1)
    return variance.sqrt().clamp_min(1 / 255)


def severity(batch: ImageBatch, pixels: Tensor, change: Tensor) -> Tensor:
    """How visible a change is, measured after insertion: contrast-to-noise times extent.

    The Rose criterion (Rose, J Opt Soc Am 38:196, 1948) makes the visibility of a disc its
    contrast over the noise times its diameter: ``v = rms contrast / tissue sigma * extent / 5 mm``
    and ``severity = v / (v + 3)``, so that 3 sigma over 5 mm gives 0.5; over less where the image
    shows less than 35 mm, see ``FIELD``.

    Returns:
        ``(n,)`` in [0, 1); 0 where nothing changed.
    """
    return severity_of(batch, pixels - batch.pixels, change)


def severity_of(batch: ImageBatch, difference: Tensor, change: Tensor) -> Tensor:
    """The same of what was added to the pixels, in a box that holds all of the change."""
    axes = tuple(range(1, change.ndim))
    difference = difference.mean(1, keepdim=True)
    share = change.sum(axes)
    contrast = (difference.square().sum(axes) / share.clamp_min(1e-6)).sqrt()
    volume = share * batch.spacing_mm.prod(1)  # mm^d
    extent_mm = volume ** (1 / batch.spacing_mm.shape[1])
    half_visible_mm = EXTENT_MM * _of_small_field(batch)
    visibility = contrast / tissue_sigma(batch) * extent_mm / half_visible_mm
    return torch.nan_to_num(visibility / (visibility + 3))


def soft_tissue(batch: ImageBatch) -> Tensor:
    """Brightness of soft tissue: the 85th percentile of the image, per channel."""
    shrink = [max(1, size // 24) for size in batch.spatial]
    pool = functional.avg_pool2d if len(shrink) == 2 else functional.avg_pool3d
    level = pool(batch.pixels, shrink).flatten(2).quantile(0.85, dim=2)
    return level.view(*level.shape, *(1,) * len(batch.spatial)).expand_as(batch.pixels)


def noise_sigma(pixels: Tensor) -> Tensor:
    """Standard deviation of the white noise around every sample; take means of it over a region.

    Second differences along all axes at once hardly see edges and lines of the tissue
    (Immerkaer, "Fast noise variance estimation", CVIU 64:300, 1996).

    Returns:
        The shape of ``pixels``; the mean over many samples of pure noise is its sigma.
    """
    pad = (1,) * (2 * (pixels.ndim - 2))
    second = functional.pad(pixels, pad, mode="replicate")
    for axis in range(2, pixels.ndim):
        size = pixels.shape[axis]
        middle = second.narrow(axis, 1, size)
        second = second.narrow(axis, 0, size) + second.narrow(axis, 2, size) - 2 * middle
    return second.abs() * math.sqrt(math.pi / 2) / 6 ** ((pixels.ndim - 2) / 2)
