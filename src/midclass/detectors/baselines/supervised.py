"""Supervised: a network trained on the given class and a few positives, balanced in four ways."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.detectors.baselines._self_supervised import SelfSupervised, forward
from midclass.detectors.image_scores import log_odds
from midclass.training.lesson import LearningImages, Lesson
from midclass.types import ImageBatch


class Supervised(SelfSupervised):
    """The ordinary way to use a few target-class cases; score: log-odds of the target class.

    A subclass says how the two classes are balanced. Too few positives are left to hold any out:
    the last checkpoint is taken, not the best.

    Ours: network, augmentation and budget are the recipe's, as in every detector here.
    """

    takes_positives = True
    needs_positives = True

    def learn(self, lesson: Lesson) -> None:
        """Train on both classes."""
        positives = lesson.positives
        assert positives is not None  # ``fit`` saw to it
        known, given = self.images(positives), len(self.assessable(lesson.train))
        self._positives = positives.batch(known.rows).to(self.device)
        self._natural = len(known.rows) / (len(known.rows) + max(1, given))
        super().learn(lesson)
        del self._positives  # a fitted detector keeps no image

    def outputs(self) -> int:
        """Given class, target class."""
        return 2

    def validate(self, network: nn.Module, held_out: LearningImages, seed: int) -> float:
        """The same for all: of equal checkpoints the last is taken."""
        return 0.0

    def score(self, images: ImageBatch) -> tuple[Tensor, None]:
        """Log-odds of the target class."""
        return log_odds(self.network_(images.pixels).logits), None

    def task(self, network: nn.Module, images: ImageBatch, rng: torch.Generator) -> Tensor:
        """Loss of a batch in which positives take the place of some given-class images."""
        pixels, target = self.drawn(images, rng)
        return self.loss(forward(network, pixels).logits.float(), target)

    def drawn(self, images: ImageBatch, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Pixels and target ``(n,)`` in [0, 1]; positives as often as there are."""
        return self.sampled(images, self._natural, rng)

    @abstractmethod
    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Of ``(n, 2)`` logits: a number."""

    def sampled(
        self, images: ImageBatch, share: float, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """About ``share`` of the images replaced by positives, seen through the nuisance."""
        positive = torch.rand(len(images), generator=rng) < share
        which = torch.randint(len(self._positives), (len(images),), generator=rng)
        both = ImageBatch.joined([images, self._positives])
        row = torch.where(positive, len(images) + which, torch.arange(len(images)))
        chosen = both[row.to(images.pixels.device)]
        return self.acquired(chosen, rng).pixels, positive.to(images.pixels.device).float()


class Weighted(Supervised):
    """Cross-entropy in which both classes weigh the same (weights inverse to their frequency)."""

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Weighted so that the expected weight is 1."""
        weight = torch.where(target > 0.5, 0.5 / self._natural, 0.5 / (1 - self._natural))
        return (cross_entropy(logits, target) * weight).mean()


class FocalLoss(Supervised):
    """Focal loss (Lin et al., ICCV 2017) with their gamma 2 and alpha 0.25."""

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """What is classified well already counts little."""
        entropy = cross_entropy(logits, target)
        alpha = torch.where(target > 0.5, 0.25, 0.75)
        return (alpha * (1 - (-entropy).exp()).square() * entropy).mean()


class Oversampling(Supervised):
    """Cross-entropy on batches of which positives, drawn again and again, are half."""

    def drawn(self, images: ImageBatch, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Both classes alike."""
        return self.sampled(images, 0.5, rng)

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Plain."""
        return cross_entropy(logits, target).mean()


class BalancedMixup(Oversampling):
    """Balanced-MixUp (Galdran et al., MICCAI 2021).

    A batch sampled by instance is mixed with one sampled by class, whose share is drawn from
    Beta(0.2, 1) for each batch; the labels are mixed alike.
    """

    alpha = 0.2

    def drawn(self, images: ImageBatch, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """Mixed pixels and mixed labels."""
        order = torch.randperm(len(images), generator=rng).to(images.pixels.device)
        pixels, target = self.sampled(images, self._natural, rng)
        balanced, balanced_target = self.sampled(images[order], 0.5, rng)
        share = float(torch.rand((), generator=rng)) ** (1 / self.alpha)  # inverse of Beta(a, 1)
        return pixels.lerp(balanced, share), target.lerp(balanced_target, share)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Of each image, its target being a share in [0, 1]: ``(n,)``."""
    classes = torch.stack([1 - target, target], 1)
    return functional.cross_entropy(logits, classes, reduction="none")
