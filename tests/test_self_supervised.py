"""The self-supervised and supervised baselines: they learn, and their tasks are what they say."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from makers import of_target_class, seeded, trained_recipe
from midclass import (
    Cohort,
    Detector,
    ImageBatch,
    InputError,
    MiddleClassDetector,
    Prepared,
    Recipe,
    example_batch,
    load_detector,
    prepare,
    prepare_array,
)
from midclass.detectors.baselines import nsa, perturbation
from midclass.detectors.baselines._pasting import ASPECT, draw_patch
from midclass.detectors.baselines.anatpaste import SHARE, AnatPaste, draw_soft, pasted_softly
from midclass.detectors.baselines.constrained import Coded, ConstrainedFeatures, error
from midclass.detectors.baselines.cutpaste import CutPaste, draw_scar, pasted
from midclass.detectors.baselines.nsa import NaturalSynthetic
from midclass.detectors.baselines.perturbation import ImagePerturbation
from midclass.detectors.baselines.rotation import Rotation, moves, turned
from midclass.detectors.baselines.supervised import (
    BalancedMixup,
    FocalLoss,
    Oversampling,
    Supervised,
    Weighted,
    cross_entropy,
)
from midclass.detectors.catalogue import detector_class
from midclass.detectors.workplace import Workplace
from midclass.evaluation.metrics import auroc
from midclass.images import phantoms
from midclass.images.identity import refuse_seen
from midclass.knowledge._blur import blurred
from midclass.training.loss import loss_of
from midclass.training.middle import MiddleClasses
from midclass.training.networks import Network

STEPS = {
    Rotation: 30,
    CutPaste: 60,
    AnatPaste: 40,
    ImagePerturbation: 60,
    ConstrainedFeatures: 60,
    NaturalSynthetic: 400,
    Weighted: 25,
    FocalLoss: 25,
    Oversampling: 25,
    BalancedMixup: 30,
}


def small(steps: int = 4, **budget: object) -> Recipe:
    faint = {"faint": {"operator": "erasure.Erasure", "size_mm": [4, 8]}}
    return trained_recipe(steps, {"middle_classes": faint}, **{"batch": 16, "ema": 0.9, **budget})


def bodies(n: int, seed: int, target: bool = False) -> np.ndarray:
    """Discs with a bright bar at the top, ``(n, 1, 32, 32)``; with a square for the target class.

    The bar says which way is up; the square is as bright.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    body = 0.4 * (np.hypot(x, y) < rng.uniform(0.75, 0.9, (n, 1, 1))) + 0.06
    u, v = rng.uniform(-0.1, 0.1, (2, n, 1, 1))
    square = (abs(x - u) < 0.25) & (abs(y - v) < 0.25)
    bar = (abs(x - u) < 0.4) & (abs(y - v + 0.45) < 0.12)
    images = body + rng.normal(0, 0.02, (n, 32, 32)) + 0.25 * (square if target else bar)
    return images.clip(0, 1)[:, None].astype(np.float32)


@pytest.fixture(scope="module")
def given() -> Prepared:
    return prepare_array(bodies(100, seed=0), small(), spacing_mm=1.0)


@pytest.fixture(scope="module")
def positives() -> Prepared:
    few = prepare_array(bodies(4, seed=1, target=True), small(), spacing_mm=1.0)
    return of_target_class(few)


@pytest.fixture(scope="module")
def test_set() -> Prepared:
    both = np.concatenate([bodies(50, seed=2), bodies(50, seed=3, target=True)])
    return prepare_array(both, small(), spacing_mm=1.0)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[pytest.mark.thorough] * (STEPS[kind] > 100)) for kind in STEPS],
    ids=lambda kind: kind.__name__,
)
def test_training_beats_the_untrained_network(
    kind: type[Detector], given: Prepared, positives: Prepared, test_set: Prepared
) -> None:
    """The same network with a learning rate of (nearly) nothing is the untrained one."""
    few = positives if kind.needs_positives else None
    figures = []
    for steps, rate in ((4, 1e-9), (STEPS[kind], 5e-3)):
        recipe = small(steps, learning_rate=rate)
        detector = kind(recipe).fit(given, positives=few, max_fpr=0.1)
        figures.append(auroc(np.repeat([0, 1], 50), detector.score_samples(test_set)))
    untrained, trained = figures
    assert trained > 0.75
    assert trained > untrained + 0.05


