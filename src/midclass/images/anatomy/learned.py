"""Learned anatomy: masks of small networks that were trained to see the organ and not the disease.

A rule needs a window, a crop and a skull as it was made for; and a rule by brightness takes bright
blood for bone. These networks learned the masks of a rule where it is right, on images that were
then changed in window, gamma, place, scale and sharpness, and into which lesions were put *while
the mask stayed that of the untouched image*. So they find the organ, whatever is in it.
``tools/anatomy/learn.py`` makes the weights; WEIGHTS.md beside them says of which data.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from scipy import ndimage as ndi

from midclass.images.anatomy.base import Pixels, Spacing, against_dark

if TYPE_CHECKING:
    from torch import Tensor, nn

WEIGHTS = Path(__file__).parent / "weights"
SIDE = 128
"""Pixels of the square that a network sees."""
MARGIN = 0.06
"""Of the square beyond the body, on each side."""
OUTSIDE = np.float32(-100)

Box: TypeAlias = tuple[float, float, float, float]


def seen_by(name: str, grey: Pixels, spacing_mm: Spacing) -> Pixels:
    """Logits ``(h, w)`` of being inside, by the network of this name; all -100 where constant.

    Args:
        name: of its file of weights.
        grey: float32 ``(h, w)`` in [0, 1], of any size and window.
        spacing_mm: ``(rows, cols)``; only their ratio counts.
    """
    import torch

    box = square_around(grey, spacing_mm)
    if box is None:
        return np.full(grey.shape, OUTSIDE)
    shown = torch.from_numpy(cut_out(grey, box))[None, None]
    with torch.inference_mode():
        seen = _network(name)(scaled(shown))[0, 0].numpy()
    return put_back(seen, box, grey.shape)


def square_around(grey: Pixels, spacing_mm: Spacing, margin: float = MARGIN) -> Box | None:
    """The square, in mm, around what is brighter than the background; None for a constant image.

    In pixel edges, ``(top, left, bottom, right)``; it may reach beyond the image.
    """
    body = against_dark(ndi.gaussian_filter(grey, 0.7), share=0.35)
    rows, columns = np.flatnonzero(body.any(axis=1)), np.flatnonzero(body.any(axis=0))
    if not len(rows):
        return None
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    y, x = (top + bottom) / 2, (left + right) / 2
    side_mm = max((bottom - top) * spacing_mm[0], (right - left) * spacing_mm[1])
    half_y, half_x = ((0.5 + margin) * side_mm / spacing for spacing in spacing_mm)
    return y - half_y, x - half_x, y + half_y, x + half_x


def cut_out(grey: Pixels, box: Box) -> Pixels:
    """The square of an image ``(SIDE, SIDE)``, black beyond the image."""
    steps, starts = _grid(box)
    smooth = ndi.uniform_filter(grey, [max(1, round(step)) for step in steps])
    offsets = [start + 0.5 * step - 0.5 for start, step in zip(starts, steps, strict=True)]
    return _resampled(smooth, steps, offsets, (SIDE, SIDE), 0.0)


def scaled(images: Tensor) -> Tensor:
    """Images ``(n, 1, h, w)`` between their own dark and bright: a window hardly changes them."""
    values = images.flatten(1)
    low, high = (values.quantile(share, 1)[:, None, None, None] for share in (0.02, 0.99))
    return ((images - low) / (high - low + 1e-3)).clamp(-0.5, 1.5)


def mask_network() -> nn.Module:
    """A small U-Net (Ronneberger et al., MICCAI 2015; MONAI's), 0.3 M weights.

    Widths are multiples of 8, see ``Budget.width``.
    """
    from monai.networks.nets.basic_unet import BasicUNet

    network: nn.Module = BasicUNet(
        2, in_channels=1, out_channels=1, features=(8, 16, 32, 64, 64, 8)
    )
    return network


@cache
def _network(name: str) -> nn.Module:
    from safetensors.torch import load_file

    network = mask_network()
    weights = load_file(WEIGHTS / f"{name}.safetensors")
    network.load_state_dict({key: value.float() for key, value in weights.items()})
    return network.eval()


def is_used() -> bool:
    """Whether a learned anatomy was found in this process: another needs seconds to begin."""
    return _network.cache_info().currsize > 0


def put_back(seen: Pixels, box: Box, shape: tuple[int, ...]) -> Pixels:
    """What was seen of the square, on the grid of the image; far below 0 outside the square."""
    steps, starts = _grid(box)
    offsets = [(0.5 - start) / step - 0.5 for start, step in zip(starts, steps, strict=True)]
    return _resampled(seen, [1 / step for step in steps], offsets, shape, float(OUTSIDE))


def _grid(box: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Pixels of the image from one of the square to the next, and where the square begins."""
    return ((box[2] - box[0]) / SIDE, (box[3] - box[1]) / SIDE), box[:2]


def _resampled(
    values: Pixels,
    steps: Sequence[float],
    offsets: Sequence[float],
    shape: tuple[int, ...],
    beyond: float,
) -> Pixels:
    """Linear between the pixels at ``offset + step * i``; ``beyond`` outside of them."""
    found: Pixels = ndi.affine_transform(
        values, steps, offsets, output_shape=shape, order=1, mode="constant", cval=beyond
    )
    return found
