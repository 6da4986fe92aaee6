"""The baselines: as strong as published, better than untrained, blind outside the anatomy."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch.nn import functional

import makers
from makers import recipe
from midclass import Detector, ImageBatch, InputError, Lesson, Prepared, Recipe, prepare_array
from midclass.detectors.baselines import ganomaly
from midclass.detectors.baselines._features import Scale, network_features, untrained_network
from midclass.detectors.baselines.autoencoder import AutoEncoder
from midclass.detectors.baselines.deep_svdd import LEAST, DeepSVDD, refuse_collapse
from midclass.detectors.baselines.denoising_autoencoder import DenoisingAutoEncoder, coarse_noise
from midclass.detectors.baselines.ganomaly import GANomaly
from midclass.detectors.baselines.intensity import MeanAndSpread
from midclass.detectors.baselines.mahalanobis import Mahalanobis
from midclass.detectors.baselines.nearest_neighbour import NEIGHBOURS, NearestNeighbour
from midclass.detectors.baselines.one_class_svm import NU, OneClassSVM
from midclass.detectors.baselines.padim import PaDiM
from midclass.detectors.baselines.pca import PCA
from midclass.detectors.baselines.uncertainty_autoencoder import (
    NARROW,
    TwoHeaded,
    UncertaintyAutoEncoder,
)
from midclass.detectors.plausible import Plausible
from midclass.evaluation.metrics import auroc
from midclass.recipe.budget import Budget
from midclass.training.autoencoders import ConvAutoEncoder, Size, UNet

LEARNED = {
    AutoEncoder: (60, 0.9),
    UncertaintyAutoEncoder: (60, 0.9),
    DenoisingAutoEncoder: (60, 0.9),
    DeepSVDD: (100, 0.85),
    GANomaly: (300, 0.8),
}
"""Steps, and the least AUROC after them: the order of the papers' figures on digits."""
ALL = (PCA, PaDiM, OneClassSVM, NearestNeighbour, Mahalanobis, MeanAndSpread, *LEARNED)


def small_recipe(anatomy: str = "anatomy.whole", **budget: object) -> Recipe:
    return recipe(anatomy=anatomy, nuisance=None, budget={"width": 8, "checkpoints": 2, **budget})


discs = partial(makers.discs, corner=(12, 14))


@pytest.fixture(scope="module")
def given() -> Prepared:
    return prepare_array(discs(60, seed=0), small_recipe("anatomy.foreground"), spacing_mm=1.0)


def fitted(kind: type[Detector], given: Prepared, **budget: object) -> Detector:
    return kind(small_recipe("anatomy.foreground", **budget)).fit(given, max_fpr=0.1)


def on_digit(kind: type[Detector], digit: int, **budget: object) -> float:
    """AUROC against the other digits; see ``benchmarks/baselines.py`` for the whole table."""
    found = load_digits()
    small = torch.from_numpy(found.images).float().unsqueeze(1) / 16
    images = functional.interpolate(small, size=(32, 32), mode="bilinear").clamp(0, 1).numpy()
    own, other = np.flatnonzero(found.target == digit), np.flatnonzero(found.target != digit)
    task = small_recipe(**budget)
    detector = kind(task).fit(prepare_array(images[own[:126]], task), max_fpr=0.1)
    detector.plausible_ = Plausible()  # another digit is another picture, which is not assessed
    scored = np.concatenate([own[126:], other[::12]])
    scores = detector.score_samples(prepare_array(images[scored], task))
    return auroc((found.target[scored] != digit).astype(int), scores)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.thorough] * (kind is GANomaly)) for kind in LEARNED],
)
def test_training_reaches_the_published_order_and_beats_the_untrained_network(
    kind: type[Detector],
) -> None:
    untrained = on_digit(kind, 3, steps=2, learning_rate=1e-9)
    steps, least = LEARNED[kind]
    trained = on_digit(kind, 3, steps=steps, learning_rate=5e-3)
    assert trained > least
    assert trained > untrained + 0.05


@pytest.mark.slow
@pytest.mark.parametrize("kind", [PCA, OneClassSVM, NearestNeighbour, Mahalanobis])
def test_a_classical_baseline_tells_a_digit_from_the_others(kind: type[Detector]) -> None:
    assert on_digit(kind, 3) > 0.9


def test_a_feature_that_hardly_varies_does_not_outweigh_the_others() -> None:
    features = torch.randn(200, 20, generator=torch.Generator().manual_seed(0)).double()
    features[:, 0] *= 1e-8
    scale = Scale.of(features)
    assert scale(features)[:, 1:].std(0).allclose(torch.ones(19).double(), atol=0.01)
    fires = features[:1].clone()
    fires[:, 0] = 1.0
    assert scale(fires).abs().max() < 20


