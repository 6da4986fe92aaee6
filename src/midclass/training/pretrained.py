"""Pretrained: a network with published weights, read from and not trained."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

SIDE = 160
"""Pixels of an image's shorter side at least; smaller ones are enlarged.

Such weights were learned from images of 224 pixels, which take twice the time; on the development
suite they tell no more.
"""
TOGETHER = 16
"""Images that pass at once: what lies between two layers of more does not fit in caches."""


class PretrainedNetwork(nn.Module):
    """A network for features of 2-D images, without its classifier, made to be read from alone.

    A subclass makes the network of one architecture and says where its stages end. What only a
    training needs is folded away (see ``folded``): the maps are the same, in half the time.

    Args:
        standardise: see ``networks.scaled``.
        sizes: what ``sizes_of`` found, of an architecture that comes in several.
    """

    layout = torch.channels_last
    mark: ClassVar[str]
    """A weight by which a file of this architecture is known, before any network is made."""
    channels: tuple[int, ...]
    """Of the maps of each stage."""
    colours: int = 3
    """Channels of what the network takes; grey images are repeated, colours averaged."""
    cell: int = 1
    """Sides of images are a multiple of it."""
    least_cells: int = 0
    """Along the shorter side, at least; they decide where ``SIDE`` pixels hold fewer."""

    def __init__(self, standardise: bool = True, **sizes: int) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "architecture": type(self).__name__,
            "standardise": standardise,
            **sizes,
        }
        published = self.build(**sizes)
        self.needed = {
            name: tuple(value.shape)
            for name, value in published.state_dict().items()
            if not name.endswith(".num_batches_tracked")  # older files have none; nothing reads it
        }
        """Shapes of the weights that a file must have, by the names here."""
        self.backbone = folded(published)
        self.to(memory_format=self.layout)  # type: ignore[call-overload]

    @staticmethod
    @abstractmethod
    def build(**sizes: int) -> nn.Module:
        """The network without its classifier."""

    @abstractmethod
    def maps(self, x: Tensor) -> list[Tensor]:
        """Maps of four stages of images: at 1/4, 1/8, 1/16 and 1/32 of their resolution."""

    @classmethod
    def known(cls, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The weights of a file under the names of this architecture, where it has several."""
        return weights

    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, int]:
        """The size of these weights, of an architecture that comes in several.

        Raises:
            LookupError: they are of another architecture; says why.
            ValueError: they are of this one, and of no size or kind that is known.
        """
        if cls.mark not in weights:
            raise LookupError(f"{cls.mark} is not there")
        return {}

    @staticmethod
    def name_in_file(name: str) -> str:
        """What ``known`` calls the weights that the backbone calls ``name``."""
        return name

    def stages(self, x: Tensor) -> list[Tensor]:
        """The last three of ``pyramid``."""
        return self.pyramid(x)[1:]

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """Maps of four stages of ``(n, 1 or 3, h, w)`` images, small ones enlarged."""
        factor = max(1.0, max(SIDE, self.least_cells * self.cell) / min(x.shape[2:]))
        size = [self.cell * math.ceil(round(factor * side) / self.cell) for side in x.shape[2:]]
        if size != list(x.shape[2:]):
            x = functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
        if x.shape[1] != self.colours:
            x = x.mean(1, keepdim=True) if self.colours == 1 else x.expand(-1, 3, -1, -1)
        x = x.contiguous(memory_format=self.layout)
        if torch.compiler.is_compiling():  # an exported network takes batches of any size
            return self.maps(x)
        parts = torch.split(x, TOGETHER)
        return [torch.cat(stage) for stage in zip(*map(self.maps, parts), strict=True)]

    def mistakes(self, weights: Mapping[str, Tensor]) -> list[str]:
        """What of the backbone's weights is not there, or of another shape.

        Args:
            weights: as ``known`` gives them.
        """
        found = list[str]()
        for name, shape in self.needed.items():
            one = weights.get(self.name_in_file(name))
            if one is None or one.shape != shape:
                has = "nothing" if one is None else tuple(one.shape)
                found.append(
                    f"{self.name_in_file(name)} should have the shape {shape}, there is {has}"
                )
            elif one.layout != torch.strided or one.is_meta or not one.is_floating_point():
                found.append(
                    f"{self.name_in_file(name)} is of {one.dtype}, {one.layout}; save it as "
                    "plain float32"
                )
        return found

    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Take the backbone's weights, of which none is a mistake."""
        published = self.build(**self._sizes)
        published.load_state_dict({name: weights[self.name_in_file(name)] for name in self.needed})
        self.backbone = folded(published)
        self.to(memory_format=self.layout)  # type: ignore[call-overload]

    @property
    def _sizes(self) -> dict[str, int]:
        fixed = ("architecture", "standardise")
        return {name: value for name, value in self.settings.items() if name not in fixed}


