"""What every phantom is drawn with: a grid in mm, power-law texture, exposure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array: TypeAlias = NDArray[np.float64]
Site: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Scene:
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
        """A field after a Gaussian of ``sigma_mm``."""
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


def ridge(field: Array, width: float | Array) -> Array:
    """1 where the field crosses zero, falling off over ``width``."""
    return np.asarray(np.exp(-((field / width) ** 2)))


def to_segment(x: Array, y: Array, ax: float, ay: float, bx: float, by: float) -> Array:
    """Distance of each pixel to the segment from a to b."""
    dx, dy = bx - ax, by - ay
    t = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
    return np.asarray(np.hypot(x - ax - t * dx, y - ay - t * dy))