@pytest.mark.slow
def test_an_interrupted_fit_ends_with_the_same_scores(
    given: Prepared, test_set: Prepared, tmp_path: Path
) -> None:
    def stop_at_7(step: int, steps: int, text: str) -> None:
        if step == 7:
            raise KeyboardInterrupt

    unbroken = CutPaste(small(8)).fit(given, max_fpr=0.1)
    with pytest.raises(KeyboardInterrupt):
        CutPaste(small(8)).fit(given, max_fpr=0.1, workdir=tmp_path, progress=stop_at_7)
    resumed = CutPaste(small(8)).fit(given, max_fpr=0.1, workdir=tmp_path)
    assert resumed.score_samples(test_set).tobytes() == unbroken.score_samples(test_set).tobytes()


def test_middle_classes_of_the_recipe_do_not_enter(given: Prepared, test_set: Prepared) -> None:
    fields = small().to_dict()
    other = {"ball": {"operator": "focal.Focal", "diameter_mm": [5, 12]}}
    scores = [
        Rotation(Recipe.from_dict(each)).fit(given, max_fpr=0.1).score_samples(test_set).tobytes()
        for each in (fields, {**fields, "middle_classes": other})
    ]
    assert scores[0] == scores[1]


class TestRotation:
    def test_the_transformations_of_a_square_are_a_group(self) -> None:
        image = torch.rand(1, 1, 6, 6, generator=seeded())
        eight = [turned(image, move) for move in moves(square=True, mirrored=False)]
        seen = {each.numpy().tobytes() for each in eight}
        assert len(seen) == 8
        for move in moves(square=True, mirrored=False):
            assert {turned(each, move).contiguous().numpy().tobytes() for each in eight} == seen

    @pytest.mark.parametrize("mirrored", [False, True])
    def test_images_that_are_not_square_keep_their_shape(self, mirrored: bool) -> None:
        image = torch.rand(1, 1, 4, 6)
        four = [turned(image, move) for move in moves(square=False, mirrored=mirrored)]
        assert {tuple(each.shape) for each in four} == {(1, 1, 4, 6)}
        assert len(four) == (2 if mirrored else 4)


class TestCutPaste:
    def test_a_patch_has_the_area_asked_for_and_is_cut_from_the_image(self) -> None:
        images = ImageBatch.of(torch.rand(64, 1, 48, 64, generator=seeded()))
        params = draw_patch(images, seeded(1))
        params["contrast"] = params["gain"] = torch.ones(64)
        pixels, inside = pasted(images, params)
        asked = params["size"].prod(1)
        assert asked.min() >= 0.02 * 48 * 64 - 1
        assert asked.max() <= 0.15 * 48 * 64 + 1
        area = inside.flatten(1).sum(1)
        assert ((area - asked).abs() <= params["size"].sum(1) / 2 + 1).all()
        assert torch.equal(pixels[~inside], images.pixels[~inside])
        for image, made, where in zip(images.pixels, pixels, inside, strict=True):
            to_nearest = (made[where][:, None] - image.flatten()[None]).abs().amin(1)
            assert to_nearest.max() < 1e-4

    def test_aspects_are_those_of_the_paper(self) -> None:
        size = draw_patch(ImageBatch.of(torch.rand(500, 1, 64, 64)), seeded())["size"]
        aspect = size[:, 0] / size[:, 1]
        assert ASPECT[0] * 0.999 <= aspect.min() < 0.4
        assert 2.5 < aspect.max() <= ASPECT[1] * 1.001

    def test_a_scar_is_thin_and_turned(self) -> None:
        images = ImageBatch.of(torch.rand(60, 1, 160, 160, generator=seeded()))
        params = draw_scar(images, seeded(1))
        _, inside = pasted(images, params)
        area = inside.flatten(1).sum(1)
        asked = params["size"].round().prod(1)
        assert ((area / asked - 1).abs() < 0.25).float().mean() > 0.95
        assert params["angle_deg"].abs().max() <= 45

    def test_patches_lie_on_the_anatomy(self) -> None:
        pixels = torch.rand(16, 1, 32, 32)
        anatomy = torch.zeros_like(pixels, dtype=torch.bool)
        anatomy[..., 8:24, 8:24] = True
        images = ImageBatch.of(pixels, anatomy)
        _, inside = pasted(images, draw_patch(images, seeded()))
        assert (inside & anatomy).flatten(1).any(1).all()


