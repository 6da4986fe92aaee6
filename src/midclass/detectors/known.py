"""Known cases: the witness of what has learned a few cases of the target class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from midclass.detectors.baselines.linear_probe import Separation
from midclass.detectors.image_scores import Combination
from midclass.detectors.judge import look
from midclass.detectors.novelty import Novelty
from midclass.evaluation.metrics import auroc
from midclass.evaluation.ranking import FloatArray
from midclass.training.heads import KnowledgeNetworks
from midclass.training.lesson import FORWARD_BATCH, LearningImages
from midclass.training.networks import Output
from midclass.types import ImageBatch

HALF_A_SAY = 20
"""Patients known with whom this witness, alone, weighs half as much as all together."""
LEAST_AUROC = 0.8
"""Of the cases that were learned; of others it will not be better."""
Against: TypeAlias = Literal["given", "rest"]
PROBE, NETWORK = "known", "known_by_network"
"""Whose log-odds."""


@dataclass(frozen=True)
class KnownCases:
    """Log-odds of the target class, by two that have learned the known cases.

    One is the own network, to which they are one class more: its log-odds against the given class
    alone, for what looks like a middle class, too, is no less ill. The other is a linear probe in
    pooled features of the pretrained network; the heads learn them too, but see no more in the same
    maps. Their soft maximum counts, each in units of the given class. With the other witnesses it
    is one more in the soft maximum, so that two known cases of one kind do not outvote what the
    recipe says of another. The more are known, the more they represent the disease, and the more
    this witness says alone: ``log(exp others + exp known) + w known``, where ``w`` is
    ``n / (n + 20)`` for n patients: many slices of one are no sample of a disease. Form and number
    were chosen on the development suite, see docs/research-log.md.

    Attributes:
        units: the log-odds in units of held-out images of the given class, by name; a detector
            of before has the probe's alone.
        weight: ``w``.
        separation: the probe: of the given class from the known cases; None without a pretrained
            network.
        against: what the own network's log-odds are against; ``rest``, all other classes, of a
            detector of before.
    """

    units: Combination
    weight: float
    separation: Separation | None = None
    against: Against = "given"

    @classmethod
    def of(
        cls,
        networks: KnowledgeNetworks,
        novelty: Novelty | None,
        known: LearningImages,
        held_out: ImageBatch,
        seed: int,
    ) -> KnownCases | None:
        """Fit the probe, and measure images of the given class.

        What does not even tell the cases that it has learned has no say; None where nothing does.

        Args:
            networks: have learned the known cases, as the last of their classes.
            novelty: has the features of the probe, and remembers those of the given class.
            known: target-class images, taken as they are and once through the nuisance.
            held_out: given-class images of other patients, as other acquisitions show them.
            seed: of the nuisance.
        """
        separation: Separation | None = None
        names: tuple[str, ...] = (NETWORK,)
        rng = torch.Generator().manual_seed(seed)
        if novelty is not None:
            seen = known.collect_twice(novelty.features, rng)
            separation, names = Separation.of(novelty.memory, seen), (PROBE, NETWORK)
        count = len(known.patients)
        every = Combination.of(np.zeros((1, len(names))), names)
        found = cls(every, count / (count + HALF_A_SAY), separation)

        def said(images: ImageBatch) -> Tensor:
            maps = networks.maps(images)
            return found.raw(look(networks, images, maps)[0], images, maps, novelty)

        given = torch.cat([said(part) for part in held_out.split(FORWARD_BATCH)]).numpy()
        learned = known.collect_twice(said, rng).numpy()[-len(known.rows) :]  # as acquired
        label = np.repeat([0, 1], [len(given), len(learned)])
        both = np.concatenate([given, learned])
        able = [k for k in range(len(names)) if auroc(label, both[:, k]) >= LEAST_AUROC]
        units = Combination.of(given[:, able], tuple(names[k] for k in able))
        if PROBE not in units.names:
            separation = None
        return replace(found, units=units, separation=separation) if able else None

    def raw(
        self, output: Output, images: ImageBatch, maps: Sequence[Tensor], novelty: Novelty | None
    ) -> Tensor:
        """The log-odds: float64 ``(n, k)``, columns by the names of the units.

        Args:
            output: of the own network.
            images: n of them.
            maps: of the images, see ``KnowledgeNetworks.maps``.
            novelty: has the features of the probe, if there is one.
        """
        said = {NETWORK: known_log_odds(output.logits, self.against)}
        if self.separation is not None:
            assert novelty is not None
            said[PROBE] = self.separation(novelty.features(images, maps[1:]))
        return torch.stack([said[name].double().cpu() for name in self.units.names], 1)

    def __call__(self, others: FloatArray, raw: Tensor) -> FloatArray:
        """What all witnesses say: ``(n,)``.

        Args:
            others: scores ``(n,)`` of the other witnesses together.
            raw: of the same images.
        """
        known = np.logaddexp.reduce(self.units.relative(raw.numpy()), axis=1)
        together: FloatArray = np.logaddexp(others, known) + self.weight * known
        return together

    def traced(self, others: Tensor, raw: Tensor) -> Tensor:
        """The same as an exporter can follow it."""
        known = self.units.relative_traced(raw).logsumexp(1)
        return torch.logaddexp(others, known) + self.weight * known

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors, and JSON; see ``restored``."""
        facts: dict[str, Any] = {
            "units": asdict(self.units),
            "weight": self.weight,
            "against": self.against,
        }
        if self.separation is None:
            return {}, facts
        facts["offset"] = self.separation.offset
        return {"direction": self.separation.direction}, facts

    @classmethod
    def restored(cls, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> KnownCases:
        """Take back what ``state`` gave."""
        units = Combination(**{name: tuple(values) for name, values in facts["units"].items()})
        separation = None
        if "offset" in facts:
            separation = Separation(tensors["direction"], float(facts["offset"]))
        against = facts.get("against", "rest")
        if against not in get_args(Against):
            raise ValueError(f"known cases are against {against!r}")
        return cls(units, float(facts["weight"]), separation, against)


def known_log_odds(logits: Tensor, against: Against = "given") -> Tensor:
    """Log-odds of the last class, that of known cases: ``(n, K + 2)`` to ``(n,)``.

    Args:
        logits: of the given class, of the middle classes and of the known cases.
        against: the given class, or all other classes.

    >>> logits = torch.tensor([[0.0, 0.0, 2.0]])
    >>> [round(float(known_log_odds(logits, one)), 2) for one in ("given", "rest")]
    [2.0, 1.31]
    """
    others = logits[:, 0] if against == "given" else logits[:, :-1].logsumexp(1)
    return logits[:, -1] - others
