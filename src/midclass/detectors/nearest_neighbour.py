"""NearestNeighbour: how far the nearest images of the given class are in feature space."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from midclass.detectors.base import Detector, FloatArray, Progress
from midclass.features import Scale, network_features, untrained_network
from midclass.images.prepare import Prepared
from midclass.networks import Network, weights_of, with_weights
from midclass.types import ImageBatch

NEIGHBOURS = 5


class NearestNeighbour(Detector):
    """Mean distance to the five nearest training images.

    Bergman, Cohen and Hoshen, "Deep nearest neighbor anomaly detection", arXiv 2002.10445, 2020,
    with k = 2 on features of a network trained on ImageNet. Ours: the features are those of the
    method's own network with random weights, mean and spread of three stages inside the anatomy,
    each in units of its spread over the given class; training images are remembered as they are
    and once through the nuisance. Nothing is chosen, so ``select`` is not used.
    """

    makes_heat_maps = False

    def learn(
        self,
        train: Prepared,
        select: Prepared,
        *,
        seed: int,
        workdir: Path | None,
        progress: Progress | None,
    ) -> None:
        """Remember the features of the training images."""
        network = untrained_network(train.pixels.shape, self.recipe.budget, seed)
        self.network_ = network.to(self.device)
        rng = torch.Generator().manual_seed(seed)
        features = self.given_images(train).collect_twice(self._features, rng)
        self.scale_ = Scale.of(features)
        self.memory_ = self.scale_(features)  # (m, f)

    @torch.inference_mode()
    def score_images(
        self, prepared: Prepared, *, heat_maps: bool = False
    ) -> tuple[FloatArray, FloatArray | None]:
        """Distance to the nearest, per root of the number of features; no heat maps."""
        scores = np.full(len(prepared), -np.inf)
        for rows, batch in self.batches(prepared):
            features = self.scale_(self._features(batch).cpu())
            # Without a matrix product, which would round otherwise for an image alone.
            exact = "donot_use_mm_for_euclid_dist"
            apart = torch.cdist(features, self.memory_, compute_mode=exact)  # (n, m)
            nearest = apart.topk(min(NEIGHBOURS, len(self.memory_)), largest=False).values
            scores[rows] = (nearest.mean(1) / features.shape[1] ** 0.5).numpy()
        return scores, None

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The random weights, the units of the features, and those of the training images."""
        tensors = weights_of(self.network_) | {
            "mean": self.scale_.mean,
            "spread": self.scale_.spread,
            "memory": self.memory_,
        }
        return tensors, {"network": self.network_.settings}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.network_ = with_weights(Network(**facts["network"]).to(self.device), tensors)
        self.scale_ = Scale(tensors["mean"], tensors["spread"])
        self.memory_ = tensors["memory"]

    def _features(self, batch: ImageBatch) -> Tensor:
        return network_features(self.network_, batch)
