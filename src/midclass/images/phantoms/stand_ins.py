"""Normal images of other kinds, so that a recipe's sheet shows what the recipe is for.

They have no lesions: a study on them would say nothing. Lengths are in mm, and the texture is as in
the other phantoms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from midclass.images.phantoms.head import brain_of
from midclass.images.phantoms.scene import Array, Scene, ridge, to_segment


def eye(s: Scene, lesion: str | None) -> Array:
    """The fundus of an eye: disc with its cup, macula, vessels in arcades, a round field."""
    p, q = s.patient, s.image
    x, y = s.grid(mirror=s.number % 2 == 1)
    disc, macula = (2.2 + p.normal(0, 0.15), p.normal(0, 0.2)), (-1.9, 0.3 + p.normal(0, 0.15))
    to_disc = np.hypot(x - disc[0], (y - disc[1]) / 1.08)
    field = np.hypot(x, y) / 6.4
    shown = 0.5 - 0.16 * field**2 + 0.02 * s.texture(q, 2.5) + 0.03 * q.normal() * x / 6.4
    shown -= 0.14 * np.exp(-(np.hypot(x - macula[0], y - macula[1]) ** 2) / 0.8)
    cup = p.uniform(0.25, 0.5)
    shown += 0.22 * expit((0.85 - to_disc) / 0.06) + 0.12 * expit((cup - to_disc) / 0.07)
    for depth, wide in ((0.17, 0.075), (0.11, 0.05)):  # veins, then arteries
        away = _arcades(s, x, y, disc, wide > 0.06)
        shown -= (
            depth * ridge(away, wide * (1.3 - 0.5 * to_disc / 9)) * expit((to_disc - 0.2) / 0.1)
        )
    grain = 0.008 * q.normal(size=x.shape)
    return np.asarray(np.clip(shown + grain, 0, 1) * expit((1 - field) / 0.006))


def _arcades(s: Scene, x: Array, y: Array, disc: tuple[float, float], large: bool) -> Array:
    """Distance to the nearest of the vessels that leave the disc, in mm."""
    p = s.patient
    near = np.full(x.shape, np.inf)
    for up in (-1, 1):
        for outward in (-1.0, -1.0, 1.0):
            ends = [(disc[0], disc[1], up * (np.pi / 2 - 0.5 * outward) + p.normal(0, 0.25), 0)]
            while ends:
                a, b, angle, age = ends.pop()
                for _ in range(26 - 8 * age):
                    before, step = (a, b), (0.22 * np.cos(angle), 0.22 * np.sin(angle))
                    a, b = a + step[0], b + step[1]
                    wanted = np.pi * up if outward < 0 else 0.0
                    angle += 0.045 * np.sin(wanted - angle) + p.normal(0, 0.09)
                    near = np.minimum(near, to_segment(x, y, *before, a, b))
                    if age < 2 and p.uniform() < (0.07 if large else 0.045):
                        ends.append(
                            (a, b, angle + p.choice([-1, 1]) * p.uniform(0.4, 0.8), age + 1)
                        )
    return near


def naevus(s: Scene, lesion: str | None) -> Array:
    """A benign mole in skin: one colour that fades at the border, and a fine network."""
    p, q = s.patient, s.image
    x, y = s.grid()
    x, y = x - q.normal(0, 0.8), y - q.normal(0, 0.8)
    angle, radius = np.arctan2(y, x), np.hypot(x, y * p.uniform(1, 1.3))
    edge = p.uniform(2.5, 4.5) * np.ones_like(x)
    for order in range(2, 5):
        edge *= 1 + p.normal(0, 0.04) * np.cos(order * angle + p.uniform(0, 6.3))
    inside = expit((edge - radius) / 0.35)
    fine = s.texture(q, 1.5)
    band = s.blur(fine, 0.12) - s.blur(fine, 0.3)
    network = ridge(band / band.std(), 0.5)
    skin = 0.72 + 0.03 * s.texture(q, 2.2) + 0.02 * (x + y) / 9 * q.normal()
    brown = p.uniform(0.2, 0.32) + 0.07 * network + 0.02 * s.texture(q, 2)
    return np.asarray(np.clip(skin - brown * inside + 0.008 * q.normal(size=x.shape), 0, 1))


def limb(s: Scene, lesion: str | None) -> Array:
    """A radiograph of a forearm: two long bones with their cortex in soft tissue."""
    p = s.patient
    x, y = s.grid()
    half = p.uniform(38, 48) * (1 + 0.15 * y / 150)
    tissue = np.sqrt(np.clip(1 - (x / half) ** 2, 0, None))
    total = 0.35 * tissue * (1 + 0.04 * s.texture(s.image, 3))
    for side in (-1, 1):
        flare = 1 + 0.7 * expit((side * y - 95) / 8) + 0.2 * expit((-side * y - 100) / 8)
        outer = p.uniform(7, 9) * flare
        middle = side * (15 + 4 * np.cos(y / 110)) + 2 * np.sin(y / 60 + p.uniform(0, 6))
        marrow = outer * p.uniform(0.55, 0.68) * (0.9 + 0.35 * (flare - 1))
        chord = np.sqrt(np.clip(outer**2 - (x - middle) ** 2, 0, None))
        hollow = np.sqrt(np.clip(marrow**2 - (x - middle) ** 2, 0, None))
        spongy = 0.35 + 0.1 * ridge(s.texture(s.image, 1.8), 0.4)
        total += 0.045 * (chord - hollow) + 0.045 * spongy * hollow * expit((flare - 1.15) / 0.05)
        total += 0.006 * hollow
    return s.exposed(s.blur(total, 0.5), dose=2500)


def ultrasound(s: Scene, lesion: str | None) -> Array:
    """A breast under a linear probe: skin, fat with septa, gland, muscle, and speckle."""
    p, q = s.patient, s.image
    _, y = s.grid()
    depth = y + 22.5
    wave = 1.5 * s.texture(p, 3.5)
    fat, gland = p.uniform(6, 10), p.uniform(20, 27)
    echo = 0.16 + 0.5 * ridge(s.texture(q, 3.2), 0.12) * expit((fat + wave - depth) / 0.5)
    dense = expit((depth - fat - wave) / 0.8) * expit((gland + wave - depth) / 0.8)
    echo = echo + dense * (0.35 + 0.12 * s.texture(q, 3))
    deep = expit((depth - gland - wave) / 0.8)
    echo = echo + deep * (0.05 + 0.28 * ridge(np.sin(1.7 * depth + wave), 0.35))
    echo = (
        echo + 0.6 * ridge(depth - 1 - 0.2 * wave, 0.7) + 0.5 * deep * ridge(depth - 33 - wave, 0.6)
    )
    echo = np.clip(echo, 0.02, 1) * np.exp(-depth / 55)
    grain = [ndimage.gaussian_filter(q.normal(size=y.shape), (0.6, 1.2)) for _ in range(2)]
    speckle = np.hypot(*grain) / np.hypot(*grain).mean()
    return np.asarray(np.clip(0.62 + 0.2 * np.log(echo * speckle + 0.01), 0, 1))


def axial_chest(s: Scene, lesion: str | None) -> Array:
    """A slice of a chest CT in a lung window: lungs with vessels, heart, spine and ribs."""
    p, q = s.patient, s.image
    x, y = s.grid()
    wide, deep = p.uniform(140, 160), p.uniform(100, 118)
    body = 1 - np.hypot(x / wide, y / deep)  # 1 in the middle, 0 at the skin
    hu = np.where(body > 0, np.where(body < 0.1, -100, 45), -1000).astype(float)
    lungs = np.zeros_like(x)
    for side in (-1, 1):
        across = (x - side * 70) / p.uniform(52, 60)
        lungs = np.maximum(lungs, expit((1 - np.hypot(across, (y + 4) / (deep - 26))) / 0.03))
    heart = np.hypot((x - 18) / p.uniform(45, 55), (y + 25) / p.uniform(36, 44))
    lungs *= expit((heart - 1) / 0.04) * expit((np.abs(x) - 14) / 3)
    vessels = np.zeros_like(x)
    for wide_mm, many in ((2.2, 14), (1.2, 60)):
        seeds = np.ones(x.shape, bool)
        rows, columns = np.nonzero(lungs > 0.5)
        chosen = q.integers(len(rows), size=many)
        seeds[rows[chosen], columns[chosen]] = False
        away: NDArray[np.float64] = ndimage.distance_transform_edt(seeds) * s.spacing_mm
        vessels = np.maximum(vessels, expit((wide_mm - away) / 0.6))
    air = -840 + 25 * s.texture(q, 2.5) - 40 * y / deep
    hu = hu * (1 - lungs) + lungs * (air + (40 - air) * np.clip(vessels, 0, 1))
    bone = expit((17 - np.hypot(x, (y - deep + 38) * 1.1)) / 1.5)
    angle = np.arctan2(y, x)
    bone = bone + ridge(body - 0.15, 0.02) * (np.sin(9 * angle + p.uniform(0, 6)) > 0.25)
    hu = hu + np.clip(bone, 0, 1) * (350 - hu) * (body > 0.04)
    return np.asarray(np.clip((hu + 1350 + q.normal(0, 30, x.shape)) / 1500, 0, 1))


def stripped_brain(s: Scene, lesion: str | None) -> Array:
    """A T1-weighted MR slice of a brain whose skull was taken away."""
    p, q = s.patient, s.image
    x, y = s.grid()
    level = min(p.uniform(0, 0.5) + 0.22 * s.number, 1.0)
    wide, long = p.uniform(60, 68), p.uniform(76, 86)
    angle, radius = np.arctan2(x, -y), np.hypot(x, y)
    edge = (1 - 0.2 * level**2) / np.hypot(np.sin(angle) / wide, np.cos(angle) / long)
    hu, inside = brain_of(s, x, y, edge - radius, level)
    white, grey = 28.0, 38.0
    rising, falling = (
        0.12 + 0.6 * (hu - 8) / (white - 8),
        0.72 - 0.2 * (hu - white) / (grey - white),
    )
    signal = np.clip(np.where(hu < white, rising, falling), 0.08, 0.8)
    bias = 1 + 0.08 * (x * q.normal() + y * q.normal()) / 80
    noise = 0.02 * np.hypot(q.normal(size=x.shape), q.normal(size=x.shape))
    return np.asarray(np.clip(s.blur(signal * inside * bias, 0.7) + noise, 0, 1))
