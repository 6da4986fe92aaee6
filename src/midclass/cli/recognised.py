"""Recognised: whether a file is one that midclass wrote, and may be replaced by another such."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from midclass.evaluation.page import MARK
from midclass.evaluation.parquet import MARK as MARK_OF_PARQUET
from midclass.evaluation.parquet import SUFFIX
from midclass.evaluation.table import COLUMNS, OUTCOMES
from midclass.images.columns import KNOWN, REMARKS
from midclass.owned import changed

_MORE = (
    *("p_value", "assumed_spacing", "anatomy", "slice", "series_id"),
    *("week", "device", "spacing_mm"),
    *("units", "cases", "cases_not_assessed", "cases_flagged"),
)
_OF_CASES = {*KNOWN, *REMARKS, "reason", "first", "second", "kind", "correlation"}
_NUISANCE = re.compile(r"\w+ [+-][\d.]+")
_DARK = (17, 17, 17)
"""Of a sheet's edge; sheets of earlier versions do not say who drew them."""


def anything(path: Path) -> str:
    """Nothing is known of a file."""
    return "is no file that midclass wrote"


def no_table(path: Path) -> str:
    """Why a file is no score table as midclass wrote it; "" where it is one, or empty.

    A column more, or another program's line ends, is somebody's work.
    """
    if path.suffix == SUFFIX:
        whole = path.read_bytes()
        return "" if MARK_OF_PARQUET in whole or not whole else "is no score table of midclass"
    with open(path, "rb") as file:
        line = file.readline(1 << 16)
    if not line:
        return ""
    try:
        (header,) = csv.reader([line.decode("utf-8-sig")])
    except (UnicodeDecodeError, ValueError, csv.Error):
        header = []
    if not set(COLUMNS) <= set(header):
        return "is no score table"
    if line.startswith(b"\xef\xbb\xbf") or line.endswith(b"\r\n"):
        return "was saved by another program, such as a spreadsheet"
    known = {*COLUMNS, *OUTCOMES, *_MORE}
    for name in header:
        if name not in known and not _NUISANCE.fullmatch(name):
            return f"has a column {name!r}, which midclass did not write"
    return ""


def no_list(path: Path, columns: Sequence[str]) -> bool:
    """Whether there is a file that does not begin with these columns."""
    begins = ",".join(columns).encode() + b"\n"
    return os.path.lexists(path) and not (path.is_file() and path.read_bytes().startswith(begins))


def no_list_of_cases(columns: Sequence[str]) -> Callable[[Path], str]:
    """Why a file is no table of ``midclass manifest`` that begins with these columns, or ""."""

    def strange(path: Path) -> str:
        with open(path, "rb") as file:
            line = file.readline(1 << 16)
        names = line.rstrip(b"\n").decode("utf-8", "replace").split(",")
        ours = all(name in _OF_CASES or re.fullmatch(r"repeat_\d+", name) for name in names)
        if not line or (ours and names[: len(columns)] == [*columns]):
            return ""
        return "was not written by midclass manifest"

    return strange


def no_audit(path: Path) -> str:
    """Why a file is no JSON of ``midclass audit``; "" where it is one, or empty."""
    return _no_json(path, {"classes", "advice"}, "midclass audit")


def no_provenance(path: Path) -> str:
    """Why a file does not say where a score table comes from; "" where it does, or is empty."""
    return _no_json(path, {"scored", "tables"}, "midclass")


def _no_json(path: Path, fields: set[str], by: str) -> str:
    """Why a file is no JSON with these fields; "" where it is, or is empty."""
    try:
        text = path.read_text(encoding="utf-8")
        about = json.loads(text) if text else dict.fromkeys(fields)
    except (ValueError, RecursionError):
        about = None
    return "" if isinstance(about, dict) and fields <= set(about) else f"was not written by {by}"


def no_export(path: Path) -> str:
    """Why a file is no ONNX file of ``midclass export``; "" where it is one, or empty."""
    whole = path.read_bytes()
    ours = b"midclass.detector_id" in whole
    return "" if ours or not whole else "was not written by midclass export"


def no_page(path: Path) -> str:
    """Why a file is no RESULTS.md of ``midclass report``; "" where it is one, or empty."""
    text = path.read_bytes()
    return (
        ""
        if not text or b"Written by `midclass report` from" in text
        else "was not written by midclass report"
    )


def no_html_page(path: Path) -> str:
    """Why a file is no HTML page of midclass; "" where it is one, or empty.

    One that was changed since is told where the folder's list knows it.
    """
    text = path.read_bytes()
    if text and MARK not in text[:4096]:
        return "is no page that midclass wrote"
    return "was changed since midclass wrote it" if changed(path) else ""


def no_picture(path: Path) -> str:
    """Why a file is no picture that midclass drew; "" where it is one, or empty."""
    whole = path.read_bytes()
    signed = (b"Software\0midclass", b"<dc:title>midclass</dc:title>", b"/Creator (midclass)")
    if not whole or any(mark in whole for mark in signed):
        return ""
    unsigned = b"Matplotlib v" in whole[:4096]
    of_study = path.suffix == ".svg" and re.fullmatch(r"auroc_.+|positives", path.stem) is not None
    if unsigned and (of_study or b"fill: #111111" in whole[:8192]):
        return ""
    if b"Software\0Matplotlib" in whole[:4096] and _is_dark(path):
        return ""
    return "was not drawn by midclass"


def _is_dark(path: Path) -> bool:
    import PIL.Image

    try:
        with PIL.Image.open(path) as picture:
            return picture.convert("RGB").getpixel((0, 0)) == _DARK
    except (OSError, ValueError, SyntaxError):
        return False
