"""Errors that a process sends to another arrive whole: else the other takes it for dead."""

from __future__ import annotations

import errno
import importlib
import os
import pickle
import pkgutil
from collections.abc import Iterator
from pathlib import Path

import pytest

import midclass
from midclass import InputError
from midclass.files import CannotWriteError

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
WAYS: dict[type[InputError], tuple[object, ...]] = {
    CannotWriteError: (Path("a/b.csv"), FULL, "give another --out")
}
"""With which arguments an error is made; the others take a message."""


def kinds() -> list[type[InputError]]:
    """Every kind of error that is for the user."""
    for module in pkgutil.walk_packages(midclass.__path__, "midclass."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    return sorted({InputError, *_below(InputError)}, key=lambda kind: kind.__name__)


def _below(kind: type[InputError]) -> Iterator[type[InputError]]:
    for one in kind.__subclasses__():
        if one.__module__.startswith("midclass"):
            yield one
            yield from _below(one)


def test_every_error_arrives_with_its_kind_its_message_and_what_it_knows() -> None:
    found = kinds()
    assert CannotWriteError in found
    for kind in found:
        error = kind(*WAYS.get(kind, ("a.png: is damaged\x1b; copy it again",)))
        arrived = pickle.loads(pickle.dumps(error))
        assert type(arrived) is kind
        assert str(arrived) == str(error)
        known = {name for name in vars(error) if not name.startswith("_")}
        assert all(str(vars(arrived)[name]) == str(vars(error)[name]) for name in known)


def test_a_full_disk_is_still_a_full_disk_there() -> None:
    arrived = pickle.loads(pickle.dumps(CannotWriteError("a.csv", FULL)))
    assert arrived.error.errno == errno.ENOSPC
    assert "free some space" in str(arrived)
    with pytest.raises(InputError):
        raise arrived
