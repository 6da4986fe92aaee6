"""Markdown: pages from templates, and the one way in which tables are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def filled(template: str, folder: Path, **values: Any) -> str:
    """A template ``NAME.md.j2`` of the folder with these values.

    A template has ``table`` and the filter ``paragraph``, which makes its lines one: Markdown
    viewers differ in what they make of a line that ends in a paragraph.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # not for a mistake

    environment = Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Markdown, of the user's own words
    )
    environment.globals["table"] = table
    environment.filters["paragraph"] = paragraph
    return environment.get_template(template).render(values)


def paragraph(text: str) -> str:
    """Several lines as one.

    >>> paragraph("One sentence.\\nAnother one.\\n")
    'One sentence. Another one.\\n'
    """
    return " ".join(line for line in text.split("\n") if line) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, tight: bool = False) -> str:
    """A Markdown table; ``tight`` leaves out the spaces of the rule and of empty cells.

    >>> print(table(["detector", "AUROC"], [["pca", ".65"]]))
    | detector | AUROC |
    | --- | --- |
    | pca | .65 |
    """
    lines = [_line(head, tight), _line(["---"] * len(head), tight)]
    if tight:
        lines[1] = "|---" * len(head) + "|"
    return "\n".join([*lines, *(_line(row, tight) for row in rows)])


def _line(cells: Sequence[str], tight: bool) -> str:
    return "|" + "".join(f" {cell} |" if cell or not tight else " |" for cell in cells)