class TestAnatPaste:
    def drawn(self, **changed: torch.Tensor) -> tuple[ImageBatch, dict[str, torch.Tensor]]:
        """Bright images with dark lungs, and what was drawn for them but for what is changed."""
        pixels = torch.full((48, 1, 64, 64), 0.9)
        anatomy = torch.zeros_like(pixels, dtype=torch.bool)
        anatomy[..., 12:52, 8:28] = anatomy[..., 12:52, 36:56] = True
        images = ImageBatch.of(torch.where(anatomy, 0.2, pixels), anatomy)
        return images, {**draw_soft(images, seeded()), **changed}

    def test_a_patch_covers_the_anatomy_alone_and_never_more_than_asked(self) -> None:
        images, params = self.drawn()
        pixels, alpha = pasted_softly(images, params)
        assert torch.equal(pixels[~images.anatomy], images.pixels[~images.anatomy])
        most = alpha.flatten(1).amax(1)
        assert (most <= params["share"] + 1e-5).all()
        assert SHARE[0] * 0.999 <= params["share"].min() < 0.65
        assert (most > 0).all()

    def test_tissue_from_anywhere_comes_into_the_anatomy(self) -> None:
        """Cut from the anatomy alone, as CutPaste is here, a fifth would be of the other half."""
        dark = (torch.arange(64) < 32).expand(96, 1, 64, 64)
        images = ImageBatch.of(torch.where(dark, 0.2, 0.9), dark.clone())
        params = draw_soft(images, seeded())
        pixels, alpha = pasted_softly(images, params)
        assert (pixels[alpha > 0.5] > 0.5).float().mean() > 0.3

    def test_an_ellipse_covers_less_than_the_rectangle_around_it(self) -> None:
        areas = []
        for is_round in (True, False):
            images, params = self.drawn(
                round=torch.full((48,), is_round), blur=torch.zeros(48), share=torch.ones(48)
            )
            whole = ImageBatch.of(images.pixels)
            areas.append(pasted_softly(whole, params)[1].flatten(1).sum(1))
        ellipse, rectangle = (area.mean() for area in areas)
        assert 0.7 < ellipse / rectangle < 0.9  # pi / 4, but for whole samples
        assert (areas[1] >= areas[0]).all()

    def test_blur_makes_the_edge_soft(self) -> None:
        parts = []
        for blur in (0.0, 0.05):
            images, params = self.drawn(blur=torch.full((48,), blur), share=torch.ones(48))
            _, alpha = pasted_softly(ImageBatch.of(images.pixels), params)
            parts.append(float(((alpha > 0.05) & (alpha < 0.95)).float().mean()))
        assert parts[0] == 0
        assert parts[1] > 0.02


