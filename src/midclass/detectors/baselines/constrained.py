"""Constrained features: an autoencoder whose codes of the given class are held together."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.detectors.baselines._features import mean_inside
from midclass.detectors.baselines._self_supervised import SelfSupervised
from midclass.recipe.budget import Budget
from midclass.training.lesson import FORWARD_BATCH
from midclass.training.loop import with_short_average
from midclass.training.loss import precision
from midclass.training.networks import Network
from midclass.types import ImageBatch

CODE = 16
"""Channels of the code, at 1/16 of the image's resolution."""
TIGHTNESS = 0.1
"""Weight of the spread of the codes against the error of the reconstruction."""


class ConstrainedFeatures(SelfSupervised):
    """One-class features constrained by compactness and by reconstruction.

    After Gao et al., "Constrained Deep One-Class Feature Learning for Classifying Imbalanced
    Medical Images", arXiv, 2021, of which only the idea is followed: an autoencoder learns to
    describe the given class while a constraint on its bottleneck keeps the features compact.

    Ours: everything else. The encoder is the recipe's backbone; codes have unit length, because
    otherwise the constraint is met by making them small; the spread is their mean squared distance
    from the batch's mean; the score is the reconstruction error inside the anatomy plus the
    distance from the given class's mean code, each in standard deviations of the given class.
    """

    def outputs(self) -> int:
        """The class head is not used."""
        return 1

    def budget(self) -> Budget:
        """The recipe's, with an average of the weights that suits a reconstruction."""
        return with_short_average(self.recipe.budget)

    def build(self, channels: int, dims: int) -> nn.Module:
        """An autoencoder around the recipe's backbone."""
        encoder = super().build(channels, dims)
        assert isinstance(encoder, Network)
        return CodingAutoencoder(encoder, channels, dims, self.recipe.budget.width)

    def task(self, network: nn.Module, images: ImageBatch, rng: torch.Generator) -> Tensor:
        """Mean squared error of the reconstruction and spread of the codes."""
        seen = self.acquired(images, rng)
        with precision(seen.pixels.device):
            coded: Coded = network(seen.pixels)
        code = coded.code.float()
        spread = (code - code.mean(0)).square().sum(1).mean()
        return error(coded, seen.anatomy).mean() + TIGHTNESS * spread

    def describe(self, given: ImageBatch) -> dict[str, Tensor]:
        """The mean code, and mean and standard deviation of the two scores."""
        coded = [(self.network_(part.pixels), part.anatomy) for part in given.split(FORWARD_BATCH)]
        centre = torch.cat([one.code for one, _ in coded]).mean(0)
        both = torch.cat([_both(one, anatomy, centre) for one, anatomy in coded])
        return {"centre": centre, "mean": both.mean(0), "std": both.std(0).clamp_min(1e-6)}

    def score(self, images: ImageBatch) -> tuple[Tensor, None]:
        """Sum of both scores in units of the given class."""
        both = _both(self.network_(images.pixels), images.anatomy, self.given_["centre"])
        return ((both - self.given_["mean"]) / self.given_["std"]).sum(1), None


class Coded(NamedTuple):
    """Codes ``(n, f)`` of unit length; what was to be reconstructed, and the reconstruction."""

    code: Tensor
    wanted: Tensor
    made: Tensor


class CodingAutoencoder(nn.Module):
    """The backbone of a network, a narrow code and a mirror-image decoder."""

    def __init__(self, encoder: Network, channels: int, dims: int, width: int) -> None:
        super().__init__()
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        norm = nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d
        widths = [CODE, 4 * width, 2 * width, width, 8]  # half the encoder's, a quarter of the time
        self.encoder = encoder
        self.bottleneck = conv(8 * width, CODE, 1)
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Upsample(scale_factor=2), conv(before, after, 3, padding=1)]
            layers += [norm(after), nn.ReLU()]
        self.decoder = nn.Sequential(*layers, conv(widths[-1], channels, 1))

    def forward(self, pixels: Tensor) -> Coded:
        """Code and reconstruct ``(n, c, *spatial)`` images as the backbone sees them."""
        wanted = self.encoder.entrance(pixels)
        layout = wanted.contiguous(memory_format=self.encoder.layout)
        narrow = self.bottleneck(self.encoder.stages(layout)[-1])
        code = functional.normalize(narrow.flatten(1).float())
        made = self.decoder(code.view(narrow.shape) * code.shape[1] ** 0.5)
        return Coded(code, wanted, functional.interpolate(made, size=pixels.shape[2:]))


def error(coded: Coded, anatomy: Tensor) -> Tensor:
    """Mean squared error of each reconstruction inside its anatomy: ``(n,)``."""
    return mean_inside((coded.made.float() - coded.wanted).square(), anatomy)


def _both(coded: Coded, anatomy: Tensor, centre: Tensor) -> Tensor:
    """Reconstruction error and squared distance from the centre: ``(n, 2)``."""
    return torch.stack([error(coded, anatomy), (coded.code - centre).square().sum(1)], 1)
