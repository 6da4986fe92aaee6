"""Phantoms: the same bytes for the same seed, honest manifests, lesions that are no shortcut."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from midclass import InputError, Recipe, prepare
from midclass.images import phantoms
from midclass.preview.phantoms import for_phantoms, phantom_cohort, phantom_of

kinds = pytest.mark.parametrize("kind", phantoms.KINDS)


def rows_of(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def body(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The largest bright region, holes filled, with a margin of one pixel for the blur."""
    regions, _ = ndimage.label(ndimage.median_filter(image, 3) > 0.1)
    largest = regions == 1 + np.argmax(np.bincount(regions.ravel())[1:])
    return np.asarray(ndimage.binary_dilation(ndimage.binary_fill_holes(largest)))


def bytes_of(folder: Path) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


@kinds
@pytest.mark.parametrize("target", [False, True])
def test_image_i_depends_on_the_seed_and_i_alone(kind: str, target: bool) -> None:
    many = phantoms.make(kind, 6, seed=3, target=target)
    np.testing.assert_array_equal(many[:4], phantoms.make(kind, 4, seed=3, target=target))
    assert not np.array_equal(many, phantoms.make(kind, 6, seed=4, target=target))
    assert many.dtype == np.float32
    assert many.min() >= 0
    assert many.max() <= 1
    assert len({image.tobytes() for image in many}) == len(many)


@kinds
def test_the_global_random_state_has_no_effect(kind: str) -> None:
    np.random.seed(1)
    first = phantoms.make(kind, 1, seed=0, size=64)
    np.random.seed(2)
    np.testing.assert_array_equal(first, phantoms.make(kind, 1, seed=0, size=64))


@kinds
def test_a_lesion_changes_its_twin_visibly_and_inside_the_body_only(kind: str) -> None:
    given = phantoms.make(kind, 12, seed=5)
    target = phantoms.make(kind, 12, seed=5, target=True)
    for before, after in zip(given, target, strict=True):
        changed = np.abs(after - before) > 0.02
        assert changed.sum() >= 4
        assert np.mean(changed) < 0.3
        assert not np.any(changed & ~body(before))


@pytest.mark.slow
@kinds
def test_mean_and_spread_of_intensity_do_not_separate_the_classes(kind: str) -> None:
    given = phantoms.make(kind, 80, seed=11, size=64)
    target = phantoms.make(kind, 80, seed=12, size=64, target=True)
    images = np.concatenate([given, target])
    label = np.repeat([0, 1], 80)
    for feature in (images.mean((1, 2)), images.std((1, 2)), images.max((1, 2))):
        auroc = roc_auc_score(label, feature)
        assert max(auroc, 1 - auroc) < 0.8


@kinds
@pytest.mark.parametrize("size", [32, 96, 129])
def test_any_size_shows_the_same_body(kind: str, size: int) -> None:
    images = phantoms.make(kind, 2, seed=0, size=size)
    assert images.shape == (2, size, size)
    assert 0.05 < images.mean() < 0.8


@kinds
def test_the_manifest_is_true_and_no_patient_is_on_both_sides(kind: str, tmp_path: Path) -> None:
    manifest = phantoms.write(tmp_path / "set", kind, seed=2, n_train=7, n_test=5, size=64)
    rows = rows_of(manifest)
    assert [(r["split"], r["label"]) for r in rows] == (
        [("train", "0")] * 7 + [("test", "0")] * 5 + [("test", "1")] * 5
    )
    assert all((r["class_name"] == "normal") == (r["label"] == "0") for r in rows)
    assert len({r["class_name"] for r in rows}) >= 4
    sides = [{r["patient_id"] for r in rows if r["split"] == s} for s in ("train", "test")]
    assert not sides[0] & sides[1]
    stored = np.asarray(Image.open(manifest.parent / rows[0]["path"]))
    assert stored.dtype == np.uint16
    np.testing.assert_allclose(
        stored / 65535, phantoms.make(kind, 1, seed=2, size=64)[0], atol=1e-5
    )
    assert 100 < float(rows[0]["spacing_mm"]) * stored.shape[0] < 400
    assert len({(manifest.parent / r["path"]).read_bytes() for r in rows}) == len(rows)


