"""The command line: what is known, a detector, studies; one function a command."""

from __future__ import annotations

import ctypes
import errno
import io
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from midclass.cli.cache import cache
from midclass.cli.console import fault, warn
from midclass.cli.deployment import export, serve
from midclass.cli.detector import calibrate, evaluate, fit, nuisance, view
from midclass.cli.knowledge import audit, check, show
from midclass.cli.manifest import manifest
from midclass.cli.options import KINDS, Seed, one_of
from midclass.cli.scoring import score
from midclass.cli.study import report, study
from midclass.cli.voice import Voice, new_voice, speaking
from midclass.cli.watch import doctor, monitor, recipes
from midclass.errors import InputError
from midclass.version import __version__


class _Group(TyperGroup):
    """What the user can put right is one line on stderr, not a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        with warnings.catch_warnings(), new_voice() as voice:
            warnings.showwarning = warn
            try:
                done = super().invoke(ctx)
            except typer.Exit as end:
                voice.end(end.exit_code)
                raise
            except InputError as error:
                raise _refused(voice, "error", str(error), 2) from None
            except KeyboardInterrupt as stop:
                what = str(stop) or "nothing was written; type the same command again"
                code = stop.code if isinstance(stop, Ended) else 130
                raise _refused(voice, "interrupted", what, code) from None
            except OSError as error:
                raise _refused(voice, "error", _in_words(error), 2) from None
            voice.end(0)
            return done


def _refused(voice: Voice, kind: str, what: str, code: int) -> typer.Exit:
    """Say in one line why a command ends."""
    fault(f"{kind}: {what}")
    voice.end(code, what)
    return typer.Exit(code)


class Ended(KeyboardInterrupt):
    """The process was asked to end, by ``kill``, a scheduler or a terminal that was closed."""

    code = 143


def _in_words(error: OSError) -> str:
    """What the system refused, in one line."""
    if error.errno == errno.EPIPE:
        raise error  # whoever read along has seen enough
    if error.filename is None:
        return f"{error.strerror or error}; see to it, and type the same command again"
    return f"{os.fsdecode(error.filename)}: {error.strerror}; see to it, or name another file"


app = typer.Typer(
    cls=_Group,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Knowledge-guided one-class classification for imbalanced medical images.",
)


def main() -> None:
    """Entry point."""
    # Waiting threads sleep instead of spinning; else two processes slow each other many times.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    keep_memory()
    for stream in (sys.stdout, sys.stderr):
        # A table in which a name does not fit has signs that not every terminal has.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    for name in ("SIGTERM", "SIGHUP"):
        if hasattr(signal, name) and signal.getsignal(getattr(signal, name)) == signal.SIG_DFL:
            signal.signal(getattr(signal, name), _end)
    app(prog_name="midclass")


MIB = 1 << 20
KEPT = {"MALLOC_MMAP_THRESHOLD_": (-3, 64 * MIB), "MALLOC_TRIM_THRESHOLD_": (-1, 256 * MIB)}
"""How glibc is told, by number in this process and by environment in those it starts (mallopt(3)):
blocks up to so large are taken from memory that is kept, of which so much is."""


def keep_memory() -> None:
    """Keep what a training step frees for the next one: a twentieth of a fit's time.

    By default glibc gives it back and asks for it anew, page by page. Other libraries are left as
    they are, and so is what a user has chosen.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for name, (number, value) in KEPT.items():
        if name not in os.environ:
            os.environ[name] = str(value)
            mallopt(number, value)


def _end(number: int, frame: object) -> None:
    """End as by Ctrl-C, so that what is half made is removed; a second signal is not waited for."""
    signal.signal(number, signal.SIG_DFL)
    stop = Ended()
    stop.code = 128 + number
    raise stop


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"midclass {__version__}")
        raise typer.Exit


@app.callback()
def _midclass(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", is_eager=True, callback=_version),
    ] = False,
) -> None:
    pass


def demo(
    kind: Annotated[
        str,
        typer.Option(
            metavar="head|chest|breast", help="What to try it on.", autocompletion=one_of(*KINDS)
        ),
    ] = "head",
    out: Annotated[Path, typer.Option(help="Folder to write.")] = Path("demo"),
    seed: Seed = 0,
) -> None:
    """Try it all on phantoms, in a few minutes."""
    from midclass.cli.commands import demo

    demo.run(kind, out, seed)


ANSWERING = (manifest, audit, fit, calibrate, score, evaluate, monitor, doctor)
"""Commands whose result can be one JSON object, and that can be quiet."""
for command in (
    *(demo, manifest, show, check, audit, fit, calibrate, score, evaluate),
    *(view, nuisance, monitor, export, serve, study, report, recipes, cache, doctor),
):
    if command is recipes:
        app.command()(speaking(command, quiet=False))
    else:
        app.command()(speaking(command) if command in ANSWERING else command)
