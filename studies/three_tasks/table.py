"""Put the overview of RESULTS.md into docs/results.md, longer trainings into this folder's."""

from __future__ import annotations

import sys
from pathlib import Path

from midclass import ScoreTable
from midclass.evaluation.report import auroc_of
from midclass.study.cell import table_of
from midclass.study.file import Study
from midclass.study.markdown import figure, page_command, pages_with, table

HERE = Path(__file__).resolve().parent
LONGER = HERE.parent / "longer"
RESULTS = HERE.parents[1] / "docs" / "results.md"


def overview() -> str:
    """The table under the heading AUROC: every detector, for a reader must see who is ahead."""
    section = (HERE / "RESULTS.md").read_text(encoding="utf-8").split("\n## AUROC\n")[1]
    lines = section.split("\n## ")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith("|"))


def longer() -> str:
    """AUROC of repeat 0 with the common budget and with that of ``studies/longer``."""
    study = Study.load(LONGER / "study.yaml")
    rows = []
    for name in study.detectors:
        cells = [study.names_of(task, name)[0] for task in study.tasks]
        moved = [f"{area(HERE, cell)} → {area(LONGER, cell)}" for cell in cells]
        rows.append([study.title(name), *moved])
    return table(["detector", *map(study.task_title, study.tasks)], rows)


def area(folder: Path, cell: str) -> str:
    """``.802``."""
    found = ScoreTable.read(table_of(folder, cell))
    return figure(auroc_of(found))


def pages() -> dict[Path, str]:
    """Both pages with their tables as the scores on disk have them."""
    blocks = {RESULTS: {"three tasks": overview()}, HERE / "README.md": {"longer": longer()}}
    return pages_with(blocks)


def main() -> int:
    """Write the tables, or with ``--check`` compare them."""
    return page_command(__doc__, pages)


if __name__ == "__main__":
    sys.exit(main())
