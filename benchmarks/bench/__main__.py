"""All tables of speed and scale, each figure beside its peer or limit in one run, as a ratio.

    make bench
    python benchmarks/bench [--only preparation start] [--images 2000] [--cases 1000 20000]

Prints a table and writes ``benchmarks/results.csv``. Rows of tables that were left out stay as they
are there. A group of rows is a function in a file of this folder, listed in ``GROUPS``.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import os
import platform
import tempfile
from pathlib import Path

from rows import Asked, Row

RESULTS = Path(__file__).resolve().parents[1] / "results.csv"
GROUPS = {
    "preparation": "preparation:preparing",
    "anatomy": "preparation:anatomies",
    "one_more": "preparation:one_more",
    "prepared": "scoring:from_prepared",
    "files": "scoring:from_files",
    "ray": "scoring:over_ray",
    "memory": "scoring:memory",
    "training": "training:steps",
    "start": "start:mistakes",
}
"""Name of a group -> the function that measures it: ``(Asked) -> Iterator[Row]``."""


def machine() -> str:
    """The processor, its cores, and how busy they are."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:
        cores = os.cpu_count() or 1
    model = platform.processor() or platform.machine()
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {cores} cores, load {os.getloadavg()[0]:.1f}"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def keep(group: str, rows: list[Row], where: str) -> None:
    """Put the rows of a group in place of those that were there."""
    kept = []
    if RESULTS.exists():
        with RESULTS.open(newline="", encoding="utf-8") as file:
            kept = [
                row for row in csv.reader(file) if not row[0].startswith((f"{group}: ", "name"))
            ]
    for row in rows:
        figures = (f"{one:.4g}" for one in (row.value, row.peer, row.ratio))
        kept.append([f"{group}: {row.name}", *figures, where])
    with RESULTS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("name", "value", "peer", "ratio", "machine"))
        writer.writerows(sorted(kept))


def main() -> None:
    """Read the arguments, measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--images", type=int, default=2000, help="PNG files; a fourth more DICOM")
    parser.add_argument("--cases", type=int, nargs=2, default=[1000, 20000], help="of memory")
    asked = parser.parse_args()
    print("| what | value | beside | ratio | asked |\n|---|---|---|---|---|")
    for group in asked.only:
        module, _, name = GROUPS[group].partition(":")
        measure, where = getattr(importlib.import_module(module), name), machine()
        rows = []
        with tempfile.TemporaryDirectory() as scratch:
            for row in measure(Asked(Path(scratch), asked.images, tuple(asked.cases))):
                rows.append(row)
                print(
                    f"| {group}: {row.name} | {row.value:.3g} | {row.peer:.3g} | {row.ratio:.2f} | "
                    f"{row.limit} |",
                    flush=True,
                )
                keep(group, rows, where)  # an interrupted run keeps what it measured
    print(machine())


if __name__ == "__main__":
    main()
