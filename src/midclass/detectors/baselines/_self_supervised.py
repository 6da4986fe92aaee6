"""Self-supervised: what detectors share that train one network on a task made of their images."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from midclass.detectors.base import Detector
from midclass.detectors.image_scores import GivenClass
from midclass.knowledge.acquisition import acquired
from midclass.knowledge.nuisance import Nuisance
from midclass.recipe.budget import Budget
from midclass.training.lesson import FORWARD_BATCH, LearningImages, Lesson
from midclass.training.loop import train
from midclass.training.loss import precision
from midclass.training.networks import Network, Output, seeded, under, weights_of, with_weights
from midclass.types import ImageBatch

REFERENCE = 600
"""Given-class images at most that say where the given class lies."""


class SelfSupervised(Detector):
    """One network, trained on a task that is made of given-class images and needs no label.

    It has the size of the method's own network and looks at the whole image, as published methods
    do; what a subclass does to an image, it does where the anatomy is, except for turning it.

    Geometry, anatomy, intensity, nuisance (as augmentation) and budget are the recipe's, its middle
    classes are ignored. As many images go through the network in a step as in the method's
    training, two times the batch. The checkpoint is chosen by the task's loss on given-class images
    held out of training.

    A subclass fills ``outputs``, ``task`` and ``score``; ``copies`` is how many images its task
    makes of each, ``describe`` says what else scoring needs to know of the given class.
    """

    makes_heat_maps = False
    copies: int = 1

    @property
    def nuisance(self) -> Nuisance | None:
        """The recipe's."""
        return self.recipe.nuisance_operator()

    @abstractmethod
    def outputs(self) -> int:
        """Logits of the network's class head."""

    @abstractmethod
    def task(self, network: nn.Module, images: ImageBatch, rng: torch.Generator) -> Tensor:
        """Loss of the task made of n given-class images: a number."""

    def describe(self, given: ImageBatch) -> dict[str, Tensor]:
        """What scoring needs to know of the given class, from images seen through the nuisance."""
        return {}

    def budget(self) -> Budget:
        """What the training may spend: the recipe's."""
        return self.recipe.budget

    def build(self, channels: int, dims: int) -> nn.Module:
        """The network before training: the one of the recipe's budget."""
        return Network.of_budget(self.recipe.budget, self.outputs(), channels, dims)

    def acquired(self, images: ImageBatch, rng: torch.Generator) -> ImageBatch:
        """The images seen through the recipe's nuisance."""
        return acquired(images, self.nuisance, rng)

    def learn(self, lesson: Lesson) -> None:
        """Train on the task, keep the best checkpoint and describe the given class."""
        budget, given = self.budget(), self.images(lesson.train)
        self.shape_ = (lesson.train.shape[1], len(lesson.train.shape) - 2)
        self.network_ = seeded(lambda: self.build(*self.shape_), lesson.seed).to(self.device)
        count = max(1, 2 * budget.batch // self.copies)

        def loss(network: nn.Module, rng: torch.Generator) -> Tensor:
            return self.task(network, given.draw(count, rng), rng)

        held_out = self.images(lesson.select).few(REFERENCE)
        history, states = train(
            self.network_,
            loss,
            lambda network: self.validate(network, held_out, lesson.seed),
            budget,
            lesson,
        )
        self.network_.load_state_dict(states[history.best()])
        self.network_.eval()
        self.training_ = {**asdict(history), "best": history.best()}
        rng = torch.Generator().manual_seed(lesson.seed)
        with torch.inference_mode():
            reference = given.draw(min(REFERENCE, len(given.rows)), rng)
            self.given_ = self.describe(self.acquired(reference, rng))

    def validate(self, network: nn.Module, held_out: LearningImages, seed: int) -> float:
        """Minus the task's loss on held-out given-class images; no label enters."""
        rng = torch.Generator().manual_seed(seed)
        # Once for each image, so that a small last batch does not count as much as a full one.
        losses = held_out.collect(lambda batch: self.task(network, batch, rng).expand(len(batch)))
        return -float(losses.mean())

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Network weights, and what scoring knows of the given class."""
        tensors = weights_of(self.network_)
        tensors |= {f"given.{name}": value.cpu() for name, value in self.given_.items()}
        return tensors, {"shape": self.shape_, "training": self.training_}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.shape_, self.training_ = tuple(facts["shape"]), facts["training"]
        self.network_ = with_weights(lambda: self.build(*self.shape_), tensors, self.device)
        self.given_ = {k: v.to(self.device) for k, v in under("given.", tensors).items()}


class GaussianDensity(SelfSupervised):
    """Scores by the Mahalanobis distance of the network's features from the given class's."""

    def describe(self, given: ImageBatch) -> dict[str, Tensor]:
        """Mean and inverse covariance of the features."""
        features = torch.cat(
            [self.network_(part.pixels).features for part in given.split(FORWARD_BATCH)]
        )
        place = GivenClass.of(features.cpu())
        return {"mean": place.mean.to(self.device), "inverse": place.inverse.to(self.device)}

    def score(self, images: ImageBatch) -> tuple[Tensor, None]:
        """Distance of the features from the given class."""
        features = self.network_(images.pixels).features
        return GivenClass(self.given_["mean"], self.given_["inverse"]).distance(features), None


def forward(network: nn.Module, pixels: Tensor) -> Output:
    """The network's output in training, in the precision of training."""
    with precision(pixels.device):
        output: Output = network(pixels)
    return output
