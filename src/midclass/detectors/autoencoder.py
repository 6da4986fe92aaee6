"""AutoEncoder: what a network cannot reproduce that has learned the given class by heart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from midclass.autoencoders import ConvAutoEncoder
from midclass.detectors.base import Detector, FloatArray, Progress
from midclass.features import error_map, inside, mean_inside
from midclass.images.prepare import Prepared
from midclass.networks import seeded, weights_of, with_weights
from midclass.training import train_on_given
from midclass.types import ImageBatch


class AutoEncoder(Detector):
    """Convolutional autoencoder with a dense bottleneck; the score is the reconstruction error.

    Baur et al., "Autoencoders for unsupervised anomaly segmentation in brain MR images: a
    comparative study", Medical Image Analysis 69:101952, 2021. Ours: the architecture (32 numbers
    in the bottleneck, weights about as many as the method's network has); pixels standardised
    inside the anatomy, 0 outside, and errors counted inside alone; training images are seen
    through the nuisance. The checkpoint is the one with the least error on ``select``.
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
        """Learn to reproduce the training images."""
        budget = self.recipe.budget
        channels, *spatial = train.pixels.shape[1:]
        self.network_ = seeded(
            lambda: ConvAutoEncoder(channels, tuple(spatial), budget.width, budget.blocks), seed
        ).to(self.device)

        def wrong(network: nn.Module, batch: ImageBatch, rng: torch.Generator) -> Tensor:
            return mean_inside(self._errors(network, batch), batch.anatomy)

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
        """Mean squared errors inside the anatomy and, when asked, the squared errors."""
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
        network = ConvAutoEncoder(**facts["network"]).to(self.device)
        self.network_, self.training_ = with_weights(network, tensors), facts["training"]

    def _errors(self, network: nn.Module, batch: ImageBatch) -> Tensor:
        pixels = inside(batch, self.recipe.budget.standardise)
        squared: Tensor = (network(pixels).float() - pixels).square()
        return squared
