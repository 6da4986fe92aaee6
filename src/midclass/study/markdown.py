"""Markdown: a study's pages, and the one way in which figures are written."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

from midclass.evaluation.markdown import filled as filled
from midclass.evaluation.markdown import table as table
from midclass.files import fill_blocks, write_or_check

TEMPLATES = Path(__file__).parent / "templates"


def page_command(about: str, pages: Callable[[], Mapping[Path, str]]) -> int:
    """A study's command that writes pages made of its score tables.

    With ``--check`` it writes nothing. Returns the exit code: 1 where a page on disk differs.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--check", action="store_true", help="compare only; 1 where they differ")
    check = parser.parse_args().check
    same = [write_or_check(page, text, check=check) for page, text in pages().items()]
    return int(not all(same))


def pages_with(blocks: Mapping[Path, Mapping[str, str]]) -> dict[Path, str]:
    """Pages as they are on disk, with these blocks in them; see ``files.fill_blocks``.

    >>> pages_with({})
    {}
    """
    return {
        page: fill_blocks(page.read_text(encoding="utf-8"), named) for page, named in blocks.items()
    }


def rows_under(page: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading: its head, then its rows.

    >>> rows_under("## One" + chr(10) + table(["a", "b"], [["1", "2"]]), "## One")
    [['a', 'b'], ['1', '2']]
    """
    section = page.split(f"{heading}\n", 1)[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip()[1:-1].split("|")] for line in lines]
    return [cells[0], *cells[2:]]


def figure(value: float, digits: int = 3) -> str:
    """A figure between -1 and 1 without its 0.

    >>> figure(0.8021), figure(1)
    ('.802', '1.000')
    """
    return f"{value:.{digits}f}".removeprefix("0")


def bold(text: str, wanted: bool) -> str:
    """The text, in bold where it is wanted.

    >>> bold("a", True), bold("a", False)
    ('**a**', 'a')
    """
    return f"**{text}**" if wanted else text


def signed(value: float) -> str:
    """A difference of two figures.

    >>> signed(0.0305), signed(-0.2)
    ('+.030', '-.200')
    """
    return f"{value:+.3f}".replace("0.", ".", 1)


def with_limits(value: float, low: float, high: float, digits: int = 3) -> str:
    """A figure and where it lies.

    >>> with_limits(0.8021, 0.761, 0.84)
    '.802 (.761 to .840)'
    """
    value_, low_, high_ = (figure(one, digits) for one in (value, low, high))
    return f"{value_} ({low_} to {high_})"


def percent(value: float, low: float, high: float, digits: int = 0) -> str:
    """A share and where it lies.

    >>> percent(0.055, 0.031, 0.1)
    '6 % (3 to 10)'
    """
    value_, low_, high_ = (f"{100 * one:.{digits}f}" for one in (value, low, high))
    return f"{value_} % ({low_} to {high_})"
