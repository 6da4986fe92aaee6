"""Taken: samples that another entry of the cache has of the same files, by the same rules.

So one file more in a folder is one file that is read, and what an interrupted preparation has made
is not made again. A file is the same by its state, where that can tell (``change``), or else by
what it holds; it is opened only where a file of this length was prepared before.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from midclass.images.case import Case
from midclass.images.change import each_settled
from midclass.images.entry import INDEX, array_of, load
from midclass.images.keys import files_of, likeness_of_case, name_of_shown, state_of_case
from midclass.images.store import NOTHING, Store
from midclass.images.work import shown_of

SHOWN, STATE, LIKENESS, MASK = range(4)
"""Columns of an index: a case by what it shows, by the state of its files ("" where that cannot
tell), by their lengths; and the hash of its mask, see ``identity.mask_content``."""
KIND = np.dtype("S64")


class Known(NamedTuple):
    """What is known of cases before any file is opened.

    Attributes:
        state: name of each by the state of its files.
        likeness: by their lengths.
    """

    state: list[bytes]
    likeness: list[bytes]

    @classmethod
    def of(cls, cases: Iterable[Case]) -> Known:
        """Of cases as their files lie there now."""
        cases = list(cases)
        return cls([state_of_case(one) for one in cases], [likeness_of_case(one) for one in cases])


def index_of(
    cases: Sequence[Case], known: Known, shown: Sequence[tuple[str, str]], started: float
) -> NDArray[np.bytes_]:
    """The index ``(n, 4)`` of an entry.

    Args:
        cases: n of them.
        known: before they were read.
        shown: hashes of image and mask of each, as they were read; "" where nothing was.
        started: when ``known`` was asked for.
    """
    settled = each_settled(map(files_of, cases), started)
    rows = [
        (name_of_shown(case, *pair), state if sure else b"", like, pair[1].encode())
        for case, state, like, pair, sure in zip(
            cases, known.state, known.likeness, shown, settled, strict=True
        )
    ]
    return np.array(rows, KIND).reshape(len(rows), 4)


class Found(NamedTuple):
    """Samples of a case in another entry.

    Attributes:
        case: its number.
        store: of the other entry.
        there: its number in that.
        mask: hash of its mask.
    """

    case: int
    store: Store
    there: int
    mask: str


def found(
    root: Path, marker: str, cases: Sequence[Case], known: Known, shape: tuple[int, ...], each: int
) -> Iterator[Found]:
    """What the entries of a cache have of some cases, each case once.

    Args:
        root: of the cache.
        marker: name of the file that all entries by the same rules have.
        cases: that are wanted.
        known: of them.
        shape: of all their pixels.
        each: rows of each case.
    """
    wanted = dict(enumerate(known.state))
    for one in _named(root, marker, STATE, wanted, shape, each):
        del wanted[one.case]
        yield one
    if not wanted:
        return
    lengths, seen = {known.likeness[case] for case in wanted}, set[bytes]()
    for _, index in _indices(root, marker):
        seen |= lengths.intersection(index[:, LIKENESS].tolist())
    opened = {
        case: name_of_shown(cases[case], *shown_of(cases[case]))
        for case in wanted
        if known.likeness[case] in seen
    }
    yield from _named(root, marker, SHOWN, opened, shape, each)


def _named(
    root: Path,
    marker: str,
    column: int,
    wanted: dict[int, bytes],
    shape: tuple[int, ...],
    each: int,
) -> Iterator[Found]:
    """The cases that an entry has under their names in one column of its index."""
    left = {case: name for case, name in wanted.items() if name}
    for entry, index in _indices(root, marker):
        names = index[:, column].tolist()
        if not set(left.values()).intersection(names):
            continue
        places = {name: number for number, name in enumerate(names)}
        store = load(entry, (len(index) * each, *shape[1:]), each)
        here = {case: places[name] for case, name in left.items() if name in places}
        if store is None:
            continue
        for case, there in here.items():
            rows = slice(there * each, (there + 1) * each)
            if there not in store.failed and (store.link[rows] != NOTHING).any():
                del left[case]
                yield Found(case, store, there, index[there, MASK].decode())


def _indices(root: Path, marker: str) -> Iterator[tuple[Path, NDArray[np.bytes_]]]:
    """The entries by the same rules with their indices, where they can be believed."""
    for file in sorted(root.glob(f"*/{marker}")):
        try:
            index = array_of(file.parent / INDEX, KIND, (None, 4), large=False)
        except (OSError, ValueError, EOFError, AttributeError, TypeError):
            continue
        yield file.parent, index
