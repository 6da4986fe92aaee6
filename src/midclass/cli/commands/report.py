"""The command ``report``: RESULTS.md, the figures and the page of a study."""

from __future__ import annotations

from pathlib import Path

from midclass.cli.console import fault, say
from midclass.cli.outputs import Place, claimed
from midclass.cli.recognised import no_html_page, no_page, no_picture
from midclass.evaluation.comparison import Estimate
from midclass.evaluation.page import PAGE
from midclass.files import write_or_check, write_text_atomic
from midclass.study import plots
from midclass.study.file import Study
from midclass.study.page import html
from midclass.study.report import markdown
from midclass.study.results import Results


def run(
    file: Path, *, out: Path | None = None, ours: str = "middle_class", check: bool = False
) -> bool:
    """Write ``RESULTS.md``, its figures and ``page.html``.

    With ``check`` only ``RESULTS.md`` is compared; False where it differs.

    Args:
        file: the study file.
        out: folder with ``scores/``, by default that of the file.
        ours: the detector that the others are compared with.
        check: write nothing.
    """
    folder = out or file.parent
    results = Results.of(Study.load(file), folder, ours)
    text, path = markdown(results, folder), folder / "RESULTS.md"
    if check:
        same = write_or_check(path, text, check=True)
        if not same:
            fault(f"{path} does not say what the score tables say; write it with midclass report")
        return same
    names = [*(f"auroc_{task}.svg" for task in results.main), "positives.svg", "ranks.svg"]
    pictures = [Place(folder / name, "file", strange=no_picture, unasked=True) for name in names]
    shown = Place(folder / PAGE, "file", strange=no_html_page, unasked=True)
    with claimed(Place(path, "file", strange=no_page, unasked=True), shown, *pictures):
        _draw(results, folder)
        write_text_atomic(shown.path, html(results, folder))
        write_or_check(path, text, check=False)
        say(f"saved: {path}")
        say(f"to look at in a browser: {shown.path}")
    return True


def _draw(results: Results, folder: Path) -> None:
    study = results.study
    for task in results.main:
        limits = {study.title(n): results.unseen(task, n)[2:] for n in results.ordered(task)}
        plots.areas(folder / f"auroc_{task}.svg", *_rows(results, task), limits)
    if results.rank_test is not None:
        titles = {name: study.title(name) for name in results.rank_test.ranks}
        plots.ranks(folder / "ranks.svg", results.rank_test, titles, results.ours)
    curves = {
        study.task_title(task): {study.kind_title(k): v for k, v in results.curve(task).items()}
        for task in results.tables
        if results.curve(task)
    }
    if curves:
        plots.curves(folder / "positives.svg", curves)


def _rows(results: Results, task: str) -> tuple[str, dict[str, Estimate], str]:
    names = results.ordered(task)
    found = {results.study.title(name): results.compared[task].estimate(name) for name in names}
    return results.study.task_title(task), found, results.study.title(results.ours)
