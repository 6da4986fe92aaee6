"""Study log: what became of each cell, kept apart from the scores, whose bytes are repeatable."""

from __future__ import annotations

import csv
import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from midclass.errors import InputError
from midclass.evaluation.cells import as_cell
from midclass.version import __version__

LOG = "log.csv"
"""In a study's folder: the ``Outcome`` of each cell that has ended, one a line."""


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Attributes:
        name: ``TASK/DETECTOR/REPEAT``.
        seconds: that it took; of an interrupted one, since it went on.
        error: one line, "" where its score table was written.
        settings: see ``Cell.settings``.
        version: of midclass that computed it; "" where a log does not say.
    """

    name: str
    seconds: float
    error: str = ""
    settings: str = ""
    version: str = __version__


def read_log(folder: Path) -> list[Outcome]:
    """The study's log, in the order in which cells ended; a line cut short is left out."""
    log, found = folder / LOG, []
    if not log.exists():
        return []
    whole, _, _ = log.read_text(encoding="utf-8").rpartition("\n")
    for line in whole.split("\n"):
        with suppress(ValueError, csv.Error):
            name, seconds, error, *more = next(csv.reader([line]), [])
            settings, version = [*more, "", ""][:2]
            found.append(Outcome(name, float(seconds), error, settings, version))
    return found


def check_log(folder: Path) -> None:
    """Raise InputError for a file of that name that is no study's log, and would be added to."""
    log = folder / LOG
    if not os.path.lexists(log):
        return
    try:
        *lines, cut = log.read_text(encoding="utf-8").split("\n")
        ours = all(len(row) in (3, 4, 5) and _is_outcome(row) for row in csv.reader(lines))
        ours = ours and bool(lines or not cut or re.match(r"[^/,\n]+/[^/,\n]+/\d", cut))
    except (OSError, UnicodeDecodeError, csv.Error):
        ours = False
    if not ours:
        raise InputError(
            f"{log}: is no log of a study, and would be written to; move it away, or give another "
            "--out"
        )


def _is_outcome(row: list[str]) -> bool:
    return row[0].count("/") == 2 and row[1].isdecimal()


def add_to_log(folder: Path, outcome: Outcome) -> None:
    """Write a line about a cell that has ended, after any line that was cut short is removed."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / LOG
    if log.exists():
        os.truncate(log, log.read_bytes().rfind(b"\n") + 1)  # a line cut short
    with log.open("a", encoding="utf-8", newline="") as file:
        texts = map(as_cell, (outcome.error, outcome.settings, outcome.version))
        row = (outcome.name, f"{outcome.seconds:.0f}", *texts)
        csv.writer(file, lineterminator="\n").writerow(row)
