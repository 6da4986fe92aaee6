"""A heat map lies on its source's pixels, whatever was cropped, padded, resampled or mirrored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from makers import recipe
from midclass import Cohort, InputError, prepare
from midclass.detectors import on_source
from midclass.images.arrays import prepare_array
from midclass.images.cohort import Case
from midclass.images.formats.read import Image
from midclass.images.placement import Placement
from midclass.images.rules import Rules

SIDES = st.integers(24, 90)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_mark_at_a_source_pixel_comes_back_within_a_pixel(data: st.DataObject) -> None:
    rows, columns = data.draw(SIDES), data.draw(SIDES)
    spacing = data.draw(st.floats(0.2, 2)), data.draw(st.floats(0.2, 2))
    roi = data.draw(st.sampled_from([None, 15.0, 40.0]))
    right = data.draw(st.booleans())
    size = data.draw(SIDES), data.draw(SIDES)
    if roi is not None:
        size = size[0], size[0]
    geometry = {"size": list(size), "spacing_mm": 1.0, "orient": "laterality"}
    geometry |= {} if roi is None else {"view": "roi", "roi_mm": roi}
    rules = Rules(recipe(geometry=geometry, intensity={"rule": "none"}))
    y, x = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    pixels = np.zeros((1, rows, columns), np.float32)
    pixels[0, y, x] = 1
    centre = (float(x), float(y))
    case = Case("a", Path("a"), None, "a", spacing, centre=centre, laterality="R" if right else "L")
    attempt = rules.attempt(case, lambda: Image(pixels, spacing))
    if not attempt.samples:  # the square shows too little of so small an image
        assert "pixels of the file" in attempt.reason
        return
    sample = attempt.samples[0]
    placement = Placement(sample.box, sample.source, sample.mirrored)
    for smooth in (False, True):
        back = placement.on_source(sample.pixels[0], smooth=smooth)
        assert back.shape == (rows, columns)
        hot = np.argwhere(back == back.max()).mean(0)
        coarse = np.maximum(placement.sizes(size), 1)  # of the larger pixels of both
        assert (np.abs(hot - (y, x)) <= coarse).all()
    assert placement.aspect(size) == pytest.approx(spacing[0] / spacing[1])


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(SIDES, SIDES),
    box=st.tuples(*[st.floats(-20, 30), st.floats(-20, 30)], *[st.floats(35, 95)] * 2),
    hot=st.tuples(st.integers(0, 19), st.integers(0, 15)),
    mirrored=st.booleans(),
)
def test_what_is_hot_in_the_image_is_so_on_its_source_and_what_is_not_shown_is_cold(
    shape: tuple[int, int],
    box: tuple[float, float, float, float],
    hot: tuple[int, int],
    mirrored: bool,
) -> None:
    placement = Placement(box, shape, mirrored)
    heat = np.zeros((20, 16), bool)
    heat[hot] = True
    step = np.array(placement.sizes((20, 16)))
    edges = np.array(box[:2]) + hot * step
    back = placement.on_source(heat)
    whole = placement.on_source(np.ones_like(heat))
    assert whole[back].all()
    if mirrored:
        whole, back = whole[:, ::-1], back[:, ::-1]
    middles = np.argwhere(~whole) + 0.5
    within = (middles > (box[0] + 1, box[1] + 1)) & (middles < (box[2] - 1, box[3] - 1))
    assert not within.all(1).any()  # the box is shown whole
    found = np.argwhere(back) + 0.5
    assert ((found > edges - 1) & (found < edges + step + 1)).all()
    if (edges > 1).all() and (edges + step < np.array(shape) - 1).all():
        assert back.any()  # it lies in the image


def test_of_a_mirrored_breast_the_heat_is_on_the_side_of_the_file(tmp_path: Path) -> None:
    values = np.full((40, 60), 90, np.uint8)
    values[5:9, 50:54] = 255
    values[0, 0] = 0
    PIL.Image.fromarray(values).save(tmp_path / "a.png")
    fields = {"size": [32, 32], "spacing_mm": 1.0, "orient": "laterality"}
    mine = recipe(geometry=fields)
    case = Case("a", tmp_path / "a.png", None, "a", laterality="R")
    cohort = Cohort((case,))
    for _ in range(2):  # read, and from the cache
        prepared = prepare(cohort, mine, cache=tmp_path / "cache")
        heat = prepared.images([0])[0, 0] / np.float32(65535)
        shown = on_source.view(prepared, 0, mine, heat)
        assert shown.pixels.shape == (1, 40, 60)
        assert shown.heat is not None
        for hottest in (shown.pixels[0], shown.heat):
            y, x = np.argwhere(hottest == hottest.max()).mean(0)
            assert abs(y - 6.5) < 2
            assert abs(x - 51.5) < 2
    PIL.Image.fromarray(255 - values).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: was changed while it was scored"):
        on_source.view(prepared, 0, mine, heat)


def test_a_picture_has_the_pixels_of_the_source_made_square_and_at_most_1024() -> None:
    square = Placement((0, 0, 3000, 3000), (3000, 2000))
    assert on_source.picture_shape(square, (64, 64)) == (1024, 683)
    small = replace(square, shape=(300, 200))
    assert on_source.picture_shape(small, (64, 64)) == (300, 200)
    flat = Placement((0, 0, 100, 300), (100, 100))  # pixels three times as high as wide
    assert on_source.picture_shape(flat, (64, 64)) == (300, 100)


def test_samples_of_arrays_and_of_images_in_memory_know_where_they_lie() -> None:
    mine = recipe()
    images = np.random.default_rng(0).uniform(0, 1, (2, 1, 20, 40)).astype(np.float32)
    prepared = prepare_array(images, mine, spacing_mm=1.0)
    assert prepared.placement(1) == Placement((-10, 0, 30, 40), (20, 40))
    again = prepared.showing(prepared.batch([0, 1]))
    assert again.placement(1) == prepared.placement(1)


@given(
    box=st.tuples(*[st.floats(-5, 5)] * 2, *[st.floats(35, 50)] * 2),
    slope=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
)
def test_between_the_middles_of_pixels_smooth_heat_goes_over_in_a_straight_line(
    box: tuple[float, float, float, float], slope: tuple[float, float]
) -> None:
    placement = Placement(box, (40, 44))
    high, wide = placement.sizes((9, 8))
    y, x = np.mgrid[:9, :8] + 0.5
    heat = slope[0] * (box[0] + y * high) + slope[1] * (box[1] + x * wide)
    back = placement.on_source(heat, smooth=True)
    y, x = np.mgrid[:40, :44] + 0.5
    between = (y > box[0] + high / 2) & (y < box[2] - high / 2)
    between &= (x > box[1] + wide / 2) & (x < box[3] - wide / 2)
    assert np.abs(back - slope[0] * y - slope[1] * x)[between].max() < 1e-4
