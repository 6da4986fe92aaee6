"""Names: which recipes are shipped, and which file is meant by a name or a path."""

from __future__ import annotations

from pathlib import Path

from midclass.errors import InputError, did_you_mean
from midclass.files import refuse_no_file

SHIPPED = Path(__file__).parent / "shipped"
SUFFIXES = (".yaml", ".yml")


def shipped() -> list[str]:
    """The names of the recipes that come with midclass.

    >>> "chest_xray" in shipped()
    True
    """
    return sorted(path.stem for path in SHIPPED.glob("*.yaml"))


def find(name_or_path: str | Path, folder: Path = Path()) -> Path:
    """The file of a shipped name or of a path, relative to a folder.

    Raises:
        InputError: neither exists.
    """
    path = Path(name_or_path)
    if path.suffix in SUFFIXES:
        refuse_no_file(folder / path, "recipe file")
        return folder / path
    if str(name_or_path) not in shipped():
        raise InputError(
            f"no recipe {str(name_or_path)!r}{did_you_mean(str(name_or_path), shipped())}; shipped "
            f"are {', '.join(shipped())}; your own is named by its path, ending in .yaml"
        )
    return SHIPPED / f"{name_or_path}.yaml"
