"""Self-supervised: what detectors share that train one network on a task made of their images."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from midclass.detectors.base import Detector, FloatArray, Progress
from midclass.errors import InputError
from midclass.images.prepare import Prepared
from midclass.networks import Network, Output
from midclass.recipe import Recipe
from midclass.training import precision
from midclass.training import train as train_network
from midclass.trial import through
from midclass.types import ImageBatch

AT_ONCE = 64
"""Images that go through the network together when scoring."""
REFERENCE = 600
"""Given-class images at most that say where the given class lies."""


class SelfSupervised(Detector):
    """One network, trained on a task that is made of given-class images and needs no label.

    Geometry, anatomy, intensity, nuisance (as augmentation) and budget are the recipe's, its middle
    classes are ignored. As many images go through the network in a step as in the method's
    training, two times the batch. The checkpoint is chosen by the task's loss on given-class images
    held out of training.

    A subclass fills ``outputs``, ``task`` and ``score``; ``copies`` is how many images its task
    makes of each, ``describe`` says what else scoring needs to know of the given class.
    """

    copies: int = 1
    localises: ClassVar[bool] = False
    """Whether ``score`` gives heat maps."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__(recipe)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.nuisance = recipe.nuisance_operator()

    @abstractmethod
    def outputs(self) -> int:
        """Logits of the network's class head."""

    @abstractmethod
    def task(self, network: nn.Module, images: ImageBatch, rng: torch.Generator) -> Tensor:
        """Loss of the task made of n given-class images: a number."""

    @abstractmethod
    def score(self, images: ImageBatch) -> tuple[Tensor, Tensor | None]:
        """Scores ``(n,)`` of the trained network and heat maps ``(n, 1, *spatial)`` in [0, 1]."""

    def describe(self, given: ImageBatch) -> dict[str, Tensor]:
        """What scoring needs to know of the given class, from images seen through the nuisance."""
        return {}

    def build(self, channels: int, dims: int) -> nn.Module:
        """The network before training: the one of the recipe's budget."""
        budget = self.recipe.budget
        return Network(
            self.outputs(), channels, dims, budget.width, budget.blocks, budget.standardise
        )

    def acquired(self, images: ImageBatch, rng: torch.Generator) -> ImageBatch:
        """The images seen through the recipe's nuisance."""
        return through(self.nuisance, images, rng)

    def learn(
        self,
        train: Prepared,
        select: Prepared,
        *,
        seed: int,
        workdir: Path | None,
        progress: Progress | None,
    ) -> None:
        """Train on the task, keep the best checkpoint and describe the given class."""
        rows, budget = self._assessable(train), self.recipe.budget
        if not len(rows):
            raise InputError(f"none of the {len(train)} images to learn from shows enough anatomy")
        self.shape_ = (train.pixels.shape[1], train.pixels.ndim - 2)
        with torch.random.fork_rng(devices=[]):  # layers take their first weights from here
            torch.manual_seed(seed)
            self.network_ = self.build(*self.shape_).to(self.device)
        count = max(1, 2 * budget.batch // self.copies)

        def loss(network: nn.Module, rng: torch.Generator) -> Tensor:
            drawn = torch.randint(len(rows), (count,), generator=rng).numpy()
            return self.task(network, train.batch(rows[drawn]).to(self.device), rng)

        held_out = select.batch(self._assessable(select)[:REFERENCE]).to(self.device)
        history, states = train_network(
            self.network_,
            loss,
            lambda network: self.validate(network, held_out, seed),
            budget,
            seed=seed,
            workdir=workdir,
            progress=progress,
        )
        self.network_.load_state_dict(states[history.best])
        self.network_.eval()
        self.history_ = {**asdict(history), "best": history.best}
        rng = torch.Generator().manual_seed(seed)
        some = rows[torch.randperm(len(rows), generator=rng)[:REFERENCE].numpy()]
        with torch.inference_mode():
            self.given_ = self.describe(self.acquired(train.batch(some).to(self.device), rng))

    def validate(self, network: nn.Module, held_out: ImageBatch, seed: int) -> float:
        """Minus the task's loss on held-out given-class images; no label enters."""
        rng = torch.Generator().manual_seed(seed)
        with torch.inference_mode():
            losses = [float(self.task(network, part, rng)) for part in parts(held_out)]
        return -float(np.mean(losses)) if losses else 0.0

    def score_images(
        self, prepared: Prepared, *, heat_maps: bool = False
    ) -> tuple[FloatArray, FloatArray | None]:
        """Scores, -inf without enough anatomy, and heat maps inside the anatomy where made."""
        scores = np.full(len(prepared), -np.inf)
        wanted = heat_maps and self.localises
        maps = np.zeros((len(prepared), *prepared.pixels.shape[2:])) if wanted else None
        rows = self._assessable(prepared)
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            images = prepared.batch(some).to(self.device)
            with torch.inference_mode():
                values, shown = self.score(images)
            scores[some] = values.double().cpu().numpy()
            if maps is not None and shown is not None:
                maps[some] = (shown * images.anatomy).squeeze(1).cpu().numpy()
        return scores, maps

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Network weights, and what scoring knows of the given class."""
        tensors = {f"network.{k}": v.cpu() for k, v in self.network_.state_dict().items()}
        tensors |= {f"given.{k}": v.cpu() for k, v in self.given_.items()}
        return tensors, {"shape": self.shape_, "history": self.history_}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.shape_, self.history_ = tuple(facts["shape"]), facts["history"]
        self.network_ = self.build(*self.shape_).to(self.device)
        self.network_.load_state_dict(_under(tensors, "network."))
        self.network_.eval()
        self.given_ = {k: v.to(self.device) for k, v in _under(tensors, "given.").items()}

    def _assessable(self, prepared: Prepared) -> np.ndarray[Any, np.dtype[np.int64]]:
        return prepared.with_anatomy(self.recipe.geometry.least_anatomy_mm2)


def forward(network: nn.Module, pixels: Tensor) -> Output:
    """The network's output in training, in the precision of training."""
    with precision(pixels.device):
        output: Output = network(pixels)
    return output


def parts(images: ImageBatch) -> list[ImageBatch]:
    """The images in parts that fit through a network."""
    return [images[start : start + AT_ONCE] for start in range(0, len(images), AT_ONCE)]


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
