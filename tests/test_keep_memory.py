"""Memory that is freed is kept for what comes next."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource
from midclass.cli.app import keep_memory
if {kept}:
    keep_memory()
def used():
    import numpy as np
    return sum(float(one.sum()) for one in [np.ones(2_000_000) for _ in range(10)])  # 15 MiB each
used()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    used()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(*, kept: bool, **environment: str) -> int:
    """Pages that were asked for anew while the same was done five times more."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", FAULTS.format(kept=kept)],
        env=others | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of glibc")
def test_what_is_freed_is_kept_for_what_comes_next_unless_the_user_says_otherwise() -> None:
    given_back = faults(kept=False)
    assert given_back > 1000
    assert faults(kept=True) < given_back / 20
    for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
        assert faults(kept=True, **{name: "65536"}) > given_back / 2
