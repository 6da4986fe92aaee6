"""Pasting: patches of an image that are put elsewhere in it, as CutPaste draws them."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from midclass.knowledge import _fields as fields
from midclass.types import ImageBatch, Params

AREA = (0.02, 0.15)
ASPECT = (0.3, 3.3)
JITTER = (0.9, 1.1)
"""CutPaste's ranges: share of the image; height to width; factors on the contrast and brightness of
a patch."""


def draw_patch(images: ImageBatch, rng: torch.Generator) -> Params:
    """Upright patches of whole samples; ``size`` is ``(n, 2)``, height and width."""
    n, samples = len(images), math.prod(images.spatial)
    area = fields.uniform(rng, n, AREA) * samples
    aspect = fields.log_uniform(rng, n, ASPECT)
    size = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], 1)
    return {"size": size, "angle_deg": torch.zeros(n)} | draw_places(images, rng)


def draw_places(images: ImageBatch, rng: torch.Generator) -> Params:
    """Where from and where to, and how a patch is jittered."""
    n = len(images)
    places = {"from": torch.rand(n, generator=rng), "to": torch.rand(n, generator=rng)}
    jitter = {"contrast": fields.uniform(rng, n, JITTER), "gain": fields.uniform(rng, n, JITTER)}
    return places | jitter


def whole_size(images: ImageBatch, params: Params) -> Tensor:
    """Of each patch, in whole samples, 2 at least and no more than the image: ``(n, 2)``."""
    extent = torch.tensor(images.spatial, device=images.pixels.device)
    return params["size"].to(extent.device).round().clamp_min(2).minimum(extent)


def near_sample(images: ImageBatch, mask: Tensor, u: Tensor, size: Tensor) -> Tensor:
    """Centre ``(n, 2)`` of a patch near a sample of the mask, the whole patch in the image."""
    extent = torch.tensor(images.spatial, device=size.device)
    corner = (fields.place_in(mask, u) - size / 2).round()
    return corner.clamp_min(0).minimum(extent - size) + size / 2


def frame_of(images: ImageBatch, centre: Tensor, angle_deg: Tensor) -> Tensor:
    """Of each sample its place in a patch, in samples from its turned middle: ``(n, h, w, 2)``."""
    device = images.pixels.device
    axes = [torch.arange(s, device=device) + 0.5 for s in images.spatial]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)  # (h, w, 2), middles of samples
    from_centre = place - fields.row(centre, images)
    angle = angle_deg.to(device).deg2rad()
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    return torch.einsum("nhwi,nij->nhwj", from_centre, turn)


def fetched(images: ImageBatch, frame: Tensor, source: Tensor) -> Tensor:
    """What lies around the source ``(n, 2)``, laid where the frame is: ``(n, c, h, w)``."""
    extent = torch.tensor(images.spatial, device=frame.device)
    grid = (2 * (frame + fields.row(source, images)) / extent - 1).flip(-1)
    return functional.grid_sample(
        images.pixels, grid, padding_mode="reflection", align_corners=False
    )


def jittered(patch: Tensor, inside: Tensor, params: Params) -> Tensor:
    """Contrast about the patch's own mean, then brightness."""
    total = inside.flatten(1).sum(1).clamp_min(1) * patch.shape[1]
    mean = fields.column((patch * inside).flatten(1).sum(1) / total, patch)
    contrast, gain = fields.column(params["contrast"], patch), fields.column(params["gain"], patch)
    return (((patch - mean) * contrast + mean) * gain).clamp(0, 1)
