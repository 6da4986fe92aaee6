"""Duplicates, before a fit: refused, told or left out, with a file that says what to remove."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from midclass.cli.commands.source import Source, prints_with_bar
from midclass.cli.console import cases_in_words, note
from midclass.cli.recognised import no_list
from midclass.errors import InputError
from midclass.evaluation.cells import LineEnds, as_cell
from midclass.files import new_text
from midclass.images.cohort import Cohort
from midclass.study.cell import Cell, cases

if TYPE_CHECKING:
    from midclass.images.duplicates import Duplicate
    from midclass.images.fingerprint import Fingerprints

CHOICES = ("tell", "drop", "refuse")
"""What to do about duplicates; ``tell`` refuses exact ones across parts."""
SAID = 3
COLUMNS = ("remove", "keep", "kind", "correlation", "part_remove", "part_keep")


def cohort_to_learn_from(source: Source, choice: str, out: Path, cache: Path | None) -> Cohort:
    """The cases to learn from, after all parts of the manifest were compared with each other.

    Duplicates under two patients are written to ``OUT.duplicates.csv``. Between two parts they
    make a test of what was learned by heart; inside the part to learn from they can fall on both
    sides of the division between learning and setting the threshold.

    Args:
        source: the manifest, and its part to learn from.
        choice: one of ``CHOICES``: ``tell`` refuses what is exactly the same in two parts and says
            the rest, ``refuse`` refuses near copies in two parts too, ``drop`` leaves out those to
            learn from.
        out: beside which the file is written.
        cache: of prepared images, where what is known of images is kept.

    Raises:
        InputError: the manifest or the choice is wrong, or duplicates are refused.
    """
    if choice not in CHOICES:
        raise InputError(f"--duplicates {choice}: expected one of {', '.join(CHOICES)}")
    from midclass.images.duplicates import duplicates, without_copies

    whole = source.whole().by_case_id()  # else another copy is left out of shuffled rows
    cohort = source.part_of(whole, "train")
    learning = cohort.cases[0].part
    found = duplicates(prints_with_bar(whole, cache))
    across = [pair for pair in found if pair.across]
    inside = [pair for pair in found if not pair.across and pair.first.part == learning]
    if not across and not inside:
        return cohort
    file = out.with_name(f"{out.name}.duplicates.csv")
    if no_list(file, COLUMNS):
        raise InputError(f"{file}: is no list of duplicates; move it away, or give another --out")
    _write(file, [*across, *inside], learning)
    if choice == "drop":
        kept = without_copies(cohort, [*across, *inside], learning)
        note(f"left out as duplicates: {cases_in_words(len(cohort) - len(kept))}, see {file}")
        return kept
    refused = across if choice == "refuse" else [pair for pair in across if pair.exact]
    if refused:
        raise InputError(
            f"{whole.name}: {_in_words(refused, file)}; a test with what was learned from says "
            "nothing. Remove the cases of the column `remove` there from the manifest, or "
            "--duplicates drop leaves those to learn from out"
        )
    if across:
        note(
            f"note: {_in_words(across, file)}; figures of the other part will flatter. "
            "--duplicates drop leaves those to learn from out"
        )
    if inside:
        note(
            f"note: {_in_words(inside, file)}; the threshold may be set with images that were "
            "learned from, and be too low. Give such cases one patient_id, or --duplicates drop "
            "leaves the second of each out"
        )
    return cohort


def tell_of_study(cells: Sequence[Cell], cache: Path | None) -> None:
    """Say, a line for each task, which cases to score look like cases to learn from.

    Those whose files are the same are refused by the study itself. Images are read for this once,
    and not again when the study goes on.
    """
    from midclass.images.duplicates import duplicates

    known: dict[tuple[Path, str | None, Path | None], list[Duplicate]] = {}
    told: set[str] = set()
    for cell in cells:
        key = (cell.cohort, cell.split, cell.root)
        if key not in known:
            whole = Cohort.from_manifest(cell.cohort, cell.split, root=cell.root, some_missing=True)
            known[key] = duplicates(prints_with_bar(whole, cache))
        if not known[key] or cell.task in told:
            continue
        learn, score = ({case.case_id for case in part} for part in cases(cell))
        both = [
            pair
            for pair in known[key]
            for one, other in ((pair.first.case_id, pair.second.case_id),)
            if (one in learn and other in score) or (other in learn and one in score)
        ]
        if both:
            told.add(cell.task)
            note(
                f"note: {cell.task}: {_number(both)} of different patients are alike, one to learn "
                f"from and one to score: {_first(both)}; its figures will flatter"
            )
        inside = [pair for pair in known[key] if {pair.first.case_id, pair.second.case_id} <= learn]
        if inside:
            told.add(cell.task)
            note(
                f"note: {cell.task}: {_number(inside)} of different patients, both to learn from, "
                f"are alike: {_first(inside)}; thresholds may be set with images that were learned "
                "from. Give such cases one patient_id"
            )


def tell_of_copies(prints: Fingerprints) -> None:
    """Say which cases to calibrate with are one image under two patients."""
    from midclass.images.duplicates import duplicates

    if found := duplicates(prints):
        note(
            f"note: {_number(found)} of different patients show the same image, or look so: "
            f"{_first(found)}; each counts as one more patient than there are, and the threshold "
            "promises too much. Give such cases one patient_id, or leave all but one out"
        )


def _number(pairs: Sequence[Duplicate]) -> str:
    return "1 pair of cases" if len(pairs) == 1 else f"{len(pairs)} pairs of cases"


def _first(pairs: Sequence[Duplicate]) -> str:
    return "; ".join(map(str, pairs[:SAID]))


def _in_words(pairs: Sequence[Duplicate], file: Path) -> str:
    near = sum(not pair.exact for pair in pairs)
    kinds = f", {near} as near copies" if near and near < len(pairs) else ""
    what = "look the same" if near == len(pairs) else "show the same image"
    where = "in two parts" if pairs[0].across else "in one part"
    said = f"{_number(pairs)} of different patients {where} {what}{kinds}"
    return f"{said}: {_first(pairs)} (all in {file})"


def _write(file: Path, pairs: Sequence[Duplicate], learning: str) -> None:
    with new_text(file) as text:
        rows = csv.writer(LineEnds(text))
        rows.writerow(COLUMNS)
        for pair in pairs:
            remove, keep = pair.to_remove(learning)
            names = remove.case_id, keep.case_id, pair.kind, f"{pair.correlation:.3f}"
            rows.writerow(map(as_cell, (*names, remove.part, keep.part)))
