"""Fields that operators are made of: places, blobs, smooth noise, warps; 2-D and 3-D.

Sampling positions follow ``torch.nn.functional.grid_sample``: coordinates in [-1, 1] whose last
axis is ordered (x, y[, z]), while ``spacing_mm`` and positions in mm are ordered as the axes of the
image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from midclass.types import ImageBatch, Range


def uniform(rng: torch.Generator, n: int, bounds: Range) -> Tensor:
    """``(n,)`` numbers between the bounds."""
    low, high = bounds
    return low + (high - low) * torch.rand(n, generator=rng)


def log_uniform(rng: torch.Generator, n: int, bounds: Range) -> Tensor:
    """``(n,)`` numbers between the bounds, each octave as likely as the next."""
    return uniform(rng, n, (math.log(bounds[0]), math.log(bounds[1]))).exp()


def column(values: Tensor, like: Tensor) -> Tensor:
    """``(n,)`` as ``(n, 1, 1, ...)`` on the device of ``like``, to multiply images with."""
    return values.to(like.device).view(-1, *(1,) * (like.ndim - 1))


def shorter_side_mm(batch: ImageBatch) -> Tensor:
    """Of every image: ``(n,)``."""
    extent = torch.tensor(batch.spatial, device=batch.pixels.device)
    return (batch.spacing_mm * extent).amin(1)


def positions_mm(batch: ImageBatch) -> Tensor:
    """Position of every sample from the image's centre, in mm: ``(n, *spatial, d)``."""
    axes = [
        torch.arange(size, device=batch.pixels.device) - (size - 1) / 2 for size in batch.spatial
    ]
    samples = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    return samples * batch.spacing_mm.view(len(batch), *(1,) * len(axes), len(axes))


def place_in(mask: Tensor, u: Tensor) -> Tensor:
    """A sample of each mask, chosen by ``u`` in [0, 1): indices ``(n, d)``.

    An empty mask gives its middle, so that a batch with an image without anatomy goes on.
    """
    spatial = mask.shape[2:]
    flat = mask.flatten(1)
    ranks = flat.cumsum(1, dtype=torch.float32)
    total = ranks[:, -1:]
    flat_index = torch.searchsorted(ranks, u.to(mask.device).view(-1, 1) * total, right=True)
    middle = sum(size // 2 * math.prod(spatial[i + 1 :]) for i, size in enumerate(spatial))
    flat_index = torch.where(total > 0, flat_index, middle).squeeze(1)
    flat_index = flat_index.clamp_max(flat.shape[1] - 1)
    return torch.stack(torch.unravel_index(flat_index, spatial), -1)


def row(values: Tensor, batch: ImageBatch) -> Tensor:
    """``(n, d)`` as ``(n, 1, ..., d)``, to move positions with."""
    return values.to(batch.pixels.device).view(len(batch), *(1,) * len(batch.spatial), -1)


def centre_of(batch: ImageBatch, place: Tensor, jitter_mm: float | None) -> Tensor:
    """Centre of a lesion, from the image's centre, in mm: ``(n, d)``.

    Args:
        batch: the images.
        place: ``(n, d)`` in [0, 1).
        jitter_mm: None for anywhere in the anatomy, else how far off the image's middle at most.
    """
    if jitter_mm is not None:
        return (2 * place.to(batch.pixels.device) - 1) * jitter_mm
    index = place_in(batch.anatomy, place[:, 0])
    half = (torch.tensor(batch.spatial, device=index.device) - 1) / 2
    return (index - half) * batch.spacing_mm


def from_midline_mm(batch: ImageBatch) -> Tensor:
    """Place along the last axis from the anatomy's centre of mass, in mm: ``(n, 1, ..., 1, w)``.

    Where an image has no anatomy, its middle takes the place of the centre of mass.
    """
    mass = batch.anatomy.flatten(1, -2).sum(1, dtype=torch.float32)  # (n, w)
    width = mass.shape[1]
    place = torch.arange(width, device=mass.device) - (width - 1) / 2
    centre = (mass * place).sum(1, keepdim=True) / mass.sum(1, keepdim=True).clamp_min(1)
    from_centre = (place - centre) * batch.spacing_mm[:, -1:]
    return from_centre.view(len(batch), *(1,) * len(batch.spatial), width)


def rotation(rng: torch.Generator, n: int, dims: int) -> Tensor:
    """Random rotations ``(n, d, d)``: the orthogonal factor of normal matrices (Stewart, 1980)."""
    q, r = torch.linalg.qr(torch.randn(n, dims, dims, generator=rng))
    turn: Tensor = q * r.diagonal(dim1=1, dim2=2).sign().unsqueeze(1)
    return turn


def lesion_frame(batch: ImageBatch, centre: Tensor, half_axes_mm: Tensor, turn: Tensor) -> Tensor:
    """Coordinates in which the lesion's ellipsoid is the unit ball: ``(n, *spatial, d)``.

    Args:
        batch: the images.
        centre: ``(n, d)`` mm from the image's centre.
        half_axes_mm: ``(n, d)``.
        turn: ``(n, d, d)`` rotations.
    """
    device = batch.pixels.device
    from_centre = positions_mm(batch) - row(centre, batch)
    scale = turn.to(device) / half_axes_mm.to(device).unsqueeze(1)  # columns divided by half-axes
    return torch.einsum("n...i,nij->n...j", from_centre, scale)


def smooth_noise(values: Tensor, frame: Tensor, reach: float = 2.0) -> Tensor:
    """Low-resolution noise ``(n, 1, *k)`` read at ``frame / reach``: ``(n, 1, *spatial)``."""
    return functional.grid_sample(
        values.to(frame.device), frame / reach, padding_mode="reflection", align_corners=True
    )


def identity_grid(batch: ImageBatch) -> Tensor:
    """``grid_sample`` coordinates that leave every image as it is: ``(n, *spatial, d)``."""
    axes = [torch.linspace(-1, 1, size, device=batch.pixels.device) for size in batch.spatial]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)
    return grid.expand(len(batch), *grid.shape)


