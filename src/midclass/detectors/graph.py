"""Graph: a fitted detector as one torch module, from prepared pixels to score, p-value and flag.

What leaves midclass must say the same as midclass. Where a detector's own path to a score is not of
torch alone it has a second one, ``traced``, beside the first; a law in the tests holds them equal,
and so does every export, on images.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from midclass.detectors.base import Detector
from midclass.detectors.folds import Folds, learners
from midclass.detectors.image_scores import asinh
from midclass.detectors.places import nearness
from midclass.evaluation.cross_conformal import EDGE, FAR, units_of
from midclass.evaluation.ranking import FloatArray
from midclass.images.prepared import Prepared
from midclass.images.tiles import over_anatomy
from midclass.types import ImageBatch

TIE = 1e-3
"""Of the spread of the calibration scores: what is nearer to one of them counts as equal to it.

Another machine, another order of sums: a score is never the same to the last digit there. Without
this the very case that set the threshold would be above it half of the time. A p-value can only
become larger by it, so that the promise holds."""
NOT_ASSESSED = -1
"""The flag of an image without any anatomy."""


@runtime_checkable
class Traced(Protocol):
    """A detector whose score an exporter can follow."""

    def traced(self, images: ImageBatch) -> tuple[Tensor, Tensor | None]:
        """``Detector.score`` by operations of torch alone, the same for batches of any size.

        No control flow depends on pixels, and nothing is rounded on the way. On the detector's
        device.
        """


NAMES = ("score", "p_value", "flag", "heat_map")
"""Of what a graph says of n images:

