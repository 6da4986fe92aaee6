"""Generated breast, head and chest phantoms with lesions: the offline default of demo and tests.

Normal anatomy is random geometry in millimetres with power-law texture (spectrum 1 / f^beta; beta
about 3 in mammograms: Burgess, SPIE 3663, 1999). Lesions are grown, filled or superposed in the
physical quantity (attenuation, Hounsfield units) and share no code with the knowledge operators:
a test on phantoms must not be a test on the training classes.
"""

from __future__ import annotations

import csv
import heapq
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.special import expit

from midclass.errors import InputError

Array: TypeAlias = NDArray[np.float64]
Site: TypeAlias = tuple[int, int]
_FILES = ("manifest.csv", "phantoms.json")
_COLUMNS = ("path", "label", "class_name", "patient_id", "split", "spacing_mm")


@dataclass(frozen=True)
class _Scene:
    """One image to be drawn: its pixels in mm and its three streams of random numbers."""

    size: int
    spacing_mm: float
    number: int  # which image of the patient this is
    patient: np.random.Generator  # the same numbers for every image of a patient
    image: np.random.Generator
    lesion: np.random.Generator  # apart, so that a target image has its given-class twin

    def grid(self, mirror: bool = False) -> tuple[Array, Array]:
        """Coordinates (x to the right, y down) in mm about the centre, slightly rotated."""
        line = (np.arange(self.size) - (self.size - 1) / 2) * self.spacing_mm
        x, y = np.meshgrid(-line if mirror else line, line)
        turn = self.image.normal(0, 0.04)
        return x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)

    def texture(self, rng: np.random.Generator, beta: float) -> Array:
        """Gaussian noise with spectrum 1 / f^beta, mean 0 and standard deviation 1."""
        fy, fx = np.fft.fftfreq(self.size)[:, None], np.fft.rfftfreq(self.size)[None]
        f = np.hypot(fx, fy)
        f[0, 0] = np.inf
        noise = np.fft.irfft2(
            np.fft.rfft2(rng.normal(size=(self.size, self.size))) * f ** (-beta / 2),
            s=(self.size, self.size),
        )
        return np.asarray(noise / noise.std())

    def blur(self, field: Array, sigma_mm: float) -> Array:
        return np.asarray(ndimage.gaussian_filter(field, sigma_mm / self.spacing_mm))

    def site(self, where: NDArray[np.bool_]) -> Site:
        """The row and column of a random pixel of a mask."""
        rows, columns = np.nonzero(where)
        i = self.lesion.integers(len(rows))
        return int(rows[i]), int(columns[i])

    def exposed(self, attenuation: Array, dose: float) -> Array:
        """Log-attenuation as shown: quantum noise, then gain, offset and gamma of the viewer."""
        rng = self.image
        counts = dose * np.exp(-attenuation) * rng.uniform(0.6, 1.5)
        noisy = attenuation + rng.normal(size=attenuation.shape) / np.sqrt(counts)
        shown = np.clip(noisy * rng.uniform(0.85, 1.12) + rng.normal(0, 0.03), 0, 1)
        return np.asarray(shown ** rng.uniform(0.8, 1.25))


def _ridge(field: Array, width: float) -> Array:
    return np.asarray(np.exp(-((field / width) ** 2)))


def _to_segment(x: Array, y: Array, ax: float, ay: float, bx: float, by: float) -> Array:
    """Distance of each pixel to the segment from a to b."""
    dx, dy = bx - ax, by - ay
    t = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
    return np.asarray(np.hypot(x - ax - t * dx, y - ay - t * dy))


# ------------------------------------------------------------------------------------- breast


def _breast(s: _Scene, lesion: str | None) -> Array:
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
    skin = 0.25 * _ridge(np.asarray((1 - rho) * depth - 1.5), 1.2)
    teat = 0.9 * _ridge(from_nipple, 3.5) * p.uniform(0, 1)
    mu = 0.46 + 0.34 * gland * (1 - 0.7 * muscle) + 0.22 * muscle
    room = 0.5 * thick + 1e-6  # a mass displaces tissue: it cannot add without limit
    attenuation = mu * thick + room * np.tanh(extra / room) + skin + teat
    return s.exposed(0.22 * s.blur(np.asarray(attenuation), 0.7), dose=9e3)


