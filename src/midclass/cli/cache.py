"""Command on what is kept between commands: ``cache``."""

from __future__ import annotations

from typing import Annotated

import typer

from midclass.cli.options import Cache


def cache(
    cache: Cache = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all of it.")] = False,
) -> None:
    """List the prepared images that are kept on disk, or remove them.

    They are private to each user, and the oldest go by themselves beyond 20 GiB.
    """
    from midclass.cli.commands import cache as command

    command.run(cache, remove=clear)
