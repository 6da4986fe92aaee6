"""Early: what can be refused without torch is refused before it is imported, within a second.

The commands look at the same things again, when they use them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from midclass.cli.commands.source import Source, given_class_of
from midclass.cli.options import Options
from midclass.cli.outputs import Place, claimed, read_by
from midclass.detectors.saved import check_saved
from midclass.errors import InputError
from midclass.evaluation.table import ScoreTable
from midclass.recipe.recipe import Recipe

PICTURES = (".png", ".svg", ".pdf")
"""As what a sheet is drawn."""


def check_recipe(name: str, source: Source | None, options: Options) -> None:
    """A recipe by its structure, and the given class of a cohort to learn from.

    Raises:
        InputError: the first mistake.
    """
    Recipe.load(name, options.trust)
    if source is not None and not source.is_folder:
        given_class_of(source.cohort("train"), "to look at")


def check_detector(folder: Path, source: Source | None = None, part: str = "test") -> None:
    """A saved detector but its tensors, and a cohort.

    Raises:
        InputError: the first mistake.
    """
    check_saved(folder)
    if source is not None and not source.is_folder:
        source.cohort(part)


def check_folder(out: Path, source: Source, options: Options, *reads: Path) -> None:
    """A folder that will be written.

    Raises:
        InputError: it cannot be, or must not.
    """
    seen = read_by(source, *reads, *options.trust)
    with claimed(Place(out), reads=seen, overwrite=options.overwrite):
        return


def check_tables(tables: Iterable[Path]) -> None:
    """Score tables that are there.

    Raises:
        InputError: names the first that is not.
    """
    for path in tables:
        if not path.is_file():
            ScoreTable.read(path)


def check_format(path: Path, option: str = "--out") -> None:
    """Refuse a file that cannot be drawn, before any work; ``option`` is what named it.

    Raises:
        InputError: not one of ``PICTURES``.
    """
    if path.suffix.lower() not in PICTURES:
        raise InputError(
            f"{path}: a sheet is drawn as one of {', '.join(PICTURES)}; change {option}"
        )
