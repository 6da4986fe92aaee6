"""Patches: cells of a pretrained network's maps, and a memory of those of the given class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from midclass.detectors.baselines._features import Scale, euclidean, network_maps
from midclass.training.networks import Network, under
from midclass.training.pretrained import PretrainedNetwork
from midclass.training.reading import ROUNDED
from midclass.types import ImageBatch

MEMORY = 6000
"""Patches that are remembered, drawn at random."""
OF_AN_IMAGE = 64
"""Of them from one image at most, so that few are in memory at once while they are collected."""
NEAREST = 3
"""Remembered patches whose mean distance counts."""
TOP = 0.1
"""Of an image's patches: the most unusual ones, whose mean is its score."""
STEEP = 4.0
"""How fast heat grows: .02 at the median distance, .5 where one patch in a hundred is."""


@dataclass(frozen=True)
class HeatUnits:
    """What is usual of cells of the given class, in which heat is measured.

    Attributes:
        middle: the median of cells of held-out images.
        usual: what one in a hundred of them exceeds.

    >>> units = HeatUnits.of(torch.arange(101.0))
    >>> [round(float(units(torch.full((1, 2, 2), x), (4, 4)).max()), 2) for x in (50, 99)]
    [0.02, 0.5]
    """

    middle: float = 0.0
    usual: float = 1.0

    @classmethod
    def of(cls, cells: Tensor) -> HeatUnits:
        """Measure cells ``(m,)`` inside the anatomy."""
        middle, usual = np.quantile(cells.cpu().numpy(), (0.5, 0.99)).tolist()
        return cls(middle, max(usual, middle + 1e-6))

    def __call__(self, cells: Tensor, spatial: tuple[int, ...]) -> Tensor:
        """Cells ``(n, *cells)`` as heat in [0, 1] ``(n, 1, *spatial)``: .5 is as far as usual."""
        beyond = (cells - self.usual) / (self.usual - self.middle)
        heat = (STEEP * beyond).sigmoid()[:, None]
        return functional.interpolate(heat, size=spatial, mode="bilinear", align_corners=False)


def most_unusual(cells: Tensor, within: Tensor) -> Tensor:
    """Mean of the ``TOP`` highest of each image's cells: ``(n,)``, 0 where there are none.

    Args:
        cells: ``(n, *cells)``.
        within: bool, same shape: the cells that count.

    >>> cells = torch.arange(20.0).view(1, 4, 5)
    >>> float(most_unusual(cells, torch.ones(1, 4, 5, dtype=torch.bool)))
    18.5
    """
    within = within.flatten(1)
    # Read from a list: half of a patch would be rounded by the runtime's own precision.
    tops = torch.tensor([max(1, round(TOP * count)) for count in range(within.shape[1] + 1)])
    most = tops.to(within.device)[within.sum(1, keepdim=True)]
    ranked = cells.flatten(1).masked_fill(~within, -torch.inf).sort(1, descending=True).values
    counts = torch.arange(ranked.shape[1], device=ranked.device) < most
    found = torch.where(counts & ranked.isfinite(), ranked, 0).sum(1)
    return found / most[:, 0].to(ranked.dtype)


