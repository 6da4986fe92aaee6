"""Features: images as one vector each, for detectors that train no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from midclass.errors import InputError
from midclass.recipe.budget import Budget
from midclass.recipe.recipe import Recipe
from midclass.training.networks import (
    Network,
    inside,
    refuse_other_size,
    seeded,
    with_weights,
)
from midclass.training.pretrained import PretrainedNetwork
from midclass.training.published import network_of, read_network
from midclass.training.reading import moments_inside
from midclass.types import ImageBatch

SIDE = 32
"""Largest side of the grid of pixel features."""


def mean_inside(values: Tensor, share: Tensor) -> Tensor:
    """Mean over channels and anatomy: ``(n, c, *spatial)`` to ``(n,)``.

    Args:
        values: of every pixel or cell.
        share: ``(n, 1, *spatial)``: of it that is anatomy, 0 to 1.
    """
    weight = share.to(values.dtype).expand_as(values).flatten(1)
    return (values.flatten(1) * weight).sum(1) / weight.sum(1).clamp_min(1e-6)


def error_map(errors: Tensor) -> Tensor:
    """Squared errors ``(n, c, *spatial)`` as heat in [0, 1): ``(n, 1, *spatial)``; 1 gives .5."""
    heat = errors.mean(1, keepdim=True)
    return heat / (1 + heat)


def pixel_grid(batch: ImageBatch, standardise: bool) -> tuple[Tensor, Tensor]:
    """Means over cells of a grid of at most ``SIDE`` cells a side, and the cells' anatomy.

    Returns:
        Pixels of ``inside`` ``(n, c, *cells)``, and the share of each cell that is anatomy
        ``(n, 1, *cells)``.
    """
    cells = [min(SIDE, side) for side in batch.spatial]
    pixels = functional.interpolate(inside(batch, standardise), size=cells, mode="area")
    share = functional.interpolate(batch.anatomy.float(), size=cells, mode="area")
    return pixels, share


def pixel_features(batch: ImageBatch, standardise: bool) -> Tensor:
    """The pixels of ``pixel_grid`` as float64 vectors: ``(n, c * cells)``."""
    return pixel_grid(batch, standardise)[0].flatten(1).double()


def untrained_network(shape: tuple[int, ...], budget: Budget, seed: int) -> Network:
    """The method's network with the random weights of a seed, for images ``(n, c, *spatial)``."""
    return seeded(lambda: Network.of_budget(budget, 1, shape[1], len(shape) - 2), seed).eval()


def feature_network(
    recipe: Recipe, shape: tuple[int, ...], seed: int
) -> Network | PretrainedNetwork:
    """The pretrained network that the recipe names, or an untrained one, for ``(n, c, *spatial)``.

    Raises:
        InputError: a pretrained network is for other images.
    """
    weights, budget = recipe.weights(), recipe.budget
    if weights is None:
        return untrained_network(shape, budget, seed)
    if len(shape) != 4 or shape[1] not in (1, 3):
        raise InputError(
            f"budget.pretrained is for grey or RGB images in 2-D, these are {shape[1:]}; "
            "leave it out"
        )
    return read_network(weights, budget.standardise)


def restored_network(
    recipe: Recipe, settings: Mapping[str, Any], tensors: Mapping[str, Tensor], device: torch.device
) -> Network | PretrainedNetwork:
    """The same network from its settings and its tensors, see ``weights_of``.

    Raises:
        ValueError: they are not of such a network, or not of the recipe's.
    """
    own = recipe.budget.pretrained is None
    refuse_other_size(settings, recipe.budget)

    def make() -> Network | PretrainedNetwork:
        return Network(**settings) if own else network_of(settings)

    return with_weights(make, tensors, device)


def network_maps(network: Network | PretrainedNetwork, batch: ImageBatch) -> list[Tensor]:
    """Maps ``(n, c, *cells)`` of three stages, of what is inside the anatomy."""
    pixels = inside(batch, bool(network.settings["standardise"]))
    return network.stages(pixels.contiguous(memory_format=network.layout))


def euclidean(some: Tensor, others: Tensor) -> Tensor:
    """Distances ``(..., n, m)`` of vectors ``(..., n, f)`` and ``(m, f)`` by a matrix product.

    For exporters, which do not know ``torch.cdist``.
    """
    squares = some.square().sum(-1, keepdim=True) + others.square().sum(-1)
    return (squares - 2 * (some @ others.T)).clamp_min(0).sqrt()


def network_features(network: Network | PretrainedNetwork, batch: ImageBatch) -> Tensor:
    """Mean and spread inside the anatomy of the maps of three stages: float64 ``(n, f)``."""
    return pooled_features(network_maps(network, batch), batch)


def pooled_features(stages: Sequence[Tensor], batch: ImageBatch) -> Tensor:
    """The same of ``network_maps``."""
    pooled = [moments_inside(maps, batch.anatomy, torch.float64) for maps in stages]
    return torch.cat([part for both in pooled for part in both], 1)


NEARLY_CONSTANT = 0.1
"""Of the median spread of the features: a feature with less is nearly constant."""


@dataclass(frozen=True)
class Scale:
    """Centre and spread of every feature over the given class.

    A feature that is nearly constant there (a rectifier that almost never fires) is not stretched
    to variance 1: a single faint response of it would outweigh all other features together.
    """

    mean: Tensor  # (f,)
    spread: Tensor  # (f,)

    @classmethod
    def of(cls, features: Tensor) -> Scale:
        """Measure ``(n, f)`` features."""
        spread = features.std(0, correction=0)
        least = max(NEARLY_CONSTANT * float(spread.median()), 1e-9)
        return cls(features.mean(0), spread.clamp_min(least))

    def __call__(self, features: Tensor) -> Tensor:
        """``(n, f)`` features with mean 0 and variance 1 (at most) over the given class."""
        return (features - self.mean) / self.spread


@dataclass(frozen=True)
class Components:
    """Principal components of features."""

    mean: Tensor  # (f,)
    axes: Tensor  # (k, f)

    @classmethod
    def of(cls, features: Tensor, share: float) -> Components:
        """As many components of ``(n, f)`` features as hold that share of their variance."""
        from sklearn.decomposition import PCA

        fitted = PCA(share, svd_solver="full").fit(features.numpy())
        axes = torch.from_numpy(fitted.components_).contiguous()  # products round by layout
        return cls(torch.from_numpy(fitted.mean_), axes)

    def project(self, features: Tensor) -> Tensor:
        """``(n, f)`` to ``(n, k)``."""
        return (features - self.mean) @ self.axes.T

    def rest(self, features: Tensor) -> Tensor:
        """What the components do not explain: ``(n, f)``."""
        return features - self.mean - self.project(features) @ self.axes
