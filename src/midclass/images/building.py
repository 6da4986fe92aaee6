"""Building: an entry of the cache is made beside its place and moved there at once.

What other entries have of the same files is taken from them. While the rest is prepared, what is
done is kept from time to time, and where the work is interrupted, as an entry of the cases that
are done: a smaller cohort. The next attempt takes them from there, like from any other entry.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from midclass.errors import InputError
from midclass.images.change import settled
from midclass.images.cohort import Cohort
from midclass.images.entries import ABOUT, UNFINISHED, remove, tidy
from midclass.images.entry import INDEX, filled, load, write_array, write_bytes
from midclass.images.keys import files_of, key_of, likeness_of, marker_of, state_of_cohort
from midclass.images.private import open_new
from midclass.images.store import Attempt, Attempts, Store
from midclass.images.taken import Known, found, index_of

if TYPE_CHECKING:
    from midclass.types import Progress

PART_S = 10.0
"""Work after which what is done is kept: a process that is killed loses no more."""
SPARE = 2**26
"""Bytes of a disk that are not used for what is only kept meanwhile."""


@dataclass(frozen=True)
class Wanted:
    """The samples that are wanted.

    Attributes:
        root: of the cache, see ``keys.own_folder``.
        cohort: the cases.
        rules: see ``keys.rules_of``.
        shape: of the pixels of all samples.
        each: rows of each case.
        state: see ``keys.state_of_cohort``, when it was wanted.
        started: when it was.
    """

    root: Path
    cohort: Cohort
    rules: str
    shape: tuple[int, ...]
    each: int
    state: str
    started: float

    @classmethod
    def now(
        cls, root: Path, cohort: Cohort, rules: str, shape: tuple[int, ...], each: int
    ) -> Wanted:
        """By the state of the files now."""
        started = time.time()
        return cls(root, cohort, rules, shape, each, state_of_cohort(cohort, rules), started)

    def of(self, cases: list[int]) -> Wanted:
        """The same of some of the cases."""
        shape = (len(cases) * self.each, *self.shape[1:])
        return replace(self, cohort=self.cohort[cases], shape=shape, state="")

    @property
    def needed(self) -> int:
        """Bytes that it takes on the disk, and a little more."""
        return 3 * int(np.prod(self.shape)) + 2**20

    def load(self, entry: Path) -> Store | None:
        """The samples of an entry, see ``entry.load``."""
        return load(entry, self.shape, self.each)

    def know(self, entry: Path) -> None:
        """Note that an entry is of these very files, where their state can tell so next time."""
        file = entry / f"{self.state}.known"
        files = (one for case in self.cohort for one in files_of(case))
        if self.state and not file.exists() and settled(files, self.started):
            open_new(file).close()


def build(
    wanted: Wanted, attempts: Attempts, progress: Progress | None
) -> tuple[Path, dict[int, str]]:
    """Fill an entry beside its place and move it there at once.

    Returns:
        The place, and why cases failed. There the reasons are kept without the folders of the
        files, which may say who it is.

    Raises:
        InputError: there is too little room.
    """
    free = shutil.disk_usage(wanted.root).free
    if wanted.needed > free:
        raise InputError(
            f"{wanted.root}: {wanted.needed / 2**30:.1f} GiB are needed for prepared images, "
            f"{free / 2**30:.1f} are free; `midclass cache --clear` makes room, or set "
            "MIDCLASS_CACHE to another folder"
        )
    making = _Making(wanted, Known.of(wanted.cohort))
    with making.unfinished() as scratch:
        new = scratch / "entry"
        new.mkdir(mode=0o700)
        store = filled(
            new, wanted.shape, wanted.each, lambda store: making.fill(store, attempts, progress)
        )
        entry, _ = making.put(wanted, list(range(len(wanted.cohort))), store.failed, new)
    for part in making.parts:
        if part != entry:  # of one slow case, the part is the whole
            remove(part)
    tidy(wanted.root, keep=entry)
    return entry, store.failed


@dataclass
class _Making:
    """What is known of an entry that is being made.

    Attributes:
        wanted: its samples.
        known: of its cases, before they were read.
        shown: hashes of what they show, as they were read; ("", "") before.
        done: cases that were prepared since any were kept.
        parts: entries in which others are kept meanwhile.
    """

    wanted: Wanted
    known: Known
    shown: list[tuple[str, str]] = field(init=False)
    done: list[int] = field(default_factory=list)
    parts: list[Path] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.shown = [("", "")] * len(self.wanted.cohort)

    def unfinished(self) -> _Unfinished:
        """A folder that is removed afterwards."""
        return _Unfinished(self.wanted.root)

    def fill(self, store: Store, attempts: Attempts, progress: Progress | None) -> None:
        """Take the samples that there are, and prepare the others."""
        wanted, left = self.wanted, set(range(len(self.wanted.cohort)))
        marker = marker_of(wanted.rules)
        for one in found(wanted.root, marker, wanted.cohort, self.known, wanted.shape, wanted.each):
            store.take(one.case, one.store, one.there)
            self.shown[one.case] = store.contents[one.case * wanted.each].decode(), one.mask
            left.remove(one.case)
        before = len(wanted.cohort) - len(left)
        if progress is not None and before:
            progress(before, len(wanted.cohort), "")
        try:
            store.fill(self._noted(store, attempts, sorted(left)), progress, before)
        except BaseException:
            self._keep(store)
            raise

    def _noted(
        self, store: Store, attempts: Attempts, rows: list[int]
    ) -> Iterator[tuple[int, Attempt]]:
        kept = time.monotonic()
        for case, attempt in attempts(rows):
            yield case, attempt
            self.shown[case] = attempt.content, attempt.mask
            if attempt.samples:
                self.done.append(case)
            if time.monotonic() - kept > PART_S:
                self._keep(store)
                kept = time.monotonic()

    def _keep(self, store: Store) -> None:
        """Make an entry of the cases that were done since the last, where there is room."""
        cases, self.done = sorted(self.done), []
        part = self.wanted.of(cases)
        with suppress(OSError):
            free = shutil.disk_usage(part.root).free
            if not cases or 2 * part.needed + SPARE > free:
                return
            with self.unfinished() as scratch:
                new = scratch / "entry"
                new.mkdir(mode=0o700)
                filled(new, part.shape, part.each, lambda mine: _take(mine, store, cases))
                entry, made = self.put(part, cases, {}, new)
                if made:
                    self.parts.append(entry)

    def put(
        self, part: Wanted, cases: list[int], failed: Mapping[int, str], new: Path
    ) -> tuple[Path, bool]:
        """Give an entry its place, and say of what it is; was there none like it?"""
        named = {
            row: reason.replace(str(part.cohort[row].path), part.cohort[row].path.name)
            for row, reason in sorted(failed.items())
        }
        shown = [self.shown[case] for case in cases]
        known = Known(*([names[case] for case in cases] for names in self.known))
        write_bytes(new / "failed.json", json.dumps(named).encode())
        entry = part.root / key_of(part.cohort, part.rules, shown)
        about = {"key": entry.name, "cohort": part.cohort.title, "cases": len(part.cohort)}
        write_bytes(new / ABOUT, json.dumps(about).encode())
        write_bytes(new / f"{likeness_of(part.cohort, part.rules)}.like", b"")
        write_bytes(new / marker_of(part.rules), b"")
        write_array(new / INDEX, index_of(part.cohort, known, shown, part.started))
        part.know(new)
        old = part.load(entry)
        if old is not None and old.failed == named:  # the same images, elsewhere
            part.know(entry)
            return entry, False
        if entry.exists() or entry.is_symlink():
            entry.rename(new.parent / "old")
        new.rename(entry)
        return entry, True


def _take(mine: Store, store: Store, cases: list[int]) -> None:
    for number, case in enumerate(cases):
        mine.take(number, store, case)


class _Unfinished(tempfile.TemporaryDirectory[str]):
    """A folder for what is being made, removed at the end of the block."""

    def __init__(self, root: Path) -> None:
        super().__init__(dir=root, prefix=UNFINISHED)

    def __enter__(self) -> Path:  # type: ignore[override]
        return Path(super().__enter__())
