"""Laws of images: what the manifest says of a case reaches its sample, and no lesion is cut off."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from makers import recipe
from midclass import Case, Cohort, Recipe, prepare, prepare_array

DIFFERENT: dict[str, tuple[Any, Any]] = {
    "laterality": ("L", "R"),
    "spacing_mm": ((1.0, 1.0), (1.5, 1.5)),
    "centre": ((20.0, 30.0), (40.0, 30.0)),
    "index": (0, 1),
    "path": ("a.npz", "b.npz"),
}
"""What two cases may differ in, and hence their samples."""


@pytest.fixture
def cases(tmp_path: Path) -> tuple[Case, Case]:
    rng = np.random.default_rng(0)
    for name in ("a.npz", "b.npz"):
        np.savez(tmp_path / name, images=rng.integers(0, 255, (2, 64, 64), np.uint8))
    known = {"array": "images", "index": 0, "spacing_mm": (1.0, 1.0), "laterality": "L"}
    one = Case("one", tmp_path / "a.npz", 0, "p", centre=(20.0, 30.0), **known)
    return one, replace(one, case_id="other")


def squares() -> Recipe:
    geometry = {"size": [32, 32], "view": "roi", "roi_mm": 30, "orient": "laterality"}
    return recipe(geometry=geometry)


def differing(cases: tuple[Case, Case], field: str, folder: Path) -> tuple[Case, Case]:
    first, second = DIFFERENT[field]
    if field == "path":
        first, second = folder / first, folder / second
    return replace(cases[0], **{field: first}), replace(cases[1], **{field: second})


@pytest.mark.parametrize("field", DIFFERENT)
def test_two_cases_of_which_the_manifest_says_different_things_are_different_samples(
    cases: tuple[Case, Case], tmp_path: Path, field: str
) -> None:
    both = Cohort(differing(cases, field, tmp_path))
    batch = prepare(both, squares(), cache=tmp_path / "cache").batch([0, 1])
    assert not np.allclose(batch.pixels[0], batch.pixels[1], atol=0.05)


@pytest.mark.parametrize("field", DIFFERENT)
def test_a_case_of_which_the_manifest_now_says_another_thing_is_prepared_again(
    cases: tuple[Case, Case], tmp_path: Path, field: str
) -> None:
    before, after = (
        prepare(Cohort((case,)), squares(), cache=tmp_path / "cache").batch([0])
        for case in differing(cases, field, tmp_path)
    )
    assert not np.allclose(before.pixels, after.pixels, atol=0.05)


def test_a_right_side_is_the_mirror_image_of_the_same_file_as_a_left_one(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    left = Case("l", tmp_path / "a.png", 0, "p", laterality="L", spacing_mm=(1.0, 1.0))
    both = Cohort((left, replace(left, case_id="r", laterality="R")))
    wanted = recipe(geometry={"size": [32, 32], "orient": "laterality"})
    pixels = prepare(both, wanted, cache=tmp_path / "cache").batch([0, 1]).pixels
    assert pixels[1].equal(pixels[0].flip(-1))


@pytest.mark.parametrize(("beyond", "edge"), [(0.25, 1.0), (-0.1, 0.0)])
def test_what_is_brighter_or_darker_than_all_tissue_keeps_its_contrast(
    beyond: float, edge: float
) -> None:
    """A lesion is small: the percentiles of the intensity rule are those of the tissue."""
    image = np.random.default_rng(0).choice([0.2, 0.6], (128, 128)).astype(np.float32)
    image[:5, :5] = edge_of_tissue = 0.6 if beyond > 0 else 0.2
    image[5:9, 5:9] = edge_of_tissue + beyond * 0.4
    wanted = recipe(geometry={"size": [128, 128]}, intensity={"rule": "percentiles"})
    seen = prepare_array(image[None, None], wanted, 1.0).batch([0]).pixels[0, 0].numpy()
    tissue = np.unique(seen[20:, 20:].round(3))
    assert len(tissue) == 2
    contrast = (seen[6, 6] - seen[2, 2]) / (tissue[1] - tissue[0])
    assert contrast == pytest.approx(beyond, abs=0.01)
    assert seen[6, 6] != edge
