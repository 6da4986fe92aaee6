"""Workers: cases are prepared by several processes of one thread each, with the same result.

They are started where enough is to be done; until the first of them can work, and where there can
be none, this process works itself. Where a process dies, by a decoder or for lack of memory, the
case it was at is tried once more, and then is the failure of that case alone.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from queue import Empty, Full, Queue
from typing import TYPE_CHECKING, Any, TypeAlias

from midclass.images.anatomy import learned
from midclass.images.case import Case
from midclass.images.rules import Rules
from midclass.images.store import DIED, Attempt
from midclass.images.work import attempted, in_order, shown_of

if TYPE_CHECKING:
    from midclass.recipe.recipe import Recipe

Task: TypeAlias = list[tuple[int, Case]]
"""Cases of one file, with their rows: who reads it once does them all."""

ENOUGH_S, ENOUGH_LEARNED_S = 12.0, 24.0
"""Seconds of work of one process from which on it pays to start others: two starts on two cores
take as long as three seconds of work; of a learned anatomy, which needs torch and MONAI, ten."""
LONGEST_TASK = 32
"""Cases of one file that one process does; a file of thousands of frames is for all."""
AHEAD = 4
"""Cases that a process has been given at least, so that it never waits."""
_START = "import sys; sys.path[:] = sys.argv[1:]; from midclass.images.work import main; main()"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Workers:
    """What prepares cases by the rules of a recipe, in this process and ``jobs`` others.

    Args:
        recipe: with the user's files that it trusts.
        jobs: processes beside this one; with 1 this one works alone.
        apart: no case is prepared in this process, where others can be started.

    Attributes:
        rules: of the recipe.
        later: cases that will be asked for after those of this call, as far as is known.
    """

    def __init__(self, recipe: Recipe, jobs: int = 1, *, apart: bool = False) -> None:
        self.rules = Rules(recipe)
        self.later = 0
        self._recipe, self._jobs, self._apart = recipe, jobs, apart
        self._times: list[float] = []
        self._tasks: Queue[Task | None] = Queue()
        self._answers: Queue[tuple[int, Attempt] | BaseException | None] = Queue(AHEAD * jobs)
        self._drivers: list[threading.Thread] = []
        self._processes: set[_Process] = set()
        self._suspects: set[Case] = set()
        self._able = 0
        self._lock = threading.Lock()
        self._ready = threading.Event()
        self._closed = False

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def attempts(
        self, cases: Sequence[Case], rows: list[int], *, apart: bool = False
    ) -> Iterator[tuple[int, Attempt]]:
        """The samples of some cases, in any order.

        Args:
            cases: of a cohort.
            rows: of those that are asked for.
            apart: not in this process, where others can be started.
        """
        apart = apart or self._apart
        here = deque(_tasks(cases, in_order(cases, rows)))
        while here and not self._drivers and not (apart or self._pays(here)):
            yield from self._by_itself(here.popleft())
        if not here:
            return
        if not self._drivers:
            self._start(1 if apart and self._jobs == 1 else self._jobs)
        left = sum(map(len, here))
        for task in here:
            self._tasks.put(task)
        while left:
            for done in self._next(apart):
                left -= 1
                yield done

    def close(self) -> None:
        """End the processes at once, and ``attempts`` that another thread waits for."""
        with self._lock:
            self._closed = True
            for process in self._processes:
                process.kill()
        for _ in self._drivers:
            self._tasks.put(None)
        while any(driver.is_alive() for driver in self._drivers):
            try:
                self._answers.get(timeout=0.02)
            except Empty:
                continue
        self._drivers.clear()
        try:
            self._answers.put_nowait(None)  # wakes who waits
        except Full:  # nobody does
            return

    def _pays(self, here: Iterable[Task]) -> bool:
        """Whether what is left takes so long that others should help."""
        if self._jobs == 1 or len(self._times) < 3:
            return False
        usual = sorted(self._times)[:-1]  # the first imports decoders
        left = self.later + sum(map(len, here))
        enough = ENOUGH_LEARNED_S if learned.is_used() else ENOUGH_S
        return left * sum(usual) / len(usual) > enough

    def _by_itself(self, task: Task) -> Iterator[tuple[int, Attempt]]:
        for row, case in task:
            self._refuse_closed()
            began = time.monotonic()
            attempt = attempted(case, self.rules)
            self._times = [*self._times[-15:], time.monotonic() - began]
            yield row, attempt

    def _refuse_closed(self) -> None:
        if self._closed:
            raise KeyboardInterrupt

    def _next(self, apart: bool) -> Iterator[tuple[int, Attempt]]:
        """What is done next, by another process or by this one."""
        self._refuse_closed()
        if not self._able or not (apart or self._ready.is_set()):
            try:
                task = self._tasks.get_nowait()
            except Empty:
                task = None
            if task is not None:
                yield from self._by_itself(task)
                return
        answer = self._answers.get()
        if isinstance(answer, BaseException):
            raise answer
        if answer is not None:
            yield answer

    def _start(self, jobs: int) -> None:
        self._able = jobs
        self._drivers = [threading.Thread(target=self._drive, daemon=True) for _ in range(jobs)]
        for driver in self._drivers:
            driver.start()

    def _drive(self) -> None:
        """Give a process what is to be done; a new one where it dies; until all is closed."""
        while True:
            given: deque[tuple[int, Case]] = deque()
            process = self._new_process()
            if process is None:
                break
            try:
                self._ready.set()
                self._lead(process, given)
                return
            except (EOFError, OSError, pickle.UnpicklingError):
                if self._closed:
                    return
                self._give_back(given, process.how_it_ended())
            finally:
                process.kill()
                with self._lock:
                    self._processes.discard(process)
        with self._lock:
            self._able -= 1
        self._answers.put(None)  # wakes who waits

    def _new_process(self) -> _Process | None:
        """A process that is ready; None where there can be none by the same rules."""
        try:
            with self._lock:
                if self._closed:
                    return None
                process = _Process()
                self._processes.add(process)
            process.tell(self._recipe)
            if process.answer() == self.rules.digest:
                return process
            process.kill()
        except Exception:  # of a file that has changed or is gone, or memory is short
            return None
        return None

    def _lead(self, process: _Process, given: deque[tuple[int, Case]]) -> None:
        while True:
            while len(given) < AHEAD:
                try:
                    task = self._tasks.get(block=not given)
                except Empty:
                    break
                if task is None:
                    return
                given.extend(task)
                for _, case in task:
                    process.tell(case)
            answer = process.answer()
            row, _ = given.popleft()
            self._answers.put(answer if isinstance(answer, BaseException) else (row, answer))

    def _give_back(self, given: deque[tuple[int, Case]], how: str) -> None:
        """What a process that died was given is for others; where it died again, has failed."""
        if not given:
            return
        row, case = given.popleft()
        if case in self._suspects:
            reason = f"{case.path}: {DIED} ({how}), perhaps for lack of memory"
            self._answers.put((row, Attempt((), False, reason, *shown_of(case))))
        else:
            self._suspects.add(case)
            given.append((row, case))
        for one in given:
            self._tasks.put([one])


def _tasks(cases: Sequence[Case], rows: Iterable[int]) -> Iterator[Task]:
    for _, same in groupby(rows, key=lambda row: cases[row].path):
        task = [(row, cases[row]) for row in same]
        for start in range(0, len(task), LONGEST_TASK):
            yield task[start : start + LONGEST_TASK]


class _Process:
    """A process that prepares, see ``work.main``."""

    def __init__(self) -> None:
        path = [os.path.abspath(one) for one in sys.path]
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, *path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ONE_THREAD},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._asked, self._answers = self._process.stdin, self._process.stdout

    def tell(self, what: object) -> None:
        self._asked.write(pickle.dumps(what, pickle.HIGHEST_PROTOCOL))
        self._asked.flush()

    def answer(self) -> Any:
        return pickle.load(self._answers)

    def how_it_ended(self) -> str:
        try:
            code = self._process.wait(5)
        except subprocess.TimeoutExpired:  # it closed its stdout: no decoder does that
            return "it does not answer"
        return signal.Signals(-code).name if code < 0 else f"exit code {code}"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
