"""Preparation: beside decoding alone, in as many processes; and one file more in a folder."""

from __future__ import annotations

import multiprocessing
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from inspect import unwrap
from pathlib import Path

from rows import Asked, Row, pictures, recipe_text, write_dicom, write_png

from midclass import Cohort, Recipe, prepare

CORES = 2


def decode(path: Path) -> float:
    """What Pillow or pydicom alone take to give the pixels."""
    import PIL.Image
    import pydicom

    if path.suffix == ".dcm":
        return float(pydicom.dcmread(path).pixel_array[0, 0])
    with PIL.Image.open(path) as image:
        image.load()
        return float(image.getpixel((0, 0)))


def decoded(files: Sequence[Path]) -> float:
    """Seconds to decode all, start of the processes included, as it is in preparing."""
    began = time.monotonic()
    with multiprocessing.get_context("spawn").Pool(CORES) as pool:
        sum(pool.imap_unordered(decode, files, chunksize=8))
    return time.monotonic() - began


def prepared(files: Sequence[Path], recipe: Recipe, folder: Path, jobs: int = CORES) -> float:
    """Seconds to prepare all, nothing being kept before."""
    shutil.rmtree(folder / "cache", ignore_errors=True)
    cohort = Cohort.from_files(files)
    began = time.monotonic()
    prepare(cohort, recipe, cache=folder / "cache", jobs=jobs)
    return time.monotonic() - began


def preparing(asked: Asked) -> Iterator[Row]:
    """PNG and DICOM files with the cheapest anatomy, and with that of the chest recipe."""
    n = asked.images
    files = [*write_png(asked.folder / "png", n), *write_dicom(asked.folder / "dcm", n // 4)]
    (asked.folder / "bench.yaml").write_text(recipe_text(128), encoding="utf-8")
    cheap, chest = Recipe.load(asked.folder / "bench.yaml"), Recipe.load("chest_xray")
    few = files[: n // 8]
    for name, recipe, some in (("foreground", cheap, files), ("chest_xray", chest, few)):
        peer = decoded(some)
        seconds = prepared(some, recipe, asked.folder)
        what = f"{len(some)} files of 512 px, anatomy of {name}, s beside decoding alone, 2 cores"
        yield Row(what, seconds, peer, seconds / peer, "<= 2")
    large = write_png(asked.folder / "large", n // 8, side=2048)
    peer = decoded(large)
    for name in ("chest_xray", "bone_xray"):
        seconds = prepared(large, Recipe.load(name), asked.folder)
        what = f"{len(large)} PNG of 2048 px, anatomy of {name}, s beside decoding alone, 2 cores"
        yield Row(what, seconds, peer, seconds / peer, "")
    seconds, alone = (prepared(few, chest, asked.folder, jobs) for jobs in (2, 1))
    yield Row(f"{len(few)} files, 2 processes beside 1, s", seconds, alone, alone / seconds, "")


def anatomies(asked: Asked) -> Iterator[Row]:
    """Processor time of an image of 2048 px, beside the same anatomy at the file's resolution."""
    pixels, spacing = pictures(1, 2048)[0][None], (0.15, 0.15)
    names = ("chest_xray", "head_ct", "brain_mr", "fundus", "bone_xray")
    for find in (Recipe.load(name).anatomy_function() for name in names):
        find(pixels, spacing)  # what is imported and kept once is no image's
        seconds, peer = (_processor_time(one, pixels, spacing) for one in (find, unwrap(find)))
        yield Row(f"{find.__name__} of 2048 px, CPU s", seconds, peer, seconds / peer, "")


def _processor_time(find: Callable[..., object], *seen: object) -> float:
    began = time.process_time()
    find(*seen)
    return time.process_time() - began


def one_more(asked: Asked) -> Iterator[Row]:
    """How many files are decoded when one comes to 600."""
    files = write_png(asked.folder / "png", 601, side=64)
    (asked.folder / "bench.yaml").write_text(recipe_text(32), encoding="utf-8")
    recipe, read = Recipe.load(asked.folder / "bench.yaml"), []
    whole = Cohort.read
    Cohort.read = lambda self, *a, **k: (read.append(1), whole(self, *a, **k))[1]  # type: ignore
    try:
        time.sleep(2.5)  # states of files are trusted then
        prepare(Cohort.from_files(files[1:]), recipe, cache=asked.folder / "cache")
        read.clear()
        prepare(Cohort.from_files(files), recipe, cache=asked.folder / "cache")
    finally:
        Cohort.read = whole  # type: ignore[method-assign]
    yield Row("files decoded when one comes to 600", len(read), 1, len(read), "1")
