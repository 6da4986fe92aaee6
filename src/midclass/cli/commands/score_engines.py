"""Engines of ``score``: this process, or the workers of a Ray cluster; the same blocks come out."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from midclass.cli.commands.blocks import ScoredBlock, Wording, failed_block, scored_block
from midclass.cli.commands.parts import CohortImages, Images
from midclass.cli.commands.shown import Shown
from midclass.cli.commands.spread import DEATHS, Job, Parcel, renumbered, size_of, spread
from midclass.cli.console import note
from midclass.cli.options import Options
from midclass.detectors.base import Detector
from midclass.detectors.saved import known_id
from midclass.files import NewFile
from midclass.images.keys import own_folder
from midclass.study.cluster import cluster
from midclass.types import Progress

Blocks: TypeAlias = Generator[ScoredBlock, None, None]


@dataclass
class Going:
    """How far it is, for the bar: by what is drawn, where anything is, else by what is prepared."""

    show: Progress
    total: int
    draws: bool
    done: int = 0

    def prepared(self, done: int, _: int, text: str) -> None:
        """So many images are."""
        if self.draws:
            self.show(self.done, self.total, f"{done} prepared")
        else:
            self.show(done, self.total, text)

    def drawn(self) -> None:
        """One image more is."""
        self.scored(1, "")

    def scored(self, cases: int, text: str) -> None:
        """So many cases more are."""
        self.done += cases
        self.show(self.done, self.total, text)


@dataclass(frozen=True)
class Scoring:
    """What is to be done.

    Attributes:
        folder: of the detector.
        detector: from there.
        images: to score.
        options: files that may run, processes, and the folder of prepared images.
        size: cases of a block at most.
        wording: of the tables.
        max_fpr: rate of the flags; None for that of the detector.
        shown: where pictures and objects go.
        going: told of what is done.
    """

    folder: Path
    detector: Detector
    images: Images
    options: Options
    size: int
    wording: Wording
    max_fpr: float | None
    shown: Shown
    going: Going


def _local(all_of: Scoring) -> Blocks:
    """This process scores, others help to read and prepare."""
    parts = all_of.images.parts(all_of.detector, all_of.size, all_of.going.prepared)
    first = 0
    with closing(parts):
        for cases, prepared in parts:
            block = scored_block(
                all_of.detector,
                cases,
                prepared,
                all_of.wording,
                all_of.shown,
                first,
                all_of.going.drawn,
            )
            first += block.samples
            yield block
            del block, prepared  # or they would stay while the next is prepared


def _ray(all_of: Scoring) -> Blocks:
    """The workers of a Ray cluster read, prepare, score and draw; this process writes."""
    shown, detector, images = all_of.shown, all_of.detector, all_of.images
    assert isinstance(images, CohortImages)
    job = Job(
        Path.cwd(),
        all_of.folder,
        known_id(detector),
        all_of.options.trust,
        all_of.max_fpr,
        own_folder(all_of.options.cache).absolute(),
        all_of.wording,
        pictures=shown.pictures is not None,
        made=None if shown.dicom is None else shown.dicom.made,
    )
    told, first = set[str](), 0
    with cluster(all_of.options.jobs) as workers:
        count = len(images.cohort)
        size = size_of(count, workers.workers, all_of.size, shown=bool(shown))
        parts = images.cohort.blocks(size, detector.recipe.geometry)
        blocks = spread(workers, job, parts, note)
        for cases, parcel in blocks:
            if parcel is None:
                why = (
                    f"the workers that scored it and {len(cases) - 1} other cases died {DEATHS} "
                    "times, perhaps for lack of memory"
                )
                block = failed_block(detector, cases, why, all_of.wording)
            else:
                _unpack(parcel, shown, first)
                for text in dict.fromkeys(parcel.notes):
                    if text not in told:
                        told.add(text)
                        note(f"note: {text}")
                block = parcel.block
            first += block.samples
            all_of.going.scored(len(cases), f"{workers.workers} workers")
            yield block
            del block, parcel, cases  # or they would stay while others come


def _unpack(parcel: Parcel, shown: Shown, first: int) -> None:
    """Write the files that a worker made, numbered from ``first`` on, and count them."""
    _write(parcel.pictures, shown.pictures, first)
    _write(parcel.objects, shown.objects, first)
    if shown.dicom is not None:
        written, others, failed = parcel.dicom
        shown.dicom.written += written
        shown.dicom.others += others
        shown.dicom.failed += failed


def _write(files: Mapping[str, NDArray[np.uint8]], new: NewFile | None, first: int) -> None:
    for name, content in files.items():
        assert new is not None
        with new(renumbered(name, first)) as file:
            file.write(content.data)


ENGINES: dict[str, Callable[[Scoring], Blocks]] = {"local": _local, "ray": _ray}
