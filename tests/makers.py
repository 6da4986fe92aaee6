"""Makers that several test files share: recipes, images, cohorts, and detectors of known scores.

What only one file needs stays there. Everything is small: it trains in seconds.
"""

from __future__ import annotations

import csv
import os
import re
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from multiprocessing import forkserver
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NoReturn

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import midclass
from midclass import Cohort, Detector, ImageBatch, Lesson, Prepared, Progress, Recipe
from midclass.images import phantoms
from midclass.knowledge.nuisance import Nuisance
from midclass.recipe.budget import Budget
from midclass.training.loop import History

STILL = Nuisance(0, (1, 1), 0, (1, 1), (1, 1), 0, 0, 0, 0)
"""A nuisance that changes nothing."""

HALF_AS_BRIGHT = {
    "rotation_deg": 0,
    "scale": [1, 1],
    "shift": 0,
    "gain": [0.5, 0.5],
    "gamma": [1, 1],
    "offset": 0,
    "bias": 0,
    "noise": 0,
    "blur_mm": 0,
}
"""Fields of a nuisance of which one can see whether images went through it."""

NAMES = """
name: mine
given_class: normal
target_class: disease
geometry: {size: [64, 64]}
anatomy: anatomy.whole
"""
"""All that a recipe must say, but its middle classes."""


TILES = {
    "view": "tiles",
    "size": [16, 16],
    "roi_mm": 16,
    "canvas_mm": [64, 56],
    "spacing_mm": 1.0,
}
"""Geometry of tiles of 16 mm, on images of 64 x 56 mm at most."""


def loaded(folder: Path, text: str) -> Recipe:
    """A recipe from a file of that text."""
    (folder / "my.yaml").write_text(text)
    return Recipe.load(folder / "my.yaml")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


every_kind_of_image = pytest.mark.parametrize(
    ("dims", "channels"),
    [
        (2, 1),
        pytest.param(2, 3, marks=pytest.mark.slow),
        pytest.param(3, 1, marks=pytest.mark.slow),
        pytest.param(3, 3, marks=pytest.mark.thorough),
    ],
)
"""What the contract of an operator is tried on."""


def recipe(**fields: Any) -> Recipe:
    """Bright balls on 32 px of 1 mm, everywhere; fields take the place of these."""
    usual = {
        "name": "small",
        "given_class": "normal",
        "target_class": "disease",
        "geometry": {"size": [32, 32], "spacing_mm": 1.0},
        "anatomy": "anatomy.whole",
        "middle_classes": {"ball": {"operator": "focal.Focal", "diameter_mm": [5, 12]}},
    }
    budget = {"pretrained": None, **fields.get("budget", {})}  # fast, where it is not the subject
    return Recipe.from_dict(usual | fields | {"budget": budget})


def trained_recipe(
    steps: int = 4, fields: dict[str, Any] | None = None, **budget: object
) -> Recipe:
    """Bright balls in bright discs, with a held-out operator and a nuisance, trained in seconds."""
    usual = {
        "anatomy": "anatomy.foreground",
        "held_out": {"moved": {"operator": "deformation.Deformation", "radius_mm": [5, 9]}},
        "nuisance": {"rotation_deg": 10},
        "budget": {"steps": steps, "batch": 8, "width": 8, "checkpoints": 2, **budget},
    }
    return recipe(**usual | (fields or {}))


def tiny_phantoms(steps: int = 8, checkpoints: int = 2) -> str:
    """The text of a recipe for phantoms that trains in a second, without a pretrained network."""
    return f"""\
extends: phantoms
name: tiny
floor: 0.0
geometry: {{size: [32, 32], field_of_view_mm: 200}}
budget: {{steps: {steps}, batch: 8, width: 8, checkpoints: {checkpoints}, pretrained: null}}
"""


