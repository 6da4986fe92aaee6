"""Mutation testing: which small wrong changes do the tests let pass?

    python tools/mutation/run.py --sample 200 --seed 0

Draws mutants of the modules in ``related.py`` and runs each against the closely related tests
only, in a copy of the repository. Each result is written down at once: the same command goes on
where it was stopped. Needs the extra ``mutants`` and a system that can fork.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from draw import Mutant, drawn
from related import related_tests

ROOT = Path(__file__).resolve().parents[2]
RESULTS = Path(__file__).with_name("results.jsonl")
"""One line a mutant; of several with one name the last counts. The documentation is made of it."""
ALIVE, KILLED, SLOW = "alive", "killed", "timeout"
HEAVY = (
    *("torch", "torch.optim.swa_utils", "monai.networks.blocks", "monai.networks.nets"),
    *("scipy.ndimage", "scipy.stats", "sklearn.covariance", "sklearn.svm", "sklearn.neighbors"),
    *("PIL.Image", "pydicom", "nibabel", "matplotlib.pyplot", "safetensors.torch", "hypothesis"),
    *("pydantic", "yaml", "jinja2", "typer.testing", "rich.progress", "pytest"),
)
"""Imported once, before the forks: they take seconds, and no mutant is in them."""
COPIED = ("pyproject.toml", "README.md", "src", "tests", "examples", "docs", "studies/nuisance")
PYTEST = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider", "-m", "not slow"]


@dataclass
class Running:
    """A mutant whose tests run in a process of their own, in a tree of their own."""

    mutant: Mutant
    tree: Path
    pid: int
    began: float
    limit_s: float


def main() -> int:
    """Draw, run what has no result yet, and report."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--sample", type=int, default=200, help="how many mutants")
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--jobs", type=int, default=2, help="at once; each needs 1 GB and a core")
    options.add_argument("--out", type=Path, default=ROOT / "build" / "mutants")
    options.add_argument("--again", action="store_true", help="run all but the killed once more")
    options.add_argument("--report", action="store_true", help="run nothing; print Markdown")
    chosen = options.parse_args()
    mutants, possible = drawn(ROOT, chosen.sample, chosen.seed)
    file = RESULTS
    if not chosen.report:
        known = read(file)
        again = (ALIVE, SLOW) if chosen.again else ()
        done = {name for name, row in known.items() if row["is"] not in again}
        run([mutant for mutant in mutants if mutant.name not in done], chosen.out, chosen.jobs)
    print(report(mutants, read(file), possible, chosen.seed, read(file, first=True)))
    return 0


def read(file: Path, *, first: bool = False) -> dict[str, dict[str, Any]]:
    """Results by the mutant's name; the last one counts, or the first."""
    if not file.exists():
        return {}
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {row["name"]: row for row in (reversed(rows) if first else rows)}


def run(todo: list[Mutant], out: Path, jobs: int) -> None:
    """Run the tests of every mutant, some at once, and append what became of it."""
    if not todo:
        return
    trees = [copied(out / f"tree{i}") for i in range(jobs)]
    warm_up()
    seconds = unchanged(todo, trees[0], out)
    running: list[Running] = []
    waiting, began = list(reversed(todo)), time.monotonic()
    while waiting or running:
        while waiting and trees:
            mutant = waiting.pop()
            tests = tuple(related_tests(ROOT, mutant.file))
            limit_s = 3 * seconds[tests[1:]] + 10
            running.append(start(mutant, trees.pop(), tests, limit_s, out))
        time.sleep(0.05)
        for one in list(running):
            outcome = ended(one)
            if outcome is None:
                continue
            running.remove(one)
            (one.tree / one.mutant.file).write_text((ROOT / one.mutant.file).read_text("utf-8"))
            trees.append(one.tree)
            append(RESULTS, one, outcome)
            left = len(waiting) + len(running)
            took = time.monotonic() - began
            where = f"{one.mutant.file}:{one.mutant.line}"
            print(f"{outcome:8}{where}, {left} left, {took:.0f} s", flush=True)


def copied(tree: Path) -> Path:
    """A copy of what the tests need; compiled, with the source's hash deciding what is stale."""
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif (ROOT / name).exists():
            shutil.copy(ROOT / name, tree / name)
    compileall = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "checked-hash"]
    subprocess.run([*compileall, tree / "src"], check=True)
    return tree


def warm_up() -> None:
    """Import what all tests need and no mutant changes."""
    os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "agg"}
    data = ROOT.parent / "shared" / "data"
    if data.is_dir():
        os.environ.setdefault("MIDCLASS_TEST_DATA", str(data))
    for name in HEAVY:
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    if any(name.split(".")[0] == "midclass" for name in sys.modules):
        raise SystemExit("midclass was imported before the fork: no mutant would be seen")


