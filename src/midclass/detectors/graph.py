"""Graph: a fitted detector as one torch module, from prepared pixels to score, p-value and flag.

What leaves midclass must say the same as midclass. Where a detector's own path to a score is not of
torch alone it has a second one, ``traced``, beside the first; a law in the tests holds them equal,
and so does every export, on images.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor, nn

from midclass.detectors.base import Detector
from midclass.detectors.folds import Folds
from midclass.detectors.image_scores import asinh
from midclass.evaluation.cross_conformal import EDGE, FAR, units_of
from midclass.evaluation.ranking import FloatArray
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


class DetectorGraph(nn.Module):
    """A fitted detector from prepared images to all that it says of them.

    Args:
        detector: fitted, of a kind that is ``Traced``.

    Raises:
        TypeError: it is of another kind.
    """

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        folds = detector.folds_
        members = [detector] if folds is None else list(folds.members)
        self._members = [one for one in members if isinstance(one, Traced)]
        if len(self._members) < len(members):
            raise TypeError(type(detector).__name__)
        self._folds, self._threshold = folds, detector.threshold_
        self._heat = detector.makes_heat_maps
        self._calibration = torch.from_numpy(np.asarray(detector.calibration_, np.float64))
        self.tie = 0.0 if folds is not None else tie_of(detector.calibration_)

    def forward(self, pixels: Tensor, anatomy: Tensor) -> tuple[Tensor, ...]:
        """What ``NAMES`` says, in this order.

        Args:
            pixels: float32 ``(n, c, *spatial)`` in [0, 1], prepared.
            anatomy: bool ``(n, 1, *spatial)``.
        """
        spacing_mm = torch.ones(pixels.shape[0], pixels.ndim - 2)  # no score depends on it
        images = ImageBatch(pixels, anatomy, spacing_mm)
        found = [member.traced(images) for member in self._members]
        scores = torch.stack([score.double() for score, _ in found], 1)
        score = scores[:, 0] if self._folds is None else of_folds(self._folds, scores)
        maps = [heat for _, heat in found if heat is not None]
        seen = anatomy.flatten(1).any(1)
        least = (score - self.tie)[:, None]
        above = (self._calibration >= least).sum(1)
        p_value = (1 + above).double() / (1 + len(self._calibration))
        flag = torch.where(seen, (score - self.tie > self._threshold).long(), NOT_ASSESSED)
        said = [torch.where(seen, one, torch.nan) for one in (score, p_value)]
        if not (self._heat and maps):
            return (*said, flag)
        heat = torch.stack(maps).mean(0) * anatomy
        return (*said, flag, heat.squeeze(1))

    @property
    def names(self) -> list[str]:
        """Of what ``forward`` gives."""
        return list(NAMES if self._heat else NAMES[:-1])


def tie_of(calibration: FloatArray) -> float:
    """What is a tie with one of these scores, see ``TIE``."""
    return TIE * float(np.std(calibration))


def of_folds(folds: Folds, scores: Tensor) -> Tensor:
    """``cross_conformal_scores`` of tensors: ``(n, K)`` to ``(n,)``."""
    count, total, units = torch.zeros(len(scores), dtype=torch.int64), 0, list[Tensor]()
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
