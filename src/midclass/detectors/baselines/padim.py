"""PaDiM: one Gaussian of the given class at each place of the maps."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from midclass.detectors.baselines._features import Scale
from midclass.detectors.baselines._on_maps import Maps, OnMaps
from midclass.detectors.baselines._patches import patches_of
from midclass.training.lesson import FORWARD_BATCH, Lesson
from midclass.types import ImageBatch

FEATURES = 100
"""Of a cell, drawn at random; the paper's for a ResNet-18."""
RIDGE = 0.01
"""Added to each variance, so that few images give an inverse."""


class PaDiM(OnMaps):
    """Mahalanobis distance of each cell from the given class's cells of the same place.

    Defard, Setkov, Loesch and Audigier, "PaDiM: a patch distribution modeling framework for anomaly
    detection and localization", ICPR workshops 2021. Theirs: features of three stages side by side,
    100 of them drawn at random, mean and covariance at each place, .01 added to the variances.

    Ours: patches as in ``PatchCore`` here (EfficientNet-Lite0 at 1/8 and 1/16), each feature in
    units of its spread. It asks for images that are aligned. No step of the budget is needed.
    """

    uses = slice(-3, -1)

    def learn_cells(self, lesson: Lesson) -> None:
        """Mean and covariance at each place."""
        given = self.images(lesson.train)
        rng = torch.Generator().manual_seed(lesson.seed)
        maps = self.remembered(given, len(given.rows), lesson.seed)
        every = sum(stage.shape[1] for stage in maps.stages)
        self.drawn_ = torch.randperm(every, generator=rng)[:FEATURES].sort().values
        parts = range(0, len(maps), FORWARD_BATCH)
        cpu = torch.device("cpu")
        patches = torch.cat(
            [self._patches(maps[first : first + FORWARD_BATCH].floats(cpu)) for first in parts]
        )  # (m, places, f)
        inside = maps.within(maps.stages[0]).flatten(1)
        self.scale_ = Scale.of(patches[inside])
        means, roots = zip(*(gaussian(self.scale_(one)) for one in patches.unbind(1)), strict=True)
        self.mean_ = torch.stack(means).to(self.device)
        self.root_ = torch.stack(roots).to(self.device)

    def cells(self, maps: Maps) -> Tensor:
        """Distance of each cell."""
        scale = Scale(self.scale_.mean.to(self.device), self.scale_.spread.to(self.device))
        away = scale(self._patches(maps)) - self.mean_
        whitened = away.transpose(0, 1) @ self.root_  # (places, n, f)
        distance = whitened.square().sum(2).sqrt().T
        return distance.reshape(-1, *maps.stages[0].shape[2:])

    def _patches(self, maps: Maps) -> Tensor:
        """The drawn features of each place: ``(n, places, f)``."""
        values, _ = patches_of(maps.stages, ImageBatch.of(maps.anatomy.float(), maps.anatomy))
        return values.flatten(1, -2)[..., self.drawn_]

    def learned(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The features drawn, their units, and the Gaussians."""
        units = {"scale.mean": self.scale_.mean, "scale.spread": self.scale_.spread}
        gaussians = {"mean": self.mean_, "root": self.root_}
        return {"drawn": self.drawn_, **units, **gaussians}, {}

    def relearn(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``learned`` gave."""
        self.drawn_ = tensors["drawn"]
        self.scale_ = Scale(tensors["scale.mean"], tensors["scale.spread"])
        self.mean_ = tensors["mean"].to(self.device)
        self.root_ = tensors["root"].to(self.device)


def gaussian(values: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``(f,)`` of ``(m, f)`` values, and the matrix ``(f, f)`` that whitens what is left.

    The product of that matrix with its transpose is the inverse covariance.

    >>> values = 2 * torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    >>> mean, root = gaussian(values)
    >>> [round(float(x), 1) for x in ((values - mean) @ root).std(0)]
    [1.0, 1.0, 1.0]
    """
    values = values.double()
    mean = values.mean(0)
    away = values - mean
    covariance = away.T @ away / max(1, len(values) - 1)
    covariance += RIDGE * torch.eye(len(mean), dtype=torch.float64)
    lower = torch.linalg.cholesky(covariance)
    root = torch.linalg.inv(lower).T
    return mean.float(), root.float().contiguous()
