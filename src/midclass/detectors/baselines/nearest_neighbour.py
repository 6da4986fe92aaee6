"""NearestNeighbour: how far the nearest images of the given class are in feature space."""

from __future__ import annotations

import torch
from torch import Tensor

from midclass.detectors.baselines._feature_space import FeatureSpace
from midclass.detectors.baselines._features import euclidean

NEIGHBOURS = 5


class NearestNeighbour(FeatureSpace):
    """Mean distance to the five nearest training images.

    Bergman, Cohen and Hoshen, "Deep nearest neighbor anomaly detection", arXiv 2002.10445, 2020,
    with k = 2 on features of a network trained on ImageNet. Ours: the features (see
    ``FeatureSpace``) and k.
    """

    def describe(self, features: Tensor) -> dict[str, Tensor]:
        """The features themselves."""
        return {"memory": features}

    def distance(self, features: Tensor) -> Tensor:
        """Distance to the nearest."""
        return nearest(features, self.given_["memory"])

    def distance_traced(self, features: Tensor) -> Tensor:
        """The same by a matrix product."""
        return nearest_traced(features, self.given_["memory"])


def nearest(features: Tensor, memory: Tensor) -> Tensor:
    """Mean distance to the nearest of the remembered, per root of the number of features.

    Args:
        features: ``(n, f)``.
        memory: ``(m, f)``.
    """
    # Without a matrix product, which would round otherwise for an image alone.
    exact = "donot_use_mm_for_euclid_dist"
    apart = torch.cdist(features, memory, compute_mode=exact)  # (n, m)
    return _mean_of_nearest(apart, features.shape[1])


def nearest_traced(features: Tensor, memory: Tensor) -> Tensor:
    """The same as an exporter can follow it: squares and a product, in double precision."""
    return _mean_of_nearest(euclidean(features.double(), memory.double()), features.shape[1])


def _mean_of_nearest(apart: Tensor, count: int) -> Tensor:
    few = apart.topk(min(NEIGHBOURS, apart.shape[1]), largest=False).values
    mean: Tensor = few.mean(1) / count**0.5
    return mean
