"""Fields that operators are made of: places, blobs, smooth noise, warps; 2-D and 3-D.

Sampling positions follow ``torch.nn.functional.grid_sample``: coordinates in [-1, 1] whose last
axis is ordered (x, y[, z]), while ``spacing_mm`` and positions in mm are ordered as the axes of the
image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor
from torch.nn import functional

from midclass.knowledge._box import Box
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


def place_in(mask: Tensor, u: Tensor) -> Tensor:
    """A sample of each mask, chosen by ``u`` in [0, 1): indices ``(n, d)``.

    An empty mask gives its middle, so that a batch with an image without anatomy goes on. The line
    is found first and then the sample in it: most lines need not be counted through.
    """
    spatial, width = mask.shape[2:], mask.shape[-1]
    lines = mask.view(len(mask), -1, width)
    counts = lines.sum(2).cumsum(1)  # up to the end of each line
    total = counts[:, -1:]
    wanted = u.to(mask.device).view(-1, 1) * total
    line = torch.searchsorted(counts.to(wanted), wanted, right=True).clamp_max(lines.shape[1] - 1)
    before = torch.where(line > 0, counts.gather(1, (line - 1).clamp_min(0)), 0)
    chosen = lines.gather(1, line.unsqueeze(2).expand(-1, 1, width)).squeeze(1)
    ranks = before + chosen.cumsum(1)
    sample = torch.searchsorted(ranks.to(wanted), wanted, right=True).clamp_max(width - 1)
    middle = sum(size // 2 * math.prod(spatial[i + 1 :]) for i, size in enumerate(spatial))
    flat_index = torch.where(total > 0, line * width + sample, middle).squeeze(1)
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
    return in_mm(batch, place_in(batch.anatomy, place[:, 0]))


def in_mm(batch: ImageBatch, index: Tensor) -> Tensor:
    """Samples by their indices ``(n, d)`` as places from the image's centre, in mm."""
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


def lesion_box(
    batch: ImageBatch, centre: Tensor, half_axes_mm: Tensor, turn: Tensor, reach: Tensor
) -> Box:
    """The box that holds a lesion's ellipsoid, made larger by a factor, in the anatomy.

    Args:
        batch: the images.
        centre: ``(n, d)`` mm from the image's centre.
        half_axes_mm: ``(n, d)``.
        turn: ``(n, d, d)`` rotations.
        reach: ``(n,)``, the factor.
    """
    half = half_extent_mm(half_axes_mm.to(centre.device), turn.to(centre.device))
    around = Box.around(batch, centre, half * reach.to(centre.device).unsqueeze(1))
    return around.common(Box.of_anatomy(batch))


def half_extent_mm(half_axes_mm: Tensor, turn: Tensor) -> Tensor:
    """How far a turned ellipsoid reaches from its centre along each axis of the image: ``(n, d)``.

    Args:
        half_axes_mm: ``(n, d)``.
        turn: ``(n, d, d)`` rotations.
    """
    extent: Tensor = (turn * half_axes_mm.unsqueeze(1)).norm(dim=2)
    return extent


def lesion_frame(away_mm: Sequence[Tensor], half_axes_mm: Tensor, turn: Tensor) -> list[Tensor]:
    """Coordinates in which the lesion's ellipsoid is the unit ball: d times ``(n, 1, *size)``.

    Args:
        away_mm: from the lesion's centre, along each axis; see ``Box.away_mm``.
        half_axes_mm: ``(n, d)``.
        turn: ``(n, d, d)`` rotations.
    """
    device = away_mm[0].device
    scale = turn.to(device) / half_axes_mm.to(device).unsqueeze(1)  # columns divided by half-axes
    return [
        total([part * column(scale[:, i, j], part) for i, part in enumerate(away_mm)])
        for j in range(len(away_mm))
    ]


def total(parts: Sequence[Tensor]) -> Tensor:
    """The sum of tensors that broadcast together."""
    return reduce(torch.add, parts)


def length(parts: Sequence[Tensor]) -> Tensor:
    """Of vectors, whose parts broadcast together."""
    return total([part.square() for part in parts]).sqrt()


def smooth_noise(values: Tensor, frame: Sequence[Tensor], reach: float = 2.0) -> Tensor:
    """Low-resolution noise ``(n, c, *k)`` read at ``frame / reach``: ``(n, c, *size)``."""
    grid = torch.stack([part.squeeze(1) for part in frame], -1) / reach
    return functional.grid_sample(
        values.to(grid.device), grid, padding_mode="reflection", align_corners=True
    )


def on_lines(values: Tensor, lines: Sequence[Tensor]) -> Tensor:
    """Low-resolution values ``(n, c, *k)`` read where lines of samples cross.

    The same as ``grid_sample`` with reflection, which is separable where the grid is not turned:
    one small matrix per axis.

    Args:
        values: at nodes; the first and the last lie at -1 and 1.
        lines: coordinates of the samples along each axis, ``(n, side)`` each.
    """
    values = values.to(lines[0].device)
    for axis in reversed(range(len(lines))):
        nodes = values.shape[2 + axis]
        last = nodes - 1
        place = ((lines[axis] + 1) / 2 * last).abs().remainder(2 * last)
        place = torch.minimum(place, 2 * last - place)
        steps = torch.arange(nodes, device=place.device)
        share = (1 - (place.unsqueeze(2) - steps).abs()).clamp_min(0)  # (n, side, nodes)
        values = values.movedim(2 + axis, 2)
        mixed = share.unsqueeze(1) @ values.flatten(3)
        values = mixed.reshape(*values.shape[:2], -1, *values.shape[3:]).movedim(2, 2 + axis)
    return values


