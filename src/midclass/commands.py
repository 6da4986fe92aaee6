"""Commands: what the command line does, with plain arguments; ``cli`` only reads them."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from midclass import evaluation, plots, plots_sheet, sheet
from midclass.console import bar, note, notes, promise, say, tell_figures, tell_fit
from midclass.errors import InputError
from midclass.fitting import Workplace, detector_class, refuse_existing, refuse_existing_file
from midclass.images.cohort import Cohort
from midclass.images.prepare import Prepared, prepare
from midclass.recipe import Recipe
from midclass.results import ScoreTable
from midclass.writing import new_folder

if TYPE_CHECKING:
    from midclass.detectors.base import Detector

SPARE = 4
"""Candidates for each image shown: some show no anatomy, and operators take from neighbours."""


@dataclass(frozen=True)
class Source:
    """Which cases: a manifest, the column of its split, the part, and where its paths start."""

    manifest: Path
    split: str | None = None
    part: str | None = None
    root: Path | None = None

    def cohort(self, default_part: str) -> Cohort:
        """The cases of the part; all cases where there are no parts and none is asked for."""
        cohort = Cohort.from_manifest(self.manifest, self.split, root=self.root)
        if self.part is None and not cohort.parts:
            return cohort
        return cohort.part(self.part or default_part)

    def options(self) -> str:
        """The options that name the same manifest and split on the command line."""
        split = f" --split {self.split}" if self.split else ""
        root = f" --root {self.root}" if self.root else ""
        return f"--cohort {self.manifest}{split}{root}"


def fit(
    recipe_name: str,
    source: Source,
    *,
    out: Path | None = None,
    seed: int = 0,
    max_fpr: float = 0.05,
    detector: str = "middle_class",
    positives: int = 0,
    trust: Collection[Path] = (),
    cache: Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Fit a detector on the given class of a cohort and save it; returns its folder.

    With positives it learns from so many of the cohort's target-class cases too.
    """
    started = time.monotonic()
    recipe = Recipe.load(recipe_name, trust)
    out = out or Path("runs") / recipe.name
    refuse_existing(out, overwrite)
    recipe.check()
    cohort = source.cohort("train")
    given = cohort.given_class()
    if not len(given):
        raise InputError(f"{cohort.name}: no case of the given class (label 0) to learn from")
    model = detector_class(detector, trust)(recipe)
    model.check_number_of_positives(positives)
    few = cohort.some_of_target_class(positives, seed)
    place = Workplace(out, recipe, given, seed, detector, trust, few)
    if place.open(overwrite=overwrite):
        note(f"goes on from the last checkpoint, in {place.folder}")
    if aside := len(cohort) - len(given) - len(few):
        note(f"{aside} target-class cases of {cohort.name} are set aside and never used")
    prepared = prepared_with_bar(given, recipe, cache)
    known = prepared_with_bar(few, recipe, cache) if len(few) else None
    with bar(f"fitting {recipe.name}") as progress:
        place.fit(model, prepared, max_fpr, progress, known)
    tell_fit(model, time.monotonic() - started)
    say(f"{'saved':<16} {out}")
    trusted = "".join(f" --trust {file}" for file in trust)
    say(f"{'next':<16} midclass evaluate {out} {source.options()}{trusted}")
    return out


def score(
    folder: Path,
    cohort: Cohort,
    *,
    out: Path = Path("scores.csv"),
    heat_maps: Path | None = None,
    trust: Collection[Path] = (),
    cache: Path | None = None,
    overwrite: bool = False,
) -> bool:
    """Score cases of known or unknown class; True where all of them could be read."""
    from midclass.detectors.base import load_detector

    refuse_existing_file(out, overwrite)
    if heat_maps is not None:
        refuse_existing(heat_maps, overwrite)
    detector = load_detector(folder, trust)
    if heat_maps is not None and not detector.makes_heat_maps:
        raise InputError(f"{type(detector).__name__} makes no heat maps; leave out --heat-maps")
    prepared = prepared_with_bar(cohort, detector.recipe, cache, keep_going=True)
    table = evaluation.score_table(detector, prepared)
    table.write(out)
    say(f"{len(table)} cases scored, {int(table.flagged.sum())} flagged: {out}")
    if heat_maps is not None:
        with new_folder(heat_maps, overwrite=overwrite) as temporary:
            _write_overlays(detector, prepared, temporary)
        say(f"heat maps: {heat_maps}")
    for case, reason in prepared.failed:
        note(f"failed: {case.case_id}: {reason}")
    return not prepared.failed


