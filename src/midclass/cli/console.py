"""Console: progress on stderr, and results as people read them on stdout."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from midclass.cli.voice import voice
from midclass.errors import escaped

if TYPE_CHECKING:
    from midclass.detectors.base import Detector
    from midclass.evaluation.table import ScoreTable

_STDERR = Console(stderr=True, emoji=False)
"""One for notes and bars: a note goes above the bar that is shown."""


def say(text: str) -> None:
    """One line of a result; on stderr where stdout is for JSON."""
    if voice().json:
        note(text)
    elif not voice().quiet:
        shown = printable(text, sys.stdout.encoding)
        Console(highlight=False, markup=False, emoji=False, soft_wrap=True).print(shown)


def note(text: str) -> None:
    """One line beside the result, on stderr."""
    if not voice().quiet:
        fault(text)


def fault(text: str) -> None:
    """One line on what went wrong, on stderr, which ``--quiet`` does not leave out."""
    _STDERR.print(printable(text), highlight=False, markup=False, soft_wrap=True)


def printable(text: str, encoding: str | None = None) -> str:
    """A line as every terminal can show it, without anything that could steer it.

    See ``errors.escaped``; what a terminal's encoding lacks is shown by its number, too.
    """
    shown = escaped(text)
    wanted = encoding or sys.stderr.encoding or "utf-8"
    return shown.encode(wanted, "backslashreplace").decode(wanted)


def cell(text: str) -> str:
    """The same for a cell of a table, where square brackets would be taken for a style."""
    return escape(printable(text, sys.stdout.encoding))


def new_table() -> Table:
    """An empty table without lines, as all commands show it."""
    return Table(box=None, pad_edge=False, header_style="bold")


def show_table(table: Table) -> None:
    """A table of a result; on stderr where stdout is for JSON."""
    if not voice().quiet:
        Console(stderr=voice().json, highlight=False, emoji=False).print(table)


@contextmanager
def bar(what: str, of: str = "") -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar with the time left, where stderr is a terminal: call it (done, all, text).

    Args:
        what: is done.
        of: what is counted, such as ``"images"``, of which it shows how many a second.
    """
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *((_Speed(of),) if of else ()),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    shown = _STDERR.is_terminal and not voice().quiet
    with Progress(*columns, console=_STDERR, disable=not shown, transient=True) as progress:
        task = progress.add_task(escape(printable(what)), total=None, note="")
        yield lambda done, total, text: progress.update(
            task, completed=done, total=total, note=escape(printable(text))
        )


class _Speed(ProgressColumn):
    """``12 images/s``, over the last half minute."""

    def __init__(self, of: str) -> None:
        super().__init__()
        self._of = of

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.3g} {self._of}/s" if task.speed else "")


