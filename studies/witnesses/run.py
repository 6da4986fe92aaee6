"""What each witness says of held-out cases, raw: tables from which rules can be compared.

python studies/witnesses/run.py --data ../shared/data brain_mr 0

The development suite: four collections of ``transfer`` in the redrawn splits of
``studies/transfer``, and ``chest``: normals held out of the training part of Kermany et al. against
the pneumonia of that part, at 96 pixels and 160 steps. Writes ``scores/TASK/REPEAT.csv``; a row is
an image.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from midclass import Cohort, ImageBatch, Lesson, MiddleClassDetector, Prepared, Recipe, prepare
from midclass.detectors.baselines.mahalanobis import Mahalanobis
from midclass.detectors.baselines.nearest_neighbour import NearestNeighbour
from midclass.detectors.baselines.one_class_svm import OneClassSVM
from midclass.detectors.baselines.patchcore import PatchCore
from midclass.detectors.judge import look, raw_scores
from midclass.detectors.parts import parted
from midclass.evaluation.ranking import FloatArray
from midclass.files import new_text
from midclass.knowledge.acquisition import acquired
from midclass.study.cell import redrawn
from midclass.training.lesson import FORWARD_BATCH

HERE = Path(__file__).resolve().parent
WITNESSES = ("log_odds", "change", "distance", "mahalanobis", "neighbours", "pixels", "patches")
OTHERS = {
    "mahalanobis": Mahalanobis,
    "neighbours": NearestNeighbour,
    "pixels": OneClassSVM,
    "patches": PatchCore,
}
TIMES = 3
"""How often a held-out image is seen through the nuisance."""


def cases(task: str, repeat: int, data: Path) -> tuple[Recipe, Cohort, Cohort]:
    """The recipe, the given class to learn from, and what is scored."""
    if task != "chest":
        whole = Cohort.from_manifest(data / "transfer" / task / "manifest.csv", "split")
        train, test = redrawn(whole.part("train"), whole.part("test"), repeat)
        return Recipe.load(task), train.given_class(), test
    fields = Recipe.load("chest_xray").to_dict()
    fields["geometry"]["size"] = [96, 96]
    fields["budget"].update(steps=160, batch=24, ema=0.96, learning_rate=0.006)
    learned = Cohort.from_manifest(data / "kermany_cxr" / "manifest.csv", "split").part("train")
    parts = learned.given_class().split_by_patient({"train": 0.7, "test": 0.3}, repeat)
    test = replace(learned, cases=(*parts["test"], *learned.target_class()))
    return Recipe.from_dict(fields), parts["train"], test


def main() -> int:
    """Learn, and write what every witness says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("repeat", type=int)
    parser.add_argument("--data", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    recipe, train, test = cases(given.task, given.repeat, given.data)
    alone = recipe.model_copy(
        update={"budget": recipe.budget.model_copy(update={"pretrained": None})}
    )
    detector = MiddleClassDetector(alone)
    detector.fit(prepare(train, recipe), seed=given.repeat, max_fpr=0.1)
    learned, scored = (detector.by_plausible_anatomy(prepare(c, recipe)) for c in (train, test))
    parts = parted(learned.cases, set(), given.repeat)
    lesson = Lesson(learned.subset(parts["train"]), learned.subset(parts["select"]), given.repeat)
    others = {name: kind(recipe) for name, kind in OTHERS.items()}
    for other in others.values():
        other.plausible_ = detector.plausible_
        other.learn(lesson)

    @torch.inference_mode()
    def witnesses(batch: ImageBatch) -> FloatArray:
        columns = [raw_scores(look(detector.networks_, batch), batch, detector.given_)]
        columns += [other.score(batch)[0].numpy()[:, None] for other in others.values()]
        return np.concatenate(columns, 1)

    def of(samples: Prepared) -> Iterator[ImageBatch]:
        yield from samples.batch(detector.assessable(samples)).split(FORWARD_BATCH)

    rng = torch.Generator().manual_seed(given.repeat)
    nuisance = recipe.nuisance_operator()
    rows: list[tuple[str, int, FloatArray]] = []
    for part in ("select", "calibrate"):
        for batch in of(learned.subset(parts[part])):
            rows += [(part, 0, one) for one in witnesses(batch)]
            for _ in range(TIMES):
                seen = acquired(batch, nuisance, rng)
                rows += [(f"{part} seen through the nuisance", 0, one) for one in witnesses(seen)]
            for operator in recipe.operators().values():
                middle = operator(batch, rng)
                ill = batch.with_pixels(middle.pixels)[middle.severity >= recipe.floor]
                seen = acquired(ill, nuisance, rng)
                rows += [("middle classes of the recipe", 1, one) for one in witnesses(seen)]
    labels = iter(
        [scored.cases.cases[scored.case_index[i]].label for i in detector.assessable(scored)]
    )
    for batch in of(scored):
        rows += [("test", next(labels), one) for one in witnesses(batch)]
    with new_text(HERE / "scores" / given.task / f"{given.repeat}.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["part", "label", *WITNESSES])
        writer.writerows([part, label, *(f"{x:.5g}" for x in one)] for part, label, one in rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
