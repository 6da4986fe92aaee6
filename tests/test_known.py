"""Known cases, a witness of its own: what a few images of the disease say beside the recipe."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from makers import discs, trained_recipe
from midclass import ImageBatch, MiddleClassDetector, Prepared, Recipe, load_detector
from midclass import prepare_array as prepared
from midclass.detectors.baselines.linear_probe import LinearProbe, Separation
from midclass.detectors.judge import look, raw_scores
from midclass.detectors.known import KnownCases
from midclass.evaluation.metrics import auroc

pytestmark = pytest.mark.usefixtures("coarse_maps")
RECIPE = trained_recipe(pretrained="imagenet")


def gritty(n: int, seed: int) -> NDArray[np.float32]:
    """Discs with fine, faint grit, of which no operator of the recipe knows anything."""
    grit = np.random.default_rng(seed).normal(0, 0.02, (n, 1, 32, 32))
    images = discs(n, seed)
    return (images + grit * (images > 0.25)).astype(np.float32).clip(0, 1)


def of(images: NDArray[np.float32], recipe: Recipe = RECIPE, label: int = 0) -> Prepared:
    name = "ill" if label else "well"
    ids = [f"{name}{number}" for number in range(len(images))]
    return prepared(images, recipe, spacing_mm=1.0, case_id=ids, patients=ids, label=label)


@pytest.fixture(scope="module")
def normals() -> Prepared:
    return of(discs(50, seed=0))


@pytest.fixture(scope="module")
def known() -> Prepared:
    return of(gritty(6, seed=3), label=1)


@pytest.fixture(scope="module")
def detector(normals: Prepared, known: Prepared) -> MiddleClassDetector:
    fitted = MiddleClassDetector(RECIPE).fit(normals, positives=known, max_fpr=0.1)
    assert isinstance(fitted, MiddleClassDetector)
    return fitted


@pytest.fixture(scope="module")
def both() -> Prepared:
    """As many of each, the given class first."""
    return of(np.concatenate([discs(40, seed=5), gritty(40, seed=6)]))


def found(scores: NDArray[np.float64]) -> float:
    return auroc(np.repeat([0, 1], 40), scores)


def others(detector: MiddleClassDetector, samples: Prepared) -> NDArray[np.float64]:
    """What the witnesses say that the known cases are not compared by."""
    batch = samples.batch(np.arange(len(samples)))
    knows = detector.combination_(
        raw_scores(look(detector.networks_, batch), batch, detector.given_)
    )
    assert detector.novelty_ is not None
    both: NDArray[np.float64] = np.logaddexp(knows, detector.novelty_(batch)[0])
    return both


def known_raw(detector: MiddleClassDetector, batch: ImageBatch) -> torch.Tensor:
    """What each that has learned the known cases says of images."""
    assert detector.known_ is not None
    output, maps = look(detector.networks_, batch)[0], detector.networks_.maps(batch)
    return detector.known_.raw(output, batch, maps, detector.novelty_)


def test_a_few_known_cases_show_what_neither_recipe_nor_novelty_does(
    detector: MiddleClassDetector, both: Prepared
) -> None:
    without, together = found(others(detector, both)), found(detector.score_samples(both))
    assert (
        together > 0.7
    )  # .78 after these few steps; more than chance, and by .15 more than without
    assert together > without + 0.15


def test_the_more_are_known_the_more_they_say(
    detector: MiddleClassDetector, both: Prepared, normals: Prepared
) -> None:
    assert detector.known_ is not None
    assert detector.known_.weight == 6 / 26
    batch = both.batch(np.arange(80))
    each = detector.known_.units.relative(known_raw(detector, batch).numpy())
    said = np.log(np.exp(each).sum(1))
    usual = others(detector, both)
    np.testing.assert_allclose(
        detector.score(batch)[0], np.log(np.exp(usual) + np.exp(said)) + 6 / 26 * said
    )
    assert abs(np.median(said[:40])) < 1  # in units of the given class
    assert np.median(said[40:]) > 0.5


def test_many_images_of_one_patient_are_one_case_known(detector: MiddleClassDetector) -> None:
    images, ids = gritty(6, seed=3), [f"slice{number}" for number in range(6)]
    of_two = prepared(
        images, RECIPE, spacing_mm=1.0, case_id=ids, patients=["a"] * 5 + ["b"], label=1
    )
    learned, held_out = detector.images(of_two), of(discs(20, seed=8)).batch(slice(None))
    found = KnownCases.of(detector.networks_, detector.novelty_, learned, held_out, seed=0)
    assert found is not None
    assert found.weight == 2 / 22


def test_it_is_saved_and_loaded(
    detector: MiddleClassDetector, both: Prepared, tmp_path: Path
) -> None:
    detector.save(tmp_path / "saved")
    again = load_detector(tmp_path / "saved")
    assert again.score_samples(both).tobytes() == detector.score_samples(both).tobytes()


@pytest.mark.parametrize("said", ["given", "rest", None, "x"])
def test_a_detector_of_before_counts_known_cases_as_it_did(said: str | None) -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [2.0, -9.0, 2.5]])
    units = {"names": ["known_by_network"], "chosen": ["known_by_network"]}
    units |= {"centre": [0.0], "spread": [1.0]}
    facts = {"units": units, "weight": 0.2} | ({} if said is None else {"against": said})
    if said == "x":
        with pytest.raises(ValueError, match="are against 'x'"):
            KnownCases.restored({}, facts)
        return
    known = KnownCases.restored({}, facts)
    batch = ImageBatch.of(torch.zeros(2, 1, 8, 8))
    raw = known.raw(SimpleNamespace(logits=logits), batch, [], None)  # type: ignore[arg-type]
    against_all = logits[:, 2] - torch.log(logits[:, :2].exp().sum(1))
    expected = logits[:, 2] - logits[:, 0] if said == "given" else against_all
    torch.testing.assert_close(raw[:, 0].float(), expected)
    assert KnownCases.restored(*known.state()) == known


def test_who_learns_again_without_known_cases_forgets_them(
    normals: Prepared, known: Prepared, both: Prepared
) -> None:
    short = MiddleClassDetector(trained_recipe(1, pretrained="imagenet"))
    fresh = MiddleClassDetector(short.recipe).fit(normals, max_fpr=0.1)
    short.fit(normals, positives=known, max_fpr=0.1).fit(normals, max_fpr=0.1)
    assert short.known_ is None
    assert short.score_samples(both).tobytes() == fresh.score_samples(both).tobytes()


def dark(recipe: Recipe) -> Prepared:
    """Six known cases with a dark square, where the recipe describes bright balls."""
    return of(discs(6, seed=3, square=-0.2), recipe, label=1)


def with_and_without_dark(recipe: Recipe) -> Prepared:
    """As many of each, the given class first."""
    return of(np.concatenate([discs(40, seed=5), discs(40, seed=6, square=-0.2)]), recipe)


def test_without_a_pretrained_network_the_own_one_knows_them(
    normals: Prepared, tmp_path: Path
) -> None:
    recipe = trained_recipe(30, ema=0.8)
    both = with_and_without_dark(recipe)
    alone = MiddleClassDetector(recipe)
    alone.fit(normals, positives=dark(recipe), max_fpr=0.1)
    assert alone.known_ is not None
    assert alone.known_.separation is None
    batch = both.batch(np.arange(80))
    outputs = look(alone.networks_, batch)
    others = alone.combination_(raw_scores(outputs, batch, alone.given_))
    raw = known_raw(alone, batch).numpy()
    assert found(raw[:, 0]) > 0.8  # .87 to 1 on two processors, in two precisions
    said = alone.known_.units.relative(raw)[:, 0]
    together = np.logaddexp(others, said) + alone.known_.weight * said
    np.testing.assert_allclose(alone.score(batch)[0], together)
    alone.save(tmp_path / "saved")
    again = load_detector(tmp_path / "saved")
    assert again.score_samples(both).tobytes() == alone.score_samples(both).tobytes()


def test_probe_and_network_say_what_they_learned_and_the_larger_counts(
    normals: Prepared, tmp_path: Path
) -> None:
    recipe = trained_recipe(30, ema=0.8, pretrained="imagenet")
    detector = MiddleClassDetector(recipe)
    detector.fit(normals, positives=dark(recipe), max_fpr=0.1)
    assert detector.known_ is not None
    assert detector.known_.units.names == ("known", "known_by_network")
    both = with_and_without_dark(recipe)
    raw = known_raw(detector, both.batch(np.arange(80))).numpy()
    assert min(found(one) for one in raw.T) > 0.9
    probe, network = detector.known_.units.relative(raw).T
    said = np.log(np.exp(probe) + np.exp(network))
    usual = others(detector, both)
    expected = np.log(np.exp(usual) + np.exp(said)) + 6 / 26 * said
    np.testing.assert_allclose(detector.score_samples(both), expected, rtol=1e-5)
    detector.save(tmp_path / "saved")
    again = load_detector(tmp_path / "saved")
    assert again.score_samples(both).tobytes() == detector.score_samples(both).tobytes()


def test_a_detector_of_before_is_read_as_it_was_written() -> None:
    """It had the probe alone, whose units were of one column."""
    units = {"chosen": ["known"], "centre": [1.0], "spread": [2.0], "names": ["known"]}
    facts = {"units": units, "weight": 0.5, "offset": 3.0}
    before = KnownCases.restored({"direction": torch.tensor([1.0, 0.0]).double()}, facts)
    assert before.separation is not None
    raw = before.separation(torch.tensor([[2.0, 9.0]]))[:, None]
    said = np.arcsinh((2 + 3 - 1) / 2)
    expected = np.log(np.exp(0.7) + np.exp(said)) + 0.5 * said
    np.testing.assert_allclose(before(np.array([0.7]), raw), [expected])
    tensors, again = before.state()
    assert set(tensors) == {"direction"}
    assert again["offset"] == 3.0


def test_what_has_not_learned_them_has_no_say(
    detector: MiddleClassDetector, normals: Prepared, known: Prepared
) -> None:
    assert detector.known_ is not None
    assert detector.known_.units.names == ("known",)  # its networks learned for four steps
    alone = MiddleClassDetector(trained_recipe(1))
    alone.fit(normals, positives=known, max_fpr=0.1)
    assert alone.known_ is None


def test_a_linear_probe_tells_them_apart(
    normals: Prepared, known: Prepared, both: Prepared
) -> None:
    probe = LinearProbe(RECIPE).fit(normals, positives=known, max_fpr=0.1)
    assert found(probe.score_samples(both)) > 0.75


def test_both_classes_weigh_the_same_however_few_are_known() -> None:
    rng = torch.Generator().manual_seed(0)
    given, ill = (torch.randn(40, 3, generator=rng).double() + shift for shift in (0, 1))
    few = Separation.of(given, ill[:4])
    middle = (given.mean(0) + ill[:4].mean(0)) / 2
    assert abs(float(few(middle[None])[0])) < 0.5  # unweighed it is the log of a tenth
    assert (few(given).median() < 0) & (few(ill).median() > 0)


def test_an_image_alone_has_the_log_odds_it_has_among_others() -> None:
    rng = torch.Generator().manual_seed(1)
    features = torch.randn(50, 944, generator=rng)
    separation = Separation.of(features[:40], features[40:] + 1)
    alone = [float(separation(one[None])[0]) for one in features]
    assert alone == separation(features).tolist()