def folded(network: nn.Module) -> nn.Module:
    """The network in evaluation, batch normalisation and padding within its convolutions.

    Normalisation by fixed numbers is part of the convolution before it; for padding see
    ``PaddedConvolution``.

    Args:
        network: changed in place. Its convolutions, paddings and normalisations are attributes in
            the order in which they are used.

    >>> network = folded(nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)))
    >>> [type(layer).__name__ for layer in network], network[0].bias.shape
    (['Conv2d', 'Identity'], torch.Size([8]))
    """
    for holder in network.eval().modules():
        last = ""
        for name, layer in list(holder.named_children()):
            if isinstance(layer, nn.Conv2d):
                last = name
            elif last and isinstance(layer, nn.BatchNorm2d):
                setattr(holder, last, fuse_conv_bn_eval(getattr(holder, last), layer))
                setattr(holder, name, nn.Identity())
                last = ""  # another normalisation is of what comes after it
            elif last and isinstance(layer, nn.ConstantPad2d) and layer.value == 0:
                setattr(holder, last, PaddedConvolution(getattr(holder, last), layer.padding))
                setattr(holder, name, nn.Identity())
    return network


class PaddedConvolution(nn.Conv2d):
    """A convolution that pads more on the right and at the bottom, as TensorFlow does.

    Zeros before its weights are padding on one side, and need no copy of the input. They are added
    in passing: its weights, and what is saved of them, are the published ones.

    Args:
        conv: takes its place, with its weights.
        padding: of left, right, top and bottom.

    >>> conv, x = nn.Conv2d(1, 1, 3, stride=2), torch.rand(1, 1, 8, 8)
    >>> one, other = PaddedConvolution(conv, (0, 1, 0, 1))(x), conv(functional.pad(x, (0, 1, 0, 1)))
    >>> torch.testing.assert_close(one, other)
    """

    def __init__(self, conv: nn.Conv2d, padding: tuple[int, ...]) -> None:
        left, right, top, bottom = padding
        super().__init__(
            conv.in_channels,
            conv.out_channels,
            (conv.kernel_size[0], conv.kernel_size[1]),
            (conv.stride[0], conv.stride[1]),
            (bottom, right),
            groups=conv.groups,
        )
        self.weight, self.bias = conv.weight, conv.bias
        self.training = conv.training
        self.around = padding
        self.more = right - left, 0, bottom - top, 0
        assert min(self.more) >= 0, "TensorFlow pads more on the right and at the bottom"

    def forward(self, input: Tensor) -> Tensor:
        """The output, smaller by the stride."""
        if torch.compiler.is_compiling():
            # ONNX Runtime takes padding of weights for padding of the input, and refuses the graph.
            wide = functional.pad(input, self.around)
            return functional.conv2d(wide, self.weight, self.bias, self.stride, groups=self.groups)
        weight = functional.pad(self.weight, self.more) if any(self.more) else self.weight
        output: Tensor = self._conv_forward(input, weight, self.bias)
        return output
