"""The command ``cache``: what lies in the cache of prepared images, and its removal."""

from __future__ import annotations

import time
from pathlib import Path

from rich.markup import escape

from midclass.cli.console import new_table, say, show_table
from midclass.images.entries import clear, entries
from midclass.images.keys import folder, own_folder


def run(cache: Path | None = None, *, remove: bool = False) -> None:
    """List what was prepared: of which cohort, how large, when it was used last; or remove all.

    Raises:
        InputError: the cache cannot be opened.
    """
    if not folder(cache).exists():
        say(f"nothing is kept in {folder(cache)}")
        return
    root = own_folder(cache)
    if remove:
        say(f"removed {_megabytes(clear(root))} from {root}")
        return
    found = entries(root)
    table = new_table()
    for column in ("last used", "size", "cases", "cohort"):
        table.add_column(column, justify="right" if column in ("size", "cases") else "left")
    for entry in found:
        used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used))
        cases = str(entry.cases) if entry.cases else "-"
        table.add_row(used, _megabytes(entry.size), cases, escape(entry.cohort))
    if found:
        show_table(table)
    say(f"{len(found)} cohorts, {_megabytes(sum(entry.size for entry in found))}, in {root}")
    say("--clear removes them; they are made again when they are needed")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
