"""What should the class head of the method's own network read? Means, or the anatomy.

python studies/witnesses/reading.py --data ../shared/data brain_mr 0
python studies/witnesses/table.py

The own network alone, with the shipped recipes at their own size and budget: on collections of the
development suite, in the redrawn splits of ``studies/transfer``; ``chest``, normals held out of the
training part of Kermany et al. against the pneumonia of that part; and ``breast_ultrasound``, the
cohort of ``studies/ultrasound`` (give its folder as ``--ultrasound``). ``mean``: the mean of the
last stage over the whole image, as it was before. ``inside``: mean and spread of the last two
stages inside the anatomy, and the top of the change map, as it is now. Rows are added to
``reading.csv``; what is there is not computed again. ``held_out`` is the AUROC of the recipe's own
middle classes of held-out patients, which needs no label; the others are of the disease.
"""

from __future__ import annotations

import argparse
import csv
import runpy
import sys
from pathlib import Path

import numpy as np
import torch

from midclass import Cohort, MiddleClassDetector, Recipe, prepare
from midclass.detectors.judge import look, raw_scores
from midclass.evaluation.metrics import auroc
from midclass.study.cell import redrawn
from midclass.training.lesson import FORWARD_BATCH

HERE = Path(__file__).resolve().parent
ROWS = HERE / "reading.csv"
SUITE = runpy.run_path(str(HERE / "run.py"))["cases"]
RECIPES: dict[str, str | Path] = {
    "chest": "chest_xray",  # at its own size
    "chest_ct": HERE.parent / "transfer" / "chest_ct.yaml",  # it has changed since
}
COLUMNS = ("log_odds", "change", "distance", "all", "held_out")


class Means(MiddleClassDetector):
    """The method as it was: its class head reads the mean of the last stage."""

    pooling = "mean"


READS = {"mean": Means, "inside": MiddleClassDetector}


def cases(task: str, repeat: int, data: Path, ultrasound: Path) -> tuple[Recipe, Cohort, Cohort]:
    """The recipe, the given class to learn from, and what is scored."""
    if task == "breast_ultrasound":
        whole = Cohort.from_manifest(ultrasound / "manifest.csv", "split")
        train, test = redrawn(whole.part("train"), whole.part("test"), repeat)
        return Recipe.load(task), train.given_class(), test
    _, train, test = SUITE(task, repeat, data)
    return Recipe.load(RECIPES.get(task, task)), train, test


def figures(
    kind: type[MiddleClassDetector], recipe: Recipe, train: Cohort, test: Cohort, seed: int
) -> list[float]:
    """AUROC of the disease by each score and by all together, and of held-out middle classes."""
    alone = recipe.model_copy(
        update={"budget": recipe.budget.model_copy(update={"pretrained": None})}
    )
    detector = kind(alone)
    detector.fit(prepare(train, alone), seed=seed, max_fpr=0.1)
    seen = detector.by_plausible_anatomy(prepare(test, alone))
    rows = detector.assessable(seen)
    label = np.array([seen.cases.cases[seen.case_index[row]].label for row in rows])
    raw = np.concatenate(
        [
            raw_scores(look(detector.networks_, batch), batch, detector.given_)
            for batch in seen.batch(rows).split(FORWARD_BATCH)
        ]
    )
    by_score = [auroc(label, raw[:, column]) for column in range(3)]
    held_out = detector.history_["scores"]["+".join(detector.combination_.chosen)]
    return [*by_score, auroc(label, detector.combination_(raw)), held_out]


def main() -> int:
    """Learn, and add a row for each way to read."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("repeat", type=int)
    parser.add_argument("--reads", choices=list(READS), nargs="*", default=list(READS))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--ultrasound", type=Path, default=Path("ultrasound"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    done = set()
    if ROWS.exists():
        rows = csv.DictReader(ROWS.open(encoding="utf-8", newline=""))
        done = {(row["task"], row["repeat"], row["reads"]) for row in rows}
    recipe, train, test = cases(given.task, given.repeat, given.data, given.ultrasound)
    for reads in given.reads:
        if (given.task, str(given.repeat), reads) in done:
            continue
        found = figures(READS[reads], recipe, train, test, given.repeat)
        new = not ROWS.exists()
        with ROWS.open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            if new:
                writer.writerow(["task", "repeat", "reads", *COLUMNS])
            writer.writerow([given.task, given.repeat, reads, *(f"{one:.4f}" for one in found)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
