"""The command ``show``: a contact sheet of a recipe's knowledge."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from midclass.cli.commands.source import Source, prepared_with_bar
from midclass.cli.console import say
from midclass.cli.early import check_format
from midclass.cli.options import DEFAULTS, Options
from midclass.cli.outputs import Place, claimed, read_by
from midclass.cli.recognised import no_picture
from midclass.images.cohort import Cohort, choose
from midclass.preview import page, phantoms, sheet
from midclass.recipe.recipe import Recipe

SPARE = 4
"""Candidates for each image shown: some show no anatomy, and operators take from neighbours."""


def run(
    recipe_name: str,
    source: Source | None,
    options: Options = DEFAULTS,
    *,
    out: Path = Path("sheet.png"),
    n: int = 6,
    seed: int = 0,
) -> None:
    """Draw the contact sheet of a recipe on given-class images of a cohort, or on phantoms."""
    check_format(out)
    output = Place(out, "file", strange=no_picture)
    reads = read_by(source, recipe_name, *options.trust)
    with claimed(output, reads=reads, overwrite=options.overwrite):
        _run(recipe_name, source, options, out, n, seed)


def _run(
    recipe_name: str, source: Source | None, options: Options, out: Path, n: int, seed: int
) -> None:
    recipe = Recipe.load(recipe_name, options.trust)
    recipe.check()

    def draw(cohort: Cohort, options: Options, images: str) -> None:
        prepared = prepared_with_bar(cohort, recipe, options)
        block = sheet.block(prepared, recipe, n, seed, images)
        title = f"{recipe.name}: {recipe.target_class}"
        page.contact_sheet(out, title, recipe.summary, [block])

    if source is None:
        recipe = phantoms.for_phantoms(recipe)
        with phantoms.phantom_cohort(recipe, SPARE * n, seed) as cohort:
            scratch = cohort.cases[0].path.parent / "cache"
            draw(cohort, replace(options, cache=scratch), phantoms.words_of_phantoms(recipe))
    else:
        cohort = choose(source.cohort("train"), SPARE * n, seed)
        place = source.manifest.resolve()
        place = place if source.is_folder else place.parent
        draw(cohort, options, f"Images of {place.name}")
    say(f"saved: {out}")
