"""The command ``manifest``: a folder of images becomes a table that the other commands take."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midclass.cli.commands.folder import SAID, tell_apart, tell_left_out, tell_words
from midclass.cli.commands.source import prints_with_bar
from midclass.cli.console import bar, cases_in_words, note, notes, say
from midclass.cli.options import DEFAULTS, Options
from midclass.cli.outputs import Place, claimed
from midclass.cli.recognised import no_list_of_cases
from midclass.cli.voice import answer
from midclass.errors import InputError
from midclass.evaluation.cells import as_cell
from midclass.images.case import without_folder
from midclass.images.cohort import Cohort
from midclass.images.division import (
    divided,
    refuse_patients_across,
    superfluous,
    taken_for_one,
    why_unlearned,
)
from midclass.images.inventory import Inventory, LeftOut, Wish, inventory
from midclass.images.labels import LabelTable, names_of_given
from midclass.images.manifest_file import write_manifest, write_rows
from midclass.images.pseudonyms import Pseudonyms
from midclass.images.series import refuse_patients
from midclass.images.where import Condition

if TYPE_CHECKING:
    from midclass.images.duplicates import Duplicate

CHOICES = ("drop", "tell", "skip")
USUAL = 0.2
"""Share of the patients without the target class to test with, where there is a target class."""
LEFT_OUT, ALIKE = ("path", "reason"), ("first", "second", "kind", "correlation")
"""Columns of the files beside the manifest."""


@dataclass(frozen=True)
class Asked:
    """What a user asks of a manifest; see ``midclass manifest --help``."""

    labels_by_folder: bool = False
    labels: Path | None = None
    on: str | None = None
    label_column: str | None = None
    given_class: bool = False
    given: tuple[str, ...] = ()
    where: tuple[str, ...] = ()
    patients: str = "header"
    key: Path | None = None
    test: float | None = None
    positives: int = 0
    repeats: int = 1
    divide: bool = False
    seed: int = 0
    duplicates: str = "drop"

    def wish(self) -> Wish:
        """The same for ``inventory``; raises InputError for what contradicts itself."""
        ways = [self.labels_by_folder, self.labels is not None, self.given_class]
        if sum(ways) > 1:
            raise InputError(
                "labels come from one place: give --labels-by-folder, --labels or --given-class"
            )
        if self.labels is None and (self.on or self.label_column):
            raise InputError("--on and --label-column belong to --labels FILE.csv; give it too")
        if self.given and not (self.labels_by_folder or self.labels):
            raise InputError("--given names a class of --labels-by-folder or --labels; give one")
        refuse_patients(self.patients)
        if self.duplicates not in CHOICES:
            choices = ", ".join(CHOICES)
            raise InputError(f"--duplicates {self.duplicates}: expected one of {choices}")
        given = names_of_given(self.given)
        table = self.labels and LabelTable.read(self.labels, self.on, self.label_column, given)
        labels = table or ("folder" if self.labels_by_folder else 0 if self.given_class else None)
        where = tuple(map(Condition.parsed, self.where))
        return Wish(where, labels, given, self.patients)


def run(
    folder: Path,
    asked: Asked,
    options: Options = DEFAULTS,
    *,
    out: Path = Path("manifest.csv"),
) -> bool:
    """Write the manifest of a folder, and beside it what was left out and what is alike.

    True where nothing failed: no file was damaged, and no label contradicts another.
    """
    wish = asked.wish()
    left_out, alike = (
        out.with_name(f"{out.stem}.{name}.csv") for name in ("left_out", "duplicates")
    )
    places = [
        Place(file, "file", strange=no_list_of_cases(columns))
        for file, columns in ((out, ("path",)), (left_out, LEFT_OUT), (alike, ALIKE))
    ]

    def reads() -> Iterator[Path]:
        yield from (file for file in (asked.labels, asked.key) if file is not None)

    with claimed(*places, reads=reads, overwrite=options.overwrite):
        with notes():
            names = Pseudonyms.from_file(asked.key)
        start = _start(folder, out)
        with bar("reading headers") as progress:
            found = inventory(folder, names, wish, start=start or "", progress=progress)
        _refuse_one_class(found, wish, folder)
        pairs: list[Duplicate] = []
        before = {case.case_id: case.patient_id for case in found.cases}
        if asked.duplicates != "skip":
            found, pairs = _compared(found, asked, folder, options.cache)
        found, columns = _divided(found, asked, before)
        write_manifest(out, found, columns, start or "", folder)
        write_rows(left_out, LEFT_OUT, [(one.called, one.reason) for one in found.left_out])
        write_rows(alike, ALIKE, [_names_of(pair) for pair in pairs])
        _tell(found, start or "", columns, pairs, left_out, alike)
        root = f" --root {folder}" if start is None else ""
        _tell_next(found, out, root, columns, asked.positives)
        answer({"manifest": out, "left_out": left_out, "duplicates": alike}, alike=len(pairs))
        answer(**_counts(found, columns))
    return not any(one.failed for one in found.left_out)


def _start(folder: Path, out: Path) -> str | None:
    """What stands before names of files in the manifest; None where it lies elsewhere."""
    top, here = (Path(os.path.normpath(path.absolute())) for path in (folder, out.parent))
    if not top.is_relative_to(here):
        return None
    name = top.relative_to(here).as_posix()
    return "" if name == "." else f"{name}/"


def _refuse_one_class(found: Inventory, wish: Wish, folder: Path) -> None:
    """Where labels were named and none is of the given class, a name was perhaps not known."""
    labels = Counter(case.label for case in found.cases)
    if wish.labels is not None and not labels[0]:
        seen = sorted({case.class_name for case in found.cases if case.class_name})[:SAID]
        said = f"the classes are {', '.join(seen)}" if seen else "there are no labels"
        raise InputError(
            f"{folder}: no image of the given class (label 0): {said}; say --given NAME"
        )


def _compared(
    found: Inventory, asked: Asked, folder: Path, cache: Path | None
) -> tuple[Inventory, list[Duplicate]]:
    """Without what cannot be decoded, and without images that are there twice."""
    from midclass.images.duplicates import duplicates

    known = {case.case_id: case for case in found.cases}
    called = {one.case.case_id: one.called for one in found.entries}
    apart = [  # files without a patient have one name where they hold the same
        replace(one.case, part="", patient_id=" ".join(one.whose)) for one in found.entries
    ]
    cohort = Cohort(tuple(apart), str(folder))
    prints = prints_with_bar(cohort, cache)
    gone = dict[str, LeftOut]()
    for row, (case, one) in enumerate(zip(cohort, prints.each, strict=True)):
        if not one.pixels and (reason := _unreadable(cohort, row)):
            gone[case.case_id] = LeftOut(called[case.case_id], reason, failed=True)
    pairs = [
        replace(pair, first=known[pair.first.case_id], second=known[pair.second.case_id])
        for pair in duplicates(prints)
    ]
    if asked.duplicates == "drop":
        for pair in pairs:
            if pair.exact:
                gone |= superfluous(pair, called)
    same, crowd = taken_for_one(pairs, {case.patient_id for case in found.cases})
    if crowd:
        note(f"note: {crowd}")
    named = found.without(gone).changed(
        lambda case: replace(case, patient_id=same.get(case.patient_id, case.patient_id))
    )
    if not named.entries:
        raise InputError(f"{folder}: no image can be read: {next(iter(gone.values())).reason}")
    return named, pairs


def _unreadable(cohort: Cohort, row: int) -> str:
    """Why an image cannot be decoded, without its path."""
    case = cohort.cases[row]
    try:
        cohort.read(row)
    except InputError as error:
        return without_folder(case.path, error)
    return ""


def _divided(
    found: Inventory, asked: Asked, before: Mapping[str, str]
) -> tuple[Inventory, dict[str, list[str]]]:
    """The parts of the cases by the name of their column; none without labels.

    ``before`` says whose a case was, before patients who share an image were taken for one.
    """
    cases = found.cases
    if all(case.label is None for case in cases):
        return found, {}
    if any(case.part for case in cases) and not asked.divide:
        if asked.positives:
            raise InputError("--positives needs --divide: folders called train and test divide")
        refuse_patients_across(cases, before)
        return found, {"split": [case.part for case in cases]}
    target = any(case.label == 1 for case in cases)
    test = (USUAL if target else 0) if asked.test is None else asked.test
    names = ["split"] if asked.repeats == 1 else [f"repeat_{k}" for k in range(asked.repeats)]
    return found, {
        name: divided(cases, test, asked.seed + k, asked.positives) for k, name in enumerate(names)
    }


def _names_of(pair: Duplicate) -> tuple[str, ...]:
    names = (pair.first.case_id, pair.second.case_id, pair.kind)
    return (*map(as_cell, names), f"{pair.correlation:.3f}")


def _tell(
    found: Inventory,
    start: str,
    parts: Mapping[str, Sequence[str]],
    pairs: Sequence[Duplicate],
    left_out: Path,
    alike: Path,
) -> None:
    """What is in the manifest, and what is not."""
    cases, labels = found.cases, Counter(case.label for case in found.cases)
    patients = len({case.patient_id for case in cases})
    classes = f"{labels[0]} of the given class, {labels[1]} of the target class"
    unlabelled = f", {labels[None]} without a label" if labels[None] else ""
    said = f": {classes}{unlabelled}" if labels[0] or labels[1] else ", without labels"
    say(f"{'cases':<16} {len(cases)} of {patients} patients{said}")
    tell_words(found, start)
    tell_apart(found)
    for name, of in list(parts.items())[:1]:
        counts = Counter(of)
        people_in = {
            part: len({c.patient_id for c, one in zip(cases, of, strict=True) if one == part})
            for part in counts
        }
        named = filter(None, sorted(counts))
        shown = [f"{part} {counts[part]} of {people_in[part]} patients" for part in named]
        more = f", and {len(parts) - 1} more divisions" if len(parts) > 1 else ""
        say(f"{name:<16} {', '.join(reversed(shown))}{more}")
    tell_left_out(found, f"; all in {left_out}")
    if pairs:
        near = sum(not pair.exact for pair in pairs)
        say(
            f"{'alike':<16} {len(pairs)} pairs of cases of different patients ({near} as near "
            f"copies): {alike}"
        )


def _counts(found: Inventory, parts: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The same for ``--json``."""
    labels = Counter(case.label for case in found.cases)
    return {
        "cases": {"given": labels[0], "target": labels[1], "unknown": labels[None]},
        "patients": len({case.patient_id for case in found.cases}),
        "parts": {name: Counter(of) for name, of in parts.items()},
        "told_apart_by": found.told_apart,
        "left_out": Counter(one.kind for one in found.left_out),
        "failed": sum(one.failed for one in found.left_out),
    }


def _tell_next(
    found: Inventory, out: Path, root: str, parts: Mapping[str, Sequence[str]], positives: int
) -> None:
    if found.in_path:
        note(
            f"note: the paths of {cases_in_words(found.in_path)} hold the patient's name or "
            "number; score tables name these by a hash, but the manifest has to name the files: "
            "rename them, or keep it to yourself"
        )
    split = "" if "split" in parts or not parts else " --split repeat_0"
    labels = {case.label for case in found.cases}
    if why := why_unlearned(found.cases, parts):
        note(f"note: {why}")
    command = "score DETECTOR" if why or 0 not in labels else "fit RECIPE"
    say(f"{'saved':<16} {out}")
    few = f" --positives {positives}" if positives else ""
    say(f"{'next':<16} midclass {command} --cohort {out}{split}{root}{few}")
