"""Asymmetry: two sides that do not match, in density or in structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from midclass.knowledge import _fields as fields
from midclass.knowledge._box import Box
from midclass.knowledge._visibility import within_border
from midclass.knowledge.base import Knowledge
from midclass.types import ImageBatch, Lengths, Params, Range


@dataclass(frozen=True)
class AsymmetryGain(Knowledge):
    """One side of the anatomy denser or less dense than the other.

    Why: paired structures are read by comparison. Density judged relative to the corresponding
    area of the other side is an asymmetry (ACR BI-RADS Atlas, 5th ed., 2013, "asymmetries"); early
    infarction shows as one hemisphere or part of it darker than the other (Barber et al., ASPECTS,
    Lancet 355:1670, 2000).

    The sides are the halves left and right of the anatomy's centre of mass.

    Args:
        sign: whether the side becomes brighter, darker, or either with equal chance.
        gain: change of the side's brightness, as a share of it.
        edge_mm: width of the transition at the midline, inside the side.
        patch_mm: size of the structure of the gain.
        patchiness: share of the gain that varies with that structure.

    >>> batch = ImageBatch.of(torch.full((2, 1, 64, 64), 0.4), spacing_mm=2.0)
    >>> middle = AsymmetryGain(gain=(0.2, 0.2), sign="bright")(batch, torch.Generator())
    >>> bool((middle.pixels >= 0.4).all()), round(float(middle.change.mean()), 1)
    (True, 0.4)
    """

    sign: Literal["bright", "dark", "either"] = "either"
    gain: Range = (0.05, 0.25)
    edge_mm: Lengths = (10, 30)
    patch_mm: Lengths = (30, 80)
    patchiness: Range = (0.0, 0.5)

    border_mm: ClassVar[float] = 6.0

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Side, sign and size of the gain."""
        n, dims = batch.spacing_mm.shape
        bright = {"bright": 1.0, "dark": 0.0, "either": 0.5}[self.sign]
        return {
            "side": _side(rng, n),
            "sign": 2.0 * (torch.rand(n, generator=rng) < bright) - 1,
            "gain": fields.uniform(rng, n, self.gain),
            "edge_mm": fields.uniform(rng, n, self.edge_mm),
            "patch_mm": fields.log_uniform(rng, n, self.patch_mm),
            "patchiness": fields.uniform(rng, n, self.patchiness),
            "patches": torch.rand(n, 1, *(8,) * dims, generator=rng),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """Old tissue times the gain, on one side."""
        like = batch.pixels
        patches = fields.smooth_field(params["patches"], Box.whole(batch), params["patch_mm"])
        shape = 1 - fields.column(params["patchiness"], like) * patches
        gain = fields.column(params["sign"] * params["gain"], like) * shape
        return like * (1 + gain), _on_one_side(batch, params)


@dataclass(frozen=True)
class AsymmetrySwap(Knowledge):
    """One side replaced by the mirrored other side of another patient.

    Why: left and right of one patient correspond: vessels, sulci and glandular tissue differ more
    between patients than between the sides of one, and a departure from that correspondence is
    what readers look for (ACR BI-RADS Atlas, 5th ed., 2013, "asymmetries", judged against the
    other breast; Barber et al., ASPECTS, Lancet 355:1670, 2000, against the other hemisphere).
    As tissue of both patients is normal, nothing but the correspondence is broken.

    The sides are the halves left and right of the anatomy's centre of mass. The donor is another
    image of the batch; its anatomy is laid on the patient's, and its mean and contrast are matched
    to it, so that neither outline nor exposure is a cue. For organs that are nearly symmetric: in
    a chest X-ray the heart would move to the other side.

    Args:
        edge_mm: width of the transition at the midline, inside the side.
        share: how much of the old tissue the new one replaces.

    >>> batch = ImageBatch.of(torch.rand(3, 1, 32, 32, generator=torch.Generator()))
    >>> swap = AsymmetrySwap()
    >>> tuple(swap.draw(batch, torch.Generator())["donor"].shape)
    (3, 1, 32, 32)
    """

    edge_mm: Lengths = (10, 30)
    share: Range = (0.7, 1.0)

    border_mm: ClassVar[float] = 4.0

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """Side and edge; the donor's pixels are part of the draw."""
        n = len(batch)
        step = int(torch.randint(1, max(n, 2), (), generator=rng))
        return {
            "side": _side(rng, n),
            "edge_mm": fields.uniform(rng, n, self.edge_mm),
            "share": fields.uniform(rng, n, self.share),
            "donor": batch.pixels.roll(step, 0),
            "donor_anatomy": batch.anatomy.roll(step, 0),
            "donor_spacing_mm": batch.spacing_mm.roll(step, 0),
        }

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """The donor's mirrored tissue, on one side and where the donor has anatomy."""
        donor = ImageBatch(params["donor"], params["donor_anatomy"], params["donor_spacing_mm"]).to(
            batch.pixels.device
        )
        inside = within_border(donor, self.border_mm)  # no air or bone of the donor at its border
        side = _on_one_side(batch, params)
        box = Box.holding(batch, batch.anatomy & (side > 0))
        laid = _mirrored(torch.cat([donor.pixels, inside], 1), donor, batch, box)
        alpha = laid[:, -1:] * fields.column(params["share"], laid)
        new = _matched(laid[:, :-1], donor, batch)
        return box.paste(new, batch.pixels), box.alone(alpha) * side

    def sham_tissue(self, batch: ImageBatch, params: Params) -> Tensor:
        """Halfway to the patient's own mirrored side, which corresponds.

        Not all the way, because no organ is perfectly symmetric: a sham stays given class.
        """
        mirrored = _mirrored(batch.pixels, batch, batch, Box.whole(batch))
        return torch.lerp(batch.pixels, mirrored, 0.5)


def _side(rng: torch.Generator, n: int) -> Tensor:
    """``(n,)``: -1 for the half where the last axis begins, 1 for the other."""
    return 2.0 * torch.randint(2, (n,), generator=rng) - 1


def _on_one_side(batch: ImageBatch, params: Params) -> Tensor:
    """1 on the drawn side of the midline, 0 on the other: ``(n, 1, *spatial)``."""
    from_midline = fields.from_midline_mm(batch)
    inwards = from_midline * fields.column(params["side"], from_midline)
    ramp = (inwards / fields.column(params["edge_mm"], from_midline)).clamp(0, 1)
    smooth = ramp.square() * (3 - 2 * ramp)
    return smooth.expand(len(batch), 1, *batch.spatial)


def _mirrored(values: Tensor, donor: ImageBatch, batch: ImageBatch, box: Box) -> Tensor:
    """The donor's values, mirrored left to right and laid on the batch's anatomy, in the box.

    The anatomies' centres of mass come to lie on each other, and their extents along every axis
    (as standard deviations, within a factor of 2) become the same: a registration by moments.
    """
    centre, extent = _place(batch)
    donor_centre, donor_extent = _place(donor)
    # Limits in mm; places in the units of ``grid_sample``.
    to_mm = donor.spacing_mm / batch.spacing_mm
    scale = (donor_extent / extent * to_mm).clamp(0.5, 2) / to_mm
    scale[:, -1] *= -1
    shift = donor_centre - centre * scale
    places = [
        place * fields.column(scale[:, axis], place) + fields.column(shift[:, axis], place)
        for axis, place in enumerate(fields.places(box))
    ]
    return fields.sample(values, fields.grid_of(box, places))


def _place(batch: ImageBatch) -> tuple[Tensor, Tensor]:
    """Centre of mass and standard deviation of the anatomy: ``(n, d)``; the image is [-1, 1]."""
    centres, extents = [], []
    for axis, size in enumerate(batch.spatial, start=2):
        others = tuple(k for k in range(1, batch.anatomy.ndim) if k != axis)
        mass = batch.anatomy.sum(others, dtype=torch.float32)  # (n, size)
        mass = mass / mass.sum(1, keepdim=True).clamp_min(1)
        place = torch.linspace(-1, 1, size, device=mass.device)
        centre = (mass * place).sum(1, keepdim=True)
        variance = ((place - centre).square() * mass).sum(1)
        centres.append(centre.squeeze(1))
        extents.append(variance.sqrt().clamp_min(2 / size))
    return torch.stack(centres, 1), torch.stack(extents, 1)


def _matched(pixels: Tensor, donor: ImageBatch, batch: ImageBatch) -> Tensor:
    """Pixels of the donor with the mean and standard deviation of the batch's anatomy."""
    mean, sigma = _moments(batch)
    donor_mean, donor_sigma = _moments(donor)
    contrast = (sigma / donor_sigma).clamp(0.5, 2)
    return (pixels - donor_mean) * contrast + mean


def _moments(batch: ImageBatch) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation inside the anatomy, per image and channel."""
    axes = tuple(range(2, batch.pixels.ndim))
    count = batch.anatomy.sum(axes, keepdim=True).clamp_min(1)
    mean = (batch.pixels * batch.anatomy).sum(axes, keepdim=True) / count
    variance = ((batch.pixels - mean).square() * batch.anatomy).sum(axes, keepdim=True) / count
    return mean, variance.sqrt().clamp_min(1 / 255)
