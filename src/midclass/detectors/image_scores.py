"""Scores worth having: what a trained network says of an image, as one number each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from midclass.evaluation.metrics import auroc
from midclass.training.reading import only_inside, top_mean

NAMES = ("log_odds", "change", "distance")
"""Of the network that learns by itself, in the order of the columns of a score matrix."""
BY_HEADS = ("log_odds_by_heads", "change_by_heads")
"""Of the heads on pretrained maps, after the others. The distance in the features of these heads is
left out: it saw little, and another witness compares the maps themselves."""

CLEARLY = 0.05
"""A better AUROC on a hundred held-out images; its standard error there is about .03."""

USABLE = 0.5 + CLEARLY
"""An AUROC by which something may be chosen; nothing can be learned from one at chance."""


def log_odds(logits: Tensor) -> Tensor:
    """Log-odds of any other class against the given class: ``(n, K + 1)`` to ``(n,)``."""
    return logits[:, 1:].logsumexp(1) - logits[:, 0]


def top_change(change: Tensor, anatomy: Tensor, share: float = 0.002) -> Tensor:
    """Mean of the highest logits of the change map inside the anatomy: ``(n,)``.

    Args:
        change: logits ``(n, 1, *spatial)``.
        anatomy: bool, same shape.
        share: of the image's samples that count as the highest.
    """
    return top_mean(only_inside(change, anatomy), share)


LARGE = 1e9
"""From here on the inverse hyperbolic sine is the logarithm of the double, to the last digit."""


def asinh(x: Tensor) -> Tensor:
    """The inverse hyperbolic sine by a logarithm: ONNX has it in single precision alone.

    >>> round(float(asinh(torch.tensor(-2.0, dtype=torch.float64)) - np.arcsinh(-2.0)), 12)
    0.0
    """
    size = x.abs()
    near = size.clamp_max(LARGE)  # its square must be a number
    root = (near + (near.square() + 1).sqrt()).log()
    return x.sign() * torch.where(size > LARGE, size.log() + math.log(2), root)


@dataclass(frozen=True)
class GivenClass:
    """Where the features of the given class lie: their mean and inverse covariance.

    The Mahalanobis distance to it is small for what training has seen (Lee et al., NeurIPS 2018);
    the covariance is shrunk (Ledoit and Wolf, J Multivariate Analysis 88:365, 2004), because
    there may be fewer images than features.
    """

    mean: Tensor  # (f,)
    inverse: Tensor  # (f, f)

    @classmethod
    def of(cls, features: Tensor) -> GivenClass:
        """Fit to ``(n, f)`` features of the given class."""
        from sklearn.covariance import LedoitWolf

        fitted = LedoitWolf().fit(features.double().numpy())
        return cls(
            torch.from_numpy(fitted.location_).float(), torch.from_numpy(fitted.precision_).float()
        )

    def distance(self, features: Tensor) -> Tensor:
        """``(n,)`` Mahalanobis distances."""
        from_mean = features.to(self.mean.device).double() - self.mean.double()
        squared = (from_mean @ self.inverse.double() * from_mean).sum(1)
        return squared.clamp_min(0).sqrt().float()


@dataclass(frozen=True)
class Combination:
    """One score out of several: their mean, each in units of the given class.

    ``score = mean of asinh((raw - centre) / spread)``; centre and spread (median, and 1.4826
    median absolute deviations) are those of given-class images held out of training. The inverse
    hyperbolic sine grows like a logarithm, so that an outlier of one score (bone in a slice of the
    skull base is 40 spreads off) does not outvote the others, nor one slice a patient.

    Scores by heads have a mean of their own. They are another witness, and of witnesses the soft
    maximum counts, ``log(exp + exp)``.

    All scores always count. To take the one that was much better on held-out operators cost
    .04 to .15 AUROC on collections on which no recipe was made: a few dozen images cannot tell.

    Attributes:
        chosen: names of the scores that count; detectors of before hold one alone in places.
        centre: of each score.
        spread: of each score.
        names: of all scores ``(k,)``.
    """

    chosen: tuple[str, ...]
    centre: tuple[float, ...]
    spread: tuple[float, ...]
    names: tuple[str, ...] = NAMES

    @classmethod
    def of(cls, given: NDArray[np.float64], names: tuple[str, ...] = NAMES) -> Combination:
        """In units of given-class images ``(n, k)``, columns as ``names``."""
        centre = np.median(given, axis=0)
        spread = np.maximum(1.4826 * np.median(np.abs(given - centre), axis=0), 1e-6)
        return cls(names, tuple(centre.tolist()), tuple(spread.tolist()), names)

    def figures(self, given: NDArray[np.float64], middle: NDArray[np.float64]) -> dict[str, float]:
        """AUROC between given ``(n, k)`` and middle classes ``(m, k)``, together and one by one."""
        label = np.repeat([0, 1], [len(given), len(middle)])
        both = np.concatenate([given, middle])
        ways = [self, *(replace(self, chosen=(name,)) for name in self.names)]
        return {"+".join(way.chosen): auroc(label, way(both)) for way in ways}

    def __call__(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """``(n, k)`` scores to ``(n,)``."""
        relative = self.relative(raw)
        means = [relative[:, those].mean(1) for those in self._witnesses]
        combined: NDArray[np.float64] = np.logaddexp.reduce(means)
        return combined

    def relative(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Each score in units of the given class: ``(n, k)``."""
        in_units: NDArray[np.float64] = np.arcsinh(
            (raw - np.array(self.centre)) / np.array(self.spread)
        )
        return in_units

    def traced(self, raw: Tensor) -> Tensor:
        """The same as a call, of float64 tensors, as an exporter can follow it."""
        relative = self.relative_traced(raw)
        means = [relative[:, those].mean(1) for those in self._witnesses]
        return torch.stack(means).logsumexp(0)

    def relative_traced(self, raw: Tensor) -> Tensor:
        """The same as ``relative``."""
        return asinh((raw - raw.new_tensor(self.centre)) / raw.new_tensor(self.spread))

    @property
    def _witnesses(self) -> list[list[int]]:
        """Columns of the scores of each witness."""
        columns = {name: self.names.index(name) for name in self.chosen}
        witnesses = [
            [column for name, column in columns.items() if (name in BY_HEADS) == by_heads]
            for by_heads in (False, True)
        ]
        return [those for those in witnesses if those]
