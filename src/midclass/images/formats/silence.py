"""Silence: what C libraries write to the terminal goes nowhere; what went wrong is raised."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def silent_library() -> Iterator[None]:
    """Send what is written to standard error, by C libraries too, nowhere.

    libtiff names each damaged line of an image; GDCM tries its decoder of 8 bits first and writes
    for every good file that it cannot.
    """
    try:
        kept = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    if sys.stderr is not None:
        sys.stderr.flush()
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)
