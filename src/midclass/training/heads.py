"""Heads: what middle classes teach, read from the maps of a network that is not trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from midclass.training.networks import Network, Output, brought_together, inside, resized
from midclass.training.pretrained import PretrainedNetwork
from midclass.training.reading import TOPS, classified, read_inside
from midclass.types import ImageBatch


class Heads(nn.Module):
    """A class head and a change-map head on the maps of four stages.

    Narrow lateral convolutions bring the maps together at the resolution of the first (as in
    feature pyramids, Lin et al., CVPR 2017). The class head reads what ``read_inside`` gives.

    Args:
        classes: K + 1.
        channels: of each stage.
        width: of the lateral convolutions.
        hidden: features of the class head.

    >>> maps = [torch.rand(2, 4, side, side) for side in (16, 8, 4, 2)]
    >>> out = Heads(classes=3, channels=[4] * 4)(maps, torch.ones(2, 1, 64, 64, dtype=torch.bool))
    >>> tuple(out.logits.shape), tuple(out.change.shape), tuple(out.features.shape)
    ((2, 3), (2, 1, 64, 64), (2, 64))
    """

    def __init__(
        self, classes: int, channels: Sequence[int], width: int = 32, hidden: int = 64
    ) -> None:
        super().__init__()
        self.settings = {
            "classes": classes,
            "channels": list(channels),
            "width": width,
            "hidden": hidden,
        }
        self.norms = nn.ModuleList(nn.BatchNorm2d(count, affine=False) for count in channels)
        self.lateral = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.change_head = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 1)
        )
        self.hidden = nn.Sequential(nn.Linear(2 * sum(channels[-2:]), hidden), nn.ReLU())
        self.class_head = nn.Linear(hidden + len(TOPS), classes)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, maps: Sequence[Tensor], anatomy: Tensor) -> Output:
        """Read maps ``(n, c, *cells)`` of images with that anatomy ``(n, 1, *spatial)``."""
        stages = [norm(stage) for norm, stage in zip(self.norms, maps, strict=True)]
        small = self.change_head(brought_together(self.lateral, stages))
        pooled, tops = read_inside(stages, small, anatomy)
        features = self.hidden(pooled)
        seen = torch.cat([features, tops.to(features.dtype)], 1)
        logits = classified(self.class_head, seen, exactly=not self.training)
        return Output(logits, resized(small, anatomy.shape[2:]), features)


class KnowledgeNetworks(nn.Module):
    """The networks that learn from middle classes.

    One learns from the first weight on and sees the whole image at its own resolution. Where there
    is a pretrained network, heads on its maps learn beside it: they need less to learn from, and
    see what photographs show too. Neither is better everywhere; see docs/research-log.md.

    Args:
        own: the first.
        pretrained: not trained, and not among the weights; or None.
        heads: on its maps.
    """

    def __init__(
        self, own: Network, pretrained: PretrainedNetwork | None = None, heads: Heads | None = None
    ) -> None:
        super().__init__()
        self.own, self.heads = own, heads
        self._pretrained = [pretrained]  # in a list it is no submodule

    @property
    def pretrained(self) -> PretrainedNetwork | None:
        """The network whose maps the heads read."""
        return self._pretrained[0]

    @torch.no_grad()
    def maps(self, images: ImageBatch) -> list[Tensor]:
        """Maps of four stages of what is inside the anatomy; none without a pretrained network."""
        if self.pretrained is None:
            return []
        return self.pretrained.pyramid(
            inside(images, bool(self.pretrained.settings["standardise"]))
        )

    def forward(self, images: ImageBatch, maps: Sequence[Tensor] | None = None) -> list[Output]:
        """What each says of the images.

        Args:
            images: the batch.
            maps: of these images, where they were made before.
        """
        found: list[Output] = [self.own(images.pixels, images.anatomy)]
        if self.heads is not None:
            maps = self.maps(images) if maps is None else maps
            found.append(self.heads(maps, images.anatomy))
        return found
