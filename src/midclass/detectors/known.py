"""Known cases: the witness that compares an image with a few cases of the target class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from midclass.detectors.baselines.linear_probe import Separation
from midclass.detectors.image_scores import Combination
from midclass.detectors.novelty import Novelty
from midclass.evaluation.ranking import FloatArray
from midclass.training.lesson import FORWARD_BATCH, LearningImages
from midclass.types import ImageBatch

HALF_A_SAY = 20
"""Patients known with whom this witness, alone, weighs half as much as all together."""


@dataclass(frozen=True)
class KnownCases:
    """Log-odds of the target class in pooled features of a pretrained network.

    With the others it is one more in the soft maximum, so that two known cases of one kind do not
    outvote what the recipe says of another. The more are known, the more they represent the
    disease, and the more this witness says alone: ``log(exp others + exp known) + w known``, where
    ``w`` is ``n / (n + 20)`` for n patients: many slices of one are no sample of a disease. Form
    and number were chosen on the development suite, see docs/research-log.md.

    Attributes:
        separation: of the given class from the known cases.
        units: the log-odds in units of held-out images of the given class.
        weight: ``w``.
    """

    separation: Separation
    units: Combination
    weight: float

    @classmethod
    def of(
        cls, novelty: Novelty, known: LearningImages, held_out: ImageBatch, seed: int
    ) -> KnownCases:
        """Learn to tell the known cases from what novelty remembers of the given class.

        Args:
            novelty: has the features.
            known: target-class images, taken as they are and once through the nuisance.
            held_out: given-class images of other patients, as other acquisitions show them.
            seed: of the nuisance.
        """
        rng = torch.Generator().manual_seed(seed)
        separation = Separation.of(novelty.memory, known.collect_twice(novelty.features, rng))
        raw = [separation(novelty.features(part)) for part in held_out.split(FORWARD_BATCH)]
        units = Combination.of(torch.cat(raw)[:, None].numpy(), ("known",))
        count = len(known.patients)
        return cls(separation, units, count / (count + HALF_A_SAY))

    def __call__(self, others: FloatArray, features: Tensor) -> FloatArray:
        """What all witnesses say: ``(n,)``.

        Args:
            others: scores ``(n,)`` of the other witnesses together.
            features: of the images, see ``Novelty.features``.
        """
        known = self.units(self.separation(features)[:, None].numpy())
        together: FloatArray = np.logaddexp(others, known) + self.weight * known
        return together

    def traced(self, others: Tensor, features: Tensor) -> Tensor:
        """The same as an exporter can follow it."""
        known = self.units.traced(self.separation(features)[:, None])
        return torch.logaddexp(others, known) + self.weight * known

    def state(self) -> tuple[Tensor, dict[str, Any]]:
        """The direction, and JSON; see ``restored``."""
        facts = {
            "offset": self.separation.offset,
            "units": asdict(self.units),
            "weight": self.weight,
        }
        return self.separation.direction, facts

    @classmethod
    def restored(cls, direction: Tensor, facts: Mapping[str, Any]) -> KnownCases:
        """Take back what ``state`` gave."""
        units = {name: tuple(values) for name, values in facts["units"].items()}
        separation = Separation(direction, float(facts["offset"]))
        return cls(separation, Combination(**units), float(facts["weight"]))
