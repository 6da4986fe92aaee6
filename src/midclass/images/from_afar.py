"""From afar: images in 16 x 16 squares, in which one organ is told from another, and a negative."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

if TYPE_CHECKING:
    from midclass.images.prepared import Prepared

SIDE = 16
"""Squares of a picture from afar, in rows and in columns."""
ALIKE = 0.5
"""Median correlation with their mean from which on images of a class look alike."""
_AT_ONCE = 256

Pictures: TypeAlias = NDArray[np.float64]
"""``(n, SIDE * SIDE)``, of mean 0 and length 1."""


def pictures_of(prepared: Prepared) -> Pictures:
    """Samples from afar."""
    starts = range(0, len(prepared), _AT_ONCE)
    rows = [from_afar(prepared.images(slice(start, start + _AT_ONCE))) for start in starts]
    return np.concatenate(rows) if rows else np.zeros((0, SIDE * SIDE))


def from_afar(pixels: NDArray[Any]) -> Pictures:
    """Of ``(n, c, h, w)``, in whatever units."""
    grey = torch.from_numpy(pixels.astype(np.float64).mean(axis=1, keepdims=True))
    squares = torch.nn.functional.adaptive_avg_pool2d(grey, SIDE).flatten(1).numpy()
    return unit(squares)


def unit(pictures: NDArray[np.float64]) -> Pictures:
    """Of mean 0 and length 1; of one grey all zeros, which is like nothing."""
    centred = pictures - pictures.mean(axis=1, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=1, keepdims=True))
    return np.asarray(centred / np.maximum(length, 1e-12))


def negatives(pictures: Pictures) -> NDArray[np.intp]:
    """Rows in which bright and dark are exchanged beside most others.

    That can be told where pictures are alike but for their sign: it is looked for along the
    direction in which they differ most from nothing (the first one of a principal component
    analysis that is not centred). None where they are not alike. A breast on the other side is like
    a negative, too: what lies mirrored or upside down like the others is none.

    >>> rings = np.hypot(*np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]).reshape(1, -1)
    >>> negatives(unit(rings * np.array([[1], [2], [-1], [1]]))).tolist()
    [2]
    """
    if not len(pictures):
        return np.zeros(0, np.intp)
    direction = np.linalg.eigh(pictures.T @ pictures).eigenvectors[:, -1]
    along = pictures @ direction
    if np.median(np.abs(along)) < ALIKE:
        return np.zeros(0, np.intp)
    most = 1 if 2 * (along > 0).sum() >= len(along) else -1
    squares = pictures.reshape(-1, SIDE, SIDE)
    turned = [np.flip(squares, axes).reshape(len(pictures), -1) for axes in ((1,), (2,), (1, 2))]
    highest = np.max([most * (one @ direction) for one in turned], axis=0)
    return np.flatnonzero((most * along <= -ALIKE) & (highest <= -ALIKE / 2))
