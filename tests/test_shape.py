"""Size, place and form of a mask are numbers that resolution does not move."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from midclass import InputError
from midclass.images.anatomy.shape import deviations, feature_names, mask_features


def disc(size: int = 64, y: float = 0.5, x: float = 0.5, radius: float = 0.2) -> NDArray[np.bool_]:
    rows, columns = (np.mgrid[:size, :size] + 0.5) / size
    return np.asarray(np.hypot(rows - y, columns - x) < radius)


def named(mask: NDArray[np.bool_]) -> dict[str, float]:
    return dict(zip(feature_names(mask.ndim), mask_features(mask)[0].tolist(), strict=True))


def test_a_disc_has_the_area_place_extent_and_solidity_of_a_disc() -> None:
    found = named(disc(256, 0.4, 0.7))
    assert found["area"] == pytest.approx(np.pi * 0.2**2, rel=0.01)
    assert (found["centre_y"], found["centre_x"]) == pytest.approx((0.4, 0.7), abs=0.003)
    assert (found["height"], found["width"]) == pytest.approx((0.4, 0.4), abs=0.01)
    assert 0.98 < found["solidity"] <= 1
    assert (found["parts"], found["largest_part"]) == (1, 1)


def test_a_ball_in_3_d_has_its_share_of_the_volume_and_is_convex() -> None:
    z, y, x = (np.mgrid[:40, :40, :40] + 0.5) / 40
    found = named(np.asarray((z - 0.5) ** 2 + (y - 0.5) ** 2 + (x - 0.6) ** 2 < 0.3**2))
    assert found["area"] == pytest.approx(4 / 3 * np.pi * 0.3**3, rel=0.02)
    assert (found["centre_z"], found["centre_x"]) == pytest.approx((0.5, 0.6), abs=0.005)
    assert (found["depth"], found["width"]) == pytest.approx((0.6, 0.6), abs=0.03)
    assert 0.85 < found["solidity"] < 1  # the hull is of the corners of voxels


def test_a_ring_and_two_discs_are_not_solid_and_parts_are_counted() -> None:
    ring = disc(128, radius=0.4) & ~disc(128, radius=0.3)
    assert named(ring)["solidity"] == pytest.approx(1 - 0.75**2, abs=0.02)
    two = named(disc(128, x=0.25, radius=0.2) | disc(128, x=0.75, radius=0.1))
    assert two["parts"] == 2
    assert two["largest_part"] == pytest.approx(0.8, abs=0.02)
    assert two["solidity"] < 0.8


@given(
    st.integers(1, 4),
    st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 6), st.integers(1, 6)),
)
def test_enlarging_a_mask_changes_no_feature(times: int, box: tuple[int, int, int, int]) -> None:
    top, left, height, width = box
    mask = np.zeros((16, 16), bool)
    mask[top : top + height, left : left + width] = True
    mask[15, 15] = True
    large = mask.repeat(times, axis=0).repeat(times, axis=1)
    np.testing.assert_allclose(mask_features(large), mask_features(mask), rtol=1e-9)


@pytest.mark.parametrize("dims", [2, 3])
def test_an_empty_mask_is_a_row_of_nan_and_one_pixel_is_not(dims: int) -> None:
    masks = np.zeros((2, 1, *(9,) * dims), bool)
    masks[(1, 0, *(4,) * dims)] = True
    found = mask_features(masks)
    assert found.shape == (2, len(feature_names(dims)))
    assert np.isnan(found[0]).all()
    assert found[1, 0] == 1 / 9**dims
    assert found[1, 1] == 0.5


def test_several_masks_are_those_one_by_one() -> None:
    masks = np.stack([disc(radius=0.1), disc(y=0.3), np.zeros((64, 64), bool)])[:, None]
    each = np.concatenate([mask_features(mask[0]) for mask in masks])
    np.testing.assert_array_equal(mask_features(masks), each)
    assert mask_features(masks[:0]).shape == (0, 8)


def test_what_is_no_mask_is_refused_with_its_shape() -> None:
    with pytest.raises(InputError, match="float64"):
        mask_features(np.zeros((8, 8)))  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"\(8,\)"):
        mask_features(np.zeros(8, bool))
    with pytest.raises(InputError, match=r"\(2, 3, 8, 8\)"):
        mask_features(np.zeros((2, 3, 8, 8), bool))


def test_the_strange_mask_deviates_most_in_what_is_strange_with_its_sign() -> None:
    rng = np.random.default_rng(0)
    masks = [disc(y=0.5 + rng.normal(0, 0.03), radius=rng.normal(0.2, 0.01)) for _ in range(30)]
    masks[7] = disc(y=0.15, radius=0.2)
    masks[9] = disc(radius=0.05)
    far = deviations(mask_features(np.stack(masks)[:, None]))
    names = feature_names(2)
    assert np.abs(far).max(1).argsort()[-2:].tolist() in ([7, 9], [9, 7])
    assert far[7, names.index("centre_y")] < -6
    assert far[9, names.index("area")] < -6
    usual = np.delete(np.abs(far), (7, 9), axis=0)
    assert np.median(usual.max(1)) < 3


def test_masks_that_are_all_alike_do_not_make_the_next_one_strange() -> None:
    same = np.repeat(mask_features(disc()), 20, axis=0)
    almost = mask_features(disc(radius=0.205))
    assert np.abs(deviations(almost, same)).max() < 2
    assert np.abs(deviations(mask_features(disc(radius=0.3)), same)).max() > 8


def test_empty_masks_are_no_reference_and_nothing_else_is_an_error() -> None:
    found = mask_features(np.stack([disc(), np.zeros((64, 64), bool)])[:, None])
    assert np.isnan(deviations(found)[1]).all()
    assert not deviations(found)[0].any()
    with pytest.raises(InputError, match="empty"):
        deviations(found[1:])


def test_the_unit_of_deviations_is_a_standard_deviation_where_values_are_normal() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, (2000, len(feature_names(2))))
    parts = feature_names(2).index("parts")  # its unit is at least half a part
    assert np.delete(deviations(values), parts, axis=1).std() == pytest.approx(1, abs=0.05)
