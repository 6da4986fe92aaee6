"""The process in which inputs are tried: it says what it is about to do, and may die."""

from __future__ import annotations

import os
import pickle
import resource
import shutil
import sys
import time
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from fuzz.inputs import make
from fuzz.judge import Verdict, judge

MEMORY_LIMIT_MIB = 2048
SPARE = 3 << 30  # of address space: what asks for more gets a MemoryError, and is found so


def try_inputs(pipe: Connection, work: Path, seed: int) -> None:
    """Try the numbers that come through the pipe, until there is none."""
    seeds = pickle.loads((work / "seeds.pickle").read_bytes())
    place = work / f"child-{os.getpid()}"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    said = place / "said.txt"
    file = os.open(said, os.O_CREAT | os.O_RDWR | os.O_APPEND)
    os.dup2(file, 1)
    os.dup2(file, 2)
    os.environ["HOME"] = str(place)
    warnings.simplefilter("always", append=True)  # else each would be told for its first input only
    limit = _status("VmSize") * 1024 + SPARE
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (number := pipe.recv()) is not None:
        given = make(seed, number, seeds)
        about = {
            "number": number,
            "kind": given.seed.kind,
            "seed": given.seed.name,
            "what": given.what,
        }
        pipe.send(("begin", about))
        folder = place / f"{number:06d}"
        path = given.write(folder)
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before, began, used = os.fstat(file).st_size, time.monotonic(), time.process_time()
        verdict = judge(given.seed.kind, path, given.seed.identity, place / "cache")
        seconds, cpu = time.monotonic() - began, time.process_time() - used
        peak = _status("VmHWM") // 1024
        sys.stdout.flush()
        sys.stderr.flush()
        if os.fstat(file).st_size > before:
            text = said.read_bytes()[before:].decode(errors="replace")
            if verdict.outcome in ("right", "error"):
                verdict = Verdict("output", verdict.call, text)
        if peak > MEMORY_LIMIT_MIB:
            verdict = Verdict("memory", verdict.call, f"{peak} MiB; {verdict.text}", verdict.where)
        shutil.rmtree(folder, ignore_errors=True)
        pipe.send(("end", _row(about, verdict, seconds, cpu, peak, str(path))))


def _row(
    about: dict[str, Any], verdict: Verdict, seconds: float, cpu: float, peak: int, path: str
) -> dict[str, Any]:
    return {
        **about,
        "outcome": verdict.outcome,
        "call": verdict.call,
        "where": verdict.where,
        "text": verdict.text.replace(path, "FILE")[:600],
        "seconds": f"{seconds:.3f}",
        "cpu": f"{cpu:.3f}",
        "peak_mib": peak,
    }


def _status(name: str) -> int:
    """A figure of this process in KiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise KeyError(name)


def show(number: int, work: Path, seed: int, out: Path) -> None:
    """Write one input, and what midclass makes of it, with the whole traceback."""
    import fuzz.judge as judges

    resource.setrlimit(resource.RLIMIT_AS, (2 * SPARE, 2 * SPARE))
    seeds = pickle.loads((work / "seeds.pickle").read_bytes())
    given = make(seed, number, seeds)
    folder = out / f"{number:06d}"
    shutil.rmtree(folder, ignore_errors=True)
    path = given.write(folder)
    print(f"{path}: {given.seed.kind} {given.seed.name}: {given.what}", flush=True)
    for name, call in judges.calls(given.seed.kind, path, folder / "cache"):
        try:
            print(name, "->", call() or "right", flush=True)
        except BaseException:
            print(name, "->", flush=True)
            traceback.print_exc()