@pytest.mark.parametrize("kind", ALL)
def test_what_is_outside_the_anatomy_does_not_count(kind: type[Detector], given: Prepared) -> None:
    """But for the image's mean and spread, where it is standardised."""
    detector = fitted(kind, given, steps=4, standardise=False)
    detector.plausible_ = Plausible()  # white all around is another picture, too
    images = discs(4, seed=1)
    task = small_recipe("anatomy.foreground")
    plain = prepare_array(images, task, spacing_mm=1.0)
    marked = prepare_array(images, task, spacing_mm=1.0)
    marked.store.pixels.setflags(write=True)
    marked.store.pixels[~plain.masks()] = 60_000
    np.testing.assert_array_equal(detector.score_samples(marked), detector.score_samples(plain))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "stop"),
    [*((kind, 8) for kind in LEARNED), (DeepSVDD, 4)],  # 4 is the autoencoder's
)
def test_an_interrupted_fit_ends_with_the_same_scores(
    kind: type[Detector], stop: int, given: Prepared, tmp_path: Path
) -> None:
    def interrupt(step: int, steps: int, text: str) -> None:
        if step == stop:
            raise KeyboardInterrupt

    task = small_recipe("anatomy.foreground", steps=8, batch=8, checkpoints=4)
    unbroken = kind(task).fit(given, max_fpr=0.1)
    with pytest.raises(KeyboardInterrupt):
        kind(task).fit(given, max_fpr=0.1, workdir=tmp_path, progress=interrupt)
    assert any(tmp_path.rglob("training.pt")), "nothing to go on from"
    seen: list[int] = []
    resumed = kind(task).fit(
        given, max_fpr=0.1, workdir=tmp_path, progress=lambda step, *_: seen.append(step)
    )
    assert seen[0] > 1
    np.testing.assert_array_equal(resumed.calibration_, unbroken.calibration_)


@pytest.mark.parametrize(
    "kind",
    [PCA, *(pytest.param(k, marks=pytest.mark.slow) for k in (AutoEncoder, DenoisingAutoEncoder))],
)
def test_the_heat_is_where_the_images_differ(kind: type[Detector], given: Prepared) -> None:
    detector = fitted(kind, given, steps=60, learning_rate=5e-3)
    images = prepare_array(discs(5, seed=3, square=0.2), detector.recipe, spacing_mm=1.0)
    heat = detector.heat_maps(images)
    box = np.zeros_like(heat, dtype=bool)
    box[:, 12:18, 14:20] = True
    rest = images.masks()[:, 0] & ~box
    assert heat[box].mean() > 3 * heat[rest].mean()


def test_networks_are_about_as_large_as_the_method_s() -> None:
    def weights_in(network: torch.nn.Module) -> int:
        return sum(weights.numel() for weights in network.parameters())

    shape, size = (1, 1, 128, 128), Size(1, (128, 128))
    own = weights_in(untrained_network(shape, Budget(), seed=0))
    networks = [ConvAutoEncoder(size), UNet(1, 2), ganomaly.Generator(size)]
    for network in networks:
        assert 0.6 < weights_in(network) / own < 1.6


def test_the_svm_leaves_the_share_outside_that_it_was_told_to(given: Prepared) -> None:
    detector = OneClassSVM(small_recipe("anatomy.foreground"))
    detector.learn(Lesson(given, given))
    scores = detector.score_samples(given)
    assert (scores > 1e-3).mean() <= NU <= (scores > -1e-3).mean()


def test_deep_svdd_learns_no_offset_and_zero_weights_miss_its_centre(given: Prepared) -> None:
    detector = fitted(DeepSVDD, given, steps=8)
    assert isinstance(detector, DeepSVDD)
    assert not [name for name, _ in detector.network_.named_parameters() if "bias" in name]
    assert all(weights.ndim > 1 for weights in detector.network_.parameters())  # no batch norm's
    assert detector.centre_.abs().min() >= LEAST


def test_a_collapse_is_named() -> None:
    rng = torch.Generator().manual_seed(0)
    features = torch.ones(10, 4) + 1e-6 * torch.randn(10, 4, generator=rng)
    with pytest.raises(InputError, match=r"collapsed.*10 training images.*learning_rate"):
        refuse_collapse(features)
    refuse_collapse(features * torch.linspace(1, 1.1, 10).unsqueeze(1))


