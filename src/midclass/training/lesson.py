"""Learning: the images that a detector learns from, seen through the nuisance."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from midclass.errors import InputError
from midclass.images.prepare import Prepared
from midclass.knowledge.acquisition import acquired
from midclass.knowledge.nuisance import Nuisance
from midclass.types import ImageBatch, Progress

FORWARD_BATCH = 64
"""Images that go through a network together where nothing is learned."""


def checked_seed(seed: object) -> int:
    """The seed as a plain number.

    Raises:
        InputError: it is no whole number, below 0, or too large for torch.

    >>> checked_seed(np.int64(3))
    3
    """
    if not isinstance(seed, Integral) or not 0 <= int(seed) < 2**63:
        raise InputError(f"seed is {seed!r}; give a whole number from 0 to {2**63 - 1}")
    return int(seed)


@dataclass(frozen=True)
class Lesson:
    """What a detector learns from, and how.

    Attributes:
        train: given-class cases.
        select: given-class cases of other patients, to choose a checkpoint and the like with.
        seed: the same seed on the same machine with as many threads gives the same detector.
        workdir: where the state of a training is kept, to go on from; None keeps none.
        progress: told about every step, or None.
        positives: the few known target-class cases, for detectors that take them.
    """

    train: Prepared
    select: Prepared
    seed: int = 0
    workdir: Path | None = None
    progress: Progress | None = None
    positives: Prepared | None = None

    def stage(self, name: str, before: int = 0, after: int = 0) -> Lesson:
        """One of several trainings: a folder of its own, and steps counted with the others'.

        Args:
            name: of the folder.
            before: steps of the trainings before it.
            after: steps of those after it.
        """
        told = self.progress

        def progress(step: int, steps: int, text: str) -> None:
            if told is not None:
                told(before + step, before + steps + after, text)

        workdir = None if self.workdir is None else self.workdir / name
        return replace(self, workdir=workdir, progress=progress)


@dataclass(frozen=True)
class LearningImages:
    """Prepared images of one class, as they are and as other acquisitions would show them.

    Attributes:
        prepared: the images.
        rows: int ``(n,)``: those of them to use, at least one.
        nuisance: acquisition variation, or None.
        device: where batches go.
    """

    prepared: Prepared
    rows: NDArray[np.int64]
    nuisance: Nuisance | None
    device: torch.device

    @property
    def patients(self) -> set[str]:
        """Of whom the images are."""
        cases = self.prepared.cases.cases
        return {cases[self.prepared.case_index[row]].patient_id for row in self.rows}

    def draw(self, n: int, rng: torch.Generator) -> ImageBatch:
        """Any n images, as they are."""
        drawn = torch.randint(len(self.rows), (n,), generator=rng).numpy()
        return self.prepared.batch(self.rows[drawn]).to(self.device)

    def draw_acquired(self, n: int, rng: torch.Generator) -> ImageBatch:
        """Any n images, seen through the nuisance."""
        return acquired(self.draw(n, rng), self.nuisance, rng)

    def few(self, n: int) -> LearningImages:
        """The first n images at most."""
        return replace(self, rows=self.rows[:n])

    def spread(self, n: int) -> LearningImages:
        """n images at most, from the first to the last: slices of a patient follow each other."""
        rows = np.linspace(0, len(self.rows) - 1, min(n, len(self.rows))).round().astype(np.int64)
        return replace(self, rows=self.rows[rows])

    def collect(self, look: Callable[[ImageBatch], Tensor]) -> Tensor:
        """What a function gives for every image as it is: ``(n, ...)``, on the CPU."""
        return _joined(look, self.batches())

    def collect_twice(self, look: Callable[[ImageBatch], Tensor], rng: torch.Generator) -> Tensor:
        """The same, followed by every image seen through the nuisance: ``(2n, ...)``."""
        return _joined(look, self.batches_twice(rng))

    def batches(self) -> Iterator[ImageBatch]:
        """Every image as it is."""
        for start in range(0, len(self.rows), FORWARD_BATCH):
            yield self.prepared.batch(self.rows[start : start + FORWARD_BATCH]).to(self.device)

    def batches_twice(self, rng: torch.Generator) -> Iterator[ImageBatch]:
        """Every image as it is, followed by every image seen through the nuisance, if any."""
        yield from self.views(1, rng)

    def views(self, times: int, rng: torch.Generator) -> Iterator[ImageBatch]:
        """Every image as it is, followed by all so many times through the nuisance, if any."""
        yield from self.batches()
        for _ in range(times if self.nuisance is not None else 0):
            yield from (acquired(batch, self.nuisance, rng) for batch in self.batches())


@torch.inference_mode()
def _joined(look: Callable[[ImageBatch], Tensor], batches: Iterable[ImageBatch]) -> Tensor:
    return torch.cat([look(batch).cpu() for batch in batches])
