"""Natural synthetic anomalies: a network finds where foreign tissue was blended in."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.knowledge import _fields as fields
from midclass.knowledge.transplant import Transplant
from midclass.scoring import top_change
from midclass.self_supervised import SelfSupervised, forward
from midclass.types import ImageBatch

FOREIGN = Transplant(half_width=(0.05, 0.2), share=(0.05, 1.0), away=(0.0, 0.15))
"""Patches of 10 to 40 % of the shorter side, of any share of the old tissue."""
SEAMLESS = 0.5
"""Share of the patches that keep the coarse brightness of the tissue they replace."""
REACH = 0.05
"""Standard deviation of what counts as coarse, as a share of the shorter side."""


class NaturalSynthetic(SelfSupervised):
    """Foreign patches, interpolated (FPI, Tan et al., MELBA 2022) or seamless (NSA).

    NSA is Schlueter et al., "Natural Synthetic Anomalies for Self-supervised Anomaly Detection and
    Localization", ECCV 2022. A patch of another image is blended into each image; the network says
    for every sample how much of it is foreign.

    Ours: half of the patches are interpolated as in FPI; the other half replaces only fine detail
    and keeps the coarse brightness (two bands of the splines of Burt and Adelson, ACM TOG 1983), in
    place of the Poisson editing of NSA; patches are soft-edged and centred in the anatomy, and
    their share, not the change of intensity, is the target; the score is the mean of the highest
    0.2 % of the map, as for the change map of the method (a small lesion is lost in the mean of
    all); network, augmentation and budget.
    """

    makes_heat_maps = True

    def outputs(self) -> int:
        """The class head is not used."""
        return 1

    def task(self, network: nn.Module, images: ImageBatch, rng: torch.Generator) -> Tensor:
        """Cross-entropy of the foreign share at every sample, seen through the nuisance."""
        pixels, share = blended(images, rng)
        seen = images.with_pixels(pixels)
        if self.nuisance is not None:
            seen, share = self.nuisance.apply(seen, self.nuisance.draw(seen, rng), share)
        change = forward(network, seen.pixels).change.float()
        return functional.binary_cross_entropy_with_logits(change, share)

    def score(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        """Mean of the highest logits inside the anatomy, and the map."""
        change = self.network_(images.pixels).change
        return top_change(change, images.anatomy), change.sigmoid()


def blended(images: ImageBatch, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Images with a foreign patch each, and its share ``(n, 1, *spatial)`` in [0, 1]."""
    params = FOREIGN.draw(images, rng)
    seamless = torch.rand(len(images), generator=rng) < SEAMLESS
    tissue, share = FOREIGN.render(images, params)
    side = images.spacing_mm * torch.tensor(images.spatial, device=tissue.device)
    coarse = fields.blurred(images.pixels - tissue, images.spacing_mm, REACH * side.amin(1))
    tissue = (tissue + coarse * fields.column(seamless.float(), tissue)).clamp(0, 1)
    share = share * images.anatomy
    return torch.lerp(images.pixels, tissue, share.expand_as(tissue)), share
