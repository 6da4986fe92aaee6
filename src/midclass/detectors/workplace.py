"""Fitting into a folder: refuses another fit's state, goes on with its own, appears whole."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midclass.errors import InputError
from midclass.files import digest, new_folder, write_text_atomic
from midclass.images.identity import FITTED_WITH, fitted_with, mask_content
from midclass.images.keys import known_of
from midclass.recipe.recipe import Recipe

if TYPE_CHECKING:
    from midclass.detectors.base import Detector
    from midclass.images.case import Case
    from midclass.images.fingerprint import Fingerprint
    from midclass.images.prepare import Prepared
    from midclass.types import Progress


STATE = "training.pt"
"""File of a training's state; it appears at the first checkpoint."""


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
        max_fpr: float,
        progress: Progress | None = None,
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
                self.given,
                positives=self.positives,
                seed=self.call["seed"],
                max_fpr=max_fpr,
                folds=self.call["folds"],
                workdir=self.folder,
                progress=progress,
            )
            with new_folder(self.out, overwrite=True) as temporary:
                detector.save(temporary)
                cases = [case for one in self._prepared for case in one.cases]
                shown = [content for one in self._prepared for content in one.contents]
                known = fitted_with(cases, shown, self.prints)
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

    @property
    def _prepared(self) -> list[Prepared]:
        return [one for one in (self.given, self.positives) if one is not None]

    def _discard(self, made: Sequence[Path]) -> None:
        """Remove the folder, and those above it that were made for it."""
        shutil.rmtree(self.folder)
        for folder in made:
            folder.rmdir()


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
