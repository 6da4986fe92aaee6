"""Mahalanobis: how far from the given class's mean in feature space, by its covariance."""

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
from midclass.scoring import GivenClass
from midclass.types import ImageBatch


class Mahalanobis(Detector):
    """Mahalanobis distance to one Gaussian of the given class.

    Rippel, Mertens and Merhof, "Modeling the distribution of normal data in pre-trained deep
    features for anomaly detection", ICPR 2020, with features of a network trained on ImageNet.
    Ours: the features are those of the method's own network with random weights, mean and spread
    of three stages inside the anatomy; training images are learned from as they are and once
    through the nuisance. The covariance is shrunk (Ledoit and Wolf, 2004), as theirs. Nothing is
    chosen, so ``select`` is not used.
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
        """Measure mean and covariance of the features of the training images."""
        network = untrained_network(train.pixels.shape, self.recipe.budget, seed)
        self.network_ = network.to(self.device)
        rng = torch.Generator().manual_seed(seed)
        features = self.given_images(train).collect_twice(self._features, rng)
        self.scale_ = Scale.of(features)
        self.given_ = GivenClass.of(self.scale_(features))

    @torch.inference_mode()
    def score_images(
        self, prepared: Prepared, *, heat_maps: bool = False
    ) -> tuple[FloatArray, FloatArray | None]:
        """Distances; no heat maps."""
        scores = np.full(len(prepared), -np.inf)
        for rows, batch in self.batches(prepared):
            features = self.scale_(self._features(batch).cpu())
            scores[rows] = self.given_.distance(features).numpy()
        return scores, None

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The random weights, the units of the features, and their mean and covariance."""
        tensors = weights_of(self.network_) | {
            "mean": self.scale_.mean,
            "spread": self.scale_.spread,
            "given.mean": self.given_.mean,
            "given.inverse": self.given_.inverse,
        }
        return tensors, {"network": self.network_.settings}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.network_ = with_weights(Network(**facts["network"]).to(self.device), tensors)
        self.scale_ = Scale(tensors["mean"], tensors["spread"])
        self.given_ = GivenClass(tensors["given.mean"], tensors["given.inverse"])

    def _features(self, batch: ImageBatch) -> Tensor:
        return network_features(self.network_, batch)
