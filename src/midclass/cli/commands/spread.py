"""Spread: the blocks of a cohort are scored by the workers of a cluster, and come back in order.

A worker that dies loses nothing: its block is scored again, and then each image is read by a
process of its own, so that a decoder that ends its process fails at its own case. Where workers die
three times at one block, its cases fail.
"""

from __future__ import annotations

import datetime
import os
import socket
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from midclass.cli.commands.blocks import ScoredBlock, Wording, scored_block
from midclass.cli.commands.shown import Shown, numbered
from midclass.detectors.base import Detector
from midclass.detectors.dicom_out import DicomOut
from midclass.detectors.saved import known_id
from midclass.detectors.site import promise
from midclass.detectors.storage import load_detector
from midclass.errors import InputError
from midclass.images.cohort import Case, Cohort
from midclass.images.prepare import prepare_blocks
from midclass.study.cluster import Cluster, Running, WorkerDiedError
from midclass.training.lesson import FORWARD_BATCH
from midclass.version import __version__

DEATHS = 3
"""Of workers at one block, after which it has failed."""
AHEAD = 2
"""Blocks for each worker that are begun and not written yet."""
SHARES = 4
"""Blocks for each worker at least, where there are enough cases: the last ones end together."""
MOST_SHOWN = FORWARD_BATCH
"""Cases of a block of which pictures travel: they are large."""


@dataclass(frozen=True)
class Job:
    """What a worker must know, beside the cases.

    Attributes:
        here: the folder to which all others are relative.
        detector: its folder.
        id: of the detector.
        trust: files of the user's, and names of packages, that may run.
        max_fpr: rate of the flags; None for that of the detector.
        cache: folder of prepared images.
        wording: of the tables.
        pictures: whether heat maps are drawn.
        made: date of the DICOM objects; None for no objects.
    """

    here: Path
    detector: Path
    id: str
    trust: tuple[Path, ...]
    max_fpr: float | None
    cache: Path
    wording: Wording
    pictures: bool = False
    made: datetime.datetime | None = None
    version: str = __version__


class Parcel(NamedTuple):
    """What a worker sends back.

    Attributes:
        block: the scored cases.
        pictures: files by name, numbered from 0.
        objects: likewise.
        dicom: images about which objects were written, and others; and of which they could not be.
        notes: warnings.
    """

    block: ScoredBlock
    pictures: dict[str, NDArray[np.uint8]]
    objects: dict[str, NDArray[np.uint8]]
    dicom: tuple[int, int, Sequence[tuple[Case, str]]]
    notes: Sequence[str]


@dataclass
class _Files:
    """Files that are kept in memory, as bytes that can travel without a copy."""

    found: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    @contextmanager
    def new(self, name: str) -> Iterator[BinaryIO]:
        """A file to fill."""
        with BytesIO() as file:
            yield file
            self.found[name] = np.frombuffer(file.getvalue(), np.uint8)


def score_on_worker(job: Job, cases: Cohort, apart: bool) -> Parcel:
    """Score some cases in the process of a worker, with one thread.

    Args:
        job: what to do.
        cases: the cases.
        apart: read no image in this process.

    Raises:
        InputError: the detector is not there, is another, or prepared images cannot be kept.
    """
    try:
        with warnings.catch_warnings(record=True) as caught:
            parcel = _score(job, cases, apart)
    except InputError as error:  # of whichever kind: not all can be pickled
        raise InputError(f"on the worker {socket.gethostname()}: {error}") from None
    return parcel._replace(notes=tuple(str(one.message) for one in caught))


def _score(job: Job, cases: Cohort, apart: bool) -> Parcel:
    detector = _loaded(job)
    pictures, objects = _Files(), _Files()
    dicom = None if job.made is None else DicomOut(detector, job.made)
    shown = Shown(pictures.new if job.pictures else None, objects.new, dicom)
    raw = prepare_blocks(cases, detector.recipe, len(cases), cache=job.cache, apart=apart)
    with closing(raw):
        block = scored_block(detector, cases, next(raw), job.wording, shown)
    said = (0, 0, ()) if dicom is None else (dicom.written, dicom.others, tuple(dicom.failed))
    return Parcel(block, pictures.found, objects.found, said, ())


@lru_cache(maxsize=1)
def _loaded(job: Job) -> Detector:
    """The detector, loaded once in each process."""
    import torch

    if job.version != __version__:
        raise InputError(f"has midclass {__version__}, the command {job.version}; install the same")
    try:
        os.chdir(job.here)
    except OSError as error:
        raise InputError(
            f"{job.here}: {error.strerror}; every worker needs the same files under the same paths"
        ) from None
    torch.set_num_threads(1)
    detector = load_detector(job.detector, job.trust)
    if known_id(detector) != job.id:
        raise InputError(f"{job.detector}: is another detector there; copy the same to all")
    if job.max_fpr is not None:
        promise(detector, job.max_fpr)
    return detector


class _Begun(NamedTuple):
    """A block that is scored now."""

    number: int
    cases: Cohort
    deaths: int


def size_of(cases: int, workers: int, largest: int, *, shown: bool) -> int:
    """How many cases a block has: the largest, halved until every worker has some.

    Args:
        cases: of the cohort.
        workers: of the cluster.
        largest: cases of a block in one process.
        shown: pictures or objects travel, too.

    >>> size_of(100_000, 8, 512, shown=False), size_of(1000, 2, 512, shown=False)
    (512, 64)
    """
    size = largest
    while size % (2 * FORWARD_BATCH) == 0 and (
        cases < SHARES * workers * size or (shown and size > MOST_SHOWN)
    ):
        size //= 2
    return size


def spread(
    cluster: Cluster, job: Job, blocks: Iterator[Cohort], tell: Callable[[str], object]
) -> Iterator[tuple[Cohort, Parcel | None]]:
    """Score blocks on the workers of a cluster; each comes with its parcel, in their order.

    None stands for a block at which workers died three times. So many are begun at once that every
    worker has something to do, and no more, so that memory is the same for any number.

    Args:
        cluster: the workers.
        job: what they do.
        blocks: cases.
        tell: called with a line where a worker died.
    """
    begin = partial(cluster.begin, score_on_worker, job)
    running: dict[Running, _Begun] = {}
    done: dict[int, tuple[Cohort, Parcel | None]] = {}
    ahead, due = enumerate(blocks), 0
    while True:
        while len(running) + len(done) < AHEAD * cluster.workers:
            number, cases = next(ahead, (-1, None))
            if cases is None:
                break
            running[begin(cases, False)] = _Begun(number, cases, 0)
        if due in done:
            yield done.pop(due)
            due += 1
            continue
        if not running:
            return
        ended = cluster.first_done(running)
        one = running.pop(ended)
        try:
            done[one.number] = one.cases, cluster.result(ended)
        except WorkerDiedError:
            deaths = one.deaths + 1
            if deaths < DEATHS:
                tell(f"note: a worker died; its {len(one.cases)} cases are scored again")
                running[begin(one.cases, True)] = one._replace(deaths=deaths)
            else:
                done[one.number] = one.cases, None


def renumbered(name: str, first: int) -> str:
    """The name of a file that a worker numbered from 0.

    >>> renumbered("00007_a.png", 512)
    '00519_a.png'
    """
    number, _, rest = name.partition("_")
    return numbered(first + int(number), rest)
