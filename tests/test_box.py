"""What is rendered in a box is what is rendered in the whole image."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import MISSING, fields

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

import midclass.knowledge
from midclass import ImageBatch, Knowledge, example_batch
from midclass.knowledge._blur import blurred
from midclass.knowledge._box import Box

SIDES = st.integers(4, 20)


def operators() -> list[Knowledge]:
    """All of the package that need no arguments."""
    found = []
    for module in pkgutil.iter_modules(midclass.knowledge.__path__):
        loaded = importlib.import_module(f"midclass.knowledge.{module.name}")
        for _, cls in inspect.getmembers(loaded, inspect.isclass):
            own = cls.__module__ == loaded.__name__ and issubclass(cls, Knowledge)
            if own and not inspect.isabstract(cls):
                needed = [f for f in fields(cls) if f.default is f.default_factory is MISSING]
                found += [] if needed else [cls()]
    return found


def images(n: int, height: int, width: int) -> ImageBatch:
    rng = torch.Generator().manual_seed(n)
    return ImageBatch.of(torch.rand(n, 1, height, width, generator=rng), spacing_mm=(0.5, 0.8))


@pytest.mark.parametrize("operator", operators(), ids=lambda one: type(one).__name__)
def test_a_middle_class_is_the_same_without_boxes(
    operator: Knowledge, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = example_batch(n=4)
    params = operator.draw(batch, torch.Generator().manual_seed(3))
    boxed = operator.apply(batch, params)
    sham = operator.sham(batch, params)

    def whole(cls: type[Box], batch: ImageBatch, *_: object) -> Box:
        return Box.whole(batch)

    for name in ("around", "holding"):
        monkeypatch.setattr(Box, name, classmethod(whole))
    plain = operator.apply(ImageBatch(batch.pixels, batch.anatomy, batch.spacing_mm), params)
    assert (plain.change > 0.2).any()
    for name in ("pixels", "change", "severity"):
        one, other = getattr(boxed, name), getattr(plain, name)
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)
    torch.testing.assert_close(operator.sham(batch, params), sham, atol=1e-5, rtol=0)


@given(SIDES, SIDES, st.data())
def test_a_box_holds_all_that_it_was_made_for_and_cut_and_paste_undo_each_other(
    height: int, width: int, data: st.DataObject
) -> None:
    batch = images(3, height, width)
    values = torch.zeros_like(batch.pixels)
    rows = st.tuples(st.integers(0, 2), st.integers(0, height - 1), st.integers(0, width - 1))
    for image, y, x in data.draw(st.lists(rows, max_size=6)):
        values[image, 0, y, x] = 1
    box = Box.holding(batch, values).grown(data.draw(st.integers(0, 4)))
    assert box.cut(values).sum() == values.sum()
    torch.testing.assert_close(box.paste(box.cut(batch.pixels), batch.pixels), batch.pixels)
    alone = box.alone(torch.ones_like(box.cut(values)))
    assert alone.sum() == 3 * box.size[0] * box.size[1]
    assert (alone >= values).all()


@given(SIDES, SIDES, st.floats(-8, 8), st.floats(-8, 8), st.floats(0.1, 6))
def test_a_box_around_a_place_holds_all_that_is_near_it(
    height: int, width: int, y: float, x: float, reach: float
) -> None:
    batch = images(1, height, width)
    centre = torch.tensor([[y, x]])

    def near(box: Box) -> Tensor:
        down, across = box.away_mm(centre)
        return (down.abs() <= reach) & (across.abs() <= reach)

    box = Box.around(batch, centre, torch.full((1, 2), reach))
    everywhere = near(Box.whole(batch))
    assert near(box).sum() == everywhere.sum()
    assert torch.equal(box.cut(everywhere.float()).bool(), near(box))


@given(SIDES, SIDES, st.data())
def test_what_two_boxes_have_in_common_holds_every_sample_that_both_hold(
    height: int, width: int, data: st.DataObject
) -> None:
    batch = images(2, height, width)
    corner = st.tuples(st.integers(0, height - 1), st.integers(0, width - 1))
    shown = []
    for _ in range(2):
        values = torch.zeros_like(batch.pixels)
        for image in range(2):
            (top, left), (bottom, right) = data.draw(corner), data.draw(corner)
            values[
                image, 0, min(top, bottom) : max(top, bottom) + 1, left : max(left, right) + 1
            ] = 1
        shown.append(values)
    one, other = (Box.holding(batch, values) for values in shown)
    both, common = shown[0] * shown[1], one.common(other)
    assert common.cut(both).sum() == both.sum()
    assert all(a <= b for a, b in zip(common.size, one.size, strict=True))


@given(
    st.integers(40, 90),
    st.integers(40, 90),
    st.lists(st.floats(0.2, 12.0), min_size=2, max_size=2),
    st.data(),
)
def test_a_blur_in_a_box_is_that_of_the_image_whose_rest_is_dark(
    height: int, width: int, sigma_mm: list[float], data: st.DataObject
) -> None:
    batch = images(2, height, width)
    shown = torch.zeros_like(batch.pixels)
    for image in range(2):
        top, left = data.draw(st.integers(0, height - 20)), data.draw(st.integers(0, width - 20))
        shown[image, :, top : top + 20, left : left + data.draw(st.integers(1, 20))] = 1
    box = Box.holding(batch, shown)
    dark, sigma = batch.pixels * box.alone(box.cut(torch.ones_like(shown))), torch.tensor(sigma_mm)
    whole = blurred(dark, batch.spacing_mm, sigma)
    inside = blurred(box.cut(dark), batch.spacing_mm, sigma, box)
    torch.testing.assert_close(inside, box.cut(whole), atol=1e-5, rtol=0)


def test_a_blur_is_what_scipy_makes_of_an_image_that_is_mirrored_at_its_ends() -> None:
    batch = images(2, 70, 90)
    sigma_mm = torch.tensor([0.7, 4.0])
    for image, mine in enumerate(blurred(batch.pixels, batch.spacing_mm, sigma_mm)):
        widths = (sigma_mm[image] / batch.spacing_mm[image]).tolist()
        theirs = ndimage.gaussian_filter(batch.pixels[image, 0].double(), widths, truncate=9.0)
        torch.testing.assert_close(mine[0].double(), torch.from_numpy(theirs), atol=1e-4, rtol=0)
