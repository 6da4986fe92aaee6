"""How strong the baselines are where the literature says how strong they should be: on digits.

Run it from the root of a checkout; it needs no download::

    python benchmarks/baselines.py [--detectors pca deep_svdd] [--digits 0 1] [--steps 150]

Each digit of scikit-learn's 8 x 8 digits (UCI Optical Recognition of Handwritten Digits) is the
given class once, all others the target class (Ruff et al., "Deep one-class classification", ICML
2018, do so with MNIST). Seven tenths of the given digit are fitted with (of which a fifth only
calibrates and a tenth chooses), the rest and all others are scored. One table: AUROC in per cent.

The figures of the papers are for MNIST: 28 x 28 pixels and forty times as many images to learn
from (6000 a digit here and there 124), so they say the order of magnitude alone. Means over the
digits in Table 1 of Ruff et al.: OC-SVM 91.3, kernel density 81.4, isolation forest 85.8, deep
convolutional autoencoder 89.7, AnoGAN 91.3, soft-boundary Deep SVDD 93.6, one-class Deep SVDD 94.8.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

from midclass import Recipe, prepare_array
from midclass.detectors.catalogue import detector_class
from midclass.detectors.plausible import Plausible
from midclass.evaluation.metrics import auroc

DETECTORS = (
    "pca",
    "one_class_svm",
    "nearest_neighbour",
    "mahalanobis",
    "autoencoder",
    "denoising_autoencoder",
    "deep_svdd",
    "ganomaly",
    "rotation",
    "cutpaste",
    "perturbation",
    "constrained",
    "nsa",
)
SIDE = 32


def digits() -> tuple[np.ndarray, np.ndarray]:
    """``(1797, 1, SIDE, SIDE)`` in [0, 1] and which digit each is."""
    found = load_digits()
    small = torch.from_numpy(found.images).float().unsqueeze(1) / 16
    large = functional.interpolate(small, size=(SIDE, SIDE), mode="bilinear")
    return large.clamp(0, 1).numpy(), found.target


def recipe(**budget: object) -> Recipe:
    """No nuisance, and the whole image: what the papers do. Baselines use no middle class."""
    return Recipe.from_dict(
        {
            "name": "digits",
            "given_class": "one digit",
            "target_class": "the other digits",
            "geometry": {"size": [SIDE, SIDE], "spacing_mm": 1.0},
            "anatomy": "anatomy.whole",
            "middle_classes": {"unused": {"operator": "focal.Focal"}},
            "nuisance": None,
            "budget": budget,
        }
    )


def one_digit(name: str, digit: int, seed: int, **budget: object) -> float:
    """AUROC of a detector that has seen one digit."""
    images, target = digits()
    rng = np.random.default_rng(seed)
    own, others = rng.permutation(np.flatnonzero(target == digit)), np.flatnonzero(target != digit)
    learned, unseen = np.split(own, [round(0.7 * len(own))])
    task = recipe(**budget)
    detector = detector_class(name)(task)
    detector.fit(prepare_array(images[learned], task), seed=seed, max_fpr=0.1)
    scored = np.concatenate([unseen, others])
    detector.plausible_ = Plausible()  # another digit is another picture, which is not assessed
    scores = detector.score_samples(prepare_array(images[scored], task))
    return auroc((target[scored] != digit).astype(int), scores)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--detectors", nargs="+", default=DETECTORS, choices=DETECTORS)
    parser.add_argument("--digits", nargs="+", type=int, default=range(10))
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    print(f"{'AUROC, %':24}" + "".join(f"{digit:6}" for digit in asked.digits) + "   mean      s")
    for name in asked.detectors:
        start = time.perf_counter()
        figures = [
            100 * one_digit(name, digit, asked.seed, steps=asked.steps) for digit in asked.digits
        ]
        row = "".join(f"{figure:6.1f}" for figure in figures)
        mean, seconds = np.mean(figures), time.perf_counter() - start
        print(f"{name:24}{row} {mean:6.1f} {seconds:6.0f}", flush=True)


if __name__ == "__main__":
    main()