class TestPerturbations:
    def test_shuffling_moves_whole_blocks(self) -> None:
        images = example_batch(n=3)
        moved = perturbation.shuffled(images, seeded())
        assert not torch.equal(moved, images.pixels)
        side = images.spatial[-1] // perturbation.BLOCKS

        def blocks(pixels: torch.Tensor) -> torch.Tensor:
            tiles = pixels.unfold(-2, side, side).unfold(-2, side, side)
            return tiles.flatten(4).sum(-1).flatten(1).sort(1).values

        torch.testing.assert_close(blocks(moved), blocks(images.pixels))

    def test_samples_beyond_the_last_whole_block_stay(self) -> None:
        images = ImageBatch.of(torch.rand(2, 3, 18, 21))
        moved = perturbation.shuffled(images, seeded())
        assert torch.equal(moved[..., 16:, :], images.pixels[..., 16:, :])
        assert torch.equal(moved[..., 20:], images.pixels[..., 20:])
        torch.testing.assert_close(
            moved.flatten(2).sort(2).values, images.pixels.flatten(2).sort(2).values
        )

    def test_inverting_twice_gives_the_image_back(self) -> None:
        images = example_batch()
        once = images.with_pixels(perturbation.inverted(images, seeded()))
        torch.testing.assert_close(perturbation.inverted(once, seeded()), images.pixels)
        torch.testing.assert_close(once.pixels.amax(), images.pixels.amax())

    def test_blur_keeps_the_mean_and_takes_detail(self) -> None:
        images = example_batch()
        blurred = perturbation.blurred(images, seeded())
        torch.testing.assert_close(
            blurred.flatten(1).mean(1), images.pixels.flatten(1).mean(1), rtol=1e-4, atol=1e-4
        )
        assert (blurred.flatten(1).var(1) < images.pixels.flatten(1).var(1)).all()

    def test_noise_of_no_strength_is_the_identity(self, monkeypatch: pytest.MonkeyPatch) -> None:
        images = example_batch()
        assert not torch.equal(perturbation.noisy(images, seeded()), images.pixels)
        monkeypatch.setattr(perturbation, "NOISE", (0.0, 0.0))
        assert torch.equal(perturbation.noisy(images, seeded()), images.pixels)

    def test_what_is_outside_the_anatomy_stays(self) -> None:
        images = example_batch(n=8)
        kinds = torch.arange(8) % len(perturbation.PERTURBATIONS)
        pixels = perturbation.perturbed(images, kinds, seeded())
        outside = ~images.anatomy.expand_as(pixels)
        assert torch.equal(pixels[outside], images.pixels[outside])
        changed = ((pixels - images.pixels).abs() > 0.01).flatten(1).any(1)
        assert changed.all()