def _gland(s: _Scene, rho: Array, density: float, angle: Array, from_nipple: Array) -> Array:
    """Fraction of glandular tissue: lobes by power-law noise, ligaments, ducts to the nipple."""
    q = s.image
    coarse, fine = s.texture(q, q.uniform(2.8, 3.3)), s.texture(q, 2.6)
    wavy, strands = s.texture(q, 4), s.texture(q, 3)
    prior = _ridge(rho - 0.48, 0.40) * expit((0.9 - rho) * 25)
    lobes = expit(2.2 * (coarse + 2.6 * density - 1.4) + 0.5 * fine)
    arcs = _ridge(np.sin(from_nipple / 10 + 2.2 * wavy + 0.25 * fine), 0.22)
    ducts = _ridge(np.sin(q.uniform(6, 9) * angle + 1.6 * wavy + 0.25 * fine), 0.28)
    lines = (arcs + 1.2 * ducts * expit((from_nipple - 8) / 3)) * expit(2 * strands - 0.5)
    return np.asarray(
        prior * (0.2 + 0.6 * density) * lobes + 0.16 * lines * expit((0.93 - rho) * 30)
    )


def _mass_chord_cm(s: _Scene, x: Array, y: Array, tissue: NDArray[np.bool_]) -> Array:
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


def _distorted(s: _Scene, x: Array, y: Array, tissue: NDArray[np.bool_], gland: Array) -> Array:
    """Architectural distortion: around a point the phase of the texture turns radial."""
    rng, at = s.lesion, s.site(tissue)
    r, angle = np.hypot(x - x[at], y - y[at]), np.arctan2(y - y[at], x - x[at])
    reach = rng.uniform(13, 22)
    rays, bend = np.zeros_like(x), s.texture(rng, 4) + 0.3 * s.texture(rng, 2.6)
    for order in rng.choice(np.arange(5, 15), size=5, replace=False):
        phase = order * (angle + 0.3 * bend) + rng.uniform(0, 2 * np.pi) + np.log1p(r)
        rays += rng.uniform(0.3, 1.3) * np.cos(phase)
    window = expit((reach - r) / 2.5) * rng.uniform(0.6, 1)
    level = s.blur(gland, 6) + 0.12
    radial = level * (1 + 0.5 * rays * (1 - np.exp(-r / 5)) * expit(2 * bend + 1)) + 0.08 * np.exp(
        -r / 6
    )
    return np.asarray((1 - window) * gland + window * np.clip(radial, 0, 1.2))


def _asymmetric(s: _Scene, x: Array, y: Array, tissue: NDArray[np.bool_], gland: Array) -> Array:
    """Focal asymmetry: an island of other, denser gland with its own texture, fat-interspersed."""
    rng, at = s.lesion, s.site(tissue)
    other = expit(2 * s.texture(rng, 3) + 1.5)
    long, wide, turn = rng.uniform(12, 20), rng.uniform(8, 13), rng.uniform(0, 3.1)
    u = (x - x[at]) * np.cos(turn) + (y - y[at]) * np.sin(turn)
    v = (y - y[at]) * np.cos(turn) - (x - x[at]) * np.sin(turn)
    island = np.clip(1.4 - np.hypot(u / long, v / wide), 0, 1)
    return np.asarray(np.maximum(gland, gland + rng.uniform(0.35, 0.7) * other * island))


# --------------------------------------------------------------------------------------- head


def _head(s: _Scene, lesion: str | None) -> Array:
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
    hu, brain = _brain(s, x, y, inner - r, level)
    if lesion in ("subdural", "epidural"):
        hu = _pushed(s, hu, r, angle, inner, lens=lesion == "epidural")
    elif lesion is not None:
        hu = _bled(s, hu, brain & (inner - r > 3), in_csf=lesion == "subarachnoid")
    scalp = r - inner - bone
    scalp_mm = p.uniform(4, 8)
    outside = 45 * _ridge(np.minimum(scalp - 1, scalp_mm - scalp), 1.3) - 60
    outside = np.where(scalp < scalp_mm, outside, -1000)
    skull = expit((r - inner) / 0.5)
    hu = hu * (1 - skull) + skull * np.where(scalp < 0, 700, outside)
    rest = np.abs(np.hypot(x, y + 20) - p.uniform(117, 124)) < 1.2
    hu[rest & (y > 40)] = 300 * (p.uniform() < 0.7)
    noise = s.blur(q.normal(size=x.shape), 0.45 * s.spacing_mm)
    hu = s.blur(np.clip(hu, -100, 220), 0.9) + q.uniform(2.5, 5) * noise + 2.5 * (r / 80) ** 2
    window = q.uniform(80, 105)
    return np.asarray(np.clip((hu - q.normal(38, 3)) / window + 0.5, 0, 1))


