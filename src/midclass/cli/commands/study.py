"""The command ``study``: compute what is missing of a study."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from midclass.cli.commands.duplicates import tell_of_study
from midclass.cli.console import bar, fault, note, say
from midclass.cli.options import DEFAULTS, Options
from midclass.cli.outputs import Place, claimed
from midclass.study.cell import ERROR, Cell, table_of
from midclass.study.file import Study
from midclass.study.run import check_cases, check_weights, compute


def run(
    file: Path,
    data: Path,
    options: Options = DEFAULTS,
    *,
    out: Path | None = None,
    jobs: int = 1,
    engine: str = "local",
) -> bool:
    """Compute what is missing of a study; True where every cell has its score table.

    Args:
        file: the study file.
        data: folder to which its manifests are relative.
        options: files that may run, and the folder of prepared images.
        out: folder of the results, by default that of the file.
        jobs, engine: see ``midclass.study.run``.

    Raises:
        InputError: a mistake in the study file, a recipe, a manifest or a split.
    """
    cells, folder = Study.load(file).cells(data, options.trust), out or file.parent
    with claimed(Place(folder, "filled")):
        return _run(file, cells, folder, options, jobs, engine)


def _run(
    file: Path, cells: Sequence[Cell], folder: Path, options: Options, jobs: int, engine: str
) -> bool:
    missing = [cell for cell in cells if not table_of(folder, cell.name).exists()]
    check_weights(missing, file)
    check_cases(missing, file)
    tell_of_study(missing, options.cache)
    say(f"{len(cells)} cells, {len(cells) - len(missing)} done before")
    try:
        with bar(file.stem) as progress:
            outcomes = compute(
                cells,
                folder,
                jobs=jobs,
                engine=engine,
                cache=options.cache,
                progress=progress,
                tell=note,
            )
    except KeyboardInterrupt as stop:
        stop.args = (f"the same command goes on; results are in {folder}",)
        raise
    failed = sum(bool(outcome.error) for outcome in outcomes)
    if failed:
        kept = f"{folder / 'work'}/CELL/{ERROR}"
        fault(f"{failed} cells failed; tracebacks, where there was room for them: {kept}")
    done = sum(table_of(folder, cell.name).exists() for cell in cells)
    say(f"{done} of {len(cells)} score tables: {folder / 'scores'}")
    return done == len(cells)
