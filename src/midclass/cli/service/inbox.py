"""Inbox: a folder that is watched; what arrives is scored once, with a line each in a table.

Nothing in the folder is moved, changed or removed. The table alone remembers what was scored, so
that a service that was killed goes on where it was.
"""

from __future__ import annotations

import csv
import io
import os
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from datetime import datetime, timezone
from pathlib import Path
from typing import NamedTuple

from midclass.cli.console import note
from midclass.cli.service.scorer import Scored, Scorer
from midclass.cli.service.worker import Worker
from midclass.errors import InputError, in_one_line
from midclass.evaluation.cells import LineEnds, as_cell, from_cell
from midclass.evaluation.table_file import cells_of
from midclass.training.lesson import FORWARD_BATCH

COLUMNS = (
    *("case_id", "patient_id", "label", "class_name", "score", "threshold", "assessed", "reason"),
    *("flagged", "review", "p_value", "assumed_spacing"),
    *("scored_at", "detector_id", "max_fpr", "file", "bytes", "modified_ns", "rows"),
)
"""Those of a score table, and what tells one arrival from another."""
SETTLED_S = 2.0
"""A file that was changed since may still be on its way."""
PARTIAL = (".part", ".partial", ".tmp", ".crdownload")
"""Ends of the names of files that somebody is still writing."""


class Arrival(NamedTuple):
    """A file as it lies there; one that was replaced is another.

    Attributes:
        file: relative to the watched folder.
        bytes: its length.
        modified_ns: when it was changed.
    """

    file: str
    bytes: int
    modified_ns: int


