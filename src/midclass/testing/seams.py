"""Seams: whether a linear probe tells shams from untouched images.

A network learns the seam of an operator instead of its knowledge wherever one is left (the reason
why Poisson blending helped: Schlueter et al., NSA, ECCV 2022). What is left in the shams of the
given class is no cue, so shams must look untouched.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import cross_val_score
from torch import Tensor
from torch.nn import functional

from midclass.knowledge._visibility import box_mean
from midclass.testing.scenes import example_batch
from midclass.testing.subject import Subject
from midclass.types import ImageBatch

HIGHEST_AUROC = 0.65
"""Chance is 0.5 with a standard deviation of 0.04 for so many images."""

IMAGES = 96
SIDE = 48


def shams_are_quiet(subject: Subject) -> str | None:
    """A sham keeps its form and changes less than the operator does."""
    sham = subject.operator.sham(subject.batch, subject.params)
    if sham.shape != subject.batch.pixels.shape:
        return "has a sham of another shape"
    change = (subject.middle.pixels - subject.batch.pixels).square().sum()
    if (sham - subject.batch.pixels).square().sum() > change:
        return "has a sham that changes more than the operator"
    return None


def shams_have_no_seams(subject: Subject) -> str | None:
    """Shams are not told from untouched images by their gradients at three scales."""
    scenes = _scenes(subject)
    half = scenes[:IMAGES]
    sham = subject.operator.sham(half, subject.draw(half))
    if torch.equal(sham, half.pixels):
        return None
    auroc = probe(sham, scenes[IMAGES:].pixels)
    if auroc > HIGHEST_AUROC:
        return (
            f"leaves seams: its shams are told from untouched images with an AUROC of {auroc:.2f}, "
            f"{HIGHEST_AUROC} is the most"
        )
    return None


def probe(sham: Tensor, untouched: Tensor) -> float:
    """Cross-validated AUROC of a logistic regression; the images of the two must differ."""
    features = np.concatenate([_statistics(untouched), _statistics(sham)])
    label = np.repeat([0, 1], [len(untouched), len(sham)])
    return float(cross_val_score(linear(), features, label, cv=4, scoring="roc_auc").mean())


def _scenes(subject: Subject) -> ImageBatch:
    """2-D images (3-D ones would take long), alike left and right, and blurred as detectors blur.

    On noise that is independent from sample to sample any resampling shows: no seam, but
    interpolation, which the nuisance does to every image. Alike left and right, because organs
    nearly are, and a sham may take the tissue that corresponds on the other side.
    """
    mm, channels = float(subject.batch.spacing_mm.mean()), subject.batch.pixels.shape[1]
    batch = example_batch(
        2, 2 * IMAGES, channels, subject.seed, size=(SIDE, SIDE), spacing_mm=(mm, mm)
    )
    blurred = box_mean(batch.pixels, 3)
    return batch.with_pixels((blurred + blurred.flip(-1)) / 2)


def _statistics(pixels: Tensor) -> NDArray[np.float32]:
    """Logarithms of quantiles of gradient and Laplacian, at three scales: ``(n, 30)``."""
    found = []
    for scale in (1, 2, 4):
        grey = functional.avg_pool2d(pixels.mean(1, keepdim=True), scale)
        down, right = grey.diff(dim=2)[..., :-1], grey.diff(dim=3)[..., :-1, :]
        laplacian = functional.avg_pool2d(grey, 3, 1) - grey[..., 1:-1, 1:-1]
        for values in ((down.square() + right.square()).sqrt(), laplacian.abs()):
            ordered = values.flatten(1).sort(dim=1).values
            at = [round(q * (ordered.shape[1] - 1)) for q in (0.05, 0.5, 0.95, 0.99, 1.0)]
            found.append(ordered[:, at])
    return np.asarray(torch.cat(found, 1).clamp_min(1e-6).log().numpy(), np.float32)


def linear() -> Any:
    """An unfitted logistic regression on standardised statistics, whose classes weigh the same."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = LogisticRegression(C=0.1, max_iter=1000, class_weight="balanced")
    return make_pipeline(StandardScaler(), model)
