"""Box: the part of each image in which an operator has anything to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from midclass.types import ImageBatch


@dataclass(frozen=True)
class Box:
    """A box of samples in each image, as many in all of them, wherever it lies in each.

    A lesion takes a tenth of an image or less. What is rendered, blended and measured in its box
    alone costs a tenth, and nothing is lost where the box holds all that changes.

    Attributes:
        first: int64 ``(n, d)``, the first sample along each axis.
        size: samples along each axis.
        spatial: of the images.
        spacing_mm: ``(n, d)``, of the images.

    >>> batch = ImageBatch.of(torch.zeros(2, 1, 32, 48), spacing_mm=0.5)
    >>> Box.around(batch, torch.tensor([[0.0, 0.0], [-7.0, 9.0]]), torch.tensor([2.0, 2.0])).size
    (10, 10)
    """

    first: Tensor
    size: tuple[int, ...]
    spatial: tuple[int, ...]
    spacing_mm: Tensor

    @classmethod
    def whole(cls, batch: ImageBatch) -> Box:
        """All of every image."""
        first = torch.zeros_like(batch.spacing_mm, dtype=torch.int64)
        return cls(first, batch.spatial, batch.spatial, batch.spacing_mm)

    @classmethod
    def around(cls, batch: ImageBatch, centre: Tensor, reach_mm: Tensor) -> Box:
        """What is at most so far along each axis from a place.

        Args:
            batch: the images.
            centre: ``(n, d)`` mm from the image's centre.
            reach_mm: ``(n, d)``, or what can be expanded to it.
        """
        half = (torch.tensor(batch.spatial, device=centre.device) - 1) / 2
        first = ((centre - reach_mm) / batch.spacing_mm + half).floor()
        last = ((centre + reach_mm) / batch.spacing_mm + half).ceil()
        return cls._between(batch.spatial, batch.spacing_mm, first, last)

    @classmethod
    def holding(cls, batch: ImageBatch, values: Tensor, least: float = 0.0) -> Box:
        """All samples of ``(n, 1, *spatial)`` values above the least."""
        firsts, lasts = [], []
        for axis, size in enumerate(batch.spatial, start=2):
            others = tuple(k for k in range(1, values.ndim) if k != axis)
            there = (values.amax(others) > least).to(torch.uint8)
            firsts.append(there.argmax(1))
            lasts.append(size - 1 - there.flip(1).argmax(1))
        some = there.amax(1, keepdim=True) > 0  # of none, the first sample alone
        first, last = torch.stack(firsts, 1), torch.stack(lasts, 1)
        return cls._between(batch.spatial, batch.spacing_mm, first, torch.where(some, last, first))

    @classmethod
    def of_anatomy(cls, batch: ImageBatch) -> Box:
        """All of the anatomy, outside which nothing changes."""
        return cls.holding(batch, batch.anatomy)

    def common(self, other: Box) -> Box:
        """What both hold, and some sample where they hold none together."""
        ends = [
            box.first + torch.tensor(box.size, device=box.first.device) for box in (self, other)
        ]
        last = torch.minimum(*ends) - 1
        first = torch.minimum(torch.maximum(self.first, other.first), last)
        return self._between(self.spatial, self.spacing_mm, first, last)

    @classmethod
    def _between(
        cls, spatial: tuple[int, ...], spacing_mm: Tensor, first: Tensor, last: Tensor
    ) -> Box:
        """From the first to the last sample ``(n, d)``, and more where another image has more."""
        end = torch.tensor(spatial, device=first.device)
        first = torch.minimum(first.clamp_min(0).long(), end - 1)
        last = torch.minimum(last.clamp_min(0).long(), end - 1)
        size = (last - first).amax(0) + 1
        sides = tuple(int(side) for side in size.tolist())
        return cls(torch.minimum(first, end - size), sides, spatial, spacing_mm)

    def grown(self, samples: int) -> Box:
        """With so many samples more on each side, as far as there are any."""
        pairs = zip(self.size, self.spatial, strict=True)
        size = tuple(min(side + 2 * samples, most) for side, most in pairs)
        end = torch.tensor(self.spatial, device=self.first.device)
        most = end - torch.tensor(size, device=end.device)
        first = torch.minimum((self.first - samples).clamp_min(0), most)
        return replace(self, first=first, size=size)

    def within(self, outer: Box) -> Box:
        """The same box, in what a larger box cuts out."""
        return replace(self, first=self.first - outer.first, spatial=outer.size)

    def away_mm(self, centre: Tensor) -> list[Tensor]:
        """How far each sample is from a place ``(n, d)``, along each axis: broadcasts together.

        One tensor per axis, ``(n, 1, ..., side, ..., 1)``: what is separable is computed once per
        line of samples and not once per sample.
        """
        parts = []
        for axis, side in enumerate(self.size):
            steps = torch.arange(side, device=centre.device) + self.first[:, axis, None]
            steps = steps - (self.spatial[axis] - 1) / 2
            parts.append(steps * self.spacing_mm[:, axis, None] - centre[:, axis, None])
        return self.spread(parts)

    def spread(self, lines: Sequence[Tensor]) -> list[Tensor]:
        """Values ``(n, side)`` along each axis as tensors that broadcast to ``(n, 1, *size)``."""
        dims = len(self.size)
        return [
            line.view(len(line), 1, *(1,) * axis, -1, *(1,) * (dims - 1 - axis))
            for axis, line in enumerate(lines)
        ]

    def cut(self, values: Tensor) -> Tensor:
        """Of ``(n, c, *spatial)`` values those in the box: ``(n, c, *size)``."""
        if self.size == self.spatial:
            return values
        index = self._index.expand(-1, values.shape[1], -1)
        inside: Tensor = values.flatten(2).gather(2, index)
        return inside.view(*values.shape[:2], *self.size)

    def paste(self, part: Tensor, onto: Tensor) -> Tensor:
        """``(n, c, *spatial)`` values with others ``(n, c, *size)`` in the box."""
        if self.size == self.spatial:
            return part
        index = self._index.expand(-1, part.shape[1], -1)
        pasted = onto.flatten(2).scatter(2, index, part.flatten(2))
        return pasted.view(*part.shape[:2], *self.spatial)

    def alone(self, part: Tensor) -> Tensor:
        """``(n, c, *spatial)`` values, 0 outside the box."""
        return self.paste(part, part.new_zeros(*part.shape[:2], *self.spatial))

    @cached_property
    def _index(self) -> Tensor:
        """Of each sample of the box, its place among all: ``(n, 1, samples)``."""
        lines: list[Tensor] = []
        stride = 1
        for axis in reversed(range(len(self.size))):
            steps = torch.arange(self.size[axis], device=self.first.device)
            lines.insert(0, (steps + self.first[:, axis, None]) * stride)
            stride *= self.spatial[axis]
        index = self.spread(lines)
        total = index[0]
        for line in index[1:]:
            total = total + line
        return total.flatten(2)
