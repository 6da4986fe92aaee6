"""The command ``view``: the page of an evaluation, made anew from its files."""

from __future__ import annotations

import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from midclass.cli.console import say
from midclass.cli.outputs import Place, claimed
from midclass.cli.recognised import no_html_page
from midclass.errors import InputError
from midclass.evaluation.page import PAGE
from midclass.evaluation.page.cases import Which
from midclass.evaluation.page.place import SCORES, SUMMARY, folder_of
from midclass.evaluation.page.run import Run
from midclass.evaluation.page.write import html
from midclass.files import write_text_atomic
from midclass.owned import list_anew


def run(
    place: Path,
    *,
    out: Path | None = None,
    pictures: str = "some",
    nuisance: Path | None = None,
    show: bool = False,
) -> Path:
    """Write the page, say where it is, and open it in the browser where that is asked for.

    Args:
        place: the folder of an evaluation, or of its detector.
        out: HTML file; by default ``page.html`` in the folder of the evaluation.
        pictures: ``some``, ``all`` or ``none``.
        nuisance: table of ``midclass nuisance``.
        show: open it.

    Raises:
        InputError: there is no evaluation, or something else than a page of midclass is in its
            place.
    """
    for one in get_args(Which):
        if one == pictures:
            which: Which = one
            break
    else:
        raise InputError(f"--pictures is {pictures!r}; give {', '.join(get_args(Which))}")
    folder = folder_of(place)
    page = out or folder / PAGE

    def reads() -> Iterator[Path]:
        yield from (folder / SCORES, folder / SUMMARY, *([nuisance] if nuisance else ()))

    with claimed(Place(page, "file", strange=no_html_page, unasked=True), reads=reads):
        write_text_atomic(page, html(Run.read(folder, nuisance), which))
        if page.parent.samefile(folder):
            list_anew(page)
    say(f"page: {page} ({page.stat().st_size / 1e6:.1f} MB)")
    if show and not webbrowser.open(page.resolve().as_uri()):
        say("no browser could be opened; open the file yourself")
    return page
