"""UncertaintyAutoEncoder: an autoencoder that says itself how well it can reproduce each pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from midclass.detectors.baselines._reconstruction import Reconstruction
from midclass.training.autoencoders import Decoder, Encoder, Size
from midclass.training.networks import inside
from midclass.types import ImageBatch

NARROW, WIDE = -7.0, 7.0
"""Bounds of the logarithm of the variance: with fewer, one flat image would be all of the loss."""


class UncertaintyAutoEncoder(Reconstruction):
    """Autoencoder with predicted uncertainty (AE-U); the score is the normalised error.

    Mao, Xue, Wang, Zhang, Zheng and Liu, "Abnormality detection in chest X-ray images using
    uncertainty prediction autoencoders", MICCAI 2020. Theirs: mean and variance of each pixel from
    one bottleneck without skips, with which disease would be copied; the loss
    ``(x - mean)^2 / variance + log(variance)``; the score without the logarithm. So an edge that
    nobody can reproduce to the pixel counts little, and a shadow in a clear lung much.

    Ours: the architecture (that of ``AutoEncoder`` here, with one more output a channel; theirs has
    16, 32, 64 and 64 channels and 16 numbers in the bottleneck); pixels scaled as the budget says,
    0 outside the anatomy, and errors counted inside alone; bounds of the variance; nuisance and
    budget (theirs: Adam, 5e-4, 250 epochs). Heat of .5 is an error as large as was expected.
    """

    def build(self, channels: int, spatial: tuple[int, ...]) -> nn.Module:
        """The autoencoder before training."""
        budget = self.recipe.budget
        return TwoHeaded(Size(channels, spatial, budget.width, budget.blocks))

    def errors(
        self, network: nn.Module, batch: ImageBatch, rng: torch.Generator | None = None
    ) -> Tensor:
        """Squared error over the variance; where rng is given, with what the variance costs."""
        pixels = inside(batch, self.recipe.budget.standardise)
        mean, logarithm = network(pixels)
        normalised: Tensor = (pixels - mean.float()).square() * (-logarithm.float()).exp()
        return normalised if rng is None else normalised + logarithm.float()


class TwoHeaded(nn.Module):
    """Encoder and decoder of the mean and of the logarithm of the variance.

    Args:
        size: of the images, and how large the network is.

    >>> mean, logarithm = TwoHeaded(Size(1, (32, 32), width=8))(torch.rand(2, 1, 32, 32))
    >>> tuple(mean.shape), tuple(logarithm.shape)
    ((2, 1, 32, 32), (2, 1, 32, 32))
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.encoder = Encoder(size)
        self.decoder = Decoder(size._replace(channels=2 * size.channels))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Of ``(n, c, *spatial)`` images two tensors of that shape."""
        mean, logarithm = self.decoder(self.encoder(x)).chunk(2, 1)
        return mean, logarithm.clamp(NARROW, WIDE)