* ``score``: float64 ``(n,)``; NaN without any anatomy.
* ``p_value``: float64 ``(n,)``; likewise.
* ``flag``: int64 ``(n,)``: 1 above the threshold, 0 not, ``NOT_ASSESSED`` without any anatomy.
* ``heat_map``: float32 ``(n, *spatial)`` in [0, 1]; not there where a detector makes none.
"""


class Graph(nn.Module, ABC):
    """A fitted detector from prepared images to all that it says of them: ``NAMES``, in this order.

    Args:
        detector: fitted, of a kind that is ``Traced``.

    Raises:
        TypeError: it is of another kind.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        members = learners(detector)
        self._members = [one for one in members if isinstance(one, Traced)]
        if len(self._members) < len(members):
            raise TypeError(type(detector).__name__)
        self._folds, self._threshold = detector.folds_, detector.threshold_
        self._heat = detector.makes_heat_maps
        self._calibration = torch.from_numpy(np.asarray(detector.calibration_, np.float64))
        self.tie = 0.0 if self._folds is not None else tie_of(detector.calibration_)

    @abstractmethod
    def example(self, shape: Sequence[int]) -> dict[str, Tensor]:
        """Inputs of ``forward`` by name; the first axis may have any length where it is not 1.

        Args:
            shape: of prepared images, ``(n, c, *spatial)``.
        """

    @abstractmethod
    def inputs(self, prepared: Prepared, rows: NDArray[np.int64]) -> Iterator[dict[str, Tensor]]:
        """Inputs for some of the images, as many together as can be."""

    def _seen(self, pixels: Tensor, anatomy: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scores of each member, float64 ``(n, K)``, and the mean of their heat."""
        spacing_mm = torch.ones(pixels.shape[0], pixels.ndim - 2)  # no score depends on it
        images = ImageBatch(pixels, anatomy, spacing_mm)
        found = [member.traced(images) for member in self._members]
        scores = torch.stack([score.double() for score, _ in found], 1)
        maps = [heat for _, heat in found if heat is not None]
        return scores, torch.stack(maps).mean(0) if self._heat and maps else None

    def _said(self, scores: Tensor, heat: Tensor | None, anatomy: Tensor) -> tuple[Tensor, ...]:
        score = scores[:, 0] if self._folds is None else of_folds(self._folds, scores)
        seen = anatomy.flatten(1).any(1)
        least = (score - self.tie)[:, None]
        above = (self._calibration >= least).sum(1)
        p_value = (1 + above).double() / (1 + len(self._calibration))
        flag = torch.where(seen, (score - self.tie > self._threshold).long(), NOT_ASSESSED)
        said = [torch.where(seen, one, torch.nan) for one in (score, p_value)]
        return (*said, flag) if heat is None else (*said, flag, (heat * anatomy).squeeze(1))

    @property
    def names(self) -> list[str]:
        """Of what ``forward`` gives."""
        return list(NAMES if self._heat else NAMES[:-1])


class DetectorGraph(Graph):
    """Of images of one sample each."""

    def forward(self, pixels: Tensor, anatomy: Tensor) -> tuple[Tensor, ...]:
        """What ``NAMES`` says, in this order.

        Args:
            pixels: float32 ``(n, c, *spatial)`` in [0, 1], prepared.
            anatomy: bool ``(n, 1, *spatial)``.
        """
        return self._said(*self._seen(pixels, anatomy), anatomy)

    def example(self, shape: Sequence[int]) -> dict[str, Tensor]:
        """Two images."""
        pixels = torch.rand(2, *shape[1:], generator=torch.Generator().manual_seed(0))
        return {"pixels": pixels, "anatomy": torch.ones(2, 1, *shape[2:], dtype=torch.bool)}

    def inputs(self, prepared: Prepared, rows: NDArray[np.int64]) -> Iterator[dict[str, Tensor]]:
        """The images, together."""
        images = prepared.batch(rows)
        yield {"pixels": images.pixels, "anatomy": images.anatomy}


class TilesGraph(Graph):
    """Of one large image, which is seen by its tiles."""

    def __init__(self, detector: Detector) -> None:
        super().__init__(detector)
        self._geometry = detector.recipe.geometry
        self._near = torch.from_numpy(nearness(self._geometry.size[0]))

    def forward(self, pixels: Tensor, anatomy: Tensor, corners: Tensor) -> tuple[Tensor, ...]:
        """What ``NAMES`` says, of one image.

        Args:
            pixels: float32 ``(1, c, h, w)`` in [0, 1], prepared.
            anatomy: bool ``(1, 1, h, w)``.
            corners: int64 ``(t, 2)``, first row and column of each tile, see ``tiles.planned``.
        """
        side = self._geometry.size[0]
        down, across = (at[:, None] + torch.arange(side) for at in corners.unbind(1))
        at = (slice(None), down[:, :, None], across[:, None, :])
        tiles, inside = (one[0][at].swapaxes(0, 1) for one in (pixels, anatomy))
        scores, heat = self._seen(tiles, inside)
        weights = self._near * inside.double().mean((1, 2, 3))[:, None, None] ** 2
        places = (down[:, :, None] * anatomy.shape[-1] + across[:, None, :]).flatten()

        def laid(values: Tensor) -> Tensor:
            """Each tile's values where it lies, their sum: ``(t, side, side)`` to ``(h, w)``."""
            grid = torch.zeros(anatomy.numel(), dtype=torch.float64)
            return grid.scatter_add(0, places, values.flatten()).reshape(anatomy.shape[2:])

        total = laid(weights)
        shares = torch.where(total > 0, total, 1)
        columns = [laid(weights * one[:, None, None]) / shares for one in scores.unbind(1)]
        highest = torch.stack(
            [one.where(anatomy[0, 0], -torch.inf).flatten().amax(0) for one in columns]
        )
        if heat is not None:
            heat = (laid(weights * heat[:, 0]) / shares).clamp(0, 1).float()[None, None]
        return self._said(highest[None], heat, anatomy)

    def example(self, shape: Sequence[int]) -> dict[str, Tensor]:
        """One image, and two tiles."""
        pixels, anatomy = torch.rand(1, *shape[1:]), torch.ones(1, 1, *shape[2:], dtype=torch.bool)
        corners = torch.zeros(2, 2, dtype=torch.int64)
        return {"pixels": pixels, "anatomy": anatomy, "corners": corners}

    def inputs(self, prepared: Prepared, rows: NDArray[np.int64]) -> Iterator[dict[str, Tensor]]:
        """One image after another."""
        for row in rows.tolist():
            corners = over_anatomy(prepared, [row], self._geometry).corners
            image = prepared.batch(np.array([row]))
            yield {
                "pixels": image.pixels,
                "anatomy": image.anatomy,
                "corners": torch.from_numpy(corners),
            }


def graph_of(detector: Detector) -> Graph:
    """The graph of a detector, by the view of its recipe."""
    return (TilesGraph if detector.recipe.geometry.view == "tiles" else DetectorGraph)(detector)


def tie_of(calibration: FloatArray) -> float:
    """What is a tie with one of these scores, see ``TIE``."""
    return TIE * float(np.std(calibration)) if len(calibration) else 0.0


def of_folds(folds: Folds, scores: Tensor) -> Tensor:
    """``cross_conformal_scores`` of tensors: ``(n, K)`` to ``(n,)``."""
    count, total, units = torch.zeros_like(scores[:, 0], dtype=torch.int64), 0, list[Tensor]()
    for values, column in zip(folds.calibrations, scores.T, strict=True):
        total += len(values)
        if len(values):
            known = torch.from_numpy(np.asarray(values, np.float64))
            count = count + (known >= (column - tie_of(values))[:, None]).sum(1)
            middle, spread = units_of(values)
            units.append(asinh(((column - middle) / spread).clamp(-FAR, FAR)))
    between = (-torch.stack(units).mean(0)).sigmoid()
    edges = torch.tensor([EDGE, np.finfo(float).tiny, 1 - EDGE], dtype=torch.float64)
    least = torch.where(count == 0, edges[1], edges[0])
    between = torch.minimum(torch.maximum(between, least), edges[2])
    return -((count + between) / (total + 1)).log() / float(np.log(10))
