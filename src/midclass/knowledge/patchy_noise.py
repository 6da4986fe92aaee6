"""Patchy noise: clumps that are denser, or less dense, than the tissue in which they lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._blur import blurred
from midclass.knowledge._box import Box
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Params, Range

REGION = 4
"""Samples along each axis of the noise whose high part is the region."""
NODES = 32
"""Samples along each axis of the noise that makes the clumps."""
ABOVE = 0.3
"""Value that the region's noise exceeds, in its standard deviations."""


@dataclass(frozen=True)
class PatchyNoise(Knowledge):
    """Clumps of a few millimetres in a region without a form of its own.

    Why: haemorrhage into tissue, contusion and patchy consolidation are seen as many ill-defined
    dense clumps rather than as one lesion (contusions as patchy hyperdense foci with oedema
    between them: Provenzale, AJR 194:16, 2010; Hansell et al., Radiology 246:697, 2008). It says
    how abnormal intensity is spread, not which: the intensity task of MediCLIP (Zhang et al.,
    MICCAI 2024), whose code cuts normal noise at 0, blurs it by 4 or 7 px of 256, scales it to
    [0, 1], multiplies it by .4 to .6 of the full range and adds it in the high part of Perlin noise
    in a box of 30 to 80 % of the side, with an edge blurred by 1 to 4 px.

    Ours: smooth noise of the same coarseness, in 3-D too; a rounded region, because the box's
    straight ends were seen; and fainter clumps besides, because those of the code outshine bone in
    a chest radiograph, where .15 to .3 look like pneumonia.

    Args:
        sign: whether the clumps are brighter than their tissue, darker, or either.
        amplitude: of the densest clump, as a share of the range of intensities.
        grain: standard deviation of the clumps' blur as a share of the image's shorter side.
        region: side of the box in which the region lies, likewise.
        edge: standard deviation of the region's blurred edge, likewise.

    >>> batch = ImageBatch.of(torch.full((2, 1, 64, 64), 0.3))
    >>> middle = PatchyNoise()(batch, torch.Generator().manual_seed(0))
    >>> bool((middle.pixels >= batch.pixels - 1e-6).all()), bool((middle.severity > 0).all())
    (True, True)
    """

    sign: Literal["bright", "dark", "either"] = "bright"
    amplitude: Range = (0.15, 0.6)
    grain: Range = (4 / 256, 7 / 256)
    region: Range = (0.3, 0.8)
    edge: Range = (1 / 256, 4 / 256)

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Place and form of the region, and its clumps."""
        n, dims = batch.spacing_mm.shape
        bright = {"bright": 1.0, "dark": 0.0, "either": 0.5}[self.sign]
        way = 2 * (torch.rand(n, generator=rng) < bright).float() - 1
        return {
            "place": torch.rand(n, dims, generator=rng),
            "amplitude": way * fields.uniform(rng, n, self.amplitude),
            "grain": fields.uniform(rng, n, self.grain),
            "region": fields.uniform(rng, n * dims, self.region).view(n, dims),
            "edge": fields.uniform(rng, n, self.edge),
            "form": torch.randn(n, 1, *(REGION,) * dims, generator=rng),
            "clumps": torch.randn(n, 1, *(NODES,) * dims, generator=rng),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Old tissue plus the clumps, and how dense they are."""
        like, side_mm = batch.pixels, fields.shorter_side_mm(batch)
        # Noise with nodes 2.5 standard deviations apart is as coarse as noise blurred by that much.
        length_mm = 2.5 * params["grain"].to(side_mm) * side_mm
        clumps = fields.smooth_field(params["clumps"], Box.whole(batch), length_mm)
        clumps = ((clumps + 1) / 2).clamp(0, 1)
        sigma_mm = params["edge"].to(side_mm) * side_mm
        region = blurred(self._region(batch, params), batch.spacing_mm, sigma_mm)
        share = region * clumps
        return like + fields.column(params["amplitude"], like), share

    def _region(self, batch: ImageBatch, params: Params) -> Tensor:
        """The high part of smooth noise around a place of the anatomy, never nothing."""
        centre = fields.centre_of(batch, params["place"], None)
        half = params["region"].to(centre.device) * fields.shorter_side_mm(batch).unsqueeze(1) / 2
        away = Box.whole(batch).away_mm(centre)
        frame = [part / fields.column(half[:, axis], part) for axis, part in enumerate(away)]
        near = fields.length(frame)
        form = fields.smooth_noise(params["form"], [part.expand_as(near) for part in frame])
        # Higher in the middle, so that the place itself is part of the region and its end is not
        # that of the box: a straight border would be a cue.
        return ((near < 1) & (form + 2 * (1 - near) > ABOVE)).float()
