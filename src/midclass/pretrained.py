"""Pretrained: a ResNet-18 with weights from a file of the user's; nothing is downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from midclass.errors import InputError


class PretrainedNetwork(nn.Module):
    """ResNet-18 (He et al., CVPR 2016) without its classifier, for features of 2-D images.

    The layers have the names that torchvision and timm give them, so a file of either fits, such as
    that of ``timm/resnet18.tv_in1k`` (ImageNet) or of RadImageNet (Mei et al., Radiology: AI 2022).
    """

    layout = torch.channels_last

    def __init__(self) -> None:
        super().__init__()
        from monai.networks.nets.resnet import ResNet

        self.settings: dict[str, Any] = {"standardise": True}
        self.backbone = ResNet(
            "basic",
            [2, 2, 2, 2],
            [64, 128, 256, 512],
            spatial_dims=2,
            n_input_channels=3,
            conv1_t_stride=2,
            bias_downsample=False,
            feed_forward=False,
        )
        self.to(memory_format=self.layout)  # type: ignore[call-overload]

    @classmethod
    def load(cls, path: str | Path) -> PretrainedNetwork:
        """Read weights from ``.safetensors``, or from ``.pth`` or ``.pt`` without running code.

        Raises:
            InputError: the file cannot be read or is no ResNet-18.
        """
        path = Path(path)
        try:
            weights = _read(path)
        except Exception as error:  # torch and safetensors raise many kinds for a broken file
            reason = " ".join(str(error).split())
            raise InputError(f"{path}: no readable weights ({reason})") from error
        network = cls()
        wanted = network.backbone.state_dict()
        for name, value in wanted.items():
            found = weights.get(name)
            if found is None or found.shape != value.shape:
                has = "nothing" if found is None else tuple(found.shape)
                raise InputError(
                    f"{path}: no ResNet-18 of torchvision or timm: {name} should have the shape "
                    f"{tuple(value.shape)}, there is {has}"
                )
        network.backbone.load_state_dict({name: weights[name] for name in wanted})
        return network.eval()

    def stages(self, x: Tensor) -> list[Tensor]:
        """Maps of the last three stages of ``(n, 1 or 3, h, w)``: at 1/8, 1/16 and 1/32."""
        net = self.backbone
        grey = x.shape[1] == 1
        first = net.act(net.bn1(net.conv1(x.expand(-1, 3, -1, -1) if grey else x)))
        second = net.layer2(net.layer1(net.maxpool(first)))
        third = net.layer3(second)
        return [second, third, net.layer4(third)]


def _read(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return dict(load_file(path))
    weights: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return weights
