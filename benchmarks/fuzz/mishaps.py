"""For the tests of the pool: a process that ends as it should not."""

from __future__ import annotations

import os
import time
from multiprocessing.connection import Connection
from pathlib import Path


def dies_or_hangs(pipe: Connection, work: Path, seed: int) -> None:
    """At number 1 it dies, at 2 it computes for ever, and others are right."""
    while (number := pipe.recv()) is not None:
        pipe.send(("begin", {"number": number, "kind": "made"}))
        if number == 1:
            os.abort()
        began = time.monotonic()
        while number == 2 and time.monotonic() - began < 60:
            pass
        pipe.send(("end", {"number": number, "kind": "made", "outcome": "right"}))
