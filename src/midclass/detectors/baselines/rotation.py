"""Rotation: a network that tells how an image was turned is unsure where it is abnormal."""

from __future__ import annotations

from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.detectors.baselines._self_supervised import SelfSupervised, forward
from midclass.types import ImageBatch

Move: TypeAlias = tuple[int, bool]
"""Quarter turns, and whether the image was flipped left to right before."""


class Rotation(SelfSupervised):
    """Geometric transformations (Golan and El-Yaniv, NeurIPS 2018).

    The network learns which of the transformations an image went through. The score is minus the
    mean log-probability of the right one (that of Hendrycks et al., NeurIPS 2019; the simplified
    normality score of Golan and El-Yaniv averages the probabilities themselves).

    Ours: the quarter turns and flips that keep the image's shape, without their translations, which
    the nuisance has anyway; no flips where the recipe says that left and right mean nothing;
    network, augmentation and budget. Images that look the same from every side teach it little.
    """

    @property
    def moves(self) -> tuple[Move, ...]:
        """The transformations that mean something on images of the recipe."""
        height, width = self.recipe.geometry.size
        nuisance = self.nuisance
        return moves(square=height == width, mirrored=nuisance is not None and nuisance.mirrored)

    @property
    def copies(self) -> int:  # type: ignore[override]
        """One for each transformation."""
        return len(self.moves)

    def outputs(self) -> int:
        """One logit for each transformation."""
        return len(self.moves)

    def task(self, network: nn.Module, images: ImageBatch, rng: torch.Generator) -> Tensor:
        """Cross-entropy of the transformation; every image goes through each."""
        seen = self.acquired(images, rng).pixels
        moved = torch.cat([turned(seen, move) for move in self.moves])
        label = torch.arange(len(self.moves), device=seen.device).repeat_interleave(len(seen))
        return functional.cross_entropy(forward(network, moved).logits.float(), label)

    def score(self, images: ImageBatch) -> tuple[Tensor, None]:
        """Minus the mean log-probability of the right transformation."""
        surprise = torch.zeros(len(images), device=images.pixels.device)
        for number, move in enumerate(self.moves):
            logits = self.network_(turned(images.pixels, move)).logits
            surprise -= logits.log_softmax(1)[:, number]
        return surprise / len(self.moves), None


def moves(*, square: bool, mirrored: bool) -> tuple[Move, ...]:
    """The transformations that keep an image's shape and can be told from each other.

    >>> len(moves(square=True, mirrored=False)), moves(square=False, mirrored=True)
    (8, ((0, False), (2, False)))
    """
    turns = (0, 1, 2, 3) if square else (0, 2)
    flips = (False,) if mirrored else (False, True)
    return tuple((turn, flip) for flip in flips for turn in turns)


def turned(pixels: Tensor, move: Move) -> Tensor:
    """Images ``(n, c, *spatial)`` after a transformation in the plane of the last two axes."""
    turns, flip = move
    return torch.rot90(pixels.flip(-1) if flip else pixels, turns, (-2, -1))
