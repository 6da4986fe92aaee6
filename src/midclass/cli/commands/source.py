"""Source: which cases a command works on, named by its options."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from midclass.cli.console import bar, note, notes
from midclass.errors import InputError
from midclass.images.cohort import Cohort
from midclass.images.fingerprint import Fingerprints, fingerprints
from midclass.images.manifest import refuse_divided, unused_columns
from midclass.images.prepare import Prepared, prepare
from midclass.recipe.recipe import Recipe

SAID = 8
"""Columns that are named."""


@dataclass(frozen=True)
class Source:
    """Which cases: a manifest, the column of its split, the part, and where its paths start."""

    manifest: Path
    split: str | None = None
    part: str | None = None
    root: Path | None = None

    def cohort(self, default_part: str) -> Cohort:
        """The cases of the part; all cases where there are no parts and none is asked for."""
        return self.part_of(self.whole(), default_part)

    def whole(self) -> Cohort:
        """All cases of the manifest, whatever their part."""
        return Cohort.from_manifest(self.manifest, self.split, root=self.root)

    def part_of(self, whole: Cohort, default_part: str) -> Cohort:
        """Those of the part, of what ``whole`` gives."""
        if self.part is None and not whole.parts:
            if default_part == "train":
                refuse_divided(self.manifest)
            return whole
        return whole.part(self.part or default_part)

    def tell_unused(self) -> None:
        """Say once which columns of the manifest nothing is read from."""
        if names := unused_columns(self.manifest, self.split):
            more = f" and {len(names) - SAID} more" if len(names) > SAID else ""
            note(f"note: columns not used: {', '.join(names[:SAID])}{more}")

    def as_options(self) -> list[str]:
        """The options that name the same manifest and split on the command line, as words."""
        split = ["--split", self.split] if self.split else []
        root = ["--root", str(self.root)] if self.root else []
        return ["--cohort", str(self.manifest), *split, *root]


def cases_to_score(
    files: Collection[Path],
    manifest: Path | None,
    split: str | None = None,
    part: str | None = None,
    root: Path | None = None,
) -> Cohort:
    """The cases of files or of a manifest, all of them where no part is named.

    Raises:
        InputError: neither or both are given.
    """
    if bool(files) == (manifest is not None):
        raise InputError("give either FILES or --cohort MANIFEST to score")
    if manifest is None:
        with notes():
            return Cohort.from_files(files)
    cohort = Cohort.from_manifest(manifest, split, root=root)
    return cohort if part is None else cohort.part(part)


def given_class_of(cohort: Cohort, what_for: str) -> Cohort:
    """The given class of a cohort.

    Args:
        cohort: cases of known class.
        what_for: they are needed, such as ``"to learn from"``.

    Raises:
        InputError: there is no such case.
    """
    given = cohort.given_class()
    if not len(given):
        raise InputError(f"{cohort.name}: no case of the given class (label 0) {what_for}")
    return given


def tell_set_aside(cohort: Cohort, used: int) -> None:
    """Say how many target-class cases nothing is made of."""
    if aside := len(cohort) - used:
        note(f"{aside} target-class cases of {cohort.name} are set aside and never used")


def prints_with_bar(cohort: Cohort, cache: Path | None = None) -> Fingerprints:
    """``fingerprints`` with a progress bar."""
    with bar("looking for duplicates") as progress:
        return fingerprints(cohort, cache=cache, progress=progress)


def prepared_with_bar(
    cohort: Cohort, recipe: Recipe, cache: Path | None = None, *, keep_going: bool = False
) -> Prepared:
    """``prepare`` with a progress bar."""
    with bar("preparing images") as progress:
        return prepare(cohort, recipe, cache=cache, progress=progress, keep_going=keep_going)
