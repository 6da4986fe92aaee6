"""Preparation: cases -> samples on the recipe's grid, kept as memory maps and read only once."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from midclass.errors import InputError
from midclass.images.cache import fetch
from midclass.images.cohort import Case, Cohort
from midclass.images.keys import own_folder
from midclass.images.prepared import Prepared
from midclass.images.rules import Rules
from midclass.images.store import Store, in_memory
from midclass.images.work import attempts_here
from midclass.images.workers import Workers

if TYPE_CHECKING:
    from midclass.recipe.recipe import Recipe
    from midclass.types import Progress

__all__ = ["Prepared", "prepare"]

AHEAD = "midclass-ahead"
"""Name of the thread that prepares the next block."""


def prepare(
    cohort: Cohort,
    recipe: Recipe,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    keep_going: bool = False,
    jobs: int = 1,
) -> Prepared:
    """Read a cohort and bring every case onto the recipe's grid.

    Each image is made grey where the recipe has one channel, oriented, cropped and resampled
    without stretching, and its intensity set; its anatomy is found at the file's resolution. The
    result is kept on disk: a second call with the same files and recipe reads no image, and a
    copy of the files shares it. A case without any anatomy (a slice above the brain) is prepared,
    with an empty mask. A mask of the manifest takes the place of the anatomy; of several anatomies
    the first is taken that finds enough (a fitted detector then takes the first
    *plausible* one).

    Args:
        cohort: the cases.
        recipe: geometry, anatomy and intensity.
        cache: folder of the memory maps; by default see ``midclass.images.keys.folder``.
        progress: called with the number of cases done, of all, and "".
        keep_going: put cases that fail into ``failed`` instead of raising.
        jobs: processes that read and prepare, of one thread each, where there is enough to do;
            what they make is the same.

    Raises:
        InputError: files that cannot be read or prepared, after trying all of them.
    """
    with Workers(recipe, jobs) as workers:
        prepared = _prepared(cohort, workers, cache, progress)
    if prepared.failed and not (keep_going and len(prepared)):
        raise cannot_be_prepared(prepared.failed, len(cohort))
    return prepared


def prepare_blocks(
    cohort: Cohort,
    recipe: Recipe,
    size: int,
    *,
    cache: Path | None = None,
    progress: Progress | None = None,
    jobs: int = 1,
    apart: bool = False,
) -> Generator[Prepared, None, None]:
    """Prepare a cohort of any length, at most so many cases at a time, and keep going.

    No block ends between images that are scored together, see ``Cohort.blocks``.

    With several jobs, the next block is prepared while this one is used. Close the generator
    where it is not used to its end. A block in which no case can be prepared has no samples, but
    ``failed``. With ``apart`` no image is read in this process: a decoder that would end it fails
    at its own case.
    """
    with Workers(recipe, jobs, apart=apart) as workers:
        blocks = _blocks(cohort, workers, size, cache, progress)
        yield from blocks if jobs == 1 else _one_ahead(blocks, workers)


def _blocks(
    cohort: Cohort, workers: Workers, size: int, cache: Path | None, progress: Progress | None
) -> Iterator[Prepared]:
    done = 0
    for block in cohort.blocks(size, workers.rules.geometry):
        workers.later = len(cohort) - done - len(block)
        prepared = _prepared(block, workers, cache, _counting(progress, done, len(cohort)))
        done += len(block)
        yield prepared
        del prepared  # or it would stay while the next block is prepared


def _one_ahead(blocks: Iterator[Prepared], workers: Workers) -> Iterator[Prepared]:
    """The same, the next of which is always being made by another thread."""
    following = _begun(blocks)
    try:
        while (block := following.result()) is not None:
            following = _begun(blocks)
            yield block
            del block
    except BaseException:
        workers.close()
        wait([following])  # or the process ends before what it has begun is removed
        raise


def _begun(blocks: Iterator[Prepared]) -> Future[Prepared | None]:
    found: Future[Prepared | None] = Future()

    def make() -> None:
        try:
            found.set_result(next(blocks, None))
        except BaseException as error:
            found.set_exception(error)

    threading.Thread(target=make, name=AHEAD, daemon=True).start()
    return found


def prepare_unkept(cohort: Cohort, rules: Rules) -> Prepared:
    """Prepare some cases and keep nothing of them on disk; those that fail are in ``failed``.

    Args:
        cohort: the cases; their samples are all in memory.
        rules: of the recipe, made once for many calls.
    """
    attempts = attempts_here(cohort, rules, range(len(cohort)))
    return of_store(cohort, in_memory(rules.shape(len(cohort)), rules.each, attempts), rules)


def _counting(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Progress of a part as that of the whole."""
    if progress is None:
        return None
    return lambda done, _, text: progress(before + done, total, text)


def _prepared(
    cohort: Cohort, workers: Workers, cache: Path | None, progress: Progress | None
) -> Prepared:
    if not len(cohort):
        raise InputError(f"{cohort.name}: has no cases to prepare")
    rules = workers.rules
    store = fetch(
        own_folder(cache),
        cohort,
        rules.digest,
        rules.shape(len(cohort)),
        rules.each,
        partial(workers.attempts, cohort),
        progress,
    )
    return of_store(cohort, store, rules)


def of_store(cohort: Cohort, store: Store, rules: Rules) -> Prepared:
    """All that could be prepared, each by the first anatomy that finds enough."""
    failed = tuple((cohort[case], reason) for case, reason in sorted(store.failed.items()))
    there = np.array([case for case in range(len(cohort)) if case not in store.failed], np.intp)
    prepared = Prepared(cohort[there], store, there * store.each, np.arange(len(there)), failed)
    enough = [one.anatomy_mm2 > rules.geometry.least_anatomy_mm2 for one in prepared.by_link()]
    return prepared.by_first(enough)


def cannot_be_prepared(failed: Sequence[tuple[Case, str]], total: int) -> InputError:
    """The error that names the first of them."""
    named = "; ".join(reason for _, reason in failed[:3])
    more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
    return InputError(f"{len(failed)} of {total} cases cannot be prepared: {named}{more}")
