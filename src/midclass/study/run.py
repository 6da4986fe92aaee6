"""Study: tasks x detectors x repeats -> one score table each; goes on after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from midclass.errors import InputError
from midclass.files import remove_leftovers, remove_leftovers_in
from midclass.study.cell import Cell, cases, remove_work, table_of
from midclass.study.engines import engine_of
from midclass.study.log import Outcome, add_to_log, check_log, read_log

if TYPE_CHECKING:
    from midclass.types import Progress


def compute(
    cells: Sequence[Cell],
    folder: Path,
    *,
    jobs: int = 1,
    engine: str = "local",
    cache: Path | None = None,
    progress: Progress | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[Outcome]:
    """Compute the cells whose score table is missing; returns what became of those.

    Args:
        cells: of ``Study.cells``.
        folder: where ``scores/`` is written.
        jobs: cells at once, each with one thread.
        engine: ``local`` (processes) or ``ray`` (a Ray cluster; extra ``[ray]``).
        cache: folder of prepared images.
        progress: called with (done, all, text).
        tell: called with a line for each cell that failed, at once.

    Raises:
        InputError: there is a score table that was computed with other settings.
    """
    _refuse_other_settings(cells, folder)
    check_log(folder)
    _remove_leftovers(cells, folder)
    missing = [cell for cell in cells if not table_of(folder, cell.name).exists()]
    outcomes: list[Outcome] = []
    try:
        with closing(engine_of(engine)(missing, folder, cache, jobs)) as found:
            for outcome in found:
                outcomes.append(outcome)
                add_to_log(folder, outcome)
                if outcome.error and tell is not None:
                    tell(f"failed: {outcome.name}: {outcome.error}")
                if progress is not None:
                    failed = sum(bool(one.error) for one in outcomes)
                    text = f"{outcome.name}" + (f", {failed} failed" if failed else "")
                    progress(len(cells) - len(missing) + len(outcomes), len(cells), text)
    finally:
        _remove_leftovers(cells, folder)  # of processes that ended in the middle
    for cell in cells:
        if table_of(folder, cell.name).exists():  # its process may have died just after it
            remove_work(folder / "work" / cell.name)
    _remove_empty(folder / "work")
    return outcomes


def check_weights(cells: Sequence[Cell], file: Path) -> None:
    """Raise InputError, before hours of work, where a file of weights is not there."""
    for cell in cells:
        if _lacks_weights(cell):
            raise InputError(
                f"{file}: detectors.{cell.detector}: {cell.weights}: no such file of weights; put "
                "it there, or leave budget.pretrained out"
            )


def _lacks_weights(cell: Cell) -> bool:
    return cell.weights is not None and not cell.weights.is_file()


def check_cases(cells: Sequence[Cell], file: Path) -> None:
    """Find mistakes in the data before hours of work, once for all cells on the same cases."""
    asked: dict[tuple[object, ...], Cell] = {}
    for cell in sorted(cells, key=lambda cell: cell.positives):  # the most go last, and stay
        drawn = cell.repeat if cell.known_patients else None
        asked[cell.cohort, cell.root, cell.split, cell.known_patients, drawn] = cell
    for cell in asked.values():
        try:
            cases(cell)
        except InputError as error:
            raise InputError(f"{file}: tasks.{cell.task}: {error}") from error


def _refuse_other_settings(cells: Sequence[Cell], folder: Path) -> None:
    """Refuse tables from before a change of the study file, its recipes or its manifests.

    Without the file of weights a cell's settings cannot be compared, and its table stays.
    """
    done = (one for one in read_log(folder) if one.settings and not one.error)
    before = {one.name: one.settings for one in done}
    known = [c for c in cells if c.name in before and table_of(folder, c.name).exists()]
    there = (cell for cell in known if not _lacks_weights(cell))
    other = [cell.name for cell in there if before[cell.name] != cell.settings]
    if other:
        raise InputError(
            f"{len(other)} score tables were computed with other settings, the first is "
            f"{table_of(folder, other[0])}; remove them to compute them again, or write to "
            "another folder with --out"
        )


def _remove_leftovers(cells: Sequence[Cell], folder: Path) -> None:
    """What processes left that were killed while they wrote."""
    for cell in cells:
        remove_leftovers(table_of(folder, cell.name))
        remove_leftovers_in(folder / "work" / cell.name)


def _remove_empty(folder: Path) -> None:
    """Remove the folders of cells that are done; of interrupted cells they hold the checkpoints."""
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        with suppress(OSError):  # not empty, or never made
            path.rmdir()