def test_a_breast_patient_has_a_left_and_a_right_image(tmp_path: Path) -> None:
    rows = rows_of(phantoms.write(tmp_path / "set", "breast", 0, n_train=4, n_test=0, size=64))
    assert [r["patient_id"][-1] for r in rows] == ["0", "0", "1", "1"]
    right, left = phantoms.make("breast", 2, seed=0, size=64)
    assert right[:, :8].mean() > right[:, -8:].mean()
    assert left[:, :8].mean() < left[:, -8:].mean()


def test_writing_twice_gives_the_same_bytes_and_leaves_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    phantoms.write(folder, "head", seed=1, n_train=5, n_test=2, size=64)
    first = bytes_of(folder)
    phantoms.write(folder, "head", seed=1, n_train=5, n_test=2, size=64)
    assert bytes_of(folder) == first
    phantoms.write(folder, "head", seed=1, n_train=3, n_test=1, size=64)
    smaller = bytes_of(folder)
    assert len(smaller) == 5 + 3
    assert all(smaller[name] == first[name] for name in smaller if name.startswith("images/"))
    assert list(tmp_path.iterdir()) == [folder]


def test_a_folder_with_anything_else_in_it_is_refused_and_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "manifest.csv").write_text("path\nthesis.txt\n")
    (mine / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="give a new folder"):
        phantoms.write(mine, "head", seed=0, n_train=1, n_test=1, size=64)
    phantoms.write(tmp_path / "set", "head", seed=0, n_train=1, n_test=1, size=64)
    (tmp_path / "set" / "images" / "note.txt").write_text("mine too")
    with pytest.raises(InputError, match=r"images/note\.txt"):
        phantoms.write(tmp_path / "set", "head", seed=0, n_train=1, n_test=1, size=64)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="not a folder"):
        phantoms.write(tmp_path / "file", "head", seed=0, n_train=1, n_test=1, size=64)
    assert (mine / "thesis.txt").read_text() == "years of work"


def test_a_failure_half_way_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="no space"):
        phantoms.write(tmp_path / "set", "head", seed=0, n_train=1, n_test=1, size=64)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_made_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'knee'.*breast, head, chest"):
        phantoms.make("knee", 1, seed=0)
    with pytest.raises(InputError, match="'knee'"):
        phantoms.write(tmp_path / "set", "knee", seed=0)
    with pytest.raises(InputError, match="8 px"):
        phantoms.make("head", 1, seed=0, size=8)
    with pytest.raises(InputError, match="-1"):
        phantoms.make("head", -1, seed=0)
    with pytest.raises(InputError, match="seed -3"):
        phantoms.make("head", 1, seed=-3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", phantoms.STAND_INS)
def test_what_stands_in_depends_on_the_seed_and_its_number_alone_and_has_no_lesions(
    kind: str, tmp_path: Path
) -> None:
    three = phantoms.make(kind, 3, seed=3, size=64)
    np.testing.assert_array_equal(three[:2], phantoms.make(kind, 2, seed=3, size=64))
    assert not np.array_equal(three, phantoms.make(kind, 3, seed=4, size=64))
    assert three.min() >= 0
    assert three.max() <= 1
    assert len({image.tobytes() for image in three}) == 3
    with pytest.raises(InputError, match=f"of kind {kind} have no lesions; breast, head, chest"):
        phantoms.make(kind, 1, seed=0, target=True)
    with pytest.raises(InputError, match="have no lesions"):
        phantoms.write(tmp_path / "set", kind, 0, 1, 1)


@pytest.mark.parametrize(
    "name",
    ["bone_xray", "brain_mr", "breast_ultrasound", "chest_ct", "dermoscopy", "fundus"],
)
def test_what_stands_in_for_images_of_a_recipe_shows_its_anatomy(name: str) -> None:
    recipe = Recipe.load(name)
    assert phantom_of(recipe) in phantoms.STAND_INS
    with phantom_cohort(recipe, 2, seed=0) as cohort, tempfile.TemporaryDirectory() as cache:
        prepared = prepare(cohort, for_phantoms(recipe), cache=Path(cache))
    assert (prepared.covered > 0.05).all()
    assert not prepared.assumed_spacing
