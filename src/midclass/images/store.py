"""Cache: prepared samples on disk as memory maps, written whole or not at all, oldest removed."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.images.cohort import Cohort
from midclass.images.sample import Sample

if TYPE_CHECKING:
    from midclass.recipe.recipe import AnatomyFunction, Geometry, Intensity
    from midclass.types import Progress

LIMIT_BYTES = 20 * 2**30
"""Least recently used entries beyond this are removed."""

STALE_S = 24 * 3600.0
"""An unfinished entry that is older belongs to a process that was killed."""

LARGEST = np.float32(65535)

Attempt: TypeAlias = tuple[Sample, bool] | str
"""A sample and whether its spacing is assumed; or why there is none."""

Attempts: TypeAlias = Callable[[list[int]], Iterable[tuple[int, Attempt]]]
"""Rows -> their attempts, in any order."""


@dataclass(frozen=True)
class Store:
    """Samples, one a row.

    Attributes:
        pixels: uint16 ``(n, c, h, w)``; 65535 is 1.
        anatomy: bool ``(n, 1, h, w)``.
        spacing_mm: float32 ``(n, 2)``.
        assumed: bool ``(n,)``: the spacing comes from the recipe.
        failed: row -> reason; such a row holds zeros.
    """

    pixels: NDArray[np.uint16]
    anatomy: NDArray[np.bool_]
    spacing_mm: NDArray[np.float32]
    assumed: NDArray[np.bool_]
    assessable: NDArray[np.bool_]
    failed: dict[int, str]

    def fill(self, attempts: Iterable[tuple[int, Attempt]], progress: Progress | None) -> None:
        """Write attempts into their rows."""
        for done, (row, attempt) in enumerate(attempts, start=1):
            if isinstance(attempt, str):
                self.failed[row] = attempt
            else:
                sample, self.assumed[row] = attempt
                self.pixels[row] = np.rint(sample.pixels * LARGEST)
                self.anatomy[row, 0] = sample.anatomy
                self.spacing_mm[row] = sample.spacing_mm
                self.assessable[row] = sample.anatomy.any()
            if progress is not None:
                progress(done, len(self.pixels), "")


def folder(given: Path | None = None) -> Path:
    """The given folder, else ``$MIDCLASS_CACHE``, else midclass/prepared in the user's cache."""
    if given is not None:
        return Path(given)
    if os.environ.get("MIDCLASS_CACHE"):
        return Path(os.environ["MIDCLASS_CACHE"])
    if sys.platform == "win32":
        user = Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    elif sys.platform == "darwin":
        user = Path.home() / "Library" / "Caches"
    else:
        user = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return user / "midclass" / "prepared"


def key_of(
    cohort: Cohort,
    geometry: Geometry,
    intensity: Intensity,
    functions: Iterable[AnatomyFunction | None],
) -> str:
    """A name for everything on which the samples depend: files by size and time of change, the
    recipe, and the code that reads and prepares, so that no version finds another's samples.
    """
    cases = []
    for case in cohort:
        try:
            status = case.path.stat()
            state = (status.st_size, status.st_mtime_ns)
        except OSError:  # reading it will say why
            state = (-1, -1)
        known_of_case = (case.spacing_mm, case.centre, case.laterality)
        which = (str(case.path.absolute()), case.array, case.index, case.frame)
        cases.append([*which, *state, *known_of_case])
    known = {
        "code": [_digest(file) for file in sorted(Path(__file__).parent.rglob("*.py"))],
        "cases": cases,
        "geometry": geometry.model_dump(mode="json", exclude={"least_anatomy_mm2"}),  # for scores
        "intensity": intensity.model_dump(mode="json"),
        "functions": [None if one is None else _identity(one) for one in functions],
    }
    return hashlib.blake2b(json.dumps(known).encode(), digest_size=20).hexdigest()


def _identity(function: AnatomyFunction) -> list[str]:
    return [function.__module__, function.__qualname__, _digest(Path(inspect.getfile(function)))]


def _digest(file: Path) -> str:
    return hashlib.blake2b(file.read_bytes()).hexdigest()


def in_memory(shape: tuple[int, ...], attempts: Iterable[tuple[int, Attempt]]) -> Store:
    """A store that is not on disk."""
    store = _with_maps(np.zeros(shape, np.uint16), np.zeros((shape[0], 1, *shape[2:]), bool))
    store.fill(attempts, None)
    return store


