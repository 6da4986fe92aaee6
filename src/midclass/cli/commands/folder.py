"""A folder of images in place of a manifest: what is told of it, and when it is refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from midclass.cli.console import cases_in_words, fault, note, say
from midclass.errors import InputError
from midclass.images.columns import PARTS, plain
from midclass.images.inventory import Inventory
from midclass.images.labels import classes_of_folders, like_given

SAID = 6
"""Reasons, and files, that are told."""


def refuse_classes(folder: Path) -> None:
    """Raise InputError for a folder whose folders are classes or parts of a split.

    All its images would be taken for the given class.
    """
    inside = [one.name for one in sorted(folder.iterdir()) if one.is_dir()]
    normal = [name for name in inside if like_given(name)]
    parts = [name for name in inside if plain(name) in PARTS]
    if (normal and len(inside) > 1) or parts:
        named = ", ".join(inside[:SAID])
        way_out = f"name {folder / normal[0]}, or make" if normal else "make"
        raise InputError(
            f"{folder}: has the folders {named}, and all images would be taken for the given "
            f"class; {way_out} a manifest of it: midclass manifest {folder} --labels-by-folder"
        )


def tell_inventory(found: Inventory) -> None:
    """What of a folder is taken for what, how patients are told apart, and what is left out."""
    cases = found.cases
    people = len({case.patient_id for case in cases})
    say(f"{'given class':<16} {cases_in_words(len(cases))} of {people} patients: all of the folder")
    tell_apart(found)
    tell_left_out(found, "")


def tell_words(found: Inventory, start: str) -> None:
    """Which words were taken for the given class, and which for the target class.

    ``start`` stands before the names of all files.
    """
    for label, name in enumerate(("given class", "target class")):
        words = Counter(case.class_name for case in found.cases if case.label == label)
        named = [f"{word} ({count})" for word, count in words.most_common() if word]
        more = f" and {len(named) - SAID} more" if len(named) > SAID else ""
        if named:
            say(f"{name:<16} {', '.join(named[:SAID])}{more}")
    if all(case.label is None for case in found.cases):
        inside = (one.called.removeprefix(start) for one in found.entries)
        _tell_folders(classes_of_folders(inside))


def _tell_folders(classes: Sequence[str]) -> None:
    """What could have been taken for classes, and was not."""
    if classes:
        more = f" and {len(classes) - SAID} more" if len(classes) > SAID else ""
        note(
            f"note: no labels were asked for; to take the folders {', '.join(classes[:SAID])}"
            f"{more} for classes, give --labels-by-folder"
        )


def tell_apart(found: Inventory) -> None:
    """By what patients are told apart, and what that may miss."""
    told = ", ".join(f"{by} ({count} files)" for by, count in found.told_apart.most_common())
    say(f"{'patients':<16} told apart by {told}")
    if alone := found.told_apart["file"]:
        note(
            f"note: {alone} files say of no patient whose they are, so that images of one person "
            "may fall on both sides; where a person has a folder, --patients folder tells"
        )
    _tell_levels(found)


def _tell_levels(found: Inventory) -> None:
    """Where folders of one name lie below several others, it is hardly a person's."""
    above: dict[str, set[str]] = {}
    for entry in found.entries:
        if entry.whose[0] == "folder":
            folder = Path(entry.whose[1])
            above.setdefault(folder.name, set()).add(folder.parent.as_posix())
    several = [name for name, places in above.items() if len(places) > 1]
    if several:
        named = ", ".join(sorted(several)[:SAID])
        note(
            f"note: folders called {named} lie below several others, and each is taken for a "
            "patient of its own; say which folder is a person's by its level: --patients folder:N, "
            "1 for the first below"
        )


def tell_left_out(found: Inventory, where: str) -> None:
    """What is no case, counted by reason; the first files that failed by name."""
    if found.left_out:
        reasons = Counter(one.kind for one in found.left_out).most_common()
        named = "; ".join(f"{reason} ({count})" for reason, count in reasons[:SAID])
        more = f"; {len(reasons) - SAID} more reasons" if len(reasons) > SAID else ""
        say(f"{'left out':<16} {len(found.left_out)}: {named}{more}{where}")
    failed = [one for one in found.left_out if one.failed]
    for one in failed[:SAID]:
        fault(f"failed: {one.called}: {one.reason}")
    if len(failed) > SAID:
        fault(f"failed: {len(failed) - SAID} more{where}")
