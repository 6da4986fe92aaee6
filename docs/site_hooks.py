"""Hooks of the documentation site, see mkdocs.yml."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(((?:\.\./)+)([^)#\s]+)(#[^)]*)?\)")


def on_page_markdown(markdown: str, page: Any, **_: object) -> str:
    """Links to files of the project that are no pages become their names in the project.

    Raises:
        FileNotFoundError: there is no such file.
    """

    def named(link: re.Match[str]) -> str:
        picture, text, _, target = link.group(1), link.group(2), link.group(3), link.group(4)
        if not (ROOT / target).exists():
            raise FileNotFoundError(f"docs/{page.file.src_uri}: no {target} in the project")
        return "" if picture else f"{text} (`{target}` in the project)"

    return _LINK.sub(named, markdown)
