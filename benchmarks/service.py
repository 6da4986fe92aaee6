"""What an image costs in `midclass serve`, beside the same images in process.

    python benchmarks/service.py DETECTOR FILES... [--images 128] [--clients 32] [--alone 5]

Processor time of the process that scores, and time by the clock. The service gets the files by
HTTP from as many clients at once; a detector looks at 8 images at a time, so that one alone costs
what 8 do, and is measured too. Ratios are to preparing and scoring in process, which is what
`midclass score` does without its cache. Linux (`/proc`).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import cycle, islice
from pathlib import Path

from midclass import Cohort
from midclass.cli.service.scorer import Arrived, Scorer
from midclass.images.case import Case
from midclass.images.prepare import prepare_unkept
from midclass.images.rules import Rules
from midclass.training.lesson import FORWARD_BATCH


def cpu_of(process: int) -> float:
    """Seconds of processor that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def timed(work: object, process: int, images: int) -> tuple[float, float]:
    """Milliseconds an image: of processor, and by the clock."""
    cpu, clock = cpu_of(process), time.monotonic()
    work()  # type: ignore[operator]
    cpu, clock = cpu_of(process) - cpu, time.monotonic() - clock
    return 1000 * cpu / images, 1000 * clock / images


def in_process(folder: Path, files: list[Path]) -> dict[str, tuple[float, float]]:
    """Scoring alone, of prepared images; and preparing and scoring."""
    scorer, rules = Scorer(folder), None
    rules = Rules(scorer.detector.recipe)
    cases = tuple(Case(f"{i}", file, None, f"{i}") for i, file in enumerate(files))
    prepared = prepare_unkept(Cohort(cases), rules)
    scorer.detector.score_samples(prepared.at(prepared.case_index[:1]))  # the first look is slow
    named = [Arrived(f"{i}", file) for i, file in enumerate(files)]

    def all_of_them() -> None:
        for start in range(0, len(named), FORWARD_BATCH):
            scorer.score(named[start : start + FORWARD_BATCH])

    here = os.getpid()
    return {
        "`score_samples` of prepared images": timed(
            lambda: scorer.detector.score_samples(prepared), here, len(files)
        ),
        "preparing and scoring in process": timed(all_of_them, here, len(files)),
    }


def in_service(
    folder: Path, files: list[Path], clients: int, alone: int
) -> dict[str, tuple[float, float]]:
    """The same by HTTP."""
    command = [sys.executable, "-u", "-m", "midclass", "serve", str(folder), "--port", "0"]
    process = subprocess.Popen(
        [*command, "--waiting", str(2 * clients)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        address = ""
        for line in process.stdout:
            if found := re.search(r"http://[\d.:]+", line):
                address = found[0]
                break

        def post(file: Path) -> None:
            with urllib.request.urlopen(f"{address}/score", file.read_bytes()) as answer:
                answer.read()

        def together() -> None:
            with ThreadPoolExecutor(clients) as pool:
                list(pool.map(post, files))

        def one_by_one() -> None:
            for file in files[:alone]:
                post(file)

        post(files[0])
        return {
            f"service, {clients} clients": timed(together, process.pid, len(files)),
            "service, one client": timed(one_by_one, process.pid, alone),
        }
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    """Read the arguments, print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("detector", type=Path)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--alone", type=int, default=5)
    asked = parser.parse_args()
    files = list(islice(cycle(asked.files), asked.images))
    rows = in_process(asked.detector, files)
    _, (base, base_clock) = rows.values()
    rows |= in_service(asked.detector, files, asked.clients, asked.alone)
    print("| what | CPU ms an image | ratio | ms an image | ratio |")
    print("|---|---|---|---|---|")
    for name, (cpu, clock) in rows.items():
        print(f"| {name} | {cpu:.0f} | {cpu / base:.2f} | {clock:.0f} | {clock / base_clock:.2f} |")


if __name__ == "__main__":
    main()
