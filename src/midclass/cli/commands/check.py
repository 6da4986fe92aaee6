"""The command ``check``: what a recipe's operators and its anatomy promise, kept or broken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from midclass.cli.commands.source import Source
from midclass.cli.console import bar, cases_in_words, cell, new_table, say, show_table
from midclass.cli.options import DEFAULTS, Options
from midclass.images.cohort import Cohort, choose
from midclass.images.phantoms import KINDS
from midclass.images.prepare import prepare_unkept
from midclass.images.rules import Rules
from midclass.preview.phantoms import for_phantoms, phantom_cohort, phantom_of
from midclass.recipe.recipe import Recipe
from midclass.testing import (
    OF_LESION,
    PROMISES,
    Finding,
    Overlap,
    anatomy_overlaps,
    example_batch,
    findings,
)
from midclass.types import ImageBatch

ASSUMED_MM = 200.0
"""Field of view where a recipe leaves it to the files."""

IMAGES = 6
ANATOMY_IMAGES = 12


def run(
    recipe_name: str, source: Source | None = None, options: Options = DEFAULTS, *, seed: int = 0
) -> bool:
    """Check a recipe's operators, with their arguments, and its anatomy; True where all is kept.

    The operators see generated images of the recipe's size and channels, as fine as samples of the
    source or as the recipe says. The anatomy sees images of the source, or phantoms of its kind,
    before and after each middle class and nuisance.

    Raises:
        InputError: the recipe is wrong, or a file that it names is not trusted.
    """
    recipe = Recipe.load(recipe_name, options.trust)
    recipe.check()
    cohort = None if source is None else choose(source.cohort("train"), ANATOMY_IMAGES, seed)
    spacing, note = _spacing_mm(recipe, cohort)
    size = recipe.geometry.size
    batch = example_batch(
        2, IMAGES, recipe.geometry.channels, seed, size=size, spacing_mm=(0.8 * spacing, spacing)
    )
    found = _findings(recipe, batch, seed)
    say(f"{recipe.name}: generated images of {size[0]} x {size[1]} at {spacing:.2g} mm{note}")
    _tell_table(found)
    kept = _tell_broken(found)
    return _anatomy_is_kept(recipe, cohort, seed) and kept


def _anatomy_is_kept(recipe: Recipe, cohort: Cohort | None, seed: int) -> bool:
    """Check and tell the law of the anatomy; True where it is kept or could not be checked."""
    if cohort is not None:
        if own := sum(case.mask is not None for case in cohort):
            say(f"anatomy: {cases_in_words(own)} with a mask of the manifest, which nothing moves")
            cohort = cohort[np.array([case.mask is None for case in cohort])]
        return not len(cohort) or _every_link_is_kept(recipe, cohort, seed)
    if phantom_of(recipe) not in KINDS:  # what stands in is too plain to judge an anatomy by
        name = recipe.anatomies[0]
        say(f"anatomy: not checked, there are no phantoms for {name}; give --cohort")
        return True
    with phantom_cohort(recipe, ANATOMY_IMAGES, seed) as cohort:
        return _every_link_is_kept(for_phantoms(recipe), cohort, seed)


def _every_link_is_kept(recipe: Recipe, cohort: Cohort, seed: int) -> bool:
    """Of a chain, each anatomy must keep the law."""
    kept = True
    for name in recipe.anatomies:
        if len(recipe.anatomies) > 1:
            say(f"{name}:")
        one = recipe.model_copy(update={"anatomy": name})
        kept = _tell_overlaps(_overlaps(one, cohort, seed)) and kept
    return kept


def _overlaps(recipe: Recipe, cohort: Cohort, seed: int) -> list[Overlap]:
    rules = Rules(recipe)

    def images() -> Iterator[tuple[NDArray[np.float32], tuple[float, float]]]:
        with bar(f"looking for {recipe.anatomy}") as progress:
            for row, case in enumerate(cohort):
                progress(row, len(cohort), case.case_id)
                image = cohort.read(row, recipe.intensity.window)
                pixels, spacing, _ = rules.seen_by_anatomy(case, image)
                yield pixels, spacing

    operators, nuisance = recipe.operators(), recipe.nuisance_operator()
    return anatomy_overlaps(recipe.anatomy_function(), images(), operators, nuisance, seed)


def _tell_overlaps(found: Sequence[Overlap]) -> bool:
    """A line for each change, and what is broken; an anatomy lost under a nuisance is only told."""
    if not found:
        say("anatomy: found in none of the images, so that nothing can be said of it")
        return False
    table = new_table()
    overlaps = "mean overlap", "least", "asked of the mean"
    for name in ("the anatomy under", *overlaps, "of the lesion kept"):
        table.add_column(name, justify="left" if name.startswith("the") else "right")
    for one in found:
        dice = one.dice
        held = f"{one.held.mean():.2f}" if len(one.held) else ""
        figures = f"{dice.mean():.3f}", f"{dice.min():.3f}", f"{one.least:.2f}"
        table.add_row(cell(one.name), *figures, held)
    show_table(table)
    kept = True
    for one in found:
        if not one.holds:
            say(
                f"broken: the anatomy cuts {one.name} out: it holds {one.held.mean():.2f} of the "
                f"lesion, at least {OF_LESION:.2f} is asked; what is cut out nobody looks at"
            )
            kept = False
        if one.stays:
            continue
        overlap = f"mean overlap {one.dice.mean():.3f}, at least {one.least:.2f} is asked"
        if one.of_disease:
            say(f"broken: the anatomy moves with {one.name}: {overlap}; disease could hide outside")
            kept = False
        else:
            say(f"weak: the anatomy is not found again under {one.name}: {overlap}")
    return kept


def _findings(recipe: Recipe, batch: ImageBatch, seed: int) -> dict[str, dict[str, Finding]]:
    """Operator of the recipe -> promise -> what became of it."""
    operators = {**recipe.operators(), **recipe.held_out_operators()}
    found = {}
    with bar(f"checking {recipe.name}") as progress:
        for number, (name, operator) in enumerate(operators.items()):
            progress(number, len(operators), name)
            found[name] = {one.promise: one for one in findings(operator, batch, seed)}
    return found


def _spacing_mm(recipe: Recipe, cohort: Cohort | None) -> tuple[float, str]:
    """Spacing of samples, and where it is from if not from the recipe's field of view."""
    geometry = recipe.geometry
    if cohort is not None and len(cohort):
        seen = prepare_unkept(cohort, Rules(recipe))
        if len(seen.spacing_mm):
            return float(np.median(seen.spacing_mm)), ", as yours are"
    side_mm = geometry.roi_mm or geometry.field_of_view_mm
    if side_mm is None and geometry.spacing_mm is not None:
        return geometry.spacing_mm, " (spacing_mm of the files; give --cohort for that of samples)"
    note = f" (no field of view in the recipe: {ASSUMED_MM:g} mm assumed)"
    return (side_mm or ASSUMED_MM) / max(geometry.size), "" if side_mm else note


def _tell_table(found: Mapping[str, Mapping[str, Finding]]) -> None:
    table = new_table()
    table.add_column("", no_wrap=True)
    for name in found:
        table.add_column(cell(name))
    for promise in PROMISES:
        table.add_row(promise, *(operator[promise].state for operator in found.values()))
    show_table(table)


def _tell_broken(found: Mapping[str, Mapping[str, Finding]]) -> bool:
    """A line for each promise that is not kept; refusals are told once for each operator."""
    broken = 0
    for name, operator in found.items():
        for one in operator.values():
            if one.state == "broken":
                say(f"broken: {name} {one.text}")
                broken += 1
        refusals = dict.fromkeys(one.text for one in operator.values() if one.state == "refused")
        for text in refusals:
            say(f"refused: {name}: {text}")
        # Refusing the recipe's own images ends every fit; refusing others ends none.
        broken += operator["keeps shape, type and range"].state == "refused"
    say("all promises are kept" if not broken else f"{broken} promises are not kept")
    return not broken
