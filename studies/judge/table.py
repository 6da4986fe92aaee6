"""The table of docs/research-log.md on who could choose without labels, from ``scores``."""

from __future__ import annotations

import csv
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from scipy.stats import pearsonr, spearmanr

from midclass.evaluation.ranking import FloatArray
from midclass.files import fill_blocks
from midclass.study.markdown import figure, page_command, table

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parents[1] / "docs" / "research-log.md"
SHOWN = 5
"""Single operators of the library that are shown, the best and the worst."""
TRUTH = "truth"


class Run:
    """One detector of one task: of each who could choose a figure for each checkpoint."""

    def __init__(self, file: Path) -> None:
        self.task, self.detector = file.parent.name, file.stem
        with open(file, newline="", encoding="utf-8") as text:
            rows = list(csv.DictReader(text))
        found = defaultdict[str, list[float]](list)
        for row in rows:
            found[row["who"]].append(float(row["auroc"]))
        # The last row of each is the checkpoint that was chosen, once more.
        self.figures: dict[str, FloatArray] = {
            who: np.array(figures[:-1]) for who, figures in found.items()
        }
        self.figures |= {
            f"all of {kind}": np.mean(
                [one for who, one in self.figures.items() if who.startswith(f"{kind} ")], 0
            )
            for kind in ("own", "generic", "library")
        }


def main() -> int:
    """Write the page, or with ``--check`` compare it."""
    return page_command(__doc__, lambda: {DOCUMENT: page()})


def page() -> str:
    """The document with the table as the numbers on disk have it."""
    runs = [Run(file) for file in sorted((HERE / "scores").glob("*/*.csv"))]
    known = set.intersection(*(set(run.figures) for run in runs)) - {TRUTH}
    single = [who for who in known if who.startswith("library ")]
    single.sort(key=lambda who: -_within_tasks(runs, who))
    chosen = ["held out", "all of own", "all of generic", "all of library", *single[:SHOWN]]
    head = ["who", "checkpoints", "lowest", "detectors", "all within a task", "lost by its choice"]
    rows = [_row(runs, who) for who in [*chosen, *single[-SHOWN:]]]
    blocks = {"judge": table(head, rows), "judged": _each(runs)}
    return fill_blocks(DOCUMENT.read_text(encoding="utf-8"), blocks)


def _each(runs: list[Run]) -> str:
    """A row for each detector: the truth, and the two who chose and choose."""
    shown = {"own": "all of own", "held out": "held out"}
    rows = []
    for run in runs:
        truth = run.figures[TRUTH]
        rows.append(
            [
                f"{run.task}, {run.detector.partition('.')[0]}",
                figure(float(truth[-1])),
                figure(float(truth.max() - truth[-1])),
                *(figure(float(run.figures[who][-1])) for who in shown.values()),
                *(figure(_follows(run, who)) for who in shown.values()),
            ]
        )
    taught = [run for run in runs if run.detector.startswith("knowledge")]
    for name, some in (("mean of knowledge", taught), ("mean of all", runs)):
        last = [float(run.figures[TRUTH].max() - run.figures[TRUTH][-1]) for run in some]
        means = [np.mean([_follows(run, who) for run in some]) for who in shown.values()]
        rows.append([name, "", figure(float(np.mean(last))), "", "", *map(figure, means)])
    head = ["detector", "truth, last", "lost by the last", *(f"{who}, last" for who in shown)]
    return table([*head, *(f"{who} follows" for who in shown)], rows)


def _follows(run: Run, who: str) -> float:
    """Rank correlation with the truth over the checkpoints of a training."""
    return float(spearmanr(run.figures[who], run.figures[TRUTH])[0])


def _row(runs: list[Run], who: str) -> list[str]:
    ranks = [_follows(run, who) for run in runs]
    lost = [
        run.figures[TRUTH].max() - run.figures[TRUTH][np.argmax(run.figures[who])] for run in runs
    ]
    tasks = sorted({run.task for run in runs})
    right = sum(
        _prefers_the_better([run for run in runs if run.task == task], who) for task in tasks
    )
    return [
        who.replace("library ", ""),
        figure(float(np.nanmean(ranks))),
        figure(float(np.nanmin(ranks))),
        f"{right} of {len(tasks)}",
        figure(_within_tasks(runs, who)),
        figure(float(np.mean(lost))),
    ]


def _prefers_the_better(runs: list[Run], who: str) -> bool:
    """Whether the last checkpoints of a task's detectors come in the true order."""
    order = [np.argsort([run.figures[name][-1] for run in runs]) for name in (who, TRUTH)]
    return bool((order[0] == order[1]).all())


def _within_tasks(runs: list[Run], who: str) -> float:
    """Correlation over all checkpoints, of what lies above the mean of the task."""
    said, true = list[FloatArray](), list[FloatArray]()
    for task in {run.task for run in runs}:
        of_task = [run for run in runs if run.task == task]
        for name, found in ((who, said), (TRUTH, true)):
            figures = np.concatenate([run.figures[name] for run in of_task])
            found.append(figures - figures.mean())
    return float(pearsonr(np.concatenate(said), np.concatenate(true))[0])


if __name__ == "__main__":
    sys.exit(main())
