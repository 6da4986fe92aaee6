"""Breast phantom: a mediolateral mammogram with mass, distortion or asymmetry."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from midclass.images.phantoms.scene import Array, Scene, ridge


def breast(s: Scene, lesion: str | None) -> Array:
    """A mediolateral mammogram: thickness times attenuation of fat and glandular tissue."""
    p, q = s.patient, s.image
    x, y = s.grid(mirror=s.number % 2 == 1)
    x = x + s.spacing_mm * s.size / 2  # from the chest wall
    depth = p.uniform(70, 130) * q.normal(1, 0.03)
    nipple = p.uniform(0, 28) + q.normal(0, 2)
    above, below = p.uniform(95, 140), p.uniform(50, 75)
    density, thickness_cm, pectoral = p.beta(1.5, 2.2), p.uniform(4, 5.4), p.uniform(-10, 55)
    down = np.abs(y - nipple) / np.where(y < nipple, above, below)
    bulge = 2 - p.uniform(0.1, 0.5) * expit((nipple - y) / 8)  # the upper contour is flatter
    rho = (np.maximum(x / depth, 0) ** bulge + down ** (bulge + 0.1)) ** (1 / bulge)
    rho += 0.012 * s.texture(q, 4)
    rim = np.clip((1 - rho) * depth / 22, 0, 1)
    thick = thickness_cm * np.sqrt(1 - (1 - rim) ** 2)
    from_nipple = np.hypot(x - depth, y - nipple)
    gland = _gland(s, rho, density, np.arctan2(y - nipple, depth - x), from_nipple)
    muscle = expit((pectoral - x - 0.45 * (y + 100)) / 2) * expit(rim * 20 - 2)
    tissue = np.asarray((rho < 0.78) & (muscle < 0.1) & (x > 12))
    extra = np.zeros_like(x)
    if lesion == "mass":
        extra = 0.5 * _mass_chord_cm(s, x, y, tissue)
    elif lesion is not None:
        change = _distorted if lesion == "distortion" else _asymmetric
        gland = change(s, x, y, tissue & (rho > 0.2), gland)
    skin = 0.25 * ridge(np.asarray((1 - rho) * depth - 1.5), 1.2)
    teat = 0.9 * ridge(from_nipple, 3.5) * p.uniform(0, 1)
    mu = 0.46 + 0.34 * gland * (1 - 0.7 * muscle) + 0.22 * muscle
    room = 0.5 * thick + 1e-6  # a mass displaces tissue: it cannot add without limit
    attenuation = mu * thick + room * np.tanh(extra / room) + skin + teat
    return s.exposed(0.22 * s.blur(np.asarray(attenuation), 0.7), dose=9e3)


def _gland(s: Scene, rho: Array, density: float, angle: Array, from_nipple: Array) -> Array:
    """Fraction of glandular tissue: lobes by power-law noise, ligaments, ducts to the nipple."""
    q = s.image
    coarse, fine = s.texture(q, q.uniform(2.8, 3.3)), s.texture(q, 2.6)
    wavy, strands = s.texture(q, 4), s.texture(q, 3)
    prior = ridge(rho - 0.48, 0.40) * expit((0.9 - rho) * 25)
    lobes = expit(2.2 * (coarse + 2.6 * density - 1.4) + 0.5 * fine)
    arcs = ridge(np.sin(from_nipple / 10 + 2.2 * wavy + 0.25 * fine), 0.22)
    ducts = ridge(np.sin(q.uniform(6, 9) * angle + 1.6 * wavy + 0.25 * fine), 0.28)
    lines = (arcs + 1.2 * ducts * expit((from_nipple - 8) / 3)) * expit(2 * strands - 0.5)
    return np.asarray(
        prior * (0.2 + 0.6 * density) * lobes + 0.16 * lines * expit((0.93 - rho) * 30)
    )


def _mass_chord_cm(s: Scene, x: Array, y: Array, tissue: NDArray[np.bool_]) -> Array:
    """Path length through a lobulated mass: metaballs, whose chord is sqrt(1 - 1 / field)."""
    rng, at = s.lesion, s.site(tissue)
    radius = rng.uniform(5, 11)
    field = np.zeros_like(x)
    for _ in range(rng.integers(2, 6)):
        cx, cy = x[at] + rng.normal(0, radius / 2), y[at] + rng.normal(0, radius / 2)
        share = (radius * rng.uniform(0.4, 0.8)) ** 2
        field += share / ((x - cx) ** 2 + (y - cy) ** 2 + 1e-6)
    chord = 2 * radius / 10 * np.sqrt(np.clip(1 - 1 / field, 0, None))
    return np.asarray(chord * rng.uniform(0.6, 1.2))


def _distorted(s: Scene, x: Array, y: Array, tissue: NDArray[np.bool_], gland: Array) -> Array:
    """Architectural distortion: around a point the phase of the texture turns radial."""
    rng, at = s.lesion, s.site(tissue)
    r, angle = np.hypot(x - x[at], y - y[at]), np.arctan2(y - y[at], x - x[at])
    reach = rng.uniform(13, 22)
    rays, bend = np.zeros_like(x), s.texture(rng, 4) + 0.3 * s.texture(rng, 2.6)
    for order in rng.choice(np.arange(5, 15), size=5, replace=False):
        phase = order * (angle + 0.3 * bend) + rng.uniform(0, 2 * np.pi) + np.log1p(r)
        rays += rng.uniform(0.3, 1.3) * np.cos(phase)
    window = expit((reach - r) / 2.5) * rng.uniform(0.7, 1)
    level = s.blur(gland, 6) + 0.12
    radial = level * (1 + 0.65 * rays * (1 - np.exp(-r / 5)) * expit(2 * bend + 1)) + 0.08 * np.exp(
        -r / 6
    )
    return np.asarray((1 - window) * gland + window * np.clip(radial, 0, 1.2))


def _asymmetric(s: Scene, x: Array, y: Array, tissue: NDArray[np.bool_], gland: Array) -> Array:
    """Focal asymmetry: an island of other, denser gland with its own texture, fat-interspersed."""
    rng, at = s.lesion, s.site(tissue)
    other = expit(2 * s.texture(rng, 3) + 1.5)
    long, wide, turn = rng.uniform(12, 20), rng.uniform(8, 13), rng.uniform(0, 3.1)
    u = (x - x[at]) * np.cos(turn) + (y - y[at]) * np.sin(turn)
    v = (y - y[at]) * np.cos(turn) - (x - x[at]) * np.sin(turn)
    island = np.clip(1.4 - np.hypot(u / long, v / wide), 0, 1)
    return np.asarray(np.maximum(gland, gland + rng.uniform(0.45, 0.95) * other * island))
