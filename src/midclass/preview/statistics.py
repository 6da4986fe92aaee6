"""Coarse statistics: what can be said of an image without looking at what it shows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from midclass.types import ImageBatch

LEVELS = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
"""Shares of the samples below the percentiles of brightness and of its local mean."""
STEPS = (0.0, 0.1, 0.5, 0.9, 0.99, 1.0)
"""The same for gradient, Laplacian and roughness: from the smoothest place to the edges."""
LOCAL = 16
"""A local mean is over a square or cube whose side is this part of the image's shorter side."""
THUMBNAIL = {2: 8, 3: 4}
"""Samples along each axis of the thumbnail, by the number of axes."""


def coarse(batch: ImageBatch) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """Statistics of each image, and their names in words.

    Brightness and its local mean (mean, standard deviation, percentiles), gradient, Laplacian and
    the Laplacian's local mean, called roughness (log energy and percentiles), each inside the
    anatomy and over the whole image, and a thumbnail. The mean over the channels is taken first.

    Returns:
        ``(n, f)`` and the f names; a statistic of an empty anatomy is 0.

    >>> import torch
    >>> values, names = coarse(ImageBatch.of(torch.rand(2, 1, 32, 32)))
    >>> values.shape, names[0]
    ((2, 150), 'mean brightness in the anatomy')
    """
    grey = batch.pixels.mean(1)
    dims = grey.ndim - 1
    size = (THUMBNAIL[dims],) * dims
    small = functional.interpolate(grey.unsqueeze(1), size=size, mode="area").flatten(1)
    # One image at a time stays in the processor's cache: faster here than the batch as a whole.
    rows = [
        _numbers(image, mask)
        for image, mask in zip(grey.cpu().numpy(), batch.anatomy[:, 0].cpu().numpy(), strict=True)
    ]
    return np.hstack([np.stack(rows), small.cpu().numpy()]).astype(np.float64), _names(dims)


def _numbers(grey: NDArray[np.float32], mask: NDArray[np.bool_]) -> list[float]:
    """All but the thumbnail, of one image."""
    slope = np.sqrt(sum(np.square(part) for part in np.gradient(grey)))
    bend = np.abs(ndimage.laplace(grey, mode="nearest"))
    width = max(3, min(grey.shape) // LOCAL)
    place, rough = (ndimage.uniform_filter(x, width, mode="nearest") for x in (grey, bend))
    found: list[float] = []
    for chosen in (mask, np.ones_like(mask)):
        for values in (grey, place):
            found += _of_brightness(np.sort(values[chosen]))
        for steps in (slope, bend, rough):
            found += _of_steps(np.sort(steps[chosen]))
    return found


def _of_brightness(inside: NDArray[np.float32]) -> list[float]:
    if not len(inside):
        return [0.0] * (2 + len(LEVELS))
    return [inside.mean(), inside.std(), *_percentiles(inside, LEVELS)]


def _of_steps(inside: NDArray[np.float32]) -> list[float]:
    """Logarithms, because the energy of noise spans decades."""
    if not len(inside):
        return [0.0] * (1 + len(STEPS))
    energy = np.log(max(float(np.mean(inside.astype(np.float64) ** 2)), 1e-8))
    return [energy, *np.log(np.maximum(_percentiles(inside, STEPS), 1e-4))]


def _percentiles(ascending: NDArray[np.float32], levels: Sequence[float]) -> NDArray[np.float32]:
    """The nearest samples."""
    rank = np.rint(np.array(levels) * (len(ascending) - 1)).astype(np.intp)
    found: NDArray[np.float32] = ascending[rank]
    return found


@lru_cache
def _names(dims: int) -> tuple[str, ...]:
    names = []
    for where in ("in the anatomy", "over the image"):
        for what in ("brightness", "local brightness"):
            names += [f"mean {what} {where}", f"standard deviation of {what} {where}"]
            names += [f"{_level(level)} {what} {where}" for level in LEVELS]
        for what in ("gradient", "Laplacian", "roughness"):
            names += [f"{what} energy {where}"]
            names += [f"{_level(step)} {what} {where}" for step in STEPS]
    side = THUMBNAIL[dims]
    for place in product(range(1, side + 1), repeat=dims):
        names += [f"thumbnail at {', '.join(map(str, place))} of {side}"]
    return tuple(names)


def _level(share: float) -> str:
    named = {0.0: "lowest", 0.5: "median", 1.0: "highest"}
    return named.get(share, f"percentile {100 * share:g} of")
