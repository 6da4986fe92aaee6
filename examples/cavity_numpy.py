"""Cavity in numpy: a function of one image becomes an operator by its last line."""

from __future__ import annotations

import numpy as np

from midclass import Lengths, Range, per_image


def cavity(
    image: np.ndarray,
    anatomy: np.ndarray,
    spacing_mm: tuple[float, ...],
    rng: np.random.Generator,
    diameter_mm: Lengths = (12, 35),
    wall_mm: Lengths = (2, 5),
    air: Range = (0.1, 0.3),
    contrast: Range = (0.05, 0.15),
) -> tuple[np.ndarray, np.ndarray]:
    """An air-filled cavity: darker than its surroundings, with a thin bright wall.

    Why: a cavity is a gas-filled space, seen as a lucency or low-attenuation area, within
    consolidation, a mass or a nodule, whose wall remains around it (Hansell et al., Fleischner
    Society: Glossary of Terms for Thoracic Imaging, Radiology 246:697, 2008, "cavity").
    """
    places = np.argwhere(anatomy) if anatomy.any() else np.zeros((1, anatomy.ndim), int)
    centre = places[int(rng.random() * len(places))]
    samples = np.moveaxis(np.indices(anatomy.shape), 0, -1) - centre
    outwards_mm = np.linalg.norm(samples * spacing_mm, axis=-1) - rng.uniform(*diameter_mm) / 2
    inside = _rise(-outwards_mm)
    alpha = _rise(rng.uniform(*wall_mm) - outwards_mm)
    wall, lumen = image + rng.uniform(*contrast), image * (1 - rng.uniform(*air))
    return wall + inside * (lumen - wall), alpha


def _rise(inwards_mm: np.ndarray) -> np.ndarray:
    """From 0 to 1 over about 2 mm."""
    return 0.5 + 0.5 * np.tanh(inwards_mm)


Cavity = per_image(cavity, border_mm=5.0)
