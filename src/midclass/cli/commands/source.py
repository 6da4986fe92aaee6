"""Source: which cases a command works on, named by its options."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from midclass.cli.console import bar, note, notes
from midclass.cli.options import DEFAULTS, Options
from midclass.errors import InputError
from midclass.files import refuse_no_file, refuse_no_folder, refuse_no_path

if TYPE_CHECKING:
    from midclass.images.cohort import Cohort
    from midclass.images.fingerprint import Fingerprints
    from midclass.images.prepare import Prepared
    from midclass.recipe.recipe import Recipe

# What reads images and manifests is imported when there is one of that name.

SAID = 8
"""Columns that are named."""


@dataclass(frozen=True)
class Source:
    """Which cases: a manifest, the column of its split, the part, and where its paths start.

    In place of a manifest stands a folder of images that are all of the given class; ``patients``
    and ``key`` are of such a folder, see ``inventory``.
    """

    manifest: Path
    split: str | None = None
    part: str | None = None
    root: Path | None = None
    patients: str = "header"
    key: Path | None = None

    def cohort(self, default_part: str) -> Cohort:
        """The cases of the part; all cases where there are no parts and none is asked for.

        Files of other parts need not be there, and of a test part some may be missing.
        """
        whole = self._of_part(self.part or default_part, some_missing=default_part == "test")
        return self.part_of(whole, default_part)

    def _of_part(self, part: str, *, some_missing: bool) -> Cohort:
        try:
            return self.whole()  # read once for all
        except InputError:  # perhaps of a file that need not be there; or it is told again
            if self.is_folder:
                raise
            from midclass.images.cohort import Cohort

            return Cohort.from_manifest(
                self.manifest, self.split, root=self.root, needed=part, some_missing=some_missing
            )

    def whole(self) -> Cohort:
        """All cases of the manifest, whatever their part."""
        return self._of_folder if self.is_folder else self._of_manifest

    @property
    def is_folder(self) -> bool:
        """Whether a folder of images was named in place of a manifest."""
        return self.manifest.is_dir()

    @cached_property
    def _of_manifest(self) -> Cohort:
        from midclass.images.cohort import Cohort

        return Cohort.from_manifest(self.manifest, self.split, root=self.root)

    @cached_property
    def _of_folder(self) -> Cohort:
        if self.split or self.root:
            raise InputError(f"{self.manifest}: is a folder, --split and --root are of a manifest")
        from midclass.cli.commands.folder import refuse_classes, tell_inventory
        from midclass.images.cohort import Cohort
        from midclass.images.inventory import Wish, inventory
        from midclass.images.pseudonyms import Pseudonyms

        refuse_classes(self.manifest)
        with notes():
            names = Pseudonyms.from_file(self.key)
        wish = Wish(labels=0, patients=self.patients)
        with bar("reading headers") as progress:
            found = inventory(self.manifest, names, wish, progress=progress)
        tell_inventory(found)
        return Cohort(found.cases, str(self.manifest))

    def part_of(self, whole: Cohort, default_part: str) -> Cohort:
        """Those of the part, of what ``whole`` gives."""
        if self.part is None and not whole.parts:
            if default_part == "train" and not self.is_folder:
                from midclass.images.manifest import refuse_divided

                refuse_divided(self.manifest)
            return whole
        return whole.part(self.part or default_part)

    def tell_unused(self) -> None:
        """Say once which columns of the manifest nothing is read from."""
        if self.is_folder:
            return
        from midclass.images.manifest import unused_columns

        if names := unused_columns(self.manifest, self.split):
            more = f" and {len(names) - SAID} more" if len(names) > SAID else ""
            note(f"note: columns not used: {', '.join(names[:SAID])}{more}")

    def as_options(self) -> list[str]:
        """The options that name the same manifest and split on the command line, as words."""
        split = ["--split", self.split] if self.split else []
        root = ["--root", str(self.root)] if self.root else []
        return ["--cohort", str(self.manifest), *split, *root]


def source_of_normals(
    folder: Path | None,
    manifest: Path | None,
    split: str | None,
    part: str | None,
    root: Path | None,
    patients: str,
    key: Path | None,
) -> Source:
    """What to learn from: a folder of normal images, or a manifest.

    Raises:
        InputError: neither or both are given, or nothing is there.
    """
    if (folder is None) == (manifest is None):
        raise InputError("give either a FOLDER of normal images or --cohort MANIFEST to learn from")
    if folder is not None:
        refuse_no_folder(folder, "a manifest is named with --cohort")
    where = manifest if folder is None else folder
    assert where is not None
    if not where.is_dir():
        if key or patients != "header":
            raise InputError("--patients and --key are of a folder; the manifest says who is who")
        refuse_no_file(where)
    from midclass.images.series import refuse_patients

    refuse_patients(patients)
    return Source(where, split, part, root, patients, key)


def cases_to_score(
    files: Collection[Path],
    manifest: Path | None,
    split: str | None = None,
    part: str | None = None,
    root: Path | None = None,
) -> Cohort:
    """The cases of files or of a manifest, all of them where no part is named.

    A folder in place of the manifest is one of files, as it is in ``fit``.

    Raises:
        InputError: neither or both are given, one does not exist, or what is of a manifest is
            given with files.
    """
    if bool(files) == (manifest is not None):
        raise InputError("give either FILES or --cohort MANIFEST to score")
    if manifest is None or manifest.is_dir():
        named = files if manifest is None else (manifest,)
        if split or part or root:
            raise InputError(
                f"{next(iter(named))}: --split, --part and --root are of a manifest, and this is "
                "none; leave them out, or make one: midclass manifest FOLDER"
            )
        for path in named:
            refuse_no_path(path)
        from midclass.images.cohort import Cohort

        with notes():
            return Cohort.from_files(named)
    refuse_no_file(manifest)
    from midclass.images.cohort import Cohort

    cohort = Cohort.from_manifest(manifest, split, root=root, needed=part, some_missing=True)
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


def tell_windows(cohort: Cohort, recipe: Recipe) -> None:
    """Say by which windows files of CT are shown, where the recipe gives none."""
    from midclass.images.windows import in_words, windows_of

    if recipe.intensity.window is None and (said := in_words(windows_of(cohort))):
        note(f"note: {said}")


def tell_kinds(cohort: Cohort, recipe: Recipe) -> None:
    """Say how slices lie, where files do not tell or the recipe accepts any plane; and windows."""
    from midclass.images.planes import in_words, planes_of, without_orientation
    from midclass.recipe.parts import PROJECTIONS

    accepts = recipe.accepts
    slices = not (accepts.modality and PROJECTIONS.issuperset(accepts.modality))
    if slices and not accepts.plane and (said := in_words(planes_of(cohort))):
        note(f"note: {said}")
    unknown, files = without_orientation(cohort)
    if unknown:
        note(
            f"note: {unknown} of {files} NIfTI files looked at do not say how the patient lies "
            "(qform_code and sform_code are 0); they are read as they are stored, perhaps upside "
            "down or mirrored beside others. Look at them (midclass show), and write the "
            "orientation into their headers, or leave them out"
        )
    tell_windows(cohort, recipe)


def prints_with_bar(cohort: Cohort, cache: Path | None = None) -> Fingerprints:
    """``fingerprints`` with a progress bar."""
    from midclass.images.fingerprint import fingerprints

    with bar("looking for duplicates", "images") as progress:
        return fingerprints(cohort, cache=cache, progress=progress)


def prepared_with_bar(
    cohort: Cohort,
    recipe: Recipe,
    options: Options = DEFAULTS,
    *,
    keep_going: bool = False,
) -> Prepared:
    """``prepare`` with a progress bar, and notes on planes and windows."""
    from midclass.images.prepare import prepare

    tell_kinds(cohort, recipe)
    with bar("preparing images", "images") as progress:
        return prepare(
            cohort,
            recipe,
            cache=options.cache,
            progress=progress,
            keep_going=keep_going,
            jobs=options.jobs,
        )
