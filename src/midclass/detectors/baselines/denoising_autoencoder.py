"""DenoisingAutoEncoder: what a network takes away that has learned to remove coarse noise."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.detectors.baselines._reconstruction import Reconstruction
from midclass.training.autoencoders import UNet
from midclass.training.networks import inside
from midclass.types import ImageBatch

CELL = 8
"""Pixels between independent values of the noise: theirs is 16 x 16 values for 128 x 128."""
SIGMA = 1.0
"""Of the noise: a standard deviation of the image, or a quarter of the fixed scale's range."""


class DenoisingAutoEncoder(Reconstruction):
    """U-Net that removes coarse noise; the score is what it removes from an image as it is.

    Kascenas, Pugeault and O'Neil, "Denoising autoencoders for unsupervised anomaly detection in
    brain MRI", MIDL 2022. Theirs: noise of low resolution, randomly placed, skips, squared error
    inside the anatomy as the loss. Ours: the noise's strength (theirs is .2 of the range of
    intensities), the mean of the same squares as the score (theirs is of absolute errors, with the
    anatomy's rim left out and a median filter, because they score voxels), batch in place of group
    norm, weights about as many as the method's network has, and the nuisance. The checkpoint is the
    one with the least error on ``select`` with noise.
    """

    def build(self, channels: int, spatial: tuple[int, ...]) -> UNet:
        """The U-Net before training."""
        return UNet(channels, len(spatial), self.recipe.budget.width, self.recipe.budget.blocks)

    def errors(
        self, network: nn.Module, batch: ImageBatch, rng: torch.Generator | None = None
    ) -> Tensor:
        """Squared difference of the output from the image; the input has noise if rng is given."""
        clean = inside(batch, self.recipe.budget.standardise)
        seen = clean if rng is None else clean + SIGMA * coarse_noise(clean, rng) * batch.anatomy
        squared: Tensor = (network(seen).float() - clean).square()
        return squared


def coarse_noise(like: Tensor, rng: torch.Generator) -> Tensor:
    """Smooth normal noise of the shape ``(n, c, *spatial)``, with its cells anywhere."""
    n, channels, *spatial = like.shape
    cells = [side // CELL + 3 for side in spatial]
    values = torch.randn(n, channels, *cells, generator=rng).to(like.device)
    mode = "bilinear" if len(spatial) == 2 else "trilinear"
    noise = functional.interpolate(values, scale_factor=CELL, mode=mode, align_corners=False)
    start = torch.randint(CELL, (len(spatial),), generator=rng) + CELL // 2
    for axis, (first, side) in enumerate(zip(start.tolist(), spatial, strict=True), start=2):
        noise = noise.narrow(axis, first, side)
    return noise
