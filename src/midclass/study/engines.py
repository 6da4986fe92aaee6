"""Engines: what computes the cells of a study, processes of this machine or a Ray cluster."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from pathlib import Path

from midclass.study.cell import Cell, run_cell
from midclass.study.cluster import WorkerDiedError, check_engine, cluster
from midclass.study.log import Outcome

IMPORTED_BY_CELLS = (
    "midclass.detectors.catalogue",
    "monai.networks.nets.resnet",
    "scipy.stats",
    "sklearn.covariance",
    "sklearn.svm",
    "torch._dynamo",  # by every optimizer
)
"""When they need it; sooner in the process from which theirs are forked."""

Outcomes = Generator[Outcome, None, None]
Engine = Callable[[Sequence[Cell], Path, Path | None, int], Outcomes]
"""Takes cells, the study's folder, that of prepared images or None, and how many cells at once."""


def engine_of(name: str) -> Engine:
    """The engine of this name; an InputError where there is none, see ``check_engine``."""
    check_engine(name)
    return ENGINES[name]


def _local(cells: Sequence[Cell], folder: Path, cache: Path | None, jobs: int) -> Outcomes:
    """Processes of this machine, none forked from this one: it would lack the threads of torch.

    Where a process dies, the cells that were running then are run again one at a time: alone, a
    cell may have enough memory, and if it has not, it is known which one it is. The others go on
    together.
    """
    ahead = deque(cells)
    while ahead:
        running = yield from _until_one_dies(ahead, folder, cache, jobs)
        for cell in running:
            with _pool(1) as pool:
                try:
                    yield pool.submit(run_cell, cell, folder, cache).result()
                except BrokenProcessPool:
                    yield _died(cell)


def _until_one_dies(
    ahead: deque[Cell], folder: Path, cache: Path | None, jobs: int
) -> Generator[Outcome, None, list[Cell]]:
    """Take cells from the queue, ``jobs`` at once; returns those that ran when a process died."""
    running: dict[Future[Outcome], Cell] = {}
    died: list[Cell] = []
    whole = True
    with _pool(jobs) as pool:
        while running or (ahead and whole):
            while ahead and whole and len(running) < jobs:
                try:
                    one = pool.submit(run_cell, ahead[0], folder, cache)
                except BrokenProcessPool:  # since the last look
                    whole = False
                else:
                    running[one] = ahead.popleft()
            for one in wait(running, return_when=FIRST_COMPLETED).done:
                cell = running.pop(one)
                try:
                    yield one.result()
                except BrokenProcessPool:
                    died.append(cell)
                    whole = False
    return died


@contextmanager
def _pool(jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end at once where the block ends with an error, or this process ends.

    They must not go on: they would write tables that no log speaks of, beside a study that was
    started again.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    context = _context()
    theirs, ours = context.Pipe(duplex=False)
    with theirs, ProcessPoolExecutor(jobs, context, _end_with, (theirs,)) as pool:
        try:
            yield pool
        except BaseException:
            ours.close()
            pool.shutdown(wait=True, cancel_futures=True)  # they end at once
            raise
    ours.close()


def _context() -> BaseContext:
    """How processes start: forked from one that has imported what cells need and done nothing else.

    One that is started from nothing imports it for ten seconds of processor time.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():  # Windows
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([run_cell.__module__, *IMPORTED_BY_CELLS])
    with _interrupts_ignored():
        forkserver.ensure_running()
    return context


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    """What starts meanwhile is deaf to Ctrl-C for good; it ends with the study, by its pipe.

    A terminal sends it to all processes, and each would print where it was.
    """
    in_main = threading.current_thread() is threading.main_thread()  # others may not set this
    if not in_main or signal.getsignal(signal.SIGINT) is None:  # set by what embeds Python
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _died(cell: Cell) -> Outcome:
    return Outcome(cell.name, 0.0, "its process died, perhaps for lack of memory", cell.settings)


def _ray(cells: Sequence[Cell], folder: Path, cache: Path | None, jobs: int) -> Outcomes:
    """Workers of a Ray cluster, see ``cluster``; as many cells at once as it has CPUs, or GPUs.

    Every worker needs midclass and the data under the same paths, and writes to the same folder.
    """
    where = folder.resolve(), cache and cache.resolve()
    with cluster(jobs) as workers:
        running = {
            workers.begin(run_cell, cell.absolute(), *where, retries=3): cell for cell in cells
        }
        while running:
            done = workers.first_done(running)
            cell = running.pop(done)
            try:
                yield workers.result(done)
            except WorkerDiedError:
                yield _died(cell)


ENGINES: dict[str, Engine] = {"local": _local, "ray": _ray}


def _one_line(message: Warning | str, *_: object, **__: object) -> str:
    """A warning without the place in a library."""
    return f"note: {' '.join(str(message).split())}\n"


def _end_with(study: Connection) -> None:
    """End this worker when the study closes its end of the pipe, as it does when it is killed."""

    warnings.formatwarning = _one_line

    def wait() -> None:
        study.poll(None)  # nothing is ever sent
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
