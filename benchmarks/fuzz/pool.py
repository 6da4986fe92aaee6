"""The processes that try inputs, watched: one that dies or hangs is replaced by another."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from fuzz.child import try_inputs

HANG_S = 10.0  # of processor time: a busy machine makes no hang
WAIT_S = 30.0  # of the clock, less what it waited for a processor: what sleeps hangs too

Row = dict[str, Any]
Target = Callable[[Connection, Path, int], None]
"""Tries the numbers that come through a pipe, in the working folder, with a seed."""


class Worker:
    """One process and the input that it is at.

    Args:
        work: the working folder, with the right files.
        seed: of the inputs.
        target: what the process does.
    """

    def __init__(self, work: Path, seed: int, target: Target = try_inputs) -> None:
        # What forks from a server that has imported all is there at once, and has one thread.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["fuzz.child"])
        self.pipe: Connection
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=target, args=(other, work, seed))
        self.process.start()
        other.close()
        self.place = work / f"child-{self.process.pid}"
        self.about: Row | None = None
        self.began = self.cpu = self.waited = 0.0

    def give(self, number: int | None) -> None:
        """Let it try a number, or end."""
        self.about = None if number is None else {"number": number}
        self._begin()
        self.pipe.send(number)

    def hear(self) -> Row | None:
        """What it says: the row of an input that is done, or None where it begins with one.

        Raises:
            EOFError: it has died.
        """
        word, row = self.pipe.recv()
        if word == "end":
            done: Row = row
            return done
        self.about = row
        self._begin()
        return None

    @property
    def hangs(self) -> bool:
        """Whether its input takes too long."""
        spent = time.monotonic() - self.began - (self._waited() - self.waited)
        return self.about is not None and (self._cpu() - self.cpu > HANG_S or spent > WAIT_S)

    def _begin(self) -> None:
        self.began, self.cpu, self.waited = time.monotonic(), self._cpu(), self._waited()

    def lost(self, outcome: str) -> Row:
        """End it; gives the row of the input that it was at."""
        seconds, cpu = time.monotonic() - self.began, self._cpu() - self.cpu
        if outcome == "hang":
            self.process.kill()
        self.process.join()
        code, said = self.process.exitcode or 0, self.place / "said.txt"
        text = signal.Signals(-code).name if code < 0 else f"exit {code}"
        if said.exists():
            text += f": {said.read_text(errors='replace')[-300:]}"
        self.close()
        empty = dict.fromkeys(("kind", "seed", "what", "call", "where", "peak_mib"), "")
        times = {"seconds": f"{seconds:.3f}", "cpu": f"{cpu:.3f}"}
        return {**empty, **(self.about or {}), "outcome": outcome, "text": text, **times}

    def close(self) -> None:
        """Tidy up after a process that has ended."""
        self.process.join()
        self.pipe.close()
        shutil.rmtree(self.place, ignore_errors=True)

    def _cpu(self) -> float:
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return self.cpu
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")

    def _waited(self) -> float:
        try:
            return int(Path(f"/proc/{self.process.pid}/schedstat").read_text().split()[1]) / 1e9
        except (OSError, IndexError):
            return self.waited


def tried(
    numbers: Iterable[int], work: Path, seed: int, jobs: int = 1, target: Target = try_inputs
) -> Iterator[Row]:
    """The row of each number, in the order in which they are done.

    Args:
        numbers: of the inputs.
        work: the working folder, with the right files.
        seed: of the inputs.
        jobs: how many at a time.
        target: what a process does.
    """
    left, workers = iter(numbers), list[Worker]()

    def start() -> None:
        if (number := next(left, None)) is not None:
            workers.append(Worker(work, seed, target))
            workers[-1].give(number)

    for _ in range(jobs):
        start()
    while workers:
        ready = wait([worker.pipe for worker in workers], timeout=0.5)
        for worker in list(workers):
            outcome, row = "", None
            if worker.pipe in ready:
                try:
                    row = worker.hear()
                except (EOFError, OSError):
                    outcome = "death"
            elif worker.hangs:
                outcome = "hang"
            if outcome:
                workers.remove(worker)
                row = worker.lost(outcome)
                start()
            elif row is not None:
                number = next(left, None)
                worker.give(number)
                if number is None:
                    workers.remove(worker)
                    worker.close()
            if row is not None:
                yield row
