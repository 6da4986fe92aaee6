"""The wrong image: how many files of other organs does a chest detector refuse, how many normals?

    python benchmarks/wrong_image.py DATA --normals 600

``DATA`` holds ``kermany_cxr`` and ``reader_tests`` (see their SOURCE.md). A detector learns from
two thirds of some normal children of the training part; the others, whole patients, are held out.
What is plausible is learned from prepared images by every detector alike, so that the cheapest will
do. Other files are looked at twice: with what their headers say (``accepts`` of the recipe, then
what is plausible), and by their pixels and spacing alone. Of a file with many images five are
taken, and it counts as not assessed where all of them are. Targets: 95 % of the files that are no
chest X-ray, and at most 2 % of held-out normals. No label and no file of the test part is used.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from midclass import Cohort, Prepared, Recipe, prepare
from midclass.detectors.base import Detector
from midclass.detectors.catalogue import detector_class
from midclass.evaluation.exact import binomial_limits
from midclass.images.case import Case
from midclass.images.prepare import prepare_unkept
from midclass.images.rules import Rules

MOST = 5
"""Images of one file."""


def normals(data: Path, n: int, seed: int) -> tuple[Cohort, Cohort]:
    """Normal children of the training part: to learn from, and held out."""
    given = Cohort.from_manifest(data / "kermany_cxr" / "manifest.csv").part("train").given_class()
    some = np.sort(np.random.default_rng(seed).permutation(len(given))[:n])
    parts = given[some].split_by_patient({"learn": 2 / 3, "held out": 1 / 3}, seed)
    return parts["learn"], parts["held out"]


def others(data: Path) -> dict[str, list[Case]]:
    """Readable files of ``reader_tests`` that are no chest X-ray, and cases of each."""
    folder = data / "reader_tests"
    with open(folder / "manifest.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    found = {}
    for row in rows:
        chest = row["modality"] in ("CR", "DX") and row["body_part"] == "CHEST"
        if row["decodes"] == "yes" and not chest:
            cases = Cohort.from_files([folder / row["path"]]).cases
            few = np.unique(np.linspace(0, len(cases) - 1, MOST).astype(int))
            found[row["path"]] = [replace(cases[i], case_id=f"{row['path']}#{i}") for i in few]
    return found


def refused(detector: Detector, recipe: Recipe, cases: Sequence[Case]) -> dict[str, str]:
    """Why cases are not assessed: name of the case -> reason; without those that are."""
    prepared = prepare_unkept(Cohort(tuple(cases)), Rules(recipe))
    found = {case.case_id: f"cannot be used: {said(case, why)}" for case, why in prepared.failed}
    return found | by_pixels(detector, prepared)


def said(case: Case, why: str) -> str:
    return why.removeprefix(f"{case.path}: ")


def by_pixels(detector: Detector, prepared: Prepared) -> dict[str, str]:
    if not len(prepared):
        return {}
    names = [case.case_id for case in prepared.cases]
    return {names[number]: why for number, why in detector.reasons(prepared).items()}


def tell(what: str, unseen: int, total: int) -> None:
    low, high = binomial_limits(unseen / total, total)
    share = f"{unseen / total:.1%} ({low:.1%} to {high:.1%})"
    print(f"{what:<44} {unseen:>4} of {total:<4} {share}")


def tell_why(reasons: Mapping[str, str]) -> None:
    for why, count in Counter(one.split(",")[0][:90] for one in reasons.values()).most_common(8):
        print(f"    {count:>4}  {why}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--normals", type=int, default=600)
    parser.add_argument("--detector", default="intensity")
    parser.add_argument("--recipe", default="chest_xray")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began, recipe = time.process_time(), Recipe.load(asked.recipe)
    alone = Recipe.from_dict({k: v for k, v in recipe.to_dict().items() if k != "accepts"})
    learn, held_out = normals(asked.data, asked.normals, asked.seed)
    with tempfile.TemporaryDirectory() as cache:
        detector = detector_class(asked.detector)(recipe)
        detector.fit(prepare(learn, recipe, cache=Path(cache)), seed=asked.seed, max_fpr=0.05)
        unseen = by_pixels(detector, prepare(held_out, recipe, cache=Path(cache)))
    print(f"{asked.detector} of {asked.recipe}, {len(learn)} normals to learn from\n")
    print(f"{'not assessed':<44} {'':>12} (95 % interval)")
    tell("held-out normals", len(unseen), len(held_out))
    tell_why(unseen)
    files = others(asked.data)
    for what, by in (("with headers", recipe), ("by pixels and spacing alone", alone)):
        found = {name: refused(detector, by, cases) for name, cases in files.items()}
        whole = [name for name, cases in files.items() if len(found[name]) == len(cases)]
        tell(f"files that are no chest X-ray, {what}", len(whole), len(files))
        each = {case: why for one in found.values() for case, why in one.items()}
        tell(f"  their images, {what}", len(each), sum(map(len, files.values())))
        tell_why(each)
        for name in sorted(set(files) - set(whole)):
            print(f"    assessed: {name} ({len(files[name]) - len(found[name])} images)")
    print(f"\n{time.process_time() - began:.0f} s of processor time")


if __name__ == "__main__":
    main()