def _brain(
    s: _Scene, x: Array, y: Array, depth: Array, level: float
) -> tuple[Array, NDArray[np.bool_]]:
    """Hounsfield units inside the skull, and where there is brain or CSF."""
    p, q = s.patient, s.image
    atrophy, big, slant = p.uniform(0.4, 1.2), p.uniform(0.5, 1.5), q.normal(0, 0.02)
    x = x + slant * y + 1.1 * s.texture(q, 4)
    side = np.abs(x) * np.where(x > 0, p.normal(1, 0.05), 1.0)
    fold, gyri = s.texture(q, 2.8), s.texture(q, 3.5)
    white = expit((depth - 8 - 5 * fold) / 1.2)
    nuclei = _ridge(np.hypot((side - 12) / 7, (y - 6) / 10), 1)
    nuclei += _ridge(np.hypot((side - 25) / 5, (y + 4) / 12), 1)
    white = white * (1 - 0.9 * np.clip(nuclei, 0, 1) * expit((0.45 - level) * 12))
    front, body, horn = 30 - 8 * level, 6 + 8 * level, 36 - 14 * level
    duct = np.minimum(
        _to_segment(side, y, 12, -front + 4, 5 + 3 * level, -9),
        _to_segment(side, y, body, 14, 21 - 6 * level, horn) + 0.8 * (1 - big),
    )
    duct = np.minimum(duct, _to_segment(side, y, 5 + 3 * level, -9, body, 14) + 4 - 6 * level)
    csf = expit((3.4 * big - duct) / 0.7) * expit((0.78 - level) * 25)
    csf = csf + expit((1.2 * big - side) / 0.5) * _ridge(y - 4, 10) * (level < 0.35)
    furrow = _ridge(np.sin(11 * np.arctan2(side, -y) + 1.3 * gyri), 0.3) + _ridge(fold, 0.2)
    csf = csf + atrophy * 0.8 * furrow * expit((9 + 4 * fold + 5 * level - depth) / 1.5)
    csf = csf + _ridge(_to_segment(side, y, 0, 21, 9, 15), 2.2) * (level < 0.2)
    csf = csf + atrophy * _ridge(_to_segment(side, y, 30, -8, 50, -14), 2.0) * (level < 0.4)
    fissure = expit((np.abs(y - 4) - 34 * (1 - level)) / 3)
    csf = csf + 0.5 * atrophy * fissure * _ridge(side, 3) + 0.6 * atrophy * _ridge(depth, 1.5)
    hu = 38 - 10 * white + 1.2 * s.texture(q, 2.5)
    hu = hu + np.clip(csf, 0, 1) * (8 - hu) + q.uniform(2, 14) * fissure * _ridge(side, 1.2)
    plexus = np.minimum(np.hypot(side - 18, y - 27), np.hypot(x, y - 17) + 0.5)
    hu = hu + max(p.uniform(-80, 120), 0) * expit((1.6 - plexus) / 0.5) * (level < 0.5)
    return np.asarray(hu), np.asarray(depth > 0)


def _bled(s: _Scene, hu: Array, brain: NDArray[np.bool_], in_csf: bool) -> Array:
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


def _pushed(s: _Scene, hu: Array, r: Array, angle: Array, inner: Array, lens: bool) -> Array:
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


# -------------------------------------------------------------------------------------- chest


