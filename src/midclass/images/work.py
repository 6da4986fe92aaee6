"""Work: the preparation of one case, and the process that does nothing else.

Such a process is given a recipe and then cases on its stdin, and answers on its stdout, all
pickled, until stdin ends: it never outlives the process that started it, however that ended.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from queue import SimpleQueue
from typing import IO, Any

from midclass.errors import STOPS
from midclass.images.case import Case
from midclass.images.cohort import Cohort
from midclass.images.identity import content_if_readable, mask_content
from midclass.images.rules import Rules, place_of
from midclass.images.store import Attempt


def attempted(case: Case, rules: Rules) -> Attempt:
    """The samples of a case, or why there are none."""
    shown = shown_of(case)  # its bytes stay at hand for its sample
    read = partial(Cohort((case,)).read, 0, rules.intensity.window)
    attempt = rules.attempt(case, read, shown)
    if shown_of(case) != shown:  # else a sample of the old would get the name of the new
        attempt = Attempt((), reason=f"{case.path}: was changed while it was read; read it again")
    return attempt._replace(content=shown[0], mask=shown[1])


def shown_of(case: Case) -> tuple[str, str]:
    """Hashes of what the files of a case hold, see ``Attempt``."""
    return content_if_readable(case), mask_content(case)


def in_order(cases: Sequence[Case], rows: Iterable[int]) -> list[int]:
    """Rows so that the cases of one image follow each other, and it is read once."""
    return sorted(rows, key=lambda row: (*map(str, place_of(cases[row])), row))


def attempts_here(
    cases: Sequence[Case], rules: Rules, rows: Iterable[int]
) -> Iterator[tuple[int, Attempt]]:
    """The samples of some cases, in this process."""
    for row in in_order(cases, rows):
        yield row, attempted(cases[row], rules)


def main() -> None:
    """Take a recipe and cases from stdin, answer with the rules' digest and attempts on stdout."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that started this one
    warnings.formatwarning = _one_line
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a user's anatomy prints is no answer
    asked: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, asked), daemon=True).start()
    rules = Rules(asked.get())
    _answer(answers, rules.digest)
    while True:
        try:
            _answer(answers, attempted(asked.get(), rules))
        except BrokenPipeError:
            return
        except STOPS as stop:
            _answer(answers, stop)


def _one_line(message: Warning | str, *_: object, **__: object) -> str:
    """A warning of a user's anatomy without the place in a library."""
    return f"note: {' '.join(str(message).split())}\n"


def _answer(answers: IO[bytes], what: object) -> None:
    answers.write(pickle.dumps(what, pickle.HIGHEST_PROTOCOL))
    answers.flush()


def _listen(questions: IO[bytes], asked: SimpleQueue[Any]) -> None:
    """Take what is asked, and end this process at once where nobody can ask any more."""
    while True:
        try:
            asked.put(pickle.load(questions))
        except BaseException:
            os._exit(1)
