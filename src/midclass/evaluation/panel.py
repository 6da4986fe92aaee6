"""Panel: an image with its heat map, and the colours that both have on paper."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from midclass.evaluation.heat import HeatScale
from midclass.files import new_file

HEAT = "inferno"
CAPTION = 20
"""Pixels of a line below an overlay."""

FloatArray = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Panel:
    """One image to show.

    Attributes:
        pixels: ``(c, h, w)`` in [0, 1].
        anatomy: bool ``(h, w)``, drawn as an outline; None for no outline.
        heat: ``(h, w)`` in [0, 1], laid over the image; None for the image alone.
        text: stands in the image, or below it.
        spacing_mm: ``(rows, cols)``, draws a scale bar; None for none.
    """

    pixels: FloatArray
    anatomy: NDArray[np.bool_] | None = None
    heat: FloatArray | None = None
    text: str = ""
    spacing_mm: tuple[float, float] | None = None


def overlay(path: Path, panel: Panel, scale: HeatScale) -> None:
    """Write ``overlay_picture`` as a PNG."""
    with new_file(path, synced=False) as file:
        overlay_into(file, panel, scale)


def overlay_into(file: BinaryIO, panel: Panel, scale: HeatScale) -> None:
    """The same into a file that is open."""
    import PIL.Image

    PIL.Image.fromarray(overlay_picture(panel, scale)).save(file, "png")


def overlay_picture(panel: Panel, scale: HeatScale, remark: str = "") -> NDArray[np.uint8]:
    """One image and its heat map side by side, and what they mean below: ``(rows, columns, 3)``.

    Args:
        panel: image, heat, and the text that stands below; what is less than 384 pixels high is
            enlarged.
        scale: of the detector.
        remark: stands below all.
    """
    import PIL.Image
    import PIL.ImageDraw
    import PIL.ImageFont

    image, font = rgb(panel.pixels), PIL.ImageFont.load_default(13)
    both = np.concatenate([image, over(image, coloured(panel, scale).heat)], axis=1)
    times = max(1, min(-(-384 // len(image)), 1024 // max(image.shape[:2])))
    small = PIL.Image.fromarray((both * 255).round().astype(np.uint8))
    width, height = small.width * times, small.height * times
    lines = [
        (6, panel.text),
        (CAPTION * 3 + 14, meaning(scale)),
        *([(6, remark)] if remark else []),
    ]
    widest = max(start + math.ceil(font.getlength(text)) + 6 for start, text in lines)
    picture = PIL.Image.new("RGB", (max(width, widest), height + CAPTION * len(lines)))
    picture.paste(small.resize((width, height), PIL.Image.Resampling.BILINEAR))
    bar = PIL.Image.fromarray((gradient() * 255).round().astype(np.uint8))
    picture.paste(bar.resize((CAPTION * 3, CAPTION // 2)), (6, height + CAPTION + CAPTION // 4))
    draw = PIL.ImageDraw.Draw(picture)
    for number, (start, text) in enumerate(lines):
        draw.text((start, height + number * CAPTION + 3), text, "white", font)
    return np.asarray(picture)


def coloured(panel: Panel, scale: HeatScale) -> Panel:
    """The image and its heat map as strength of colour, without anything else."""
    return Panel(panel.pixels, heat=None if panel.heat is None else scale(panel.heat))


def gradient() -> FloatArray:
    """The colours from where they begin to where they are full, over grey: ``(1, 64, 3)``."""
    return over(np.full((1, 64, 3), 0.4), np.linspace(0, 1, 64)[None])


def meaning(scale: HeatScale) -> str:
    """What colour means, in words."""
    return f"colour begins where at most {scale.rate:.1%} of normals show any"


def rgb(pixels: FloatArray) -> FloatArray:
    """``(c, h, w)`` as ``(h, w, 3)``: grey or colour, always on the same scale from 0 to 1."""
    clipped = np.clip(np.moveaxis(np.asarray(pixels, np.float64), 0, -1), 0, 1)
    return clipped if clipped.shape[-1] == 3 else clipped[..., :1].repeat(3, -1)


def over(image: FloatArray, heat: FloatArray | None, opacity: float = 0.7) -> FloatArray:
    """The image with a heat map over it, the more opaque the hotter."""
    if heat is None:
        return image
    above = layer(heat, opacity)
    return np.asarray(image + above[..., 3:] * (above[..., :3] - image))


def layer(heat: FloatArray, opacity: float = 0.7) -> FloatArray:
    """A heat map alone, to lie over its image: ``(h, w, 4)``, red, green, blue and opacity."""
    from matplotlib import colormaps

    strength = np.clip(heat, 0, 1)[..., None]
    colour = colormaps[HEAT](0.25 + 0.7 * strength[..., 0])[..., :3]
    return np.concatenate([colour, opacity * strength], axis=-1)
