"""The command ``fit``: learn from given-class images, and save a detector."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from midclass.cli.commands.duplicates import cohort_to_learn_from
from midclass.cli.commands.source import (
    Source,
    given_class_of,
    prepared_with_bar,
    prints_with_bar,
    tell_set_aside,
)
from midclass.cli.console import (
    bar,
    cases_in_words,
    note,
    say,
    tell_anatomies,
    tell_context,
    tell_highest,
    tell_promise,
)
from midclass.cli.options import DEFAULTS, Options
from midclass.cli.outputs import Place, claimed, read_by
from midclass.cli.voice import answer
from midclass.detectors.catalogue import check_name, detector_class
from midclass.files import refuse_no_file
from midclass.recipe.recipe import Recipe

if TYPE_CHECKING:
    from midclass.detectors.base import Detector

# What needs torch is imported when all that can be refused without it was looked at.


def run(
    recipe_name: str,
    source: Source,
    options: Options = DEFAULTS,
    *,
    out: Path | None = None,
    seed: int = 0,
    max_fpr: float = 0.05,
    folds: int | None = None,
    detector: str = "middle_class",
    positives: int = 0,
    duplicates: str = "tell",
) -> Path:
    """Fit a detector on the given class of a cohort and save it; returns its folder.

    With positives it learns from so many of the cohort's target-class cases too; for folds see
    ``Detector.fit``. Duplicates are looked for in the whole manifest first, see
    ``cohort_to_learn_from``.
    """
    started = time.monotonic()
    recipe = Recipe.load(recipe_name, options.trust)
    check_name(detector)
    out = out or Path("runs") / recipe.name
    output = Place(out, beside=(".part", ".duplicates.csv"))
    reads = read_by(source, recipe_name, *options.trust)
    with claimed(output, reads=reads, overwrite=options.overwrite):
        model = _fit(
            recipe, source, options, out, seed, max_fpr, folds, detector, positives, duplicates
        )
        seconds = time.monotonic() - started
        _tell(model, seconds)
        _answer(model, out, seconds)
        say(f"{'saved':<16} {out}")
        say(f"{'next':<16} {_next(out, source, options)}")
    return out


def _next(out: Path, source: Source, options: Options) -> str:
    """The command that comes next, as a shell takes it."""
    folder = f"./{out}" if str(out).startswith("-") else str(out)  # or it would be an option
    if source.is_folder:
        return shlex.join(["midclass", "score", folder, "NEW_IMAGES"])
    trusted = [word for file in options.trust for word in ("--trust", str(file))]
    return shlex.join(["midclass", "evaluate", folder, *source.as_options(), *trusted])


def _fit(
    recipe: Recipe,
    source: Source,
    options: Options,
    out: Path,
    seed: int,
    max_fpr: float,
    folds: int | None,
    detector: str,
    positives: int,
    duplicates: str,
) -> Detector:
    given_class_of(source.cohort("train"), "to learn from")
    if (weights := recipe.weights()) is not None:
        refuse_no_file(weights, "file of weights")
    from midclass.detectors.workplace import Workplace
    from midclass.preview import dim, negatives
    from midclass.preview.lengths import out_of_scale

    recipe.check()
    cohort = cohort_to_learn_from(source, duplicates, out, options.cache)
    given = given_class_of(cohort, "to learn from")
    model = detector_class(detector, options.trust)(recipe)
    model.check_number_of_positives(positives)
    if positives:
        recipe.geometry.refuse_tiles("positives cannot be learned from")
    few = cohort.some_of_target_class(positives, seed)
    tell_set_aside(cohort, len(given) + len(few))
    prepared = prepared_with_bar(given, recipe, options)
    known = prepared_with_bar(few, recipe, options) if len(few) else None
    for line in out_of_scale(recipe, prepared) if model.learns_knowledge else ():
        note(line)
    exchange = negatives.in_words(
        negatives.exchanged(prepared, recipe.geometry), len(prepared.cases)
    )
    for said in filter(None, (dim.in_words(dim.spread_of(prepared)), exchange)):
        note(f"note: {said}")
    prints = prints_with_bar(replace(given, cases=(*given, *few)), options.cache)
    place = Workplace(
        out, recipe, prepared, seed, detector, options.trust, known, prints.each, folds
    )
    if place.open(overwrite=options.overwrite):
        note(f"goes on from the last checkpoint, in {place.folder}")
    with bar(f"fitting {recipe.name}") as progress:
        place.fit(model, max_fpr, progress, overwrite=options.overwrite)
    tell_anatomies(model.by_plausible_anatomy(prepared).anatomies(recipe.anatomies))
    source.tell_unused()
    return model


def _tell(detector: Detector, seconds: float) -> None:
    """What a fit used and chose, and what it promises."""
    from midclass.detectors.folds import learners

    uses = {
        "train": "learned from",
        "select": "chose with",
        "calibrate": "calibrated with",
        "given": "learned from",
        "positives": "known cases",
    }
    for part in [name for name in uses if name in detector.cases_]:
        cases, patients = cases_in_words(detector.cases_[part]), detector.patients_[part]
        unseen = detector.not_assessed_.get(part, 0)
        without = f"; {unseen} of them cannot be assessed" if unseen else ""
        say(f"{uses[part]:<16} {cases} of {patients} patients{without}")
    folds = detector.folds_
    if folds is not None:
        how = f"each in that of {len(folds)} folds which did not learn from it"
        say(f"{'calibrated with':<16} {len(detector.calibration_)} of these, {how}")
    for learned in learners(detector):
        tell_checkpoint(learned)
        if "positives" in detector.cases_:
            tell_known(learned)
    rate = detector.promise()
    say(f"{'threshold':<16} {detector.threshold_:.4g}")
    tell_promise(rate)
    tell_highest(detector)
    tell_context(detector)
    if "guaranteed" in rate:
        say(
            f"{'proven':<16} at most {rate['guaranteed']:.1%} on average, whatever was learned; "
            "folds usually stay at or below what is promised"
        )
    say(f"{'time':<16} {_duration(seconds)}")
    same = f"this seed, this machine and this number of threads ({detector.threads_})"
    say(f"{'the same bytes':<16} come with {same}")


def _answer(detector: Detector, out: Path, seconds: float) -> None:
    """The same for ``--json``."""
    answer(
        {"detector": out},
        recipe=detector.recipe.name,
        id=detector.origin_.id,
        cases=detector.cases_,
        patients=detector.patients_,
        not_assessed=detector.not_assessed_,
        folds=None if detector.folds_ is None else len(detector.folds_),
        threshold=detector.threshold_,
        promised=detector.promise(),
        highest=list(detector.highest_),
        history=getattr(detector, "history_", None),
        seconds=round(seconds, 1),
    )


def tell_known(detector: Detector) -> None:
    """What of the method has learned the known cases; a baseline says nothing."""
    from midclass.detectors.known import NETWORK, PROBE
    from midclass.detectors.middle_class import MiddleClassDetector

    if not isinstance(detector, MiddleClassDetector):
        return
    if detector.known_ is None:
        say(
            f"{'known by':<16} nothing that tells them from held-out normal images: they are one "
            "class more, and no witness of their own"
        )
        return
    words = {PROBE: "a linear probe", NETWORK: "the own network"}
    who = " and ".join(words[name] for name in detector.known_.units.names)
    say(f"{'known by':<16} {who}, a witness of their own")


def tell_checkpoint(detector: Detector) -> None:
    """Which checkpoint a training chose; a baseline without checkpoints says nothing."""
    from midclass.detectors.image_scores import USABLE

    history = getattr(detector, "history_", None)
    if history is not None:
        best, figures = history["best"], history["validation"]
        _tell_classes(history.get("classes", {}))
        chosen = f"{'checkpoint':<16} step {history['step'][best]} of {history['step'][-1]}"
        if "scores" in history and max(figures) <= USABLE:  # the method, which then keeps the last
            say(
                f"{chosen}: no better than chance on middle classes of held-out patients, by which "
                "nothing was chosen: last checkpoint and all scores kept"
            )
            return
        say(
            f"{chosen}, chosen without labels: AUROC {figures[best]:.3f} on middle classes of "
            f"held-out patients (last step: {figures[-1]:.3f})"
        )
        alone = {name: area for name, area in history.get("scores", {}).items() if "+" not in name}
        if alone:
            said = ", ".join(f"{name.replace('_', ' ')} {area:.3f}" for name, area in alone.items())
            say(f"{'scores alone':<16} {said} (the same AUROC)")
        if history.get("undescribed") is not None:
            say(
                f"{'not described':<16} AUROC {history['undescribed']:.3f} on what held_out "
                "describes, which training does not know, before novelty has its say"
            )


def _tell_classes(figures: Mapping[str, tuple[float | None, int]]) -> None:
    """How well each middle class was learned; a detector of before does not know."""
    from midclass.detectors.image_scores import USABLE

    if not figures:
        return
    said = ", ".join(
        f"{name} never visible" if area is None else f"{name} {area:.3f} ({number} images)"
        for name, (area, number) in figures.items()
    )
    say(f"{'by class':<16} {said}: AUROC on middle classes of held-out patients")
    if vain := [name for name, (area, _) in figures.items() if area is None or area <= USABLE]:
        say(
            f"{'taught in vain':<16} {', '.join(vain)}: no better than chance on these images; "
            "what nobody can see costs what others would show: make it larger or clearer (midclass "
            "show), or take it out of the recipe"
        )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
