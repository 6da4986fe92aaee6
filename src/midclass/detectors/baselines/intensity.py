"""MeanAndSpread: how bright and how varied the anatomy is, two numbers and nothing else."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from midclass.detectors.base import Detector
from midclass.detectors.baselines._features import mean_inside
from midclass.detectors.image_scores import GivenClass
from midclass.training.lesson import Lesson
from midclass.training.networks import scaled
from midclass.types import ImageBatch


class MeanAndSpread(Detector):
    """Mahalanobis distance of an image's mean and standard deviation inside the anatomy.

    Not a published method but a control: what it finds, disease changes so plainly that no detector
    needs to have learned anything. Training images are learned from as they are and once through
    the nuisance. Nothing is chosen, so ``select`` is not used.
    """

    makes_heat_maps = False

    def learn(self, lesson: Lesson) -> None:
        """Describe the two numbers of the training images by one Gaussian."""
        rng = torch.Generator().manual_seed(lesson.seed)
        self.given_ = GivenClass.of(self.images(lesson.train).collect_twice(self._numbers, rng))

    def score(self, images: ImageBatch) -> tuple[Tensor, None]:
        """Distances from the given class."""
        return self.given_.distance(self._numbers(images)), None

    traced = score

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The Gaussian."""
        return {"mean": self.given_.mean, "inverse": self.given_.inverse}, {}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.given_ = GivenClass(tensors["mean"], tensors["inverse"])

    def _numbers(self, batch: ImageBatch) -> Tensor:
        """Mean and standard deviation inside the anatomy, ``(n, 2)``."""
        pixels = scaled(batch.pixels, self.recipe.budget.standardise).double()
        mean = mean_inside(pixels, batch.anatomy)
        apart = pixels - mean.view(-1, *(1,) * (pixels.ndim - 1))
        return torch.stack([mean, mean_inside(apart.square(), batch.anatomy).sqrt()], 1)
