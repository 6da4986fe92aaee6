"""Preparation: cases -> samples on the recipe's grid, kept as memory maps and read only once."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import Future, wait
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from midclass.errors import InputError
from midclass.images.cache import fetch
from midclass.images.case import NOBODY
from midclass.images.cohort import Case, Cohort
from midclass.images.formats.read import Image
from midclass.images.keys import own_folder
from midclass.images.prepared import Prepared
from midclass.images.rules import Rules
from midclass.images.sample import Pixels
from midclass.images.store import Store, in_memory
from midclass.images.work import attempts_here
from midclass.images.workers import Workers

if TYPE_CHECKING:
    from midclass.recipe.recipe import Recipe
    from midclass.types import Progress

__all__ = ["Prepared", "prepare", "prepare_array"]

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
        raise _cannot_be_prepared(prepared.failed, len(cohort))
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
    return _of_store(cohort, in_memory(rules.shape(len(cohort)), rules.each, attempts), rules)


def _counting(progress: Progress | None, before: int, total: int) -> Progress | None:
    """Progress of a part as that of the whole."""
    if progress is None:
        return None
    return lambda done, _, text: progress(before + done, total, text)


def prepare_array(
    pixels: ArrayLike,
    recipe: Recipe,
    spacing_mm: float | ArrayLike | None = None,
    *,
    case_id: ArrayLike | None = None,
    patients: ArrayLike | None = None,
    label: int | None = None,
    keep_going: bool = False,
) -> Prepared:
    """Bring images in memory onto the recipe's grid, by the same path as files.

    Args:
        pixels: ``(n, c, h, w)``, or ``(n, h, w)`` of one channel, array or tensor: uint8 or uint16,
            of which the largest value becomes 1, or numbers in [0, 1].
        recipe: geometry, anatomy and intensity; its window and orient are for files and are not
            used. View roi takes the square in the middle of each image.
        spacing_mm: one number, ``(2,)`` or ``(n, 2)``; by default what the recipe assumes.
        case_id: names ``(n,)``, each different; by default ``array[0]`` and so on.
        patients: names ``(n,)``; an image without one (None, NaN, "") is of a patient of its own,
            by default all are.
        label: of all of them.
        keep_going: put images that fail into ``failed``, also where all do.

    Raises:
        InputError: wrong shape or values, or an image that cannot be prepared.
    """
    images = _unit_range(_as_array(pixels))
    named = [f"array[{i}]" for i in range(len(images))] if case_id is None else case_id
    names = np.asarray(named).astype(str)
    cohort = _array_cohort(images, spacing_mm, names, _patients(patients, names), label)
    rules = Rules(recipe)
    shape = rules.shape(len(cohort))
    attempts = (
        (row, rules.attempt(case, partial(Image, images[row], case.spacing_mm)))
        for row, case in enumerate(cohort)
    )
    prepared = _of_store(cohort, in_memory(shape, rules.each, attempts), rules)
    if prepared.failed and not keep_going:
        raise _cannot_be_prepared(prepared.failed, len(cohort))
    return prepared


def _as_array(pixels: ArrayLike) -> NDArray[Any]:
    try:
        return np.asarray(pixels)
    except ValueError as error:
        raise InputError(
            f"pixels are no array ({error}); images of several sizes are prepared as files"
        ) from error


def _patients(patients: ArrayLike | None, names: NDArray[np.str_]) -> NDArray[np.str_]:
    """The patient of each image; whose is not known is a patient of its own, as in a manifest."""
    if patients is None:
        return names
    known = [str(one).strip() for one in np.asarray(patients, object).tolist()]
    return np.array([n if k in NOBODY else k for k, n in zip(known, names.tolist(), strict=True)])


def _unit_range(pixels: NDArray[Any]) -> Pixels:
    """Float32 ``(n, c, h, w)`` in [0, 1]."""
    images: NDArray[Any] = pixels[:, None] if pixels.ndim == 3 else pixels
    if images.ndim != 4 or not len(images):
        raise InputError(
            f"pixels of shape {pixels.shape}, expected (n, h, w) or (n, c, h, w) with n above 0"
        )
    largest = {"uint8": 255, "uint16": 65535}.get(images.dtype.name)
    images = images.astype(np.float32)
    if largest is not None:
        return np.asarray(images / np.float32(largest))
    if not np.isfinite(images).all() or images.min() < 0 or images.max() > 1:
        raise InputError(
            f"pixels of {pixels.dtype} from {images.min():g} to {images.max():g}, expected uint8, "
            "uint16 or numbers in [0, 1]; divide by the largest possible value"
        )
    return images


def _array_cohort(
    images: Pixels,
    spacing_mm: float | ArrayLike | None,
    names: NDArray[np.str_],
    patients: NDArray[np.str_],
    label: int | None,
) -> Cohort:
    """Cases that stand for the images of an array, left to themselves and centred."""
    n, _, height, width = images.shape
    spacing: NDArray[np.float64] | None = None
    if spacing_mm is not None:
        try:
            spacing = np.broadcast_to(np.asarray(spacing_mm, np.float64), (n, 2))
        except ValueError as error:
            raise InputError(
                f"spacing_mm of shape {np.shape(spacing_mm)}, expected a number, (2,) or ({n}, 2)"
            ) from error
        if not (np.isfinite(spacing).all() and spacing.min() > 0):
            raise InputError("spacing_mm must be finite numbers above 0")
    cases = []
    for i, (name, patient) in enumerate(zip(names.tolist(), patients.tolist(), strict=True)):
        case = Case(
            name,
            Path(name),
            label,
            patient,
            spacing_mm=None if spacing is None else (float(spacing[i, 0]), float(spacing[i, 1])),
            centre=((width - 1) / 2, (height - 1) / 2),
            laterality="L",
        )
        cases.append(case)
    return Cohort(tuple(cases), "array")


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
    return _of_store(cohort, store, rules)


def _of_store(cohort: Cohort, store: Store, rules: Rules) -> Prepared:
    """All that could be prepared, each by the first anatomy that finds enough."""
    failed = tuple((cohort[case], reason) for case, reason in sorted(store.failed.items()))
    there = np.array([case for case in range(len(cohort)) if case not in store.failed], np.intp)
    prepared = Prepared(cohort[there], store, there * store.each, np.arange(len(there)), failed)
    enough = [one.anatomy_mm2 > rules.geometry.least_anatomy_mm2 for one in prepared.by_link()]
    return prepared.by_first(enough)


def _cannot_be_prepared(failed: Sequence[tuple[Case, str]], total: int) -> InputError:
    named = "; ".join(reason for _, reason in failed[:3])
    more = f"; and {len(failed) - 3} more" if len(failed) > 3 else ""
    return InputError(f"{len(failed)} of {total} cases cannot be prepared: {named}{more}")
