"""Feature space: what detectors share that measure distances there and train no network."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from midclass.detectors.base import Detector
from midclass.detectors.baselines._features import Scale, network_features, untrained_network
from midclass.errors import InputError
from midclass.training.lesson import Lesson
from midclass.training.networks import (
    Network,
    refuse_other_size,
    under,
    weights_of,
    with_weights,
)
from midclass.training.pretrained import PretrainedNetwork
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
        shape, budget = lesson.train.shape, self.recipe.budget
        network: Network | PretrainedNetwork
        weights = self.recipe.weights()
        if weights is None:
            network = untrained_network(shape, budget, lesson.seed)
        else:
            network = _pretrained(weights, budget.standardise, shape)
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

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights, the units of the features, and what is known of the given class."""
        tensors = weights_of(self.network_)
        tensors |= {"scale.mean": self.scale_.mean, "scale.spread": self.scale_.spread}
        tensors |= {f"given.{name}": value for name, value in self.given_.items()}
        return tensors, {"network": self.network_.settings}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        own, settings = self.recipe.budget.pretrained is None, facts["network"]
        refuse_other_size(settings, self.recipe.budget)

        def make() -> Network | PretrainedNetwork:
            return Network(**settings) if own else PretrainedNetwork.of(settings)

        self.network_ = with_weights(make, tensors, self.device)
        self.scale_ = Scale(tensors["scale.mean"], tensors["scale.spread"])
        self.given_ = under("given.", tensors)


def _pretrained(path: Path, standardise: bool, shape: tuple[int, ...]) -> PretrainedNetwork:
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise InputError(
            f"budget.pretrained is for grey or RGB images in 2-D, these are {shape[1:]}; "
            "leave it out"
        )
    return PretrainedNetwork.load(path, standardise)
