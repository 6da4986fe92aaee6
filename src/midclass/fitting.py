"""Fitting into a folder: refuses before any work, goes on after an interruption, appears whole."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import pkgutil
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midclass.errors import InputError
from midclass.evaluation import FITTED_WITH, fitted_with
from midclass.images.cohort import Case, Cohort
from midclass.recipe import Recipe
from midclass.resolve import did_you_mean, resolve
from midclass.writing import new_folder, write_text_atomic

if TYPE_CHECKING:
    from midclass.detectors.base import Detector
    from midclass.images.prepare import Prepared
    from midclass.learning import Progress

NO_CASES = Cohort(())
"""The positives of a fit that has none."""
STATE = "training.pt"
"""File of a training's state; it appears at the first checkpoint."""


def refuse_existing(out: Path, overwrite: bool) -> None:
    """Say before hours of work that the results would have no place.

    Raises:
        InputError: ``out`` is a file, or (without ``overwrite``) a folder that is not empty.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: is a file; give a folder with --out")
    if not overwrite and out.is_dir() and any(out.iterdir()):
        raise InputError(f"{out}: is not empty; give another --out, or --overwrite to replace it")


def refuse_existing_file(out: Path, overwrite: bool) -> None:
    """The same for a file.

    Raises:
        InputError: ``out`` is a folder, or (without ``overwrite``) a file.
    """
    if out.exists() and (out.is_dir() or not overwrite):
        raise InputError(f"{out}: is there already; give another --out, or --overwrite")


def detector_class(name: str, trust: Collection[Path] = ()) -> type[Detector]:
    """The detector of a module of ``midclass.detectors``, such as ``middle_class``; or of a file.

    Args:
        name: of the module; ``module.Class`` where it has several, such as ``supervised.Focal``; or
            ``path/to/file.py:Class``.
        trust: files of the user's that may run.

    Raises:
        InputError: there is no such module, or the file's class is no detector.
    """
    import midclass.detectors
    from midclass.detectors.base import Detector

    if ":" in name:
        found = resolve(name, "midclass.detectors", "detector", Path(), trust)
        if not (isinstance(found, type) and issubclass(found, Detector)):
            raise InputError(f"detector: {name} is no class derived from Detector")
        return found
    modules = [m.name for m in pkgutil.iter_modules(midclass.detectors.__path__)]
    names = [m for m in modules if m != "base" and not m.startswith("_")]
    place, _, wanted = name.partition(".")
    if place not in names:
        hint = did_you_mean(place, names)
        raise InputError(f"no detector {name!r}{hint}; the detectors are {', '.join(names)}")
    module = importlib.import_module(f"midclass.detectors.{place}")
    own = {
        f"{place}.{one.__name__}": one
        for one in vars(module).values()
        if isinstance(one, type) and issubclass(one, Detector) and one.__module__ == module.__name__
        if not inspect.isabstract(one)
    }
    if not wanted and len(own) == 1:
        return next(iter(own.values()))
    if name not in own:
        raise InputError(
            f"no detector {name!r}{did_you_mean(name, own)}; there are {', '.join(own)}"
        )
    return own[name]


class Workplace:
    """The folder ``OUT.part`` beside ``OUT``: what an interrupted fit needs to go on.

    Args:
        out: where the detector will be.
        recipe: with which it is fitted.
        cohort: the cases it is fitted with.
        seed: of the fit.
        detector: name of its module.
        trust: files of the user's that may run; a change in them is another fit.
        positives: the target-class cases it is fitted with, if any.
    """

    def __init__(
        self,
        out: Path,
        recipe: Recipe,
        cohort: Cohort,
        seed: int,
        detector: str,
        trust: Collection[Path] = (),
        positives: Cohort = NO_CASES,
    ) -> None:
        self.out = out
        self.folder = out.with_name(f"{out.name}.part")
        self.call: dict[str, Any] = {
            "recipe": digest(recipe.to_dict(), *(file.read_text("utf-8") for file in trust)),
            "cohort": digest(*map(_identity, (*cohort, *positives))),
            "seed": seed,
            "detector": detector,
        }

    def open(self, *, overwrite: bool) -> bool:
        """Refuse what another fit left, or with ``overwrite`` remove it; is there a state?

        Raises:
            InputError: the folder holds the state of another fit.
        """
        if not self.folder.exists():
            return False
        try:
            left = json.loads((self.folder / "call.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            left = {}
        other = [name for name, value in self.call.items() if left.get(name) != value]
        if other and overwrite:
            shutil.rmtree(self.folder)
        elif other:
            raise InputError(
                f"{self.folder}: holds an interrupted fit with another {' and '.join(other)}; "
                "repeat that one, give another --out, or --overwrite to start anew"
            )
        return self.has_state

    @property
    def has_state(self) -> bool:
        """Whether a checkpoint was reached, of any of the detector's trainings."""
        return any(self.folder.rglob(STATE))

    def fit(
        self,
        detector: Detector,
        given: Prepared,
        max_fpr: float,
        progress: Progress,
        positives: Prepared | None = None,
    ) -> Detector:
        """Fit and save; the state is removed at the end, and where it can be of no use.

        Raises:
            InputError: from ``Detector.fit``.
            KeyboardInterrupt: with a message on how to go on.
        """
        missing = [folder for folder in self.folder.parents if not folder.exists()]
        write_text_atomic(self.folder / "call.json", json.dumps(self.call))
        try:
            detector.fit(
                given,
                positives=positives,
                seed=self.call["seed"],
                max_fpr=max_fpr,
                workdir=self.folder,
                progress=progress,
            )
            with new_folder(self.out, overwrite=True) as temporary:
                detector.save(temporary)
                few = () if positives is None else (positives.cases,)
                known = fitted_with(given.cases, *few)
                (temporary / FITTED_WITH).write_text(known, encoding="utf-8")
        except KeyboardInterrupt:
            if self.has_state:
                raise KeyboardInterrupt(
                    f"the same command goes on from the last checkpoint, kept in {self.folder}"
                ) from None
            self._discard(missing)
            raise KeyboardInterrupt(
                "no checkpoint was reached; the same command starts anew"
            ) from None
        except InputError:
            self._discard(missing)
            raise
        self._discard([])
        return detector

    def _discard(self, made: Sequence[Path]) -> None:
        """Remove the folder, and those above it that were made for it."""
        shutil.rmtree(self.folder)
        for folder in made:
            folder.rmdir()


def _identity(case: Case) -> list[Any]:
    status = case.path.stat()
    where = [case.array, case.index, case.frame, case.centre, case.spacing_mm, case.laterality]
    who = [case.case_id, case.patient_id, case.label]
    return [*who, str(case.path.resolve()), status.st_size, status.st_mtime_ns, *where]


def digest(*values: Any) -> str:
    """Short hash of values that JSON can write."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