def discs(
    n: int, seed: int, square: float = 0.0, corner: tuple[int, int] | None = None
) -> NDArray[np.float32]:
    """``(n, 1, 32, 32)``: noisy discs of different size, with a square of 6 px for a target class.

    Args:
        n: how many.
        seed: of sizes, noise and places.
        square: its contrast.
        corner: where it is in every image (row, column); None draws it for each.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    body = 0.4 * (np.hypot(x, y) < rng.uniform(0.7, 0.9, (n, 1, 1)))
    images = body + rng.normal(0, 0.02, (n, 32, 32)).clip(-0.05, 0.05) + 0.06
    corners = rng.integers(10, 17, (n, 2)) if corner is None else [corner] * n
    for image, (i, j) in zip(images, corners, strict=True):
        image[i : i + 6, j : j + 6] += square
    return images.clip(0, 1)[:, None].astype(np.float32)


def of_target_class(prepared: Prepared) -> Prepared:
    """The same samples as cases of other patients, of the target class."""
    cases = [
        replace(case, case_id=f"positive {case.case_id}", patient_id=f"q{i}", label=1)
        for i, case in enumerate(prepared.cases)
    ]
    return replace(prepared, cases=Cohort(tuple(cases)))


def with_samples(prepared: Prepared, each: int) -> Prepared:
    """The same samples, so many in a row being those of one case."""
    cases = prepared.cases[::each]
    return replace(prepared, cases=cases, case_index=np.arange(len(prepared)) // each)


def manifest(folder: Path, *lines: str) -> Path:
    """A manifest of these lines."""
    path = folder / "manifest.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def phantom_folder(
    folder: Path, text: str, given: int = 60, target: int = 12, data: str = "data"
) -> Path:
    """The folder with breast phantoms in a folder of their own and a recipe ``tiny.yaml``."""
    phantoms.write(folder / data, "breast", 0, given, target, size=48)
    (folder / "tiny.yaml").write_text(text)
    return folder


def manifest_rows(manifest: Path) -> list[dict[str, str]]:
    """The rows of a manifest, as text."""
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_manifest(manifest: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """A manifest of these rows, all with the columns of the first."""
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


HEAVY = (
    "torch._dynamo",
    "monai.networks.nets",
    "sklearn.covariance",
    "sklearn.svm",
    "scipy.stats",
    "matplotlib.figure",
    "gdcm",
)
"""What commands import when they need it."""


def typed(arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A command of midclass as a user types it in that folder, in a process of its own."""
    return command(arguments.split(), folder, MIDCLASS_CACHE=str(folder / "cache"))


