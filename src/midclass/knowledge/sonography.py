"""Sonography: a mass in ultrasound, and what it does to the echoes behind it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._blur import local_mean
from midclass.knowledge._box import Box
from midclass.knowledge._visibility import FAINTEST
from midclass.knowledge.base import Knowledge
from midclass.knowledge.focal import Focal, half_axes_mm, rough_ball
from midclass.types import ImageBatch, Length, Lengths, Params, Range

_LEVEL_MM = 2.5
"""Standard deviation of the Gaussian that tells the level of tissue from its grain and layers."""
_SIDE = 0.15
"""Of the half width: so softly a shadow ends at its sides."""


@dataclass(frozen=True)
class SonographicMass(Knowledge):
    """A mass with fewer echoes than its tissue, and a shadow or an enhancement behind it.

    Why: masses are described by their echoes (anechoic, hypoechoic), which replace those of the
    layers that they interrupt, and by what lies behind them: cancers often take up sound and cast
    a shadow, cysts let it pass, and the echoes behind them are enhanced (ACR BI-RADS Atlas, 5th
    ed., 2013, ultrasound, "echo pattern" and "posterior features"; Stavros et al., Radiology
    196:123, 1995).

    Echoes are lost and added as shares of the tissue's grey level at that depth. Its grain would be
    no measure: how much speckle is left hangs on the resolution at which an image was stored. (A
    grey level is the logarithm of an echo; how many decibels it stands for, no image tells.)

    The probe is taken to lie at the first row, and its beams to be columns; those of a curved probe
    diverge. A volume has its rows along the last axis but one. No published code makes this lesion.

    Args:
        diameter_mm: mean of the longest and shortest axis, log-uniform.
        axis_ratio: shortest over longest axis.
        roughness: deviation of the boundary as a share of the radius.
        edge_mm: width of the transition at the boundary.
        lost: share of the tissue's grey level that is missing in the mass; 1 leaves no echoes.
        kept: share of the tissue's own structure that still shows in it.
        texture: share of what is lost that varies inside the mass.
        behind: what lies behind it.
        changed: share of the tissue's grey level that a shadow takes away, an enhancement adds.
        reach_mm: length over which that fades to a third.
        centre_jitter_mm: as of ``Focal``.

    >>> batch = ImageBatch.of(torch.full((2, 1, 64, 64), 0.5), spacing_mm=1.0)
    >>> mass = SonographicMass(behind="shadow", diameter_mm=(10, 10))
    >>> middle = mass(batch, torch.Generator().manual_seed(0))
    >>> bool((middle.pixels <= batch.pixels + 1e-6).all())
    True
    """

    diameter_mm: Lengths = (5, 30)
    axis_ratio: Range = (0.5, 1.0)
    roughness: Range = (0.0, 0.2)
    edge_mm: Lengths = (0.5, 3.0)
    lost: Range = (0.3, 0.9)
    kept: Range = (0.0, 1.0)
    texture: Range = (0.0, 0.3)
    behind: Literal["nothing", "shadow", "enhancement", "either"] = "either"
    changed: Range = (0.1, 0.5)
    reach_mm: Lengths = (10, 40)
    centre_jitter_mm: Length | None = None

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """The mass, and how strong and how long what lies behind it is."""
        n = len(batch)
        form = Focal(
            diameter_mm=self.diameter_mm,
            axis_ratio=self.axis_ratio,
            roughness=self.roughness,
            edge_mm=self.edge_mm,
            texture=self.texture,
        )
        way = {"nothing": (0, 0), "shadow": (-1, -1), "enhancement": (1, 1), "either": (-1, 1)}
        ways = torch.tensor(way[self.behind])[torch.randint(2, (n,), generator=rng)]
        return {
            **form.draw(batch, rng),
            "lost": fields.uniform(rng, n, self.lost),
            "kept": fields.uniform(rng, n, self.kept),
            "changed": ways * fields.uniform(rng, n, self.changed),
            "reach_mm": fields.log_uniform(rng, n, self.reach_mm),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """The mass, and beside it the tissue with more echoes or fewer where sound has passed."""
        like = batch.pixels
        level = _level(batch)
        box, frame, ball = rough_ball(batch, params, self.centre_jitter_mm)
        ball = torch.where(ball > FAINTEST, ball, 0)  # as it is outside of its box
        texture = fields.smooth_noise(params["inside"], frame)
        lost = fields.column(params["lost"], ball)
        lost = lost * (1 + texture * fields.column(params["texture"], ball)).clamp_min(0.2)
        around, own = box.cut(level), box.cut(like - level)
        mass = box.paste(around * (1 - lost) + own * fields.column(params["kept"], ball), like)
        passed = like + level * fields.column(params["changed"], like)
        alpha = box.alone(ball)
        change = alpha + self._behind(batch, params) * (1 - alpha)
        share = (1 - alpha / change.clamp_min(FAINTEST)).clamp(0, 1)
        return torch.lerp(mass, passed, share.expand_as(mass)), change

    def _behind(self, batch: ImageBatch, params: Params) -> Tensor:
        """How much of what lies behind shows at every sample: ``(n, 1, *spatial)``."""
        centre = fields.centre_of(batch, params["place"], self.centre_jitter_mm)
        dims = centre.shape[1]
        depth = dims - 2
        half = fields.half_extent_mm(half_axes_mm(params, dims), params["turn"]).to(centre.device)
        away = Box.whole(batch).away_mm(centre)
        beside = fields.length(
            [
                part / fields.column(half[:, axis], part)
                for axis, part in enumerate(away)
                if axis != depth
            ]
        )
        inside = torch.sigmoid((1 - beside) / _SIDE)
        beyond = away[depth] / fields.column(half[:, depth], away[depth])
        faded = away[depth].clamp_min(0) / fields.column(params["reach_mm"], away[depth])
        any_change = fields.column((params["changed"] != 0).float(), inside)
        shade = inside * beyond.clamp(0, 1) * torch.exp(-faded) * any_change
        return torch.where(shade > FAINTEST, shade, 0)


def _level(batch: ImageBatch) -> Tensor:
    """Mean grey level around each sample, of the anatomy alone: as ``batch.pixels``."""
    width = torch.full((len(batch),), _LEVEL_MM, device=batch.pixels.device)
    return local_mean(batch.pixels, batch.anatomy, batch.spacing_mm, width, least=1e-3)
