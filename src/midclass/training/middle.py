"""Middle classes: a batch of given-class images becomes a labelled batch of K+1 classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from midclass.knowledge.base import Knowledge
from midclass.knowledge.nuisance import Nuisance
from midclass.types import ImageBatch, Middle, Params, of_rows


@dataclass(frozen=True)
class LabelledBatch:
    """What a network is trained on.

    Attributes:
        images: the given-class images first, then as many of the middle classes.
        label: int64 ``(2n,)``: 0 for the given class, k for the k-th middle class.
        change: float32 ``(2n, 1, *spatial)``: the change map, 0 for the given class.
        severity: float32 ``(2n,)``.
        weight: float32 ``(2n,)``: 0 for a middle class below the visibility floor, whose label
            would be noise, else 1.
        mapped: float32 ``(2n,)``: 0 where the change map is unknown; None where all are known.
    """

    images: ImageBatch
    label: Tensor
    change: Tensor
    severity: Tensor
    weight: Tensor
    mapped: Tensor | None = None

    def with_positives(
        self, images: ImageBatch, label: int, change: Tensor | None = None
    ) -> LabelledBatch:
        """The batch and m target-class images.

        Args:
            images: m target-class images, as acquired.
            label: of their class.
            change: which part of them is abnormal, ``(m, 1, *spatial)``; None where nobody knows.
        """
        ones = torch.ones(len(images), device=self.weight.device)
        mapped = torch.ones_like(self.weight) if self.mapped is None else self.mapped
        unknown = torch.zeros_like(images.anatomy, dtype=torch.float32)
        return LabelledBatch(
            ImageBatch.joined([self.images, images]),
            torch.cat([self.label, torch.full_like(ones, label, dtype=torch.int64)]),
            torch.cat([self.change, unknown if change is None else change]),
            torch.cat([self.severity, ones]),
            torch.cat([self.weight, ones]),
            torch.cat([mapped, 0 * ones if change is None else ones]),
        )


@dataclass(frozen=True)
class MiddleClasses:
    """Makes one middle class per operator out of given-class images.

    Each image appears twice: as it is and with one operator applied, so that the two differ by
    the knowledge alone. A part of the given class goes through an operator's processing without
    its change (sham), and every image through the nuisance.

    Args:
        operators: the knowledge by name; the order gives the labels 1, 2, ...
        nuisance: acquisition variation, or None.
        sham: share of the given class that goes through a sham.
        floor: least severity at which a middle class counts.

    >>> from midclass.knowledge.focal import Focal
    >>> classes = MiddleClasses({"mass": Focal()}, Nuisance())
    >>> given = ImageBatch.of(torch.rand(4, 1, 32, 32))
    >>> classes(given, torch.Generator().manual_seed(0)).label.tolist()
    [0, 0, 0, 0, 1, 1, 1, 1]
    """

    operators: Mapping[str, Knowledge]
    nuisance: Nuisance | None
    sham: float = 0.25
    floor: float = 0.05

    @property
    def names(self) -> list[str]:
        """The given class and the middle classes, by label."""
        return ["given", *self.operators]

    def __call__(self, given: ImageBatch, rng: torch.Generator) -> LabelledBatch:
        """Make the labelled batch.

        Args:
            given: n given-class images; with n of at least the number of operators all are used.
            rng: CPU generator; the same state gives the same batch.
        """
        n, k = len(given), len(self.operators)
        given = given[torch.randperm(n, generator=rng).to(given.pixels.device)]
        first = int(torch.randint(k, (), generator=rng))  # who gets the odd image varies
        label = ((torch.arange(n) * k // n + first) % k + 1).sort().values
        normals, middles = [], []
        for number, operator in enumerate(self.operators.values(), start=1):
            part = given[label.to(given.pixels.device) == number]
            if len(part):
                params = operator.draw(part, rng)
                middles.append(operator.apply(part, params))
                normals.append(with_shams(part, operator, params, self.sham, rng))
        return self._labelled(given, torch.cat(normals), _joined(middles), label, rng)

    def _labelled(
        self,
        given: ImageBatch,
        normals: Tensor,
        middle: Middle,
        label: Tensor,
        rng: torch.Generator,
    ) -> LabelledBatch:
        """Both halves as one batch, seen through the nuisance."""
        twice = ImageBatch(
            torch.cat([normals, middle.pixels]),
            given.anatomy.repeat(2, *(1,) * (given.anatomy.ndim - 1)),
            given.spacing_mm.repeat(2, 1),
        )
        change = torch.cat([torch.zeros_like(middle.change), middle.change])
        severity = torch.cat([torch.zeros_like(middle.severity), middle.severity])
        if self.nuisance is not None:
            twice, change = self.nuisance.apply(twice, self.nuisance.draw(twice, rng), change)
        label = torch.cat([torch.zeros_like(label), label]).to(severity.device)
        weight = ((label == 0) | (severity >= self.floor)).float()
        return LabelledBatch(twice, label, change, severity, weight)


def with_shams(
    given: ImageBatch, operator: Knowledge, params: Params, share: float, rng: torch.Generator
) -> Tensor:
    """The pixels of the given class, a share of them after the operator's sham."""
    rows = (torch.rand(len(given), generator=rng) < share).nonzero().squeeze(1)
    if not len(rows):
        return given.pixels
    here = rows.to(given.pixels.device)
    sham = operator.sham(given[here], of_rows(params, rows))
    return given.pixels.index_copy(0, here, sham)


def _joined(middles: list[Middle]) -> Middle:
    return Middle(
        torch.cat([middle.pixels for middle in middles]),
        torch.cat([middle.change for middle in middles]),
        torch.cat([middle.severity for middle in middles]),
    )
