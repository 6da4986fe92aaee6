"""Keys: where prepared samples are kept, and by which names they are found again."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterable
from functools import lru_cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from midclass.errors import InputError
from midclass.images.formats.contents import state_of
from midclass.images.private import private_folder
from midclass.recipe.resolve import SOURCE

if TYPE_CHECKING:
    from midclass.images.cohort import Case, Cohort
    from midclass.recipe.function import AnatomyFunction
    from midclass.recipe.parts import Accepts, Geometry, Intensity


DECODERS = (
    *("numpy", "scipy", "pillow", "pydicom", "nibabel"),
    *("python-gdcm", "pylibjpeg", "pylibjpeg-openjpeg", "pylibjpeg-rle", "pylibjpeg-libjpeg"),
)
"""Packages on which pixels depend: another version of one finds no samples of this one."""


def folder(given: Path | None = None) -> Path:
    """The given folder, else ``$MIDCLASS_CACHE``, else midclass/prepared in the user's cache."""
    if given is not None:
        return Path(given)
    named = os.environ.get("MIDCLASS_CACHE")
    return Path(named) if named else user_cache_path("midclass", appauthor=False) / "prepared"


def own_folder(given: Path | None = None) -> Path:
    """The same, or this user's part of it, where nobody else can write; made if needed.

    Raises:
        InputError: there can be none.
    """
    root = folder(given)
    try:
        return private_folder(root)
    except OSError as error:
        raise InputError(
            f"{root}: the cache of prepared images cannot be written ({error.strerror}); "
            "set MIDCLASS_CACHE to another folder"
        ) from error


def rules_of(
    geometry: Geometry,
    intensity: Intensity,
    accepts: Accepts,
    functions: Iterable[AnatomyFunction | None],
) -> str:
    """Everything but the images on which samples depend: the recipe, and the code that reads and
    prepares, so that no version finds another's samples.
    """
    of_scores = {"least_anatomy_mm2", "compare"}
    prepared = geometry.model_dump(mode="json", exclude=of_scores)
    prepared["view"] = "whole" if geometry.shows_all else geometry.view
    known = {
        "code": _CODE,
        "versions": _versions(),
        "geometry": prepared,
        "intensity": intensity.model_dump(mode="json"),
        "accepts": accepts.model_dump(mode="json"),
        "functions": [None if one is None else _function(one) for one in functions],
    }
    return json.dumps(known)


def _code_of_preparation() -> dict[str, str]:
    """Hashes of the code, and of the weights of learned anatomy."""
    here = Path(__file__).parent
    files = sorted([*here.rglob("*.py"), *here.rglob("*.safetensors")])
    return {file.relative_to(here).as_posix(): _hash(file) for file in files}


@lru_cache(maxsize=1)
def _versions() -> list[str]:
    found = []
    for package in DECODERS:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} none")
    return found


def _function(function: AnatomyFunction) -> list[str]:
    """Its name and the code that it is of, as it runs: a file may have been changed since."""
    inner = inspect.unwrap(function)
    here, file = Path(__file__).parent, Path(inspect.getfile(inner))
    if file.is_relative_to(here):
        return [function.__module__, function.__qualname__]
    code = getattr(inner, "__globals__", {}).get(SOURCE) or _code_of_others(file)
    return [function.__module__, function.__qualname__, code]


@lru_cache(maxsize=64)
def _code_of_others(file: Path) -> str:
    """Of an installed package, as it was when it was first asked for."""
    return _hash(file)


def _hash(file: Path) -> str:
    return sha256(file.read_bytes()).hexdigest()


_CODE = _code_of_preparation()
"""As it was when it was imported, for that is what runs: an edit during a run must not put what
the old code makes under the name of the new."""


def _digest(rules: str, parts: Iterable[list[object]]) -> str:
    digest = sha256(rules.encode())
    for part in parts:
        digest.update(json.dumps(part).encode())
    return digest.hexdigest()[:40]


def state_of_cohort(cohort: Cohort, rules: str) -> str:
    """A name for the cohort as its files lie there, told without opening any."""
    return _digest(rules, (_files_state(case) + known_of(case) for case in cohort))


def state_of_file(case: Case) -> str:
    """The same for what one case shows."""
    return _digest("", [[case.array, *_file_state(case.path), case.index, case.frame]])


def likeness_of(cohort: Cohort, rules: str) -> str:
    """A name that a copy of the files has too, told without opening any.

    Other cohorts may have it as well: what it shows must be compared.
    """
    parts = (_files_state(case, copied=True) + known_of(case) for case in cohort)
    return _digest(rules, parts)


def marker_of(rules: str) -> str:
    """Name of the file that all entries by these rules have."""
    return f"{_digest(rules, [])}.rules"


def state_of_case(case: Case) -> bytes:
    """A name for a case as its files lie there, told without opening any."""
    return _digest("", [_files_state(case) + known_of(case)]).encode()


def likeness_of_case(case: Case) -> bytes:
    """A name that a case with a copy of its files has too, and perhaps others."""
    return _digest("", [_files_state(case, copied=True) + known_of(case)]).encode()


def name_of_shown(case: Case, content: str, mask: str) -> bytes:
    """A name for a case by the hashes of what it shows; empty where it cannot be read."""
    return _digest("", [[content, mask, *known_of(case)]]).encode() if content else b""


def _files_state(case: Case, *, copied: bool = False) -> list[object]:
    """Array, and path and state of its file and mask; of a copy it has the lengths alone."""
    states = [_file_state(file) for file in files_of(case)]
    return [case.array, *(state[3:4] if copied else state for state in states)]


def files_of(case: Case) -> list[Path]:
    """Its image and, where it has one, its mask."""
    return [case.path] if case.mask is None else [case.path, case.mask]


def _file_state(file: Path) -> list[object]:
    path = str(file.absolute())
    try:
        return [path, *state_of(file)]
    except (OSError, InputError):  # reading it will say why
        return [path, *(-1,) * 5]


def key_of(cohort: Cohort, rules: str, contents: Iterable[tuple[str, str]]) -> str:
    """A name for the cohort by what it shows: a copied folder has the same.

    Args:
        cohort: the cases.
        rules: see ``rules_of``.
        contents: ``identity.content_of`` each case, and that of its mask, at the time when they
            were read; empty where they cannot be opened.
    """
    return _digest(
        rules,
        (
            [content or str(case.path.absolute()), mask, *known_of(case)]
            for case, (content, mask) in zip(cohort, contents, strict=True)
        ),
    )


def known_of(case: Case) -> list[object]:
    """What the manifest says that changes a sample."""
    return [case.index, case.frame, case.spacing_mm, case.centre, case.laterality]
