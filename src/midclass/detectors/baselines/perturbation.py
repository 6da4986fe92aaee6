"""Image perturbation: a network that tells images from perturbed ones suspects abnormal ones."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.detectors.baselines._self_supervised import SelfSupervised, forward
from midclass.detectors.image_scores import log_odds
from midclass.knowledge import _blur as blur
from midclass.knowledge import _fields as fields
from midclass.types import ImageBatch

NOISE = (0.05, 0.25)
"""Standard deviation of the noise, in units of the pixels."""
BLUR = (0.02, 0.06)
"""Standard deviation of the blur as a share of the shorter side."""
BLOCKS = 4
"""Blocks along each axis that are shuffled."""


class ImagePerturbation(SelfSupervised):
    """Perturbed images as the second class (after Gao et al., Artif Intell Med 108:101935, 2020).

    The paper learns features of the given class "by leveraging the concept of imaging complexity",
    with "simple but effective perturbing operations applied to images"; this follows its abstract.

    Ours: the four operations (noise, blur, shuffled blocks, inverted intensity) and their ranges,
    inside the anatomy alone, one class for each beside the given class, the score (log-odds of any
    perturbation), network, augmentation and budget. The operations know nothing of disease: this is
    what the middle classes of a recipe replace.
    """

    copies = 2

    def outputs(self) -> int:
        """The given class and one class for each perturbation."""
        return 1 + len(PERTURBATIONS)

    def task(self, network: nn.Module, images: ImageBatch, rng: torch.Generator) -> Tensor:
        """Cross-entropy of n images and of the same n perturbed, seen through the nuisance."""
        kinds = torch.randperm(len(images), generator=rng) % len(PERTURBATIONS)
        kinds = kinds.to(images.pixels.device)
        both = ImageBatch.joined([images, images.with_pixels(perturbed(images, kinds, rng))])
        label = torch.cat([torch.zeros_like(kinds), kinds + 1])
        logits = forward(network, self.acquired(both, rng).pixels).logits
        return functional.cross_entropy(logits.float(), label)

    def score(self, images: ImageBatch) -> tuple[Tensor, None]:
        """Log-odds of any perturbation."""
        return log_odds(self.network_(images.pixels).logits), None


def perturbed(images: ImageBatch, kinds: Tensor, rng: torch.Generator) -> Tensor:
    """Pixels of each image after the perturbation of its number, inside the anatomy alone.

    Noise or inversion of an empty background would give itself away without the tissue.
    """
    pixels = images.pixels.clone()
    for kind, perturb in enumerate(PERTURBATIONS):
        chosen = images[kinds == kind]
        pixels[kinds == kind] = torch.where(chosen.anatomy, perturb(chosen, rng), chosen.pixels)
    return pixels


def noisy(images: ImageBatch, rng: torch.Generator) -> Tensor:
    """Normal noise of a strength of its own for each image."""
    sigma = fields.uniform(rng, len(images), NOISE)
    grain = torch.randn(images.pixels.shape, generator=rng).to(images.pixels.device)
    return (images.pixels + grain * fields.column(sigma, grain)).clamp(0, 1)


def blurred(images: ImageBatch, rng: torch.Generator) -> Tensor:
    """Gaussian blur, mirrored at the borders."""
    side_mm = fields.shorter_side_mm(images)
    sigma_mm = fields.uniform(rng, len(images), BLUR).to(side_mm.device) * side_mm
    return blur.blurred(images.pixels, images.spacing_mm, sigma_mm)


def shuffled(images: ImageBatch, rng: torch.Generator) -> Tensor:
    """``BLOCKS x BLOCKS`` equal blocks in another order; samples beyond the last one stay."""
    height, width = (size // BLOCKS for size in images.spatial[-2:])
    tiled = images.pixels[..., : height * BLOCKS, : width * BLOCKS]
    blocks = tiled.unfold(-2, height, height).unfold(-2, width, width)  # (..., B, B, h, w)
    lead, shape = blocks.ndim - 4, blocks.shape
    order = torch.rand(len(images), BLOCKS**2, generator=rng).argsort(1).to(tiled.device)
    blocks = blocks.flatten(lead, lead + 1)
    index = order.view(len(images), *(1,) * (lead - 1), BLOCKS**2, 1, 1).expand(blocks.shape)
    moved = blocks.gather(lead, index).view(shape).transpose(-3, -2)
    pixels = images.pixels.clone()
    pixels[..., : height * BLOCKS, : width * BLOCKS] = moved.reshape(tiled.shape)
    return pixels


def inverted(images: ImageBatch, rng: torch.Generator) -> Tensor:
    """Bright for dark, between the image's own lowest and highest value."""
    flat = images.pixels.flatten(1)
    ends = fields.column(flat.amin(1) + flat.amax(1), images.pixels)
    return ends - images.pixels


PERTURBATIONS = (noisy, blurred, shuffled, inverted)
"""``(images, rng) -> pixels``, in the order of the labels 1, 2, ..."""
