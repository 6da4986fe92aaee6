"""Chance: random numbers that a test draws are its own."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch


def drawn() -> tuple[float, float, float]:
    return random.random(), np.random.random(), float(torch.rand(()))


@pytest.fixture(scope="module")
def of_a_fixture() -> tuple[float, float, float]:
    return drawn()


@pytest.mark.parametrize("which", range(2))
def test_a_test_draws_the_same_whatever_ran_before_it(which: int) -> None:
    own = random.Random(0), np.random.RandomState(0), torch.Generator().manual_seed(0)
    assert drawn() == (
        own[0].random(),
        own[1].random_sample(),
        float(torch.rand((), generator=own[2])),
    )


def test_a_fixture_draws_the_same_whatever_ran_before_it(
    of_a_fixture: tuple[float, float, float],
) -> None:
    random.seed(0), np.random.seed(0), torch.manual_seed(0)
    assert of_a_fixture == drawn()
