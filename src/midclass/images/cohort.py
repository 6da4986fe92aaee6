"""Cohort: cases with their patients, from a manifest or from files; splits never cut a patient."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, overload

import numpy as np
from numpy.typing import NDArray

from midclass.errors import InputError
from midclass.images.case import Case
from midclass.images.folders import cases_of
from midclass.images.formats.read import Image, read
from midclass.images.identity import same_image
from midclass.images.kin import brought_together, kin_of
from midclass.images.manifest import read_manifest

if TYPE_CHECKING:
    from midclass.recipe.parts import Geometry

__all__ = ["Case", "Cohort"]


@dataclass(frozen=True, repr=False)
class Cohort(Sequence[Case]):
    """An ordered set of cases; images are read only when asked for.

    An index gives a case; a slice, a list of numbers or a boolean mask gives a cohort.

    Attributes:
        cases: the cases, in the order of the manifest or of the file names.
        name: where they come from, for messages.

    >>> normal, tumour = Case("a", Path("a.png"), 0, "p1"), Case("b", Path("b.png"), 1, "p2")
    >>> cohort = Cohort((normal, tumour), "manifest.csv")
    >>> cohort, cohort.given_class()[0].case_id, cohort[:1].patients
    (Cohort(manifest.csv: 2 cases of 2 patients), 'a', ('p1',))
    """

    cases: tuple[Case, ...]
    name: str = "cohort"

    @classmethod
    def from_manifest(
        cls,
        path: str | Path,
        split: str | None = None,
        *,
        root: str | Path | None = None,
        needed: str | None = None,
        some_missing: bool = False,
    ) -> Cohort:
        """Read the cases of a CSV file; its columns are described in ``read_manifest``.

        Args:
            path: the manifest.
            split: the column of parts, such as ``repeat_0``, or ``splits.csv:repeat_0`` of another
                CSV file in the folder; by default ``split`` if there is one with values.
            root: folder of the paths; only where it is given may they be absolute or lead out.
            needed: the part whose files must be there; by default all.
            some_missing: of these up to half need not; such a case fails when it is read.

        Raises:
            InputError: a row is wrong (named with its line), or a patient is in two parts.
        """
        return cls(read_manifest(path, split, root, needed, some_missing=some_missing), str(path))

    @classmethod
    def from_files(cls, paths: Iterable[str | Path]) -> Cohort:
        """Unlabelled cases from files and folders.

        Of a folder, with all its subfolders, every file is taken whose name or content is that of
        an image, also where it proves unreadable; hidden files are not. Each frame of a DICOM file
        and each slice of a NIfTI file is a case, ``FILE#FRAME`` as in a manifest. DICOM files of
        one PatientID (where there is none, of one study) are of one patient, called after the
        first; any other file is a patient of its own. Slices of a series follow each other, see
        ``midclass.images.series``. What holds no image by its own words (a DICOMDIR, a report) is
        passed over with one UserWarning; so are pictures that are not read beside DICOM files:
        elsewhere they are cases, which fail. Cases are named as their files are given.

        Raises:
            InputError: nothing there, no images, or the same file named twice.
        """
        return cls(cases_of(paths), "files")

    def __len__(self) -> int:
        return len(self.cases)

    def __iter__(self) -> Iterator[Case]:
        return iter(self.cases)

    @overload
    def __getitem__(self, index: int) -> Case: ...
    @overload
    def __getitem__(self, index: slice | Sequence[int] | NDArray[np.generic]) -> Cohort: ...
    def __getitem__(
        self, index: int | slice | Sequence[int] | NDArray[np.generic]
    ) -> Case | Cohort:
        """A case by its number, or a cohort by slice, numbers or boolean mask."""
        if isinstance(index, int | np.integer):
            return self.cases[int(index)]
        chosen = np.arange(len(self))[index]
        return replace(self, cases=tuple(self.cases[int(i)] for i in chosen))

    def __repr__(self) -> str:
        return f"Cohort({self.name}: {len(self)} cases of {len(self.patients)} patients)"

    @property
    def title(self) -> str:
        """Its name without the folders above, for what is written: they may say who it is."""
        return Path(self.name).name

    @property
    def patients(self) -> tuple[str, ...]:
        """The patient ids, each once, sorted."""
        return tuple(sorted({case.patient_id for case in self.cases}))

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts of the split in use, sorted; empty without a split."""
        return tuple(sorted({case.part for case in self.cases} - {""}))

    @property
    def labels(self) -> NDArray[np.int64]:
        """``(n,)``: 0 given class, 1 target class.

        Raises:
            InputError: a case has no label.
        """
        missing = [case for case in self.cases if case.label is None]
        if missing:
            first = f"row {missing[0].row}" if missing[0].row else missing[0].case_id
            raise InputError(
                f"{self.name}: {len(missing)} of {len(self)} cases have no label, "
                f"the first is {first}; fill the column label with 0 or 1"
            )
        return np.array([case.label for case in self.cases], dtype=np.int64)

    def by_case_id(self) -> Cohort:
        """The same cases in the order of their ids, so that nothing random follows their rows."""
        return replace(self, cases=tuple(sorted(self.cases, key=lambda case: case.case_id)))

    def part(self, name: str) -> Cohort:
        """The cases of one part of the split, such as ``"train"``."""
        if name not in self.parts:
            existing = ", ".join(self.parts) or "none; name a split column"
            raise InputError(f"{self.name}: no part {name!r}; the parts are: {existing} (--part)")
        cases = tuple(case for case in self.cases if case.part == name)
        return replace(self, cases=cases, name=f"{self.name} [{name}]")

    def given_class(self) -> Cohort:
        """The cases with label 0."""
        return self[np.flatnonzero(self.labels == 0)]

    def target_class(self) -> Cohort:
        """The cases with label 1."""
        return self[np.flatnonzero(self.labels == 1)]

    def some_of_target_class(self, n: int, seed: int) -> Cohort:
        """Any n cases with label 1; with one seed the fewer are among the more.

        The order of the rows does not matter.

        Raises:
            InputError: there are fewer.
        """
        target = self.target_class().by_case_id()
        if n > len(target):
            raise InputError(
                f"{self.name}: {n} target-class cases asked for, there are {len(target)}; with "
                f"midclass manifest --positives {n} as many patients are divided into that part"
            )
        return target[np.sort(np.random.default_rng(seed).permutation(len(target))[:n])]

    def blocks(self, size: int, geometry: Geometry | None = None) -> Iterator[Cohort]:
        """The cases in order, at most so many at a time.

        Where neighbours in a series count, or the other side, no block ends between them: it has
        more cases where a series has. Kin that do not follow each other come together first.

        Args:
            size: cases of a block.
            geometry: says what counts; without it nothing does.
        """
        kin = None if geometry is None else kin_of(geometry)
        cases, start = self.cases if kin is None else brought_together(self.cases, kin), 0
        while start < len(cases):
            stop = start + size
            while kin and stop < len(cases) and kin(cases[stop]) == kin(cases[stop - 1]):
                stop += 1
            yield replace(self, cases=cases[start:stop])
            start = stop

    def read(
        self, i: int, window: tuple[float, float] | None = None, *, volume: bool = False
    ) -> Image:
        """Read the image of one case; see ``midclass.images.formats.read.read``.

        The spacing of the manifest goes before the one in the file (except in a volume, which
        needs a third number).
        """
        case = self.cases[i]
        image = read(
            case.path,
            array=case.array,
            index=case.index,
            frame=case.frame,
            window=window,
            volume=volume,
        )
        if case.spacing_mm is None or volume:
            return image
        rows, columns = case.spacing_mm
        if image.aspect != 1 and not math.isclose(image.aspect, rows / columns, rel_tol=0.02):
            raise InputError(
                f"{case.path}: spacing_mm {rows:g};{columns:g} contradicts PixelAspectRatio, by "
                f"which pixels are {image.aspect:g} times as high as wide; give rows;columns"
            )
        return replace(image, spacing_mm=case.spacing_mm, aspect=1.0)

    def split_by_patient(self, fractions: Mapping[str, float], seed: int) -> dict[str, Cohort]:
        """Divide at random into parts of about the given fractions of the patients.

        All cases of a patient fall into one part; every part gets at least one patient; the same
        seed gives the same split, whatever the order of the rows.

        Args:
            fractions: part -> fraction of the patients, adding up to 1.
            seed: of the random order of the patients.

        Raises:
            InputError: the fractions do not add up to 1, or there are fewer patients than parts.
        """
        total = math.fsum(fractions.values())
        if not fractions or min(fractions.values()) <= 0 or not math.isclose(total, 1):
            raise InputError(
                f"fractions {dict(fractions)} add up to {total:g}; "
                "expected positive numbers that add up to 1"
            )
        patients, n = self.patients, len(self.patients)
        if n < len(fractions):
            raise InputError(
                f"{self.name}: {n} patients cannot fill {len(fractions)} parts "
                f"({', '.join(fractions)}); give more patients or fewer parts"
            )
        counts = dict.fromkeys(fractions, 1)
        for _ in range(n - len(fractions)):  # each further patient where most are missing
            neediest = max(fractions, key=lambda part: fractions[part] * n - counts[part])
            counts[neediest] += 1
        order = np.random.default_rng(seed).permutation(n)
        names = np.repeat(list(counts), list(counts.values()))
        part_of = {patients[k]: str(name) for k, name in zip(order, names, strict=True)}
        return {
            part: self[[k for k, case in enumerate(self.cases) if part_of[case.patient_id] == part]]
            for part in fractions
        }

    def check_no_leak(self, other: Cohort) -> None:
        """Refuse a patient, or the same file content, in both cohorts.

        Content is compared byte for byte (by hash): of the file, or of the row of an npz array.

        Raises:
            InputError: names the first pair.
        """
        first = {case.patient_id: case for case in reversed(self.cases)}
        for case in other.cases:
            if case.patient_id in first:
                raise InputError(
                    f"patient {case.patient_id} is in both: {first[case.patient_id].case_id} "
                    f"({self.name}) and {case.case_id} ({other.name}); keep a patient on one side"
                )
        if same := same_image(self, other):
            mine, theirs = same
            raise InputError(
                f"the same image is in both: {mine.case_id} ({self.name}) and "
                f"{theirs.case_id} ({other.name}); remove one of them"
            )


def choose(cohort: Cohort, n: int, seed: int) -> Cohort:
    """At most n given-class cases at random, of as many patients as possible, whatever their order.

    >>> cases = [Case(name, Path(name), 0, name[0]) for name in ("a1", "a2", "b1", "b2")]
    >>> sorted(choose(Cohort(tuple(cases)), 2, seed=0).patients)
    ['a', 'b']
    """
    given = cohort.given_class().by_case_id()
    order = np.random.default_rng(seed).permutation(len(given))
    times: dict[str, int] = {}
    turn = {}
    for i in order:
        patient = given.cases[i].patient_id
        turn[int(i)] = times[patient] = times.get(patient, -1) + 1
    chosen = sorted(turn, key=lambda i: turn[i])[:n]  # stable: at random within a turn
    return given[chosen]
