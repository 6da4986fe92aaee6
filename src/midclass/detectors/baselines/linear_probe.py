"""LinearProbe: logistic regression on features that were not trained here, from few positives."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from midclass.detectors.baselines._feature_space import FeatureSpace
from midclass.detectors.baselines._features import network_features
from midclass.training.lesson import Lesson

PENALTY = 0.1
"""Inverse strength of the L2 penalty; from .001 to 1 the AUROC hardly depends on it."""


@dataclass(frozen=True)
class Separation:
    """Log-odds of the target class, linear in features.

    Logistic regression with an L2 penalty, both classes of the same weight.

    >>> given, known = torch.zeros(8, 2).double(), torch.ones(2, 2).double()
    >>> separation = Separation.of(given, known)
    >>> separation(torch.eye(2).double()).shape
    torch.Size([2])
    >>> bool(separation(known)[0] > separation(given)[0])
    True
    """

    direction: Tensor  # float64 (f,)
    offset: float

    @classmethod
    def of(cls, given: Tensor, known: Tensor) -> Separation:
        """Learn from features ``(n, f)`` of the given class and ``(m, f)`` of the target class."""
        from sklearn.linear_model import LogisticRegression

        label = [0] * len(given) + [1] * len(known)
        features = torch.cat([given, known]).double().numpy()
        regression = LogisticRegression(C=PENALTY, class_weight="balanced", max_iter=1000)
        regression.fit(features, label)
        return cls(torch.from_numpy(regression.coef_[0].copy()), float(regression.intercept_[0]))

    def __call__(self, features: Tensor) -> Tensor:
        """Log-odds ``(n,)`` of ``(n, f)`` features."""
        # Without a matrix product, which would round otherwise for an image alone.
        return (features.double() * self.direction).sum(1) + self.offset


class LinearProbe(FeatureSpace):
    """Logistic regression on pooled features: what a few positives give without any training.

    The usual use of a pretrained network where labels are few (Kornblith, Shlens and Le, "Do better
    ImageNet models transfer better?", CVPR 2019). Ours: the features (see ``FeatureSpace``) and
    that both classes weigh the same.
    """

    takes_positives = True
    needs_positives = True

    def describe(self, features: Tensor) -> dict[str, Tensor]:
        """The features themselves, to be told from those of the positives."""
        return {"features": features}

    def learn(self, lesson: Lesson) -> None:
        """Features of both classes, as they are and once through the nuisance; then the line."""
        assert lesson.positives is not None  # ``fit`` saw to it
        super().learn(lesson)
        known = self.images(lesson.positives).collect_twice(
            lambda batch: network_features(self.network_, batch),
            torch.Generator().manual_seed(lesson.seed),
        )
        separation = Separation.of(self.given_["features"], self.scale_(known))
        offset = torch.tensor([separation.offset], dtype=torch.float64)
        self.given_ = {"direction": separation.direction, "offset": offset}

    def distance(self, features: Tensor) -> Tensor:
        """Log-odds of the target class."""
        return Separation(self.given_["direction"], float(self.given_["offset"]))(features)
