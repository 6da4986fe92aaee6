"""The method: a network that tells the given class from middle classes made of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from midclass.detectors.base import Detector
from midclass.detectors.baselines._features import feature_network
from midclass.detectors.held_out import (
    held_out_middles,
    often_acquired,
    undescribed_middles,
)
from midclass.detectors.image_scores import CLEARLY, USABLE, Combination, GivenClass
from midclass.detectors.judge import Judge, look, raw_columns, raw_scores
from midclass.detectors.known import KnownCases
from midclass.detectors.novelty import Novelty
from midclass.images.prepare import Prepared
from midclass.knowledge.acquisition import acquired
from midclass.training.heads import Heads, KnowledgeNetworks
from midclass.training.lesions import KnownClass
from midclass.training.lesson import FORWARD_BATCH, Lesson
from midclass.training.loop import train
from midclass.training.loss import batch_loss
from midclass.training.middle import MiddleClasses
from midclass.training.networks import (
    Network,
    Pooling,
    refuse_other_size,
    seeded,
    under,
    weights_of,
    with_weights,
)
from midclass.training.pretrained import PretrainedNetwork
from midclass.types import ImageBatch

REFERENCE = 600
"""Given-class training images whose features say where the given class lies."""


class MiddleClassDetector(Detector):
    """Knowledge-guided one-class classification.

    Trains on K middle classes against the given class, then chooses the checkpoint with patients
    whom training has not seen. Three witnesses see a case, the last two where the
    recipe names weights (``budget.pretrained``): a network of its own (mean of the log-odds of any
    middle class, the top of the change map and the distance in feature space, each in units of the
    given class); heads on the maps of a network that has only seen photographs (the first two); and
    what is new to that network, see ``Novelty``. The score is ``log(exp + exp + exp)``, which is
    little more than the largest: knowledge is blind to what was not described, and novelty to what
    photographs do not show.
    No target label enters, unless a few ``positives`` are given: then they are one class more to
    learn, and what has learned them is a fourth witness, see ``KnownCases``.

    The idea is that of Gao et al., "Medical Knowledge-Guided Deep Learning for Imbalanced Medical
    Image Classification", arXiv 2111.10620; operators, network and scores are ours.
    """

    pooling: ClassVar[Pooling] = "inside"
    """What the class head of the network of its own reads; see ``studies/witnesses/reading.py``."""

    moves_lesions: ClassVar[bool] = True
    """Whether lesions of known cases are put into normal images; ``studies/positives/moved.py``."""

    learns_knowledge = True
    takes_positives = True
    novelty_: Novelty | None = None
    known_: KnownCases | None = None

    def learn(self, lesson: Lesson) -> None:
        """Train, then choose the checkpoint; see the class."""
        classes = MiddleClasses(
            self.recipe.operators(),
            self.recipe.nuisance_operator(),
            self.recipe.sham,
            self.recipe.floor,
        )
        budget = self.recipe.budget
        given = self.images(lesson.train)
        known = None if lesson.positives is None else self.images(lesson.positives)
        shown = None if known is None else KnownClass(known, given, self.recipe.floor)

        def loss(networks: nn.Module, rng: torch.Generator) -> Tensor:
            batch = classes(given.draw(budget.batch, rng), rng)
            if shown is not None:
                batch = shown.added_to(batch, max(1, budget.batch // 4), len(classes.names), rng)
            return batch_loss(networks, batch, budget)

        count = len(classes.names) + (known is not None)
        self.networks_ = self._new_networks(lesson.train.shape, count, lesson.seed)
        judge = self.judge(lesson.train, lesson.select, lesson.seed)
        history, states = train(
            self.networks_,
            loss,
            lambda networks: judge.choose(networks).figure,
            budget,
            lesson,
            watch=shown.watch if shown is not None and self.moves_lesions else None,
        )
        best = history.best(CLEARLY, USABLE)
        self.networks_.load_state_dict(states[best])
        chosen = judge.choose(self.networks_)
        self.given_, self.combination_ = chosen.given, chosen.combination
        self.history_ = {
            **asdict(history),
            "best": best,
            "scores": chosen.figures,
            "classes": {name: list(pair) for name, pair in chosen.by_class.items()},
            "undescribed": judge.on_undescribed(self.networks_, chosen),
        }
        self.novelty_, self.known_ = self._novelty(lesson, judge.select), None
        if known is not None:
            self.known_ = KnownCases.of(
                self.networks_, self.novelty_, known, judge.select, lesson.seed
            )

    def score(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        """All witnesses together, and where any of them sees something."""
        maps = self.networks_.maps(images)  # once for two witnesses
        outputs = look(self.networks_, images, maps)
        scores = self.combination_(raw_scores(outputs, images, self.given_))
        heat = torch.stack([output.change for output in outputs]).amax(0).sigmoid()
        if self.novelty_ is not None:
            unusual, where = self.novelty_(images, maps[1:])
            scores = np.logaddexp(scores, unusual)
            heat = torch.maximum(heat, where.to(heat.device))
        if self.known_ is not None:
            raw = self.known_.raw(outputs[0], images, maps, self.novelty_)
            scores = self.known_(scores, raw)
        return torch.from_numpy(scores), heat

    def traced(self, images: ImageBatch) -> tuple[Tensor, Tensor]:
        """``score`` as an exporter can follow it; see ``graph.Traced``."""
        maps = self.networks_.maps(images)
        outputs = self.networks_(images, maps)
        columns = [one.double() for one in raw_columns(outputs, images, self.given_)]
        scores = self.combination_.traced(torch.stack(columns, 1))
        heat = torch.stack([output.change for output in outputs]).amax(0).sigmoid()
        if self.novelty_ is not None:
            unusual, where = self.novelty_.traced(images, maps[1:])
            scores, heat = torch.logaddexp(scores, unusual), torch.maximum(heat, where)
        if self.known_ is not None:
            raw = self.known_.raw(outputs[0], images, maps, self.novelty_)
            scores = self.known_.traced(scores, raw)
        return scores, heat

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Network weights, the given class in feature space, and how scores combine."""
        own, heads = self.networks_.own, self.networks_.heads
        tensors = weights_of(own)
        tensors |= {"given.mean": self.given_.mean, "given.inverse": self.given_.inverse}
        facts = {
            "network": own.settings,
            "combination": asdict(self.combination_),
            "history": self.history_,
        }
        if self.novelty_ is not None:
            remembered, facts["novelty"] = self.novelty_.state()
            tensors |= {f"novelty.{name}": value for name, value in remembered.items()}
        if self.known_ is not None:
            learned, facts["known"] = self.known_.state()
            tensors |= {f"known.{name}": value for name, value in learned.items()}
        if heads is not None:
            tensors |= {f"heads.{name}": value for name, value in weights_of(heads).items()}
            facts["heads"] = heads.settings
        return tensors, facts

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Take back what ``state`` gave."""
        settings = facts["network"]
        refuse_other_size(settings, self.recipe.budget)
        own = with_weights(lambda: Network(**settings), tensors, self.device)
        pretrained, heads = None, None
        self.given_ = GivenClass(tensors["given.mean"], tensors["given.inverse"])
        combination = {k: tuple(v) for k, v in facts["combination"].items()}
        self.combination_ = Combination(**combination)
        if min(self.combination_.spread) <= 0:
            raise ValueError(f"combination.spread is {self.combination_.spread}, not above 0")
        self.history_ = facts["history"]
        if "novelty" in facts:
            remembered = under("novelty.", tensors)
            self.novelty_ = Novelty.restored(remembered, facts["novelty"], self.device)
            pretrained = self.novelty_.network
        if "known" in facts:
            self.known_ = KnownCases.restored(under("known.", tensors), facts["known"])
        if "heads" in facts:
            about = facts["heads"]
            heads = with_weights(lambda: Heads(**about), under("heads.", tensors), self.device)
        self.networks_ = KnowledgeNetworks(own, pretrained, heads).eval()

    def _novelty(self, lesson: Lesson, held_out: ImageBatch) -> Novelty | None:
        """The third witness, in units of images that were held out of its memory."""
        network = self.networks_.pretrained
        if network is None:
            return None
        rng = torch.Generator().manual_seed(lesson.seed)
        given, seen = self.images(lesson.train), held_out.split(FORWARD_BATCH)
        return Novelty.of(network, given, list(seen), rng)

    def _new_networks(self, shape: tuple[int, ...], classes: int, seed: int) -> KnowledgeNetworks:
        budget, channels, dims = self.recipe.budget, shape[1], len(shape) - 2
        own = seeded(lambda: Network.of_budget(budget, classes, channels, dims, self.pooling), seed)
        if self.recipe.weights() is None:
            return KnowledgeNetworks(own).to(self.device)
        pretrained = feature_network(self.recipe, shape, seed).to(self.device)
        assert isinstance(pretrained, PretrainedNetwork)
        heads = seeded(lambda: Heads(classes, pretrained.channels), seed)
        return KnowledgeNetworks(own, pretrained, heads).to(self.device)

    def judge(self, train: Prepared, select: Prepared, seed: int) -> Judge:
        """Held-out given-class images, and middle classes made of them.

        All are seen through the nuisance, so that where the given class lies in feature space, and
        how far its scores spread, contains the acquisitions of the hospitals to come.
        """
        rng = torch.Generator().manual_seed(seed)
        nuisance = self.recipe.nuisance_operator()
        reference = self.assessable(train)
        reference = reference[torch.randperm(len(reference), generator=rng)[:REFERENCE].numpy()]
        given = select.batch(self.assessable(select)).to(self.device)
        undescribed = undescribed_middles(self.recipe, given, rng)
        middles = held_out_middles(self.recipe, given, rng)
        learned = train.batch(reference).to(self.device)
        normal = often_acquired(given, nuisance, rng)
        return Judge(acquired(learned, nuisance, rng), normal, middles, undescribed)
