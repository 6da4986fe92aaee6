"""Worker: one thread that scores; what waits for it is counted, and no more is taken than fits."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from typing import TypeAlias

from midclass.cli.service.scorer import Arrived, Scored, Scorer
from midclass.images.private import unwritten
from midclass.training.lesson import FORWARD_BATCH

Content: TypeAlias = bytes | Path
"""A file as it was sent, or where it lies."""


class Worker:
    """Scores files in the order in which they came; those that wait are scored together.

    A detector always looks at as many images as ``eye.LOOK``, so that one alone takes as long as so
    many: under load each costs what it costs in ``midclass score``.

    Args:
        scorer: used by this thread alone.
        waiting: files that may be there at once, waiting or being received.
    """

    def __init__(self, scorer: Scorer, waiting: int) -> None:
        self._scorer = scorer
        self._free = threading.BoundedSemaphore(waiting)
        self._jobs: deque[tuple[str, Content, Future[Scored]]] = deque()
        self._changed = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="scoring", daemon=True)
        self._thread.start()

    def reserve(self, timeout_s: float = 0.0) -> bool:
        """Take a place for a file; False where there is none. ``release`` gives it back."""
        return self._free.acquire(timeout=timeout_s) if timeout_s else self._free.acquire(False)

    def release(self) -> None:
        """Give back a place."""
        self._free.release()

    def submit(self, name: str, content: Content) -> Future[Scored]:
        """Score a file for which a place was taken."""
        future = Future[Scored]()
        with self._changed:
            if self._ending:
                future.cancel()
                return future
            self._jobs.append((name, content, future))
            self._changed.notify()
        return future

    @property
    def waiting(self) -> int:
        """Files that nobody looks at yet."""
        return len(self._jobs)

    def end(self) -> None:
        """Finish what is being scored, and take no more; what waits is cancelled."""
        with self._changed:
            self._ending = True
            while self._jobs:
                self._jobs.popleft()[2].cancel()
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._ending)
                if self._ending:
                    return
                count = min(len(self._jobs), FORWARD_BATCH)
                some = [self._jobs.popleft() for _ in range(count)]
            some = [one for one in some if one[2].set_running_or_notify_cancel()]
            self._score(some)

    def _score(self, jobs: Sequence[tuple[str, Content, Future[Scored]]]) -> None:
        try:
            with ExitStack() as stack:
                files = [
                    Arrived(
                        name,
                        content
                        if isinstance(content, Path)
                        else stack.enter_context(unwritten(content)),
                    )
                    for name, content, _ in jobs
                ]
                found = self._scorer.score(files)
        except Exception as error:
            if len(jobs) > 1:  # whatever it was, it must not be the failure of others
                for one in jobs:
                    self._score([one])
                return
            jobs[0][2].set_exception(error)
            return
        for (_, _, future), scored in zip(jobs, found, strict=True):
            future.set_result(scored)