def command(
    arguments: Sequence[str], folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """A command of midclass in a process of its own, see ``started``; once it has ended."""
    process = started(arguments, folder, **environment)
    out, err = process.communicate()
    assert process.returncode is not None
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


class Forked:
    """A child of this process, with what tests need of ``subprocess.Popen``."""

    def __init__(self, pid: int, out: IO[str], err: IO[str]) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._files = out, err

    def poll(self) -> int | None:
        if self.returncode is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def wait(self, timeout: float = 600) -> int:
        until = time.monotonic() + timeout
        while (code := self.poll()) is None:
            if time.monotonic() > until:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(0.005)
        return code

    def communicate(self, timeout: float = 600) -> tuple[str, str]:
        self.wait(timeout)
        out, err = [(file.seek(0), file.read())[1] for file in self._files]
        return out, err

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def started(
    arguments: Sequence[str], folder: Path, *, session: bool = False, **environment: str
) -> Forked | subprocess.Popen[str]:
    """A command of midclass in a process of its own that has torch at hand.

    It is forked from this one, which saves the ten seconds in which a new process imports torch and
    what else a command needs. With threads that would not be safe: there a new one is started. That
    a new one works, too, is seen in test_cli.py and test_study.py.

    Args:
        arguments: behind ``midclass``.
        folder: where it is typed.
        session: the process leads a group of its own, which can be killed as one.
        environment: variables beside those of this process.
    """
    if torch.get_num_threads() > 1 or not hasattr(os, "fork"):
        source = {"PYTHONPATH": str(Path(midclass.__file__).parents[1])}
        return subprocess.Popen(
            [sys.executable, "-m", "midclass", *arguments],
            cwd=folder,
            env={**os.environ, **source, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=session,
        )
    for heavy in HEAVY:
        import_module(heavy)
    out, err = TemporaryFile("w+"), TemporaryFile("w+")  # noqa: SIM115 (read when it has ended)
    child = os.fork()
    if child == 0:
        if session:
            os.setsid()
        _become(arguments, folder, environment, out, err)
    return Forked(child, out, err)


def as_in_a_terminal() -> None:
    """Signals as a command finds them there, also where ``nohup`` or ``&`` lets them be ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in (signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        signal.signal(name, signal.SIG_DFL)


def _become(
    arguments: Sequence[str], folder: Path, environment: dict[str, str], out: IO[str], err: IO[str]
) -> NoReturn:
    """Turn this process into the command, and end with its exit code."""
    code = 1
    try:
        os.chdir(folder)
        os.environ.update(environment)
        for number, file in enumerate((out, err), start=1):
            os.dup2(file.fileno(), number)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        sys.stdout, sys.stderr = out, err
        sys.argv = ["midclass", *arguments]
        warnings.resetwarnings()
        forkserver._forkserver.__init__()  # that of this one is no child of the new process
        as_in_a_terminal()
        from midclass.cli.app import main

        main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(bool(end.code))
    except BaseException:
        traceback.print_exc()
    finally:
        out.flush()
        err.flush()
        os._exit(code)


@contextmanager
def listening(words: Sequence[str], folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """``midclass serve`` as typed, once it listens, with its address; it is gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "midclass", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(midclass.__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        told = ""
        while "listening" not in told:
            line = process.stdout.readline()
            assert line, process.communicate()
            told += line
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+", told)
        yield process, address
    finally:
        process.kill()


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Dice overlap of two masks."""
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def trained(
    network: nn.Module,
    loss: Callable[[nn.Module, torch.Generator], Tensor],
    budget: Budget,
    *,
    validate: Callable[[nn.Module], float] = lambda network: 0.5,
    seed: int = 1,
    workdir: Path | None = None,
    progress: Progress | None = None,
) -> tuple[History, list[dict[str, Tensor]]]:
    """``midclass.train`` without a cohort; all tests of the loop go through here."""
    lesson = Lesson(None, None, seed, workdir, progress)  # such a loss needs no prepared images
    return midclass.train(network, loss, validate, budget, lesson)


def cross_conformal_p(
    calibrations: Sequence[NDArray[np.float64]], scores: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The cross-conformal p-values of the definition, case by case."""
    n = sum(map(len, calibrations))
    above = [
        sum(int((values >= score).sum()) for values, score in zip(calibrations, case, strict=True))
        for case in scores
    ]
    return (1 + np.array(above)) / (1 + n)


class Brightness(Detector):
    """Scores the mean of an image, and learns nothing."""

    def learn(self, lesson: Lesson) -> None:
        """Nothing."""

    def score(self, images: ImageBatch) -> tuple[Tensor, None]:
        return images.pixels.mean((1, 2, 3)), None

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        return {}, {}

    def restore(self, tensors: dict[str, Tensor], facts: dict[str, Any]) -> None:
        """Nothing."""


class Memory(Brightness):
    """Scores 0 for what it has learned from or chosen with, and 1 for all else."""

    def learn(self, lesson: Lesson) -> None:
        self.seen = torch.cat(
            [
                self.images(part).collect(lambda batch: batch.pixels.flatten(1))
                for part in (lesson.train, lesson.select)
            ]
        )

    def score(self, images: ImageBatch) -> tuple[Tensor, None]:
        pixels = images.pixels.flatten(1)
        return torch.cdist(pixels, self.seen).amin(1).gt(1e-3).float(), None
