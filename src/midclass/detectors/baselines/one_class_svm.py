"""OneClassSVM: a boundary around the given class in the space of its principal components."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from midclass.detectors.base import Detector
from midclass.detectors.baselines._features import Components, pixel_features
from midclass.training.lesson import Lesson
from midclass.types import ImageBatch

NU = 0.1
"""Largest share of the training images outside the boundary."""
SHARE = 0.95
"""Of the variance that the principal components hold."""


class OneClassSVM(Detector):
    """One-class support vector machine with a Gaussian kernel.

    Schölkopf et al., "Estimating the support of a high-dimensional distribution", Neural
    Computation 13:1443, 2001. As in Ruff et al., ICML 2018, it works on principal components of
    the pixels and ``nu`` is .1; they chose the kernel's width on test images, here it is
    scikit-learn's ``scale``. Ours: pixels are means over a grid of at most 32 x 32 cells,
    scaled as the budget says, 0 outside the anatomy; training images are learned from as they are
    and once through the nuisance. Nothing is chosen, so ``select`` is not used.
    """

    makes_heat_maps = False

    def learn(self, lesson: Lesson) -> None:
        """Find the components of the training images, and the support vectors among them."""
        from sklearn.svm import OneClassSVM as Machine

        rng = torch.Generator().manual_seed(lesson.seed)
        features = self.images(lesson.train).collect_twice(self._features, rng)
        self.components_ = Components.of(features, SHARE)
        projected = self.components_.project(features).numpy()
        machine = Machine(kernel="rbf", gamma="scale", nu=NU).fit(projected)
        self.vectors_ = torch.from_numpy(machine.support_vectors_)  # (s, k)
        self.weights_ = torch.from_numpy(machine.dual_coef_[0])  # (s,)
        self.gamma_, self.offset_ = float(machine._gamma), float(machine.intercept_[0])

    def score(self, images: ImageBatch) -> tuple[Tensor, None]:
        """How far outside the boundary, in units of the kernel."""
        projected = self.components_.project(self._features(images).cpu())
        apart = (projected.unsqueeze(1) - self.vectors_).square().sum(2)  # (n, s)
        inside: Tensor = (-self.gamma_ * apart).exp() @ self.weights_ + self.offset_
        return -inside, None

    traced = score

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Components, support vectors and their weights; width of the kernel and offset."""
        tensors = {
            "mean": self.components_.mean,
            "axes": self.components_.axes,
            "vectors": self.vectors_,
            "weights": self.weights_,
        }
        return tensors, {"gamma": self.gamma_, "offset": self.offset_}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.components_ = Components(tensors["mean"], tensors["axes"])
        self.vectors_, self.weights_ = tensors["vectors"], tensors["weights"]
        self.gamma_, self.offset_ = facts["gamma"], facts["offset"]

    def _features(self, batch: ImageBatch) -> Tensor:
        return pixel_features(batch, self.recipe.budget.standardise)
