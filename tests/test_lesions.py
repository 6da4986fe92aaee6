"""Lesions of known cases: what is cut out, where it lands, and that it is learned from."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given as for_all
from hypothesis import strategies as st
from torch import Tensor, nn

from makers import of_target_class, seeded, trained_recipe
from midclass import ImageBatch, MiddleClassDetector, Prepared, prepare_array
from midclass.detectors.known import known_log_odds
from midclass.evaluation.metrics import auroc
from midclass.knowledge.nuisance import Nuisance
from midclass.training.heads import KnowledgeNetworks
from midclass.training.lesions import KnownClass, Lesions
from midclass.training.lesson import LearningImages
from midclass.training.middle import MiddleClasses
from midclass.training.networks import Network, Output

FAINT = {
    "anatomy": "anatomy.whole",
    "middle_classes": {"faint": {"operator": "erasure.Erasure", "size_mm": [4, 8]}},
}
FOCAL = {**FAINT, "middle_classes": {"focal": {"operator": "focal.Focal"}}}
GIVEN, SIDE = 60, 32


class Bright(nn.Module):
    """A change map that marks what is brighter than .6."""

    def forward(self, pixels: Tensor, anatomy: Tensor) -> Output:
        return Output(torch.zeros(len(pixels), 2), 40 * (pixels - 0.6), torch.zeros(len(pixels), 4))


def squares(n: int, left: int, level: float = 0.9, side: int = 6, seed: int = 0) -> np.ndarray:
    """Grey images with a bright square, ``(n, 1, 32, 32)``."""
    rng = np.random.default_rng(seed)
    images = 0.4 + rng.normal(0, 0.02, (n, 1, SIDE, SIDE))
    images[:, :, 8 : 8 + side, left : left + side] = level
    return images.clip(0, 1).astype(np.float32)


def grey(n: int, seed: int = 1) -> np.ndarray:
    return squares(n, 0, side=0, seed=seed)


def images_of(array: np.ndarray) -> LearningImages:
    found = prepare_array(array, trained_recipe(4, FAINT), spacing_mm=1.0)
    return LearningImages(found, np.arange(len(array)), None, torch.device("cpu"))


@cache
def bright_square() -> Lesions:
    """As cut out of two images of them."""
    lesions = cut(squares(2, 20), grey(20))
    assert lesions is not None
    return lesions


def cut(known: np.ndarray, normal: np.ndarray) -> Lesions | None:
    return Lesions.cut(Bright(), images_of(known), images_of(normal))  # type: ignore[arg-type]


def test_what_is_marked_is_cut_out_and_nothing_beside_it() -> None:
    lesions = cut(squares(3, 20), grey(20))
    assert lesions is not None
    assert len(lesions.share) == 3
    assert (lesions.share[:, 0, 8:14, 20:26] == 1).all()
    assert lesions.share[:, 0, 6:16, 18:28].sum() < 3 * 100
    assert (lesions.share[:, 0, :, :15] == 0).all()
    torch.testing.assert_close(lesions.around, torch.full((3, 1), 0.4), atol=0.02, rtol=0)


def test_the_level_around_a_lesion_is_that_of_the_anatomy() -> None:
    known, normal = images_of(squares(1, 3, level=0.9)), images_of(grey(20))
    known.prepared.store.anatomy.setflags(write=True)
    known.prepared.store.anatomy[..., :3] = False
    images = known.prepared.store.pixels
    images.setflags(write=True)
    images[..., :3] = 0  # what lies beside the body
    lesions = Lesions.cut(Bright(), known, normal)  # type: ignore[arg-type]
    assert lesions is not None
    torch.testing.assert_close(lesions.around, torch.full((1, 1), 0.4), atol=0.02, rtol=0)


def test_the_largest_of_what_is_marked_is_cut_out() -> None:
    images = squares(1, 20)
    images[:, :, 22:25, 3:6] = 0.9
    lesions = cut(images, grey(20))
    assert lesions is not None
    assert (lesions.share[0, 0, 18:] == 0).all()


def test_cases_that_show_no_more_than_normal_ones_are_passed_over() -> None:
    mixed = np.concatenate([squares(3, 20), grey(1, seed=5)])
    lesions = cut(mixed, grey(20))
    assert lesions is not None
    assert len(lesions.share) == 3
    assert cut(grey(3, seed=5), grey(20)) is None
    assert cut(squares(3, 20), squares(20, 4, level=0.95)) is None


def test_a_map_that_does_not_tell_known_cases_from_normal_ones_cuts_nothing_out() -> None:
    """One of four known cases shows more than all normal ones: the map knows another disease."""
    mixed = np.concatenate([squares(1, 20), grey(3, seed=5)])
    assert cut(mixed, grey(20)) is None
    assert cut(np.concatenate([squares(3, 20), grey(1, seed=5)]), grey(20)) is not None


def test_what_takes_half_of_the_anatomy_is_no_lesion_that_could_be_moved() -> None:
    assert cut(squares(2, 4, side=24), grey(20)) is None


@for_all(st.integers(0, 10_000), st.floats(0.1, 0.6))
def test_a_lesion_lies_in_the_anatomy_and_all_else_is_as_it_was(seed: int, level: float) -> None:
    anatomy = torch.zeros(4, 1, SIDE, SIDE, dtype=torch.bool)
    anatomy[:, :, 5:28, 10:22] = True
    batch = ImageBatch.of(torch.full((4, 1, SIDE, SIDE), level), anatomy)
    made, share = bright_square().put_into(batch, seeded(seed))
    assert (share[~anatomy] == 0).all()
    assert (share.flatten(1).amax(1) > 0.5).all()
    assert torch.equal(made.pixels[share == 0], batch.pixels[share == 0])
    inside = (share > 0.99).flatten(1)
    for image, there in zip(made.pixels.flatten(1), inside, strict=True):
        if there.any():  # as much above its tissue as it was
            assert float(image[there].max()) == pytest.approx(min(1.0, level + 0.5), abs=0.05)


def test_a_lesion_comes_to_many_places_sizes_and_directions() -> None:
    long = grey(1)
    long[:, :, 8:11, 16:26] = 0.9
    lesions = cut(long, grey(20))
    assert lesions is not None
    batch = ImageBatch.of(torch.full((200, 1, SIDE, SIDE), 0.4))
    _, share = lesions.put_into(batch, seeded())
    y = torch.arange(float(SIDE)).view(1, 1, -1, 1)
    mass = share.sum((1, 2, 3))
    down = (share * y).sum((1, 2, 3)) / mass
    assert down.min() < 6
    assert down.max() > 25
    whole = ((share[:, :, 0].amax((1, 2)) == 0) & (share[..., -1, :].amax((1, 2)) == 0)).nonzero()
    sizes = mass[whole]
    assert sizes.max() > 2 * sizes.min()
    height = (share.amax(3) > 0.5).sum((1, 2))
    assert height.max() > 2.5 * height.clamp_min(3).min()


def test_lesions_of_volumes_and_of_colours_are_moved_too() -> None:
    for shape in ((1, 3, SIDE, SIDE), (1, 1, 12, 16, 20)):
        dims = len(shape) - 2
        images = ImageBatch.of(torch.full(shape, 0.4), spacing_mm=(3.0, 1.0, 1.0)[-dims:])
        place = (slice(None), slice(None), *(slice(4, 8),) * dims)
        images.pixels[place] = 0.9
        share = (images.pixels[:, :1] > 0.5).float()
        lesions = Lesions(images, share, torch.full((1, shape[1]), 0.4))
        other = ImageBatch.of(torch.full((6, *shape[1:]), 0.2), spacing_mm=2.0)
        made, moved = lesions.put_into(other, seeded())
        assert made.pixels.shape == other.pixels.shape
        assert float(made.pixels.amax()) == pytest.approx(0.7, abs=0.02)
        volume = share.sum() * images.spacing_mm.prod()
        found = (moved.flatten(1).sum(1) * other.spacing_mm.prod(1)).amax()
        assert 0.2 * volume < found < 3 * volume


def test_where_a_moved_lesion_lies_is_known_and_learned() -> None:
    classes = MiddleClasses(trained_recipe(4, FAINT).operators(), None)
    batch = classes(images_of(grey(4)).draw(4, seeded()), seeded())
    known, given = images_of(squares(3, 20)), images_of(grey(20))
    shown = KnownClass(known, given, lesions=Lesions.cut(Bright(), known, given))  # type: ignore[arg-type]
    grown = shown.added_to(batch, 2, 2, seeded())
    assert grown.label.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert grown.mapped is not None
    assert grown.mapped.tolist() == [1] * 8 + [0, 0, 1, 1]
    assert (grown.change[8:10] == 0).all()
    assert (grown.change[10:].flatten(1).amax(1) > 0.5).all()
    # The normal images are not those of the known cases.
    assert (grown.images.pixels[10:] > 0.7).float().mean() < 0.1


def test_the_map_of_a_moved_lesion_moves_with_it_through_the_nuisance() -> None:
    classes = MiddleClasses(trained_recipe(4, FAINT).operators(), None)
    batch = classes(images_of(grey(4)).draw(4, seeded()), seeded())
    known, given = images_of(squares(3, 20)), images_of(grey(20))
    far = Nuisance(shift=0.2, rotation_deg=30, noise=0)
    given = replace(given, nuisance=far)
    shown = KnownClass(known, given, lesions=Lesions.cut(Bright(), known, given))  # type: ignore[arg-type]
    grown = shown.added_to(batch, 8, 2, seeded())
    bright = (grown.images.pixels[16:] > 0.75).float()
    change = grown.change[16:]
    assert (bright * change).sum() > 0.75 * bright.sum()


def test_a_moved_lesion_that_cannot_be_seen_is_not_learned() -> None:
    """It would be an untouched normal image under the label of the disease."""
    classes = MiddleClasses(trained_recipe(4, FAINT).operators(), None)
    given = images_of(grey(20))
    batch = classes(given.draw(4, seeded()), seeded())
    faint = ImageBatch.of(torch.full((1, 1, SIDE, SIDE), 0.4))
    share = torch.zeros_like(faint.pixels)
    share[..., 8:14, 8:14] = 1
    lesions = Lesions(faint, share, torch.full((1, 1), 0.4))
    shown = KnownClass(images_of(squares(3, 20)), given, floor=0.3, lesions=lesions)
    assert len(shown.added_to(batch, 2, 2, seeded()).images) == 10
    shown.lesions = bright_square()
    assert len(shown.added_to(batch, 2, 2, seeded()).images) == 12


def test_a_ring_lands_with_a_part_of_itself_in_the_smallest_anatomy() -> None:
    y, x = np.mgrid[:SIDE, :SIDE] - 16.0
    away = np.hypot(x, y)
    ring = torch.from_numpy((np.abs(away - 9) < 1.5).astype(np.float32))[None, None]
    images = ImageBatch.of(torch.where(ring > 0, 0.9, 0.4))
    lesions = Lesions(images, ring, torch.full((1, 1), 0.4))
    anatomy = torch.zeros(50, 1, SIDE, SIDE, dtype=torch.bool)
    anatomy[..., 13:18, 13:18] = True
    batch = ImageBatch.of(torch.full((50, 1, SIDE, SIDE), 0.4), anatomy)
    _, share = lesions.put_into(batch, seeded())
    assert (share.flatten(1).amax(1) > 0.5).all()


def test_of_a_lesion_at_the_border_nothing_beside_the_anatomy_is_taken_along() -> None:
    known = images_of(squares(1, 3))
    known.prepared.store.anatomy.setflags(write=True)
    known.prepared.store.anatomy[..., :3] = False
    lesions = Lesions.cut(Bright(), known, images_of(grey(20)))  # type: ignore[arg-type]
    assert lesions is not None
    assert (lesions.share[..., :3] == 0).all()
    assert (lesions.share[..., 8:14, 3:9] == 1).all()


def test_normal_images_of_all_patients_say_what_is_usual() -> None:
    """Slices of a patient follow each other: the first may all be of one."""
    normal = np.concatenate([grey(150), squares(60, 4, level=0.95)])
    assert cut(squares(3, 20), normal) is None


def test_a_map_that_is_the_same_everywhere_cuts_nothing_out() -> None:
    class Flat(Bright):
        def forward(self, pixels: Tensor, anatomy: Tensor) -> Output:
            return super().forward(0 * pixels, anatomy)

    known, given = images_of(squares(3, 20)), images_of(grey(20))
    assert Lesions.cut(Flat(), known, given) is None  # type: ignore[arg-type]


def test_before_a_network_has_been_watched_there_are_known_cases_alone() -> None:
    classes = MiddleClasses(trained_recipe(4, FAINT).operators(), None)
    batch = classes(images_of(grey(4)).draw(4, seeded()), seeded())
    shown = KnownClass(images_of(squares(3, 20)), images_of(grey(20)))
    assert len(shown.added_to(batch, 2, 2, seeded()).images) == 10
    shown.watch(KnowledgeNetworks(Network(classes=3, width=8)).eval())
    own = nn.Module()
    own.forward = Bright().forward  # type: ignore[method-assign, assignment]
    networks = KnowledgeNetworks(Network(classes=3, width=8)).eval()
    networks.own = own  # type: ignore[assignment]
    shown.watch(networks)
    assert len(shown.added_to(batch, 2, 2, seeded()).images) == 12


@pytest.fixture(scope="module")
def normal() -> Prepared:
    return prepare_array(grey(GIVEN), trained_recipe(4, FAINT), spacing_mm=1.0)


@pytest.mark.slow
def test_a_disease_known_on_one_side_is_told_on_the_other(normal: Prepared) -> None:
    """A class that is learned as it is, always on the left, says less of it on the right."""
    recipe = trained_recipe(
        80,
        FOCAL,
        batch=16,
        ema=0.9,
        learning_rate=5e-3,
        width=8,
    )
    known = of_target_class(prepare_array(squares(4, 3, level=0.8), recipe, spacing_mm=1.0))
    test = np.concatenate([grey(40, seed=7), squares(40, 22, level=0.8, seed=8)])
    batch = prepare_array(test, recipe, spacing_mm=1.0).batch(slice(0, 80))
    figures = {}
    for moved in (False, True):
        kind = type("Kind", (MiddleClassDetector,), {"moves_lesions": moved})
        detector = kind(recipe).fit(normal, positives=known, max_fpr=0.1)
        logits = detector.networks_(batch)[0].logits.detach()
        figures[moved] = auroc(np.repeat([0, 1], 40), known_log_odds(logits, "rest").numpy())
    assert figures[True] > 0.9
    assert figures[True] > figures[False] + 0.05


@pytest.mark.slow
def test_an_interrupted_fit_with_known_cases_ends_with_the_same_scores(
    normal: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Training goes on from a checkpoint; lesions are those that the unbroken one had there."""
    found = list[float]()

    def spied(network: Network, known: LearningImages, given: LearningImages) -> Lesions:
        found.append(float(sum(one.detach().abs().sum() for one in network.parameters())))
        batch = next(known.batches())
        share = torch.zeros_like(batch.pixels)
        share[:, :, 8:14, 3:9] = 1
        return Lesions(batch, share, torch.full((len(batch), 1), found[-1] % 1))

    monkeypatch.setattr(Lesions, "cut", spied)
    recipe = trained_recipe(24, FAINT, checkpoints=4, batch=8, ema=0.5, learning_rate=5e-3, width=8)
    known = of_target_class(prepare_array(squares(4, 3), recipe, spacing_mm=1.0))
    test = prepare_array(squares(10, 20), recipe, spacing_mm=1.0)

    def stop(step: int, steps: int, text: str) -> None:
        if step == 20:
            raise KeyboardInterrupt

    def fit(**more: object) -> bytes:
        detector = MiddleClassDetector(recipe)
        detector.fit(normal, positives=known, max_fpr=0.1, **more)  # type: ignore[arg-type]
        return detector.score_samples(test).tobytes()

    unbroken = fit()
    with pytest.raises(KeyboardInterrupt):
        fit(workdir=tmp_path, progress=stop)
    before, gone_on = found[:5], len(found)
    assert fit(workdir=tmp_path) == unbroken
    assert found[5:gone_on] == before[:3]  # half of 24 steps, two checkpoints; stopped at step 20
    assert found[gone_on:] == before[2:]  # where it goes on, and two more checkpoints
    assert len(set(found)) == 5
