"""Early: what can be refused without torch is refused before it is imported, within a second.

What a command names is looked for first, because reading it needs imports, too. The commands look
at the same things again, when they use them.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from midclass.detectors.folder import refuse_no_detector
from midclass.errors import InputError
from midclass.files import refuse_no_file
from midclass.recipe.names import find

if TYPE_CHECKING:
    from midclass.cli.commands.source import Source
    from midclass.cli.options import Options

PICTURES = (".png", ".svg", ".pdf")
"""As what a sheet is drawn."""


def refuse_absent(
    *, recipe: str | None = None, detector: Path | None = None, source: Source | None = None
) -> None:
    """Refuse a recipe, a detector or a manifest that does not exist; reads none of them.

    Raises:
        InputError: the first that does not.
    """
    if recipe is not None:
        find(recipe)
    if detector is not None:
        refuse_no_detector(detector)
    if source is not None and not source.is_folder:
        refuse_no_file(source.manifest)


def check_recipe(name: str, source: Source | None, options: Options) -> None:
    """A recipe by its structure, and the given class of a cohort to learn from.

    Raises:
        InputError: the first mistake.
    """
    refuse_absent(recipe=name, source=source)
    from midclass.cli.commands.source import given_class_of
    from midclass.recipe.recipe import Recipe

    Recipe.load(name, options.trust)
    if source is not None and not source.is_folder:
        given_class_of(source.cohort("train"), "to look at")


def check_detector(folder: Path, source: Source | None = None, part: str = "test") -> None:
    """A saved detector but its tensors, and a cohort.

    Raises:
        InputError: the first mistake.
    """
    refuse_absent(detector=folder, source=source)
    from midclass.detectors.saved import check_saved

    check_saved(folder)
    if source is not None and not source.is_folder:
        source.cohort(part)


def check_folder(out: Path, source: Source, options: Options, *reads: Path) -> None:
    """A folder that will be written.

    Raises:
        InputError: it cannot be, or must not.
    """
    from midclass.cli.outputs import Place, claimed, read_by

    seen = read_by(source, *reads, *options.trust)
    with claimed(Place(out), reads=seen, overwrite=options.overwrite):
        return


def check_tables(tables: Iterable[Path]) -> None:
    """Score tables that exist.

    Raises:
        InputError: names the first that does not.
    """
    for path in tables:
        refuse_no_file(path, "score table")


def check_format(path: Path, option: str = "--out") -> None:
    """Refuse a file that cannot be drawn, before any work; ``option`` is what named it.

    Raises:
        InputError: not one of ``PICTURES``.
    """
    if path.suffix.lower() not in PICTURES:
        raise InputError(
            f"{path}: a sheet is drawn as one of {', '.join(PICTURES)}; change {option}"
        )