def _chest(s: _Scene, lesion: str | None) -> Array:
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
    spine = _ridge(x, 15) * (0.13 + 0.02 * np.cos(2 * np.pi * y / 21 + p.uniform(0, 6.3)))
    trachea = 0.16 * _ridge(x - p.normal(0, 2), 7.5) * expit(-(y + 42) / 6)
    attenuation = body * (0.92 + 0.02 * s.texture(q, 3)) - air + 0.2 * vessels + spine - trachea
    attenuation = attenuation + _bones(s, x, y) * (0.35 + 0.65 * np.sqrt(lungs)) * expit(
        (half - np.abs(x)) / 1.5
    )
    bubble = np.hypot((x - 62) / 24, (y - 118) / 11)
    attenuation -= 0.2 * max(p.uniform(-0.6, 1), 0) * expit((1 - bubble) * 6)
    scattered = attenuation + 0.22 * s.blur(np.asarray(attenuation), 30)
    return s.exposed(0.72 * s.blur(np.asarray(scattered), 1.2), dose=8e3)


def _heart(s: _Scene, x: Array, y: Array) -> Array:
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


def _lungs(s: _Scene, x: Array, y: Array) -> tuple[Array, Array]:
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


def _bones(s: _Scene, x: Array, y: Array) -> Array:
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
        tube = np.sqrt(np.clip(1 - d**2, 0, 1)) + 0.6 * _ridge(np.abs(d) - 0.9, 0.25)
        total += strength * tube * where * expit((side - inner) / 4) * expit((88 - y) / 12)
    rise = p.uniform(6, 26)
    for sign in (-1, 1):
        d = _to_segment(sign * x, y, 13, -84 + q.normal(0, 2), 112, -84 - rise) / 6
        total += 0.13 * (np.sqrt(np.clip(1 - d**2, 0, 1)) + 0.5 * _ridge(d - 0.9, 0.25))
    return total


def _vessels(s: _Scene, x: Array, y: Array) -> Array:
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


def _splat(s: _Scene, x: Array, y: Array, points: Array, strength: float) -> Array:
    """Thickness map of small balls: ``points`` are (k, 3) with x, y and radius in mm."""
    field = np.zeros_like(x)
    rows, columns = _pixels(x, y, points)
    np.add.at(field, (rows, columns), strength * points[:, 2] ** 2 / s.spacing_mm**2)
    return s.blur(field, 1.4)


def _acini(s: _Scene, x: Array, y: Array, lungs: Array, patches: int) -> Array:
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


def _effusion(s: _Scene, x: Array, under: Array) -> Array:
    """Fluid above the diaphragm of one side, with a meniscus that climbs the chest wall."""
    rng = s.lesion
    side = x * rng.choice([-1, 1])
    level = rng.uniform(5, 40) + rng.uniform(15, 50) * np.exp(-np.clip(108 - side, 0, None) / 14)
    return np.asarray(expit((level - under) / 2.5) * (side > 0) * rng.uniform(0.75, 0.98))


# ------------------------------------------------------------------------------ images and sets


@dataclass(frozen=True)
class _Kind:
    field_of_view_mm: float
    images_per_patient: int  # both breasts, some slices, one radiograph
    render: Callable[[_Scene, str | None], Array]
    lesions: tuple[str, ...]


_KINDS = {
    "breast": _Kind(200, 2, _breast, ("mass", "distortion", "asymmetry")),
    "head": _Kind(225, 3, _head, ("intraparenchymal", "subdural", "subarachnoid", "epidural")),
    "chest": _Kind(300, 1, _chest, ("consolidation", "bronchopneumonia", "effusion")),
}
KINDS = tuple(_KINDS)
_GROUPS = ("train", "given", "target")  # each with patients of its own


def _kind(name: str, seed: int, size: int, *counts: int) -> _Kind:
    if name not in _KINDS:
        raise InputError(f"no phantom kind {name!r}; the kinds are {', '.join(_KINDS)}")
    if size < 32:
        raise InputError(f"phantom size {size} px is too small for anatomy; use 32 or more")
    if seed < 0:
        raise InputError(f"phantom seed {seed} is negative; use 0 or more")
    if min(counts) < 0:
        raise InputError(f"number of phantoms {min(counts)} is negative; use 0 or more")
    return _KINDS[name]


