"""Owned: which files midclass wrote itself, and so may replace.

Every folder that midclass makes holds a list of its files, ``midclass.json``: their sizes and
SHA-256. What is not in such a list, or is no longer what the list says, is somebody else's work.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from midclass.errors import InputError
from midclass.version import __version__

LIST = "midclass.json"
OF_THE_SYSTEM = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""What file managers put into every folder that is looked at."""
_OF_A_KILLED = re.compile(r"\.evaluation\.([0-9a-f]{8}\.(tmp|old)|lock)")
"""What an evaluation that was killed leaves in the detector's folder."""
# Folders of versions that wrote no list: which files must be there, and which may.
_NUMBERED = r"\d{5}_[^/]*\.png|images/(train|given|target)_\d{5}\.png"
_EVALUATION = ({"scores.csv", "summary.json", "roc.png"}, {"heat_maps.png", "patients.csv"})
_SHAPES: tuple[tuple[set[str], set[str] | str], ...] = (
    ({"detector.json", "weights.safetensors"}, {"cohort.json"}),
    _EVALUATION,
    ({"manifest.csv", "phantoms.json"}, r"images/(train|given|target)_\d{5}\.png"),
)


def write_list(folder: Path) -> None:
    """Write the list of all files in a folder into it."""
    files = {name: _facts(folder / name) for name in sorted(_files(folder)) if name != LIST}
    text = json.dumps({"written_by": f"midclass {__version__}", "files": files}, indent=1)
    (folder / LIST).write_text(text + "\n", encoding="utf-8")


def changed(path: Path) -> bool:
    """Whether a file is no longer what the list of its folder says, where that knows it."""
    known = _listed(path.parent / LIST) or {}
    return path.name in known and _facts(path) != known[path.name]


def list_anew(path: Path) -> None:
    """Note in the list of its folder, where there is one, what a file of midclass's now is."""
    place = path.parent / LIST
    if (known := _listed(place)) is not None:
        about = json.loads(place.read_text(encoding="utf-8"))
        about["files"] = dict(sorted((known | {path.name: _facts(path)}).items()))
        with open(place, "w", encoding="utf-8") as file:
            file.write(json.dumps(about, indent=1) + "\n")


def foreign(folder: Path) -> str:
    """The first thing in a folder that midclass did not write, in words; "" where there is none.

    That is a file which no list of this folder or of one in it has, or which is not what the list
    says; a link, a device, a folder without files, another file system. In folders of earlier
    versions, which have no list, every file must have a name that midclass gives.
    """
    unknown: list[str] = []
    lists: dict[str, dict[str, Any]] = {}
    for here, folders, files in os.walk(folder):
        within = os.path.relpath(here, folder)
        start = "" if within == "." else f"{Path(within).as_posix()}/"
        if start and not folders and not files:
            return f"the empty folder {start}"
        folders[:] = [name for name in folders if not _OF_A_KILLED.fullmatch(name)]
        for name in folders:
            inner = os.path.join(here, name)
            if os.path.islink(inner) or os.path.ismount(inner):
                return f"{start}{name}, a link or another disk"
        if (known := _listed(Path(here, LIST))) is not None:
            lists[start] = known
        for name in files:
            if name in OF_THE_SYSTEM or _OF_A_KILLED.fullmatch(name):
                continue
            if name == LIST and start in lists:
                continue
            path = Path(here, name)
            if path.is_symlink() or not path.is_file():
                return f"{start}{name}, a link or no file"
            said = [
                known[inner]
                for at, known in lists.items()
                if (inner := f"{start}{name}".removeprefix(at)) in known
                and f"{start}{name}".startswith(at)
            ]
            if said and _facts(path) not in said:
                return f"{start}{name}, which was changed since midclass wrote it"
            if not said:
                unknown.append(f"{start}{name}")
    return _unlike_earlier_versions(folder, unknown)


