"""PCA: what the principal components of the given class do not explain."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from midclass.detectors.base import Detector, FloatArray
from midclass.features import Components, error_map, mean_inside, pixel_features, pixel_grid
from midclass.images.prepare import Prepared
from midclass.learning import Lesson
from midclass.types import ImageBatch

SHARE = 0.9
"""Of the variance that the principal components hold."""


class PCA(Detector):
    """Reconstruction error of principal components.

    The oldest of reconstruction methods (Jackson and Mudholkar, "Control procedures for residuals
    associated with principal component analysis", Technometrics 21:341, 1979). Ours: pixels are
    means over a grid of at most 32 x 32 cells, standardised inside the anatomy, 0 outside; the
    score is the mean squared error inside the anatomy and the heat map the error; training images
    are learned from as they are and once through the nuisance. Nothing is chosen, so ``select``
    is not used.
    """

    def learn(self, lesson: Lesson) -> None:
        """Find the components of the training images."""

        def look(batch: ImageBatch) -> Tensor:
            return pixel_features(batch, self._standardise)

        rng = torch.Generator().manual_seed(lesson.seed)
        features = self.images(lesson.train).collect_twice(look, rng)
        self.components_ = Components.of(features, SHARE)

    def score_images(
        self, prepared: Prepared, *, heat_maps: bool = False
    ) -> tuple[FloatArray, FloatArray | None]:
        """Mean squared errors and, when asked, the squared errors enlarged to the image."""
        scores = np.full(len(prepared), -np.inf)
        maps = np.zeros((len(prepared), *prepared.pixels.shape[2:])) if heat_maps else None
        for rows, batch in self.batches(prepared):
            grid, share = (each.cpu() for each in pixel_grid(batch, self._standardise))
            rest = self.components_.rest(grid.flatten(1).double()).view_as(grid)
            scores[rows] = mean_inside(rest.square(), share).numpy()
            if maps is not None:
                large = functional.interpolate(rest.square(), size=batch.spatial, mode="nearest")
                maps[rows] = error_map(large, batch.anatomy.cpu()).numpy()
        return scores, maps

    @property
    def _standardise(self) -> bool:
        return self.recipe.budget.standardise

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The components."""
        return {"mean": self.components_.mean, "axes": self.components_.axes}, {}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.components_ = Components(tensors["mean"], tensors["axes"])
