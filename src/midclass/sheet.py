"""Contact sheet: what a recipe's knowledge makes of given-class images, before any training."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from midclass.errors import InputError
from midclass.images import phantoms
from midclass.images.cohort import Cohort
from midclass.plots import Panel

if TYPE_CHECKING:
    import torch

    from midclass.images.prepare import Prepared
    from midclass.knowledge.base import Knowledge
    from midclass.recipe import Recipe
    from midclass.types import ImageBatch

PHANTOM_OF = {
    "anatomy.breast": "breast",
    "anatomy.intracranial": "head",
    "anatomy.lungs": "chest",
}
"""Anatomy of a recipe -> the kind of phantom that has it."""


def columns(prepared: Prepared, recipe: Recipe, n: int, seed: int) -> dict[str, list[Panel]]:
    """Columns of n images: as they are; then each middle class and its change map.

    Operators see all prepared images at once, since some take tissue of other patients; the
    first n are shown.

    Raises:
        InputError: no image shows any anatomy.
    """
    import torch

    rows = np.flatnonzero(prepared.assessable)
    if not len(rows):
        raise InputError(
            f"{prepared.cases.name}: no image in which {recipe.anatomy} finds anything"
        )
    batch = prepared.batch(rows)
    rng = torch.Generator().manual_seed(seed)
    found = {"given class\nand anatomy": _given(batch, n)}
    for name, operator in recipe.operators().items():
        found |= _middle(name, "middle class", operator, batch, n, rng)
    for name, operator in recipe.held_out_operators().items():
        found |= _middle(name, "held out", operator, batch, n, rng)
    return found


def choose(cohort: Cohort, n: int, seed: int) -> Cohort:
    """At most n given-class cases at random, of as many patients as possible.

    >>> from midclass.images.cohort import Case
    >>> cases = [Case(name, Path(name), 0, name[0]) for name in ("a1", "a2", "b1", "b2")]
    >>> sorted(choose(Cohort(tuple(cases)), 2, seed=0).patients)
    ['a', 'b']
    """
    given = cohort.given_class()
    order = np.random.default_rng(seed).permutation(len(given))
    times: dict[str, int] = {}
    turn = {}
    for i in order:
        patient = given.cases[i].patient_id
        turn[int(i)] = times[patient] = times.get(patient, -1) + 1
    chosen = sorted(turn, key=lambda i: turn[i])[:n]  # stable: at random within a turn
    return given[chosen]


@contextmanager
def phantom_cohort(recipe: Recipe, n: int, seed: int) -> Iterator[Cohort]:
    """Given-class phantoms that fit the recipe's anatomy, in a folder that is then removed."""
    kind = PHANTOM_OF.get(recipe.anatomy, "breast")
    size = 128 if recipe.geometry.view == "whole" else 512  # a square of it must show something
    with tempfile.TemporaryDirectory(prefix="midclass-") as scratch:
        manifest = phantoms.write(Path(scratch) / kind, kind, seed, n, 0, size=size)
        cohort = Cohort.from_manifest(manifest)
        if recipe.geometry.view == "roi":
            cases = tuple(
                replace(case, centre=_middle_of_anatomy(cohort, i, recipe))
                for i, case in enumerate(cohort)
            )
            cohort = replace(cohort, cases=cases)
        yield cohort


def _middle_of_anatomy(cohort: Cohort, i: int, recipe: Recipe) -> tuple[float, float]:
    image = cohort.read(i)
    spacing = cohort.cases[i].spacing_mm or (1.0, 1.0)
    rows, cols = np.nonzero(recipe.anatomy_function()(image.pixels, spacing))
    return float(np.median(cols)), float(np.median(rows))


def _given(batch: ImageBatch, n: int) -> list[Panel]:
    return [
        Panel(pixels.numpy(), anatomy[0].numpy(), spacing_mm=(float(mm[0]), float(mm[1])))
        for pixels, anatomy, mm in zip(
            batch.pixels[:n], batch.anatomy[:n], batch.spacing_mm[:n], strict=True
        )
    ]


def _middle(
    name: str, kind: str, operator: Knowledge, batch: ImageBatch, n: int, rng: torch.Generator
) -> dict[str, list[Panel]]:
    middle = operator(batch, rng)
    images, changes = [], []
    for pixels, change, severity in zip(
        middle.pixels[:n], middle.change[:n], middle.severity[:n], strict=True
    ):
        images.append(Panel(pixels.numpy(), text=f"severity {float(severity):.2f}"))
        changes.append(Panel(pixels.numpy(), heat=change[0].numpy()))
    return {f"{name}\n{kind}": images, f"{name}\n{kind}: change": changes}
