"""Natural synthetic anomalies: a network finds where foreign tissue was blended in."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.detectors.baselines._self_supervised import SelfSupervised, forward
from midclass.detectors.image_scores import top_change
from midclass.knowledge import _fields as fields
from midclass.knowledge._blur import blurred
from midclass.knowledge.transplant import Transplant
from midclass.training.loss import DICE, dice_loss
from midclass.types import ImageBatch

FOREIGN = Transplant(half_width=(0.05, 0.2), share=(0.05, 1.0), away=(0.0, 0.15), edge=(0.02, 0.05))
"""Patches of 10 to 40 % of the shorter side, of any share of the old tissue, with hard edges."""
PATCHES = 3
"""In each image; NSA has one to four, as the data set asks."""
SEAMLESS = 0.5
"""Share of the patches that keep the coarse brightness of the tissue they replace."""
REACH = 0.05
"""Standard deviation of what counts as coarse, as a share of the shorter side."""
NEAR = 0.02
"""Standard deviation over which the change of intensity is averaged, likewise."""
HALF, SLOPE = 0.02, 0.005
"""Change of intensity at which a sample is half foreign, and how steeply that rises."""


class NaturalSynthetic(SelfSupervised):
    """Foreign patches, interpolated (FPI, Tan et al., MELBA 2022) or seamless (NSA).

    NSA is Schlueter et al., "Natural Synthetic Anomalies for Self-supervised Anomaly Detection and
    Localization", ECCV 2022. Patches of another image are blended into each image; the network says
    for every sample how foreign it is. What is foreign is a logistic function of the change of
    intensity, as NSA proposes, so that nothing is asked where nothing is to be seen.

    Ours:

    * Half of the patches are interpolated, as in FPI.
    * The other half replaces fine detail alone and keeps the coarse brightness: two bands of the
      splines of Burt and Adelson (ACM TOG 1983) in place of the Poisson editing of NSA.
    * Patches are centred in the anatomy.
    * The loss is cross-entropy and Dice, as for the method's own change map. Without Dice the
      network learns little in a few hundred steps.
    * The score is the mean of the highest 0.2 % of the map, as for the method: a small lesion is
      lost in the mean of all.
    * Network, augmentation and budget are the recipe's.
    """

    makes_heat_maps = True

    def outputs(self) -> int:
        """The class head is not used."""
        return 1

    def task(self, network: nn.Module, images: ImageBatch, rng: torch.Generator) -> Tensor:
        """Loss of the map of what is foreign, seen through the nuisance."""
        pixels, foreign = blended(images, rng)
        seen = images.with_pixels(pixels)
        if self.nuisance is not None:
            seen, foreign = self.nuisance.apply(seen, self.nuisance.draw(seen, rng), foreign)
        change = forward(network, seen.pixels).change.float()
        pixelwise = functional.binary_cross_entropy_with_logits(change, foreign)
        return pixelwise + DICE * dice_loss(change.sigmoid(), foreign)

    def score(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        """Mean of the highest logits inside the anatomy, and the map."""
        change = self.network_(images.pixels).change
        return top_change(change, images.anatomy), change.sigmoid()


def blended(images: ImageBatch, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images with foreign patches, and how foreign each sample is: ``(n, 1, *spatial)``."""
    side_mm = fields.shorter_side_mm(images)
    mixed, inside = images, torch.zeros_like(images.anatomy)
    for _ in range(PATCHES):
        pixels, patch = _with_patch(mixed, side_mm, rng)
        mixed, inside = mixed.with_pixels(pixels), inside | (patch > 0)
    change = (mixed.pixels - images.pixels).abs().mean(1, keepdim=True)
    near = blurred(change, images.spacing_mm, NEAR * side_mm)
    return mixed.pixels, ((near - HALF) / SLOPE).sigmoid() * inside


def _with_patch(images: ImageBatch, side_mm: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    params = FOREIGN.draw(images, rng)
    seamless = torch.rand(len(images), generator=rng) < SEAMLESS
    params["share"] = torch.where(seamless, 1.0, params["share"])
    tissue, share = FOREIGN.render(images, params)
    coarse = blurred(images.pixels - tissue, images.spacing_mm, REACH * side_mm)
    tissue = (tissue + coarse * fields.column(seamless.float(), tissue)).clamp(0, 1)
    share = share * images.anatomy
    return torch.lerp(images.pixels, tissue, share.expand_as(tissue)), share
