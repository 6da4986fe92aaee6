"""Memory and time of `midclass score` at 1 000, 10 000 and 100 000 small cases.

    python benchmarks/scale.py [--cases 1000 10000 100000] [--folder WORK]

Each case is a PNG file of 32 x 32 pixels. Each size is scored by a command of its own, with nothing
prepared before; the operating system tells its peak of resident memory. What ten cases take is its
start. Ratios are to the first size. The files stay in WORK, if one is given, for the next run.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import PIL.Image

SIDE = 32
RECIPE = """\
name: small
given_class: normal
target_class: ball
geometry: {size: [32, 32], spacing_mm: 1.0}
anatomy: anatomy.whole
middle_classes: {ball: {operator: focal.Focal, diameter_mm: [5, 12]}}
budget: {steps: 4, batch: 8, width: 8, checkpoints: 1}
"""


def write_cases(folder: Path, n: int) -> Path:
    """The first n images of an endless series, and their manifest."""
    images = folder / "images"
    for start in range(0, n, 1000):
        part = images / f"{start // 1000:04d}"
        part.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(start)
        for number in range(start, min(start + 1000, n)):
            pixels = rng.integers(40, 200, (SIDE, SIDE), np.uint8)
            file = part / f"{number:06d}.png"
            if not file.exists():
                PIL.Image.fromarray(pixels).save(file, compress_level=0)
    manifest = folder / f"{n}.csv"
    with manifest.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("path", "label", "patient_id"))
        names = (f"images/{i // 1000:04d}/{i:06d}.png" for i in range(n))
        writer.writerows((name, 0, f"p{i // 4}") for i, name in enumerate(names))
    return manifest


def midclass(folder: Path, *arguments: object) -> tuple[float, float]:
    """Run a command; its seconds and its peak of memory in MiB."""
    command = [sys.executable, "-m", "midclass", *map(str, arguments)]
    began = time.monotonic()
    # One thread: pools of memory differ from thread to thread.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MIDCLASS_CACHE": str(folder / "cache")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return time.monotonic() - began, usage.ru_maxrss / 1024


def run(folder: Path, sizes: list[int]) -> None:
    """Print the table."""
    (folder / "small.yaml").write_text(RECIPE, encoding="utf-8")
    fitted = folder / "detector"
    if not fitted.exists():
        few = write_cases(folder, 200)
        midclass(folder, "fit", folder / "small.yaml", "--cohort", few, "--out", fitted)
    print("| cases | s | ms a case after the start | ratio | peak MiB | ratio |")
    print("|---|---|---|---|---|---|")
    start, first = 0.0, None
    for n in (10, *sizes):
        shutil.rmtree(folder / "cache", ignore_errors=True)
        manifest, out = write_cases(folder, n), folder / f"{n}-scores.csv"
        asked = ("score", fitted, "--cohort", manifest, "--out", out, "--overwrite")
        seconds, peak = midclass(folder, *asked)
        if n == 10:
            start = seconds
            continue
        each = 1000 * (seconds - start) / n
        first = first or (each, peak)
        print(
            f"| {n} | {seconds:.1f} | {each:.2f} | {each / first[0]:.2f} | {peak:.0f} | "
            f"{peak / first[1]:.2f} |",
            flush=True,
        )


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if asked.folder is not None:
        asked.folder.mkdir(parents=True, exist_ok=True)
        run(asked.folder, asked.cases)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            run(Path(scratch), asked.cases)


if __name__ == "__main__":
    main()