def test_generator_and_discriminator_learn_from_their_own_losses_alone(
    given: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = GANomaly(small_recipe("anatomy.foreground"))
    batch = given.batch(np.arange(8))
    gradients = []
    for weight in (0.0, 10.0):
        monkeypatch.setattr(ganomaly, "ADVERSARIAL", weight)
        torch.manual_seed(0)
        both = ganomaly._Adversaries(Size(1, (32, 32), 8))
        detector._losses(both, batch, torch.Generator()).mean().backward()
        gradients.append({name: one.grad for name, one in both.named_parameters()})
    moved = {n for n in gradients[0] if not torch.equal(gradients[0][n], gradients[1][n])}
    assert moved
    assert all(name.startswith("generator.reproduce") for name in moved)


def test_an_error_counts_by_the_variance_that_was_predicted_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The loss of Kendall and Gal; without what a variance costs it would be endless."""
    detector = UncertaintyAutoEncoder(small_recipe(standardise=False))
    batch = ImageBatch.of(torch.full((1, 1, 32, 32), 0.75))  # 1 as the network sees it
    for mean, variance in ((0.0, 0.25), (0.5, 4.0)):

        def said(x: torch.Tensor, mean: float = mean, variance: float = variance) -> object:
            return torch.full_like(x, mean), torch.full_like(x, variance).log()

        error = (1 - mean) ** 2 / variance
        score = detector.errors(said, batch)  # type: ignore[arg-type]
        loss = detector.errors(said, batch, torch.Generator())  # type: ignore[arg-type]
        torch.testing.assert_close(score, torch.full_like(score, error))
        torch.testing.assert_close(loss, torch.full_like(score, error + np.log(variance)))


def test_what_varies_in_every_image_is_expected_to() -> None:
    """Noise in the left half alone: nobody can reproduce it, and the network says so there."""
    rng = np.random.default_rng(0)
    images = np.full((40, 1, 32, 32), 0.5, np.float32)
    images[..., :16] += rng.normal(0, 0.1, (40, 1, 32, 16)).astype(np.float32)
    task = small_recipe(steps=40, learning_rate=5e-3, batch=8, standardise=False)
    detector = UncertaintyAutoEncoder(task)
    given = prepare_array(images, task, spacing_mm=1.0)
    detector.learn(Lesson(given.subset(given.cases[:30]), given.subset(given.cases[30:])))
    assert isinstance(detector.network_, TwoHeaded)
    with torch.inference_mode():
        pixels = (given.batch(np.arange(8)).pixels - 0.5) * 4
        _, logarithm = detector.network_(pixels)
    left, right = logarithm[..., :12].mean(), logarithm[..., 20:].mean()
    assert left > right + 0.5
    assert logarithm.min() >= NARROW


def test_coarse_noise_is_smooth_and_of_unit_strength() -> None:
    like = ImageBatch.of(torch.zeros(64, 1, 40, 33)).pixels
    noise = coarse_noise(like, torch.Generator().manual_seed(0))
    assert noise.shape == like.shape
    assert 0.5 < float(noise.std()) < 1.1
    assert float((noise[..., 1:] - noise[..., :-1]).std()) < 0.25 * float(noise.std())


def test_classical_scores_are_those_of_scikit_learn(given: Prepared) -> None:
    """The peers' own code on the same features."""
    from sklearn.covariance import LedoitWolf
    from sklearn.neighbors import NearestNeighbors
    from sklearn.svm import OneClassSVM as Machine

    task, rng = small_recipe("anatomy.foreground"), torch.Generator()
    new = prepare_array(discs(10, seed=5, square=0.1), task, spacing_mm=1.0)

    svm = OneClassSVM(task)
    svm.learn(Lesson(given, given))
    seen, unseen = (
        svm.components_.project(svm.images(part).collect_twice(svm._features, rng)).numpy()
        for part in (given, new)
    )
    machine = Machine(gamma="scale", nu=NU).fit(seen)
    np.testing.assert_allclose(svm.score_samples(new), -machine.decision_function(unseen))

    near = NearestNeighbour(task)
    near.learn(Lesson(given, given))
    seen = near.given_["memory"].numpy()
    unseen = near.scale_(near.images(new).collect(partial(network_features, near.network_)))
    apart, _ = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(seen).kneighbors(unseen.numpy())
    expected = apart.mean(1) / seen.shape[1] ** 0.5
    np.testing.assert_allclose(near.score_samples(new), expected, rtol=1e-9)

    far = Mahalanobis(task)
    far.learn(Lesson(given, given))
    expected = LedoitWolf().fit(seen).mahalanobis(unseen.numpy()) ** 0.5
    np.testing.assert_allclose(far.score_samples(new), expected, rtol=1e-5)
