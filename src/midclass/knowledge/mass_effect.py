"""Mass effect: tissue pushed away from a point, or drawn towards it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._box import Box
from midclass.knowledge._visibility import soft_anatomy
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Length, Lengths, Params, Range

STEEPEST = 0.55
"""Largest squeeze; below 1 nothing folds over, and a half still looks like tissue, not streaks."""


@dataclass(frozen=True)
class MassEffect(Knowledge):
    """Displacement and midline shift by an expansive process; contraction by a scar.

    Why: what grows inside a closed space pushes its neighbours aside, seen or not: a midline
    shift above 5 mm grades the CT of a head injury (Marshall et al., J Neurosurg 75:S14, 1991),
    and loss of volume shows by displaced fissures, hilum or mediastinum (Hansell et al.,
    Radiology 246:697, 2008, "atelectasis"). Radial sources and sinks as synthetic anomalies:
    Baugh et al., "Many tasks make light work", MICCAI 2023.

    Tissue at ``x`` radii from the centre moves by ``peak * h(x) / max h`` with
    ``h(x) = x (1 - x^p)^2``. Along the radius the map's slope is ``1 -+ peak h'(x) / (radius max
    h)``, and ``h'`` lies between its values 1 at the centre and ``-p^2 / (1 + 2p)``: the peak is
    limited so that the slope never falls below 0.45. The wall holds the tissue: the ball that
    moves ends where the anatomy or the image does.

    Args:
        direction: away from the centre (source), towards it (sink), or either.
        peak_mm: largest displacement; less where tissue would fold.
        radius_mm: of the ball that moves; less where the anatomy's border is nearer.
        exponent: p is 2 to this power; a large one moves the ball's outer part more.
        centre_jitter_mm: None puts the centre anywhere in the anatomy that is not too near its
            border; a number puts it in the image's middle, that far off at most.

    >>> batch = ImageBatch.of(torch.rand(2, 1, 64, 64), spacing_mm=1.0)
    >>> middle = MassEffect(radius_mm=(20, 20))(batch, torch.Generator().manual_seed(0))
    >>> bool(middle.change.amax() == 1), bool((middle.severity > 0).all())
    (True, True)
    """

    direction: Literal["source", "sink", "either"] = "either"
    peak_mm: Lengths = (2, 15)
    radius_mm: Lengths = (10, 50)
    exponent: Range = (0.5, 2.0)
    centre_jitter_mm: Length | None = None

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Place, direction, size and profile of one displacement per image."""
        n, dims = batch.spacing_mm.shape
        source = {"source": 1.0, "sink": 0.0, "either": 0.5}[self.direction]
        return {
            "place": torch.rand(n, dims, generator=rng),
            "outwards": 2 * (torch.rand(n, generator=rng) < source).float() - 1,
            "peak_mm": fields.uniform(rng, n, self.peak_mm),
            "radius_mm": fields.uniform(rng, n, self.radius_mm),
            "power": 2 ** fields.uniform(rng, n, self.exponent),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """The moved tissue, where it moved by a good part of a sample."""
        return fields.displaced(batch, *self._shift(batch, params))

    def sham_tissue(self, batch: ImageBatch, params: Params) -> Tensor:
        """The blur of the warp without its movement."""
        return fields.blurred_as_displaced(batch, *self._shift(batch, params))

    def _shift(self, batch: ImageBatch, params: Params) -> tuple[Box, list[Tensor]]:
        """The ball's box, and where its samples are fetched from, in mm: inwards for a source."""
        centre = self._centre(batch, params["place"])
        outwards, peak, power, radius = (
            params[name].to(centre.device) for name in ("outwards", "peak_mm", "power", "radius_mm")
        )
        radius = torch.minimum(radius, _clearance(batch, centre)).clamp_min(1e-3)
        highest = (1 + 2 * power) ** (-1 / power) * (2 * power / (1 + 2 * power)).square()
        steepest = torch.where(outwards > 0, 1.0, power.square() / (1 + 2 * power))
        peak = torch.minimum(peak, STEEPEST * radius * highest / steepest)

        box = Box.around(batch, centre, radius.unsqueeze(1))
        from_centre = box.away_mm(centre)
        distance = fields.length(from_centre)
        x = (distance / fields.column(radius, distance)).clamp_max(1)
        profile = x * (1 - x ** fields.column(power, distance)).square()
        amount = profile * fields.column(-outwards * peak / highest, distance)
        amount = amount / distance.clamp_min(1e-6)
        return box, [part * amount for part in from_centre]

    def _centre(self, batch: ImageBatch, place: Tensor) -> Tensor:
        """The place that another operator would take, moved away from the border: ``(n, d)`` mm.

        So that a lesion and its mass effect, drawn together, are at one place.
        """
        wanted = fields.centre_of(batch, place, self.centre_jitter_mm)
        if self.centre_jitter_mm is not None:
            return wanted
        inner = soft_anatomy(batch, self.radius_mm[0]) > 0.99
        to_border = fields.all_to_border_mm(Box.whole(batch))
        deep = (to_border.flatten(1).amax(1) / 2).clamp_max(self.radius_mm[0])
        inner = inner & (to_border >= fields.column(deep, to_border))
        away = Box.whole(batch).away_mm(wanted)
        away2 = fields.total([part.square() for part in away])
        nearest = away2.masked_fill(~inner, torch.inf).flatten(1).argmin(1)
        index = torch.stack(torch.unravel_index(nearest, batch.spatial), -1)
        moved = fields.in_mm(batch, index)
        return torch.where(inner.flatten(1).any(1, keepdim=True), moved, wanted)


def _clearance(batch: ImageBatch, centre: Tensor) -> Tensor:
    """How far it is from the centre to the end of the anatomy or the image: ``(n,)`` mm."""
    away2 = fields.total([part.square() for part in Box.whole(batch).away_mm(centre)])
    wall = away2.masked_fill(batch.anatomy, torch.inf).flatten(1).amin(1).sqrt()
    return torch.minimum(wall, fields.to_border_mm(batch, centre))
