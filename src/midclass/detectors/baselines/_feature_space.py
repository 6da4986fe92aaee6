"""Feature space: what detectors share that measure distances there and train no network."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor

from midclass.detectors.base import Detector
from midclass.detectors.baselines._features import (
    Scale,
    feature_network,
    network_features,
    restored_network,
)
from midclass.training.lesson import Lesson
from midclass.training.networks import under, weights_of
from midclass.types import ImageBatch


class FeatureSpace(Detector):
    """Features of a network that is not trained, and a distance among them.

    The network is the method's own with random weights, or a pretrained one where the recipe names
    a file of weights (``budget.pretrained``). Features are mean and spread of three stages inside
    the anatomy, each in units of its spread over the given class. Training images are learned from
    as they are and once through the nuisance. Nothing is chosen, so ``select`` is not used.
    """

    makes_heat_maps = False

    @abstractmethod
    def describe(self, features: Tensor) -> dict[str, Tensor]:
        """What the distance needs to know of the training images' features ``(m, f)``."""

    @abstractmethod
    def distance(self, features: Tensor) -> Tensor:
        """Of ``(n, f)`` features from the given class: ``(n,)``."""

    def learn(self, lesson: Lesson) -> None:
        """Describe the features of the training images."""
        network = feature_network(self.recipe, lesson.train.shape, lesson.seed)
        self.network_ = network.to(self.device)
        rng = torch.Generator().manual_seed(lesson.seed)
        features = self.images(lesson.train).collect_twice(
            lambda batch: network_features(self.network_, batch), rng
        )
        self.scale_ = Scale.of(features)
        self.given_ = self.describe(self.scale_(features))

    def score(self, images: ImageBatch) -> tuple[Tensor, None]:
        """Distances from the given class."""
        return self.distance(self.scale_(network_features(self.network_, images).cpu())), None

    def traced(self, images: ImageBatch) -> tuple[Tensor, None]:
        """``score`` as an exporter can follow it; see ``graph.Traced``."""
        features = self.scale_(network_features(self.network_, images))
        return self.distance_traced(features), None

    def distance_traced(self, features: Tensor) -> Tensor:
        """``distance`` likewise."""
        return self.distance(features)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights, the units of the features, and what is known of the given class."""
        tensors = weights_of(self.network_)
        tensors |= {"scale.mean": self.scale_.mean, "scale.spread": self.scale_.spread}
        tensors |= {f"given.{name}": value for name, value in self.given_.items()}
        return tensors, {"network": self.network_.settings}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.network_ = restored_network(self.recipe, facts["network"], tensors, self.device)
        self.scale_ = Scale(tensors["scale.mean"], tensors["scale.spread"])
        self.given_ = under("given.", tensors)