def evaluate(
    folder: Path,
    source: Source,
    *,
    out: Path | None = None,
    trust: Collection[Path] = (),
    cache: Path | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Score a labelled cohort, write table, summary and pictures, and print the figures."""
    from midclass.detectors.base import load_detector

    out = out or folder / "evaluation"
    refuse_existing(out, overwrite)
    detector = load_detector(folder, trust)
    cohort = source.cohort("test")
    for label, name in enumerate(("given", "target")):
        if label not in cohort.labels:
            raise InputError(f"{cohort.name}: no case of the {name} class (label {label})")
    evaluation.refuse_seen(folder, cohort)
    prepared = prepared_with_bar(cohort, detector.recipe, cache)
    slices = evaluation.slice_numbers(source.manifest, cohort)
    with new_folder(out, overwrite=overwrite) as temporary:
        evaluation.score_table(detector, prepared, slices).write(temporary / "scores.csv")
        table = ScoreTable.read(temporary / "scores.csv")
        with notes():
            figures = evaluation.report(table, detector.max_fpr_)
        figures |= {"detector": str(folder), "cohort": cohort.name, "promised": promise(detector)}
        text = json.dumps(figures, indent=1)
        (temporary / "summary.json").write_text(text, encoding="utf-8")
        title = f"{detector.recipe.name}: {detector.recipe.target_class}"
        plots.roc(temporary / "roc.png", title, table, figures)
        if detector.makes_heat_maps:
            groups = _examples(detector, prepared, table)
            plots.heat_maps(temporary / "heat_maps.png", title, groups)
    tell_figures(figures)
    pictures = "roc.png, heat_maps.png" if detector.makes_heat_maps else "roc.png"
    say(f"saved: {out} (scores.csv, summary.json, {pictures})")
    return figures


def show(
    recipe_name: str,
    source: Source | None,
    *,
    out: Path = Path("sheet.png"),
    n: int = 6,
    seed: int = 0,
    trust: Collection[Path] = (),
    cache: Path | None = None,
) -> None:
    """Draw the contact sheet of a recipe on given-class images of a cohort, or on phantoms."""
    plots_sheet.check_format(out)
    recipe = Recipe.load(recipe_name, trust)
    recipe.check()
    if source is None:
        recipe = sheet.for_phantoms(recipe)
        with sheet.phantom_cohort(recipe, SPARE * n, seed) as cohort:
            scratch = cohort.cases[0].path.parent / "cache"
            words = sheet.words_of_phantoms(recipe)
            _draw_sheet(out, recipe, cohort, n, seed, scratch, words)
    else:
        cohort = sheet.choose(source.cohort("train"), SPARE * n, seed)
        _draw_sheet(
            out,
            recipe,
            cohort,
            n,
            seed,
            cache,
            f"Images of {source.manifest.resolve().parent.name}",
        )
    say(f"saved: {out}")


def cases_to_score(
    files: Collection[Path],
    manifest: Path | None,
    split: str | None = None,
    part: str | None = None,
    root: Path | None = None,
) -> Cohort:
    """The cases of files or of a manifest, all of them where no part is named.

    Raises:
        InputError: neither or both are given.
    """
    if bool(files) == (manifest is not None):
        raise InputError("give either FILES or --cohort MANIFEST to score")
    if manifest is None:
        return Cohort.from_files(files)
    cohort = Cohort.from_manifest(manifest, split, root=root)
    return cohort if part is None else cohort.part(part)


def prepared_with_bar(
    cohort: Cohort, recipe: Recipe, cache: Path | None = None, *, keep_going: bool = False
) -> Prepared:
    """``prepare`` with a progress bar."""
    with bar("preparing images") as progress:
        return prepare(
            cohort,
            recipe,
            cache=cache,
            progress=lambda done, total: progress(done, total, ""),
            keep_going=keep_going,
        )


def _draw_sheet(
    out: Path, recipe: Recipe, cohort: Cohort, n: int, seed: int, cache: Path | None, images: str
) -> None:
    prepared = prepared_with_bar(cohort, recipe, cache)
    block = sheet.block(prepared, recipe, n, seed, images)
    title = f"{recipe.name}: {recipe.target_class}"
    plots_sheet.contact_sheet(out, title, recipe.summary, [block])


def _examples(
    detector: Detector, prepared: Prepared, table: ScoreTable
) -> dict[str, list[plots.Panel]]:
    """Hits, misses and false alarms with their heat maps."""
    groups: dict[str, list[plots.Panel]] = {}
    p_value = table.extra["p_value"]
    for name, rows in evaluation.examples(table).items():
        if not len(rows):
            groups[name] = []
            continue
        some = prepared.subset(prepared.cases[rows])
        maps = detector.heat_maps(some)
        batch_rows = [int(np.flatnonzero(some.case_index == k)[0]) for k in range(len(rows))]
        groups[name] = [
            plots.Panel(
                some.pixels[i] / 65535,
                some.anatomy[i, 0],
                maps[i],
                f"{_short(table.case_id[row])}  {table.class_name[row]}\n"
                f"score {table.score[row]:.2f}   p {p_value[row]:.3f}",
            )
            for i, row in zip(batch_rows, rows, strict=True)
        ]
    return groups


def _write_overlays(detector: Detector, prepared: Prepared, folder: Path) -> None:
    """One picture a sample; all heat maps on one scale, so that pictures can be compared."""
    panels = []
    for start in range(0, len(prepared.cases), 64):
        some = prepared.subset(prepared.cases[start : start + 64])
        maps = detector.heat_maps(some).astype(np.float16)  # there may be many
        panels += [
            plots.Panel(some.pixels[i] / np.float32(65535), some.anatomy[i, 0], maps[i])
            for i in range(len(some))
        ]
    scale = plots.heat_scale(panels)
    for number, (case, panel) in enumerate(zip(prepared.case_index, panels, strict=True)):
        name = re.sub(r"[^\w.-]+", "_", prepared.cases.cases[case].case_id).removesuffix(".png")
        plots.overlay(folder / f"{number:05d}_{name[-80:]}.png", panel, scale)


def _short(case_id: str, length: int = 22) -> str:
    """The end of a long name, where names of files differ."""
    return case_id if len(case_id) <= length else f"…{case_id[1 - length :]}"
