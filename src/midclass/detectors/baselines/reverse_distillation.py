"""ReverseDistillation: a student that rebuilds its teacher's maps from their narrowest summary."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.detectors.baselines._on_maps import LearnsOnMaps, Maps, mean_within
from midclass.training.autoencoders import conv_stage


class ReverseDistillation(LearnsOnMaps):
    """Reverse distillation from a one-class embedding; a cell is worth what its maps differ in.

    Deng and Li, "Anomaly detection via reverse distillation from one-class embedding", CVPR 2022.
    Theirs: the teacher's maps at 1/4, 1/8 and 1/16 are brought together at 1/16 and embedded at
    1/32; a student, built as the teacher in reverse, makes the three maps of that embedding alone;
    the loss is one minus the cosine of both maps' vectors, added up over the stages, and so is what
    a cell is worth.

    Ours: the teacher EfficientNet-Lite0, each channel in units of its spread; the student's plain
    convolutions, as many channels as the budget says; inside the anatomy alone; nuisance and budget
    (theirs: Adam, 5e-3, 200 epochs, batch 16).
    """

    uses = slice(0, 3)

    def build(self, channels: tuple[int, ...]) -> nn.Module:
        """The student before training."""
        return Student(channels, self.recipe.budget.width, self.recipe.budget.blocks)

    def wrong(self, learner: nn.Module, maps: Maps, rng: torch.Generator) -> Tensor:
        """Sum over the stages of what the maps differ in inside the anatomy."""
        stages = [apart(*both) for both in learner(maps.stages)]
        return torch.stack(
            [mean_within(cells, maps.within(cells[:, None])) for cells in stages]
        ).sum(0)

    def cells(self, maps: Maps) -> Tensor:
        """The same of each cell, at the resolution of the finest stage."""
        size = maps.stages[0].shape[2:]
        stages = [apart(*both)[:, None] for both in self.learner_(maps.stages)]
        resized = [
            functional.interpolate(cells, size=size, mode="bilinear", align_corners=False)
            for cells in stages
        ]
        return torch.cat(resized, 1).sum(1)


class Student(nn.Module):
    """The embedding of the teacher's three maps, and the decoder that makes them of it.

    Args:
        channels: of the teacher's maps.
        width: channels of the decoder's last stage; each before it has twice as many.
        blocks: convolutions a stage.

    >>> maps = [torch.rand(2, 8, side, side) for side in (16, 8, 4)]
    >>> [tuple(made.shape) for _, made in Student((8, 8, 8), 8)(maps)]
    [(2, 8, 16, 16), (2, 8, 8, 8), (2, 8, 4, 4)]
    """

    def __init__(self, channels: tuple[int, ...], width: int, blocks: int = 1) -> None:
        super().__init__()
        count = len(channels)
        self.norms = nn.ModuleList(nn.BatchNorm2d(one, affine=False) for one in channels)
        self.together = nn.ModuleList(
            nn.Sequential(
                *(
                    conv_stage(before, width, 2, 1, stride=2)
                    for before in [one, *[width] * (count - 1)][: count - 1 - stage]
                )
            )
            for stage, one in enumerate(channels)
        )
        widths = [width * 2**stage for stage in range(count + 1)]
        before = width * (count - 1) + channels[-1]  # the last one is at the resolution already
        self.embed = conv_stage(before, widths[-1], 2, blocks, stride=2)
        self.decode = nn.ModuleList(
            conv_stage(wide, narrow, 2, blocks) for wide, narrow in pairwise(widths[::-1])
        )
        self.last = nn.ModuleList(
            nn.Conv2d(narrow, one, 1)
            for narrow, one in zip(widths[-2::-1], channels[::-1], strict=True)
        )

    def forward(self, maps: list[Tensor]) -> list[tuple[Tensor, Tensor]]:
        """What is to be made and what was made, of each stage, both ``(n, c, *cells)``."""
        wanted = [norm(stage) for norm, stage in zip(self.norms, maps, strict=True)]
        size = wanted[-1].shape[2:]
        parts = [
            functional.adaptive_avg_pool2d(bring(stage), size)
            for bring, stage in zip(self.together, wanted, strict=True)
        ]
        x = self.embed(torch.cat(parts, 1))
        made = []
        for decode, last, stage in zip(self.decode, self.last, wanted[::-1], strict=True):
            x = decode(functional.interpolate(x, size=stage.shape[2:], mode="nearest"))
            made.append(last(x))
        return list(zip(wanted, made[::-1], strict=True))


def apart(wanted: Tensor, made: Tensor) -> Tensor:
    """One minus the cosine of the vectors of each cell: ``(n, c, *cells)`` to ``(n, *cells)``.

    >>> maps = torch.ones(1, 4, 2, 2)
    >>> [round(float(apart(maps, x).mean()), 3) for x in (3 * maps, -maps)]
    [0.0, 2.0]
    """
    return 1 - functional.cosine_similarity(wanted, made, dim=1)
