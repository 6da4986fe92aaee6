"""What could choose without labels, beside the truth, for every checkpoint of several detectors.

python studies/judge/run.py --data ../shared/data brain_mr knowledge 0

The development suite (``studies/witnesses``), the network that learns from its first weight on. At
every checkpoint each operator of the library, with its defaults, and those of the recipe change
images of the given class that training has not seen; how well they are told apart stands in
``scores/TASK/DETECTOR.SEED.csv`` beside the AUROC of the collection. A row is an operator.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import inspect
import pkgutil
import runpy
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import nn

import midclass.knowledge
from midclass import (
    ImageBatch,
    InputError,
    Knowledge,
    MiddleClassDetector,
    Prepared,
    Recipe,
    prepare,
)
from midclass.detectors.judge import Choice, Judge
from midclass.evaluation.metrics import auroc
from midclass.files import new_text
from midclass.knowledge.acquisition import acquired
from midclass.knowledge.nuisance import Nuisance

HERE = Path(__file__).resolve().parent
suite_cases = runpy.run_path(str(HERE.parent / "witnesses" / "run.py"))["cases"]
"""Recipe, cases to learn from and cases to test, of a collection of the development suite."""
LEAST = 48
"""Changed images of an operator at least, where there are fewer by drawing several times."""
CHECKPOINTS = 6


def library() -> dict[str, Knowledge]:
    """Every operator that needs no argument, by its name."""
    found: dict[str, Knowledge] = {}
    for module in pkgutil.iter_modules(midclass.knowledge.__path__):
        loaded = importlib.import_module(f"midclass.knowledge.{module.name}")
        for name, item in inspect.getmembers(loaded, inspect.isclass):
            if issubclass(item, Knowledge) and item is not Nuisance:
                try:
                    found[f"library {name}"] = item()
                except TypeError:  # abstract, or a composition that needs its parts
                    continue
    return found


@dataclass(frozen=True)
class Watching(Judge):
    """A judge that also tells what others would have said, and the truth."""

    others: dict[str, ImageBatch] = field(default_factory=dict)
    truth: tuple[ImageBatch, ImageBatch] | None = None
    rows: list[tuple[int, str, float]] = field(default_factory=list)

    def choose(self, networks: nn.Module) -> Choice:
        """The choice, and a row for each that could choose."""
        choice = super().choose(networks)
        step = len({row[0] for row in self.rows})

        def scored(images: ImageBatch) -> np.ndarray:
            return choice.combination(self._scores(networks, images, choice.given))

        def told_apart(given: ImageBatch, ill: ImageBatch) -> float:
            both = scored(given), scored(ill)
            return auroc(np.repeat([0, 1], [len(given), len(ill)]), np.concatenate(both))

        assert self.truth is not None
        figures = {"truth": told_apart(*self.truth)}
        figures["held out"] = told_apart(self.select, self.undescribed)
        figures |= {name: told_apart(self.select, ill) for name, ill in self.others.items()}
        self.rows.extend((step, name, figure) for name, figure in figures.items())
        return choice


class Watched(MiddleClassDetector):
    """The method without pretrained networks, watched while it chooses."""

    known: dict[str, Knowledge]
    test: Prepared
    watching: Watching

    def judge(self, train: Prepared, select: Prepared, seed: int) -> Judge:
        """The usual one, watching."""
        usual = super().judge(train, select, seed)
        rng = torch.Generator().manual_seed(seed + 1)
        given, others = select.batch(self.assessable(select)), dict[str, ImageBatch]()
        for name, operator in self.known.items():
            try:
                others[name] = self._changed(given, operator, rng)
            except InputError:  # of a lesion too small for these pixels
                continue
        seen = self.by_plausible_anatomy(self.test)
        rows = self.assessable(seen)
        label = np.array([seen.cases.cases[seen.case_index[row]].label for row in rows])
        truth = seen.batch(rows[label == 0]), seen.batch(rows[label == 1])
        self.watching = Watching(**vars(usual), others=others, truth=truth)
        return self.watching

    def _changed(self, given: ImageBatch, operator: Knowledge, rng: torch.Generator) -> ImageBatch:
        nuisance, found = self.recipe.nuisance_operator(), list[ImageBatch]()
        for _ in range(-(-LEAST // len(given))):
            middle = operator(given, rng)
            visible = middle.severity >= self.recipe.floor
            found.append(acquired(given.with_pixels(middle.pixels)[visible], nuisance, rng))
        if not sum(map(len, found)):
            raise InputError("nothing to see")
        return ImageBatch.joined(found)


def main() -> int:
    """Learn, watch, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("detector", choices=("knowledge", "control"))
    parser.add_argument("seed", type=int)
    parser.add_argument("--data", type=Path, required=True)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    recipe, train, test = suite_cases(asked.task, 0, asked.data)
    name = "chest_xray" if asked.task == "chest" else asked.task
    generic = Recipe.load(f"{name}_control")
    fields = recipe.to_dict()
    if asked.detector == "control":
        fields |= {key: generic.to_dict()[key] for key in ("middle_classes", "held_out")}
    fields["budget"] |= {"pretrained": None, "checkpoints": CHECKPOINTS}
    detector = Watched(Recipe.from_dict(fields))
    detector.known = (
        {f"own {key}": one for key, one in recipe.operators().items()}
        | {f"generic {key}": one for key, one in generic.operators().items()}
        | library()
    )
    detector.test = prepare(test, recipe)
    detector.fit(prepare(train, recipe), seed=asked.seed, max_fpr=0.1)
    file = HERE / "scores" / asked.task / f"{asked.detector}.{asked.seed}.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    with new_text(file) as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["checkpoint", "who", "auroc"])
        writer.writerows([step, who, f"{auc:.4f}"] for step, who, auc in detector.watching.rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
