"""Store: prepared samples on disk as memory maps, written whole or not at all, oldest removed."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.images.cohort import Cohort
from midclass.images.identity import content_if_readable
from midclass.images.keys import key_of, likeness_of, state_of
from midclass.images.sample import Sample
from midclass.images.traits import TRAITS

if TYPE_CHECKING:
    from midclass.types import Progress

LIMIT_BYTES = 20 * 2**30
"""Least recently used entries beyond this are removed."""

STALE_S = 24 * 3600.0
"""An unfinished entry that is older belongs to a process that was killed."""

LARGEST = np.float32(65535)

NOTHING = -2
"""In place of the number of an anatomy: a row that holds no sample."""


class Attempt(NamedTuple):
    """What became of a case.

    Attributes:
        samples: one for each anatomy of the recipe by which there is one; none where it failed.
        assumed: the spacing comes from the recipe.
        reason: why there is none.
        content: see ``identity.content_of``; "" where the file cannot be opened.
    """

    samples: tuple[Sample, ...]
    assumed: bool = False
    reason: str = ""
    content: str = ""


Attempts: TypeAlias = Callable[[list[int]], Iterable[tuple[int, Attempt]]]
"""Rows -> their attempts, in any order."""


@dataclass(frozen=True)
class Store:
    """Samples, one a row: those of a case by each anatomy of the recipe stand one after the other.

    Attributes:
        pixels: uint16 ``(n, c, h, w)``; 65535 is 1.
        anatomy: bool ``(n, 1, h, w)``.
        spacing_mm: float32 ``(n, 2)``.
        assumed: bool ``(n,)``: the spacing comes from the recipe.
        covered: int64 ``(n,)``: how many of its pixels are anatomy.
        contents: bytes ``(n,)``: see ``identity.content_of``.
        link: int8 ``(n,)``: by which anatomy, see ``Sample``; ``NOTHING`` where there is no sample.
        traits: float32 ``(n, t)``, see ``traits.TRAITS``.
        failed: number of the case -> reason; such rows hold zeros.
        each: rows of each case.
    """

    pixels: NDArray[np.uint16]
    anatomy: NDArray[np.bool_]
    spacing_mm: NDArray[np.float32]
    assumed: NDArray[np.bool_]
    covered: NDArray[np.int64]
    contents: NDArray[np.bytes_]
    link: NDArray[np.int8]
    traits: NDArray[np.float32]
    failed: dict[int, str]
    each: int = 1

    @classmethod
    def empty(cls, pixels: NDArray[np.uint16], anatomy: NDArray[np.bool_], each: int = 1) -> Store:
        """To be filled."""
        n = len(pixels)
        return cls(
            pixels,
            anatomy,
            np.ones((n, 2), np.float32),
            np.zeros(n, bool),
            np.zeros(n, np.int64),
            np.zeros(n, "S64"),
            np.full(n, NOTHING, np.int8),
            np.full((n, len(TRAITS)), np.nan, np.float32),
            {},
            each,
        )

    def fill(self, attempts: Iterable[tuple[int, Attempt]], progress: Progress | None) -> None:
        """Write attempts into the rows of their cases."""
        for done, (case, attempt) in enumerate(attempts, start=1):
            first = case * self.each
            self.contents[first : first + self.each] = attempt.content
            self.assumed[first : first + self.each] = attempt.assumed
            if not attempt.samples:
                self.failed[case] = attempt.reason
            for sample in attempt.samples:
                self._write(first + max(sample.link, 0), sample)
            if progress is not None:
                progress(done, len(self.pixels) // self.each, "")

    def _write(self, row: int, sample: Sample) -> None:
        self.pixels[row] = np.rint(sample.pixels * LARGEST)
        self.anatomy[row, 0] = sample.anatomy
        self.spacing_mm[row] = sample.spacing_mm
        self.covered[row] = sample.anatomy.sum()
        self.link[row] = sample.link
        self.traits[row] = sample.traits

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of its arrays, by name."""
        arrays = (field.name for field in fields(self) if field.name not in ("failed", "each"))
        return {name: getattr(self, name).shape for name in arrays}


def in_memory(shape: tuple[int, ...], each: int, attempts: Iterable[tuple[int, Attempt]]) -> Store:
    """A store that is not on disk; ``shape`` and ``each`` as in ``fetch``."""
    pixels, anatomy = np.zeros(shape, np.uint16), np.zeros((shape[0], 1, *shape[2:]), bool)
    store = Store.empty(pixels, anatomy, each)
    store.fill(attempts, None)
    return store