def to_grid(batch: ImageBatch, shift_mm: Tensor) -> Tensor:
    """Displacements in mm, ordered as the axes, in the units and order of ``grid_sample``."""
    extent = (torch.tensor(batch.spatial, device=shift_mm.device) - 1) / 2 * batch.spacing_mm
    extent = extent.view(len(batch), *(1,) * (shift_mm.ndim - 2), -1)
    return (shift_mm / extent).flip(-1)


def sample(values: Tensor, grid: Tensor) -> Tensor:
    """Values at the grid's places, edges repeated."""
    sampled: Tensor = functional.grid_sample(
        values, grid, padding_mode="border", align_corners=True
    )
    return sampled


def warp(batch: ImageBatch, shift_mm: Tensor) -> Tensor:
    """Pixels fetched from ``shift_mm`` ``(n, *spatial, d)`` away."""
    return sample(batch.pixels, identity_grid(batch) + to_grid(batch, shift_mm))


def less_than_a_sample(batch: ImageBatch, shift_mm: Tensor) -> Tensor:
    """The shifts made so small (half a sample at most) that the blur of interpolation is left."""
    half = batch.spacing_mm.amin(1) / 2
    longest = shift_mm.norm(dim=-1).flatten(1).amax(1).clamp_min(1e-6)
    return shift_mm * column((half / longest).clamp_max(0.5), shift_mm)


def smooth_field(values: Tensor, batch: ImageBatch, length_mm: Tensor) -> Tensor:
    """Noise ``(n, c, *k)`` whose nodes lie ``length_mm`` ``(n,)`` apart: ``(n, c, *spatial)``."""
    nodes = values.shape[-1]
    reach = length_mm.to(batch.pixels.device) * (nodes - 1) / 2
    grid = positions_mm(batch).flip(-1) / reach.view(-1, *(1,) * (len(batch.spatial) + 1))
    return functional.grid_sample(
        values.to(grid.device), grid, padding_mode="reflection", align_corners=True
    )


def moved(batch: ImageBatch, shift_mm: Tensor) -> Tensor:
    """How visibly tissue moved: ``(n, 1, *spatial)``, 1 from a sample's width on."""
    samples: Tensor = (shift_mm / row(batch.spacing_mm, batch)).norm(dim=-1)
    return samples.clamp_max(1).unsqueeze(1)


def to_border_mm(batch: ImageBatch, positions: Tensor) -> Tensor:
    """How far ``(n, ..., d)`` positions in mm are from the image's border: ``(n, ...)``."""
    half = (torch.tensor(batch.spatial, device=positions.device) - 1) / 2 * batch.spacing_mm
    half = half.view(len(batch), *(1,) * (positions.ndim - 2), -1)
    return (half - positions.abs()).amin(-1)


def blurred(values: Tensor, spacing_mm: Tensor, sigma_mm: Tensor) -> Tensor:
    """Gaussian blur of ``(n, c, *spatial)`` by ``sigma_mm`` ``(n,)``, mirrored at the borders.

    One matrix per image and axis: a width of its own for each image, without a loop over images.
    """
    for axis, size in enumerate(values.shape[2:], start=2):
        sigma = sigma_mm.to(values.device) / spacing_mm[:, axis - 2]  # samples
        kernel = _mirrored_kernel(sigma, size)
        columns = values.movedim(axis, 1)
        mixed = torch.bmm(kernel, columns.flatten(2))
        values = mixed.view(columns.shape).movedim(1, axis)
    return values


def _mirrored_kernel(sigma: Tensor, size: int) -> Tensor:
    """What each sample (row) takes of each (column), with mirror images: ``(n, size, size)``."""
    gaps = torch.arange(2 * size, device=sigma.device) / sigma.clamp_min(1e-3).unsqueeze(1)
    line = torch.exp(-gaps.square() / 2)
    both_ways = torch.cat([line[:, :size].flip(1), line[:, 1:size]], 1)
    kernel = both_ways.unfold(1, size, 1).flip(1)  # at |row - column|
    beyond_low = line[:, 1:].unfold(1, size, 1)  # at row + column + 1
    kernel = kernel + beyond_low + beyond_low.flip(1, 2)
    return kernel / kernel.sum(-1, keepdim=True)
