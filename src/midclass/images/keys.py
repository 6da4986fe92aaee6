"""Keys: where prepared samples are kept, and by which names they are found again."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Iterable
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from platformdirs import user_cache_path

from midclass.images.identity import mask_content

if TYPE_CHECKING:
    from midclass.images.cohort import Case, Cohort
    from midclass.recipe.function import AnatomyFunction
    from midclass.recipe.recipe import Geometry, Intensity


def folder(given: Path | None = None) -> Path:
    """The given folder, else ``$MIDCLASS_CACHE``, else midclass/prepared in the user's cache."""
    if given is not None:
        return Path(given)
    named = os.environ.get("MIDCLASS_CACHE")
    return Path(named) if named else user_cache_path("midclass", appauthor=False) / "prepared"


def rules_of(
    geometry: Geometry, intensity: Intensity, functions: Iterable[AnatomyFunction | None]
) -> str:
    """Everything but the images on which samples depend: the recipe, and the code that reads and
    prepares, so that no version finds another's samples.
    """
    known = {
        "code": [_code(file) for file in _read_by_preparation()],
        "geometry": geometry.model_dump(mode="json", exclude={"least_anatomy_mm2"}),  # for scores
        "intensity": intensity.model_dump(mode="json"),
        "functions": [None if one is None else _function(one) for one in functions],
    }
    return json.dumps(known)


def _read_by_preparation() -> list[Path]:
    """Code, and weights of learned anatomy."""
    here = Path(__file__).parent
    return sorted([*here.rglob("*.py"), *here.rglob("*.safetensors")])


def _function(function: AnatomyFunction) -> list[str]:
    file = Path(inspect.getfile(function))
    return [function.__module__, function.__qualname__, _code(file)]


def _code(file: Path) -> str:
    """Read every time: an edit can leave the length of a file and its second of change."""
    return sha256(file.read_bytes()).hexdigest()


def _digest(rules: str, parts: Iterable[list[object]]) -> str:
    digest = sha256(rules.encode())
    for part in parts:
        digest.update(json.dumps(part).encode())
    return digest.hexdigest()[:40]


def state_of(cohort: Cohort, rules: str) -> str:
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


def _files_state(case: Case, *, copied: bool = False) -> list[object]:
    """Array, and path, length and time of change of its file and mask; a copy has the lengths."""
    files = [case.path] if case.mask is None else [case.path, case.mask]
    states = [_file_state(file) for file in files]
    return [case.array, *(state[1:2] if copied else state for state in states)]


def _file_state(file: Path) -> list[object]:
    path = str(file.absolute())
    try:
        status = file.stat()
    except OSError:  # reading it will say why
        return [path, -1, -1]
    return [path, status.st_size, status.st_mtime_ns]


def key_of(cohort: Cohort, rules: str, contents: Iterable[str]) -> str:
    """A name for the cohort by what it shows: a copied folder has the same.

    Args:
        cohort: the cases.
        rules: see ``rules_of``.
        contents: ``identity.content_of`` each case; empty where it cannot be opened.
    """
    return _digest(
        rules,
        (
            [content or str(case.path.absolute()), mask_content(case), *known_of(case)]
            for case, content in zip(cohort, contents, strict=True)
        ),
    )


def known_of(case: Case) -> list[object]:
    """What the manifest says that changes a sample."""
    return [case.index, case.frame, case.spacing_mm, case.centre, case.laterality]
