"""Spoiled files through midclass: right, or one clear line.

    python benchmarks/fuzz [--seed 0] [--inputs 10000] [--jobs 1] [--out FOLDER]
    python benchmarks/fuzz --only N      # write and try these alone, with tracebacks
    python benchmarks/fuzz --choose 500  # the most telling numbers of a table, for the test

Each input is a right file (made here, or of the development data, where there is some) that was
spoiled; the seed and its number alone decide how. Rows go to OUT/SEED.csv as they are done; a
second run goes on where the first was stopped. Exit code 1: an input was neither right nor
answered by one clear line.
"""

from __future__ import annotations

import argparse
import csv
import os
import pickle
import shutil
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data"
COLUMNS = (
    "number",
    "kind",
    "seed",
    "what",
    "outcome",
    "call",
    "where",
    "text",
    "seconds",
    "cpu",
    "peak_mib",
)


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("fuzz"))
    parser.add_argument("--data", type=Path, default=os.environ.get("MIDCLASS_TEST_DATA", DATA))
    parser.add_argument("--kinds", nargs="+", help="leave out all others, such as DICOM")
    parser.add_argument("--choose", type=int, help="print so many numbers, the most telling")
    parser.add_argument("--only", type=int, nargs="+", help="write and try these numbers alone")
    asked = parser.parse_args()
    # For processes to come: they share what is imported once, and import from here.
    sys.path.insert(0, str(HERE.parent))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")])
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(run(asked))


def run(asked: argparse.Namespace) -> int:
    from fuzz.child import show
    from fuzz.inputs import kind_of
    from fuzz.pool import tried
    from fuzz.seeds import all_seeds
    from fuzz.summary import rows_of, summary, telling

    work = (asked.out / "work").resolve()
    work.mkdir(parents=True, exist_ok=True)
    table, done = asked.out / f"{asked.seed}.csv", set[int]()
    if not (table.exists() or asked.only):
        shutil.rmtree(work / "detectors", ignore_errors=True)  # another version may have saved them
    seeds = all_seeds(work, Path(asked.data))
    (work / "seeds.pickle").write_bytes(pickle.dumps(seeds))
    if asked.only:
        for number in asked.only:
            show(number, work, asked.seed, asked.out)
        return 0
    if asked.choose:
        print(*telling(rows_of(table), asked.choose))
        return 0
    if table.exists():
        done = {int(row["number"]) for row in rows_of(table)}
    began = time.monotonic()
    with table.open("a", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        if not done:
            writer.writeheader()
        numbers = (
            number
            for number in range(asked.inputs)
            if number not in done
            and (not asked.kinds or kind_of(asked.seed, number) in asked.kinds)
        )
        for count, row in enumerate(tried(numbers, work, asked.seed, asked.jobs), start=1):
            writer.writerow(row)
            file.flush()
            if count % 500 == 0:
                print(
                    f"{count} done in {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True
                )
    text, bad = summary(table, asked.seed)
    (asked.out / f"{asked.seed}.md").write_text(text, encoding="utf-8")
    print(text)
    return 1 if bad else 0


if __name__ == "__main__":
    main()