def sample(values: Tensor, grid: Tensor, padding: str = "border") -> Tensor:
    """Values at the grid's places; outside, the edge, or 0 (``zeros``)."""
    sampled: Tensor = functional.grid_sample(values, grid, padding_mode=padding, align_corners=True)
    return sampled


def shifted_grid(box: Box, shift_mm: Sequence[Tensor]) -> Tensor:
    """Places ``shift_mm`` away from each sample of the box, as ``grid_sample`` wants them.

    Args:
        box: in images that are [-1, 1] along each axis.
        shift_mm: along each axis, broadcasting to ``(n, 1, *size)``.
    """
    moved_places = []
    for axis, (place, shift) in enumerate(zip(places(box), shift_mm, strict=True)):
        half = column((box.spatial[axis] - 1) / 2 * box.spacing_mm[:, axis], place)
        moved_places.append(place + shift / half)
    return grid_of(box, moved_places)


def places(box: Box) -> list[Tensor]:
    """Where its samples lie in images that are [-1, 1], along each axis; broadcast together.

    A single sample lies in the middle.
    """
    here = box.away_mm(torch.zeros_like(box.spacing_mm))
    half = (box.spacing_mm * (box.spacing_mm.new_tensor(box.spatial) - 1) / 2).clamp_min(1e-9)
    return [place / column(half[:, axis], place) for axis, place in enumerate(here)]


def grid_of(box: Box, places: Sequence[Tensor]) -> Tensor:
    """A place for each sample of the box as ``grid_sample`` wants them: ``(n, *size, d)``.

    Args:
        box: the samples.
        places: in [-1, 1] along each axis, broadcasting to ``(n, 1, *size)``.
    """
    grid = places[0].new_empty(len(box.first), *box.size, len(places))
    for axis, place in enumerate(places):
        grid[..., -1 - axis] = place.squeeze(1)
    return grid


def warp(batch: ImageBatch, shift_mm: Sequence[Tensor], box: Box) -> Tensor:
    """Pixels of the box, fetched from ``shift_mm`` away: ``(n, c, *size)``."""
    return sample(batch.pixels, shifted_grid(box, shift_mm))


def displaced(batch: ImageBatch, box: Box, shift_mm: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """What ``render`` says of tissue that moved in a box: the images, and where that shows."""
    new = box.paste(warp(batch, shift_mm, box), batch.pixels)
    return new, box.alone(moved(shift_mm, box))


def blurred_as_displaced(batch: ImageBatch, box: Box, shift_mm: Sequence[Tensor]) -> Tensor:
    """What ``sham_tissue`` says of it: the blur of the warp, without its movement."""
    return box.paste(warp(batch, less_than_a_sample(shift_mm, box), box), batch.pixels)


def less_than_a_sample(shift_mm: Sequence[Tensor], box: Box) -> list[Tensor]:
    """The shifts made so small (half a sample at most) that the blur of interpolation is left."""
    half = box.spacing_mm.amin(1) / 2
    longest = length(shift_mm).flatten(1).amax(1).clamp_min(1e-6)
    return [part * column((half / longest).clamp_max(0.5), part) for part in shift_mm]


def smooth_field(values: Tensor, box: Box, length_mm: Tensor) -> Tensor:
    """Noise ``(n, c, *k)`` whose nodes lie ``length_mm`` ``(n,)`` apart: ``(n, c, *size)``."""
    reach = (length_mm.to(box.first.device) * (values.shape[-1] - 1) / 2).unsqueeze(1)
    away = box.away_mm(torch.zeros_like(box.spacing_mm))
    return on_lines(values, [part.flatten(1) / reach for part in away])


def moved(shift_mm: Sequence[Tensor], box: Box) -> Tensor:
    """How visibly tissue moved: ``(n, 1, *size)``, 1 from a sample's width on."""
    samples = [part / column(box.spacing_mm[:, axis], part) for axis, part in enumerate(shift_mm)]
    return length(samples).clamp_max(1)


def to_border_mm(batch: ImageBatch, centre: Tensor) -> Tensor:
    """How far places ``(n, d)`` in mm are from the image's border: ``(n,)``."""
    half = (torch.tensor(batch.spatial, device=centre.device) - 1) / 2 * batch.spacing_mm
    return (half - centre.abs()).amin(-1)


def all_to_border_mm(box: Box) -> Tensor:
    """How far every sample of the box is from the image's border: ``(n, 1, *size)``."""
    away = box.away_mm(torch.zeros_like(box.spacing_mm))
    half = [(side - 1) / 2 * box.spacing_mm[:, axis] for axis, side in enumerate(box.spatial)]
    return reduce(
        torch.minimum,
        [column(most, part) - part.abs() for most, part in zip(half, away, strict=True)],
    )
