"""Names are data: what older recipes, saved detectors and studies name is still found."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from midclass import Recipe, load_detector, prepare_array
from midclass.detectors.baselines.intensity import MeanAndSpread
from midclass.detectors.catalogue import detector_class, detector_names
from midclass.recipe.file import parse_yaml
from midclass.recipe.resolve import resolve, saved_class
from midclass.study.file import Study
from midclass.study.run import compute

STUDIES = Path(__file__).resolve().parents[1] / "studies"
SAVED = {
    "midclass.detectors.middle_class:MiddleClassDetector": "MiddleClassDetector",
    "midclass.detectors.supervised:Focal": "FocalLoss",
    "midclass.detectors.supervised:BalancedMixup": "BalancedMixup",
    "midclass.detectors.intensity:Intensity": "MeanAndSpread",
    "midclass.detectors.nsa:NaturalSynthetic": "NaturalSynthetic",
    "midclass.detectors.pca:PCA": "PCA",
}
ANATOMIES = {
    "anatomy.whole": "whole",
    "anatomy.foreground": "foreground",
    "anatomy.breast": "breast",
    "anatomy.intracranial": "intracranial",
    "anatomy.lungs": "lungs",
    "ct.lungs": "lungs",
    "bone.bones": "bones",
    "midclass.images.anatomy:lungs": "lungs",
    "midclass.images.ct:lungs": "lungs",
    "midclass.images.bone:bones": "bones",
}


@pytest.mark.parametrize(("reference", "name"), SAVED.items())
def test_a_detector_that_was_saved_under_its_old_name_is_found(reference: str, name: str) -> None:
    assert saved_class(reference, "detector.json").__name__ == name


@pytest.mark.parametrize(("reference", "name"), ANATOMIES.items())
def test_an_anatomy_is_found_by_the_name_that_recipes_give_it(reference: str, name: str) -> None:
    found = resolve(reference, "midclass.images", "my.yaml: anatomy", Path())
    assert found.__name__ == name


def test_the_lungs_of_an_x_ray_are_not_those_of_ct() -> None:
    of_xray, of_ct = (
        resolve(name, "midclass.images", "my.yaml: anatomy", Path())
        for name in ("anatomy.lungs", "ct.lungs")
    )
    assert of_xray is not of_ct


@pytest.mark.parametrize("file", sorted(STUDIES.glob("*/study.yaml")), ids=lambda f: f.parent.name)
def test_every_detector_that_a_committed_study_names_is_found(file: Path) -> None:
    entries = parse_yaml(file)["detectors"]
    for name in {(entry or {}).get("detector", "middle_class") for entry in entries.values()}:
        assert detector_class(name).__module__ in detector_names().values()


def test_a_detector_saved_with_its_old_name_scores_as_before(tmp_path: Path) -> None:
    recipe = Recipe.load("phantoms").model_copy(update={"anatomy": "anatomy.whole"})
    images = np.random.default_rng(0).random((80, 1, 32, 32))
    given = prepare_array(images, recipe, spacing_mm=3.0)
    detector = MeanAndSpread(recipe).fit(given, max_fpr=0.1)
    detector.save(tmp_path / "saved")
    file = tmp_path / "saved" / "detector.json"
    about = json.loads(file.read_text())
    del about["sha256"]  # earlier versions wrote none
    file.write_text(json.dumps(about | {"detector": "midclass.detectors.intensity:Intensity"}))
    again = load_detector(tmp_path / "saved")
    assert again.score_samples(given).tobytes() == detector.score_samples(given).tobytes()


@pytest.mark.realdata
@pytest.mark.parametrize("study", ["ablation", "longer", "suite", "three_tasks", "transfer"])
def test_a_committed_study_finds_nothing_to_compute_and_refuses_no_table(
    shared_data: Path, study: str
) -> None:
    file = STUDIES / study / "study.yaml"
    data = shared_data / "transfer" if study in ("suite", "transfer") else shared_data
    assert compute(Study.load(file).cells(data), file.parent) == []
