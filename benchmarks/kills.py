"""Kills: commands are ended at random moments and typed again, until they are done.

They are fit, study, score, and score on a Ray cluster that it starts itself.

    python benchmarks/kills.py --seed 0 --fit 50 --study 50 --score 20 --ray 20

Each command works on phantoms in a scratch folder, where an undisturbed run went before. A kill is
SIGKILL, SIGTERM or SIGINT, to the command alone or to all that it started too, at a moment drawn
from its usual time. After each: no process of it lives, and what has its name is whole. At the end:
the bytes of the undisturbed run, and no hidden file.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import midclass
from midclass.images import phantoms

RECIPE = """\
extends: phantoms
name: tiny
floor: 0.0
geometry: {size: [32, 32], field_of_view_mm: 200}
budget: {steps: 60, batch: 8, width: 8, checkpoints: 15, pretrained: null}
"""
STUDY = """\
name: kills
repeats: 2
max_fpr: 0.1
common: {budget: {steps: 30, checkpoints: 8}}
tasks:
  breast: {recipe: tiny.yaml, cohort: data/manifest.csv}
detectors:
  middle_class: {}
  pca: {detector: pca}
"""
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LONGEST_S = 600
PATIENCE_S = 10
"""Until the last process of a killed command must have ended."""


@dataclass(frozen=True)
class Job:
    """A command, and what it writes, relative to the scratch folder."""

    name: str
    words: tuple[str, ...]
    written: tuple[str, ...]

    def start(self, folder: Path) -> subprocess.Popen[str]:
        own = {"MIDCLASS_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
        source = str(Path(midclass.__file__).parents[1])
        return subprocess.Popen(
            [sys.executable, "-m", "midclass", *self.words],
            cwd=folder,
            env={**os.environ, **own, "PYTHONPATH": source},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A command started in the background would ignore Ctrl-C.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )

    def ended(self, folder: Path) -> str:
        """Run it to its end; what it said on stderr where it failed."""
        process = self.start(folder)
        _, said = process.communicate(timeout=LONGEST_S)
        return said if process.returncode else ""

    def bytes_of(self, folder: Path) -> dict[str, str]:
        """Every file that it wrote, but the log, which has times in it, and its hash."""
        found = {}
        for name in self.written:
            path = folder / name
            files = [path] if path.is_file() else sorted(path.rglob("*"))
            for file in files:
                if file.is_file() and file.name != "log.csv":
                    code = hashlib.sha256(file.read_bytes()).hexdigest()
                    found[file.relative_to(folder).as_posix()] = code
        return found

    def clear(self, folder: Path) -> None:
        for name in self.written:
            path = folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


FIT = Job("fit", ("fit", "tiny.yaml", "--cohort", "data/manifest.csv", "--max-fpr", "0.1",
                  "--out", "out/detector"), ("out/detector",))  # fmt: skip
SCORE = Job("score", ("score", "detector", "data/images", "--out", "out/scores.csv",
                      "--heat-maps", "out/maps"), ("out/scores.csv", "out/maps"))  # fmt: skip
RAY = Job("ray", (*SCORE.words, "--engine", "ray"), SCORE.written)
STUDIES = Job("study", ("study", "study.yaml", "--out", "out/study", "--jobs", "2"),
              ("out/study",))  # fmt: skip
JOBS = {job.name: job for job in (FIT, STUDIES, SCORE, RAY)}


@dataclass
class Tally:
    """What became of a command's kills."""

    kills: Counter[str] = field(default_factory=Counter)
    ends: int = 0
    wrong: list[str] = field(default_factory=list)


def scratch(folder: Path, given: int = 60, target: int = 12) -> None:
    """Phantoms, a recipe, a study, and a detector to score with."""
    phantoms.write(folder / "data", "breast", 0, given, target, size=48)
    (folder / "tiny.yaml").write_text(RECIPE, encoding="utf-8")
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    to_score = Job("fit", (*FIT.words[:-1], "detector", "--detector", "pca"), ("detector",))
    if said := to_score.ended(folder):
        raise SystemExit(said)


