"""AnatPaste: CutPaste whose soft patches lie in the anatomy alone and follow its border."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.detectors.baselines._pasting import (
    draw_patch,
    fetched,
    frame_of,
    jittered,
    near_sample,
    whole_size,
)
from midclass.detectors.baselines._self_supervised import GaussianDensity, forward
from midclass.knowledge import _fields as fields
from midclass.knowledge._blur import blurred
from midclass.types import ImageBatch, Params

BLUR = (0.0, 15 / 256)
MARGIN = 10 / 256
SHARE = (150 / 255, 1.0)
"""Of the authors' code, as shares of the side (they use 256 px): standard deviation of the soft
edge, how much smaller the shape is than the patch on each side, and how much it covers."""


class AnatPaste(GaussianDensity):
    """Anatomy-aware pasting (Sato et al., iScience 2023), two-way.

    Sato, Suzuki, Wataya, Nishigaki, Kita, Yamagata, Tomiyama and Kido, "Anatomy-aware
    self-supervised learning for anomaly detection in chest radiographs". Theirs: a patch of the
    image, from anywhere in it, is pasted as an ellipse or a rectangle with a soft edge where the
    lungs are, so that denser tissue comes into air within the lung's own outline; the network
    learns to tell such images; Mahalanobis distance of its features from those of the given class.

    Ours: the anatomy is the recipe's, in place of their threshold of Otsu; aspects are drawn
    log-uniformly; grey images have no saturation and hue to jitter; the covariance is shrunk;
    network, augmentation and budget (theirs: ResNet-18, SGD with .03, 256 epochs). For the lungs of
    ``chest_xray`` it is what was published; other recipes have other anatomies. 2-D.
    """

    copies = 2

    def outputs(self) -> int:
        """As it is, pasted."""
        return 2

    def task(self, network: nn.Module, images: ImageBatch, rng: torch.Generator) -> Tensor:
        """Cross-entropy of both classes, seen through the nuisance."""
        changed, _ = pasted_softly(images, draw_soft(images, rng))
        both = ImageBatch.joined([images, images.with_pixels(changed)])
        label = torch.arange(2, device=changed.device).repeat_interleave(len(images))
        logits = forward(network, self.acquired(both, rng).pixels).logits
        return functional.cross_entropy(logits.float(), label)


def draw_soft(images: ImageBatch, rng: torch.Generator) -> Params:
    """Patches as CutPaste draws them, their form, their edge and how much they cover."""
    n = len(images)
    return draw_patch(images, rng) | {
        "round": torch.rand(n, generator=rng) < 0.5,
        "blur": fields.uniform(rng, n, BLUR),
        "share": fields.uniform(rng, n, SHARE),
    }


def pasted_softly(images: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
    """Images with a patch in their anatomy, and how much of each sample it covers.

    Args:
        images: of the given class.
        params: see ``draw_soft``.
    """
    size, device = whole_size(images, params), images.pixels.device
    # The middle is a sample of the anatomy, as theirs; the patch may reach beyond the image.
    centre = fields.place_in(images.anatomy, params["to"]) + 0.5
    frame = frame_of(images, centre, params["angle_deg"])
    half = (size / 2 - MARGIN * min(images.spatial)).clamp_min(1)
    reach = frame.abs() / fields.row(half, images)
    ellipse, rectangle = reach.square().sum(-1) <= 1, (reach <= 1).all(-1)
    form = torch.where(params["round"].to(device).view(-1, 1, 1), ellipse, rectangle)[:, None]
    sigma_mm = params["blur"].to(device) * fields.shorter_side_mm(images)
    soft = blurred(form.float(), images.spacing_mm, sigma_mm)
    alpha = soft * fields.column(params["share"], soft) * images.anatomy
    anywhere = torch.ones_like(images.anatomy)
    patch = fetched(images, frame, near_sample(images, anywhere, params["from"], size))
    patch = jittered(patch, form, params)
    return torch.lerp(images.pixels, patch, alpha.expand_as(patch)), alpha
