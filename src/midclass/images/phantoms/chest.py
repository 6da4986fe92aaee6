"""Chest phantom: a frontal radiograph with consolidation, bronchopneumonia or effusion."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from midclass.images.phantoms.scene import Array, Scene, ridge, to_segment


def chest(s: Scene, lesion: str | None) -> Array:
    """A frontal chest radiograph: path length in tissue less that in air, plus bone and vessels."""
    p, q = s.patient, s.image
    x, y = s.grid()
    scale = p.uniform(0.88, 1.06) * q.normal(1, 0.01)
    x, y = (x - q.normal(0, 5)) / scale, (y - q.normal(0, 5)) / scale
    half = p.uniform(128, 142) + 70 * expit(-(y + 78) / 9) - 150 * expit(-(y + 137) / 6)
    body = np.sqrt(np.clip(1 - 0.75 * (x / half) ** 2, 0, 1)) * expit((half - np.abs(x)) / 1.5)
    heart = _heart(s, x, y)
    lungs, under = _lungs(s, x, y)
    lungs = np.clip(lungs, 0, 1) * (1 - 0.92 * heart)
    air, vessels = lungs * p.uniform(0.55, 0.68), _vessels(s, x, y) * lungs
    if lesion is not None:
        filled = _effusion(s, x, under) if lesion == "effusion" else np.zeros_like(x)
        if lesion != "effusion":
            filled = _acini(s, x, y, lungs, patches=3 if lesion == "bronchopneumonia" else 1)
        filled = filled * (lungs > 0.02)
        air, vessels = air * (1 - filled), vessels * (1 - filled)
    spine = ridge(x, 15) * (0.13 + 0.02 * np.cos(2 * np.pi * y / 21 + p.uniform(0, 6.3)))
    trachea = 0.16 * ridge(x - p.normal(0, 2), 7.5) * expit(-(y + 42) / 6)
    attenuation = body * (0.92 + 0.02 * s.texture(q, 3)) - air + 0.2 * vessels + spine - trachea
    attenuation = attenuation + _bones(s, x, y) * (0.35 + 0.65 * np.sqrt(lungs)) * expit(
        (half - np.abs(x)) / 1.5
    )
    bubble = np.hypot((x - 62) / 24, (y - 118) / 11)
    attenuation -= 0.2 * max(p.uniform(-0.6, 1), 0) * expit((1 - bubble) * 6)
    scattered = attenuation + 0.22 * s.blur(np.asarray(attenuation), 30)
    return s.exposed(0.72 * s.blur(np.asarray(scattered), 1.2), dose=8e3)


def _heart(s: Scene, x: Array, y: Array) -> Array:
    """Heart, great vessels and mediastinum, which displace the lung: 0 to 1."""
    p = s.patient
    big, top = p.uniform(0.85, 1.2), s.image.normal(0, 3)
    left = np.hypot((x - 18 + 0.25 * (y - 45)) / (48 * big), (y - 38 - 0.4 * x - top) / (44 * big))
    right = np.hypot((x + 10) / (30 * big), (y - 36 - top) / 54)
    arch = np.hypot((x - 16) / p.uniform(13, 19), (y + 48) / 15)
    trunk = np.hypot((x - 20) / 20, (y + 12) / 26)
    column = np.abs(x) / (20 + 5 * np.tanh(y / 40) + 8 * expit(-(y + 80) / 8))
    nearest = np.minimum.reduce([left, right, arch, trunk, np.asarray(column)])
    return np.asarray(expit((1 - nearest) * 16))


def _lungs(s: Scene, x: Array, y: Array) -> tuple[Array, Array]:
    """Thickness of both lungs (0 to 1), and the height above the diaphragm in mm."""
    p, q = s.patient, s.image
    apex, base, dome = p.uniform(102, 116), p.uniform(72, 92), p.uniform(20, 32)
    breath, total, under = q.normal(0, 4), np.zeros_like(x), np.zeros_like(x)
    for sign in (-1, 1):
        side = sign * x
        centre, wide = 56 + 0.08 * y, p.uniform(50, 55) + 0.05 * y
        across, along = np.abs(side - centre) / wide, np.abs(y - 42) / (apex + 42)
        inside = 1 - across**2.6 - along**2.3
        floor = (
            base
            + breath
            + 5 * sign
            + 26
            - (dome + 14) * np.sqrt(np.clip(1 - ((side - 42) / 68) ** 2, 0, 1))
        )
        thick = np.sqrt(np.clip(inside, 0, None)) * expit((floor - y) / 1.6)
        total += np.where(side > 0, 1.05 * thick, 0)
        under += np.where(side > 0, floor - y, 0)
    return total, under


def _bones(s: Scene, x: Array, y: Array) -> Array:
    """Ribs behind and in front, and clavicles, as tubes with a denser wall."""
    p, q = s.patient, s.image
    side, gap, start = np.abs(x), p.uniform(19, 23), p.uniform(0, 21)
    back = y + start + 13 * np.sin(np.pi * np.clip(side, 0, 120) / 105) - 30 * (side / 115) ** 3
    front = y + start - 62 + 0.009 * (side - 105) ** 2 - 0.55 * (95 - side)
    cage = 112 * np.sqrt(np.clip(1 - ((y - 45) / 165) ** 2, 0, 1))
    where = expit((cage - side) / 2) * expit((y + 112) / 4)
    total = np.zeros_like(x)
    for course, strength, inner in ((back, 0.085, 10), (front, 0.05, 38)):
        d = ((course / gap) % 1 - 0.5) * gap / p.uniform(3.6, 4.8)
        tube = np.sqrt(np.clip(1 - d**2, 0, 1)) + 0.6 * ridge(np.abs(d) - 0.9, 0.25)
        total += strength * tube * where * expit((side - inner) / 4) * expit((88 - y) / 12)
    rise = p.uniform(6, 26)
    for sign in (-1, 1):
        d = to_segment(sign * x, y, 13, -84 + q.normal(0, 2), 112, -84 - rise) / 6
        total += 0.13 * (np.sqrt(np.clip(1 - d**2, 0, 1)) + 0.5 * ridge(d - 0.9, 0.25))
    return total


def _vessels(s: Scene, x: Array, y: Array) -> Array:
    """Vessels that branch and taper from both hila, with fine interstitial texture."""
    rng, steps = s.image, 12
    angle, sign = np.tile(np.linspace(-1.3, 1.3, 7), 2), np.repeat([-1.0, 1.0], 7)
    px, py = 24 * sign, np.full(14, -6.0)
    points = []
    for width in 3.4 * 0.74 ** np.arange(5):
        bends = angle[:, None] + np.cumsum(rng.normal(0, 0.1, (len(angle), steps)), axis=1)
        stride = rng.uniform(1, 1.7, (len(angle), 1))
        path_x = px[:, None] + np.cumsum(stride * sign[:, None] * np.cos(bends), axis=1)
        path_y = py[:, None] + np.cumsum(stride * np.sin(bends), axis=1)
        points.append(np.stack([path_x, path_y, np.full_like(path_x, width)], axis=-1))
        fork = rng.uniform(0.2, 0.6, (2, len(angle))) * np.array([[-1], [1]])
        angle = (bends[:, -1] + fork).ravel()
        px, py, sign = (np.tile(v, 2) for v in (path_x[:, -1], path_y[:, -1], sign))
    every = np.concatenate([p.reshape(-1, 3) for p in points])
    return _splat(s, x, y, every, 0.5) + 0.12 * s.texture(rng, 1.6)


def _pixels(x: Array, y: Array, points: Array) -> NDArray[np.intp]:
    """Rows and columns, kept inside the image, of points in mm (k, 2+) on the grid ``x, y``."""
    across = [x[0, 1] - x[0, 0], y[0, 1] - y[0, 0]]
    down = [x[1, 0] - x[0, 0], y[1, 0] - y[0, 0]]
    offset = points[:, :2] - [x[0, 0], y[0, 0]]
    columns, rows = np.rint(np.linalg.solve(np.array([across, down]).T, offset.T))
    kept: NDArray[np.intp] = np.clip(np.stack([rows, columns]), 0, len(x) - 1).astype(np.intp)
    return kept


def _splat(s: Scene, x: Array, y: Array, points: Array, strength: float) -> Array:
    """Thickness map of small balls: ``points`` are (k, 3) with x, y and radius in mm."""
    field = np.zeros_like(x)
    rows, columns = _pixels(x, y, points)
    np.add.at(field, (rows, columns), strength * points[:, 2] ** 2 / s.spacing_mm**2)
    return s.blur(field, 1.4)


def _acini(s: Scene, x: Array, y: Array, lungs: Array, patches: int) -> Array:
    """Fraction of airspace filled: acini fill, neighbour by neighbour, and sink with gravity."""
    rng, inside, every = s.lesion, lungs > 0.3, []
    for _ in range(patches):
        at = s.site(inside & (y > -60))
        filled = np.array([[x[at], y[at]]])
        count = int(np.exp(rng.uniform(np.log(100), np.log(650))) / patches)
        for _ in range(40):
            parents = filled[rng.integers(len(filled), size=1 + len(filled) // 3)]
            angle = rng.uniform(0, 2 * np.pi, len(parents))
            near = parents + 6 * np.stack([np.cos(angle), np.sin(angle) + 0.15], axis=1)
            rows, columns = _pixels(x, y, near)
            filled = np.concatenate([filled, near[inside[rows, columns]]])[:count]
        every.append(filled)
    acini = np.concatenate(every)
    acini = np.column_stack([acini, rng.uniform(2.5, 4, len(acini))])
    fluid = s.blur(_splat(s, x, y, acini, 1.0), 2.2)
    return np.asarray(rng.uniform(0.5, 0.95) * (1 - np.exp(-0.6 * fluid)))


def _effusion(s: Scene, x: Array, under: Array) -> Array:
    """Fluid above the diaphragm of one side, with a meniscus that climbs the chest wall."""
    rng = s.lesion
    side = x * rng.choice([-1, 1])
    level = rng.uniform(5, 40) + rng.uniform(15, 50) * np.exp(-np.clip(108 - side, 0, None) / 14)
    return np.asarray(expit((level - under) / 2.5) * (side > 0) * rng.uniform(0.75, 0.98))
