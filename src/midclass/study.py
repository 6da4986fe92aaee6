"""Study: tasks x detectors x repeats -> one score table each; goes on after an interruption."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import closing, suppress
from pathlib import Path

from midclass.console import bar, note, say
from midclass.errors import InputError
from midclass.fitting import refuse_existing
from midclass.study_cell import ERROR, Cell, cases, table_of
from midclass.study_engines import engine_of
from midclass.study_file import Study
from midclass.study_log import Outcome, add_to_log, read_log


def study(
    file: Path,
    data: Path,
    *,
    out: Path | None = None,
    jobs: int = 1,
    engine: str = "local",
    trust: Collection[Path] = (),
    cache: Path | None = None,
) -> bool:
    """Compute what is missing of a study; True where every cell has its score table.

    Args:
        file: the study file.
        data: folder to which its manifests are relative.
        out: folder of the results, by default that of the file.
        jobs, engine, cache: see ``run``.
        trust: files of the user's that may run.

    Raises:
        InputError: a mistake in the study file, a recipe, a manifest or a split.
    """
    cells, folder = Study.load(file).cells(data, trust), out or file.parent
    refuse_existing(folder, overwrite=True)
    missing = [cell for cell in cells if not table_of(folder, cell.name).exists()]
    _check_weights(missing, file)
    _check_cases(missing, file)
    say(f"{len(cells)} cells, {len(cells) - len(missing)} done before")
    try:
        with bar(file.stem) as progress:
            outcomes = run(cells, folder, jobs=jobs, engine=engine, cache=cache, progress=progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"the same command goes on; results are in {folder}") from None
    failed = sum(bool(outcome.error) for outcome in outcomes)
    if failed:
        note(f"{failed} cells failed; their tracebacks are {folder / 'work'}/CELL/{ERROR}")
    done = sum(table_of(folder, cell.name).exists() for cell in cells)
    say(f"{done} of {len(cells)} score tables: {folder / 'scores'}")
    return done == len(cells)


def run(
    cells: Sequence[Cell],
    folder: Path,
    *,
    jobs: int = 1,
    engine: str = "local",
    cache: Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Outcome]:
    """Compute the cells whose score table is missing; returns what became of those.

    Args:
        cells: of ``Study.cells``.
        folder: where ``scores/`` is written.
        jobs: cells at once, each with one thread.
        engine: ``local`` (processes) or ``ray`` (a Ray cluster; extra ``[ray]``).
        cache: folder of prepared images.
        progress: called with (done, all, text).

    Raises:
        InputError: there is a score table that was computed with other settings.
    """
    _refuse_other_settings(cells, folder)
    missing = [cell for cell in cells if not table_of(folder, cell.name).exists()]
    outcomes: list[Outcome] = []
    with closing(engine_of(engine)(missing, folder, cache, jobs)) as found:
        for outcome in found:
            outcomes.append(outcome)
            add_to_log(folder, outcome)
            if outcome.error:
                note(f"failed: {outcome.name}: {outcome.error}")
            if progress is not None:
                failed = sum(bool(one.error) for one in outcomes)
                text = f"{outcome.name}" + (f", {failed} failed" if failed else "")
                progress(len(cells) - len(missing) + len(outcomes), len(cells), text)
    _remove_empty(folder / "work")
    return outcomes


def _check_weights(cells: Sequence[Cell], file: Path) -> None:
    for cell in cells:
        if _lacks_weights(cell):
            raise InputError(
                f"{file}: detectors.{cell.detector}: {cell.weights}: no such file of weights; put "
                "it there, or leave budget.pretrained out"
            )


def _lacks_weights(cell: Cell) -> bool:
    return cell.weights is not None and not cell.weights.is_file()


def _check_cases(cells: Sequence[Cell], file: Path) -> None:
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
    """A table that was computed before the study file, its recipes or manifests changed.

    Of cells whose weights are not at hand nothing can be said: their tables stay.
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


def _remove_empty(folder: Path) -> None:
    """The folders of cells that are done; those of interrupted ones hold their checkpoints."""
    for path in (*sorted(folder.rglob("*"), reverse=True), folder):
        with suppress(OSError):  # not empty, or never made
            path.rmdir()
