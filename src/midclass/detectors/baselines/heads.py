"""PretrainedHeads: the method's heads on pretrained maps, taught by middle classes, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from midclass.detectors.base import Detector
from midclass.detectors.baselines._features import feature_network, restored_network
from midclass.detectors.baselines._on_maps import Maps, channels_of
from midclass.detectors.held_out import held_out_middles, often_acquired
from midclass.detectors.image_scores import (
    BY_HEADS,
    CLEARLY,
    USABLE,
    Combination,
    log_odds,
    top_change,
)
from midclass.training.heads import Heads
from midclass.training.lesson import FORWARD_BATCH, Lesson
from midclass.training.loop import train
from midclass.training.loss import loss_of, precision
from midclass.training.middle import MiddleClasses
from midclass.training.networks import Output, seeded, under, weights_of, with_weights
from midclass.types import ImageBatch


class PretrainedHeads(Detector):
    """One witness of the method alone: without a network of its own and without novelty.

    A control, to say what is owed to what. With a knowledge-free recipe (``RECIPE_control``:
    foreign tissue and deformation) it is the same head on the same maps, taught by generic
    anomalies; with the recipe itself it is what knowledge adds to that. Operators, loss, scores and
    the choice of the checkpoint are the method's, see ``MiddleClassDetector``. Heads on maps that
    are not trained are nobody's published method; feature pyramids are (Lin et al., CVPR 2017).

    The network below is the one that the recipe names (``budget.pretrained``), or an untrained one.
    2-D.
    """

    learns_knowledge = True

    def learn(self, lesson: Lesson) -> None:
        """Train the heads, then choose the checkpoint."""
        recipe, budget = self.recipe, self.recipe.budget
        knowledge, nuisance = recipe.operators(), recipe.nuisance_operator()
        classes = MiddleClasses(knowledge, nuisance, recipe.sham, recipe.floor)
        given = self.images(lesson.train)
        network = feature_network(recipe, lesson.train.shape, lesson.seed)
        self.network_ = network.to(self.device)
        channels = channels_of(self.network_)
        heads = seeded(lambda: Heads(len(classes.names), channels), lesson.seed).to(self.device)

        def loss(network: nn.Module, rng: torch.Generator) -> Tensor:
            batch = classes(given.draw(budget.batch, rng), rng)
            with precision(self.device):
                output = network(Maps.of(self.network_, batch.images).stages, batch.images.anatomy)
            return loss_of(output, batch, budget)

        rng = torch.Generator().manual_seed(lesson.seed)
        held_out = lesson.select.batch(self.assessable(lesson.select)).to(self.device)
        middle = held_out_middles(recipe, held_out, rng).images
        normal = often_acquired(held_out, nuisance, rng)
        judge = HeldOutMaps(self._maps(normal), self._maps(middle))
        history, states = train(heads, loss, lambda heads: judge.look(heads)[1], budget, lesson)
        best = history.best(CLEARLY, USABLE)
        heads.load_state_dict(states[best])
        self.heads_ = heads.eval()
        self.combination_, figure = judge.look(self.heads_)
        self.history_ = {**asdict(history), "best": best, "figure": figure}

    def score(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        """Log-odds and change map together, and the map."""
        output = self._look(images)
        raw = np.stack([one.double().cpu().numpy() for one in columns(output, images.anatomy)], 1)
        return torch.from_numpy(self.combination_(raw)), output.change.sigmoid()

    def traced(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        """``score`` as an exporter can follow it; see ``graph.Traced``."""
        output = self._look(images)
        raw = torch.stack([one.double() for one in columns(output, images.anatomy)], 1)
        return self.combination_.traced(raw), output.change.sigmoid()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """The weights of both networks, and how scores combine."""
        heads = {f"heads.{name}": value for name, value in weights_of(self.heads_).items()}
        return weights_of(self.network_) | heads, {
            "network": self.network_.settings,
            "heads": self.heads_.settings,
            "combination": asdict(self.combination_),
            "history": self.history_,
        }

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        self.network_ = restored_network(self.recipe, facts["network"], tensors, self.device)
        about = facts["heads"]
        self.heads_ = with_weights(lambda: Heads(**about), under("heads.", tensors), self.device)
        combination = {name: tuple(values) for name, values in facts["combination"].items()}
        self.combination_, self.history_ = Combination(**combination), facts["history"]

    def _look(self, images: ImageBatch) -> Output:
        output: Output = self.heads_(Maps.of(self.network_, images).stages, images.anatomy)
        return output

    def _maps(self, images: ImageBatch) -> list[Maps]:
        """Of the images, batch by batch."""
        return [Maps.of(self.network_, part) for part in images.split(FORWARD_BATCH)]


@dataclass(frozen=True)
class HeldOutMaps:
    """Maps of held-out images of the given class, and of held-out operators' middle classes.

    They are made once: the network that makes them does not change.
    """

    normal: Sequence[Maps]
    middle: Sequence[Maps]

    @torch.inference_mode()
    def look(self, heads: nn.Module) -> tuple[Combination, float]:
        """Both scores in units of the given class, and the AUROC of their combination."""
        heads.eval()
        normal, middle = (self._scores(heads, parts) for parts in (self.normal, self.middle))
        combination = Combination.of(normal, BY_HEADS)
        return combination, combination.figures(normal, middle)["+".join(BY_HEADS)]

    @staticmethod
    def _scores(heads: nn.Module, parts: Sequence[Maps]) -> NDArray[np.float64]:
        found = [columns(heads(maps.stages, maps.anatomy), maps.anatomy) for maps in parts]
        rows = [torch.stack(both, 1).double().cpu().numpy() for both in found]
        return np.concatenate(rows)


def columns(output: Output, anatomy: Tensor) -> list[Tensor]:
    """The scores ``image_scores.BY_HEADS``, ``(n,)`` each."""
    return [log_odds(output.logits), top_change(output.change, anatomy)]