@dataclass(frozen=True)
class PatchMemory:
    """Patches of the given class, and how far the patches of an image are from them.

    As PatchCore (Roth et al., CVPR 2022): a patch is the mean of 3 x 3 cells of the maps at 1/8 and
    1/16. Ours: patches inside the anatomy alone, a random memory in place of a greedy one, and the
    mean of the most unusual tenth in place of the one most unusual.

    Attributes:
        scale: centre and spread of each channel over the given class.
        patches: ``(m, f)``, in these units.
        middle: median distance of patches of held-out images.
        usual: distance that one in a hundred of them exceeds.
    """

    scale: Scale
    patches: Tensor
    middle: float = 0.0
    usual: float = 1.0

    @classmethod
    @torch.inference_mode()
    def of(
        cls,
        network: Network | PretrainedNetwork,
        batches: Iterable[ImageBatch],
        rng: torch.Generator,
    ) -> PatchMemory:
        """Remember patches of images of the given class."""
        found = []
        for batch in batches:
            stages = network_maps(network, batch)
            for values, share in zip(*patches_of(stages, batch), strict=True):
                within = values[share > 0.5]
                drawn = torch.randperm(len(within), generator=rng)[:OF_AN_IMAGE]
                found.append(within[drawn.to(within.device)].cpu())
        every = torch.cat(found)
        scale = Scale.of(every)
        return cls(scale, scale(every)[torch.randperm(len(every), generator=rng)[:MEMORY]])

    def distances(self, stages: Sequence[Tensor], batch: ImageBatch) -> tuple[Tensor, Tensor]:
        """How unusual images are ``(n,)``, and each cell of them ``(n, *cells)``, on the CPU.

        Args:
            stages: ``network_maps`` of the images.
            batch: the images.

        Cells outside the anatomy have 0, and so has an image without any inside.
        """
        maps, scores = [], []
        for values, share in zip(*patches_of(stages, batch), strict=True):
            within = (share > 0.5).cpu()
            apart = torch.zeros(within.shape)
            if within.any():
                # One product an image, so that it rounds the same alone and among others.
                near = torch.cdist(self.scale(values.cpu()[within]), self.patches)
                apart[within] = near.topk(min(NEAREST, near.shape[1]), largest=False).values.mean(1)
            most = apart.flatten().topk(max(1, round(TOP * int(within.sum()))))
            scores.append(most.values.mean())
            maps.append(apart)
        return torch.stack(scores), torch.stack(maps)

    def traced(self, stages: Sequence[Tensor], batch: ImageBatch) -> tuple[Tensor, Tensor]:
        """``distances`` as an exporter can follow it: all cells are compared, some then count."""
        values, share = patches_of(stages, batch)
        near = euclidean(self.scale(values.flatten(1, -2)), self.patches)  # (n, cells, m)
        mean = near.topk(min(NEAREST, len(self.patches)), largest=False).values.mean(2)
        within = share > 0.5 + ROUNDED
        apart = torch.where(within, mean.view(share.shape), 0)
        return most_unusual(apart, within), apart

    def in_units_of(self, held_out: Sequence[Tensor]) -> PatchMemory:
        """The same memory, knowing what is usual in images of the given class held out of it.

        Args:
            held_out: distances of their cells, as ``distances`` gives them.
        """
        units = HeatUnits.of(torch.cat([maps[maps > 0] for maps in held_out]))
        return replace(self, middle=units.middle, usual=units.usual)

    def heat(self, maps: Tensor, spatial: tuple[int, ...]) -> Tensor:
        """Distances of cells as heat in [0, 1] ``(n, 1, *spatial)``: .5 is as far as is usual."""
        return HeatUnits(self.middle, self.usual)(maps, spatial)

    def state(self) -> dict[str, Tensor]:
        """Tensors by name, see ``restored``."""
        return {
            "patches.mean": self.scale.mean,
            "patches.spread": self.scale.spread,
            "patches.memory": self.patches,
            "patches.usual": torch.tensor([self.middle, self.usual], dtype=torch.float64),
        }

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor]) -> PatchMemory:
        """Take back what ``state`` gave."""
        found = under("patches.", tensors)
        scale = Scale(found["mean"], found["spread"])
        return cls(scale, found["memory"], *found["usual"].tolist())


def patches_of(stages: Sequence[Tensor], batch: ImageBatch) -> tuple[Tensor, Tensor]:
    """Vectors of the cells ``(n, *cells, f)``, and how much of each is anatomy ``(n, *cells)``.

    Args:
        stages: ``network_maps`` of the images.
        batch: the images.
    """
    fine, coarse = stages[:2]
    cells = fine.shape[2:]
    near, far = (functional.avg_pool2d(maps, 3, 1, 1) for maps in (fine, coarse))
    far = functional.interpolate(far, size=cells, mode="bilinear", align_corners=False)
    share = functional.interpolate(batch.anatomy.float(), size=cells, mode="area")
    return torch.cat([near, far], 1).movedim(1, -1), share[:, 0]
