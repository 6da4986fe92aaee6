"""What holds for every test and every example in a docstring."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Random numbers that a test draws do not depend on which tests ran before it.

    Otherwise one that fails for a hundredth of all numbers fails in one run of a hundred, and
    passes when it is looked at.
    """
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
