"""Scoring: beside the bare network, over cores, and the memory of an archive."""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from rows import Asked, Row, midclass, recipe_text, write_png

from midclass import Cohort, prepare
from midclass.cli.commands import score
from midclass.cli.options import Options
from midclass.detectors.storage import load_detector
from midclass.study.cluster import cluster
from midclass.training.lesson import FORWARD_BATCH

IMAGES = 256
ROUNDS = 5


def fitted(folder: Path, size: int, side: int, **budget: object) -> Path:
    """A detector that has learned next to nothing: what it computes is the same."""
    write_png(folder / "normal", 60, side)
    recipe = folder / "bench.yaml"
    recipe.write_text(recipe_text(size, **budget), encoding="utf-8")
    # At 5 % it would learn in folds, and each image would go through the networks of all of them.
    words = ("fit", recipe, folder / "normal", "--out", folder / "detector", "--max-fpr", 0.1)
    midclass(folder, *words)
    return folder / "detector"


def median_s(*jobs: Callable[[], object]) -> list[float]:
    """Of each the median of processor time over the rounds, in turns, on one thread."""
    torch.set_num_threads(1)
    times: list[list[float]] = [[] for _ in jobs]
    for _ in range(ROUNDS + 1):
        for job, found in zip(jobs, times, strict=True):
            began = time.process_time()
            job()
            found.append(time.process_time() - began)
    return [statistics.median(found[1:]) for found in times]


def from_prepared(asked: Asked) -> Iterator[Row]:
    """Scores of prepared images, without and with heat maps, beside the network's forward."""
    folder = fitted(asked.folder, 128, 128)
    detector = load_detector(folder)
    files = write_png(asked.folder / "png", IMAGES, 128)
    prepared = prepare(Cohort.from_files(files), detector.recipe, cache=asked.folder / "cache")
    batches = [
        prepared.batch(slice(start, start + FORWARD_BATCH))
        for start in range(0, IMAGES, FORWARD_BATCH)
    ]

    def bare() -> None:
        with torch.inference_mode():
            for batch in batches:
                detector.networks_(batch)

    def looks(heat_maps: bool) -> None:
        for _ in detector.looks(prepared, heat_maps=heat_maps):
            pass

    peer, scores, maps = median_s(bare, lambda: looks(False), lambda: looks(True))
    what = f"{IMAGES} prepared images of 128 px"
    yield Row(f"{what}, CPU s beside the network's forward", scores, peer, scores / peer, "<= 1.1")
    yield Row(f"{what} with heat maps, CPU s beside it", maps, peer, maps / peer, "<= 1.3")


def from_files(asked: Asked) -> Iterator[Row]:
    """The command on two cores and on one, less what it takes of ten images (its start)."""
    folder = fitted(asked.folder, 64, 512, width=8)
    files = write_png(asked.folder / "png", asked.images // 2)
    few = asked.folder / "few"
    few.mkdir()
    for file in files[:10]:
        shutil.copy(file, few)
    times = []
    for cores in (1, 2):
        spent = []
        for place in (few, asked.folder / "png"):
            shutil.rmtree(asked.folder / "cache", ignore_errors=True)
            words = ("score", folder, place, "--out", asked.folder / "s.csv", "--overwrite")
            spent.append(midclass(asked.folder, *words, cores=cores)[0])
        times.append(spent[1] - spent[0])
    what = f"{len(files)} PNG of 512 px, s on 2 cores beside 1"
    yield Row(what, times[1], times[0], times[0] / times[1], ">= 1.8")


def over_ray(asked: Asked) -> Iterator[Row]:
    """One worker of Ray and two, and this process; all have scored before, so that no start counts.

    The tables must be those of this process, byte for byte.
    """
    torch.set_num_threads(1)
    folder = fitted(asked.folder, 64, 512, width=8)
    cohort = Cohort.from_files(write_png(asked.folder / "png", asked.images))
    cache, out, tables = asked.folder / "cache", asked.folder / "s.csv", set[bytes]()

    def seconds(engine: str) -> float:
        """Of the second run, nothing being kept of the first."""
        for _ in range(2):
            shutil.rmtree(cache, ignore_errors=True)
            began = time.monotonic()
            score.run(folder, cohort, Options(cache=cache, overwrite=True), out=out, engine=engine)
        tables.add(out.read_bytes())
        return time.monotonic() - began

    process, times = seconds("local"), []
    for workers in (1, 2):
        with cluster(workers):
            times.append(seconds("ray"))
    if len(tables) > 1:
        raise SystemExit("failed: the workers of Ray write another table than one process")
    what = f"{len(cohort)} PNG of 512 px, same bytes, s of 2 workers"
    yield Row(f"{what} beside 1 worker", times[1], times[0], times[0] / times[1], ">= 1.8")
    yield Row(f"{what} beside 1 process", times[1], process, process / times[1], "")


def memory(asked: Asked) -> Iterator[Row]:
    """Peak of ``score --heat-maps`` at two sizes, nothing being kept before."""
    folder = fitted(asked.folder, 32, 32, width=8)
    peaks = []
    for n in asked.cases:
        shutil.rmtree(asked.folder / "cache", ignore_errors=True)
        write_png(asked.folder / f"{n}", n, 32)
        out, maps = asked.folder / f"{n}.csv", asked.folder / f"{n}-maps"
        words = ("score", folder, asked.folder / f"{n}", "--out", out, "--heat-maps", maps)
        peaks.append(midclass(asked.folder, *words)[1])
    few, many = asked.cases
    what = f"score --heat-maps of {many} images beside {few}, MiB"
    yield Row(what, peaks[1], peaks[0], peaks[1] / peaks[0], "<= 1.1")
