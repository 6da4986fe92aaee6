"""The command ``check``: what each operator of a recipe promises, kept or broken."""

from __future__ import annotations

from collections.abc import Mapping

from rich.markup import escape

from midclass.cli.console import bar, new_table, say, show_table
from midclass.cli.options import DEFAULTS, Options
from midclass.recipe.recipe import Geometry, Recipe
from midclass.testing import PROMISES, Finding, example_batch, findings
from midclass.types import ImageBatch

ASSUMED_MM = 200.0
"""Field of view where a recipe leaves it to the files."""

IMAGES = 6


def run(recipe_name: str, options: Options = DEFAULTS, *, seed: int = 0) -> bool:
    """Check every operator of a recipe with its arguments; True where no promise is broken.

    The operators see generated images of the recipe's size, channels and spacing.

    Raises:
        InputError: the recipe is wrong, or a file that it names is not trusted.
    """
    recipe = Recipe.load(recipe_name, options.trust)
    recipe.check()
    spacing, assumed = _spacing_mm(recipe.geometry)
    size = recipe.geometry.size
    batch = example_batch(
        2, IMAGES, recipe.geometry.channels, seed, size=size, spacing_mm=(0.8 * spacing, spacing)
    )
    found = _findings(recipe, batch, seed)
    note = f" (no field of view in the recipe: {ASSUMED_MM:g} mm assumed)" if assumed else ""
    say(f"{recipe.name}: generated images of {size[0]} x {size[1]} at {spacing:.2g} mm{note}")
    _tell_table(found)
    return _tell_broken(found)


def _findings(recipe: Recipe, batch: ImageBatch, seed: int) -> dict[str, dict[str, Finding]]:
    """Operator of the recipe -> promise -> what became of it."""
    operators = {**recipe.operators(), **recipe.held_out_operators()}
    found = {}
    with bar(f"checking {recipe.name}") as progress:
        for number, (name, operator) in enumerate(operators.items()):
            progress(number, len(operators), name)
            found[name] = {one.promise: one for one in findings(operator, batch, seed)}
    return found


def _spacing_mm(geometry: Geometry) -> tuple[float, bool]:
    """Spacing of the recipe's samples, and whether it had to be assumed."""
    side_mm = geometry.roi_mm or geometry.field_of_view_mm
    return (side_mm or ASSUMED_MM) / max(geometry.size), side_mm is None


def _tell_table(found: Mapping[str, Mapping[str, Finding]]) -> None:
    table = new_table()
    table.add_column("", no_wrap=True)
    for name in found:
        table.add_column(escape(name))
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
