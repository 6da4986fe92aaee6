"""The command ``serve``: a detector that scores what is sent to it, or laid into a folder."""

from __future__ import annotations

import ipaddress
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midclass.cli.console import note, say, tell_promise
from midclass.cli.options import DEFAULTS, Options
from midclass.cli.outputs import Place, claimed
from midclass.cli.secret import secret_of
from midclass.cli.service.inbox import Inbox, no_inbox
from midclass.cli.service.scorer import Scorer
from midclass.cli.service.worker import Worker
from midclass.errors import InputError

if TYPE_CHECKING:
    from midclass.cli.service.web import Terms

SHORTEST_TOKEN = 16
"""Characters; fewer can be guessed."""


@dataclass(frozen=True)
class Serving:
    """How a service is reached, and what it takes.

    Attributes:
        host: address to listen at.
        port: 0 takes any that is free.
        token_file: whose first line each request must carry.
        watch: a folder whose files are scored, too.
        out: their table.
        every_s: between two looks at that folder.
        max_mb: of one file.
        waiting: files that may wait.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token_file: Path | None = None
    watch: Path | None = None
    out: Path | None = None
    every_s: float = 5.0
    max_mb: int = 64
    waiting: int = 32


def run(
    folder: Path,
    serving: Serving,
    options: Options = DEFAULTS,
    *,
    max_fpr: float | None = None,
) -> None:
    """Serve until the process is asked to end."""
    terms = _terms(serving)
    _refuse_watch(serving)
    with ExitStack() as stack:
        if serving.out is not None:
            place = Place(serving.out, "file", strange=no_inbox, unasked=True)

            def reads() -> Iterator[Path]:
                yield from (folder, *options.trust)

            stack.enter_context(claimed(place, reads=reads))
        listening = stack.enter_context(_listening(serving))
        scorer = Scorer(folder, options.trust, max_fpr)
        worker = Worker(scorer, serving.waiting)
        stack.callback(worker.end)
        if serving.watch is not None and serving.out is not None:
            inbox = Inbox(serving.watch, serving.out, scorer, worker)
            thread = threading.Thread(target=inbox.run, args=(serving.every_s,), name="inbox")
            thread.start()
            stack.callback(thread.join)
            stack.callback(inbox.end)
            say(f"{'watching':<16} {serving.watch}, a line a case in {serving.out}")
        tell_promise(scorer.detector.promise())
        _serve(scorer, worker, terms, listening)


def _serve(scorer: Scorer, worker: Worker, terms: Terms, listening: socket.socket) -> None:
    import uvicorn

    from midclass.cli.service.web import service

    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    say(f"{'listening':<16} http://{shown}:{port}; research only; Ctrl-C ends it")
    config = uvicorn.Config(
        service(scorer, worker, terms),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=30,
    )
    with suppress(KeyboardInterrupt):  # which is how it is told to end
        uvicorn.Server(config).run(sockets=[listening])
    note("ended; nothing of what was sent was kept")


def _terms(serving: Serving) -> Terms:
    """What is taken, and from whom; refused where others could reach it without a token."""
    try:
        import uvicorn  # noqa: F401

        from midclass.cli.service.web import LOOPBACK, Terms
    except ImportError as error:
        raise InputError(
            f"midclass serve needs {error.name}: pip install 'midclass[serve]'"
        ) from None
    token = "" if serving.token_file is None else _token(serving.token_file)
    local = serving.host == "localhost" or _is_loopback(serving.host)
    if not local and not token:
        raise InputError(
            f"--host {serving.host}: others could reach it; give --token-file FILE, whose token "
            "each request must carry, or leave out --host"
        )
    named = f"[{serving.host}]" if ":" in serving.host else serving.host
    hosts = (*LOOPBACK, named) if local else None
    return Terms(serving.max_mb * 2**20, token, hosts)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _token(file: Path) -> str:
    token = secret_of(file, "a token")
    if len(token) < SHORTEST_TOKEN or not token.isascii() or len(token.split()) != 1:
        raise InputError(
            f"{file}: its first line must be a token of {SHORTEST_TOKEN} letters and digits or "
            "more, such as: openssl rand -hex 32"
        )
    return token


def _refuse_watch(serving: Serving) -> None:
    if (serving.watch is None) != (serving.out is None):
        raise InputError("--watch FOLDER and --out TABLE.csv go together; give both or neither")
    if serving.watch is None or serving.out is None:
        return
    if not serving.watch.is_dir():
        raise InputError(f"{serving.watch}: no such folder; make it, or name another with --watch")
    if Path(os.path.realpath(serving.out)).is_relative_to(os.path.realpath(serving.watch)):
        raise InputError(
            f"{serving.out}: lies in the folder that is watched; give a table outside with --out"
        )


def _listening(serving: Serving) -> socket.socket:
    """The socket, before the detector is loaded."""
    try:
        found = socket.getaddrinfo(serving.host, serving.port, type=socket.SOCK_STREAM)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"{serving.host} port {serving.port}: cannot listen there ({reason}); give another "
            "--port, or --port 0 for any that is free"
        ) from None
