"""Autoencoders: encoder, decoder and U-Net of the baselines, as large as the method's network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

LATENT = 32
"""Numbers that a whole image is squeezed into (Ruff et al., ICML 2018, use 32 for MNIST)."""
STAGES = 4


class Size(NamedTuple):
    """What encoders and decoders are made for.

    Attributes:
        channels: of the image.
        spatial: size of the image, 2-D or 3-D.
        width: channels of the first stage; each further stage has twice as many.
        blocks: convolutions a stage.
        free: learn offsets and scales (bias terms, affine batch norm).
    """

    channels: int
    spatial: tuple[int, ...]
    width: int = 16
    blocks: int = 1
    free: bool = True

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Size:
        """Read back from JSON."""
        return cls(**{**settings, "spatial": tuple(settings["spatial"])})

    @property
    def widths(self) -> list[int]:
        """Channels of each stage."""
        return [self.width * 2**stage for stage in range(STAGES)]


class Encoder(nn.Module):
    """Four stages that halve the image and double the channels, then a dense layer.

    >>> Encoder(Size(1, (40, 32), width=8))(torch.rand(2, 1, 40, 32)).shape
    torch.Size([2, 32])
    """

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.settings = size._asdict()
        dims, widths = len(size.spatial), size.widths
        self.layout = layout_of(dims)
        self.stages = nn.Sequential(
            *(
                conv_stage(before, after, dims, size.blocks, stride=2, free=size.free)
                for before, after in zip([size.channels, *widths], widths, strict=False)
            )
        )
        self.narrow = _conv(dims)(widths[-1], size.width, 1, bias=size.free)
        cells = math.prod(sizes_of(size.spatial)[-1])
        self.dense = nn.Linear(size.width * cells, LATENT, bias=size.free)
        self.to(memory_format=self.layout)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, *spatial)`` to ``(n, LATENT)``."""
        deep = self.narrow(self.stages(x.contiguous(memory_format=self.layout)))
        latent: Tensor = self.dense(deep.flatten(1))
        return latent


class Decoder(nn.Module):
    """The way back from the dense layer to the image."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        dims, widths = len(size.spatial), size.widths
        self.sizes = sizes_of(size.spatial)
        self.dense = nn.Linear(LATENT, size.width * math.prod(self.sizes[-1]), bias=size.free)
        self.widen = _conv(dims)(size.width, widths[-1], 1, bias=size.free)
        self.stages = nn.ModuleList(
            conv_stage(before, after, dims, size.blocks, free=size.free)
            for before, after in zip(widths[::-1], [*widths[-2::-1], size.width], strict=True)
        )
        self.last = _conv(dims)(size.width, size.channels, 1, bias=size.free)
        self.to(memory_format=layout_of(dims))  # type: ignore[call-overload]

    def forward(self, latent: Tensor) -> Tensor:
        """``(n, LATENT)`` to ``(n, c, *spatial)``."""
        x = self.widen(self.dense(latent).unflatten(1, (-1, *self.sizes[-1])))
        for stage, size in zip(self.stages, self.sizes[-2::-1], strict=True):
            x = stage(functional.interpolate(x, size=size, mode="nearest"))
        image: Tensor = self.last(x)
        return image


class ConvAutoEncoder(nn.Module):
    """Encoder and decoder."""

    def __init__(self, size: Size) -> None:
        super().__init__()
        self.encoder = Encoder(size)
        self.decoder = Decoder(size)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, *spatial)`` to the same."""
        image: Tensor = self.decoder(self.encoder(x))
        return image


class UNet(nn.Module):
    """Four scales with skips (Ronneberger et al., MICCAI 2015); the image in, an image out.

    >>> UNet(1, 2, width=8)(torch.rand(2, 1, 40, 33)).shape
    torch.Size([2, 1, 40, 33])
    """

    def __init__(self, channels: int, dims: int, width: int = 16, blocks: int = 1) -> None:
        super().__init__()
        widths = [width * 2**stage for stage in range(STAGES)]
        self.layout = layout_of(dims)
        self.down = nn.ModuleList(
            conv_stage(before, after, dims, blocks, stride=stride)
            for before, after, stride in zip(
                [channels, *widths], widths, (1, 2, 2, 2), strict=False
            )
        )
        self.up = nn.ModuleList(
            conv_stage(wide + narrow, narrow, dims, blocks)
            for narrow, wide in zip(widths[-2::-1], widths[:0:-1], strict=True)
        )
        self.last = _conv(dims)(width, channels, 1)
        self.to(memory_format=self.layout)  # type: ignore[call-overload]

    def forward(self, x: Tensor) -> Tensor:
        """``(n, c, *spatial)`` to the same."""
        x = x.contiguous(memory_format=self.layout)
        skips = []
        for stage in self.down:
            x = stage(x)
            skips.append(x)
        for stage, skip in zip(self.up, skips[-2::-1], strict=True):
            larger = functional.interpolate(x, size=skip.shape[2:], mode="nearest")
            x = stage(torch.cat([larger, skip], 1))
        image: Tensor = self.last(x)
        return image


def sizes_of(spatial: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The image's size and that after each halving, rounded up.

    >>> sizes_of((40, 33))[-1]
    (3, 3)
    """
    return [tuple(math.ceil(side / 2**stage) for side in spatial) for stage in range(STAGES + 1)]


def layout_of(dims: int) -> torch.memory_format:
    """Channels last, which is what the vectorised convolutions of a CPU want."""
    return torch.channels_last if dims == 2 else torch.channels_last_3d


def _conv(dims: int) -> type[nn.Conv2d] | type[nn.Conv3d]:
    return nn.Conv2d if dims == 2 else nn.Conv3d


def conv_stage(
    before: int,
    after: int,
    dims: int,
    blocks: int,
    *,
    stride: int = 1,
    free: bool = True,
    side: int = 3,
) -> nn.Sequential:
    """Convolutions, each with batch norm (in place of a bias) and a leaky ReLU.

    Args:
        before: channels of the input.
        after: channels of the output.
        dims: 2 or 3.
        blocks: convolutions.
        stride: of the first.
        free: learn offsets and scales.
        side: of the kernels, odd.
    """
    norm = nn.BatchNorm2d if dims == 2 else nn.BatchNorm3d
    layers: list[nn.Module] = []
    for block in range(blocks):
        first = block == 0
        layers += [
            _conv(dims)(
                before if first else after,
                after,
                side,
                stride=stride if first else 1,
                padding=side // 2,
                bias=False,
            ),
            norm(after, affine=free),
            nn.LeakyReLU(0.1),
        ]
    return nn.Sequential(*layers)
