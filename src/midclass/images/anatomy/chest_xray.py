"""Lungs in a frontal chest X-ray: by a small network, and by the template that taught it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage as ndi

from midclass.images.anatomy.base import Pixels, Spacing, grey_of
from midclass.images.anatomy.learned import seen_by
from midclass.images.anatomy.regions import Mask, without_specks
from midclass.images.anatomy.resolution import in_few_pixels

# Two lungs: x is 0 at the spine, -1 and 1 at the lateral walls; y is 0 at the apex, 1 at the
# costophrenic angle. Drawn on the mean of 300 normal radiographs aligned to each other.
_LATERAL = [(0.22, 0), (0.3, -0.02), (0.41, 0), (0.52, 0.06), (0.67, 0.2), (0.81, 0.4), (0.91, 0.6)]
_LATERAL += [(0.98, 0.8), (1.01, 0.96), (0.99, 1.01)]
_LIVER = [(0.85, 0.95), (0.62, 0.88), (0.4, 0.875), (0.25, 0.89), (0.23, 0.75), (0.23, 0.6)]
_LIVER += [(0.21, 0.4), (0.16, 0.2), (0.17, 0.08)]
_HEART = [(0.9, 0.99), (0.75, 0.95), (0.55, 0.92), (0.54, 0.82), (0.47, 0.67), (0.36, 0.52)]
_HEART += [(0.26, 0.38), (0.18, 0.2), (0.18, 0.08)]
_LUNGS = (np.array(_LATERAL + _LIVER) * (-1, 1), np.array(_LATERAL + _HEART))
# Spine x, apex y, costophrenic y, right and left width, tilt (all in image sizes), bulge: prior.
_MEAN = np.array([0.5, 0.2, 0.84, 0.38, 0.38, 0.0, 0.0])
_SD = np.array([0.04, 0.09, 0.07, 0.05, 0.05, 0.04, 0.08])


def two_lungs(grey: Pixels) -> Mask:
    """Both lungs of an image ``(h, w)``, consolidated parts included.

    A template of two lungs is placed by seven numbers such that its outline is darker inside than
    outside, each point of the outline with a limited vote, under a prior of where lungs are: where
    disease hides a border, the other borders, the other lung and the prior decide (an active shape
    model, Cootes et al., Comput Vis Pixels Underst 61:38, 1995, with a drawn shape).
    """
    ranks = _ranks(grey)
    points, normals = _OUTLINE
    rng = np.random.default_rng(0)  # a fixed search pattern, the same for every image
    shapes = _MEAN + 1.3 * _SD * rng.standard_normal((500, len(_MEAN)))
    for step in (0.5, 0.3, 0.15, 0.08):
        best = shapes[np.argsort(-_fitness(ranks, shapes, points, normals), kind="stable")[:12]]
        shapes = np.repeat(best, 16, axis=0)
        shapes += step * _SD * rng.standard_normal(shapes.shape)
        shapes = np.concatenate([best, shapes])
    fitted = shapes[[int(np.argmax(_fitness(ranks, shapes, points, normals)))]]
    return np.asarray(
        np.any([_polygon(_place(fitted, lung)[0], grey.shape) for lung in _LUNGS], axis=0)
    )


def _outline() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Evenly spaced points on the template (96, 2) and their outward normals."""
    points, normals = [], []
    for lung in _LUNGS:
        closed = np.concatenate([lung, lung[:1]])
        length = np.r_[0, np.cumsum(np.hypot(*np.diff(closed, axis=0).T))]
        at = np.linspace(0, length[-1], 48, endpoint=False)
        line = np.stack([np.interp(at, length, axis) for axis in closed.T], axis=1)
        tangent = np.roll(line, -1, axis=0) - np.roll(line, 1, axis=0)
        outward = np.stack([tangent[:, 1], -tangent[:, 0]], axis=1) * np.sign(lung[3, 0])
        points.append(line)
        normals.append(outward / np.hypot(*outward.T)[:, None])
    return np.concatenate(points), np.concatenate(normals)


_OUTLINE = _outline()


