"""Another device than the processor: all that learns, scores and draws keeps its tensors together.

No machine here has a GPU; see ``elsewhere``.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from elsewhere import DEVICE, Device, Elsewhere
from makers import discs, of_target_class, trained_recipe
from midclass import (
    Detector,
    Knowledge,
    MiddleClassDetector,
    Prepared,
    Recipe,
    example_batch,
    load_detector,
    prepare_array,
)
from midclass.knowledge.acquisition import acquired
from midclass.recipe.names import shipped
from test_box import operators
from test_detectors import detectors
from test_tiles import bodies, tiled

RECIPE = trained_recipe(2, checkpoints=1)


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every detector that is made finds the other device."""
    monkeypatch.setenv("MIDCLASS_PRECISION", "float32")
    monkeypatch.setattr("midclass.detectors.estimator.usual_device", lambda: DEVICE)
    with Device():
        yield


def prepared(recipe: Recipe, n: int, seed: int, square: float = 0.0) -> Prepared:
    return prepare_array(discs(n, seed, square=square), recipe, spacing_mm=1.0)


def test_tensors_of_two_devices_do_not_mix() -> None:
    with Device():
        there = torch.rand(3).to(DEVICE)
        with pytest.raises(RuntimeError, match="same device"):
            there + torch.rand(3)
        assert isinstance(there * 2, Elsewhere)
        assert not isinstance(there.cpu(), Elsewhere)


ALWAYS = {"MiddleClassDetector", "PatchCore", "Mahalanobis", "PaDiM", "OneClassSVM", "LinearProbe"}


@pytest.mark.usefixtures("elsewhere", "coarse_maps")
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if kind.__name__ in ALWAYS else pytest.mark.thorough)
        for kind in detectors()
    ],
    ids=lambda kind: kind.__name__,
)
def test_every_detector_learns_scores_and_is_loaded_there(
    kind: type[Detector], tmp_path: Path
) -> None:
    few = of_target_class(prepared(RECIPE, 4, 7, square=0.2)) if kind.needs_positives else None
    fitted = kind(RECIPE).fit(prepared(RECIPE, 40, 0), positives=few, max_fpr=0.2)
    assert fitted.device == DEVICE
    unseen = prepared(RECIPE, 6, 1)
    scores = fitted.score_samples(unseen)
    assert np.isfinite(scores).all()
    fitted.save(tmp_path / "saved")
    again = load_detector(tmp_path / "saved")
    assert again.device == DEVICE
    np.testing.assert_allclose(again.score_samples(unseen), scores, atol=1e-5)


@pytest.mark.usefixtures("elsewhere")
def test_tiles_are_learned_from_and_scored_there() -> None:
    recipe = tiled()
    given = prepare_array(bodies(16), recipe)
    fitted = MiddleClassDetector(recipe).fit(given, max_fpr=0.25)
    assert np.isfinite(fitted.score_samples(given)).all()
    assert np.isfinite(fitted.heat_maps(given)).all()


@pytest.mark.usefixtures("coarse_maps")
def test_the_method_with_all_its_witnesses_scores_there_as_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = trained_recipe(1, checkpoints=1, pretrained="imagenet")
    given, unseen = prepared(recipe, 30, 0), prepared(recipe, 6, 1)
    known = of_target_class(prepared(recipe, 2, 7, square=0.2))
    monkeypatch.setattr("midclass.detectors.known.LEAST_AUROC", 0.0)  # all speak
    monkeypatch.setenv("MIDCLASS_PRECISION", "float32")
    here = MiddleClassDetector(recipe).fit(given, positives=known, max_fpr=0.2)
    monkeypatch.setattr("midclass.detectors.estimator.usual_device", lambda: DEVICE)
    with Device():
        there = MiddleClassDetector(recipe).fit(given, positives=known, max_fpr=0.2)
        scores = there.score_samples(unseen)
    assert isinstance(there, MiddleClassDetector)
    assert there.known_ is not None
    assert there.known_.units.names == ("known", "known_by_network")
    np.testing.assert_allclose(scores, here.score_samples(unseen), atol=1e-3)


@pytest.mark.parametrize("operator", operators(), ids=lambda one: type(one).__name__)
def test_every_operator_draws_there_what_it_draws_here(operator: Knowledge) -> None:
    batch = example_batch()
    here = operator(batch, torch.Generator().manual_seed(0))
    sham = operator.sham(batch, operator.draw(batch, torch.Generator().manual_seed(0)))
    with Device():
        moved = batch.to(DEVICE)
        there = operator(moved, torch.Generator().manual_seed(0))
        moved_sham = operator.sham(moved, operator.draw(moved, torch.Generator().manual_seed(0)))
        for one, other in (
            (there.pixels, here.pixels),
            (there.change, here.change),
            (there.severity, here.severity),
            (moved_sham, sham),
        ):
            assert isinstance(one, Elsewhere)
            torch.testing.assert_close(one.cpu(), other, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", shipped())
def test_the_nuisance_of_every_recipe_shows_there_what_it_shows_here(name: str) -> None:
    nuisance, batch = Recipe.load(name).nuisance_operator(), example_batch(n=3)
    here = acquired(batch, nuisance, torch.Generator().manual_seed(0)).pixels
    with Device():
        there = acquired(batch.to(DEVICE), nuisance, torch.Generator().manual_seed(0)).pixels
        assert isinstance(there, Elsewhere) == (nuisance is not None)
        torch.testing.assert_close(there.cpu(), here, atol=1e-5, rtol=1e-4)
