"""The command ``audit``: figures as a table, what to change in words, and all of it as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from midclass.cli.commands.source import Source, prepared_with_bar
from midclass.cli.console import bar, cell, fault, new_table, say, show_table, tell_anatomies
from midclass.cli.early import check_format
from midclass.cli.options import DEFAULTS, Options
from midclass.cli.outputs import Place, claimed, read_by
from midclass.cli.recognised import no_audit, no_picture
from midclass.cli.voice import answer
from midclass.errors import InputError
from midclass.files import write_text_atomic
from midclass.images.cohort import Cohort, choose
from midclass.images.prepare import Prepared
from midclass.preview.advice import advice, verdict
from midclass.preview.audit import anatomy_of, audit
from midclass.preview.page import outline_sheet
from midclass.preview.phantoms import for_phantoms, phantom_cohort
from midclass.preview.plausibility import FAR, in_words, panels
from midclass.recipe.recipe import Recipe

SAID = 3
"""Strange outlines that are named; the others are in the picture and the JSON file."""


def run(
    recipe_name: str,
    source: Source | None,
    options: Options = DEFAULTS,
    *,
    out: Path | None = None,
    outlines: Path | None = None,
    n: int = 200,
    seed: int = 0,
) -> dict[str, Any]:
    """Audit a recipe on given-class images of a cohort, or on phantoms; returns the figures.

    Outlines are drawn first, since they say why where the rest cannot be measured; with ``out``
    and without ``outlines`` they lie beside it, as ``OUT.outlines.png``.
    """
    if outlines is None and out is not None:
        outlines = out.with_name(f"{out.stem}.outlines.png")
    if outlines is not None:
        check_format(outlines, "--outlines")
    outputs = [
        Place(path, "file", option, strange=strange)
        for path, option, strange in (
            (out, "--out", no_audit),
            (outlines, "--outlines", no_picture),
        )
        if path is not None
    ]
    reads = read_by(source, recipe_name, *options.trust)
    with claimed(*outputs, reads=reads, overwrite=options.overwrite):
        return _run(recipe_name, source, options, out, outlines, n, seed)


def _run(
    recipe_name: str,
    source: Source | None,
    options: Options,
    out: Path | None,
    outlines: Path | None,
    n: int,
    seed: int,
) -> dict[str, Any]:
    recipe = Recipe.load(recipe_name, options.trust)
    recipe.check()
    if source is None:
        recipe = for_phantoms(recipe)
        with phantom_cohort(recipe, n, seed) as cohort:
            scratch = replace(options, cache=cohort.cases[0].path.parent / "cache")
            figures = _figures(recipe, cohort, seed, scratch, outlines)
    else:
        cohort = choose(source.cohort("train"), n, seed)
        figures = _figures(recipe, cohort, seed, options, outlines)
        source.tell_unused()
    figures["cohort"] = "phantoms" if source is None else cohort.title
    _tell(figures)
    if out is not None:
        write_text_atomic(out, json.dumps(figures, indent=1))
    files = [str(file) for file in (out, outlines) if file is not None]
    if files:
        say(f"saved: {', '.join(files)}")
    answer({"figures": out, "outlines": outlines}, **figures)
    return figures


def _figures(
    recipe: Recipe, cohort: Cohort, seed: int, options: Options, outlines: Path | None
) -> dict[str, Any]:
    if not len(cohort):
        raise InputError(f"{cohort.name}: no case of the given class (label 0) to look at")
    prepared = prepared_with_bar(cohort, recipe, options, keep_going=True)
    for case, reason in prepared.failed:
        fault(f"failed: {case.case_id}: {reason}")
    picture = "a picture by --outlines" if outlines is None else str(outlines)
    anatomy = anatomy_of(prepared, recipe)
    if outlines is not None:
        _draw(outlines, recipe, prepared, anatomy, options.cache)
    try:
        with bar("auditing") as progress:
            figures = audit(prepared, recipe, seed, progress)
    except InputError as error:
        said = in_words(anatomy, picture)
        raise InputError(f"{error}; {said}" if said else str(error)) from error
    return {
        "recipe": recipe.name,
        "seed": seed,
        "failed": len(prepared.failed),
        **figures,
        "advice": advice(figures, shows_all=recipe.geometry.shows_all, picture=picture),
    }


def _draw(
    outlines: Path,
    recipe: Recipe,
    prepared: Prepared,
    anatomy: Mapping[str, Any],
    cache: Path | None,
) -> None:
    """The worst outlines as a picture."""
    title = f"{recipe.name}: the {len(anatomy['worst'])} worst outlines of {recipe.anatomy}"
    about = f"{_of_found(anatomy)}; no anatomy first, then the most unlike the others"
    outline_sheet(outlines, title, about, panels(prepared, anatomy["worst"], recipe, cache))


def _of_found(anatomy: Mapping[str, Any]) -> str:
    found = anatomy["found"]
    return (
        f"found in {anatomy['images'] - anatomy['missing']} of {anatomy['images']} images "
        f"({found['value']:.0%}, 95 % interval {found['low']:.0%} to {found['high']:.0%})"
    )


def _tell(figures: Mapping[str, Any]) -> None:
    """A table of the middle classes, three lines on anatomy and nuisance, and the advice."""
    table = new_table()
    for column in ("middle class", "AUROC", "best cue alone", "too faint", "severity", "covers"):
        table.add_column(column, justify="left" if column[0] in "mb" else "right")
    table.add_column("verdict")
    for name, found in figures["classes"].items():
        cue = found["cue"]
        table.add_row(
            cell(name),
            _number(found["auroc"]),
            f"{cue['auroc']:.2f} {cue['statistic']}" if cue else "-",
            _percent(found["too_faint"]),
            _number(found["severity"]),
            _percent(found["covers"]),
            verdict(found),
        )
    show_table(table)
    say("AUROC: of coarse statistics that cannot see what an image shows; covers: of the anatomy")
    _tell_rest(figures)
    if not figures["advice"]:
        say("nothing needs to change")
    for number, text in enumerate(figures["advice"], start=1):
        say(f"{number}. {text}")


def _mm2(area: float) -> str:
    """Whole square millimetres; of cells and layers of the retina two digits."""
    return f"{area:.0f}" if area >= 10 else f"{area:.2g}"


def _tell_rest(figures: Mapping[str, Any]) -> None:
    anatomy, nuisance = figures["anatomy"], figures["nuisance"]
    covers, area = anatomy["covers"], anatomy["area_mm2"]
    say(
        f"{'images':<10} {figures['images']} of {figures['patients']} patients, {figures['cohort']}"
    )
    say(f"{'anatomy':<10} {_of_found(anatomy)}, little in {anatomy['little']:.0%}")
    say(
        f"{'':<10} covers {covers['median']:.0%} of the image ({covers['low']:.0%} to "
        f"{covers['high']:.0%}), {_mm2(area['median'])} mm2 ({_mm2(area['low'])} to "
        f"{_mm2(area['high'])})"
    )
    say(f"{'':<10} unlike the others in {anatomy['strange']} of {anatomy['images']} images")
    strange = [one for one in anatomy["worst"] if one["far"] is None or one["far"] > FAR]
    for one in strange[:SAID]:
        say(f"{'':<10}   {one['case_id']}: {one['reason']}")
    tell_anatomies(anatomy["by"])
    if nuisance is not None:
        rates = ", ".join(
            f"{one['false_alarms']:.0%} at {one['strength']:g}" for one in nuisance["strengths"]
        )
        say(
            f"{'nuisance':<10} false alarms of a quick detector set to 5 %, by strength of the "
            f"recipe's nuisance: {rates}"
        )


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
