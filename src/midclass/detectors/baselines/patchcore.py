"""PatchCore: how far an image's most unusual patches are from the given class's."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from midclass.detectors.base import Detector
from midclass.detectors.baselines._features import (
    feature_network,
    network_maps,
    restored_network,
)
from midclass.detectors.baselines._patches import PatchMemory
from midclass.training.lesson import Lesson
from midclass.training.networks import weights_of
from midclass.types import ImageBatch


class PatchCore(Detector):
    """A memory of patches of the given class, in the maps of a network that is not trained.

    Roth et al., "Towards total recall in industrial anomaly detection", CVPR 2022, with features of
    a network trained on ImageNet; ours is what ``PatchMemory`` says. Training images are learned
    from as they are and once through the nuisance. Nothing is chosen; ``select`` says how unusual
    patches of the given class are, which sets the scale of the heat maps.
    """

    def learn(self, lesson: Lesson) -> None:
        """Remember patches of the training images."""
        network = feature_network(self.recipe, lesson.train.shape, lesson.seed)
        self.network_ = network.to(self.device)
        rng = torch.Generator().manual_seed(lesson.seed)
        learned = self.images(lesson.train).batches_twice(rng)
        memory = PatchMemory.of(self.network_, learned, rng)
        held_out = self.images(lesson.select).batches_twice(rng)
        self.memory_ = memory.in_units_of([self._distances(memory, one)[1] for one in held_out])

    def score(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        """Mean distance of the most unusual patches, and every patch's."""
        scores, maps = self._distances(self.memory_, images)
        return scores, self.memory_.heat(maps, images.spatial)

    def traced(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        """``score`` as an exporter can follow it; see ``graph.Traced``."""
        scores, maps = self.memory_.traced(network_maps(self.network_, images), images)
        return scores, self.memory_.heat(maps, images.spatial)

    @torch.inference_mode()
    def _distances(self, memory: PatchMemory, images: ImageBatch) -> tuple[Tensor, Tensor]:
        return memory.distances(network_maps(self.network_, images), images)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights and the memory."""
        tensors = weights_of(self.network_) | self.memory_.state()
        return tensors, {"network": self.network_.settings}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.network_ = restored_network(self.recipe, facts["network"], tensors, self.device)
        self.memory_ = PatchMemory.restored(tensors)
