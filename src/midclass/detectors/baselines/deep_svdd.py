"""DeepSVDD: a network that maps the given class close to one point."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from midclass.detectors.base import Detector
from midclass.detectors.baselines._features import mean_inside
from midclass.errors import InputError
from midclass.training.autoencoders import ConvAutoEncoder, Encoder, Size
from midclass.training.lesson import Lesson
from midclass.training.loop import train_on_given
from midclass.training.networks import inside, refuse_other_size, seeded, weights_of, with_weights
from midclass.types import ImageBatch

LEAST = 0.1
"""A coordinate of the centre nearer to 0 is moved here, or zero weights would reach it."""
COLLAPSED = 1e-4
"""Least spread of the images' features, relative to their size."""


class DeepSVDD(Detector):
    """One-class Deep SVDD; the score is the squared distance from the centre.

    Ruff et al., "Deep one-class classification", ICML 2018: weights from an autoencoder, no bias
    terms and no affine batch norm, a centre that is fixed at the mean of the first features,
    weight decay. Ours: half of the budget's steps go to the autoencoder; the architecture;
    pixels scaled as the budget says, 0 outside the anatomy; training images are seen through the
    nuisance; AdamW. The checkpoint is the one with the least distance on ``select``.
    """

    makes_heat_maps = False

    def learn(self, lesson: Lesson) -> None:
        """Learn to reproduce the training images, then to map them close to the centre."""
        given = self.images(lesson.train)
        half = max(1, self.recipe.budget.steps // 2)
        teach = partial(
            train_on_given,
            given=given,
            held_out=self.images(lesson.select),
            budget=self.recipe.budget.model_copy(update={"steps": half}),
        )
        whole = self._new_network(lesson.train.shape, lesson.seed)
        before = teach(whole, self._error, lesson=lesson.stage("autoencoder", after=half))
        self.network_: Encoder = whole.encoder
        features = given.collect(lambda batch: self._features(self.network_, batch))
        self.centre_ = away_from_zero(features.mean(0)).to(self.device)
        # Near the centre, bfloat16 would round differences away.
        second = lesson.stage("one_class", before=half)
        after = teach(self.network_, self._distance, lesson=second, exact=True)
        refuse_collapse(given.collect(lambda batch: self._features(self.network_, batch)))
        self.training_ = {"autoencoder": before, "one_class": after}

    def score(self, images: ImageBatch) -> tuple[Tensor, None]:
        """Squared distances from the centre."""
        return self._distance(self.network_, images), None

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights of the encoder, the centre, and how training went."""
        tensors = weights_of(self.network_) | {"centre": self.centre_.cpu()}
        return tensors, {"network": self.network_.settings, "training": self.training_}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        refuse_other_size(facts["network"], self.recipe.budget)
        size = Size.of(facts["network"])
        self.network_ = with_weights(lambda: Encoder(size), tensors, self.device)
        self.centre_, self.training_ = tensors["centre"].to(self.device), facts["training"]

    def _new_network(self, shape: tuple[int, ...], seed: int) -> ConvAutoEncoder:
        width, blocks = self.recipe.budget.width, self.recipe.budget.blocks
        size = Size(shape[1], shape[2:], width, blocks, free=False)
        return seeded(lambda: ConvAutoEncoder(size), seed).to(self.device)

    def _features(self, network: nn.Module, batch: ImageBatch) -> Tensor:
        features: Tensor = network(inside(batch, self.recipe.budget.standardise)).float()
        return features

    def _error(
        self, network: nn.Module, batch: ImageBatch, rng: torch.Generator | None = None
    ) -> Tensor:
        """Squared error of the autoencoder inside the anatomy: ``(n,)``."""
        pixels = inside(batch, self.recipe.budget.standardise)
        return mean_inside((network(pixels).float() - pixels).square(), batch.anatomy)

    def _distance(
        self, network: nn.Module, batch: ImageBatch, rng: torch.Generator | None = None
    ) -> Tensor:
        return (self._features(network, batch) - self.centre_).square().sum(1)


def away_from_zero(centre: Tensor) -> Tensor:
    """The centre with every coordinate at least ``LEAST`` from 0.

    >>> [round(float(x), 1) for x in away_from_zero(torch.tensor([0.02, -0.02, 0.5]))]
    [0.1, -0.1, 0.5]
    """
    moved = torch.where(centre < 0, -LEAST, LEAST)
    return torch.where(centre.abs() < LEAST, moved, centre)


def refuse_collapse(features: Tensor) -> None:
    """Say when all images ``(n, f)`` land on one point, where scores are rounding errors.

    Raises:
        InputError: they do.
    """
    spread = float(features.std(0, correction=0).norm() / features.norm(dim=1).mean())
    if not spread > COLLAPSED:
        raise InputError(
            f"DeepSVDD collapsed: the features of {len(features)} training images spread by "
            f"{spread:.1g} of their size; lower budget.learning_rate or budget.steps"
        )
