"""Where: knowledge that holds in a part of the anatomy, such as the air or the bone of a body."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional

from midclass.knowledge._blur import local_mean
from midclass.knowledge.base import Knowledge, unblended
from midclass.types import ImageBatch, Params

BLUR_MM = 4.0
"""Kinds of tissue are told apart after a Gaussian blur so wide: a vessel of the lung is lung."""

CELLS = 48
"""Along each axis, about, in which the two kinds are looked for."""


@dataclass(frozen=True)
class Where(Knowledge):
    """Another operator, in the dark or the bright tissue of the anatomy alone.

    Why: an anatomy that no disease moves may be larger than where the disease can be. The body in
    a CT of the chest holds heart and spine, too, and a nodule of the lung lies in neither. What
    teaches a network that it may lie there teaches what is never seen.

    The two kinds of tissue are told apart by Otsu's threshold (IEEE Trans Syst Man Cybern 9:62,
    1979) after a blur inside the anatomy. All that the operator asks of an anatomy, such as the
    spread of its tissue, it gets of that part; its severity is that in the whole anatomy, as of all
    knowledge. In an anatomy of one even tissue the parts mean nothing. To have several operators at
    one place, give it to all of them together.

    Args:
        operator: what goes in.
        tissue: dark or bright.

    >>> from midclass.knowledge.focal import Focal
    >>> pixels = torch.full((2, 1, 64, 64), 0.8)
    >>> pixels[:, :, 16:48, 16:48] = 0.2
    >>> batch = ImageBatch.of(pixels, spacing_mm=3.0)
    >>> change = Where(Focal(), "dark")(batch, torch.Generator().manual_seed(0)).change
    >>> bool(change[pixels == 0.8].any()), bool(change[pixels == 0.2].any())
    (False, True)
    """

    operator: Knowledge
    tissue: Literal["dark", "bright"]

    border_mm: ClassVar[float] = 0.0  # the operator's own has been there

    def draw(self, batch: ImageBatch, rng: torch.Generator) -> Params:
        """What the operator draws."""
        return self.operator.draw(self._part(batch), rng)

    def render(self, batch: ImageBatch, params: Params) -> tuple[Tensor, Tensor]:
        """What the operator makes of that part."""
        middle = self.operator.apply(self._part(batch), params)
        return unblended(batch, middle.pixels, middle.change)

    def sham(self, batch: ImageBatch, params: Params) -> Tensor:
        """What the operator's processing alone makes of it."""
        return self.operator.sham(self._part(batch), params)

    def _part(self, batch: ImageBatch) -> ImageBatch:
        """The images, and of their anatomy that part."""
        dark = batch.once(_dark)
        return replace(batch, anatomy=batch.anatomy & (dark if self.tissue == "dark" else ~dark))


def _dark(batch: ImageBatch) -> Tensor:
    """Where the means of the anatomy lie below its threshold: bool ``(n, 1, *spatial)``."""
    mask = batch.anatomy.float()
    grey = batch.pixels.mean(1, keepdim=True)
    sigma = torch.full((len(batch),), BLUR_MM)
    level = local_mean(grey, batch.anatomy, batch.spacing_mm, sigma)
    pool = functional.avg_pool2d if len(batch.spatial) == 2 else functional.avg_pool3d
    cells = [max(1, size // CELLS) for size in batch.spatial]
    inside = pool(mask, cells).flatten(1)
    values = pool(level * mask, cells).flatten(1) / inside.clamp_min(1e-6)
    threshold = _otsu(values, inside)
    return level <= threshold.to(level.dtype).view(-1, *(1,) * (level.ndim - 1))


def _otsu(values: Tensor, weights: Tensor) -> Tensor:
    """Of values ``(n, m)`` that count by weights the threshold that parts them best: ``(n,)``."""
    values, order = values.double().sort(1)  # in single precision faint cells are lost in a sum
    weights = weights.double().gather(1, order)
    below, sums = weights.cumsum(1), (values * weights).cumsum(1)
    all_of, total = below[:, -1:], sums[:, -1:]
    apart = (total * below - sums * all_of).square() / (below * (all_of - below)).clamp_min(1e-6)
    last = apart[:, :-1].argmax(1, keepdim=True)
    return (values.gather(1, last) + values.gather(1, last + 1)).squeeze(1) / 2
