"""Head phantom: a CT slice in a brain window with four kinds of haemorrhage."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from midclass.images.phantoms.scene import Array, Scene, Site, ridge, to_segment


def head(s: Scene, lesion: str | None) -> Array:
    """A head CT slice in a brain window: Hounsfield units of bone, brain, CSF and blood."""
    p, q = s.patient, s.image
    x, y = s.grid()
    x, y = x - q.normal(0, 4), y - q.normal(0, 4)
    level = min(p.uniform(0, 0.5) + 0.22 * s.number, 1.0)  # 0: third ventricle, 1: vertex
    wide, long = p.uniform(58, 68), p.uniform(74, 86)
    shrink = 1 - 0.22 * level**2
    angle, r = np.arctan2(x, -y), np.hypot(x, y)
    power = p.uniform(2.1, 2.5)
    inner = (np.abs(np.sin(angle) / wide) ** power + np.abs(np.cos(angle) / long) ** power) ** (
        -1 / power
    ) * shrink
    for order in range(1, 4):
        inner = inner * (1 + p.normal(0, 0.012) * np.cos(order * angle + p.uniform(0, 6.3)))
    bone = p.uniform(4.5, 8) * (1 + 0.6 * level**2 + 0.2 * np.cos(2 * angle + p.normal(0, 0.5)))
    hu, brain = brain_of(s, x, y, inner - r, level)
    if lesion in ("subdural", "epidural"):
        hu = _pushed(s, hu, r, angle, inner, lens=lesion == "epidural")
    elif lesion is not None:
        hu = _bled(s, hu, brain & (inner - r > 3), in_csf=lesion == "subarachnoid")
    scalp = r - inner - bone
    scalp_mm = p.uniform(4, 8)
    outside = 45 * ridge(np.minimum(scalp - 1, scalp_mm - scalp), 1.3) - 60
    outside = np.where(scalp < scalp_mm, outside, -1000)
    skull = expit((r - inner) / 0.5)
    hu = hu * (1 - skull) + skull * np.where(scalp < 0, 700, outside)
    rest = np.abs(np.hypot(x, y + 20) - p.uniform(117, 124)) < 1.2
    hu[rest & (y > 40)] = 300 * (p.uniform() < 0.7)
    noise = s.blur(q.normal(size=x.shape), 0.45 * s.spacing_mm)
    hu = s.blur(np.clip(hu, -100, 220), 0.9) + q.uniform(2.5, 5) * noise + 2.5 * (r / 80) ** 2
    window = q.uniform(80, 105)
    return np.asarray(np.clip((hu - q.normal(38, 3)) / window + 0.5, 0, 1))


def brain_of(
    s: Scene, x: Array, y: Array, depth: Array, level: float
) -> tuple[Array, NDArray[np.bool_]]:
    """Hounsfield units inside the skull, and where there is brain or CSF."""
    p, q = s.patient, s.image
    atrophy, big, slant = p.uniform(0.4, 1.2), p.uniform(0.5, 1.5), q.normal(0, 0.02)
    x = x + slant * y + 1.1 * s.texture(q, 4)
    side = np.abs(x) * np.where(x > 0, p.normal(1, 0.05), 1.0)
    fold, gyri = s.texture(q, 2.8), s.texture(q, 3.5)
    white = expit((depth - 8 - 5 * fold) / 1.2)
    nuclei = ridge(np.hypot((side - 12) / 7, (y - 6) / 10), 1)
    nuclei += ridge(np.hypot((side - 25) / 5, (y + 4) / 12), 1)
    white = white * (1 - 0.9 * np.clip(nuclei, 0, 1) * expit((0.45 - level) * 12))
    front, body, horn = 30 - 8 * level, 6 + 8 * level, 36 - 14 * level
    duct = np.minimum(
        to_segment(side, y, 12, -front + 4, 5 + 3 * level, -9),
        to_segment(side, y, body, 14, 21 - 6 * level, horn) + 0.8 * (1 - big),
    )
    duct = np.minimum(duct, to_segment(side, y, 5 + 3 * level, -9, body, 14) + 4 - 6 * level)
    csf = expit((3.4 * big - duct) / 0.7) * expit((0.78 - level) * 25)
    csf = csf + expit((1.2 * big - side) / 0.5) * ridge(y - 4, 10) * (level < 0.35)
    furrow = ridge(np.sin(11 * np.arctan2(side, -y) + 1.3 * gyri), 0.3) + ridge(fold, 0.2)
    csf = csf + atrophy * 0.8 * furrow * expit((9 + 4 * fold + 5 * level - depth) / 1.5)
    csf = csf + ridge(to_segment(side, y, 0, 21, 9, 15), 2.2) * (level < 0.2)
    csf = csf + atrophy * ridge(to_segment(side, y, 30, -8, 50, -14), 2.0) * (level < 0.4)
    fissure = expit((np.abs(y - 4) - 34 * (1 - level)) / 3)
    csf = csf + 0.5 * atrophy * fissure * ridge(side, 3) + 0.6 * atrophy * ridge(depth, 1.5)
    hu = 38 - 10 * white + 1.2 * s.texture(q, 2.5)
    hu = hu + np.clip(csf, 0, 1) * (8 - hu) + q.uniform(2, 14) * fissure * ridge(side, 1.2)
    plexus = np.minimum(np.hypot(side - 18, y - 27), np.hypot(x, y - 17) + 0.5)
    hu = hu + max(p.uniform(-80, 120), 0) * expit((1.6 - plexus) / 0.5) * (level < 0.5)
    return np.asarray(hu), np.asarray(depth > 0)


def _bled(s: Scene, hu: Array, brain: NDArray[np.bool_], in_csf: bool) -> Array:
    """Blood that spreads by first-passage percolation: cheap along white matter, or along CSF."""
    rng = s.lesion
    csf = np.clip((26 - hu) / 12, 0, 1)
    cost = np.exp((2.5 if in_csf else -1.0) * (1 - 2 * csf)) * np.exp((hu - 30) / 8)
    cost = np.where(brain, cost * rng.exponential(size=hu.shape) ** 0.8 + 0.05, np.inf)
    area = np.exp(rng.uniform(np.log(90), np.log(700))) * (0.7 if in_csf else 1)
    clot = _grown(cost, s.site(brain & ((csf > 0.6) == in_csf)), int(area / s.spacing_mm**2) + 1)
    soft = np.clip(s.blur(clot, 0.35 * s.spacing_mm + 0.5), 0, 1)
    oedema = np.clip(s.blur(clot, 4) * 2, 0, 1) * (0 if in_csf else rng.uniform(2, 9))
    return np.asarray((hu - oedema) * (1 - soft) + soft * rng.uniform(50, 72))


def _grown(cost: Array, seed: Site, count: int) -> Array:
    """The ``count`` pixels that are reached first from the seed at the given cost per pixel."""
    taken = np.zeros(cost.shape)
    heap = [(0.0, seed)]
    while heap and count:
        time, (row, column) = heapq.heappop(heap)
        if taken[row, column]:
            continue
        taken[row, column] = 1
        count -= 1
        for near in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
            if np.isfinite(cost[near]) and not taken[near]:
                heapq.heappush(heap, (time + float(cost[near]), near))
    return taken


def _pushed(s: Scene, hu: Array, r: Array, angle: Array, inner: Array, lens: bool) -> Array:
    """Blood between the skull and a brain contour moved inward ray by ray; the midline follows."""
    rng = s.lesion
    middle = rng.choice([-1, 1]) * rng.uniform(0.7, 2.3)
    half, deep = (
        (rng.uniform(0.35, 0.6), rng.uniform(6, 15))
        if lens
        else (rng.uniform(0.7, 1.25), rng.uniform(3.5, 9))
    )
    off = (angle - middle + np.pi) % (2 * np.pi) - np.pi
    arc = np.clip(1 - (off / half) ** 2, 0, 1)
    gap = deep * (arc if lens else np.sqrt(arc) * (1 + 0.2 * np.sin(7 * off + middle)))
    edge = np.maximum(inner - gap, 1)
    stretch = np.where(r < edge, 1 + (inner / edge - 1) * (r / edge) ** 2, 1.0)
    shift = rng.uniform(0.2, 0.5) * deep * np.clip(1 - (r / edge) ** 2, 0, 1) / s.spacing_mm
    centre = np.unravel_index(np.argmin(r), r.shape)
    rows, columns = np.indices(hu.shape)
    where = [
        centre[0] + (rows - centre[0]) * stretch - shift * np.cos(middle),
        centre[1] + (columns - centre[1]) * stretch + shift * np.sin(middle),
    ]
    moved = ndimage.map_coordinates(hu, where, order=1, mode="nearest")
    blood = expit((r - edge) / 0.5) * (gap > 0.3)
    clot = rng.uniform(46, 72) + 3 * s.texture(rng, 2.5)
    return np.asarray(moved * (1 - blood) + blood * clot)
