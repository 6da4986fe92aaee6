"""Middle classes and nuisance: what a labelled batch is made of."""

from __future__ import annotations

import torch

from makers import STILL, seeded
from midclass import ImageBatch, example_batch
from midclass.knowledge.calcification import Calcification
from midclass.knowledge.deformation import Deformation
from midclass.knowledge.focal import Focal
from midclass.knowledge.nuisance import Nuisance
from midclass.training.middle import MiddleClasses


def test_every_middle_class_gets_its_share_and_the_given_class_the_other_half() -> None:
    classes = MiddleClasses({"a": Focal(), "b": Deformation(), "c": Calcification()}, None)
    batch = classes(example_batch(n=12), seeded())
    assert torch.bincount(batch.label).tolist() == [12, 4, 4, 4]
    assert classes.names == ["given", "a", "b", "c"]


def test_fewer_images_than_operators_still_make_a_batch() -> None:
    classes = MiddleClasses({"a": Focal(), "b": Deformation(), "c": Calcification()}, None)
    labels = {int(x) for s in range(12) for x in classes(example_batch(n=1), seeded(s)).label}
    assert labels == {0, 1, 2, 3}


def test_without_nuisance_the_given_half_is_untouched_and_the_other_differs_by_the_change() -> None:
    given = example_batch(n=4)
    batch = MiddleClasses({"a": Focal()}, None, sham=0)(given, seeded())
    assert sorted(batch.images.pixels[:4].sum((1, 2, 3)).tolist()) == sorted(
        given.pixels.sum((1, 2, 3)).tolist()
    )
    differs = (batch.images.pixels[4:] != batch.images.pixels[:4]).any(1, keepdim=True)
    assert not (differs & (batch.change[4:] == 0)).any()
    assert not batch.change[:4].any()


def test_a_sham_is_given_class_and_bears_the_seams_of_the_operator() -> None:
    given = example_batch(n=8)
    batch = MiddleClasses({"a": Deformation()}, None, sham=1.0)(given, seeded())
    original = {round(float(x), 5) for x in given.pixels.sum((1, 2, 3))}
    made = [round(float(x), 5) for x in batch.images.pixels[:8].sum((1, 2, 3))]
    assert not batch.change[:8].any()
    assert sum(x not in original for x in made) >= 6


def test_a_middle_class_that_cannot_be_seen_has_no_weight() -> None:
    faint = Focal(contrast_sigma=(0.01, 0.01))
    batch = MiddleClasses({"a": faint}, None, floor=0.05)(example_batch(n=4), seeded())
    assert batch.weight.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


def test_the_same_generator_makes_the_same_batch() -> None:
    classes = MiddleClasses({"a": Focal(), "b": Deformation()}, Nuisance(mirrored=True))
    one, two = (classes(example_batch(), seeded(5)) for _ in range(2))
    assert torch.equal(one.images.pixels, two.images.pixels)
    assert torch.equal(one.change, two.change)


def test_nuisance_of_no_strength_is_the_identity() -> None:
    batch = example_batch()
    change = torch.rand(batch.anatomy.shape, generator=seeded())
    moved, map_ = STILL.apply(batch, STILL.draw(batch, seeded()), change)
    torch.testing.assert_close(moved.pixels, batch.pixels, atol=1e-4, rtol=0)
    assert torch.equal(moved.anatomy, batch.anatomy)
    torch.testing.assert_close(map_, change * batch.anatomy, atol=1e-4, rtol=0)


def test_nuisance_moves_anatomy_and_change_map_with_the_image() -> None:
    pixels = torch.full((4, 1, 64, 64), 0.2)
    pixels[:, :, 20:40, 10:30] = 0.8
    batch = ImageBatch(pixels, pixels > 0.5, torch.ones(4, 2))
    move = Nuisance(20, (0.8, 1.2), 0.1, (1, 1), (1, 1), 0, 0, 0, 0, mirrored=True)
    moved, change = move.apply(batch, move.draw(batch, seeded()), (pixels > 0.5).float())
    assert not torch.equal(moved.pixels, pixels)
    agree = ((moved.pixels > 0.5) == moved.anatomy).float().mean()
    assert agree > 0.98
    assert ((change > 0.5) == moved.anatomy).float().mean() > 0.98


def test_nuisance_in_3d_keeps_slices_apart() -> None:
    batch = example_batch(dims=3)
    moved, _ = Nuisance().apply(
        batch, Nuisance().draw(batch, seeded()), torch.zeros_like(batch.anatomy).float()
    )
    assert moved.pixels.shape == batch.pixels.shape
    assert not torch.equal(moved.pixels, batch.pixels)
