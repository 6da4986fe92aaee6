"""Cluster: functions run on the workers of Ray, a cluster or this machine alone."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager, redirect_stdout
from importlib.util import find_spec
from typing import Any, TypeAlias

from midclass.errors import InputError

NAMES = ("local", "ray")
"""Engines: this machine's processes, or the workers of Ray."""

LOOK_S = 0.05
"""Seconds between two looks at what is done."""

Running: TypeAlias = Any
"""A function that was begun on a worker."""


def check_engine(name: str) -> None:
    """Raise InputError where there is no engine of this name, or where it needs Ray and has none.

    >>> check_engine("local")
    """
    if name not in NAMES:
        raise InputError(f"engine {name!r} is unknown; the engines are {', '.join(NAMES)}")
    if name == "ray" and find_spec("ray") is None:
        raise InputError("engine ray needs Ray: pip install 'midclass[ray]'")


class WorkerDiedError(Exception):
    """A worker ended in the middle, or its machine did."""


class Cluster:
    """The workers that there are.

    A function that is run on them, and all that it is given and gives back, must be possible to
    pickle; every worker needs midclass, and the files under the same paths.
    """

    def __init__(self) -> None:
        import ray

        self._ray = ray
        self._running = set[Running]()

    @property
    def workers(self) -> int:
        """How many functions can run at once, as far as is known now; at least 1."""
        return at_once(self._ray.cluster_resources())

    def begin(self, function: Callable[..., Any], *given: Any, retries: int = 0) -> Running:
        """Run a function on a worker: on one CPU, and one GPU where the cluster has any.

        Args:
            function: one of a module.
            given: its arguments.
            retries: how often Ray begins again by itself where the worker dies.
        """
        asked = needs(self._ray.cluster_resources())
        begun = self._ray.remote(max_retries=retries, **asked)(function).remote(*given)
        self._running.add(begun)
        return begun

    def first_done(self, running: Collection[Running]) -> Running:
        """Wait for any of these."""
        while True:
            # Where Ray itself waits, a signal becomes a plain KeyboardInterrupt without exit code.
            done, _ = self._ray.wait(list(running), num_returns=1, timeout=0)
            if done:
                return done[0]
            time.sleep(LOOK_S)

    def result(self, done: Running) -> Any:
        """What the function gave back; large arrays in it can only be read.

        Raises:
            WorkerDiedError: its worker ended before it did.
            Exception: what the function raised.
        """
        errors = self._ray.exceptions
        self._running.discard(done)
        try:
            return self._ray.get(done)
        except errors.RayTaskError as error:
            raise error.cause from None
        except (
            errors.WorkerCrashedError,
            errors.OutOfMemoryError,
            errors.NodeDiedError,
            errors.ObjectLostError,
        ) as error:
            raise WorkerDiedError(str(error)) from None

    def close(self) -> None:
        """End all that is still running; nobody waits for it any more."""
        for one in self._running:
            self._ray.cancel(one, force=True)
        self._running.clear()


@contextmanager
def cluster(jobs: int) -> Iterator[Cluster]:
    """The cluster at ``RAY_ADDRESS``, or one of this machine with so many CPUs.

    Where the process is in a cluster already, it is that one, and goes on when the block ends. What
    Ray prints meanwhile, as when a worker dies, is on stderr: stdout may be one JSON object.

    Raises:
        InputError: Ray is not installed, or there is no cluster at that address.
    """
    check_engine("ray")
    import ray

    if ray.is_initialized():
        with closing(Cluster()) as there, redirect_stdout(sys.stderr):
            yield there
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers
    quiet = {"log_to_driver": False, "include_dashboard": False, "logging_level": logging.ERROR}
    # Without "local", Ray would join any cluster that runs on this machine.
    address = os.environ.get("RAY_ADDRESS")
    own = {} if address else {"address": "local", "num_cpus": jobs}
    try:
        with _own_handlers():
            ray.init(**quiet, **own)
    except ConnectionError:
        raise InputError(
            f"RAY_ADDRESS is {address}, and no Ray cluster answers there; start one, or unset it"
        ) from None
    try:
        with redirect_stdout(sys.stderr):
            yield Cluster()
    finally:  # and what is still running ends
        ray.shutdown()


@contextmanager
def _own_handlers() -> Iterator[None]:
    """What this process does when it is asked to end, also after Ray has put its own in place.

    Ray's would end it without removing what is half made.
    """
    if threading.current_thread() is not threading.main_thread():  # no other may have any
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def needs(cluster: Mapping[str, float]) -> dict[str, int]:
    """What a function asks a cluster with these resources for.

    Without asking, Ray would hide GPUs from it.

    >>> needs({"CPU": 8.0}), needs({"CPU": 8.0, "GPU": 2.0})
    ({'num_cpus': 1}, {'num_cpus': 1, 'num_gpus': 1})
    """
    return {"num_cpus": 1} | ({"num_gpus": 1} if cluster.get("GPU", 0) >= 1 else {})


def at_once(cluster: Mapping[str, float]) -> int:
    """How many functions can run at once on a cluster with these resources; at least 1.

    >>> at_once({"CPU": 8.0}), at_once({"CPU": 8.0, "GPU": 2.0}), at_once({})
    (8, 2, 1)
    """
    cpus, gpus = cluster.get("CPU", 0), cluster.get("GPU", 0)
    return max(1, int(min(cpus, gpus) if gpus >= 1 else cpus))
