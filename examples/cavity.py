"""Cavity: an operator of one's own, in one file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from midclass import ImageBatch, Knowledge, Lengths, Range


@dataclass(frozen=True)
class Cavity(Knowledge):
    """An air-filled cavity: darker than its surroundings, with a thin bright wall.

    Why: a cavity is a gas-filled space, seen as a lucency or low-attenuation area, within
    consolidation, a mass or a nodule, whose wall remains around it (Hansell et al., Fleischner
    Society: Glossary of Terms for Thoracic Imaging, Radiology 246:697, 2008, "cavity").

    Args:
        diameter_mm: of the air, uniform.
        wall_mm: thickness of the wall.
        air: share of the way to black inside.
        contrast: brightness that the wall adds.
    """

    diameter_mm: Lengths = (12, 35)
    wall_mm: Lengths = (2, 5)
    air: Range = (0.1, 0.3)
    contrast: Range = (0.05, 0.15)

    border_mm: ClassVar[float] = 5.0  # fades out so softly at the anatomy's border

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> dict[str, Tensor]:
        """Random numbers, one row per image: here alone, from the generator alone."""
        n = len(batch)
        likely = batch.anatomy.flatten(1).cpu().float() + 1e-9  # anywhere in the anatomy
        sample = torch.multinomial(likely, 1, generator=rng).squeeze(1)
        index = torch.stack(torch.unravel_index(sample, batch.spatial), -1)
        middle = (torch.tensor(batch.spatial) - 1) / 2
        between = {
            name: low + (high - low) * torch.rand(n, generator=rng)
            for name, (low, high) in vars(self).items()
        }
        return {"centre_mm": (index - middle) * batch.spacing_mm.cpu(), **between}

    def render(self, batch: ImageBatch, params: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """New tissue and its share alpha: pixels = old + alpha * (new - old)."""
        old, n, dims = batch.pixels, len(batch), len(batch.spatial)
        one = {k: v.to(old.device).view(n, -1, *(1,) * dims) for k, v in params.items()}
        axes = [torch.arange(side, device=old.device) - (side - 1) / 2 for side in batch.spatial]
        place = torch.stack(torch.meshgrid(*axes, indexing="ij"))  # (d, *spatial), in samples
        place_mm = place * batch.spacing_mm.view(n, dims, *(1,) * dims) - one["centre_mm"]
        outwards_mm = place_mm.norm(dim=1, keepdim=True) - one["diameter_mm"] / 2
        air = torch.sigmoid(-2 * outwards_mm)  # soft over about 2 mm
        alpha = torch.sigmoid(-2 * (outwards_mm - one["wall_mm"]))
        return torch.lerp(old + one["contrast"], old * (1 - one["air"]), air), alpha
