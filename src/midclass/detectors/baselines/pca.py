"""PCA: what the principal components of the given class do not explain."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from midclass.detectors.base import Detector
from midclass.detectors.baselines._features import (
    Components,
    error_map,
    mean_inside,
    pixel_features,
    pixel_grid,
)
from midclass.training.lesson import Lesson
from midclass.types import ImageBatch

SHARE = 0.9
"""Of the variance that the principal components hold."""


class PCA(Detector):
    """Reconstruction error of principal components.

    The oldest of reconstruction methods (Jackson and Mudholkar, "Control procedures for residuals
    associated with principal component analysis", Technometrics 21:341, 1979). Ours: pixels are
    means over a grid of at most 32 x 32 cells, scaled as the budget says, 0 outside the anatomy;
    the score is the mean squared error inside the anatomy and the heat map the error; training
    images are learned from as they are and once through the nuisance. Nothing is chosen, so
    ``select`` is not used.
    """

    def learn(self, lesson: Lesson) -> None:
        """Find the components of the training images."""

        def look(batch: ImageBatch) -> Tensor:
            return pixel_features(batch, self._standardise)

        rng = torch.Generator().manual_seed(lesson.seed)
        features = self.images(lesson.train).collect_twice(look, rng)
        self.components_ = Components.of(features, SHARE)

    def score(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        """Mean squared errors, and the squared errors enlarged to the image."""
        errors, share = self._squared_errors(images)
        large = functional.interpolate(errors, size=images.spatial, mode="nearest")
        return mean_inside(errors, share), error_map(large)

    def traced(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        """The same as an exporter can follow it: ONNX Runtime enlarges no double precision."""
        errors, share = self._squared_errors(images)
        large = functional.interpolate(errors.float(), size=images.spatial, mode="nearest")
        return mean_inside(errors, share), error_map(large)

    def _squared_errors(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        """Of each cell ``(n, c, *cells)``, and the share of it that is anatomy."""
        grid, share = (each.cpu() for each in pixel_grid(images, self._standardise))
        rest = self.components_.rest(grid.flatten(1).double()).view_as(grid)
        return rest.square(), share

    @property
    def _standardise(self) -> bool:
        return self.recipe.budget.standardise

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The components."""
        return {"mean": self.components_.mean, "axes": self.components_.axes}, {}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.components_ = Components(tensors["mean"], tensors["axes"])
