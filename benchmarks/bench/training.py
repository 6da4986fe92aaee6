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
from midclass.types import Progress

RECIPES = ("chest_xray", "head_ct", "mammography")
IMAGES = 40
STEPS = 12
"""The first is left out: it makes what is kept."""


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
            whole, bare, made = beside_each_other(recipe, given)
        what = f"a step of {name}, CPU s beside its networks' forward and backward"
        yield Row(what, whole, bare, whole / bare, "<= 1.15")
        what = f"what a step of {name} learns from is made, CPU s beside the step"
        yield Row(what, made, whole, made / whole, "<= .12")


def beside_each_other(recipe: Recipe, given: Prepared) -> tuple[float, float, float]:
    """Medians of a step, of its networks alone and of making its batch, each step anew.

    A shared machine is twice as fast in one minute as in another: what is compared must be near.
    """
    other = fitted(recipe, given, 1)
    batch = batch_of(recipe, given)
    found = list[tuple[float, float, float]]()
    last = time.process_time()

    def told(*_: object) -> None:
        nonlocal last
        step = time.process_time() - last
        alone = seconds(partial(looked, other, batch))
        found.append((step, alone, seconds(partial(batch_of, recipe, given))))
        last = time.process_time()

    fitted(recipe, given, STEPS, told)
    whole, bare, making = (statistics.median(one) for one in zip(*found[1:], strict=True))
    return whole, bare, making


def fitted(
    recipe: Recipe, given: Prepared, count: int, progress: Progress | None = None
) -> MiddleClassDetector:
    """A detector that has learned for so many steps."""
    budget = recipe.budget.model_copy(update={"steps": count, "checkpoints": 1})
    detector = MiddleClassDetector(recipe.model_copy(update={"budget": budget}))
    return detector.fit(given, max_fpr=0.3, progress=progress)


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
