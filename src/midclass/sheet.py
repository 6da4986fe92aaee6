"""Contact sheet: what a recipe's knowledge makes of given-class images, before any training."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.images import phantoms
from midclass.images.cohort import Cohort
from midclass.plots import Panel
from midclass.plots_sheet import Block, Row

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from midclass.images.prepare import Prepared
    from midclass.knowledge.base import Knowledge
    from midclass.recipe import Recipe
    from midclass.types import ImageBatch

PHANTOM_OF = {
    "anatomy.breast": "breast",
    "anatomy.intracranial": "head",
    "anatomy.lungs": "chest",
    "ct.lungs": "chest",  # seen from the front, but dark lungs in a body
    "brain_mr": "head",
}
"""Anatomy or name of a recipe -> the kind of phantom that has it."""
DRAWS = 24
"""What each operator draws for each image, to choose from by severity."""


def block(prepared: Prepared, recipe: Recipe, n: int, seed: int, images: str) -> Block:
    """At most n given-class images, and what each operator makes of them, faint to clear.

    Every operator draws ``DRAWS`` times for each image; shown are draws at even steps of the
    severities measured, from left to right. Operators draw for all prepared images at once, since
    some take tissue of other patients.

    Args:
        prepared: the candidates.
        recipe: whose knowledge to show.
        n: number of images.
        seed: of the draws.
        images: what the images are, for readers.

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
    shown = _full_tiles(batch, n)
    rng = torch.Generator().manual_seed(seed)
    groups = (
        ("middle class", recipe.middle_classes, recipe.operators()),
        ("held out: never trained on", recipe.held_out, recipe.held_out_operators()),
    )
    return Block(
        recipe.given_class,
        f"{images}. A column is one image, the line its anatomy. Below: what is made of it, "
        "fainter on the left, clearer on the right.",
        _given(batch[shown]),
        [
            Row(
                name.replace("_", " "),
                kind,
                entries[name].title,
                entries[name].reason,
                _faint_to_clear(operator, batch, shown, recipe.floor, rng),
            )
            for kind, entries, operators in groups
            for name, operator in operators.items()
        ],
    )


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


def _phantom_of(recipe: Recipe) -> str | None:
    name = recipe.name.removesuffix("_control")
    return PHANTOM_OF.get(name, PHANTOM_OF.get(recipe.anatomy))


def words_of_phantoms(recipe: Recipe) -> str:
    """What the sheet says of the images where phantoms are shown."""
    if _phantom_of(recipe) is None:
        return "Generated breast phantoms, since there are none of this kind"
    return "Generated phantoms"


def for_phantoms(recipe: Recipe) -> Recipe:
    """The recipe without its window and colours: phantoms are grey, not in a device's units."""
    intensity = recipe.intensity.model_copy(update={"window": None})
    geometry = recipe.geometry.model_copy(update={"channels": 1})
    return recipe.model_copy(update={"intensity": intensity, "geometry": geometry})


@contextmanager
def phantom_cohort(recipe: Recipe, n: int, seed: int) -> Iterator[Cohort]:
    """Given-class phantoms that fit the recipe's anatomy, in a folder that is then removed.

    Where none fits, breast phantoms stand in, at the scale that the recipe assumes.
    """
    at_home = _phantom_of(recipe)
    kind = at_home or "breast"
    size = 128 if recipe.geometry.view == "whole" else 512  # a square of it must show something
    with tempfile.TemporaryDirectory(prefix="midclass-") as scratch:
        manifest = phantoms.write(Path(scratch) / kind, kind, seed, n, 0, size=size)
        cohort = Cohort.from_manifest(manifest)
        if at_home is None:
            unscaled = tuple(replace(case, spacing_mm=None) for case in cohort)
            cohort = replace(cohort, cases=unscaled)
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


def _full_tiles(batch: ImageBatch, n: int) -> Tensor:
    """Rows of n images of the half that shows most anatomy, so that tiles are not empty."""
    size = batch.anatomy.flatten(1).sum(1)
    most = size.argsort(descending=True, stable=True)[: max(n, len(batch) // 2)]
    return most.sort().values[:n]


def _given(batch: ImageBatch) -> list[Panel]:
    return [
        Panel(pixels.numpy(), anatomy[0].numpy(), spacing_mm=(float(mm[0]), float(mm[1])))
        for pixels, anatomy, mm in zip(batch.pixels, batch.anatomy, batch.spacing_mm, strict=True)
    ]


def _faint_to_clear(
    operator: Knowledge, batch: ImageBatch, shown: Tensor, floor: float, rng: torch.Generator
) -> list[Panel]:
    draws = []
    for _ in range(DRAWS):
        params = operator.draw(batch, rng)
        some = {name: values[shown] for name, values in params.items()}
        draws.append(operator.apply(batch[shown], some))
    severity = np.stack([middle.severity.numpy() for middle in draws])
    return [
        Panel(
            draws[k].pixels[j].numpy(),
            heat=draws[k].change[j, 0].numpy(),
            text=f"severity {severity[k, j]:.2f}",
        )
        for j, k in enumerate(rising(severity, floor))
    ]


def rising(severity: NDArray[np.floating[Any]], floor: float) -> list[int]:
    """Which draw to show of each image, so that severity rises in even steps of its ranks.

    Args:
        severity: ``(draws, images)``.
        floor: what is fainter is never trained on, and shown only where there is nothing else.

    >>> rising(np.array([[0.1, 0.1, 0.1], [0.5, 0.5, 0.5], [0.9, 0.9, 0.9]]), floor=0.05)
    [0, 1, 2]
    """
    visible = severity[severity >= floor]
    n = severity.shape[1]
    steps = np.linspace(0.05, 0.95, n) if n > 1 else 0.5
    aims = np.atleast_1d(np.quantile(visible if visible.size else severity, steps))
    most = severity.max(0)
    most = np.where(most >= floor, most, np.inf)  # what is faint in all draws holds no other back
    most = np.minimum.accumulate(most[::-1])[::-1]  # what the later ones can follow
    chosen: list[int] = []
    least = floor
    for aim, of_image, limit in zip(np.minimum(aims, most), severity.T, most, strict=True):
        rises = of_image >= least
        choices = (rises & (of_image <= limit), rises, of_image >= floor, of_image >= 0)
        allowed = np.flatnonzero(next(choice for choice in choices if choice.any()))
        chosen.append(int(allowed[np.abs(of_image[allowed] - aim).argmin()]))
        least = max(least, of_image[chosen[-1]])
    return chosen
