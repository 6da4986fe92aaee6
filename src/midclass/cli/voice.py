"""Voice: how a command speaks: in words, only of what went wrong, or as one JSON object."""

from __future__ import annotations

import functools
import inspect
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer


@dataclass
class Voice:
    """How the command that runs speaks.

    Attributes:
        quiet: only what went wrong is said.
        json: what is found goes as one JSON object to stdout, and words to stderr.
        command: its name.
        facts: what the object will hold.
    """

    quiet: bool = False
    json: bool = False
    command: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def end(self, exit_code: int, error: str | None = None) -> None:
        """Write the object, where one was asked for."""
        if not self.json:
            return
        said = {"command": self.command, "exit_code": exit_code, **self.facts}
        if error is not None:
            said["error"] = error
        sys.stdout.write(json.dumps(_plain(said), indent=1) + "\n")
        sys.stdout.flush()


_NOW = [Voice()]
"""The last is that of the command that runs."""


def voice() -> Voice:
    """That of the command that runs."""
    return _NOW[-1]


@contextmanager
def new_voice() -> Iterator[Voice]:
    """One for a command, in words until it asks for another."""
    _NOW.append(Voice())
    try:
        yield _NOW[-1]
    finally:
        _NOW.pop()


def answer(files: Mapping[str, Path | None] | None = None, **facts: object) -> None:
    """Add to the JSON object of the command that runs.

    Args:
        files: what was written, by what it is; None for what was not asked for.
        facts: figures and counts; numbers that are not finite become null.
    """
    if not voice().json:
        return
    held = voice().facts
    held.update(facts)
    if files is not None:
        written = {name: path for name, path in files.items() if path is not None}
        held["files"] = held.get("files", {}) | written


Quiet = Annotated[
    bool,
    typer.Option("--quiet", help="Say only what went wrong; the exit code says the rest."),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON object; words go to the error stream."),
]


def speaking(command: Callable[..., None], *, quiet: bool = True) -> Callable[..., None]:
    """The same command with the options ``--json`` and ``--quiet``."""

    @functools.wraps(command)
    def spoken(*args: Any, as_json: bool = False, be_quiet: bool = False, **given: Any) -> None:
        now = voice()
        now.quiet, now.json, now.command = be_quiet, as_json, command.__name__
        command(*args, **given)

    added = {"as_json": Json, "be_quiet": Quiet} if quiet else {"as_json": Json}
    signature = inspect.signature(command, eval_str=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    more = [inspect.Parameter(n, keyword, default=False, annotation=a) for n, a in added.items()]
    whole = signature.replace(parameters=[*signature.parameters.values(), *more])
    spoken.__annotations__ = {**command.__annotations__, **added}
    spoken.__signature__ = whole  # type: ignore[attr-defined]
    return spoken


def _plain(value: object) -> object:
    """As JSON has it: paths and numbers of numpy are text and numbers, what is not finite null."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, Path):
        return str(value)
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
