"""CutPaste: a network learns to see patches pasted into images; features far off are abnormal."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.detectors.baselines._pasting import (
    draw_patch,
    draw_places,
    fetched,
    frame_of,
    jittered,
    near_sample,
    whole_size,
)
from midclass.detectors.baselines._self_supervised import GaussianDensity, forward
from midclass.knowledge import _fields as fields
from midclass.types import ImageBatch, Params

SCAR_WIDTH = (2 / 256, 16 / 256)
SCAR_LENGTH = (10 / 256, 25 / 256)
SCAR_ANGLE_DEG = (-45.0, 45.0)
"""The paper's ranges: shares of the image's side (the paper gives the scar in px of 256)."""


class CutPaste(GaussianDensity):
    """CutPaste, three-way (Li et al., CVPR 2021).

    The network learns to tell an image as it is from one with a patch of itself pasted elsewhere
    and from one with a thin, turned patch (scar). The score is the Mahalanobis distance of its
    features from those of the given class (their Gaussian density estimate).

    Ours: patches are cut from and centred in the anatomy, because air pasted into air is no change;
    aspects are drawn log-uniformly; a scar is 2 samples wide at least; the covariance is shrunk;
    grey images have no saturation and hue to jitter; network, augmentation and budget. 2-D.
    """

    copies = 3

    def outputs(self) -> int:
        """As it is, patch, scar."""
        return 3

    def task(self, network: nn.Module, images: ImageBatch, rng: torch.Generator) -> Tensor:
        """Cross-entropy of the three classes, all seen through the nuisance."""
        patch, _ = pasted(images, draw_patch(images, rng))
        scar, _ = pasted(images, draw_scar(images, rng))
        three = ImageBatch.joined([images, images.with_pixels(patch), images.with_pixels(scar)])
        label = torch.arange(3, device=patch.device).repeat_interleave(len(images))
        logits = forward(network, self.acquired(three, rng).pixels).logits
        return functional.cross_entropy(logits.float(), label)


def draw_scar(images: ImageBatch, rng: torch.Generator) -> Params:
    """Thin patches, turned when they are pasted."""
    n, side = len(images), min(images.spatial)
    size = [fields.uniform(rng, n, SCAR_LENGTH), fields.uniform(rng, n, SCAR_WIDTH)]
    angle = fields.uniform(rng, n, SCAR_ANGLE_DEG)
    return {"size": torch.stack(size, 1) * side, "angle_deg": angle} | draw_places(images, rng)


def pasted(images: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
    """Images with a patch of themselves elsewhere, and where it is: ``(n, 1, h, w)`` bool."""
    size = whole_size(images, params)
    centre = near_sample(images, images.anatomy, params["to"], size)
    frame = frame_of(images, centre, params["angle_deg"])
    inside = (frame.abs() < fields.row(size / 2, images)).all(-1).unsqueeze(1)
    source = near_sample(images, images.anatomy, params["from"], size)
    patch = fetched(images, frame, source)
    return torch.where(inside, jittered(patch, inside, params), images.pixels), inside
