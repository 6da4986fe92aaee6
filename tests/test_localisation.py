"""Lesions hit at false marks an image, on marks made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from midclass import InputError
from midclass.evaluation.localisation import MOST, Lesion, Mark, localisation, peaks


def normals(*scores: float, images: int = 10) -> dict[str, list[Mark]]:
    """So many images of the given class, and marks in the first of them."""
    found: dict[str, list[Mark]] = {f"n{number}": [] for number in range(images)}
    found["n0"] = [Mark(5, 5, score) for score in scores]
    return found


def test_a_lesion_is_hit_by_a_mark_within_its_radius_that_is_above_the_false_ones() -> None:
    marks = normals(0.9, 0.6, 0.5, 0.4)
    lesions = [Lesion(image, image, 10, 20, 5) for image in ("clear", "faint", "beside", "none")]
    marks |= {
        "clear": [Mark(13, 24, 0.8), Mark(10, 20, 0.1)],  # 5 away: on the circle
        "faint": [Mark(50, 50, 0.99), Mark(10, 20, 0.45)],
        "beside": [Mark(14, 24, 0.95)],  # 5.7 away
        "none": [],
    }
    found = localisation(marks, lesions, [f"n{number}" for number in range(10)])
    assert (found["lesions"], found["given"]) == (4, 10)
    # In ten images: one false mark may lie above the level, then three, then all of them.
    assert {rate: one["value"] for rate, one in found["hit"].items()} == {
        "0.1": 0.25,
        "0.3": 0.5,
        "1": 0.5,
    }
    assert {rate: one["level"] for rate, one in found["hit"].items()} == {
        "0.1": 0.6,
        "0.3": 0.4,
        "1": None,
    }
    assert found["hit"]["0.1"]["low"] < 0.25 < found["hit"]["0.1"]["high"]


def test_a_mark_as_high_as_one_false_mark_too_many_is_not_counted() -> None:
    marks = normals(0.7, 0.7) | {"a": [Mark(0, 0, 0.7)]}
    given = [f"n{number}" for number in range(10)]
    found = localisation(marks, [Lesion("a", "a", 0, 0, 1)], given)["hit"]
    assert [found[rate]["value"] for rate in ("0.1", "0.3")] == [0, 1]


def test_several_lesions_of_an_image_are_each_hit_by_their_own_mark() -> None:
    marks = normals(0.5) | {"a": [Mark(0, 0, 0.9), Mark(9, 0, 0.8)]}
    lesions = [Lesion("a", "a", x, 0, 2) for x in (0, 9, 30)]
    found = localisation(marks, lesions, [f"n{number}" for number in range(10)])
    assert found["hit"]["0.1"]["value"] == pytest.approx(2 / 3)


def test_without_lesions_or_normals_there_is_nothing_to_tell() -> None:
    for lesions, given in (([], ["n0"]), ([Lesion("n0", "n0", 0, 0, 1)], [])):
        with pytest.raises(InputError, match="needs lesions, and images of the given class"):
            localisation(normals(0.5), lesions, given)


def test_peaks_are_in_order_and_apart_and_none_lies_where_there_is_no_heat() -> None:
    heat = np.zeros((40, 40))
    heat[4:13, 4:13] = 0.9  # as hot all over: its middle
    heat[30, 30], heat[30, 33] = 1.0, 0.8  # a single sample is less than a region
    heat[0, 39] = 0.001
    found = peaks(heat, 6)
    assert [place[:2] for place in found[:2]] == [(8, 8), (30, 30)]
    assert (30, 33) not in [place[:2] for place in found]
    assert found == sorted(found, key=lambda place: -place[2])
    places = np.array([place[:2] for place in found])
    away = np.hypot(*(places[:, None] - places).transpose(2, 0, 1))
    assert away[~np.eye(len(found), dtype=bool)].min() >= 6
    assert all(heat[row, column] > 0 for row, column in places)
    assert peaks(np.zeros((9, 9)), 2) == []
    assert len(peaks(np.random.default_rng(0).uniform(0.1, 1, (60, 60)), 2)) == MOST
