"""Clouding: a turbid medium before the whole picture, which takes detail and then contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._blur import local_mean
from midclass.knowledge._box import Box
from midclass.knowledge._visibility import noise_sigma
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Lengths, Params, Range

NODES = 6
"""Samples along each axis of the noise that makes the clouding uneven."""


@dataclass(frozen=True)
class Clouding(Knowledge):
    """A clouded lens, vitreous or cornea: the whole picture is seen through fog.

    Why: an opaque lens scatters light forward. A part goes astray by little and blurs vessels and
    the rim of the disc; a part goes far astray and lays a veil over the picture, which takes its
    contrast (de Waard et al., Invest Ophthalmol Vis Sci 33:618, 1992). Photographs are graded by
    how much of disc and vessels is still seen (Xiong et al., J Healthc Eng 2017:5645498). The
    grain of the sensor is added behind the medium and stays.

    Args:
        scatter_mm: standard deviation of the light that goes astray by little, log-uniform.
        veil: share of the light that goes far astray.
        wide_mm: standard deviation of that light, log-uniform.
        unevenness: how much clearer the clearest part may be than the densest.
        exposed: exposure and the recipe's intensity rule give the picture its mean and contrast
            back, so that only what is lost against the rest tells.

    >>> batch = ImageBatch.of(torch.rand(2, 1, 64, 64), spacing_mm=0.1)
    >>> middle = Clouding()(batch, torch.Generator().manual_seed(0))
    >>> steps = [images.diff(dim=3).abs().mean() for images in (batch.pixels, middle.pixels)]
    >>> bool(steps[1] < steps[0])
    True
    """

    scatter_mm: Lengths = (0.05, 0.4)
    veil: Range = (0.2, 0.8)
    wide_mm: Lengths = (1.0, 3.0)
    unevenness: Range = (0.0, 0.5)
    exposed: bool = True

    border_mm: ClassVar[float] = 0.0  # the medium lies before the border as well

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """How far light goes astray, how much of it, and where the medium is clearer."""
        n, dims = batch.spacing_mm.shape
        return {
            "scatter_mm": fields.log_uniform(rng, n, self.scatter_mm),
            "veil": fields.uniform(rng, n, self.veil),
            "wide_mm": fields.log_uniform(rng, n, self.wide_mm),
            "unevenness": fields.uniform(rng, n, self.unevenness),
            "clear": torch.rand(n, 1, *(NODES,) * dims, generator=rng),
            "grain": torch.randn(n, 1, *batch.spatial, generator=rng),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """The picture through the medium, and how dense that is."""
        box = Box.of_anatomy(batch)
        old, anatomy = box.cut(batch.pixels), box.cut(batch.anatomy)
        near, far = (
            local_mean(old, anatomy, batch.spacing_mm, params[width], box)
            for width in ("scatter_mm", "wide_mm")
        )
        veiled = torch.lerp(near, far, fields.column(params["veil"], near).expand_as(near))
        if self.exposed:
            veiled = _like(veiled, old, anatomy)
        veiled = veiled + _grain(batch, box, anatomy, params["grain"])
        clear = torch.nn.functional.interpolate(
            params["clear"].to(near), size=batch.spatial, mode=_LINEAR[near.ndim]
        )
        dense = 1 - fields.column(params["unevenness"], near) * box.cut(clear)
        return box.paste(veiled, batch.pixels), box.alone(dense)


_LINEAR = {4: "bilinear", 5: "trilinear"}


def _like(images: Tensor, other: Tensor, anatomy: Tensor) -> Tensor:
    """The images with the mean and the standard deviation that the others have in the anatomy."""
    (mean, sd), (wanted, spread) = (_moments(one, anatomy) for one in (images, other))
    return wanted + (images - mean) * (spread / sd.clamp_min(1e-4))


def _grain(batch: ImageBatch, box: Box, anatomy: Tensor, noise: Tensor) -> Tensor:
    """What the sensor adds behind the medium: noise as strong as that of the picture."""
    beside = box.grown(1)  # whose samples the noise of those in the box is told from
    found = box.within(beside).cut(noise_sigma(beside.cut(batch.pixels)))
    sigma, _ = _moments(found, anatomy)
    return sigma * box.cut(noise.to(sigma.device))


def _moments(images: Tensor, anatomy: Tensor) -> tuple[Tensor, Tensor]:
    axes = tuple(range(2, images.ndim))
    mask = anatomy.float()
    count = mask.sum(axes, keepdim=True).clamp_min(1)
    mean = (images * mask).sum(axes, keepdim=True) / count
    return mean, (((images - mean).square() * mask).sum(axes, keepdim=True) / count).sqrt()
