"""The breast in a mammogram."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage as ndi

from midclass.images.anatomy.base import Pixels, Spacing, against_dark, foreground, grey_of
from midclass.images.anatomy.regions import Mask, disc, largest
from midclass.images.anatomy.resolution import enlarge, shrink


def breast(pixels: Pixels, spacing_mm: Spacing) -> Mask:
    """The breast in a mammogram (2-D), without labels, film edges and, where seen, pectoral muscle.

    The largest part after an opening of 5 mm; the pectoral muscle is cut off by the straight line
    from the top edge to the chest wall that best separates bright from dark (its edge is nearly
    straight in the oblique view: Karssemeijer, Phys Med Biol 43:365, 1998). Falls back to the
    foreground; all False only for a constant image.
    """
    grey = grey_of(pixels, spacing_mm, "breast", (2,))
    coarse, spacing = shrink(grey, spacing_mm, 1.6)
    tissue = against_dark(coarse, share=0.12, opening=disc(5.0, spacing))
    if not tissue.any():
        return foreground(pixels, spacing_mm)
    tissue = largest(tissue)
    columns = np.flatnonzero(tissue.any(axis=0))
    # The chest wall is the side on which the breast is cut off straight.
    flip = tissue[:, columns[-3:]].sum() > tissue[:, columns[:3]].sum()
    if flip:
        coarse, tissue = coarse[:, ::-1], tissue[:, ::-1]
    rest = largest(
        ndi.binary_opening(tissue & ~_pectoral(coarse, tissue, spacing), disc(4.0, spacing))
    )
    rest = rest if rest.any() else tissue
    return enlarge(rest[:, ::-1] if flip else rest, grey.shape, spacing_mm, 1.6)


def _pectoral(grey: Pixels, tissue: Mask, spacing: Spacing) -> Mask:
    """The triangle in the top left corner of the tissue that is a pectoral muscle; else empty."""
    rows, columns = np.flatnonzero(tissue.any(axis=1)), np.flatnonzero(tissue.any(axis=0))
    y0, x0 = rows[0], columns[0]
    height, width = rows[-1] - y0 + 1, columns[-1] - x0 + 1
    smooth = ndi.gaussian_filter(grey, [1.5 / s for s in spacing])
    along = np.linspace(0.1, 1.0, 30) * width, np.linspace(0.15, 0.95, 30) * height
    top, side = (a.ravel() for a in np.meshgrid(*along))  # (900,) candidate lines
    length = np.hypot(top * spacing[1], side * spacing[0])  # mm
    u = np.linspace(0.03, 0.97, 40)
    # Unit normal in mm: a step into the breast is the same length whatever the line's slope.
    step_x, step_y = side * spacing[0] / length, top * spacing[1] / length

    def sample(image: Pixels | Mask, offset_mm: float) -> Any:
        x = x0 + np.outer(top, 1 - u) + (offset_mm * step_x / spacing[1])[:, None]
        y = y0 + np.outer(side, u) + (offset_mm * step_y / spacing[0])[:, None]
        x, y = np.clip(np.rint(x), 0, image.shape[1] - 1), np.clip(np.rint(y), 0, len(image) - 1)
        return image[y.astype(int), x.astype(int)]  # (lines, points)

    in_breast = sample(tissue, 3.2)
    contrast = np.where(in_breast, sample(smooth, -3.2) - sample(smooth, 3.2), 0.0)
    # An edge along the whole line counts, not a bright patch at one place of it.
    score = (contrast.mean(axis=1) - 0.5 * contrast.std(axis=1)) * np.sqrt(length / 100.0)
    slope = (top * spacing[1]) / (side * spacing[0])
    score[(slope < 0.2) | (slope > 1.3) | (in_breast.mean(axis=1) < 0.5)] = -1.0
    score[top * side / 2 > 0.35 * tissue.sum()] = -1.0  # that would be dense breast
    best = int(score.argmax())
    if score[best] < 0.016:
        return np.zeros(tissue.shape, bool)
    y, x = np.ogrid[: tissue.shape[0], : tissue.shape[1]]
    return np.asarray((x - x0) / top[best] + (y - y0) / side[best] < 1)
