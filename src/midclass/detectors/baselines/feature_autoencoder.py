"""FeatureAutoEncoder: structure in pretrained maps that an autoencoder cannot reproduce."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.detectors.baselines._on_maps import LearnsOnMaps, Maps, mean_within
from midclass.training.autoencoders import conv_stage, sizes_of

WIDTHS = (2, 3, 4, 6)
"""Channels of the four stages, in those of the budget; the paper has 100, 150, 200 and 300."""
WINDOW = 5
"""Cells along each side over which structure is compared, and of the kernels."""
LUMINANCE, CONTRAST = 0.01**2, 0.03**2
"""The constants of the index of structural similarity (Wang et al., IEEE TIP 13:600, 2004)."""


class FeatureAutoEncoder(LearnsOnMaps):
    """FAE-SSIM: an autoencoder on maps of several stages, judged by structural similarity.

    Meissen, Paetzold, Kaissis and Rueckert, "Unsupervised anomaly localization with structural
    feature-autoencoders", MICCAI BrainLes 2022. Theirs: maps of the first stages, resized to one
    resolution; a convolutional autoencoder without skips and with kernels of 5 x 5; the loss, and
    what a cell is worth, is one minus the index of structural similarity in windows of 5 x 5; the
    score is the mean of the worst tenth inside the object.

    Ours: the maps at 1/4 and 1/8 of EfficientNet-Lite0 (their ResNet-18: the stem and two stages),
    each channel in units of its spread and rectified, as a ResNet's are: the index is for what is
    not negative, and calls the opposite alike elsewhere. A third of the channels at the usual
    width; cells are repeated and convolved in place of transposed convolutions; no dropout; uniform
    windows; the loss counts inside the anatomy alone; nuisance and budget (theirs: Adam, 2e-4, 10k
    steps).
    """

    uses = slice(0, 2)

    def build(self, channels: tuple[int, ...]) -> nn.Module:
        """The autoencoder before training."""
        budget = self.recipe.budget
        return MapAutoEncoder(sum(channels), [budget.width * one for one in WIDTHS], budget.blocks)

    def wrong(self, learner: nn.Module, maps: Maps, rng: torch.Generator) -> Tensor:
        """Mean dissimilarity inside the anatomy."""
        cells = dissimilarity(*learner(at_one_resolution(maps)))
        return mean_within(cells, maps.within(cells[:, None]))

    def cells(self, maps: Maps) -> Tensor:
        """Dissimilarity of the reproduction."""
        return dissimilarity(*self.learner_(at_one_resolution(maps)))


class MapAutoEncoder(nn.Module):
    """Four stages that halve the maps, and the way back.

    Args:
        channels: of the maps.
        widths: channels of the stages.
        blocks: convolutions a stage.

    >>> wanted, made = MapAutoEncoder(8, [8, 16])(torch.rand(2, 8, 10, 7))
    >>> wanted.shape == made.shape
    True
    """

    def __init__(self, channels: int, widths: list[int], blocks: int = 1) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=False)
        self.down = nn.ModuleList(
            conv_stage(before, after, 2, blocks, stride=2, side=WINDOW)
            for before, after in pairwise([channels, *widths])
        )
        self.up = nn.ModuleList(
            conv_stage(before, after, 2, blocks, side=WINDOW)
            for before, after in pairwise([*widths[::-1], widths[0]])
        )
        self.last = nn.Conv2d(widths[0], channels, 1)

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """What is to be made and what was made of ``(n, c, *cells)`` maps, both of that shape."""
        wanted = self.norm(maps).clamp_min(0)
        x = wanted
        for stage in self.down:
            x = stage(x)
        sizes = sizes_of(tuple(maps.shape[2:]))[: len(self.up)]
        for stage, size in zip(self.up, sizes[::-1], strict=True):
            x = stage(functional.interpolate(x, size=size, mode="nearest"))
        return wanted, self.last(x)


def at_one_resolution(maps: Maps) -> Tensor:
    """All stages as one map, at the resolution of the finest: ``(n, c, *cells)``."""
    size = maps.stages[0].shape[2:]
    return torch.cat(
        [
            functional.interpolate(stage, size=size, mode="bilinear", align_corners=False)
            for stage in maps.stages
        ],
        1,
    )


def dissimilarity(one: Tensor, other: Tensor) -> Tensor:
    """One minus the structural similarity of maps ``(n, c, *cells)``: ``(n, *cells)``.

    >>> maps = torch.rand(1, 2, 8, 8)
    >>> [round(float(dissimilarity(maps, x).mean())) for x in (maps, 1 - maps)]
    [0, 2]
    """

    def local(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values, WINDOW, 1, WINDOW // 2, count_include_pad=False)

    means = local(one), local(other)
    variance = [
        (local(x.square()) - mean.square()).clamp_min(0)
        for x, mean in zip((one, other), means, strict=True)
    ]
    together = local(one * other) - means[0] * means[1]
    above = (2 * means[0] * means[1] + LUMINANCE) * (2 * together + CONTRAST)
    below = (means[0].square() + means[1].square() + LUMINANCE) * (sum(variance) + CONTRAST)
    return 1 - (above / below).mean(1)
