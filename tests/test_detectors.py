"""The contract of every detector, found automatically, and what the method owes its user."""

from __future__ import annotations

import importlib
import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from makers import discs, of_target_class, trained_recipe
from midclass import (
    Detector,
    InputError,
    MiddleClassDetector,
    Prepared,
    load_detector,
    prepare_array,
)
from midclass.detectors.about import about
from midclass.detectors.catalogue import detector_names
from midclass.evaluation.metrics import auroc
from midclass.images import phantoms
from midclass.training.middle import MiddleClasses


def detectors() -> list[type[Detector]]:
    """Every detector of the package: a new file is found without an edit here."""
    found = []
    for module in detector_names().values():
        for _, item in inspect.getmembers(importlib.import_module(module), inspect.isclass):
            own = item.__module__ == module  # to Python 3.10 `list[int]` is a class, too
            if own and issubclass(item, Detector) and not inspect.isabstract(item):
                found.append(item)
    return sorted(set(found), key=lambda item: item.__name__)


@pytest.fixture(scope="module")
def given() -> Prepared:
    return prepare_array(discs(60, seed=0), trained_recipe(), spacing_mm=1.0)


@pytest.fixture(scope="module")
def unseen() -> Prepared:
    return prepare_array(discs(10, seed=1, square=0.2), trained_recipe(), spacing_mm=1.0)


@pytest.fixture(scope="module")
def positives(given: Prepared) -> Prepared:
    found = prepare_array(discs(4, seed=7, square=0.2), trained_recipe(), spacing_mm=1.0)
    return of_target_class(found)


def fit(kind: type[Detector], given: Prepared, positives: Prepared) -> Detector:
    few = positives if kind.needs_positives else None
    return kind(trained_recipe()).fit(given, positives=few, seed=0, max_fpr=0.1)


@pytest.fixture(scope="class")
def taught(kind: type[Detector]) -> set[str]:
    """Names of the middle classes of which ``fitted`` of this kind drew a batch to learn from."""
    return set()


@pytest.fixture(scope="class")
def fitted(
    kind: type[Detector], given: Prepared, positives: Prepared, taught: set[str]
) -> Detector:
    whole = MiddleClasses.__call__

    def noting(classes: MiddleClasses, *drawn: Any) -> Any:
        taught.update(classes.names)
        return whole(classes, *drawn)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MiddleClasses, "__call__", noting)
        return fit(kind, given, positives)


@pytest.mark.parametrize("kind", detectors(), ids=lambda kind: kind.__name__, scope="class")
class TestEveryDetector:
    def test_says_whether_it_learns_the_middle_classes_of_a_recipe(
        self, kind: type[Detector], fitted: Detector, taught: set[str], tmp_path: Path
    ) -> None:
        known = set(fitted.recipe.middle_classes)
        assert kind.learns_knowledge == bool(known & taught) == (known <= taught)
        fitted.save(tmp_path / "saved")
        card = (tmp_path / "saved" / "MODEL_CARD.md").read_text()
        assert ("learns nothing of this" in card) is not kind.learns_knowledge
        assert about(fitted, tmp_path / "saved")["learns_knowledge"] == kind.learns_knowledge

    def test_flags_exactly_where_the_decision_function_is_positive(
        self, kind: type[Detector], fitted: Detector, unseen: Prepared
    ) -> None:
        decision = fitted.decision_function(unseen)
        assert decision.shape == (len(unseen.cases),)
        np.testing.assert_array_equal(fitted.predict(unseen), (decision > 0).astype(int))
        expected = fitted.score_samples(unseen) - fitted.threshold_
        np.testing.assert_array_equal(decision, expected)

    def test_scores_to_the_same_bytes_with_the_same_seed(
        self,
        kind: type[Detector],
        fitted: Detector,
        given: Prepared,
        positives: Prepared,
        unseen: Prepared,
    ) -> None:
        again = fit(kind, given, positives)
        assert again.score_samples(unseen).tobytes() == fitted.score_samples(unseen).tobytes()
        assert again.threshold_ == fitted.threshold_

    def test_scores_the_same_after_being_saved(
        self, kind: type[Detector], fitted: Detector, unseen: Prepared, tmp_path: Path
    ) -> None:
        fitted.save(tmp_path / "saved")
        loaded = load_detector(tmp_path / "saved")
        assert loaded.score_samples(unseen).tobytes() == fitted.score_samples(unseen).tobytes()
        assert loaded.threshold_ == fitted.threshold_
        assert loaded.origin_ == fitted.origin_
        loaded.save(tmp_path / "again")
        for file in (tmp_path / "saved").iterdir():
            assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes(), file.name
        assert {f.name for f in (tmp_path / "saved").iterdir()} == {
            "MODEL_CARD.md",
            "detector.json",
            "midclass.json",
            "weights.safetensors",
        }

    def test_scores_an_array_as_prepared_images(
        self, kind: type[Detector], fitted: Detector, unseen: Prepared
    ) -> None:
        array = discs(10, seed=1, square=0.2)
        assert fitted.score_samples(array).tobytes() == fitted.score_samples(unseen).tobytes()

    def test_scores_an_image_alone_as_in_a_batch(
        self, kind: type[Detector], fitted: Detector, unseen: Prepared
    ) -> None:
        together = fitted.score_samples(unseen)
        alone = [fitted.score_samples(unseen.subset(unseen.cases[i : i + 1]))[0] for i in range(3)]
        np.testing.assert_allclose(alone, together[:3], rtol=1e-3, atol=1e-3)

    def test_keeps_its_promise_on_its_calibration_cases(
        self, kind: type[Detector], fitted: Detector
    ) -> None:
        assert (fitted.calibration_ > fitted.threshold_).mean() <= 0.1
        p_values = fitted.p_values(np.array([-1e9, fitted.threshold_, 1e9]))
        assert p_values[0] == 1
        assert p_values[1] > 0.1 >= p_values[2]

    def test_makes_heat_maps_inside_the_anatomy_or_says_that_it_makes_none(
        self, kind: type[Detector], fitted: Detector, unseen: Prepared
    ) -> None:
        if not kind.makes_heat_maps:
            assert all(look.maps is None for look in fitted.looks(unseen, heat_maps=True))
            with pytest.raises(InputError, match="makes no heat maps"):
                fitted.heat_maps(unseen)
            return
        maps = fitted.heat_maps(unseen)
        assert maps.shape == (len(unseen), 32, 32)
        assert maps.min() >= 0
        assert maps.max() <= 1
        assert not maps[~unseen.masks()[:, 0]].any()

    def test_does_not_call_an_image_without_anatomy_normal(
        self, kind: type[Detector], fitted: Detector
    ) -> None:
        flat = discs(2, seed=5)
        flat[0] = 0.01
        flat[0, 0, 0, 0] = 0.02
        empty = prepare_array(flat, trained_recipe(), spacing_mm=1.0)
        empty.store.anatomy.setflags(write=True)
        empty.store.anatomy[0] = False
        empty.store.covered[0] = 0
        scores = fitted.score_samples(empty)
        assert np.isnan(scores).tolist() == [True, False]
        assert np.isnan(fitted.decision_function(empty)).tolist() == [True, False]
        assert np.isnan(fitted.p_values(scores)).tolist() == [True, False]
        normal = int(scores[1] > fitted.threshold_)
        assert fitted.predict(empty).tolist() == [1, normal]
        assert fitted.predict(empty, not_assessed="leave").tolist() == [-1, normal]
        assert fitted.reasons(empty) == {0: "no anatomy found"}


