"""Reconstruction: what detectors share that score by what a network makes of an image."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from midclass.detectors.base import Detector
from midclass.detectors.baselines._features import error_map, mean_inside
from midclass.training.lesson import Lesson
from midclass.training.loop import train_on_given
from midclass.training.networks import seeded, weights_of, with_weights
from midclass.types import ImageBatch


class Reconstruction(Detector):
    """A network learns to make given-class images; the score is the error inside the anatomy.

    Training images are seen through the nuisance; the checkpoint is the one with the least error
    on ``select``. A subclass fills ``build`` and ``errors``.
    """

    @abstractmethod
    def build(self, channels: int, spatial: tuple[int, ...]) -> nn.Module:
        """The network before training, for images ``(n, channels, *spatial)``."""

    @abstractmethod
    def errors(
        self, network: nn.Module, batch: ImageBatch, rng: torch.Generator | None = None
    ) -> Tensor:
        """Squared errors ``(n, c, *spatial)``; rng is given in training and none when scoring."""

    def learn(self, lesson: Lesson) -> None:
        """Learn to reproduce the training images."""
        self.shape_ = tuple(lesson.train.shape[1:])
        self.network_ = self._new_network(lesson.seed)

        def wrong(network: nn.Module, batch: ImageBatch, rng: torch.Generator) -> Tensor:
            return mean_inside(self.errors(network, batch, rng), batch.anatomy)

        self.training_ = train_on_given(
            self.network_,
            wrong,
            self.images(lesson.train),
            self.images(lesson.select),
            self.recipe.budget,
            lesson,
        )

    def score(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        """Mean squared errors inside the anatomy, and where they are."""
        errors = self.errors(self.network_, images)
        return mean_inside(errors, images.anatomy), error_map(errors)

    traced = score

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights, and how training went."""
        return weights_of(self.network_), {"shape": self.shape_, "training": self.training_}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.shape_, self.training_ = tuple(facts["shape"]), facts["training"]
        channels, *spatial = self.shape_
        self.network_ = with_weights(
            lambda: self.build(channels, tuple(spatial)), tensors, self.device
        )

    def _new_network(self, seed: int) -> nn.Module:
        channels, *spatial = self.shape_
        return seeded(lambda: self.build(channels, tuple(spatial)), seed).to(self.device)