class Inbox:
    """A watched folder and the table of what arrived.

    Args:
        folder: to watch, with its subfolders.
        table: CSV to which lines are added.
        scorer: of which detector the scores are.
        worker: that scores.

    Raises:
        InputError: the table is not of this command, or of another detector.
    """

    def __init__(self, folder: Path, table: Path, scorer: Scorer, worker: Worker) -> None:
        self.folder, self.table = folder, table
        self._scorer, self._worker = scorer, worker
        self._known = _opened(table, scorer)
        self._names = {arrival.file for arrival in self._known}
        self._seen: dict[str, Arrival] = {}
        self._ending = threading.Event()

    def run(self, every_s: float) -> None:
        """Look, score what is new, and wait, until ``end``."""
        while not self._ending.is_set():
            try:
                self.look()
            except Exception as error:  # a full disk, a share that went away: the next look may do
                note(f"{self.folder}: {in_one_line(error)}; looking again in {every_s:g} s")
            self._ending.wait(every_s)

    def end(self) -> None:
        """Ask ``run`` to return."""
        self._ending.set()

    def look(self) -> int:
        """Score what has arrived and is whole; how many files."""
        new = [one for one in self._settled() if one not in self._known]
        done = 0
        for start in range(0, len(new), FORWARD_BATCH):
            if self._ending.is_set():
                return done
            futures = []
            for one in new[start : start + FORWARD_BATCH]:
                while not self._worker.reserve(0.5):
                    if self._ending.is_set():
                        return done
                future = self._worker.submit(one.file, self.folder / one.file)
                future.add_done_callback(lambda _: self._worker.release())
                futures.append((one, future))
            for one, future in futures:
                if future.cancelled():
                    return done
                self._write(one, _result(one, future))
                done += 1
        return done

    def _settled(self) -> Iterator[Arrival]:
        """Files that have not changed since the last look, nor in the last seconds."""
        last, self._seen = self._seen, {}
        now = time.time_ns()
        for path in _files(self.folder):
            try:
                status = path.stat()
            except OSError:
                continue  # gone again
            name = path.relative_to(self.folder).as_posix()
            name = name.encode("utf-8", "backslashreplace").decode()
            one = Arrival(name, status.st_size, status.st_mtime_ns)
            self._seen[name] = one
            quiet = now - one.modified_ns > SETTLED_S * 1e9 or one.modified_ns > now
            if quiet and last.get(name) == one:
                yield one

    def _write(self, one: Arrival, scored: Scored) -> None:
        """Add the lines of a file at once; they are on the disk when this returns."""
        if scored.no_image:
            self._known.add(one)
            note(f"passed over: {next(iter(scored.failed.values()))}")
            return
        for reason in scored.failed.values():
            note(f"failed: {reason}")
        lines = _lines(scored, one, self._scorer, again=one.file in self._names)
        size = self.table.stat().st_size
        try:
            with open(self.table, "ab") as file:
                file.write(lines.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            os.truncate(self.table, size)  # half a line would spoil the next
            raise
        self._names.add(one.file)
        self._known.add(one)


def _result(one: Arrival, future: Future[Scored]) -> Scored:
    """What became of a file, also where nobody foresaw it: it is not tried again and again."""
    try:
        return future.result()
    except Exception as error:
        return Scored(None, {one.file: in_one_line(error)})


def _files(folder: Path) -> Iterator[Path]:
    """Files that are not hidden, in order, nor named as those that are being written."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if not one.startswith("."))
        for name in sorted(names):
            path = Path(where, name)
            if not name.startswith(".") and not name.lower().endswith(PARTIAL) and path.is_file():
                yield path


def _lines(scored: Scored, one: Arrival, scorer: Scorer, *, again: bool) -> str:
    """The lines of a file's images; one that could not be read has its reason."""
    rows = list[dict[str, str]]()
    if scored.table is not None:
        cells = cells_of(scored.table)
        rows += [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]
    for name, reason in scored.failed.items():
        failed = {"case_id": as_cell(name), "patient_id": as_cell(one.file), "assessed": "0"}
        rows.append({**failed, "review": "1", "reason": as_cell(f"failed: {reason}")})
    more = {
        "scored_at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "detector_id": scorer.detector_id,
        "max_fpr": repr(scorer.detector.max_fpr_),
        "file": as_cell(one.file),
        "bytes": str(one.bytes),
        "modified_ns": str(one.modified_ns),
        "rows": str(len(rows)),
    }
    text = io.StringIO(newline="")
    writer = csv.DictWriter(LineEnds(text), COLUMNS, restval="", extrasaction="ignore")
    for row in rows:
        if again:  # a file that was replaced is another case
            row["case_id"] += f"@{one.modified_ns}"
        writer.writerow(row | more)
    return text.getvalue()


def no_inbox(path: Path) -> str:
    """Why a file is no table of a watched folder; "" where it is one, or empty."""
    with open(path, "rb") as file:
        line = file.readline(1 << 16)
    ours = f"{','.join(COLUMNS)}\n".encode()
    return "" if not line or line == ours else "is no table of a watched folder"


def _opened(table: Path, scorer: Scorer) -> set[Arrival]:
    """What was scored already; lines of a file that was half written are cut off."""
    if not table.exists() or not table.stat().st_size:
        with open(table, "wb") as file:
            file.write(f"{','.join(COLUMNS)}\n".encode())
        return set()
    rows, whole = _whole_rows(table.read_bytes())
    if whole < table.stat().st_size:
        os.truncate(table, whole)
    known = set()
    for row in rows:
        cell = dict(zip(COLUMNS, row, strict=True))
        if cell["detector_id"] != scorer.detector_id:
            raise InputError(
                f"{table}: holds scores of another detector ({cell['detector_id']}); give "
                "another --out, so that its files are scored by this one too"
            )
        known.add(Arrival(from_cell(cell["file"]), int(cell["bytes"]), int(cell["modified_ns"])))
    return known


def _whole_rows(content: bytes) -> tuple[list[list[str]], int]:
    """Rows of files that are there with all of theirs, and how many bytes they take."""
    header, *lines = _records(content)
    rows, whole, at, pending = list[list[str]](), len(header[1]), len(header[1]), list[list[str]]()
    for cells, raw in lines:
        at += len(raw)
        if len(cells) != len(COLUMNS) or not raw.endswith(b"\n"):
            break
        pending.append(cells)
        if len(pending) == int(cells[-1]):
            rows += pending
            whole, pending = at, []
    return rows, whole


def _records(content: bytes) -> Sequence[tuple[list[str], bytes]]:
    """The records of a CSV file and their bytes; a cell may hold an end of line."""
    taken: list[bytes] = []

    def fed() -> Iterator[str]:
        for line in content.splitlines(keepends=True):
            taken.append(line)
            yield line.decode("utf-8", "replace")

    found = []
    for cells in csv.reader(fed()):
        found.append((cells, b"".join(taken)))
        taken.clear()
    return found
