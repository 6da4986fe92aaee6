"""Nuisance: acquisition variation, applied to every class alike, that must never count."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from midclass.knowledge import _artefacts as artefacts
from midclass.knowledge import _fields as fields
from midclass.knowledge._visibility import box_mean
from midclass.types import ImageBatch, Length, Lengths, Params, Range

MOST_MEANS = 24
"""Means over 3 samples that a blur is made of: 4 samples are the widest one."""


@dataclass(frozen=True)
class Nuisance:
    """Position, exposure, field inhomogeneity, blur, noise and artefacts of the acquisition.

    Why: patients are placed, exposed and processed differently, and none of it is disease; a
    detector that was never shown this flags it. Ranges follow common practice in augmentation of
    medical images (Isensee et al., nnU-Net, Nature Methods 18:203, 2021, supplement). Side markers
    and borders are known shortcuts of chest X-ray networks (Zech et al., PLoS Med 15:e1002683,
    2018; DeGrave et al., Nature Machine Intelligence 3:610, 2021); the artefacts from ``dose`` on
    are off unless asked for, and then change pixels alone.

    Args:
        rotation_deg: largest rotation, in the plane of the last two axes.
        scale: magnification of the whole image.
        aspect: width over height, relative to what it was (where files were made square).
        shift: largest movement as a share of the image's side.
        gain: factor on the pixels.
        gamma: exponent on the pixels.
        offset: added to the pixels.
        bias: largest smooth gain across the image.
        noise: largest standard deviation of added noise.
        blur_mm: largest standard deviation of added blur in the plane, up to 4 samples.
        mirrored: flip half of the images left to right (only where sides mean nothing).
        dose: relative to the image's own; noise has the variance 1 / dose. (1, 1) is off.
        window: largest movement of each end of the display window, as a share of its width.
        collimation: share of the images with dark or bright strips at some of their borders.
        collimation_mm: width of a strip.
        markers: share of the images with a bright side letter or plate in a corner.
        marker_mm: height of a marker.
        compression: share of the images that go through JPEG's quantisation (2-D only).
        quality: of JPEG, 1 to 100.
    """

    rotation_deg: float = 7.0
    scale: Range = (0.9, 1.1)
    shift: float = 0.04
    gain: Range = (0.85, 1.15)
    gamma: Range = (0.8, 1.25)
    offset: float = 0.05
    bias: float = 0.1
    noise: float = 0.02
    blur_mm: Length = 0.4
    aspect: Range = (1.0, 1.0)
    mirrored: bool = False
    dose: Range = (1.0, 1.0)
    window: float = 0.0
    collimation: float = 0.0
    collimation_mm: Lengths = (2, 15)
    markers: float = 0.0
    marker_mm: Lengths = (5, 15)
    compression: float = 0.0
    quality: Range = (50, 95)

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Choose the acquisition of every image."""
        n, dims = batch.spacing_mm.shape
        flip = torch.rand(n, generator=rng) < (0.5 if self.mirrored else 0.0)
        drawn = {
            "rotation_deg": fields.uniform(rng, n, (-self.rotation_deg, self.rotation_deg)),
            "scale": fields.log_uniform(rng, n, self.scale),
            "shift": fields.uniform(rng, n * dims, (-self.shift, self.shift)).view(n, dims),
            "aspect": fields.log_uniform(rng, n, self.aspect),
            "flip": 1 - 2 * flip.float(),
            "gain": fields.log_uniform(rng, n, self.gain),
            "gamma": fields.log_uniform(rng, n, self.gamma),
            "offset": fields.uniform(rng, n, (-self.offset, self.offset)),
            "bias": fields.uniform(rng, n, (0, self.bias)),
            "field": torch.rand(n, 1, *(3,) * dims, generator=rng) * 2 - 1,
            "noise": fields.uniform(rng, n, (0, self.noise)),
            "grain": torch.randn(n, 1, *batch.spatial, generator=rng),
            "blur_mm": fields.uniform(rng, n, (0, self.blur_mm)),
        }
        return drawn | self._draw_artefacts(batch, rng)

    def _draw_artefacts(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Last of all, and nothing for those that are off: they leave every other draw as it is."""
        drawn: Params = {}
        if self.dose != (1, 1):
            drawn |= artefacts.draw_dose(batch, rng, self.dose)
        if self.window:
            drawn |= artefacts.draw_window(batch, rng, self.window)
        if self.collimation:
            drawn |= artefacts.draw_collimation(batch, rng, self.collimation, self.collimation_mm)
        if self.markers:
            drawn |= artefacts.draw_marker(batch, rng, self.markers, self.marker_mm)
        if self.compression:
            drawn |= artefacts.draw_compression(batch, rng, self.compression, self.quality)
        return drawn

    def apply(self, batch: ImageBatch, params: Params, change: Tensor) -> tuple[ImageBatch, Tensor]:
        """The batch as another acquisition would show it, with anatomy and change map in place."""
        channels = batch.pixels.shape[1]
        stack = torch.cat([batch.pixels, batch.anatomy.float(), change], 1)
        grid = _affine_grid(stack, params)
        # Outside the field of view: the edge for pixels, nothing for the two maps.
        pixels = fields.sample(stack[:, :channels], grid)
        maps = functional.grid_sample(stack[:, channels:], grid, align_corners=True)
        anatomy = maps[:, :1] > 0.5
        pixels = artefacts.dosed(_blurred(pixels, batch, params), anatomy, params)
        pixels = artefacts.windowed(_exposed(pixels, params).clamp(0, 1), params)
        pixels = artefacts.collimated(pixels, batch.spacing_mm, params)
        pixels = artefacts.marked(pixels, batch.spacing_mm, params)
        pixels = artefacts.compressed(pixels, params)
        return replace(batch, pixels=pixels, anatomy=anatomy), maps[:, 1:] * anatomy


def _affine_grid(stack: Tensor, params: Params) -> Tensor:
    """Sampling grid of rotation, scale, shift and flip in the plane of the last two axes."""
    n, dims = len(stack), stack.ndim - 2
    angle = params["rotation_deg"].deg2rad()
    cos, sin, scale = angle.cos(), angle.sin(), params["scale"]
    shape = stack.shape[-1] / stack.shape[-2]
    wide, high = scale * params["aspect"].sqrt(), scale / params["aspect"].sqrt()
    theta = torch.eye(dims, dims + 1).repeat(n, 1, 1)
    theta[:, 0, 0] = cos / wide * params["flip"]
    theta[:, 0, 1] = -sin / high / shape
    theta[:, 1, 0] = sin / wide * shape * params["flip"]
    theta[:, 1, 1] = cos / high
    theta[:, :, -1] = 2 * params["shift"].flip(1)
    size = [n, 1, *stack.shape[2:]]
    return functional.affine_grid(theta, size, align_corners=True).to(stack.device)


def _blurred(pixels: Tensor, batch: ImageBatch, params: Params) -> Tensor:
    """Blurred in the plane of the last two axes: slices are farther apart than pixels."""
    sigma = params["blur_mm"].to(pixels.device) / batch.spacing_mm[:, -1]  # samples
    if pixels.ndim == 4:
        return _in_plane(pixels, sigma)
    slices = pixels.transpose(1, 2)
    found = _in_plane(slices.flatten(0, 1), sigma.repeat_interleave(slices.shape[1]))
    return found.view(slices.shape).transpose(1, 2)


def _in_plane(pixels: Tensor, sigma: Tensor) -> Tensor:
    """Mixes with means over 3 samples, each of variance 2/3, until the blur is as wide as asked."""
    left = (sigma.square() * 1.5).clamp_max(MOST_MEANS)
    for _ in range(max(1, math.ceil(float(left.max())))):
        mix = fields.column(left.clamp(0, 1), pixels).expand_as(pixels)
        pixels = torch.lerp(pixels, box_mean(pixels, 3), mix)
        left = left - 1
    return pixels


def _exposed(pixels: Tensor, params: Params) -> Tensor:
    """Gamma, gain, offset, bias field and noise."""
    spatial = pixels.shape[2:]
    mode = "bilinear" if len(spatial) == 2 else "trilinear"
    field = functional.interpolate(
        params["field"].to(pixels.device), size=spatial, mode=mode, align_corners=True
    )
    gain = fields.column(params["gain"], pixels) * (
        1 + field * fields.column(params["bias"], pixels)
    )
    bent = pixels.clamp_min(1e-4) ** fields.column(params["gamma"], pixels)
    noise = params["grain"].to(pixels.device) * fields.column(params["noise"], pixels)
    return bent * gain + fields.column(params["offset"], pixels) + noise