def refuse_foreign(folder: Path, option: str = "--out") -> None:
    """Raise InputError for a folder that cannot be replaced without loss."""
    folder = Path(os.path.realpath(folder))
    if os.path.ismount(folder):
        raise InputError(
            f"{folder}: is where a disk begins, and cannot be replaced; give a folder in it with "
            f"{option}"
        )
    for place, kept in (("the working folder", Path.cwd), ("your home folder", Path.home)):
        if holds(folder, [_or_root(kept)]):
            raise InputError(
                f"{folder}: is or holds {place}, which is never replaced; give another folder, "
                f"such as {folder / 'results'}, with {option}"
            )
    if found := foreign(folder):
        raise InputError(
            f"{folder}: is not empty and holds {found}; only what midclass wrote is "
            f"replaced, and nothing was. Give another {option}, or move your files away"
        )


def holds(folder: Path, paths: Iterable[Path]) -> Path | None:
    """The first of the paths that is the folder or lies in it, under whatever name."""
    try:
        own = os.stat(folder)
    except OSError:
        return None
    seen: dict[Path, bool] = {}

    def inside(path: Path) -> bool:
        if path not in seen:
            try:
                one = os.stat(path)
            except OSError:
                return False
            same = (one.st_dev, one.st_ino) == (own.st_dev, own.st_ino)
            seen[path] = same or (path.parent != path and inside(path.parent))
        return seen[path]

    for path in paths:
        real = Path(os.path.realpath(path))
        if inside(real.parent) or inside(real):
            return path
    return None


def _or_root(place: Any) -> Path:
    """A place of the user's; one that cannot be found holds nothing."""
    try:
        return Path(place())
    except (OSError, RuntimeError):
        return Path(os.sep)


def _files(folder: Path) -> Iterator[str]:
    for here, _, files in os.walk(folder):
        for name in files:
            yield Path(os.path.relpath(os.path.join(here, name), folder)).as_posix()


def _facts(path: Path) -> list[Any]:
    """Size and SHA-256 of a file's bytes."""
    whole = hashlib.sha256()
    with open(path, "rb") as file:
        while part := file.read(1 << 20):
            whole.update(part)
        return [file.tell(), whole.hexdigest()]


def _listed(path: Path) -> dict[str, Any] | None:
    """The files of a list; None where there is no list of midclass."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        ours = about["written_by"].startswith("midclass ")
        return dict(about["files"]) if ours else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _unlike_earlier_versions(folder: Path, names: list[str]) -> str:
    """The first of the names that is in no folder as versions without lists wrote them."""
    evaluated = {name for name in names if name.startswith("evaluation/")}
    rest = set(names) - evaluated
    if evaluated and not _is_shaped(
        {n.removeprefix("evaluation/") for n in evaluated}, _EVALUATION
    ):
        return f"{min(evaluated)}, which midclass did not write"
    if not rest or any(_is_shaped(rest, shape) for shape in _SHAPES) or _heat_maps(folder, rest):
        return ""
    usual = {"cohort.json", "heat_maps.png"}.union(*(must for must, _ in _SHAPES))
    strange = [name for name in rest - usual if not re.fullmatch(_NUMBERED, name)]
    return f"{min(strange or rest)}, which midclass did not write"


def _is_shaped(names: set[str], shape: tuple[set[str], set[str] | str]) -> bool:
    must, may = shape
    more = names - must
    known = all(re.fullmatch(may, name) for name in more) if isinstance(may, str) else more <= may
    return must <= names and known


def _heat_maps(folder: Path, names: set[str]) -> bool:
    """Numbered from 0 on, and drawn as no camera does: colour, two squares wide, 384 high."""
    for number, name in enumerate(sorted(names)):
        if not re.fullmatch(rf"{number:05d}_[^/]*\.png", name):
            return False
        with open(folder / name, "rb") as file:
            head = file.read(26)
        high = int.from_bytes(head[20:24], "big")
        if head[:8] != b"\x89PNG\r\n\x1a\n" or head[24:26] != b"\x08\x02" or high < 384:
            return False
    return True
