"""The words of midclass as types: a batch of images, and what knowledge makes of it.

Conventions, everywhere:

* Images are float32 of shape ``(n, c, *spatial)`` with values in [0, 1]; ``spatial`` is
  ``(h, w)`` or ``(d, h, w)``.
* Lengths are in millimetres and end in ``_mm``; ``spacing_mm`` is the distance between neighbouring
  samples, one number per spatial axis, in the order of the axes.
* The positive class is the target class: label 1. A higher score is more abnormal.
* Randomness comes from an explicit ``torch.Generator`` on the CPU and is recorded in ``Params``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, TypeAlias

import torch
from pydantic import AfterValidator
from torch import Tensor

Params: TypeAlias = dict[str, Tensor]
"""What one call of an operator drew: each tensor has one row for each image of the batch."""


def of_rows(params: Params, rows: slice | Tensor) -> Params:
    """The draw of some of the images; of numbers on any device."""
    if isinstance(rows, slice):
        return {name: values[rows] for name, values in params.items()}
    return {name: values[rows.to(values.device)] for name, values in params.items()}


def _not_below_0(value: float) -> float:
    if value < 0:
        raise ValueError("expected a length above 0")
    return value


def _above_0(what: str) -> AfterValidator:
    def checked(bounds: tuple[float, float]) -> tuple[float, float]:
        if min(bounds) <= 0:
            raise ValueError(f"expected {what} above 0")
        return bounds

    return AfterValidator(checked)


Range: TypeAlias = tuple[float, float]
"""An argument of an operator: its lowest and its highest value."""
Length: TypeAlias = Annotated[float, AfterValidator(_not_below_0)]
"""An argument that is a length in mm; 0 turns something off."""
Lengths: TypeAlias = Annotated[Range, _above_0("a length")]
"""A range of lengths in mm. A recipe that gives 0 or less is refused."""
Positive: TypeAlias = Annotated[Range, _above_0("numbers")]
"""A range of other numbers, refused likewise."""


@dataclass(frozen=True)
class ImageBatch:
    """A batch of prepared images on one device.

    Attributes:
        pixels: float32 ``(n, c, *spatial)`` in [0, 1].
        anatomy: bool ``(n, 1, *spatial)``, where disease can be.
        spacing_mm: float32 ``(n, d)``, one row per image, one column per spatial axis.

    >>> batch = ImageBatch.of(torch.zeros(4, 1, 32, 32), spacing_mm=0.5)
    >>> len(batch), batch.spatial, batch[:2].spacing_mm.tolist()
    (4, (32, 32), [[0.5, 0.5], [0.5, 0.5]])
    """

    pixels: Tensor
    anatomy: Tensor
    spacing_mm: Tensor
    _measured: dict[Callable[[ImageBatch], Tensor], Tensor] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        n, dims = self.pixels.shape[0], self.pixels.ndim - 2
        if dims not in (2, 3):
            raise ValueError(
                f"pixels must be (n, c, h, w) or (n, c, d, h, w), got {tuple(self.pixels.shape)}"
            )
        if self.anatomy.shape != (n, 1, *self.spatial) or self.anatomy.dtype != torch.bool:
            raise ValueError(
                f"anatomy must be bool {(n, 1, *self.spatial)}, "
                f"got {self.anatomy.dtype} {tuple(self.anatomy.shape)}"
            )
        if self.spacing_mm.shape != (n, dims):
            raise ValueError(f"spacing_mm must be {(n, dims)}, got {tuple(self.spacing_mm.shape)}")

    @classmethod
    def of(
        cls,
        pixels: Tensor,
        anatomy: Tensor | None = None,
        spacing_mm: float | Sequence[float] | Tensor = 1.0,
    ) -> ImageBatch:
        """Make a batch; without an anatomy, disease can be anywhere."""
        n, dims = pixels.shape[0], pixels.ndim - 2
        if anatomy is None:
            anatomy = torch.ones(n, 1, *pixels.shape[2:], dtype=torch.bool, device=pixels.device)
        spacing = torch.as_tensor(spacing_mm, dtype=torch.float32, device=pixels.device)
        return cls(pixels.float(), anatomy, spacing.expand(n, dims).clone())

    def __len__(self) -> int:
        return self.pixels.shape[0]

    def __getitem__(self, index: slice | Tensor) -> ImageBatch:
        """Some of the images, still as a batch."""
        return ImageBatch(self.pixels[index], self.anatomy[index], self.spacing_mm[index])

    def split(self, size: int) -> list[ImageBatch]:
        """The images in order, in parts of at most so many."""
        return [self[start : start + size] for start in range(0, len(self), size)]

    @property
    def spatial(self) -> tuple[int, ...]:
        """``(h, w)`` or ``(d, h, w)``."""
        return tuple(self.pixels.shape[2:])

    @classmethod
    def joined(cls, batches: Sequence[ImageBatch]) -> ImageBatch:
        """Several batches of the same shape as one."""
        return cls(
            torch.cat([batch.pixels for batch in batches]),
            torch.cat([batch.anatomy for batch in batches]),
            torch.cat([batch.spacing_mm for batch in batches]),
        )

    def once(self, measure: Callable[[ImageBatch], Tensor]) -> Tensor:
        """What a function measures of these images; measured once, for nobody writes into them."""
        if measure not in self._measured:
            self._measured[measure] = measure(self)
        return self._measured[measure]

    def with_pixels(self, pixels: Tensor) -> ImageBatch:
        """The same geometry with other pixels."""
        return replace(self, pixels=pixels)

    def to(self, device: torch.device | str) -> ImageBatch:
        """The same batch on another device."""
        return ImageBatch(
            self.pixels.to(device), self.anatomy.to(device), self.spacing_mm.to(device)
        )


@dataclass(frozen=True)
class Middle:
    """Images of one middle class.

    Attributes:
        pixels: float32 ``(n, c, *spatial)`` in [0, 1].
        change: float32 ``(n, 1, *spatial)`` in [0, 1]; 0 where the image is untouched.
        severity: float32 ``(n,)`` in [0, 1], measured after insertion; 0 where nothing changed.
    """

    pixels: Tensor
    change: Tensor
    severity: Tensor


Progress: TypeAlias = Callable[[int, int, str], None]
"""Called with (step, steps, text)."""
