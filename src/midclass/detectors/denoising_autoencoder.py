"""DenoisingAutoEncoder: what a network takes away that has learned to remove coarse noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.autoencoders import UNet
from midclass.detectors.base import Detector, FloatArray, Progress
from midclass.features import error_map, inside, mean_inside
from midclass.images.prepare import Prepared
from midclass.networks import seeded, weights_of, with_weights
from midclass.training import train_on_given
from midclass.types import ImageBatch

CELL = 8
"""Pixels between independent values of the noise: theirs is 16 x 16 values for 128 x 128."""
SIGMA = 1.0
"""Of the noise, in standard deviations inside the anatomy."""


class DenoisingAutoEncoder(Detector):
    """U-Net that removes coarse noise; the score is what it removes from an image as it is.

    Kascenas, Pugeault and O'Neil, "Denoising autoencoders for unsupervised anomaly detection in
    brain MRI", MIDL 2022. Theirs: noise of low resolution, randomly placed, skips, squared error
    inside the anatomy. Ours: the noise's strength in units of the tissue (theirs is .2 of the
    range of intensities), batch in place of group norm, weights about as many as the method's
    network has, and the nuisance; no median filter, since images are scored and not voxels. The
    checkpoint is the one with the least error on ``select`` with noise.
    """

    def learn(
        self,
        train: Prepared,
        select: Prepared,
        *,
        seed: int,
        workdir: Path | None,
        progress: Progress | None,
    ) -> None:
        """Learn to remove noise from the training images."""
        budget = self.recipe.budget
        channels, dims = train.pixels.shape[1], train.pixels.ndim - 2
        self.network_ = seeded(lambda: UNet(channels, dims, budget.width, budget.blocks), seed).to(
            self.device
        )

        def wrong(network: nn.Module, batch: ImageBatch, rng: torch.Generator) -> Tensor:
            return mean_inside(self._errors(network, batch, rng), batch.anatomy)

        self.training_ = train_on_given(
            self.network_,
            wrong,
            self.given_images(train),
            self.given_images(select),
            budget,
            seed=seed,
            workdir=workdir,
            progress=progress,
        )

    @torch.inference_mode()
    def score_images(
        self, prepared: Prepared, *, heat_maps: bool = False
    ) -> tuple[FloatArray, FloatArray | None]:
        """Mean squared change inside the anatomy and, when asked, the squared change."""
        scores = np.full(len(prepared), -np.inf)
        maps = np.zeros((len(prepared), *prepared.pixels.shape[2:])) if heat_maps else None
        for rows, batch in self.batches(prepared):
            errors = self._errors(self.network_, batch)
            scores[rows] = mean_inside(errors, batch.anatomy).double().cpu().numpy()
            if maps is not None:
                maps[rows] = error_map(errors, batch.anatomy).cpu().numpy()
        return scores, maps

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights, and how training went."""
        facts = {"network": self.network_.settings, "training": self.training_}
        return weights_of(self.network_), facts

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        network = UNet(**facts["network"]).to(self.device)
        self.network_, self.training_ = with_weights(network, tensors), facts["training"]

    def _errors(
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
