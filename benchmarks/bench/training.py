"""Training: a whole step beside what its networks alone take for the same batch."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from rows import Asked, Row

from midclass import MiddleClassDetector, Prepared, Recipe, prepare
from midclass.preview.phantoms import for_phantoms, phantom_cohort
from midclass.training.loss import precision
from midclass.training.middle import LabelledBatch, MiddleClasses

RECIPES = ("chest_xray", "head_ct", "mammography")
IMAGES = 40
STEPS = (4, 16)
"""What a fit of the second takes longer than one of the first is that of the steps between."""


def seconds(job: Callable[[], object]) -> float:
    """Of processor time."""
    began = time.process_time()
    job()
    return time.process_time() - began


def steps(asked: Asked) -> Iterator[Row]:
    """Of the recipes of three tasks, on phantoms and one thread."""
    torch.set_num_threads(1)
    for name in RECIPES:
        recipe = for_phantoms(Recipe.load(name))
        with phantom_cohort(recipe, IMAGES, 0) as cohort:
            given = prepare(cohort, recipe, cache=asked.folder / "cache")
            detector = fitted(recipe, given, 1)  # what is imported and kept once is no step's
            few, many = (seconds(partial(fitted, recipe, given, n)) for n in STEPS)
        whole = (many - few) / (STEPS[1] - STEPS[0])
        alone = partial(looked, detector, batch_of(recipe, given))
        bare = statistics.median(seconds(alone) for _ in range(5))
        what = f"a step of {name}, CPU s beside its networks' forward and backward"
        yield Row(what, whole, bare, whole / bare, "<= 1.15")


def fitted(recipe: Recipe, given: Prepared, count: int) -> MiddleClassDetector:
    """A detector that has learned for so many steps."""
    budget = recipe.budget.model_copy(update={"steps": count, "checkpoints": 1})
    detector = MiddleClassDetector(recipe.model_copy(update={"budget": budget}))
    return detector.fit(given, max_fpr=0.3)


def batch_of(recipe: Recipe, given: Prepared) -> LabelledBatch:
    """A batch as training makes it."""
    classes = MiddleClasses(
        recipe.operators(), recipe.nuisance_operator(), recipe.sham, recipe.floor
    )
    return classes(given.batch(slice(recipe.budget.batch)), torch.Generator().manual_seed(0))


def looked(detector: MiddleClassDetector, batch: LabelledBatch) -> None:
    """Forward and backward alone."""
    networks = detector.networks_.train()
    with precision(detector.device):
        outputs = networks(batch.images)
    total = sum(one.logits.float().mean() + one.change.float().mean() for one in outputs)
    networks.zero_grad()
    total.backward()
