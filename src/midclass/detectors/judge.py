"""Judge: chooses a checkpoint without labels, by what training has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from midclass.detectors.held_out import HeldOutMiddles
from midclass.detectors.image_scores import (
    BY_HEADS,
    NAMES,
    Combination,
    GivenClass,
    log_odds,
    top_change,
)
from midclass.evaluation.metrics import auroc
from midclass.evaluation.ranking import FloatArray
from midclass.training.heads import KnowledgeNetworks
from midclass.training.lesson import FORWARD_BATCH
from midclass.training.networks import Output
from midclass.types import ImageBatch

KEPT_MAPS = 16
"""Batches whose maps are kept from one checkpoint to the next: 300 MB of images of 160 px."""


@dataclass(frozen=True)
class Choice:
    """How to score with a network, and how well that tells held-out middle classes apart.

    Attributes:
        given: where the given class lies in feature space.
        combination: of the scores.
        figure: AUROC of all middle classes, by all scores.
        figures: the same, and by each score alone.
        by_class: of each middle class the AUROC by all scores, and of how many images; None of
            none that shows it.
    """

    given: GivenClass
    combination: Combination
    figure: float
    figures: dict[str, float]
    by_class: dict[str, tuple[float | None, int]]


@dataclass(frozen=True)
class Judge:
    """Chooses without labels: images of held-out patients against middle classes made of them.

    On the development suite the AUROC on the recipe's own middle classes follows that on the
    disease from checkpoint to checkpoint (rank correlation .97), that on operators which no
    training knows does not (.59); see docs/research-log.md.

    Attributes:
        reference: training images, which say where the given class lies in feature space.
        select: given-class images of held-out patients, as other acquisitions show them.
        middles: the recipe's middle classes of them.
        undescribed: middle classes by operators that are not in the training; maybe none.
    """

    reference: ImageBatch
    select: ImageBatch
    middles: HeldOutMiddles
    undescribed: ImageBatch
    _maps: dict[tuple[int, int], list[Tensor]] = field(default_factory=dict)

    def choose(self, networks: nn.Module) -> Choice:
        """How these networks score; its figure is the AUROC."""
        given = GivenClass.of(_features(networks, self.reference))
        normal = self._scores(networks, self.select, given)
        middle = self._scores(networks, self.middles.images, given)
        combination = Combination.of(normal, (NAMES + BY_HEADS)[: normal.shape[1]])
        figures = combination.figures(normal, middle)
        names, given_class = np.array(self.middles.names), combination(normal)
        by_class: dict[str, tuple[float | None, int]] = {}
        for name in self.middles.operators:
            shown = combination(middle[names == name])
            label = np.repeat([0, 1], [len(given_class), len(shown)])
            area = auroc(label, np.concatenate([given_class, shown])) if len(shown) else None
            by_class[name] = area, len(shown)
        figure = figures["+".join(combination.chosen)]
        return Choice(given, combination, figure, figures, by_class)

    def on_undescribed(self, networks: nn.Module, choice: Choice) -> float | None:
        """AUROC on what no operator of the training describes, by the scores of a choice."""
        if not len(self.undescribed):
            return None
        normal, middle = (
            self._scores(networks, images, choice.given)
            for images in (self.select, self.undescribed)
        )
        return choice.combination.figures(normal, middle)["+".join(choice.combination.chosen)]

    def _scores(self, networks: nn.Module, images: ImageBatch, given: GivenClass) -> FloatArray:
        """``raw_scores`` of images, whose pretrained maps are the same for every checkpoint."""
        assert isinstance(networks, KnowledgeNetworks)
        found = []
        for number, part in enumerate(images.split(FORWARD_BATCH)):
            maps = self._maps.get((id(images), number)) or networks.maps(part)
            if len(self._maps) < KEPT_MAPS:
                self._maps[id(images), number] = maps
            found.append(raw_scores(look(networks, part, maps), part, given))
        return np.concatenate(found)


@torch.inference_mode()
def look(
    networks: nn.Module, batch: ImageBatch, maps: Sequence[Tensor] | None = None
) -> list[Output]:
    """What each network says in float32, the same of an image alone and in a batch.

    Args:
        networks: ``KnowledgeNetworks``.
        batch: images.
        maps: of the images, where they were made before.
    """
    networks.eval()
    outputs: list[Output] = networks(batch, maps)
    return outputs


def raw_scores(outputs: Sequence[Output], batch: ImageBatch, given: GivenClass) -> FloatArray:
    """``(n, 3)``, columns as ``image_scores.NAMES``; with heads ``(n, 5)``, then ``BY_HEADS``."""
    columns = raw_columns(outputs, batch, given)
    return np.stack([column.double().cpu().numpy() for column in columns], 1)


def raw_columns(
    outputs: Sequence[Output], batch: ImageBatch, given: GivenClass
) -> Sequence[Tensor]:
    """The columns of ``raw_scores``, ``(n,)`` each."""
    own, *others = [
        [log_odds(output.logits), top_change(output.change, batch.anatomy)] for output in outputs
    ]
    return [*own, given.distance(outputs[0].features), *(one for two in others for one in two)]


def _features(networks: nn.Module, images: ImageBatch) -> Tensor:
    """Of the own network, without a look by the others."""
    networks.eval()
    assert isinstance(networks, KnowledgeNetworks)
    parts = images.split(FORWARD_BATCH)
    with torch.inference_mode():
        return torch.cat([networks.own(part.pixels, part.anatomy).features for part in parts]).cpu()
