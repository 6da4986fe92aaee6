"""How known cases could count beside what the method says without them: rules, compared.

python studies/positives/rules.py --data ../shared/data

The four collections of ``studies/transfer`` in its redrawn splits. Some cases of the disease are
drawn, of a patient each, and their patients are left out of the test; a logistic regression learns
to tell them from the given class in pooled features of the pretrained network.
What the method says without them is in ``studies/transfer/scores``. Writes ``rules.csv``; a row is
the mean AUROC over three repeats with three draws each. Some minutes of one core.
"""

from __future__ import annotations

import argparse
import csv
import runpy
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from midclass import Prepared, prepare
from midclass.detectors.baselines._features import Scale, feature_network, network_features
from midclass.detectors.image_scores import Combination
from midclass.evaluation.metrics import auroc
from midclass.evaluation.ranking import FloatArray
from midclass.evaluation.table import ScoreTable
from midclass.files import new_text
from midclass.knowledge.acquisition import acquired
from midclass.recipe.recipe import Recipe
from midclass.training.lesson import FORWARD_BATCH

HERE = Path(__file__).resolve().parent
suite_cases = runpy.run_path(str(HERE.parent / "witnesses" / "run.py"))["cases"]
"""Recipe, cases to learn from and cases to test, of a collection of the development suite."""
TASKS = ("brain_mr", "chest_ct", "fundus", "head_ct")
REPEATS, DRAWS = 3, 3
POSITIVES = (2, 5, 10, 20, 50)
HELD_OUT = 0.25
"""Of the patients to learn from: their images give the units."""
PENALTIES = (0.001, 0.1, 1.0)
HALVES = (5, 10, 20, 40)


@dataclass(frozen=True)
class Seen:
    """Features of images as they are and through the nuisance, ``(n, f)``; of whom they are."""

    plain: FloatArray
    acquired: FloatArray
    patient: NDArray[np.str_]
    case: list[str]
    label: NDArray[np.int64]

    @classmethod
    def of(cls, samples: Prepared, recipe: Recipe, seed: int) -> Seen:
        """Look at all samples that show any anatomy."""
        network, rng = feature_network(recipe, samples.shape, 0), torch.Generator()
        rng.manual_seed(seed)
        nuisance = recipe.nuisance_operator()
        rows = np.flatnonzero([mask.any() for mask in samples.masks()])
        found: list[tuple[torch.Tensor, torch.Tensor]] = []
        with torch.inference_mode():
            for batch in samples.batch(rows).split(FORWARD_BATCH):
                ways = (batch, acquired(batch, nuisance, rng))
                found.append(tuple(network_features(network, one) for one in ways))
        cases = [samples.cases.cases[samples.case_index[row]] for row in rows]
        plain, other = (torch.cat(one).numpy() for one in zip(*found, strict=True))
        return cls(
            plain,
            other,
            np.array([case.patient_id for case in cases]),
            [case.case_id for case in cases],
            np.array([case.label for case in cases]),
        )

    def both(self, rows: NDArray[np.bool_] | NDArray[np.intp]) -> FloatArray:
        """The features of some images, seen in both ways."""
        return np.concatenate([self.plain[rows], self.acquired[rows]])


def rules(others: FloatArray, known: dict[float, FloatArray], n: int) -> dict[str, FloatArray]:
    """Scores ``(n,)`` by each rule, of what the others say and of the known cases by penalty."""
    usual = known[0.1]
    soft = np.logaddexp(others, usual)
    found = {"without": others, "mean": others + usual, "soft maximum": soft}
    found |= {f"known alone, C = {c:g}": said for c, said in known.items()}
    found |= {f"soft maximum + n / (n + {h}) known": soft + n / (n + h) * usual for h in HALVES}
    return found


def draws(task: str, repeat: int, data: Path) -> Iterator[tuple[int, str, float]]:
    """Positives, rule and AUROC of every draw."""
    recipe, train, test = suite_cases(task, repeat, data)
    given, tested = (Seen.of(prepare(c, recipe), recipe, repeat) for c in (train, test))
    table = ScoreTable.read(HERE.parent / f"transfer/scores/{task}/middle_class/{repeat}.csv")
    said = dict(zip(table.case_id.tolist(), table.score.tolist(), strict=True))
    scores = np.array([said[case] for case in tested.case])
    assessed = np.isfinite(scores)
    patients = np.random.default_rng(repeat).permutation(np.unique(given.patient))
    held_out = np.isin(given.patient, patients[: int(HELD_OUT * len(patients))])
    scale = Scale.of(torch.from_numpy(given.both(~held_out)))

    def scaled(features: FloatArray) -> FloatArray:
        found: FloatArray = scale(torch.from_numpy(features)).numpy()
        return found

    ill = np.flatnonzero((tested.label == 1) & assessed)
    for n in POSITIVES:
        for draw in range(DRAWS):
            order = np.random.default_rng([repeat, n, draw]).permutation(ill)
            _, first = np.unique(tested.patient[order], return_index=True)
            if 2 * n > len(first):
                continue
            drawn = order[np.sort(first)][:n]
            rest = assessed & ~np.isin(tested.patient, tested.patient[drawn])
            learned = np.concatenate([scaled(given.both(~held_out)), scaled(tested.both(drawn))])
            label = np.repeat([0, 1], [2 * int((~held_out).sum()), 2 * n])
            known = {}
            for penalty in PENALTIES:
                line = LogisticRegression(C=penalty, class_weight="balanced", max_iter=1000)
                line.fit(learned, label)
                usual = line.decision_function(scaled(given.both(held_out)))
                units = Combination.of(usual[:, None], ("known",))
                known[penalty] = units(line.decision_function(scaled(tested.plain[rest]))[:, None])
            for name, score in rules(scores[rest], known, n).items():
                yield n, name, auroc(tested.label[rest], score)


def main() -> int:
    """Draw, learn, compare, and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    data: Path = parser.parse_args().data
    torch.set_num_threads(1)
    found = defaultdict[tuple[str, int, str], list[float]](list)
    for task in TASKS:
        for repeat in range(REPEATS):
            for n, rule, area in draws(task, repeat, data):
                found[task, n, rule].append(area)
    with new_text(HERE / "rules.csv") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["task", "positives", "rule", "auroc"])
        writer.writerows([*key, f"{np.mean(areas):.4f}"] for key, areas in found.items())
    return 0


if __name__ == "__main__":
    sys.exit(main())
