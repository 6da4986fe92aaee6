"""GANomaly: how far an image's code moves when its reproduction is encoded again."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.detectors.base import Detector
from midclass.detectors.baselines._features import mean_inside
from midclass.training.autoencoders import ConvAutoEncoder, Encoder, Size
from midclass.training.lesson import Lesson
from midclass.training.loop import train_on_given
from midclass.training.networks import inside, refuse_other_size, seeded, weights_of, with_weights
from midclass.types import ImageBatch

ADVERSARIAL, CODE = 1 / 50, 1 / 50
"""Weights of two losses beside the reconstruction's 1; theirs are 1, 1 and 50."""


class GANomaly(Detector):
    """Encoder, decoder, second encoder and a discriminator; the score is the codes' distance.

    Akcay, Atapour-Abarghouei and Breckon, "GANomaly: semi-supervised anomaly detection via
    adversarial training", ACCV 2018. Theirs: the three losses of the generator, matching of the
    discriminator's features, mean absolute distance of the codes as score. Ours: generator and
    discriminator step at the same time, in one optimiser, each with the gradient of its own loss
    alone; the architecture (32 numbers a code; generator about as large as the method's network);
    pixels scaled as the budget says, 0 outside the anatomy; the nuisance. The checkpoint is the one
    with the least reconstruction error on ``select``.
    """

    makes_heat_maps = False

    def learn(self, lesson: Lesson) -> None:
        """Train generator and discriminator against each other; keep the generator."""
        budget, shape = self.recipe.budget, lesson.train.shape
        size = Size(shape[1], shape[2:], budget.width, budget.blocks)
        both = seeded(lambda: _Adversaries(size), lesson.seed).to(self.device)
        self.training_ = train_on_given(
            both,
            self._losses,
            self.images(lesson.train),
            self.images(lesson.select),
            budget,
            lesson,
            judged_by=self._reconstruction,
        )
        self.network_ = both.generator

    def score(self, images: ImageBatch) -> tuple[Tensor, None]:
        """Mean absolute distances of the two codes."""
        _, code, again = self.network_(self._pixels(images), images.anatomy)
        return (code - again).abs().mean(1), None

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights of the generator, and how training went."""
        facts = {"network": self.network_.settings, "training": self.training_}
        return weights_of(self.network_), facts

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        refuse_other_size(facts["network"], self.recipe.budget)
        size = Size.of(facts["network"])
        self.network_ = with_weights(lambda: Generator(size), tensors, self.device)
        self.training_ = facts["training"]

    def _pixels(self, batch: ImageBatch) -> Tensor:
        return inside(batch, self.recipe.budget.standardise)

    def _losses(self, network: nn.Module, batch: ImageBatch, rng: torch.Generator) -> Tensor:
        """Loss of the generator plus loss of the discriminator on each image."""
        assert isinstance(network, _Adversaries)
        pixels = self._pixels(batch)
        image, code, again = network.generator(pixels, batch.anatomy)
        network.discriminator.requires_grad_(False)  # judges, and does not learn from this loss
        matched = network.discriminator(image) - network.discriminator(pixels)
        network.discriminator.requires_grad_(True)
        real = network.verdict(network.discriminator(pixels)).squeeze(1)
        false = network.verdict(network.discriminator(image.detach())).squeeze(1)
        loss: Tensor = (
            mean_inside((image - pixels).float().abs(), batch.anatomy)
            + ADVERSARIAL * matched.float().square().mean(1)
            + CODE * (code - again).float().square().mean(1)
            + functional.softplus(-real.float())
            + functional.softplus(false.float())
        )
        return loss

    def _reconstruction(
        self, network: nn.Module, batch: ImageBatch, rng: torch.Generator
    ) -> Tensor:
        assert isinstance(network, _Adversaries)
        pixels = self._pixels(batch)
        image, _, _ = network.generator(pixels, batch.anatomy)
        return mean_inside((image - pixels).abs(), batch.anatomy)


class Generator(nn.Module):
    """Encoder, decoder and second encoder."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.settings = size._asdict()
        self.reproduce = ConvAutoEncoder(size)
        self.again = Encoder(size)

    def forward(self, x: Tensor, anatomy: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reproduction ``(n, c, *spatial)``, 0 outside the anatomy; the two codes ``(n, f)``."""
        code = self.reproduce.encoder(x)
        image = self.reproduce.decoder(code) * anatomy
        return image, code, self.again(image)


class _Adversaries(nn.Module):
    def __init__(self, size: Size) -> None:
        super().__init__()
        self.generator = Generator(size)
        self.discriminator = Encoder(size)
        self.verdict = nn.Linear(self.discriminator.dense.out_features, 1)