class TestNaturalSynthetic:
    def test_nothing_changes_where_nothing_is_foreign_or_outside_the_anatomy(self) -> None:
        images = example_batch(n=12)
        pixels, foreign = nsa.blended(images, seeded())
        assert torch.equal(pixels[foreign == 0], images.pixels[foreign == 0])
        assert not foreign[~images.anatomy].any()
        assert (foreign.flatten(1).amax(1) > 0.5).float().mean() > 0.8
        assert foreign.max() <= 1

    def test_nothing_counts_as_foreign_where_the_intensity_stays(self) -> None:
        same = ImageBatch.of(torch.full((6, 1, 48, 48), 0.4))
        pixels, foreign = nsa.blended(same, seeded())
        torch.testing.assert_close(pixels, same.pixels)
        assert foreign.max() < 0.05

    def test_a_seamless_patch_keeps_the_coarse_brightness(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pixels = torch.rand(16, 1, 48, 48, generator=seeded()) * 0.2
        images = ImageBatch.of(pixels + torch.linspace(0, 0.8, 16).view(-1, 1, 1, 1))
        coarse = []
        for share in (0.0, 1.0):
            monkeypatch.setattr(nsa, "SEAMLESS", share)
            change = nsa.blended(images, seeded(1))[0] - images.pixels
            size = torch.full((16,), 3.0)
            coarse.append(blurred(change, images.spacing_mm, size).abs().mean())
        assert coarse[1] < 0.3 * coarse[0]


def test_codes_have_unit_length_and_do_not_see_the_exposure() -> None:
    torch.manual_seed(0)
    model = ConstrainedFeatures(small()).build(channels=1, dims=2).eval()
    images = torch.rand(3, 1, 40, 36, generator=seeded())
    with torch.inference_mode():
        coded, brighter = model(images), model(images * 0.5 + 0.2)
    torch.testing.assert_close(coded.code.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(coded.code, brighter.code, rtol=1e-2, atol=1e-3)
    assert coded.made.shape == images.shape


def test_a_reconstruction_is_judged_inside_the_anatomy() -> None:
    anatomy = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    anatomy[..., :4] = True
    made = torch.where(anatomy, 1.0, 50.0)
    wanted = torch.stack([torch.zeros(1, 8, 8), torch.full((1, 8, 8), 3.0)])
    found = error(Coded(torch.zeros(2, 4), wanted, made), anatomy)
    torch.testing.assert_close(found, torch.tensor([1.0, 4.0]))


class TestSupervised:
    def of(self, kind: type[Supervised], natural: float) -> Supervised:
        """With images of 0 for the given class and of 1 for the positives, and no nuisance."""
        detector = kind(small().model_copy(update={"nuisance": None}))
        detector._natural = natural
        detector._positives = ImageBatch.of(torch.ones(3, 1, 32, 32))
        return detector

    @pytest.mark.parametrize(
        ("kind", "share"),
        [(Weighted, 0.1), (FocalLoss, 0.1), (Oversampling, 0.5), (BalancedMixup, 0.1667)],
    )
    def test_labels_are_those_of_the_pixels_and_as_frequent_as_said(
        self, kind: type[Supervised], share: float
    ) -> None:
        """The expected share of Beta(0.2, 1) is 1/6: 5/6 of 0.1 and 1/6 of 0.5 are 1/6."""
        detector, given = self.of(kind, 0.1), ImageBatch.of(torch.zeros(64, 1, 32, 32))
        targets = []
        for seed in range(60):
            pixels, target = detector.drawn(given, seeded(seed))
            torch.testing.assert_close(pixels.flatten(1).mean(1), target)
            targets.append(target.mean())
        assert float(torch.stack(targets).mean()) == pytest.approx(share, abs=0.04)

    def test_balanced_mixup_makes_labels_between_the_classes(self) -> None:
        detector = self.of(BalancedMixup, 0.1)
        given = ImageBatch.of(torch.zeros(64, 1, 32, 32))
        target = torch.cat([detector.drawn(given, seeded(seed))[1] for seed in range(20)])
        between = (target > 0.01) & (target < 0.99)
        assert 0.02 < between.float().mean() < 0.6
        assert target.min() == 0

    def test_weights_make_both_classes_weigh_the_same(self) -> None:
        target = torch.tensor([1.0] + [0.0] * 9)
        for shift in (0.0, 3.0):
            logits = torch.stack([torch.zeros(10), torch.full((10,), shift)], 1)
            positive, negative = (cross_entropy(logits, target)[i] for i in (0, 1))
            value = self.of(Weighted, 0.1).loss(logits, target)
            torch.testing.assert_close(value, (positive + negative) / 2)

    def test_focal_loss_forgets_what_is_classified_well(self) -> None:
        focal, one = self.of(FocalLoss, 0.1), torch.ones(1)
        undecided, sure = (torch.tensor([[0.0, logit]]) for logit in (0.0, math.log(9)))
        assert float(focal.loss(undecided, one)) == pytest.approx(0.25 * 0.25 * math.log(2))
        assert float(focal.loss(sure, one)) == pytest.approx(0.25 * 0.01 * -math.log(0.9))

    def test_a_fitted_detector_keeps_no_image(self, given: Prepared, positives: Prepared) -> None:
        detector = Weighted(small()).fit(given, positives=positives, max_fpr=0.1)
        tensors, _ = detector.state()
        assert all(name.startswith("network.") for name in tensors)
        assert not hasattr(detector, "_positives")


class TestPositives:
    def test_only_those_who_can_learn_from_them_take_them(
        self, given: Prepared, positives: Prepared
    ) -> None:
        with pytest.raises(InputError, match="Rotation learns from the given class only"):
            Rotation(small()).fit(given, positives=positives)
        with pytest.raises(InputError, match="FocalLoss needs some cases of the target class"):
            FocalLoss(small()).fit(given)

    def test_positives_of_the_given_class_are_refused(self, given: Prepared) -> None:
        with pytest.raises(InputError, match="not of the target class"):
            FocalLoss(small()).fit(given, positives=given.subset(given.cases[:2]))

    def test_patients_with_positives_do_not_set_the_threshold(
        self, given: Prepared, positives: Prepared
    ) -> None:
        shared = [
            replace(case, patient_id=own.patient_id)
            for case, own in zip(positives.cases, given.cases, strict=False)
        ]
        same = replace(positives, cases=Cohort(tuple(shared)))
        alone = Weighted(small()).fit(given, positives=positives, max_fpr=0.1)
        detector = Weighted(small()).fit(given, positives=same, max_fpr=0.1)
        assert alone.cases_ == {"train": 70, "select": 10, "calibrate": 20, "positives": 4}
        assert detector.patients_["positives"] == 4
        held_out = detector.cases_["select"] + detector.cases_["calibrate"]
        assert held_out == round(0.3 * 96)
        assert sum(detector.cases_.values()) == 104

    @pytest.mark.slow
    def test_the_method_learns_from_them_what_its_knowledge_lacks(
        self, given: Prepared, positives: Prepared, test_set: Prepared, tmp_path: Path
    ) -> None:
        figures = []
        for few in (None, positives):
            recipe = small(60, learning_rate=5e-3)
            detector = MiddleClassDetector(recipe).fit(given, positives=few, max_fpr=0.1)
            output = detector.networks_(test_set.batch(slice(0, 100)))[0]
            logits = output.logits.detach()
            odds = logits[:, 1:].logsumexp(1) - logits[:, 0]
            figures.append(auroc(np.repeat([0, 1], 50), odds.numpy()))
            assert logits.shape[1] == (2 if few is None else 3)
        assert figures[1] > 0.95
        assert figures[1] > figures[0]
        detector.save(tmp_path / "saved")
        scores = load_detector(tmp_path / "saved").score_samples(test_set)
        assert scores.tobytes() == detector.score_samples(test_set).tobytes()

    def test_nothing_is_said_of_where_a_positive_is_abnormal(self) -> None:
        classes = MiddleClasses(small().operators(), None)
        batch = classes(example_batch(n=4), seeded())
        with_two = batch.with_positives(example_batch(n=2, seed=5), label=2)
        torch.manual_seed(0)
        output = Network(classes=3, width=8)(with_two.images.pixels)
        budget = small().budget
        loss = loss_of(output, with_two, budget)
        moved = output.change.clone()
        moved[-2:] += 5
        assert torch.equal(loss, loss_of(output._replace(change=moved), with_two, budget))
        assert with_two.label.tolist() == [0] * 4 + [1] * 4 + [2] * 2

    def test_evaluation_refuses_them(self, tmp_path: Path) -> None:
        recipe = small()
        cohort = Cohort.from_manifest(phantoms.write(tmp_path / "set", "chest", 0, 40, 6, size=32))
        given, few = cohort.part("train"), cohort.part("test").target_class()[:3]
        normal, known = prepare(given, recipe), prepare(few, recipe)
        place = Workplace(tmp_path / "out", recipe, normal, 0, "supervised.Focal", positives=known)
        without = Workplace(tmp_path / "out", recipe, normal, 0, "supervised.Focal")
        assert place.call["cohort"] != without.call["cohort"]
        detector = detector_class("supervised.Focal")(recipe)
        place.fit(detector, 0.2)
        refuse_seen(tmp_path / "out", cohort.part("test").target_class()[3:])
        with pytest.raises(InputError, match="was used to fit"):
            refuse_seen(tmp_path / "out", cohort.part("test"))


def test_a_module_with_several_detectors_asks_which() -> None:
    assert detector_class("rotation") is Rotation
    assert detector_class("supervised.Focal") is FocalLoss
    with pytest.raises(InputError, match=r"there are .*supervised\.Weighted, supervised\.Focal"):
        detector_class("supervised")
    with pytest.raises(InputError, match=r"did you mean 'supervised\.FocalLoss'"):
        detector_class("supervised.Fokal")
    with pytest.raises(InputError, match="did you mean 'rotation'"):
        detector_class("rotatoin")
