"""Cache: prepared samples on disk as memory maps, written whole or not at all, oldest removed.

An entry is a folder with the name ``keys.key_of`` gives it: what the cohort shows, and how it was
prepared. It is found without opening an image where the files are known to be those that were
read (``change.settled``), or else by what they hold. Samples of single files are taken from other
entries, see ``taken``. Only entries that nobody else can have written are believed, and only those
whose every file has its type and length.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from midclass.errors import InputError
from midclass.images.building import Wanted, build
from midclass.images.cohort import Cohort
from midclass.images.keys import key_of, likeness_of
from midclass.images.store import DIED, Attempt, Attempts, Store
from midclass.images.work import shown_of

if TYPE_CHECKING:
    from midclass.types import Progress


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

    ``root`` is ``keys.own_folder``, and ``shape`` that of all pixels, with ``each`` rows for each
    case.

    An entry that cannot be believed is made again, as is one in which a case failed that no longer
    fails (the reason may lie outside the file).

    Raises:
        InputError: the cache cannot be written, or the disk has too little space.
    """
    wanted = Wanted.now(root, cohort, rules, shape, each)
    for entry in _candidates(wanted):
        store = wanted.load(entry)
        if store is not None:
            again = _tried_again(store.failed, attempts)
            if not any(attempt.samples for attempt in again.values()):
                # A copy's reasons name its own files.
                store.failed.update({row: attempt.reason for row, attempt in again.items()})
                with suppress(OSError):  # without it, the files are compared again
                    wanted.know(entry)
                return store
    try:
        entry, failed = build(wanted, attempts, progress)
    except OSError as error:
        way_out = "set MIDCLASS_CACHE to another folder"
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            way_out = f"`midclass cache --clear` makes room, or {way_out}"
        raise InputError(
            f"{root}: the cache of prepared images cannot be written ({error.strerror}); {way_out}"
        ) from error
    store = wanted.load(entry)
    if store is None:
        raise InputError(
            f"{entry}: was removed while it was written, or its drive keeps no owners of files; "
            "start again, or set MIDCLASS_CACHE to a folder on another drive"
        )
    store.failed.update(failed)
    return store


def _tried_again(failed: Mapping[int, str], attempts: Attempts) -> dict[int, Attempt]:
    """Failed cases, tried again; those at which a process died not in this one."""
    deadly = [row for row, reason in sorted(failed.items()) if DIED in reason]
    rows = sorted(failed.keys() - set(deadly))
    return dict(attempts(rows)) | dict(attempts(deadly, apart=True))


def _candidates(wanted: Wanted) -> list[Path]:
    """Where the samples may lie: those of these very files, or else those of a copy of them.

    The files are opened to be compared only where those of an entry are as many and as long.
    """
    root, cohort, rules = wanted.root, wanted.cohort, wanted.rules
    known = [file.parent for file in root.glob(f"*/{wanted.state}.known")]
    if not known and any(root.glob(f"*/{likeness_of(cohort, rules)}.like")):
        known = [root / key_of(cohort, rules, map(shown_of, cohort))]
    return known
