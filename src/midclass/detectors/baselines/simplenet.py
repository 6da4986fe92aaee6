"""SimpleNet: a small network tells patches of the given class from the same with noise."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from midclass.detectors.baselines._on_maps import LearnsOnMaps, Maps, mean_within
from midclass.detectors.baselines._patches import patches_of
from midclass.types import ImageBatch

SIGMA = 0.3
"""Of the noise, in units of a feature's spread; the paper's is .015 in those of its network.

Of .1, .3 and 1 the best on a development collection; see docs/research-log.md."""
MARGIN = 0.5
"""Verdict that is sure enough, so that no more is asked."""
SLOPE = 0.2
"""Of the discriminator's leaky rectifier."""


class SimpleNet(LearnsOnMaps):
    """Adapted patch features, and a discriminator that learns them from those with noise added.

    Liu, Zhou, Xu and Wang, "SimpleNet: a simple network for image anomaly detection and
    localization", CVPR 2023. Theirs: patches are means of 3 x 3 cells of the maps at 1/8 and 1/16;
    one linear layer adapts them; Gaussian noise makes the second class; a discriminator of two
    layers; the truncated L1 loss with the margin .5; minus its verdict is what a cell is worth.

    Ours: features of EfficientNet-Lite0, in units of their spread, and therefore the noise in those
    units; a discriminator of two thirds of the features, as theirs is of 1024 for 1536; cells
    inside the anatomy alone; nuisance and budget (theirs: learning rates 1e-4 and 2e-4, 160
    epochs).
    """

    uses = slice(-3, -1)

    def build(self, channels: tuple[int, ...]) -> nn.Module:
        """Adaptor and discriminator before training."""
        return PatchDiscriminator(sum(channels))

    def wrong(self, learner: nn.Module, maps: Maps, rng: torch.Generator) -> Tensor:
        """Truncated L1 loss of the cells inside, as they are and with noise."""
        assert isinstance(learner, PatchDiscriminator)
        patches, within = self._patches(maps)
        adapted = learner.adapted(patches[within])
        noise = torch.randn(adapted.shape, generator=rng).to(adapted.device)
        true, noisy = learner.verdict(torch.cat([adapted, adapted + SIGMA * noise])).chunk(2)
        loss = (MARGIN - true).clamp_min(0) + (MARGIN + noisy).clamp_min(0)
        cells = torch.zeros(within.shape, device=loss.device).masked_scatter(within, loss)
        return mean_within(cells, within)

    def cells(self, maps: Maps) -> Tensor:
        """Minus the verdict on each cell."""
        assert isinstance(self.learner_, PatchDiscriminator)
        patches, _ = self._patches(maps)
        verdict = self.learner_.verdict(self.learner_.adapted(patches.flatten(0, 2)))
        return -verdict.view(patches.shape[:3])

    def _patches(self, maps: Maps) -> tuple[Tensor, Tensor]:
        """Features of the cells ``(n, *cells, f)``, and which are inside ``(n, *cells)``."""
        patches, _ = patches_of(maps.stages, ImageBatch.of(maps.anatomy.float(), maps.anatomy))
        return patches, maps.within(maps.stages[0])


class PatchDiscriminator(nn.Module):
    """A linear layer that adapts features, and two more that judge them.

    Args:
        features: of a patch.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        hidden = max(8, features * 2 // 3)
        self.norm = nn.BatchNorm1d(features, affine=False)
        self.adaptor = nn.Linear(features, features)
        self.body = nn.Sequential(
            nn.Linear(features, hidden), nn.BatchNorm1d(hidden), nn.LeakyReLU(SLOPE)
        )
        self.tail = nn.Linear(hidden, 1, bias=False)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.xavier_normal_(part.weight)

    def adapted(self, patches: Tensor) -> Tensor:
        """Of ``(m, f)`` features as many."""
        features: Tensor = self.adaptor(self.norm(patches))
        return features

    def verdict(self, features: Tensor) -> Tensor:
        """On ``(m, f)`` adapted features ``(m,)``: high for those of the given class."""
        verdict: Tensor = self.tail(self.body(features))[:, 0]
        return verdict