def disturb(job: Job, folder: Path, count: int, rng: random.Random) -> Tally:
    """Kill a command so many times, typing it again after each; done, it begins anew."""
    tally = Tally()
    job.clear(folder)
    began = time.monotonic()
    if said := job.ended(folder):
        raise SystemExit(said)
    usual, expected = time.monotonic() - began, job.bytes_of(folder)
    job.clear(folder)
    while sum(tally.kills.values()) < count:
        _kill_once(job, folder, usual, expected, rng, tally)
        if rng.random() < 0.4 or sum(tally.kills.values()) >= count:
            _end_and_compare(job, folder, expected, tally)
        told = f"{job.name}: {sum(tally.kills.values())} kills, {tally.ends} ends"
        print(f"{told}, wrong: {tally.wrong}", file=sys.stderr, flush=True)
    return tally


def _kill_once(
    job: Job,
    folder: Path,
    usual: float,
    expected: dict[str, str],
    rng: random.Random,
    tally: Tally,
) -> None:
    process = job.start(folder)
    number, all_of_it = rng.choice(SIGNALS), rng.random() < 0.5
    try:
        _, said = process.communicate(timeout=rng.uniform(0.05, 1.0) * usual)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, number) if all_of_it else process.send_signal(number)
        tally.kills[number.name] += 1
        _, said = process.communicate(timeout=LONGEST_S)
    if "Traceback" in said and "midclass" in said.partition("Traceback")[2]:
        # Python itself says so where it is interrupted before the command begins.
        tally.wrong += [f"traceback after {number.name}"] * ("commands" in said)
    if not _all_ended(process.pid):
        tally.wrong.append(f"a process lives {PATIENCE_S} s after {number.name}")
        os.killpg(process.pid, signal.SIGKILL)
    for name, code in job.bytes_of(folder).items():
        hidden = any(part.startswith(".") for part in Path(name).parts)
        if not hidden and name in expected and code != expected[name]:
            tally.wrong.append(f"{name} is half written after {number.name}")
    if process.returncode == 0:
        _end_and_compare(job, folder, expected, tally, done=True)


def _end_and_compare(
    job: Job, folder: Path, expected: dict[str, str], tally: Tally, done: bool = False
) -> None:
    if not done and (said := job.ended(folder)) and job.bytes_of(folder) != expected:
        tally.wrong.append(f"does not go on: {said.strip()[-300:]}")
    tally.ends += 1
    found = job.bytes_of(folder)
    if found != expected:
        differ = sorted(n for n in {*found, *expected} if found.get(n) != expected.get(n))
        tally.wrong.append(f"other bytes at the end: {', '.join(differ[:5])}")
    left = [p.name for p in (folder / "out").rglob("*") if p.name[0] == "." or p.suffix == ".part"]
    if left:
        tally.wrong.append(f"left at the end: {', '.join(left)}")
    shutil.rmtree(folder / "out", ignore_errors=True)


def _all_ended(group: int) -> bool:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0)
    for name, count in (("fit", 50), ("study", 50), ("score", 20), ("ray", 20)):
        parser.add_argument(f"--{name}", type=int, default=count)
    asked = parser.parse_args(arguments)
    wrong = 0
    print("| command | kills | SIGKILL, SIGTERM, SIGINT | ended with | wrong |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="kills-") as where:
        scratch(Path(where))
        for name, job in JOBS.items():
            count = getattr(asked, name)
            if not count:
                continue
            tally = disturb(job, Path(where), count, random.Random(f"{asked.seed} {name}"))
            each = ", ".join(str(tally.kills[number.name]) for number in SIGNALS)
            total = sum(tally.kills.values())
            print(f"| `{name}` | {total} | {each} | the same bytes, {tally.ends} times | "
                  f"{len(tally.wrong)} |", flush=True)  # fmt: skip
            wrong += len(tally.wrong)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
