"""Brush: strokes of soft tissue over the organ, patchy and crossing each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._blur import blurred
from midclass.knowledge._box import Box
from midclass.knowledge._visibility import soft_tissue
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Params, Range

POINTS = 24
"""Places along a stroke where the brush touches."""
NODES = 32
"""Samples along each axis of the noise that is the brush's texture."""
JITTER = 30 / 256
"""How far a stroke bends, as a share of the shorter side."""


@dataclass(frozen=True)
class BrushStrokes(Knowledge):
    """Streaks and confluent patches of opacity within the lungs.

    Why: bronchopneumonia and atelectasis show as patchy and linear opacities that follow bronchi
    and run together, without one border (Hansell et al., Fleischner Society: Glossary of Terms for
    Thoracic Imaging, Radiology 246:697, 2008). Strokes of a textured brush between random places of
    the lungs are those of ART-ASyn (anatomy-aware realistic texture-based anomaly synthesis for
    chest X-rays, WACV 2026). In its code, at 256 px: up to 14 strokes a lung; brushes of 50 and 80
    px; bends of 30 px; the image's 85th percentile as their brightness, never darker than what is
    there; layers blurred by 3 and 8 px; half as much over dark tissue as over the brightest.

    Ours: the texture is smooth noise in place of a picture of a brush, and strokes are in 3-D too.

    Args:
        strokes: how many, in the whole anatomy.
        width: of the brush, as a share of the image's shorter side.
        grain: of the brush's texture, likewise.
        strength: share of the gap to soft tissue that is closed where strokes cover all.

    >>> batch = ImageBatch.of(torch.rand(2, 1, 64, 64, generator=torch.Generator()) / 2)
    >>> middle = BrushStrokes()(batch, torch.Generator().manual_seed(0))
    >>> bool((middle.pixels >= batch.pixels - 1e-6).all())
    True
    """

    strokes: tuple[int, int] = (1, 14)
    width: Range = (50 / 256, 80 / 256)
    grain: Range = (3 / 256, 8 / 256)
    strength: Range = (0.4, 0.95)

    border_mm: ClassVar[float] = 4.0

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Ends and bends of the strokes, brush and strength."""
        n, dims = batch.spacing_mm.shape
        most = self.strokes[1]
        return {
            "strokes": torch.randint(self.strokes[0], most + 1, (n,), generator=rng),
            "ends": torch.rand(n, most, 2, generator=rng),
            "bend": 2 * torch.rand(n, most, dims, generator=rng) - 1,
            "width": fields.uniform(rng, n, self.width),
            "grain": fields.uniform(rng, n, self.grain),
            "strength": fields.uniform(rng, n, self.strength),
            "texture": torch.randn(n, 1, *(NODES,) * dims, generator=rng),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Soft tissue where it is brighter, and where the strokes are."""
        like, side_mm = batch.pixels, fields.shorter_side_mm(batch)
        touched = _touched(batch, params)
        # A blur by a quarter of its width is a round brush of that width with a soft edge.
        paint = blurred(touched, batch.spacing_mm, params["width"].to(side_mm) * side_mm / 4)
        paint = paint / paint.flatten(1).amax(1).clamp_min(1e-9).view(-1, *(1,) * (like.ndim - 1))
        # Noise with nodes 2.5 standard deviations apart is as coarse as noise blurred by that much.
        length_mm = 2.5 * params["grain"].to(side_mm) * side_mm
        texture = fields.smooth_field(params["texture"], Box.whole(batch), length_mm)
        grey = like.mean(1, keepdim=True)
        cover = (2 * paint).clamp_max(1) * (0.6 + 0.6 * texture).clamp(0, 1) * (0.5 + 0.5 * grey)
        strength = fields.column(params["strength"], like)
        return torch.maximum(like, soft_tissue(batch)), cover * strength * batch.anatomy


def _touched(batch: ImageBatch, params: Params) -> Tensor:
    """How often a brush touches each sample: ``(n, 1, *spatial)``.

    Strokes are quadratic curves; the whole of one touches as often as that of another.
    """
    device = batch.pixels.device
    extent = torch.tensor(batch.spatial, device=device)
    ends = _places(batch.anatomy, params["ends"].to(device))  # (n, strokes, 2, d)
    first, last = (ends[:, :, end].unsqueeze(2) for end in (0, 1))
    bend = JITTER * min(batch.spatial) * params["bend"].to(device).unsqueeze(2)
    middle = (first + last) / 2 + bend
    steps = torch.linspace(0, 1, POINTS, device=device).view(1, 1, -1, 1)
    curve = (1 - steps).square() * first + 2 * steps * (1 - steps) * middle
    curve = (curve + steps.square() * last).round().long()
    curve = torch.minimum(curve.clamp_min(0), extent - 1)
    flat = curve[..., 0]
    for axis, size in enumerate(batch.spatial[1:], start=1):
        flat = flat * size + curve[..., axis]
    numbers = torch.arange(flat.shape[1], device=device)
    painted = (numbers < params["strokes"].to(device).unsqueeze(1)).float()
    touched = torch.zeros(len(batch), int(extent.prod()), device=device)
    touched.scatter_add_(1, flat.flatten(1), painted.repeat_interleave(POINTS, 1))
    return touched.view(len(batch), 1, *batch.spatial)


def _places(mask: Tensor, u: Tensor) -> Tensor:
    """Samples of each mask chosen by ``u`` in [0, 1) ``(n, ...)``: indices ``(n, ..., d)``."""
    ranks = mask.flatten(1).cumsum(1)
    wanted = u.flatten(1) * ranks[:, -1:]
    index = torch.searchsorted(ranks.to(wanted), wanted, right=True)
    index = index.clamp_max(ranks.shape[1] - 1).view(u.shape)
    return torch.stack(torch.unravel_index(index, mask.shape[2:]), -1)
