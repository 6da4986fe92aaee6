"""Study: tasks x detectors x repeats -> one score table each; goes on after an interruption."""

from __future__ import annotations

import csv
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from midclass.console import bar, note, say
from midclass.errors import InputError
from midclass.study_cell import LOG, Cell, read_log, table_of
from midclass.study_file import Study

if TYPE_CHECKING:
    from midclass.images.cohort import Cohort

__all__ = ["Cell", "Outcome", "Study", "run", "run_cell", "study", "table_of"]


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Attributes:
        name: ``TASK/DETECTOR/REPEAT``.
        seconds: that it took; of an interrupted one, since it went on.
        error: one line, "" where its score table was written.
        settings: see ``Cell.settings``.
    """

    name: str
    seconds: float
    error: str = ""
    settings: str = ""


def run_cell(cell: Cell, folder: Path, cache: Path | None = None) -> Outcome:
    """Fit the cell's detector, score its test cases and write the score table.

    One thread, so that the bytes do not depend on how many cells run at once. An interrupted
    training goes on from its last checkpoint, kept in ``FOLDER/work`` under the cell's settings.
    Errors are caught and told, so that the other cells go on.
    """
    started, wrong, settings = time.monotonic(), "", ""
    try:
        settings = cell.settings
        _score(cell, folder, cache, folder / "work" / cell.name / settings)
    except Exception as error:  # one cell must not end the others, whatever went wrong in it
        text = " ".join(str(error).split()) or "no message"
        kind = "" if isinstance(error, InputError) else f"{type(error).__name__}: "
        wrong = f"{kind}{text}"
    return Outcome(cell.name, time.monotonic() - started, wrong, settings)


def _score(cell: Cell, folder: Path, cache: Path | None, work: Path) -> None:
    import torch

    from midclass import evaluation
    from midclass.fitting import detector_class
    from midclass.images.cohort import Cohort
    from midclass.images.prepare import prepare
    from midclass.recipe import Recipe

    torch.set_num_threads(1)
    recipe = Recipe.from_dict(cell.recipe, cell.trust, cell.source)
    cohort = Cohort.from_manifest(cell.cohort, cell.split)
    train, test = parts(cohort, cell)
    train.check_no_leak(test)
    positives = train.some_of_target_class(cell.positives, cell.repeat)
    detector = detector_class(cell.module, cell.trust)(recipe)
    detector.fit(
        prepare(train.given_class(), recipe, cache=cache),
        positives=prepare(positives, recipe, cache=cache) if len(positives) else None,
        seed=cell.repeat,
        max_fpr=cell.max_fpr,
        workdir=work,
    )
    slices = evaluation.slice_numbers(cell.cohort, test)
    table = evaluation.score_table(detector, prepare(test, recipe, cache=cache), slices)
    table.write(table_of(folder, cell.name))
    shutil.rmtree(work.parent, ignore_errors=True)  # also what other settings left


def parts(cohort: Cohort, cell: Cell) -> tuple[Cohort, Cohort]:
    """The cases to learn from and those to score; see ``Task.known_patients``."""
    train, test = cohort.part("train"), cohort.part("test")
    target = test.target_class().patients
    count = round(cell.known_patients * len(target))
    if not count:
        return train, test
    known = set(np.random.default_rng(cell.repeat).permutation(target)[:count].tolist())
    learn = np.array([c.part == "train" or c.patient_id in known for c in cohort])
    score = np.array([c.part == "test" and c.patient_id not in known for c in cohort])
    return cohort[learn], cohort[score]


def study(
    file: Path,
    data: Path,
    *,
    out: Path | None = None,
    jobs: int = 1,
    engine: str = "local",
    trust: Collection[Path] = (),
    cache: Path | None = None,
) -> bool:
    """Compute what is missing of a study; True where every cell has its score table.

    Args:
        file: the study file.
        data: folder to which its manifests are relative.
        out: folder of the results, by default that of the file.
        jobs, engine, cache: see ``run``.
        trust: files of the user's that may run.
    """
    cells, folder = Study.load(file).cells(data, trust), out or file.parent
    missing = sum(not table_of(folder, cell.name).exists() for cell in cells)
    say(f"{len(cells)} cells, {len(cells) - missing} done before")
    try:
        with bar(file.stem) as progress:
            outcomes = run(cells, folder, jobs=jobs, engine=engine, cache=cache, progress=progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"the same command goes on; results are in {folder}") from None
    for outcome in outcomes:
        if outcome.error:
            note(f"failed: {outcome.name}: {outcome.error}")
    done = sum(table_of(folder, cell.name).exists() for cell in cells)
    say(f"{done} of {len(cells)} score tables: {folder / 'scores'}")
    return done == len(cells)


def run(
    cells: Sequence[Cell],
    folder: Path,
    *,
    jobs: int = 1,
    engine: str = "local",
    cache: Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Outcome]:
    """Compute the cells whose score table is missing; returns what became of those.

    Args:
        cells: of ``Study.cells``.
        folder: where ``scores/`` is written.
        jobs: cells at once, each with one thread.
        engine: ``local`` (processes) or ``ray`` (a Ray cluster; extra ``[ray]``).
        cache: folder of prepared images.
        progress: called with (done, all, text).

    Raises:
        InputError: there is a score table that was computed with other settings.
    """
    _refuse_other_settings(cells, folder)
    missing = [cell for cell in cells if not table_of(folder, cell.name).exists()]
    outcomes: list[Outcome] = []
    for outcome in _engine(engine)(missing, folder, cache, jobs):
        outcomes.append(outcome)
        _log(folder, outcome)
        if progress is not None:
            failed = sum(bool(one.error) for one in outcomes)
            text = f"{outcome.name}" + (f", {failed} failed" if failed else "")
            progress(len(cells) - len(missing) + len(outcomes), len(cells), text)
    _remove_empty(folder / "work")
    return outcomes


def _refuse_other_settings(cells: Sequence[Cell], folder: Path) -> None:
    """A table that was computed before the study file, its recipes or manifests changed."""
    before = {
        name: settings for name, _, error, settings in read_log(folder) if settings and not error
    }
    known = [c for c in cells if c.name in before and table_of(folder, c.name).exists()]
    other = [cell.name for cell in known if before[cell.name] != cell.settings]
    if other:
        raise InputError(
            f"{len(other)} score tables were computed with other settings, the first is "
            f"{table_of(folder, other[0])}; remove them to compute them again, or write to "
            "another folder with --out"
        )


def _remove_empty(folder: Path) -> None:
    """The folders of cells that are done; those of interrupted ones hold their checkpoints."""
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        with suppress(OSError):  # not empty, or never made
            path.rmdir()


Engine = Callable[[Sequence[Cell], Path, Path | None, int], Iterable[Outcome]]


def _engine(name: str) -> Engine:
    if name not in ENGINES:
        raise InputError(f"engine {name!r} is unknown; the engines are {', '.join(ENGINES)}")
    return ENGINES[name]


def _local(cells: Sequence[Cell], folder: Path, cache: Path | None, jobs: int) -> Iterator[Outcome]:
    """Processes of this machine; started anew, because forked ones inherit torch's threads.

    Where a process dies, the cells that were not done are run one at a time: alone, a cell may have
    enough memory, and if it has not, it is known which one it is.
    """
    left: list[Cell] = []
    with _pool(jobs) as pool:
        waiting = {pool.submit(run_cell, cell, folder, cache): cell for cell in cells}
        try:
            for done in as_completed(waiting):
                try:
                    yield done.result()
                except BrokenProcessPool:
                    left.append(waiting[done])
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    for cell in left:
        with _pool(1) as pool:
            try:
                yield pool.submit(run_cell, cell, folder, cache).result()
            except BrokenProcessPool:
                yield _died(cell)


def _pool(jobs: int) -> ProcessPoolExecutor:
    os.environ["OMP_NUM_THREADS"] = "1"
    spawn = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_end_with_parent)


def _died(cell: Cell) -> Outcome:
    return Outcome(cell.name, 0.0, "its process died, perhaps for lack of memory", cell.settings)


def _ray(cells: Sequence[Cell], folder: Path, cache: Path | None, jobs: int) -> Iterator[Outcome]:
    """Workers of the Ray cluster in use (``RAY_ADDRESS``), or of one of this machine.

    One CPU a cell and as many at once as the cluster has; one of this machine has ``jobs`` CPUs.
    Every worker needs midclass and the data under the same paths, and writes to the same folder.
    """
    try:
        import ray
    except ImportError:
        raise InputError("engine ray needs Ray: pip install 'midclass[ray]'") from None

    started = not ray.is_initialized()
    if started:
        ray.init(log_to_driver=False, include_dashboard=False, num_cpus=_own_cpus(jobs))
    remote = ray.remote(num_cpus=1, max_retries=3)(run_cell)
    where = folder.resolve(), cache and cache.resolve()
    try:
        started_as = {remote.remote(cell.absolute(), *where): cell for cell in cells}
        waiting = list(started_as)
        while waiting:
            (done,), waiting = ray.wait(waiting)
            try:
                yield ray.get(done)
            except (ray.exceptions.WorkerCrashedError, ray.exceptions.OutOfMemoryError):
                yield _died(started_as[done])
    finally:
        if started:
            ray.shutdown()


def _own_cpus(jobs: int) -> int | None:
    """CPUs of a cluster to start here; an address in the environment means that there is one."""
    return None if os.environ.get("RAY_ADDRESS") else jobs


ENGINES: dict[str, Engine] = {"local": _local, "ray": _ray}


def _end_with_parent() -> None:
    """A worker whose study was killed must not go on: it would write what nobody asked for."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _log(folder: Path, outcome: Outcome) -> None:
    """One line a cell: how long it took; kept apart from the scores, whose bytes are repeatable."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG).open("a", encoding="utf-8", newline="") as file:
        row = outcome.name, f"{outcome.seconds:.0f}", outcome.error, outcome.settings
        csv.writer(file, lineterminator="\n").writerow(row)
