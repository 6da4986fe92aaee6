"""Fixtures that several test files share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Threads that wait must not keep the others from working; before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SHARED_DATA = Path(
    os.environ.get("MIDCLASS_TEST_DATA", Path(__file__).resolve().parents[2] / "shared" / "data")
)


LONG = (
    "test_study.py",
    "test_study_report.py",
    "test_accidents.py",
    "test_studies.py",
    "test_law_of_disease.py",
    "test_self_supervised.py",
    "test_baselines.py",
    "test_one_look.py",
    "test_novelty.py",
    "test_patients.py",
    "test_site.py",
    "test_heads.py",
    "test_export.py",
    "test_identity.py",
    "test_own_detector.py",
    "test_demo.py",
    "test_ray.py",
)
"""Files of a minute or more; at the end one process would wait for them alone."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first, the others as they were."""
    items.sort(key=lambda item: LONG.index(item.path.name) if item.path.name in LONG else len(LONG))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real development data; the test is skipped where it does not exist."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no development data at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="module")
def coarse_maps() -> Iterator[None]:
    """Images of 32 px are enlarged to 64 for the pretrained network, a sixth of the work of 160."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("midclass.training.pretrained.SIDE", 64)
        yield
