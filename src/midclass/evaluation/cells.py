"""Cells: text in a CSV file that a spreadsheet shows, and does not take for a formula."""

from __future__ import annotations

import re
from typing import TextIO

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""What a spreadsheet would compute (OWASP, CSV injection), and what was escaped once already."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def as_cell(text: str) -> str:
    """The text with an apostrophe before it where it would be a formula; numbers stay numbers.

    >>> as_cell("=1+2"), as_cell("-4.5"), as_cell("scan 7"), as_cell("'=1+2")
    ("'=1+2", '-4.5', 'scan 7', "''=1+2")
    """
    formula = _FORMULA.match(text) and not _NUMBER.fullmatch(text)
    return f"'{text}" if formula else text


def from_cell(cell: str) -> str:
    """The text of which ``as_cell`` made a cell.

    >>> from_cell("'=1+2"), from_cell("-4.5"), from_cell("'quoted'")
    ('=1+2', '-4.5', "'quoted'")
    """
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


class LineEnds:
    """A file for ``csv.writer``: what is quoted is what its own ends of line ask for, "\\r" too.

    The ends of lines in the file are "\\n" alone.

    Args:
        file: open for text, with line ends as they are written.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> int:
        """Write one row, as the writer gives it."""
        return self._file.write(line.removesuffix("\r\n") + "\n")