def fetch(
    root: Path, key: str, shape: tuple[int, ...], attempts: Attempts, progress: Progress | None
) -> Store:
    """The store of a key: from disk, or filled and kept there.

    An entry that cannot be read is made again, as is one in which a case failed that no longer
    fails (the reason may lie outside the file).

    Raises:
        InputError: the cache cannot be written, or the disk has too little space.
    """
    entry = root / key
    store = _load(entry, shape)
    if store is not None:
        retried = attempts(sorted(store.failed)) if store.failed else ()
        if all(isinstance(attempt, str) for _, attempt in retried):
            return store
    try:
        _build(root, entry, shape, attempts, progress)
    except OSError as error:
        raise InputError(
            f"{root}: the cache of prepared images cannot be written ({error.strerror}); "
            "set MIDCLASS_CACHE to another folder"
        ) from error
    store = _load(entry, shape)
    if store is None:
        raise InputError(f"{entry}: was removed while it was written; start again")
    return store


def _build(
    root: Path,
    entry: Path,
    shape: tuple[int, ...],
    attempts: Attempts,
    progress: Progress | None,
) -> None:
    """Fill an entry beside its place and move it there at once."""
    root.mkdir(parents=True, exist_ok=True)
    needed = 3 * int(np.prod(shape)) + 2**20
    free = shutil.disk_usage(root).free
    if needed > free:  # a memory map on a full disk would end the process
        raise InputError(
            f"{root}: {needed / 2**30:.1f} GiB are needed for prepared images, "
            f"{free / 2**30:.1f} are free; set MIDCLASS_CACHE to another folder"
        )
    with tempfile.TemporaryDirectory(dir=root, prefix=".new-") as scratch:
        new = Path(scratch) / "entry"
        new.mkdir()
        maps = np.lib.format.open_memmap
        store = _with_maps(
            maps(new / "pixels.npy", "w+", np.uint16, shape),
            maps(new / "anatomy.npy", "w+", bool, (shape[0], 1, *shape[2:])),
        )
        store.fill(attempts(list(range(shape[0]))), progress)
        store.pixels.flush()  # type: ignore[attr-defined]
        store.anatomy.flush()  # type: ignore[attr-defined]
        np.save(new / "spacing_mm.npy", store.spacing_mm)
        np.save(new / "assumed.npy", store.assumed)
        np.save(new / "assessable.npy", store.assessable)
        (new / "failed.json").write_text(json.dumps(store.failed), encoding="utf-8")
        del store  # closes the maps
        if entry.exists():
            entry.rename(Path(scratch) / "old")
        new.rename(entry)
    _tidy(root, keep=entry)


def _with_maps(pixels: NDArray[np.uint16], anatomy: NDArray[np.bool_]) -> Store:
    n = len(pixels)
    return Store(
        pixels,
        anatomy,
        np.ones((n, 2), np.float32),
        np.zeros(n, bool),
        np.zeros(n, bool),
        {},
    )


def _load(entry: Path, shape: tuple[int, ...]) -> Store | None:
    """An entry from disk; None where there is none or it is damaged."""
    try:
        failed = json.loads((entry / "failed.json").read_text(encoding="utf-8"))
        store = Store(
            np.load(entry / "pixels.npy", mmap_mode="r"),
            np.load(entry / "anatomy.npy", mmap_mode="r"),
            np.load(entry / "spacing_mm.npy"),
            np.load(entry / "assumed.npy"),
            np.load(entry / "assessable.npy"),
            {int(row): str(reason) for row, reason in failed.items()},
        )
        os.utime(entry)  # used now
    except (OSError, ValueError, EOFError, AttributeError):
        return None
    n = shape[0]
    wanted = (shape, (n, 1, *shape[2:]), (n, 2), (n,), (n,))
    parts: tuple[NDArray[Any], ...] = (
        store.pixels,
        store.anatomy,
        store.spacing_mm,
        store.assumed,
        store.assessable,
    )
    whole = all(part.shape == one for part, one in zip(parts, wanted, strict=True))
    return store if whole else None


def _tidy(root: Path, keep: Path) -> None:
    """Remove what killed processes left, and the least recently used entries over the limit."""
    entries = []
    for path in root.iterdir():
        try:
            age_s = time.time() - path.stat().st_mtime
            if path.name.startswith(".new-"):
                if age_s > STALE_S:
                    shutil.rmtree(path, ignore_errors=True)
            elif (path / "pixels.npy").exists():
                size = sum(file.stat().st_size for file in path.iterdir())
                entries.append((path != keep, age_s, size, path))
        except OSError:  # another process was faster
            continue
    total = 0
    for other, _, size, path in sorted(entries):
        total += size
        if other and total > LIMIT_BYTES:
            shutil.rmtree(path, ignore_errors=True)
