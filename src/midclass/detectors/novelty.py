"""Novelty: the witness that knows nothing of the disease, in features of a pretrained network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from midclass.detectors.baselines._features import (
    Scale,
    network_features,
    network_maps,
    pooled_features,
)
from midclass.detectors.baselines._patches import PatchMemory
from midclass.detectors.baselines.nearest_neighbour import nearest, nearest_traced
from midclass.detectors.image_scores import Combination
from midclass.evaluation.ranking import FloatArray
from midclass.training.lesson import LearningImages
from midclass.training.networks import under, weights_of, with_weights
from midclass.training.pretrained import PretrainedNetwork
from midclass.training.published import network_of
from midclass.types import ImageBatch

NAMES = ("neighbours", "patches")
LEARNED = 1000
"""Images whose features are remembered; more cost time and hardly change what is usual."""


@dataclass(frozen=True)
class Novelty:
    """How unusual an image is to a network that has only seen photographs.

    Two numbers: distance to the nearest images of the given class in pooled features (see
    ``NearestNeighbour``), and of the most unusual patches to the nearest patches (see
    ``PatchCore``). Knowledge is blind to what was not described; this is not.

    Attributes:
        network: pretrained, not trained here.
        scale: of the pooled features.
        memory: pooled features of given-class images ``(m, f)``.
        patches: the memory of patches.
        units: both numbers in units of held-out images of the given class.
    """

    network: PretrainedNetwork
    scale: Scale
    memory: Tensor
    patches: PatchMemory
    units: Combination

    @classmethod
    def of(
        cls,
        network: PretrainedNetwork,
        given: LearningImages,
        held_out: Sequence[ImageBatch],
        rng: torch.Generator,
    ) -> Novelty:
        """Remember the given class, and measure images that were held out.

        Args:
            network: for features.
            given: images to remember, as they are and once through the nuisance.
            held_out: images of other patients, as other acquisitions show them.
            rng: draws patches and nuisance.
        """
        few = given.few(LEARNED)
        features = few.collect_twice(lambda batch: network_features(network, batch), rng)
        scale = Scale.of(features)
        patches = PatchMemory.of(network, few.batches_twice(rng), rng)
        memory = scale(features).float()
        found = cls(network, scale, memory, patches, Combination(NAMES, (0, 0), (1, 1), NAMES))
        raw, cells = zip(*(found.raw(batch) for batch in held_out), strict=True)
        units = Combination.of(np.concatenate(raw), NAMES)
        return replace(found, patches=patches.in_units_of(cells), units=units)

    @torch.inference_mode()
    def raw(
        self, images: ImageBatch, stages: Sequence[Tensor] | None = None
    ) -> tuple[FloatArray, Tensor]:
        """``(n, 2)``, columns as ``NAMES``; distances of cells ``(n, *cells)``.

        Args:
            images: the batch.
            stages: ``network_maps`` of them, where they were made before.
        """
        stages = network_maps(self.network, images) if stages is None else stages
        features = self.features(images, stages)
        scores, cells = self.patches.distances(stages, images)
        return torch.stack([nearest(features, self.memory), scores], 1).double().numpy(), cells

    def __call__(
        self, images: ImageBatch, stages: Sequence[Tensor] | None = None
    ) -> tuple[FloatArray, Tensor]:
        """Scores ``(n,)`` in units of the given class, and heat maps ``(n, 1, *spatial)``."""
        raw, cells = self.raw(images, stages)
        return self.units(raw), self.patches.heat(cells, images.spatial)

    @torch.no_grad()
    def features(self, images: ImageBatch, stages: Sequence[Tensor] | None = None) -> Tensor:
        """Pooled features in units of their spread over the given class: ``(n, f)``."""
        stages = network_maps(self.network, images) if stages is None else stages
        pooled = pooled_features(stages, images).to(self.scale.mean.device)
        return self.scale(pooled).float()

    def traced(self, images: ImageBatch, stages: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The same as an exporter can follow it; scores are a tensor."""
        features = self.features(images, stages)
        scores, cells = self.patches.traced(stages, images)
        both = [nearest_traced(features, self.memory), scores.double()]
        return self.units.traced(torch.stack(both, 1)), self.patches.heat(cells, images.spatial)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors by name, and JSON; see ``restored``."""
        tensors = {f"weights.{name}": value for name, value in weights_of(self.network).items()}
        tensors |= {"scale.mean": self.scale.mean, "scale.spread": self.scale.spread}
        tensors |= {"memory": self.memory} | self.patches.state()
        return tensors, {"network": self.network.settings, "units": asdict(self.units)}

    @classmethod
    def restored(
        cls, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], device: torch.device
    ) -> Novelty:
        """Take back what ``state`` gave."""
        settings = facts["network"]
        units = {name: tuple(values) for name, values in facts["units"].items()}
        return cls(
            with_weights(lambda: network_of(settings), under("weights.", tensors), device),
            Scale(tensors["scale.mean"], tensors["scale.spread"]),
            tensors["memory"],
            PatchMemory.restored(tensors),
            Combination(**units),
        )
