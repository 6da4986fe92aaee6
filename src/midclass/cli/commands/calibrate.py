"""The command ``calibrate``: a saved detector with a threshold for another hospital."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from midclass.cli.commands.duplicates import tell_of_copies
from midclass.cli.commands.source import (
    Source,
    cases_to_score,
    given_class_of,
    prepared_with_bar,
    prints_with_bar,
    tell_set_aside,
)
from midclass.cli.console import (
    cases_in_words,
    note,
    say,
    tell_context,
    tell_highest,
    tell_promise,
)
from midclass.cli.options import DEFAULTS, Options
from midclass.cli.outputs import Place, claimed, read_by
from midclass.cli.voice import answer
from midclass.detectors.facts import About
from midclass.detectors.folder import refuse_unmovable
from midclass.detectors.saved import check_saved
from midclass.errors import InputError
from midclass.images.identity import fitted_with_more, refuse_seen

if TYPE_CHECKING:
    from midclass.detectors.site import Move, Shift
    from midclass.images.cohort import Cohort

# What needs torch is imported when all that can be refused without it was looked at.


def run(
    folder: Path,
    source: Source,
    options: Options = DEFAULTS,
    *,
    out: Path | None = None,
    max_fpr: float | None = None,
    unlabelled: bool = False,
) -> Path:
    """Set the threshold of a saved detector with local cases; save it as another."""
    out = out or folder.with_name(f"{folder.resolve().name}_local")
    reads = read_by(source, folder, *options.trust)
    with claimed(Place(out), reads=reads, overwrite=options.overwrite):
        about = check_saved(folder)
        cases = _unlabelled(source) if unlabelled else _given(source)
        _refuse_hopeless(folder, about, cases, max_fpr, unlabelled=unlabelled)
        refuse_seen(folder, cases)
        from midclass.detectors.site import move_threshold, set_threshold
        from midclass.detectors.storage import load_detector
        from midclass.detectors.workplace import save_knowing

        detector = load_detector(folder, options.trust)
        prepared = prepared_with_bar(cases, detector.recipe, options)
        refuse_seen(folder, cases, prepared.contents)
        prints = prints_with_bar(cases, options.cache)
        tell_of_copies(prints)
        before = detector.threshold_
        if unlabelled:
            move = move_threshold(detector, prepared, folder, max_fpr)
            unseen, found = move.not_assessed, {"unlabelled": asdict(move)}
            _tell_move(move)
        else:
            shift = set_threshold(detector, prepared, folder, max_fpr)
            unseen = detector.not_assessed_["calibrate"]
            found = {"local_normals": asdict(shift) | {"differ": shift.differs}}
            _tell_shift(shift)
        known = fitted_with_more(folder, cases, prepared.contents, prints.each)
        save_knowing(detector, known, out, overwrite=options.overwrite)
        say(f"{'threshold':<16} {detector.threshold_:.4g} (before: {before:.4g})")
        tell_promise(detector.promise(), " of this place")
        tell_highest(detector)
        tell_context(detector)
        if unseen:
            note(f"note: {cases_in_words(unseen)} of {len(cases)} cannot be assessed")
        say(f"{'saved':<16} {out}")
        answer(
            {"detector": out},
            id=detector.origin_.id,
            cases=len(cases),
            not_assessed=unseen,
            **found,
            threshold=detector.threshold_,
            threshold_before=before,
            promised=detector.promise(),
        )
    return out


def _refuse_hopeless(
    folder: Path, about: About, cases: Cohort, max_fpr: float | None, *, unlabelled: bool
) -> None:
    """Refuse before an image is read what no image can change."""
    from midclass.evaluation import conformal, empirical_null
    from midclass.evaluation.metrics import checked_fpr

    rate = about.max_fpr if max_fpr is None else checked_fpr(max_fpr)
    if unlabelled:
        refuse_unmovable(folder, in_folds=about.folds is not None, moved=about.moved)
        empirical_null.refuse_too_few(len(cases.patients))
    conformal.refuse_too_few(len(about.calibration if unlabelled else cases), rate)


def _given(source: Source) -> Cohort:
    cohort = source.cohort("train")
    try:
        given = given_class_of(cohort, "to calibrate with")
    except InputError as error:
        if all(case.label is not None for case in cohort):
            raise
        raise InputError(f"{error}; or, where nobody knows who is normal, --unlabelled") from error
    tell_set_aside(cohort, len(given))
    return given


def _unlabelled(source: Source) -> Cohort:
    """All cases, whatever their label; of a folder, whatever its folders are called."""
    if source.is_folder:
        return cases_to_score((), source.manifest, source.split, source.part, source.root)
    return source.cohort("train")


def _tell_move(move: Move) -> None:
    """How far normal scores moved, and what that changes."""
    from midclass.evaluation.empirical_null import MOSTLY

    say(
        f"{'unlabelled':<16} {cases_in_words(move.cases)} of {move.patients} patients: as far as "
        f"scores tell, normal ones score higher by {move.shift:.3g} "
        f"(by chance {move.low:.3g} to {move.high:.3g})"
    )
    say(
        f"{'':<16} {move.flagged} of them above the threshold of before, {move.flagged_now} above "
        f"the new one; about {move.normal:.0%} look normal"
    )
    few = f"fewer than {MOSTLY:.0%} look normal; " if move.normal < MOSTLY else ""
    note(
        f"note: {few}where most cases are ill they are taken for normal ones that moved, and "
        "disease is missed; known normals, 19 of them, are better (calibrate the detector of "
        "before with them)"
    )


def _tell_shift(shift: Shift) -> None:
    """Whether local normals look like those of before."""
    say(
        f"{'local normals':<16} {shift.flagged} of {shift.cases} above the threshold of before: "
        f"{shift.flagged / shift.cases:.1%} ({shift.low:.1%} to {shift.high:.1%}), where at most "
        f"{shift.promised:.1%} were wanted"
    )
    what = "differ from those of before" if shift.differs else "do not clearly differ"
    say(f"{'':<16} their scores {what} (Kolmogorov-Smirnov p = {shift.p_value:.2g})")
