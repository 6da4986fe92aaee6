"""Fitting into a folder: refuses another fit's state, goes on with its own, appears whole."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midclass.errors import InputError
from midclass.files import (
    CannotWriteError,
    digest,
    new_folder,
    remove_leftovers_in,
    write_text_atomic,
)
from midclass.images.identity import FITTED_WITH, fitted_with, mask_content
from midclass.images.keys import known_of
from midclass.recipe.recipe import Recipe
from midclass.training.state import STATE

if TYPE_CHECKING:
    from midclass.detectors.base import Detector
    from midclass.images.case import Case
    from midclass.images.fingerprint import Fingerprint
    from midclass.images.prepare import Prepared
    from midclass.types import Progress

CALL = "call.json"
"""What was asked for: the first that is written, so that nothing else goes on from here."""


class Workplace:
    """The folder ``OUT.part`` beside ``OUT``: what an interrupted fit needs to go on.

    Args:
        out: where the detector will be.
        recipe: with which it is fitted.
        given: the given-class cases it is fitted with.
        seed: of the fit.
        detector: name of its module.
        trust: files of the user's that may run; a change in them is another fit.
        positives: the target-class cases it is fitted with, if any.
        prints: of the images it is fitted with, by which evaluation knows copies of them.
        folds: see ``Detector.fit``.
    """

    def __init__(
        self,
        out: Path,
        recipe: Recipe,
        given: Prepared,
        seed: int,
        detector: str,
        trust: Collection[Path] = (),
        positives: Prepared | None = None,
        prints: Sequence[Fingerprint] = (),
        folds: int | None = None,
    ) -> None:
        self.out, self.given, self.positives, self.prints = out, given, positives, prints
        self.folder = out.with_name(f"{out.name}.part")
        self.call: dict[str, Any] = {
            "recipe": digest(recipe.to_dict(), *map(_code, trust)),
            "cohort": digest(*map(_identities, self._prepared)),
            "seed": seed,
            "detector": detector,
            "folds": folds,
        }

    def open(self, *, overwrite: bool) -> bool:
        """Refuse what another fit left, or with ``overwrite`` remove it; is there a state?

        Only while nobody else fits into ``OUT``; the command line holds a lock.

        Raises:
            InputError: the folder holds the state of another fit, or what no fit left there.
        """
        if not os.path.lexists(self.folder):
            return False
        self._refuse_foreign()
        try:
            left = dict(json.loads((self.folder / CALL).read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            left = {}
        other = [name for name, value in self.call.items() if left.get(name) != value]
        if other and (overwrite or not self.has_state):
            shutil.rmtree(self.folder)
        elif not left:
            raise InputError(
                f"{self.folder}: holds an interrupted fit, and what it was asked for is damaged "
                f"({CALL}); give another --out, or --overwrite to start anew"
            )
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
        max_fpr: float,
        progress: Progress | None = None,
        *,
        overwrite: bool = False,
    ) -> Detector:
        """Fit and save; the state is removed at the end, and where it can be of no use.

        It stays where the place cannot be written: there may be room another time.

        Raises:
            InputError: from ``Detector.fit``, or ``OUT`` cannot be written or replaced.
            KeyboardInterrupt: with a message on how to go on.
        """
        learned = False
        missing = [folder for folder in self.folder.parents if not folder.exists()]
        try:
            write_text_atomic(self.folder / CALL, json.dumps(self.call))
            detector.fit(
                self.given,
                positives=self.positives,
                seed=self.call["seed"],
                max_fpr=max_fpr,
                folds=self.call["folds"],
                workdir=self.folder,
                progress=progress,
            )
            learned = True
            self._save(detector, overwrite)
        except KeyboardInterrupt as stop:
            stop.args = (self._how_to_go_on(missing),)
            raise
        except CannotWriteError as error:
            raise InputError(f"{error}; then {self._how_to_go_on(missing)}") from error
        except InputError:
            if not learned:
                self._discard(missing)
            raise
        self._discard([])
        return detector

    def _save(self, detector: Detector, overwrite: bool) -> None:
        cases = [case for one in self._prepared for case in one.cases]
        shown = [content for one in self._prepared for content in one.contents]
        known = fitted_with(cases, shown, self.prints)
        save_knowing(detector, known, self.out, overwrite=overwrite)

    def _how_to_go_on(self, made: Sequence[Path]) -> str:
        """Of a fit that was ended; without a state what it made is removed."""
        if self.has_state:
            return f"the same command goes on from the last checkpoint, kept in {self.folder}"
        self._discard(made)
        return "no checkpoint was reached; the same command starts anew"

    def _refuse_foreign(self) -> None:
        """Raise InputError where the folder holds what is no state of a fit."""
        if self.folder.is_symlink() or not self.folder.is_dir():
            raise InputError(f"{self.folder}: is no folder of a fit; give another --out")
        remove_leftovers_in(self.folder)
        names = {self.folder / CALL}
        for path in self.folder.rglob("*"):
            if path.is_symlink() or not (path.is_dir() or path in names or path.name == STATE):
                raise InputError(
                    f"{self.folder}: holds {path.relative_to(self.folder)}, which no fit left; "
                    "move it away, or give another --out"
                )

    @property
    def _prepared(self) -> list[Prepared]:
        return [one for one in (self.given, self.positives) if one is not None]

    def _discard(self, made: Sequence[Path]) -> None:
        """Remove the folder, and those above it that were made for it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def save_knowing(detector: Detector, known: str, out: Path, *, overwrite: bool) -> None:
    """Save a detector with what it was fitted and calibrated with.

    Args:
        detector: fitted.
        known: as ``fitted_with`` gives it.
        out: the folder, which appears whole.
        overwrite: replace what midclass wrote there.
    """
    with new_folder(out, overwrite=overwrite) as temporary:
        detector.save(temporary)
        (temporary / FITTED_WITH).write_text(known, encoding="utf-8")


def _identities(prepared: Prepared) -> list[list[Any]]:
    """The cases by what they show and what is said of them, not by where their files lie."""
    return [
        [case.case_id, case.patient_id, case.label, content, *known_of(case), *_mask(case)]
        for case, content in zip(prepared.cases, prepared.contents, strict=True)
    ]


def _code(trusted: Path) -> str:
    """The text of a trusted file; of a trusted package its name."""
    return trusted.read_text("utf-8") if trusted.suffix == ".py" else str(trusted)


def _mask(case: Case) -> list[str]:
    """Nothing where there is none: fits that began before there were masks go on."""
    return [] if case.mask is None else [mask_content(case)]
