"""Provenance: which detector made a score table, from which seed, when, and with what.

It stands beside a score table, in ``NAME.provenance.json``, and not in it: the same detector gives
the same table to the byte, on whatever day.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from importlib.metadata import version
from inspect import isfunction, unwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midclass.evaluation.conformal import aim
from midclass.files import digest, write_text_atomic
from midclass.recipe.resolve import SOURCE
from midclass.version import __version__

if TYPE_CHECKING:
    from midclass.detectors.base import Detector
    from midclass.recipe.recipe import Recipe

DECIDES = (
    *("detector", "recipe", "max_fpr", "threshold", "calibration", "patient_calibration"),
    *("plausible", "heat", "spacing_mm", "context", "state", "folds", "aimed_at"),
    *("independent", "code", "patient_cases", "patient_fewer"),
)
"""What a detector's id is made of, with its tensors: all on which scores, flags and maps depend."""


def today() -> str:
    """The date in UTC, ``YYYY-MM-DD``; that of ``$SOURCE_DATE_EPOCH`` where it is set.

    See https://reproducible-builds.org/specs/source-date-epoch.
    """
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "")
    now = int(seconds) if seconds.isdigit() else None
    return time.strftime("%Y-%m-%d", time.gmtime(now))


def versions() -> dict[str, str]:
    """Of midclass, torch, numpy and Python."""
    packages = {name: version(name) for name in ("torch", "numpy")}
    return {"midclass": __version__, **packages, "python": platform.python_version()}


@dataclass(frozen=True)
class Origin:
    """Where a detector comes from; of one of earlier versions nothing is known.

    Attributes:
        id: see ``identity``.
        seed: of the fit.
        fitted: the date, see ``today``.
        versions: of the fit.
    """

    id: str = ""
    seed: int | None = None
    fitted: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)


def user_code(detector: type, recipe: Recipe) -> dict[str, str]:
    """Hashes of the user's files that say how images are seen and scored, by their names.

    These are the files of the detector and of the anatomies, not what they import.
    """
    methods = [one for kind in detector.__mro__ for one in vars(kind).values() if isfunction(one)]
    functions = [*recipe.anatomy_functions(), recipe.crop_function(), *methods]
    places = [getattr(unwrap(one), "__globals__", {}) for one in functions if one is not None]
    return {Path(one["__file__"]).name: one[SOURCE] for one in places if SOURCE in one}


def identity(about: Mapping[str, Any], weights: bytes) -> str:
    """The id of a detector: 16 digits of a SHA-256 of its tensors and of what decides a score.

    Two detectors have one id where they give every case the same score, p-value and flag, and
    promise alike. The date, versions, and numbers of cases are no part of it.

    Args:
        about: the fields of ``detector.json``.
        weights: the bytes of ``weights.safetensors``.

    >>> identity({"heat": {}, "fitted": "2026-01-01"}, b"") == identity({"heat": {}}, b"")
    True
    """
    facts = {name: about[name] for name in DECIDES if about.get(name) not in (None, [])}
    text = json.dumps([facts, sha256(weights).hexdigest()], sort_keys=True)
    return sha256(text.encode()).hexdigest()[:16]


def beside(table: Path) -> Path:
    """Where the provenance of a score table is.

    >>> beside(Path("a/scores.csv")).name
    'scores.provenance.json'
    """
    return table.with_name(f"{table.stem}.provenance.json")


def only_aimed(table: Path) -> bool:
    """Whether the rate of a score table's flags is an aim and no promise, see ``conformal.aim``.

    Where nothing beside the table says so, it is taken for a promise.
    """
    detector = provenance_of(table).get("detector")
    promised = detector.get("promise") if isinstance(detector, dict) else None
    return isinstance(promised, dict) and aim(promised) != "promised"


def images_of(table: Path) -> str:
    """A digest of the images of a study's score table; "" where nothing beside it says so."""
    return str(provenance_of(table).get("images") or "")


def provenance_of(table: Path) -> dict[str, Any]:
    """What stands beside a score table; nothing where nothing readable does."""
    try:
        said = json.loads(beside(table).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def write_provenance(
    detector: Detector,
    name: str,
    table: Path,
    more: Sequence[Path] = (),
    images: Sequence[str] = (),
) -> dict[str, Any]:
    """Write and return what a score table comes from.

    Args:
        detector: that made it.
        name: of its folder.
        table: the score table.
        more: tables that belong to it, such as that of patients.
        images: hashes of what was scored, of which a digest is kept.
    """
    said = {
        "written_by": f"midclass {__version__}",
        "scored": today(),
        "versions": versions(),
        "detector": {
            "name": name,
            "recipe": detector.recipe.name,
            **asdict(detector.origin_),
            "max_fpr": detector.max_fpr_,
            "promise": detector.promise(),
            "threshold": detector.threshold_,
            "threads": detector.threads_,
        },
        "tables": [one.name for one in (table, *more)],
        **({"images": digest(sorted(images))} if images else {}),
    }
    write_text_atomic(beside(table), json.dumps(said, indent=1) + "\n")
    return said
