"""On maps: what detectors share that judge the cells of a pretrained network's maps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from midclass.detectors.base import Detector
from midclass.detectors.baselines._features import feature_network, restored_network
from midclass.detectors.baselines._patches import HeatUnits, most_unusual
from midclass.errors import InputError
from midclass.training.lesson import FORWARD_BATCH, LearningImages, Lesson
from midclass.training.loop import train, with_short_average
from midclass.training.networks import (
    Network,
    inside,
    seeded,
    under,
    weights_of,
    with_weights,
)
from midclass.training.pretrained import PretrainedNetwork
from midclass.training.reading import ROUNDED
from midclass.types import ImageBatch

IMAGES = 1000
"""Whose maps are remembered at most."""
VIEWS = 2000
"""Views of them that are, where the images are few; eight of an image at most."""


@dataclass(frozen=True)
class Maps:
    """Maps of images, and where the anatomy is.

    Attributes:
        stages: ``(n, c, *cells)`` each, the finest first.
        anatomy: bool ``(n, 1, *spatial)``.
    """

    stages: list[Tensor]
    anatomy: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, network: Network | PretrainedNetwork, batch: ImageBatch) -> Maps:
        """All stages that the network has: four, at 1/4 to 1/32; an untrained one has no last."""
        pixels = inside(batch, bool(network.settings["standardise"]))
        pixels = pixels.contiguous(memory_format=network.layout)
        if isinstance(network, PretrainedNetwork):
            return cls(network.pyramid(pixels), batch.anatomy)
        return cls(network.stages(pixels), batch.anatomy)

    def __len__(self) -> int:
        return len(self.anatomy)

    def __getitem__(self, rows: Tensor | slice) -> Maps:
        return Maps([stage[rows] for stage in self.stages], self.anatomy[rows])

    def only(self, stages: slice) -> Maps:
        """Some of the stages."""
        return Maps(self.stages[stages], self.anatomy)

    def floats(self, device: torch.device) -> Maps:
        """Remembered maps to compute with."""
        stages = [stage.to(device, torch.float32) for stage in self.stages]
        return Maps(stages, self.anatomy.to(device))

    def share(self, cells: Tensor) -> Tensor:
        """How much of each cell of a map ``(n, c, *cells)`` is anatomy: ``(n, *cells)``."""
        share = functional.interpolate(self.anatomy.float(), size=cells.shape[2:], mode="area")
        return share[:, 0]

    def within(self, cells: Tensor) -> Tensor:
        """The cells that are anatomy by half, or the one that is most: bool ``(n, *cells)``."""
        share = self.share(cells)
        most = share.flatten(1).amax(1).view(-1, *(1,) * (share.ndim - 1))
        return (share > 0.5 + ROUNDED) | ((share >= most - ROUNDED) & (most > 0))


def channels_of(network: Network | PretrainedNetwork) -> tuple[int, ...]:
    """Of the maps of each stage, see ``Maps.of``."""
    if isinstance(network, PretrainedNetwork):
        return network.channels
    width = int(network.settings["width"])
    return 2 * width, 4 * width, 8 * width


class OnMaps(Detector):
    """Cells of the maps of a network that is not trained here; some are unlike the given class's.

    The network is the one that the recipe names (``budget.pretrained``), EfficientNet-Lite0 of
    ImageNet by default, where the papers take larger ResNets of ImageNet; or the method's own with
    random weights. It sees what is inside the anatomy. The score is the mean of the most unusual
    tenth of the cells inside, as in ``PatchCore`` here, where the papers take the largest value.
    Heat is .5 where one cell in a hundred of held-out images is.

    A subclass fills ``learn_cells``, ``cells``, ``learned`` and ``relearn``. 2-D.
    """

    uses: ClassVar[slice]
    """Of the stages."""

    @abstractmethod
    def learn_cells(self, lesson: Lesson) -> None:
        """Learn what cells of the given class are like."""

    @abstractmethod
    def cells(self, maps: Maps) -> Tensor:
        """How unusual each cell is: ``(n, *cells)``, of the used stages."""

    @abstractmethod
    def learned(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What ``learn_cells`` learned: tensors by name, and JSON."""

    @abstractmethod
    def relearn(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``learned`` gave."""

    def learn(self, lesson: Lesson) -> None:
        """Learn from the maps of the training images; held-out ones say what is usual."""
        if len(lesson.train.shape) != 4:
            raise InputError(f"{type(self).__name__} is for 2-D images")
        network = feature_network(self.recipe, lesson.train.shape, lesson.seed)
        self.network_ = network.to(self.device)
        self.learn_cells(lesson)
        rng = torch.Generator().manual_seed(lesson.seed)
        usual = [self.seen(batch) for batch in self.images(lesson.select).few(IMAGES).views(1, rng)]
        self.units_ = HeatUnits.of(torch.cat([cells[within] for cells, within in usual]))

    @torch.no_grad()
    def seen(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        """How unusual each cell is, and which count: ``(n, *cells)`` both."""
        maps = self.maps(images)
        cells = self.cells(maps)
        return cells, maps.within(cells[:, None])

    def maps(self, images: ImageBatch) -> Maps:
        """The maps that are used."""
        return Maps.of(self.network_, images).only(self.uses)

    def score(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        """Mean of the most unusual cells, and how unusual each is."""
        cells, within = self.seen(images)
        return most_unusual(cells, within), self.units_(cells, images.spatial)

    traced = score

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights of the network, and what was learned on its maps."""
        tensors, facts = self.learned()
        tensors = {f"learned.{name}": value.cpu() for name, value in tensors.items()}
        heat = {"middle": self.units_.middle, "usual": self.units_.usual}
        facts = {"network": self.network_.settings, "learned": facts, "heat": heat}
        return tensors | weights_of(self.network_), facts

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.network_ = restored_network(self.recipe, facts["network"], tensors, self.device)
        self.units_ = HeatUnits(**facts["heat"])
        self.relearn(under("learned.", tensors), facts["learned"])

    def remembered(self, images: LearningImages, draws: int, seed: int) -> Maps:
        """Maps of images as they are and through the nuisance, to learn from again and again.

        To make a map takes longer than to learn from it, and the network below never changes.

        Args:
            images: of the given class.
            draws: views that will be learned from; no more are made.
            seed: of the nuisance.
        """
        few = images.few(IMAGES)
        times = min(7, VIEWS // len(few.rows) - 1, draws // len(few.rows))
        rng = torch.Generator().manual_seed(seed)
        return joined(self.maps(batch) for batch in few.views(max(1, times), rng))


class LearnsOnMaps(OnMaps):
    """A small network learns on the maps; steps, batch and learning rate are the recipe's.

    The checkpoint is the one with the least loss on ``select``. A subclass fills ``build``,
    ``wrong`` and ``cells``.
    """

    @abstractmethod
    def build(self, channels: tuple[int, ...]) -> nn.Module:
        """The network that learns, before training, for used stages of so many channels."""

    @abstractmethod
    def wrong(self, learner: nn.Module, maps: Maps, rng: torch.Generator) -> Tensor:
        """Loss of each image: ``(n,)``."""

    def learn_cells(self, lesson: Lesson) -> None:
        """Train, and keep the best checkpoint."""
        budget, device = with_short_average(self.recipe.budget), self.device
        count = 2 * budget.batch  # as many as the method looks at
        given = self.remembered(self.images(lesson.train), budget.steps * count, lesson.seed)
        held_out = joined(
            self.maps(batch)
            for batch in self.images(lesson.select).few(IMAGES).views(0, torch.Generator())
        )

        def loss(learner: nn.Module, rng: torch.Generator) -> Tensor:
            rows = torch.randint(len(given), (count,), generator=rng)
            return self.wrong(learner, given[rows].floats(device), rng).mean()

        @torch.no_grad()
        def validate(learner: nn.Module) -> float:
            rng = torch.Generator().manual_seed(lesson.seed)
            parts = [
                self.wrong(learner, held_out[first : first + FORWARD_BATCH].floats(device), rng)
                for first in range(0, len(held_out), FORWARD_BATCH)
            ]
            return -float(torch.cat(parts).mean())

        learner = seeded(self._new, lesson.seed).to(self.device)
        history, states = train(learner, loss, validate, budget, lesson)
        learner.load_state_dict(states[history.best()])
        self.learner_ = learner.eval()
        self.training_ = {**vars(history), "best": history.best()}

    def learned(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights, and how training went."""
        return weights_of(self.learner_), {"training": self.training_}

    def relearn(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``learned`` gave."""
        self.learner_ = with_weights(self._new, tensors, self.device)
        self.training_ = facts["training"]

    def _new(self) -> nn.Module:
        return self.build(channels_of(self.network_)[self.uses])


def joined(parts: Iterable[Maps]) -> Maps:
    """The maps of all batches, on the CPU and in half precision: a gigabyte becomes half of one."""
    kept = [
        Maps([stage.half().cpu() for stage in part.stages], part.anatomy.cpu()) for part in parts
    ]
    stages = [torch.cat(same) for same in zip(*(part.stages for part in kept), strict=True)]
    return Maps(stages, torch.cat([part.anatomy for part in kept]))


def mean_within(cells: Tensor, within: Tensor) -> Tensor:
    """Mean of the cells ``(n, *cells)`` that count: ``(n,)``.

    >>> float(mean_within(torch.tensor([[1.0, 3.0]]), torch.tensor([[False, True]])))
    3.0
    """
    weight = within.flatten(1).to(cells.dtype)
    return (cells.flatten(1) * weight).sum(1) / weight.sum(1).clamp_min(1)
