"""Mahalanobis: how far from the given class's mean in feature space, by its covariance."""

from __future__ import annotations

from torch import Tensor

from midclass.detectors.baselines._feature_space import FeatureSpace
from midclass.detectors.image_scores import GivenClass


class Mahalanobis(FeatureSpace):
    """Mahalanobis distance to one Gaussian of the given class.

    Rippel, Mertens and Merhof, "Modeling the distribution of normal data in pre-trained deep
    features for anomaly detection", ICPR 2020, with features of a network trained on ImageNet;
    the covariance is shrunk (Ledoit and Wolf, 2004), as theirs. Ours: the features (see
    ``FeatureSpace``).
    """

    def describe(self, features: Tensor) -> dict[str, Tensor]:
        """Mean and inverse covariance."""
        given = GivenClass.of(features)
        return {"mean": given.mean, "inverse": given.inverse}

    def distance(self, features: Tensor) -> Tensor:
        """Mahalanobis distance."""
        return GivenClass(self.given_["mean"], self.given_["inverse"]).distance(features)
