"""The command ``calibrate``: a saved detector with a threshold for another hospital."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from midclass.cli.commands.source import (
    Source,
    given_class_of,
    prepared_with_bar,
    prints_with_bar,
    tell_set_aside,
)
from midclass.cli.console import cases_in_words, note, say, tell_promise
from midclass.cli.options import DEFAULTS, Options
from midclass.cli.outputs import Place, claimed, read_by
from midclass.cli.voice import answer
from midclass.detectors.saved import check_saved
from midclass.images.identity import fitted_with_more, refuse_seen

if TYPE_CHECKING:
    from midclass.detectors.site import Shift

# What needs torch is imported when all that can be refused without it was looked at.


def run(
    folder: Path,
    source: Source,
    options: Options = DEFAULTS,
    *,
    out: Path | None = None,
    max_fpr: float | None = None,
) -> Path:
    """Set the threshold of a saved detector with local normals; save it as another."""
    out = out or folder.with_name(f"{folder.resolve().name}_local")
    reads = read_by(source, folder, *options.trust)
    with claimed(Place(out), reads=reads, overwrite=options.overwrite):
        check_saved(folder)
        cohort = source.cohort("train")
        given = given_class_of(cohort, "to calibrate with")
        tell_set_aside(cohort, len(given))
        refuse_seen(folder, given)
        from midclass.detectors.site import set_threshold
        from midclass.detectors.storage import load_detector
        from midclass.detectors.workplace import save_knowing

        detector = load_detector(folder, options.trust)
        prepared = prepared_with_bar(given, detector.recipe, options)
        refuse_seen(folder, given, prepared.contents)
        prints = prints_with_bar(given, options.cache)
        before = detector.threshold_
        shift = set_threshold(detector, prepared, folder, max_fpr)
        known = fitted_with_more(folder, given, prepared.contents, prints.each)
        save_knowing(detector, known, out, overwrite=options.overwrite)
        _tell_shift(shift)
        say(f"{'threshold':<16} {detector.threshold_:.4g} (before: {before:.4g})")
        tell_promise(detector.promise(), " of this place")
        if unseen := detector.not_assessed_["calibrate"]:
            note(f"note: {cases_in_words(unseen)} of {len(given)} cannot be assessed")
        say(f"{'saved':<16} {out}")
        answer(
            {"detector": out},
            id=detector.origin_.id,
            cases=len(given),
            not_assessed=unseen,
            local_normals=asdict(shift) | {"differ": shift.differs},
            threshold=detector.threshold_,
            threshold_before=before,
            promised=detector.promise(),
        )
    return out


def _tell_shift(shift: Shift) -> None:
    """Whether local normals look like those of before."""
    say(
        f"{'local normals':<16} {shift.flagged} of {shift.cases} above the threshold of before: "
        f"{shift.flagged / shift.cases:.1%} ({shift.low:.1%} to {shift.high:.1%}), where at most "
        f"{shift.promised:.1%} were promised"
    )
    what = "differ from those of before" if shift.differs else "do not clearly differ"
    say(f"{'':<16} their scores {what} (Kolmogorov-Smirnov p = {shift.p_value:.2g})")