@contextmanager
def notes() -> Iterator[None]:
    """Warnings as notes of one line, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        note(f"note: {text}")


def warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """In place of ``warnings.showwarning``: one line, without the place in a library."""
    note(f"note: {' '.join(str(message).split())}")


def cases_in_words(count: int) -> str:
    """``1 case``, ``2 cases``."""
    return f"{count} case" if count == 1 else f"{count} cases"


NAMED = 20
"""Cases without a score that are named one by one."""


def unseen_of(table: ScoreTable, most: int = NAMED) -> list[tuple[str, str]]:
    """The first cases of a table that were not assessed, and why."""
    rows = (~table.assessed).nonzero()[0][:most]
    return [(str(table.case_id[row]), str(table.reason[row])) for row in rows]


def name_unseen(first: Sequence[tuple[str, str]], unseen: int, where: object) -> None:
    """Name the first of the cases that were not assessed, and say where the others are named."""
    for case, reason in first:
        fault(f"not assessed: {case}: {reason or 'no reason given'}")
    if more := unseen - len(first):
        fault(f"not assessed: {more} more, in the column reason of {where}")


def tell_unseen(table: ScoreTable) -> None:
    """Which cases of a table were not assessed, and why; of very many the first."""
    unseen = int((~table.assessed).sum())
    name_unseen(unseen_of(table), unseen, "the score table")
    if unseen:
        fault(f"{unseen} of {len(table)} cases could not be assessed; a person should look")


def tell_anatomies(counts: Mapping[str, int]) -> None:
    """By which anatomies samples were seen, where there was any choice."""
    if len(counts) > 1:
        said = ", ".join(f"{name} {count}" for name, count in counts.items())
        say(f"{'anatomy':<16} {said}")


def tell_patients(
    table: ScoreTable, calibration: int, rate: Mapping[str, float], where: object
) -> None:
    """What became of patients, and whether a rate can be promised of them at all."""
    import numpy as np

    from midclass.evaluation.conformal import smallest_rate

    max_fpr = rate["max_fpr"]
    scored = int(table.assessed.sum())
    least = smallest_rate(calibration)
    if least <= max_fpr:
        flagged = int(table.flagged.sum())
        aim = " as an aim" if "moved" in rate else ""
        said = f"{flagged} flagged, of normal ones at most {max_fpr:.1%}{aim}"
    elif calibration:
        said = (
            f"{max_fpr:.1%} cannot be promised of them: {calibration} calibrated, which are enough "
            f"for {least:.1%}"
        )
    else:
        said = "none calibrated, so that nothing is promised of them"
    unjudged = table.assessed & np.isnan(table.threshold)
    if unjudged.any():
        looked_at = int((table.review & unjudged).sum())
        said += f"; {int(unjudged.sum())} cannot be judged" if least <= max_fpr else ""
        said += f"; {looked_at} with a flagged case should be looked at (column review)"
    say(f"{scored} patients scored, {said}: {where}")


def tell_series(table: ScoreTable, calibration: int, max_fpr: float, where: object) -> None:
    """What became of series, whose flags keep the promise made of patients."""
    from midclass.evaluation.conformal import smallest_rate

    scored, flagged = int(table.assessed.sum()), int(table.flagged.sum())
    promised = smallest_rate(calibration) <= max_fpr
    said = f"{flagged} flagged, by the threshold of patients" if promised else "none has a flag"
    say(f"{scored} series scored, {said}: {where}")


def tell_promise(rate: Mapping[str, float], where: str = "") -> None:
    """What a threshold promises; see ``Detector.promise``."""
    from midclass.evaluation.conformal import too_alike, worth_in_words

    if "moved" in rate:
        say(
            f"{'aimed at':<16} at most {rate['max_fpr']:.1%} false alarms{where}; "
            f"not promised, since unlabelled cases moved the threshold (by {rate['moved']:.3g})"
        )
        return
    within = (
        f"the rate of this threshold lies between {rate['low']:.1%} and {rate['high']:.1%} (95 %) "
        f"of assessed cases{where}"
    )
    if too_alike(rate):
        say(
            f"{'aimed at':<16} at most {rate['max_fpr']:.1%} false alarms; not promised: cases of "
            f"a patient are alike, and those that calibrate {worth_in_words(rate)}, of which it "
            f"takes {rate['needed']:.0f}; {within}. Calibrate with more patients, or learn in "
            "folds, where all calibrate (--folds 5)"
        )
        return
    say(f"{'promised':<16} at most {rate['max_fpr']:.1%} false alarms; {within}")
    if "independent" in rate:
        say(f"{'':<16} cases of a patient are alike: those that calibrate {worth_in_words(rate)}")


def tell_highest(detector: Detector) -> None:
    """Which calibration cases set the threshold; a detector that was loaded does not know."""
    if detector.highest_:
        say(
            f"{'highest of these':<16} {', '.join(detector.highest_)}: look at them, since an ill "
            "case among those that calibrate raises the threshold"
        )


SLICE_COLUMNS = "slice, patient_id and series_id"
SIDE_COLUMNS = "laterality, view_position, study_id and patient_id"


def tell_context(detector: Detector) -> None:
    """Whether neighbours, or the other side, count: they do where calibration cases had some."""
    from midclass.detectors.folds import learners

    geometry = detector.recipe.geometry
    if not geometry.in_context and geometry.compare is None:
        return
    what, together, other, columns = (
        ("slices", "together with their neighbours in a series", "a neighbour", SLICE_COLUMNS)
        if geometry.in_context
        else ("sides", "beside the other side of the patient", "another side", SIDE_COLUMNS)
    )
    if any(one.context_ for one in learners(detector)):
        say(f"{what:<16} are scored {together}")
        return
    each = "" if detector.folds_ is None else "; each fold needs some"
    say(
        f"{what:<16} are scored alone: too few of those that calibrate have {other}, by the "
        f"manifest's columns {columns}, or DICOM headers{each}"
    )
