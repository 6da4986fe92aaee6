"""CutPaste: a network learns to see patches pasted into images; features far off are abnormal."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.detectors.baselines._self_supervised import SelfSupervised, forward
from midclass.detectors.image_scores import GivenClass
from midclass.knowledge import _fields as fields
from midclass.training.lesson import FORWARD_BATCH
from midclass.types import ImageBatch, Params

AREA = (0.02, 0.15)
ASPECT = (0.3, 3.3)
SCAR_WIDTH = (2 / 256, 16 / 256)
SCAR_LENGTH = (10 / 256, 25 / 256)
SCAR_ANGLE_DEG = (-45.0, 45.0)
JITTER = (0.9, 1.1)
"""The paper's ranges: shares of the image and of its side (the paper gives the scar in px of 256),
and factors on the contrast and brightness of a patch."""


class CutPaste(SelfSupervised):
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

    def describe(self, given: ImageBatch) -> dict[str, Tensor]:
        """Mean and inverse covariance of the features."""
        features = torch.cat(
            [self.network_(part.pixels).features for part in given.split(FORWARD_BATCH)]
        )
        place = GivenClass.of(features.cpu())
        return {"mean": place.mean.to(self.device), "inverse": place.inverse.to(self.device)}

    def score(self, images: ImageBatch) -> tuple[Tensor, None]:
        """Distance of the features from the given class."""
        features = self.network_(images.pixels).features
        return GivenClass(self.given_["mean"], self.given_["inverse"]).distance(features), None


def draw_patch(images: ImageBatch, rng: torch.Generator) -> Params:
    """Upright patches of whole samples; ``size`` is ``(n, 2)``, height and width."""
    n, samples = len(images), math.prod(images.spatial)
    area = fields.uniform(rng, n, AREA) * samples
    aspect = fields.log_uniform(rng, n, ASPECT)
    size = torch.stack([(area * aspect).sqrt(), (area / aspect).sqrt()], 1)
    return {"size": size, "angle_deg": torch.zeros(n)} | _draw_places(images, rng)


def draw_scar(images: ImageBatch, rng: torch.Generator) -> Params:
    """Thin patches, turned when they are pasted."""
    n, side = len(images), min(images.spatial)
    size = [fields.uniform(rng, n, SCAR_LENGTH), fields.uniform(rng, n, SCAR_WIDTH)]
    angle = fields.uniform(rng, n, SCAR_ANGLE_DEG)
    return {"size": torch.stack(size, 1) * side, "angle_deg": angle} | _draw_places(images, rng)


def _draw_places(images: ImageBatch, rng: torch.Generator) -> Params:
    n = len(images)
    places = {"from": torch.rand(n, generator=rng), "to": torch.rand(n, generator=rng)}
    jitter = {"contrast": fields.uniform(rng, n, JITTER), "gain": fields.uniform(rng, n, JITTER)}
    return places | jitter


def pasted(images: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
    """Images with a patch of themselves elsewhere, and where it is: ``(n, 1, h, w)`` bool."""
    device = images.pixels.device
    extent = torch.tensor(images.spatial, device=device)
    size = params["size"].to(device).round().clamp_min(2).minimum(extent)  # (n, 2)
    axes = [torch.arange(s, device=device) + 0.5 for s in images.spatial]
    place = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)  # (h, w, 2), middles of samples
    from_centre = place - fields.row(_centre(images, params["to"], size), images)
    angle = params["angle_deg"].to(device).deg2rad()
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], 1).view(-1, 2, 2)
    frame = torch.einsum("nhwi,nij->nhwj", from_centre, turn)
    inside = (frame.abs() < fields.row(size / 2, images)).all(-1).unsqueeze(1)
    source = frame + fields.row(_centre(images, params["from"], size), images)
    grid = (2 * source / extent - 1).flip(-1)
    patch = functional.grid_sample(
        images.pixels, grid, padding_mode="reflection", align_corners=False
    )
    return torch.where(inside, _jittered(patch, inside, params), images.pixels), inside


def _centre(images: ImageBatch, u: Tensor, size: Tensor) -> Tensor:
    """Centre ``(n, 2)`` of a patch near a sample of the anatomy, the whole patch in the image."""
    extent = torch.tensor(images.spatial, device=size.device)
    corner = (fields.place_in(images.anatomy, u) - size / 2).round()
    return corner.clamp_min(0).minimum(extent - size) + size / 2


def _jittered(patch: Tensor, inside: Tensor, params: Params) -> Tensor:
    """Contrast about the patch's own mean, then brightness."""
    total = inside.flatten(1).sum(1).clamp_min(1) * patch.shape[1]
    mean = fields.column((patch * inside).flatten(1).sum(1) / total, patch)
    contrast, gain = fields.column(params["contrast"], patch), fields.column(params["gain"], patch)
    return (((patch - mean) * contrast + mean) * gain).clamp(0, 1)