def _image(name: str, seed: int, group: int, index: int, size: int, target: bool) -> Array:
    """Image ``index`` of a group: float64 ``(size, size)`` in [0, 1], from its own seeds alone."""
    kind = _KINDS[name]
    patient, number = divmod(index, kind.images_per_patient)
    key = (seed, KINDS.index(name), group, patient)
    scene = _Scene(
        size,
        kind.field_of_view_mm / size,
        number,
        patient=np.random.default_rng([*key, 0]),
        image=np.random.default_rng([*key, 1, number]),
        lesion=np.random.default_rng([*key, 2, number]),
    )
    return kind.render(scene, kind.lesions[index % len(kind.lesions)] if target else None)


def make(
    kind: str, n: int, seed: int, *, size: int = 128, target: bool = False
) -> NDArray[np.float32]:
    """Phantoms as float32 ``(n, size, size)`` in [0, 1].

    Image ``i`` depends on the seed and ``i`` alone, not on ``n``. With ``target``, image ``i`` is
    its given-class twin (same anatomy, exposure and noise) plus a lesion: give another seed where
    the two must be different patients, as :func:`write` does.

    Raises:
        InputError: unknown kind, ``size`` under 32, or a negative ``n`` or seed.

    >>> make("head", 2, seed=0).shape
    (2, 128, 128)
    """
    _kind(kind, seed, size, n)
    images = [_image(kind, seed, 0, i, size, target) for i in range(n)]
    return np.asarray(images, np.float32).reshape(n, size, size)


def write(
    folder: Path,
    kind: str,
    seed: int,
    n_train: int = 300,
    n_test: int = 100,
    *,
    size: int = 128,
) -> Path:
    """Write a phantom set and return its manifest; the folder appears whole or not at all.

    16-bit grey PNG files and ``manifest.csv`` with path, label, class_name, patient_id, split and
    spacing_mm: ``n_train`` given-class images, ``n_test`` more and ``n_test`` of the target
    class, each group with patients of its own. A phantom set at ``folder`` is replaced.

    Raises:
        InputError: unknown kind, bad numbers, or ``folder`` holds anything but a phantom set.
    """
    spec, folder = _kind(kind, seed, size, n_train, n_test), Path(folder)
    _refuse_foreign(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        new, old = Path(scratch) / "new", Path(scratch) / "old"
        (new / "images").mkdir(parents=True)
        rows = []
        for group, count in enumerate((n_train, n_test, n_test)):
            for i in range(count):
                row = _row(kind, spec, group, i, size)
                pixels = _image(kind, seed, group, i, size, target=group == 2)
                Image.fromarray(np.rint(pixels * 65535).astype(np.uint16)).save(new / row["path"])
                rows.append(row)
        with (new / _FILES[0]).open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, _COLUMNS, lineterminator="\n")
            table.writeheader()
            table.writerows(rows)
        about = {"kind": kind, "seed": seed, "n_train": n_train, "n_test": n_test, "size": size}
        (new / _FILES[1]).write_text(json.dumps(about) + "\n", encoding="utf-8")
        if folder.exists():
            folder.rename(old)
        try:
            new.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
    return folder / _FILES[0]


def _row(kind: str, spec: _Kind, group: int, index: int, size: int) -> dict[str, str]:
    patient, name = index // spec.images_per_patient, _GROUPS[group]
    return {
        "path": f"images/{name}_{index:05d}.png",
        "label": str(int(group == 2)),
        "class_name": spec.lesions[index % len(spec.lesions)] if group == 2 else "normal",
        "patient_id": f"{kind}-{name}-{patient:05d}",
        "split": "train" if group == 0 else "test",
        "spacing_mm": repr(spec.field_of_view_mm / size),
    }


def _refuse_foreign(folder: Path) -> None:
    """A folder is replaced only if every file in it is listed by a phantom set's manifest."""
    if folder.is_dir() and not folder.is_symlink():
        found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
        if not found:
            return
        known = set(_FILES)
        if known <= found:
            with (folder / _FILES[0]).open(newline="", encoding="utf-8") as file:
                known |= {row.get("path", "") for row in csv.DictReader(file)}
        foreign = sorted(found - known) if len(known) > 2 else sorted(found)
        if foreign:
            raise InputError(f"{folder} holds {foreign[0]}, no phantom; give a new folder")
    elif folder.exists() or folder.is_symlink():
        raise InputError(f"{folder} is not a folder of phantoms; give a new folder")