def unchanged(todo: list[Mutant], tree: Path, out: Path) -> dict[tuple[str, ...], float]:
    """Seconds of each selection of tests without a mutant.

    Raises:
        SystemExit: they fail.
    """
    seconds = {}
    for mutant in todo:
        tests = tuple(related_tests(ROOT, mutant.file))
        if tests[1:] in seconds:  # the examples of a file, which come first, take no time
            continue
        began = time.monotonic()
        code = os.waitstatus_to_exitcode(os.waitpid(child(tree, tests, out / "log.txt"), 0)[1])
        if code != 0:
            raise SystemExit(f"tests fail without a mutant, see {out / 'log.txt'}: {tests}")
        seconds[tests[1:]] = time.monotonic() - began
        print(f"{seconds[tests[1:]]:6.1f} s  {' '.join(tests)}", flush=True)
    return seconds


def start(mutant: Mutant, tree: Path, tests: tuple[str, ...], limit_s: float, out: Path) -> Running:
    """Put the mutant in place and run its tests."""
    (tree / mutant.file).write_text(mutant.source, encoding="utf-8")
    pid = child(tree, tests, out / f"{tree.name}.txt")
    return Running(mutant, tree, pid, time.monotonic(), limit_s)


def child(tree: Path, tests: tuple[str, ...], log: Path) -> int:
    """Fork a process that runs tests in a tree; its number."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 3
    try:
        os.setsid()
        to = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(to, 1)
        os.dup2(to, 2)
        os.chdir(tree)
        sys.path[0] = str(tree / "src")
        sys.dont_write_bytecode = True
        os.environ |= {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        os.environ["MIDCLASS_CACHE"] = str(tree / "cache")
        only_one_failure()
        import pytest

        code = int(pytest.main([*PYTEST, *tests]))
    finally:
        os._exit(code)


def only_one_failure() -> None:
    """Hypothesis draws the same examples each time, and does not look for a smaller failure.

    Looking takes most of a mutant's time, often until the limit.
    """
    from hypothesis import Phase, settings

    phases = (Phase.explicit, Phase.generate)
    settings.register_profile("mutants", phases=phases, derandomize=True, database=None)
    settings.load_profile("mutants")


def ended(one: Running) -> str | None:
    """What became of a mutant; None while its tests run."""
    pid, status = os.waitpid(one.pid, os.WNOHANG)
    if pid:
        return ALIVE if os.waitstatus_to_exitcode(status) == 0 else KILLED
    if time.monotonic() - one.began < one.limit_s:
        return None
    os.killpg(one.pid, signal.SIGKILL)
    os.waitpid(one.pid, 0)
    return SLOW


def append(file: Path, one: Running, outcome: str) -> None:
    """Write a result down."""
    mutant = one.mutant
    row = {"name": mutant.name, "is": outcome, "file": mutant.file, "line": mutant.line}
    row |= {"seconds": round(time.monotonic() - one.began, 1), "diff": mutant.diff}
    with file.open("a", encoding="utf-8") as results:
        results.write(json.dumps(row) + "\n")


def report(
    mutants: list[Mutant],
    results: dict[str, dict[str, Any]],
    possible: int,
    seed: int,
    drawn_first: dict[str, dict[str, Any]],
) -> str:
    """Score and survivors as Markdown; ``drawn_first`` are the results before any new law."""
    rows = [results[mutant.name] for mutant in mutants if mutant.name in results]
    alive = [row for row in rows if row["is"] == ALIVE]
    killed = len(rows) - len(alive)
    share = f", {100 * killed / len(rows):.0f} %" if rows else ""
    mean_s = sum(row["seconds"] for row in rows) / max(1, len(rows))
    before = sum(drawn_first[row["name"]]["is"] != ALIVE for row in rows)
    lines = [
        f"As drawn, before a law was written for a survivor: {before} killed.",
        "",
        f"{len(rows)} of {len(mutants)} mutants (seed {seed}, {possible} possible): "
        f"**{killed} killed{share}**, {sum(row['is'] == SLOW for row in rows)} of them by the time "
        f"limit, {len(alive)} alive; {mean_s:.1f} s a mutant.",
        "",
        "| file | mutants | killed |",
        "|---|---|---|",
    ]
    every, died = (Counter(row["file"] for row in part) for part in (rows, rows))
    died.subtract(row["file"] for row in alive)
    lines += [f"| `{file[13:]}` | {every[file]} | {died[file]} |" for file in sorted(every)]
    for row in sorted(alive, key=lambda row: (row["file"], row["line"])):
        lines += ["", f"`{row['file'][13:]}:{row['line']}`", "```diff", row["diff"], "```"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