@pytest.mark.slow
def test_training_beats_the_untrained_network(tmp_path: Path) -> None:
    """The same network with a learning rate of (nearly) nothing is the untrained one."""
    given = prepare_array(discs(120, seed=0), trained_recipe(), spacing_mm=1.0)
    test = prepare_array(
        np.concatenate([discs(60, seed=2), discs(60, seed=3, square=0.08)]),
        trained_recipe(),
        spacing_mm=1.0,
    )
    label = np.repeat([0, 1], 60)
    figures = {}
    for steps, rate in ((4, 1e-9), (140, 5e-3)):
        recipe = trained_recipe(steps=steps, learning_rate=rate, width=8, batch=16, ema=0.9)
        detector = MiddleClassDetector(recipe).fit(given, max_fpr=0.1)
        figures[rate] = auroc(label, detector.score_samples(test))
    assert figures[5e-3] > 0.9
    assert figures[5e-3] > figures[1e-9] + 0.05


@pytest.mark.slow
def test_an_interrupted_fit_ends_with_the_same_scores(
    given: Prepared, unseen: Prepared, tmp_path: Path
) -> None:
    recipe = trained_recipe(steps=8, checkpoints=4)
    unbroken = MiddleClassDetector(recipe).fit(given, max_fpr=0.1)

    def stop_at_7(step: int, steps: int, text: str) -> None:
        if step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        MiddleClassDetector(recipe).fit(given, max_fpr=0.1, workdir=tmp_path, progress=stop_at_7)
    seen = []
    resumed = MiddleClassDetector(recipe).fit(
        given, max_fpr=0.1, workdir=tmp_path, progress=lambda step, *_: seen.append(step)
    )
    assert seen[0] > 1
    assert resumed.score_samples(unseen).tobytes() == unbroken.score_samples(unseen).tobytes()


def test_a_target_class_case_is_refused(given: Prepared) -> None:
    cases = list(given.cases)
    labelled = type(given.cases)([*cases[:-1], replace(cases[-1], label=1)])
    mixed = Prepared(labelled, given.store, given.rows, given.case_index)
    with pytest.raises(InputError, match="target class"):
        MiddleClassDetector(trained_recipe()).fit(mixed)


def test_too_few_cases_for_the_promise_are_refused_before_training(given: Prepared) -> None:
    def never(step: int, steps: int, text: str) -> None:
        raise AssertionError("training began")

    few = given.subset(given.cases[:30])
    with pytest.raises(InputError, match=r"0\.01"):
        MiddleClassDetector(trained_recipe()).fit(few, max_fpr=0.01, progress=never)


def test_a_damaged_or_foreign_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no saved detector here"):
        load_detector(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"")
    (tmp_path / "detector.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        load_detector(tmp_path)


def test_what_is_no_detector_is_not_loaded(given: Prepared, tmp_path: Path) -> None:
    MiddleClassDetector(trained_recipe()).fit(given, max_fpr=0.1).save(tmp_path / "saved")
    file = tmp_path / "saved" / "detector.json"
    about = json.loads(file.read_text())
    del about["sha256"]
    for name, message in (
        ("os:system", "pass --trust os"),
        ("midclass.detectors.parts:parted", "unknown kind"),
    ):
        file.write_text(json.dumps(about | {"detector": name}))
        with pytest.raises(InputError, match=message):
            load_detector(tmp_path / "saved")


def test_phantom_arrays_go_through_the_same_path_as_files() -> None:
    images = phantoms.make("chest", 3, seed=0, size=64)[:, None]
    recipe = trained_recipe()
    prepared = prepare_array(images, recipe, spacing_mm=2.0)
    assert prepared.shape == (3, 1, 32, 32)
    assert torch.isfinite(prepared.batch([0, 1, 2]).pixels).all()
