"""Localisation: how many lesions are found at how many false marks an image.

The free-response analysis (FROC: Bunch et al., Proc SPIE 127:124, 1977): a detector marks places.
Here a lesion is hit by a mark within its radius of its middle, and a mark in an image of the given
class is false. Marks beside the lesion of a target-class image count for nothing: there may be
another lesion that no table has.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from midclass.errors import InputError
from midclass.evaluation.metrics import share_interval
from midclass.evaluation.ranking import FloatArray

RATES = (0.1, 0.3, 1.0)
"""False marks an image at which shares of lesions are told."""
MOST = 20
"""Marks of an image."""
SMOOTHED = 0.25
"""Standard deviation by which heat is smoothed before its peaks are found, in units of how far
marks lie apart: where heat is full over a lesion, its middle is the highest."""


class Mark(NamedTuple):
    """A place that a detector points at, in pixels of the file; the higher the surer."""

    x: float
    y: float
    score: float


class Lesion(NamedTuple):
    """A place where there is a lesion: image, patient, middle and radius in pixels of the file."""

    image: str
    patient: str
    x: float
    y: float
    radius: float


def peaks(heat: NDArray[Any], apart: float) -> list[tuple[int, int, float]]:
    """The places of the highest heat, the highest first, none near a higher one.

    Args:
        heat: ``(h, w)`` from 0 on; 0 is no heat.
        apart: samples from one to the next, at least.

    Returns:
        Row, column and smoothed heat of each; ``MOST`` at most.

    >>> flat = np.zeros((9, 9))
    >>> flat[2, 2], flat[6, 6] = 0.5, 1.0
    >>> [place[:2] for place in peaks(flat, 3)]
    [(6, 6), (2, 2)]
    """
    left = ndi.gaussian_filter(np.asarray(heat, np.float64), SMOOTHED * apart, mode="nearest")
    left[np.asarray(heat) <= 0] = 0
    y, x = np.ogrid[: left.shape[0], : left.shape[1]]
    found = list[tuple[int, int, float]]()
    while len(found) < MOST:
        row, column = (int(at) for at in np.unravel_index(left.argmax(), left.shape))
        if left[row, column] <= 0:
            break
        found.append((row, column, float(left[row, column])))
        left[(y - row) ** 2 + (x - column) ** 2 < apart**2] = 0
    return found


def localisation(
    marks: Mapping[str, Sequence[Mark]], lesions: Sequence[Lesion], given: Collection[str]
) -> dict[str, Any]:
    """Shares of the lesions that are hit, at some numbers of false marks an image.

    Args:
        marks: of each image that was assessed, by its name.
        lesions: in such images, at least one; several may be in one.
        given: the images of the given class among them, at least one.

    Returns:
        ``lesions`` and ``given`` (how many), and ``hit``: by rate (``"0.1"``) ``value``, ``low``
        and ``high`` (95 % interval over patients) and ``level``, above which marks count: None
        where all do.

    Raises:
        InputError: there are no lesions, or no image of the given class.
    """
    if not lesions or not given:
        raise InputError("localisation needs lesions, and images of the given class")
    best = np.array([_best(marks[lesion.image], lesion) for lesion in lesions])
    false = np.sort([mark.score for image in given for mark in marks[image]])[::-1]
    patients = [lesion.patient for lesion in lesions]
    hit = {f"{rate:g}": _at(rate, best, false, len(given), patients) for rate in RATES}
    return {"lesions": len(lesions), "given": len(given), "hit": hit}


def _best(marks: Sequence[Mark], lesion: Lesion) -> float:
    """The highest mark within the radius; minus infinity where there is none."""
    inside = [
        mark.score
        for mark in marks
        if np.hypot(mark.x - lesion.x, mark.y - lesion.y) <= lesion.radius
    ]
    return max(inside, default=-np.inf)


def _at(
    rate: float, best: FloatArray, false: FloatArray, images: int, patients: Sequence[str]
) -> dict[str, float | None]:
    allowed = int(rate * images + 1e-9)
    level = float(false[allowed]) if allowed < len(false) else -np.inf
    found = best > level  # a mark as high as the first false one too many is not counted
    low, high = share_interval(found, patients)
    shown = None if np.isinf(level) else level
    return {"value": float(found.mean()), "low": low, "high": high, "level": shown}
