"""Baselines on the maps of a network that is not trained: they learn, and measure what they say."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

import makers
from makers import seeded, trained_recipe
from midclass import (
    Detector,
    ImageBatch,
    InputError,
    LearningImages,
    Lesson,
    Prepared,
    Recipe,
    prepare_array,
)
from midclass.detectors.baselines import _on_maps, feature_autoencoder, padim, simplenet
from midclass.detectors.baselines._features import feature_network, network_maps
from midclass.detectors.baselines._on_maps import LearnsOnMaps, Maps, channels_of, mean_within
from midclass.detectors.baselines._patches import HeatUnits, PatchMemory, most_unusual
from midclass.detectors.baselines.feature_autoencoder import FeatureAutoEncoder, dissimilarity
from midclass.detectors.baselines.heads import PretrainedHeads
from midclass.detectors.baselines.padim import PaDiM
from midclass.detectors.baselines.reverse_distillation import ReverseDistillation, Student, apart
from midclass.detectors.baselines.simplenet import PatchDiscriminator, SimpleNet
from midclass.evaluation.metrics import auroc

LEARNERS: dict[type[LearnsOnMaps], int] = {
    FeatureAutoEncoder: 80,
    SimpleNet: 80,
    ReverseDistillation: 60,
}
"""Steps of the three."""


def small(steps: int = 4, **budget: object) -> Recipe:
    fields = {"nuisance": None}
    return trained_recipe(steps, fields, **{"batch": 8, "ema": 0.9, **budget})


discs = partial(makers.discs, corner=(12, 14))


@pytest.fixture(scope="module")
def given() -> Prepared:
    return prepare_array(discs(60, seed=0), small(), spacing_mm=1.0)


@pytest.fixture(scope="module")
def test_set() -> ImageBatch:
    both = np.concatenate([discs(30, seed=2), discs(30, seed=3, square=0.25)])
    return prepare_array(both, small(), spacing_mm=1.0).batch(np.arange(60))


def learned(kind: type[Detector], given: Prepared, steps: int, rate: float) -> Detector:
    """Without a threshold, which test_detectors.py asks for."""
    detector = kind(small(steps, learning_rate=rate))
    detector.learn(Lesson(given.subset(given.cases[:50]), given.subset(given.cases[50:])))
    return detector


@torch.inference_mode()
def area(detector: Detector, test_set: ImageBatch) -> float:
    return auroc(np.repeat([0, 1], 30), detector.score(test_set)[0].numpy())


@pytest.mark.parametrize("kind", LEARNERS, ids=lambda kind: kind.__name__)
def test_training_beats_the_untrained_network(
    kind: type[LearnsOnMaps],
    given: Prepared,
    test_set: ImageBatch,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(simplenet, "SIGMA", 1.0)  # random maps of small images are alike
    untrained = area(learned(kind, given, 2, 1e-9), test_set)
    trained = area(learned(kind, given, LEARNERS[kind], 1e-2), test_set)
    assert trained > 0.75
    assert trained > untrained + 0.1


@torch.inference_mode()
def assert_hot_there(detector: Detector, test_set: ImageBatch, times: float) -> None:
    """Where the images of the target class differ from the others."""
    _, heat = detector.score(test_set[30:])
    assert heat is not None
    box = torch.zeros_like(heat, dtype=torch.bool)
    box[..., 12:18, 14:20] = True
    assert heat[box].mean() > times * heat[test_set[30:].anatomy & ~box].mean()


def test_padim_tells_the_target_class(given: Prepared, test_set: ImageBatch) -> None:
    detector = learned(PaDiM, given, 1, 1e-3)
    assert area(detector, test_set) > 0.95
    assert_hot_there(detector, test_set, 1.3)  # its cells are as large as the square


def test_heads_learn_what_the_recipe_s_knowledge_says(
    given: Prepared, test_set: ImageBatch
) -> None:
    untrained = area(learned(PretrainedHeads, given, 2, 1e-9), test_set)
    trained = learned(PretrainedHeads, given, 50, 1e-2)
    assert area(trained, test_set) > max(0.9, untrained + 0.05)
    assert_hot_there(trained, test_set, 3)
    names = {name.partition(".")[0] for name in trained.state()[0]}
    assert names == {"network", "heads"}  # no network of its own, and no memory


@pytest.mark.parametrize("kind", [FeatureAutoEncoder, ReverseDistillation])
def test_a_cell_is_worth_what_its_own_maps_differ_in(kind: type[LearnsOnMaps]) -> None:
    """Maps of smooth waves, of which one corner is not reproduced."""
    axis = torch.linspace(0, 6, 16)
    wave = (axis[:, None] + torch.arange(8.0).view(8, 1, 1) + axis).sin()[None] + 1.5
    stages = [wave, wave[..., ::2, ::2], wave[..., ::4, ::4]]
    wrong = [stage.clone() for stage in stages]
    for stage in wrong:
        quarter = stage.shape[2] // 4
        stage[..., :quarter, :quarter] = 3 - stage[..., :quarter, :quarter]

    def learner(maps: list[torch.Tensor] | torch.Tensor) -> object:
        if isinstance(maps, torch.Tensor):
            return maps, torch.cat([wrong[0]] * 2, 1)
        return list(zip(maps, wrong, strict=True))

    detector = kind(small())
    detector.learner_ = learner  # type: ignore[assignment]
    used = stages[:1] * 2 if kind is FeatureAutoEncoder else stages
    cells = detector.cells(Maps(used, torch.ones(1, 1, 64, 64, dtype=torch.bool)))[0]
    assert cells[:2, :2].min() > 10 * cells[6:, 6:].abs().max() + 0.1
    loss = detector.wrong(learner, Maps(used, torch.zeros(1, 1, 64, 64) > 1), seeded())  # type: ignore[arg-type]
    assert loss.tolist() == [0]  # nothing counts without anatomy


def test_the_pretrained_network_gives_every_learner_the_maps_that_it_was_built_for() -> None:
    task = trained_recipe(pretrained="imagenet", width=8)
    network = feature_network(task, (2, 1, 32, 32), seed=0)
    batch = prepare_array(discs(2, seed=0), task, spacing_mm=1.0).batch(np.arange(2))
    maps = Maps.of(network, batch)
    assert [stage.shape[1] for stage in maps.stages] == list(channels_of(network))
    assert [stage.shape[2] for stage in maps.stages] == [40, 20, 10, 5]
    for ours, theirs in zip(maps.stages[1:], network_maps(network, batch), strict=True):
        assert torch.equal(ours, theirs)
    for kind in LEARNERS:
        detector = kind(task)
        detector.network_ = network
        detector.learner_ = detector._new().eval()
        used = maps.only(kind.uses)
        cells = detector.cells(used)
        assert cells.shape == (2, *used.stages[0].shape[2:])
        assert detector.wrong(detector.learner_.train(), used, seeded()).shape == (2,)


class TestRemembered:
    def views(self, given: Prepared, draws: int, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
        """How bright each remembered view is, in place of its maps."""
        detector = PaDiM(trained_recipe(fields={"nuisance": makers.HALF_AS_BRIGHT}))
        images = LearningImages(
            given, np.arange(10), detector.recipe.nuisance_operator(), torch.device("cpu")
        )

        def bright(images: ImageBatch) -> Maps:
            return Maps([images.pixels.mean((2, 3))[..., None, None]], images.anatomy)

        monkeypatch.setattr(detector, "maps", bright)
        return detector.remembered(images, draws, seed=0).stages[0].flatten().float()

    def test_each_image_is_remembered_as_it_is_and_through_the_nuisance(
        self, given: Prepared, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        views = self.views(given, 10, monkeypatch)
        assert len(views) == 20
        torch.testing.assert_close(views[10:], views[:10] / 2, rtol=0.02, atol=0.01)

    def test_where_images_are_few_they_are_seen_more_often_but_no_oftener_than_drawn(
        self, given: Prepared, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert len(self.views(given, 40, monkeypatch)) == 50
        assert len(self.views(given, 10_000, monkeypatch)) == 80
        monkeypatch.setattr(_on_maps, "VIEWS", 30)
        assert len(self.views(given, 10_000, monkeypatch)) == 30
        monkeypatch.setattr(_on_maps, "IMAGES", 5)
        assert len(self.views(given, 10_000, monkeypatch)) == 30


def test_images_in_3d_are_refused_in_one_line(given: Prepared) -> None:
    volumes = SimpleNamespace(shape=(4, 1, 8, 8, 8))
    with pytest.raises(InputError, match="SimpleNet is for 2-D images"):
        SimpleNet(small()).learn(Lesson(volumes, given))  # type: ignore[arg-type]


def test_a_tenth_of_the_cells_inside_counts_and_one_at_least() -> None:
    cells = torch.arange(40.0).view(2, 4, 5) - 100
    within = torch.zeros(2, 4, 5, dtype=torch.bool)
    within[0, 2:] = True  # ten cells: -90 to -81
    found = most_unusual(cells, within)
    assert found.tolist() == [-81, 0]
    within[0] = True
    assert most_unusual(cells, within)[0] == (-81 - 82) / 2


def test_an_image_whose_anatomy_fills_no_cell_by_half_is_judged_by_the_one_that_has_most() -> None:
    anatomy = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    anatomy[0, 0, 0, 0] = anatomy[0, 0, 4, 4] = anatomy[0, 0, 5, 5] = True
    within = Maps([], anatomy).within(torch.zeros(2, 1, 2, 2))
    assert within.tolist() == [[[False, False], [False, True]], [[False, False], [False, False]]]


def test_heat_units_are_those_of_the_patch_memory() -> None:
    cells = torch.rand(1, 30, 30, generator=seeded()) + 0.01
    units, scale = HeatUnits.of(cells.flatten()), PatchMemory.__dataclass_fields__
    assert {"middle", "usual"} <= set(scale)
    assert float((units(cells, (30, 30)) > 0.5).float().mean()) == pytest.approx(0.01, abs=0.003)


def test_the_gaussian_of_a_place_is_that_of_numpy() -> None:
    values = torch.randn(50, 4, generator=seeded()) @ torch.randn(4, 4, generator=seeded(1))
    mean, root = padim.gaussian(values)
    covariance = np.cov(values.numpy(), rowvar=False) + padim.RIDGE * np.eye(4)
    np.testing.assert_allclose(root @ root.T, np.linalg.inv(covariance), rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(mean, values.mean(0), rtol=1e-5, atol=1e-6)


def test_padim_compares_a_cell_with_those_of_its_own_place(given: Prepared) -> None:
    detector = learned(PaDiM, given, 1, 1e-3)
    assert isinstance(detector, PaDiM)
    batch = given.batch(np.arange(6))
    cells, _ = detector.seen(batch)
    patches = detector.scale_(detector._patches(detector.maps(batch)))
    place = 2 * cells.shape[2] + 1
    away = patches[:, place] - detector.mean_[place]
    inverse = detector.root_[place] @ detector.root_[place].T
    expected = (away @ inverse * away).sum(1).sqrt()
    torch.testing.assert_close(cells[:, 2, 1], expected, rtol=1e-3, atol=1e-3)


def test_structural_similarity_is_that_of_its_definition() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 20, 20))

    def local(values: np.ndarray) -> np.ndarray:
        return uniform_filter(values, feature_autoencoder.WINDOW)

    means = local(one), local(other)
    variances = local(one**2) - means[0] ** 2, local(other**2) - means[1] ** 2
    covariance = local(one * other) - means[0] * means[1]
    above = (2 * means[0] * means[1] + 0.01**2) * (2 * covariance + 0.03**2)
    below = (means[0] ** 2 + means[1] ** 2 + 0.01**2) * (sum(variances) + 0.03**2)
    tensors = [torch.from_numpy(x)[None, None] for x in (one, other)]
    found = dissimilarity(*tensors)[0, 2:-2, 2:-2]
    np.testing.assert_allclose(found, (1 - above / below)[2:-2, 2:-2], atol=1e-9)


def test_the_discriminator_s_loss_ends_where_both_verdicts_are_sure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And nothing outside the anatomy enters it."""
    detector = SimpleNet(small())
    anatomy = torch.zeros(2, 1, 16, 16, dtype=torch.bool)
    anatomy[0, 0, :8] = anatomy[1] = True
    stages = [torch.rand(2, c, s, s, generator=seeded()) for c, s in ((4, 4), (6, 2))]
    learner = PatchDiscriminator(10).eval()
    counted = []
    for true, noisy, loss in ((0.5, -0.5, 0.0), (0.0, 0.0, 1.0), (2.0, 0.5, 1.0)):

        def verdict(x: torch.Tensor, true: float = true, noisy: float = noisy) -> torch.Tensor:
            counted.append(len(x))
            return torch.tensor([true, noisy]).repeat_interleave(len(x) // 2)

        monkeypatch.setattr(learner, "verdict", verdict)
        found = detector.wrong(learner, Maps(stages, anatomy), seeded())
        torch.testing.assert_close(found, torch.full((2,), loss))
    assert set(counted) == {2 * (8 + 16)}
    assert simplenet.MARGIN == 0.5


def test_the_student_sees_its_teacher_through_the_bottleneck_alone() -> None:
    """Whatever it makes is made of the embedding: another one, other maps; the same, the same."""
    torch.manual_seed(0)
    student = Student((8, 8, 8), 8).eval()
    maps = [torch.rand(1, 8, side, side, generator=seeded()) for side in (16, 8, 4)]
    others = [torch.rand(stage.shape, generator=seeded(1)) for stage in maps]
    with torch.no_grad():
        student.embed.register_forward_hook(lambda *_: torch.ones(1, 64, 2, 2))
        made, again = student(maps), student(others)
    for (wanted, one), (unlike, two) in zip(made, again, strict=True):
        assert torch.equal(one, two)
        assert not torch.equal(wanted, unlike)
        assert apart(wanted, 2 * wanted).abs().max() < 1e-5


def test_a_mean_is_of_the_cells_that_count() -> None:
    cells = torch.tensor([[1.0, 3.0, 8.0], [1.0, 3.0, 8.0]])
    within = torch.tensor([[True, True, False], [False, False, False]])
    assert mean_within(cells, within).tolist() == [2, 0]


def test_an_interrupted_fit_ends_with_the_same_scores(given: Prepared, tmp_path: Path) -> None:
    def stop(step: int, steps: int, text: str) -> None:
        if step == 8:
            raise KeyboardInterrupt

    task = small(8, checkpoints=4)
    unbroken = SimpleNet(task).fit(given, max_fpr=0.1)
    with pytest.raises(KeyboardInterrupt):
        SimpleNet(task).fit(given, max_fpr=0.1, workdir=tmp_path, progress=stop)
    seen: list[int] = []
    resumed = SimpleNet(task).fit(
        given, max_fpr=0.1, workdir=tmp_path, progress=lambda step, *_: seen.append(step)
    )
    assert seen[0] > 1
    np.testing.assert_array_equal(resumed.calibration_, unbroken.calibration_)
