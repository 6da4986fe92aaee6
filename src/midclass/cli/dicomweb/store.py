"""Store: what was said of a server's images goes back to it, into their studies (STOW-RS)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from midclass.cli.console import fault, say
from midclass.cli.dicomweb.server import DicomWeb
from midclass.cli.voice import answer
from midclass.errors import InputError

AT_ONCE = 50
"""Objects of one request, at most."""
AT_ONCE_BYTES = 32 * 2**20
"""Bytes after which no further object goes into a request."""
REPORT = "_report.dcm"
NAMED = 6
"""Objects that were not stored and are named."""


def store_folder(server: DicomWeb, folder: Path) -> bool:
    """Send the objects of a folder, each into its study; True where all were stored.

    Reports go last, and only those of images of which all else was stored: an image that has a
    report on the server is not scored again.

    Args:
        server: that takes them.
        folder: written by ``score --dicom``.
    """
    files = sorted(folder.glob("*.dcm"))
    reports = [file for file in files if file.name.endswith(REPORT)]
    failed = dict[Path, str]()
    try:
        _send(server, [file for file in files if file not in reports], failed)
        incomplete = {_of_image(file) for file in failed}
        held = [file for file in reports if _of_image(file) in incomplete]
        failed |= dict.fromkeys(held, "was not sent, since not all about its image was stored")
        _send(server, [file for file in reports if file not in held], failed)
    except InputError as error:
        fault(f"{error}; {folder} holds it, and the same command with --overwrite tries again")
        return False
    say(f"stored at {server.url}: {len(files) - len(failed)} of {len(files)} objects")
    for file, reason in list(failed.items())[:NAMED]:
        fault(f"not stored: {file.name}: {reason}")
    if len(failed) > NAMED:
        fault(f"not stored: {len(failed) - NAMED} more")
    answer(stored=len(files) - len(failed), not_stored=len(failed))
    return not failed


def _send(server: DicomWeb, files: Sequence[Path], failed: dict[Path, str]) -> None:
    by_study = dict[str, list[Path]]()
    for file in files:
        by_study.setdefault(server.study_of(file), []).append(file)
    for study, own in by_study.items():
        for some in _requests(own):
            failed |= server.store(study, some)


def _requests(files: Sequence[Path]) -> Iterator[list[Path]]:
    """The files, so many together as go into a request."""
    some, size = list[Path](), 0
    for file in files:
        some.append(file)
        size += file.stat().st_size
        if len(some) == AT_ONCE or size >= AT_ONCE_BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _of_image(file: Path) -> str:
    """The name that all objects about one image begin with."""
    return file.name.rpartition("_")[0]