def _place(shapes: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Template points (p, 2) under shapes (s, 7) as x, y in image sizes (s, p, 2)."""
    spine, apex, base, right, left, tilt, bulge = shapes.T[:, :, None]
    x, y = points.T
    level = apex + (base - apex) * y
    across = np.where(x < 0, right, left) * x * (1 + 4 * bulge * y * (1 - y))
    return np.stack([spine + across + tilt * (level - 0.5), level], axis=-1)


def _fitness(
    ranks: Pixels,
    shapes: NDArray[np.float64],
    points: NDArray[np.float64],
    normals: NDArray[np.float64],
) -> NDArray[np.float64]:
    """How well each shape (s, 7) fits: dark inside and bright outside, near the prior."""
    outline, size = _place(shapes, points), len(ranks)

    def sample(offset: float) -> NDArray[np.float64]:
        x, y = np.moveaxis(((outline + offset * normals) * size).astype(int), -1, 0)
        inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
        value = ranks[np.clip(y, 0, size - 1), np.clip(x, 0, size - 1)]
        return np.where(inside, value, np.nan)

    contrast = np.nan_to_num(np.clip(sample(0.035) - sample(-0.035), -0.3, 0.3)).mean(axis=1)
    unlikely = (((shapes - _MEAN) / _SD) ** 2).sum(axis=1)
    lopsided = ((shapes[:, 3] - shapes[:, 4]) / 0.04) ** 2
    return np.asarray(contrast - 0.012 * unlikely - 0.01 * lopsided)


def _ranks(grey: Pixels) -> Pixels:
    """The image at 128 x 128 px as grey-level ranks in [0, 1), air beside the body made bright."""
    size = 128
    smooth = ndi.gaussian_filter(grey, [n / 200 for n in grey.shape])
    rows, columns = (((np.arange(size) + 0.5) * n / size).astype(int) for n in grey.shape)
    small = smooth[np.ix_(rows, columns)]
    labels, _ = ndi.label(small < 0.15 * np.percentile(small, 98))
    edge = np.unique(np.concatenate([labels[0], labels[:, 0], labels[:, -1]]))
    air = ndi.binary_dilation(np.isin(labels, edge[edge > 0]), iterations=3)
    flat = ndi.gaussian_filter(np.where(air, small.max(), small), 1.5).ravel()
    order = np.empty(flat.size, np.float32)
    order[np.argsort(flat, kind="stable")] = np.arange(flat.size, dtype=np.float32) / flat.size
    return order.reshape(size, size)


def _polygon(corners: NDArray[np.float64], shape: tuple[int, ...]) -> Mask:
    """Pixels whose centre is in the polygon with corners (p, 2) given as x, y in image sizes."""
    (height, width), end = shape, np.roll(corners, -1, axis=0)
    y = (np.arange(height)[:, None] + 0.5) / height
    crossed = (corners[:, 1] <= y) != (end[:, 1] <= y)  # (rows, edges)
    row, edge = np.nonzero(crossed)
    a, b = corners[edge], end[edge]
    x = a[:, 0] + (b[:, 0] - a[:, 0]) * (y[row, 0] - a[:, 1]) / (b[:, 1] - a[:, 1])
    turns = np.zeros((height, width + 1), np.int32)
    np.add.at(turns, (row, np.clip(np.ceil(x * width - 0.5), 0, width).astype(int)), 1)
    return np.asarray(turns.cumsum(axis=1)[:, :width] % 2 == 1)


@in_few_pixels
def lungs(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """Both lungs in a frontal chest X-ray of any crop, age or export (2-D), consolidation included.

    Found by a small network that has learned ``lungs_by_template`` on normal images and must not be
    moved by what fills a lung; it finds turned, scaled and cropped chests, too. Only the ratio of
    the spacing counts. Empty where no lungs are seen.
    """
    grey = grey_of(pixels, spacing_mm, "lungs", (2,))
    return without_specks(seen_by("lungs", grey, spacing_mm) > 0)


@in_few_pixels
def lungs_by_template(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """Both lungs in a frontal chest X-ray (2-D) by a rule, consolidated parts included.

    A template of two lungs fitted to its outline, see ``two_lungs``. It assumes that
    the chest fills the image, head up, and uses no spacing. Never empty.
    """
    return two_lungs(grey_of(pixels, spacing_mm, "lungs_by_template", (2,)))
