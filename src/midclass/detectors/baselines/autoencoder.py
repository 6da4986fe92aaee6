"""AutoEncoder: what a network cannot reproduce that has learned the given class by heart."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from midclass.detectors.baselines._reconstruction import Reconstruction
from midclass.training.autoencoders import ConvAutoEncoder, Size
from midclass.training.networks import inside
from midclass.types import ImageBatch


class AutoEncoder(Reconstruction):
    """Convolutional autoencoder with a dense bottleneck; the score is the reconstruction error.

    Baur et al., "Autoencoders for unsupervised anomaly segmentation in brain MR images: a
    comparative study", Medical Image Analysis 69:101952, 2021. Ours: the architecture (32 numbers
    in the bottleneck, weights about as many as the method's network has); pixels scaled as
    the budget says, 0 outside the anatomy, and errors counted inside alone; the nuisance.
    """

    def build(self, channels: int, spatial: tuple[int, ...]) -> ConvAutoEncoder:
        """The autoencoder before training."""
        budget = self.recipe.budget
        return ConvAutoEncoder(Size(channels, spatial, budget.width, budget.blocks))

    def errors(
        self, network: nn.Module, batch: ImageBatch, rng: torch.Generator | None = None
    ) -> Tensor:
        """Squared difference of the reproduction from the image."""
        pixels = inside(batch, self.recipe.budget.standardise)
        squared: Tensor = (network(pixels).float() - pixels).square()
        return squared