def fetch(
    root: Path,
    cohort: Cohort,
    rules: str,
    shape: tuple[int, ...],
    each: int,
    attempts: Attempts,
    progress: Progress | None,
) -> Store:
    """The samples of a cohort: from disk, or filled and kept there.

    ``shape`` is that of all pixels, with ``each`` rows for each case.

    An entry that cannot be read is made again, as is one in which a case failed that no longer
    fails (the reason may lie outside the file).

    Raises:
        InputError: the cache cannot be written, or the disk has too little space.
    """
    state = state_of(cohort, rules)
    for entry in _candidates(root, cohort, rules, state):
        store = _load(entry, shape, each)
        if store is not None:
            again = dict(attempts(sorted(store.failed))) if store.failed else {}
            if not any(attempt.samples for attempt in again.values()):
                # A copy's reasons name its own files.
                store.failed.update({row: attempt.reason for row, attempt in again.items()})
                with suppress(OSError):  # without it, the files are compared again
                    (entry / f"{state}.known").touch()
                return store
    try:
        entry = _build(root, cohort, rules, state, shape, each, attempts, progress)
    except OSError as error:
        raise InputError(
            f"{root}: the cache of prepared images cannot be written ({error.strerror}); "
            "set MIDCLASS_CACHE to another folder"
        ) from error
    store = _load(entry, shape, each)
    if store is None:
        raise InputError(f"{entry}: was removed while it was written; start again")
    return store


def _candidates(root: Path, cohort: Cohort, rules: str, state: str) -> list[Path]:
    """Where the samples may lie: those of these very files, or else those of a copy of them.

    The files are opened to be compared only where those of an entry are as many and as long.
    """
    known = [file.parent for file in root.glob(f"*/{state}.known")]
    if not known and any(root.glob(f"*/{likeness_of(cohort, rules)}.like")):
        known = [root / key_of(cohort, rules, map(content_if_readable, cohort))]
    return known


def _build(
    root: Path,
    cohort: Cohort,
    rules: str,
    state: str,
    shape: tuple[int, ...],
    each: int,
    attempts: Attempts,
    progress: Progress | None,
) -> Path:
    """Fill an entry beside its place and move it there at once; returns the place."""
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
        store = Store.empty(
            maps(new / "pixels.npy", "w+", np.uint16, shape),
            maps(new / "anatomy.npy", "w+", bool, (shape[0], 1, *shape[2:])),
            each,
        )
        store.fill(attempts(list(range(len(cohort)))), progress)
        store.pixels.flush()  # type: ignore[attr-defined]
        store.anatomy.flush()  # type: ignore[attr-defined]
        for name in store.shapes().keys() - {"pixels", "anatomy"}:
            np.save(new / f"{name}.npy", getattr(store, name))
        (new / "failed.json").write_text(json.dumps(store.failed), encoding="utf-8")
        (new / f"{state}.known").touch()
        (new / f"{likeness_of(cohort, rules)}.like").touch()
        shown = (content.decode() for content in store.contents[::each])
        entry, failed = root / key_of(cohort, rules, shown), store.failed
        del store  # closes the maps
        old = _load(entry, shape, each)
        if old is not None and old.failed == failed:  # the same images, elsewhere
            (entry / f"{state}.known").touch()
            return entry
        if entry.exists():
            entry.rename(Path(scratch) / "old")
        new.rename(entry)
    _tidy(root, keep=entry)
    return entry


def _load(entry: Path, shape: tuple[int, ...], each: int) -> Store | None:
    """An entry from disk; None where there is none or it is damaged."""
    try:
        failed = json.loads((entry / "failed.json").read_text(encoding="utf-8"))
        store = Store(
            np.load(entry / "pixels.npy", mmap_mode="r"),
            np.load(entry / "anatomy.npy", mmap_mode="r"),
            np.load(entry / "spacing_mm.npy"),
            np.load(entry / "assumed.npy"),
            np.load(entry / "covered.npy"),
            np.load(entry / "contents.npy"),
            np.load(entry / "link.npy"),
            np.load(entry / "traits.npy"),
            {int(case): str(reason) for case, reason in failed.items()},
            each,
        )
        os.utime(entry)  # used now
    except (OSError, ValueError, EOFError, AttributeError):
        return None
    n = shape[0]
    wanted: dict[str, tuple[int, ...]] = dict.fromkeys(store.shapes(), (n,))
    wanted |= {"pixels": shape, "anatomy": (n, 1, *shape[2:]), "spacing_mm": (n, 2)}
    wanted["traits"] = (n, len(TRAITS))
    return store if store.shapes() == wanted else None


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
