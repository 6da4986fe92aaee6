"""Images in which bright and dark are exchanged are told before anything is learned from them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makers import recipe, typed
from midclass import Cohort, Recipe, prepare, prepare_array
from midclass.images import phantoms
from midclass.images.from_afar import SIDE, negatives, unit
from midclass.preview.advice import advice
from midclass.preview.audit import audit
from midclass.preview.negatives import exchanged, in_words

WHOLE = {"anatomy": "anatomy.whole", "intensity": {"rule": "none"}}


@given(st.integers(0, 2**16), st.integers(3, 40), st.data())
def test_those_of_the_fewer_are_found_whatever_their_places(
    seed: int, n: int, data: st.DataObject
) -> None:
    rng = np.random.default_rng(seed)
    few = data.draw(st.sets(st.integers(0, n - 1), max_size=(n - 1) // 2))
    sign = np.where(np.isin(np.arange(n), list(few)), -1, 1)[:, None]
    quarter = rng.normal(size=(SIDE // 2, SIDE // 2))
    half = np.concatenate([quarter, quarter[::-1]])
    picture = np.concatenate([half, half[:, ::-1]], axis=1).reshape(1, -1)  # the same when mirrored
    pictures = unit(sign * (picture + rng.normal(0, 0.3, (n, SIDE * SIDE))) + rng.normal())
    assert negatives(pictures).tolist() == sorted(few)


@pytest.mark.parametrize("axes", [(1,), (2,), (1, 2)])
def test_what_lies_mirrored_or_upside_down_is_no_negative(axes: tuple[int, ...]) -> None:
    """Breasts of the left and of the right side are each other's negatives, nearly."""
    side = np.add(*np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j])
    pictures = np.repeat(side[None], 20, axis=0)
    pictures[::3] = np.flip(pictures[::3], axes)
    assert negatives(unit(pictures.reshape(20, -1))).tolist() == []


def test_images_that_are_not_alike_have_no_negatives() -> None:
    pictures = np.random.default_rng(0).normal(size=(60, SIDE * SIDE))
    assert negatives(unit(pictures)).tolist() == []
    assert negatives(unit(pictures[:0])).tolist() == []


def test_audit_and_advice_name_them() -> None:
    images = phantoms.make("head", 36, seed=0, size=48)[:, None].astype(np.float32)
    images /= images.max()
    wanted = recipe(**WHOLE)
    assert exchanged(prepare_array(images, wanted, 4.0), wanted.geometry) == []
    images[::3] = 1 - images[::3]
    prepared = prepare_array(images, wanted, 4.0)
    names = [f"array[{n}]" for n in range(0, 36, 3)]
    assert exchanged(prepared, wanted.geometry) == names
    said = [line for line in advice(audit(prepared, wanted)) if "exchanged" in line]
    assert said == [f"images: {in_words(names, 36)}"]
    assert "in 12 of 36 images" in said[0]
    assert "array[0], array[3], array[6] and 9 more" in said[0]


@pytest.mark.slow
def test_fit_names_them(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for n, pixels in enumerate(phantoms.make("head", 40, seed=0, size=48)):
        grey = np.rint(255 * pixels / pixels.max()).astype(np.uint8)
        PIL.Image.fromarray(255 - grey if n == 7 else grey).save(tmp_path / f"images/{n:02}.png")
    (tmp_path / "r.yaml").write_text(
        "extends: phantoms\nname: r\nanatomy: anatomy.whole\n"
        "geometry: {size: [32, 32], field_of_view_mm: 200}\n"
    )
    words = "fit r.yaml images --detector intensity --out d --max-fpr 0.2 --cache cache"
    said = typed(words, tmp_path)
    assert said.returncode == 0, said.stderr
    assert "note: in 1 of 40 images bright and dark are exchanged" in said.stderr
    assert "07.png" in said.stderr


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["brain_mr", "chest_ct", "fundus", "head_ct"])
def test_of_real_collections_few_are_called_negatives(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    """They come from many sources, and were looked at."""
    whole = Recipe.load(name)
    geometry = whole.geometry.model_copy(update={"view": "whole"})
    seen = whole.model_copy(update={"geometry": geometry})
    cohort = Cohort.from_manifest(shared_data / "transfer" / name / "manifest.csv")
    prepared = prepare(cohort.part("train"), seen, cache=tmp_path)
    assert len(exchanged(prepared, geometry)) <= 0.02 * len(prepared)
