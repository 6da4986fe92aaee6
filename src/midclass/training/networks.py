"""Networks: a MONAI backbone with a class head and a change-map head, 2-D and 3-D."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import reduce
from typing import Literal, NamedTuple, TypeAlias, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.recipe.budget import Budget
from midclass.training.reading import TOPS, classified, read_inside
from midclass.types import ImageBatch

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)

Pooling: TypeAlias = Literal["mean", "inside"]
"""What a class head reads: means of the last stage over the whole image, as published methods do;
or what ``read_inside`` gives."""


class Output(NamedTuple):
    """What a network says of a batch.

    Attributes:
        logits: ``(n, K + 1)``: the given class, then the middle classes; known cases come last.
        change: ``(n, 1, *spatial)``: logits of the change map.
        features: ``(n, f)``: what the class head reads of feature maps.
    """

    logits: Tensor
    change: Tensor
    features: Tensor


class Network(nn.Module):
    """A small residual network (He et al., CVPR 2016) whose two heads share their features.

    The change-map head adds the last three stages at the resolution of the second, a quarter of
    the image's (as in feature pyramids, Lin et al., CVPR 2017).

    Args:
        classes: K + 1.
        channels: of the image.
        dims: 2 or 3.
        width: channels of the first stage; each further stage has twice as many.
        blocks: residual blocks per stage.
        standardise: give each image mean 0 and variance 1 at the entrance.
        pooling: what the class head reads.

    >>> out = Network(classes=3, width=8)(torch.rand(2, 1, 32, 32))
    >>> tuple(out.logits.shape), tuple(out.change.shape), tuple(out.features.shape)
    ((2, 3), (2, 1, 32, 32), (2, 64))
    """

    def __init__(
        self,
        classes: int,
        channels: int = 1,
        dims: int = 2,
        width: int = 16,
        blocks: int = 1,
        standardise: bool = True,
        pooling: Pooling = "mean",
    ) -> None:
        super().__init__()
        from monai.networks.nets.resnet import ResNet

        widths = [width * 2**stage for stage in range(4)]
        self.settings = {
            "classes": classes,
            "channels": channels,
            "dims": dims,
            "width": width,
            "blocks": blocks,
            "standardise": standardise,
            "pooling": pooling,
        }
        self.backbone = ResNet(
            "basic",
            [blocks] * 4,
            widths,
            spatial_dims=dims,
            n_input_channels=channels,
            conv1_t_size=5,
            conv1_t_stride=2,
            no_max_pool=True,
            feed_forward=False,
        )
        conv = nn.Conv2d if dims == 2 else nn.Conv3d
        self.lateral = nn.ModuleList(conv(w, width, 1) for w in widths[1:])
        self.change_head = nn.Sequential(
            conv(width, width, 3, padding=1), nn.ReLU(), conv(width, 1, 1)
        )
        read = widths[-1] if pooling == "mean" else 2 * sum(widths[-2:]) + len(TOPS)
        self.class_head = nn.Linear(read, classes)
        # Channels last is what the vectorised convolutions of a CPU want.
        self.layout = torch.channels_last if dims == 2 else torch.channels_last_3d
        self.to(memory_format=self.layout)  # type: ignore[call-overload]

    @classmethod
    def of_budget(
        cls, budget: Budget, classes: int, channels: int, dims: int, pooling: Pooling = "mean"
    ) -> Network:
        """As large as the budget says."""
        size = budget.width, budget.blocks, budget.standardise
        return cls(classes, channels, dims, *size, pooling)

    def forward(self, pixels: Tensor, anatomy: Tensor | None = None) -> Output:
        """Look at images.

        Args:
            pixels: ``(n, c, *spatial)`` in [0, 1].
            anatomy: bool ``(n, 1, *spatial)``, which pooling ``inside`` reads.

        Raises:
            ValueError: it reads the anatomy, and there is none.
        """
        stages = self.stages(self.entrance(pixels).contiguous(memory_format=self.layout))
        small = self.change_head(brought_together(self.lateral, stages))
        if self.settings["pooling"] == "mean":
            features = seen = stages[-1].flatten(2).mean(2)
        elif anatomy is None:
            raise ValueError("this network reads the anatomy of an image; give it")
        else:
            features, tops = read_inside(stages, small, anatomy)
            seen = torch.cat([features, tops], 1)
        logits = classified(self.class_head, seen, exactly=not self.training)
        return Output(logits, resized(small, pixels.shape[2:]), features)

    def entrance(self, pixels: Tensor) -> Tensor:
        """Pixels as the first convolution sees them."""
        return scaled(pixels, bool(self.settings["standardise"]))

    def stages(self, x: Tensor) -> list[Tensor]:
        """Feature maps of the last three stages, at 1/4, 1/8 and 1/16 of the resolution."""
        net = self.backbone
        first = net.layer1(net.act(net.bn1(net.conv1(x))))
        second = net.layer2(first)
        third = net.layer3(second)
        return [second, third, net.layer4(third)]


def scaled(pixels: Tensor, standardise: bool) -> Tensor:
    """Values in [0, 1] as a network, or any other detector, sees them: ``(n, c, *spatial)``.

    Args:
        pixels: ``(n, c, *spatial)``.
        standardise: mean 0 and variance 1 over the whole of each image, with its channels;
            otherwise a fixed scale, [0, 1] to [-2, 2].
    """
    if not standardise:
        return (pixels - 0.5) * 4
    flat = pixels.flatten(1)
    shape = (-1, *(1,) * (pixels.ndim - 1))
    mean, std = flat.mean(1).view(shape), flat.std(1).clamp_min(1e-3).view(shape)
    return (pixels - mean) / std


def brought_together(laterals: Iterable[nn.Module], stages: Sequence[Tensor]) -> Tensor:
    """The sum of all stages, each after its lateral convolution, at the resolution of the first."""
    spatial = stages[0].shape[2:]
    parts = [resized(one(stage), spatial) for one, stage in zip(laterals, stages, strict=True)]
    return reduce(torch.add, parts)


def inside(batch: ImageBatch, standardise: bool) -> Tensor:
    """Pixels scaled as for the method's network, 0 outside the anatomy: ``(n, c, *spatial)``.

    Not standardised by the anatomy's own mean and variance: disease that fills a lung changes
    both, and what is left would say nothing of it.

    Args:
        batch: images and their anatomy.
        standardise: see ``scaled``.

    >>> batch = ImageBatch.of(torch.rand(2, 1, 8, 8))
    >>> [round(float(x), 3) for x in inside(batch, True).std((1, 2, 3))]
    [1.0, 1.0]
    """
    return scaled(batch.pixels, standardise) * batch.anatomy


def resized(x: Tensor, spatial: torch.Size) -> Tensor:
    """Maps ``(n, c, *cells)`` at another resolution."""
    mode = "bilinear" if len(spatial) == 2 else "trilinear"
    return functional.interpolate(x, size=spatial, mode=mode, align_corners=False)


def seeded(make: Callable[[], AnyNetwork], seed: int) -> AnyNetwork:
    """A new network whose first weights depend on the seed alone."""
    with torch.random.fork_rng(devices=[]):  # layers take their first weights from here
        torch.manual_seed(seed)
        return make()


def weights_of(network: nn.Module) -> dict[str, Tensor]:
    """The weights, on the CPU, under names that begin with ``network.``."""
    return {f"network.{name}": value.cpu() for name, value in network.state_dict().items()}


def with_weights(
    make: Callable[[], AnyNetwork], tensors: Mapping[str, Tensor], device: torch.device
) -> AnyNetwork:
    """The network with the weights that ``weights_of`` named, to be scored with.

    Whatever size a file asks for, nothing of that size is made unless the weights are of it.

    Args:
        make: makes the network.
        tensors: its weights, and others.
        device: where it is to be.

    Raises:
        ValueError: the weights are not those of such a network.
    """
    found = under("network.", tensors)
    with torch.device("meta"):  # sizes without memory
        needed = {name: value.shape for name, value in make().state_dict().items()}
    for name in sorted(needed.keys() | found.keys()):
        there = tuple(found[name].shape) if name in found else "missing"
        fits = tuple(needed[name]) if name in needed else "no weight"
        if there != fits:
            raise ValueError(f"the tensor network.{name} is {there} and should be {fits}")
    network = make().to(device)
    network.load_state_dict(found)
    return network.eval()


def refuse_other_size(settings: Mapping[str, object], budget: Budget) -> None:
    """Raise ValueError where the settings of a saved network are not of its recipe's budget."""
    for name in ("width", "blocks", "standardise"):
        if name in settings and settings[name] != getattr(budget, name):
            raise ValueError(
                f"the network has {name} {settings[name]!r}, its recipe's budget "
                f"{getattr(budget, name)!r}"
            )


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with the prefix, without it."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
