"""Console: progress on stderr, and results as people read them on stdout."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from midclass.calibration import promised_range

if TYPE_CHECKING:
    from midclass.detectors.base import Detector


_STDERR = Console(stderr=True)
"""One for notes and bars: a note goes above the bar that is shown."""


def say(text: str) -> None:
    """One line of a result."""
    Console(highlight=False, markup=False, soft_wrap=True).print(text)


def note(text: str) -> None:
    """One line beside the result, on stderr."""
    _STDERR.print(text, highlight=False, markup=False, soft_wrap=True)


def new_table() -> Table:
    """An empty table without lines, as all commands show it."""
    return Table(box=None, pad_edge=False, header_style="bold")


def show_table(table: Table) -> None:
    """A table of a result."""
    Console(highlight=False).print(table)


@contextmanager
def bar(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """A progress bar with the time left, where stderr is a terminal: call it (done, all, text)."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    shown = _STDERR.is_terminal
    with Progress(*columns, console=_STDERR, disable=not shown, transient=True) as progress:
        task = progress.add_task(escape(what), total=None, note="")
        yield lambda done, total, text: progress.update(
            task, completed=done, total=total, note=text
        )


@contextmanager
def notes() -> Iterator[None]:
    """Warnings as notes of one line, each once."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        note(f"note: {text}")


def promise(detector: Detector) -> dict[str, float]:
    """The promised false-alarm rate, and where the true one lies with these calibration cases."""
    low, high = promised_range(detector.calibration_, threshold=detector.threshold_)
    return {"max_fpr": detector.max_fpr_, "low": low, "high": high}


def tell_fit(detector: Detector, seconds: float) -> None:
    """What a fit used and chose, and what it promises."""
    uses = {"train": "learned from", "select": "chose with", "calibrate": "calibrated with"}
    for part, use in uses.items():
        say(f"{use:<16} {_cases(detector.cases_[part])} of {detector.patients_[part]} patients")
    history = getattr(detector, "history_", None)  # a baseline without checkpoints has none
    if history is not None:
        best, figures = history["best"], history["validation"]
        say(
            f"{'checkpoint':<16} step {history['step'][best]} of {history['step'][-1]}, chosen "
            f"without labels: AUROC {figures[best]:.3f} on held-out middle classes "
            f"(last step: {figures[-1]:.3f})"
        )
    rate = promise(detector)
    say(f"{'threshold':<16} {detector.threshold_:.4g}")
    say(
        f"{'promised':<16} at most {rate['max_fpr']:.1%} false alarms; the rate of this threshold "
        f"lies between {rate['low']:.1%} and {rate['high']:.1%} (95 %)"
    )
    say(f"{'time':<16} {_duration(seconds)}")


def tell_figures(figures: Mapping[str, Any]) -> None:
    """The figures of an evaluation as a table."""
    table = new_table()
    for column in ("", "value", "95 % interval"):
        table.add_column(column, justify="left" if not column else "right")

    def row(name: str, figure: Mapping[str, float] | None) -> None:
        if figure is not None:
            low_high = f"{figure['low']:.3f} to {figure['high']:.3f}"
            table.add_row(name, f"{figure['value']:.3f}", low_high)

    row("AUROC", figures["auroc"])
    row("AUROC per patient", figures["auroc_per_patient"])
    row("average precision", figures["average_precision"])
    row("sensitivity at the threshold", figures["sensitivity"])
    row("false-alarm rate, measured", figures["false_alarm_rate"])
    promised = figures["promised"]
    table.add_row(
        "false-alarm rate, promised",
        f"{promised['max_fpr']:.3f}",
        f"{promised['low']:.3f} to {promised['high']:.3f}",
    )
    for name, area in sorted(figures["auroc_per_class"].items()):
        table.add_row(f"AUROC of {escape(name)}", f"{area:.3f}", "")
    show_table(table)
    cases, patients = figures["cases"], figures["patients"]
    say(
        f"{cases['given']} given-class and {cases['target']} target-class cases "
        f"of {patients['given']} and {patients['target']} patients; intervals resample patients"
    )
    missing = figures["not_assessed"]
    if any(missing.values()):
        say(
            f"not assessed: {missing['given']} given-class and {missing['target']} target-class "
            "cases, counted with the lowest score"
        )
    if figures["assumed_spacing"]:
        say(f"spacing was assumed by the recipe for {_cases(figures['assumed_spacing'])}")


def _cases(count: int) -> str:
    return f"{count} case" if count == 1 else f"{count} cases"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
