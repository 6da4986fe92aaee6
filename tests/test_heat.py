"""A heat map means the same every time: its scale is the detector's, not that of what is shown."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import PIL.Image
from hypothesis import given
from hypothesis import strategies as st

from makers import discs, phantom_folder, recipe, tiny_phantoms, typed
from midclass import Prepared, load_detector, prepare_array
from midclass.detectors.baselines.pca import PCA
from midclass.evaluation.heat import HeatScale

RECIPE = recipe(budget={"standardise": False})
HEATS = st.lists(st.floats(0, 1), min_size=2, max_size=40)


def of(n: int, seed: int, **square: object) -> Prepared:
    return prepare_array(discs(n, seed, **square), RECIPE, spacing_mm=1.0)


def colour(detector: PCA, prepared: Prepared) -> np.ndarray:
    return detector.heat_(detector.heat_maps(prepared))


@given(heat=HEATS, begins=st.floats(0, 1))
def test_colour_is_none_up_to_where_it_begins_and_never_falls(
    heat: list[float], begins: float
) -> None:
    shown = HeatScale(begins)(np.sort(heat))
    assert (np.diff(shown) >= 0).all()
    assert ((shown >= 0) & (shown <= 1)).all()
    assert (shown[np.sort(heat) <= begins] == 0).all()


def test_few_normals_show_any_colour_and_a_lesion_does(tmp_path: Path) -> None:
    rates = []
    for seed in range(4):
        detector = PCA(RECIPE).fit(of(150, seed), max_fpr=0.1)
        assert isinstance(detector, PCA)
        assert detector.heat_.rate == 0.1
        rates.append((colour(detector, of(150, seed=100 + seed)) > 0).any((1, 2)).mean())
    assert 0.02 < np.mean(rates) < 0.15
    ill = colour(detector, of(30, seed=50, square=0.5, corner=(12, 12)))
    assert (ill[:, 12:18, 12:18].max((1, 2)) > 0.2).mean() > 0.9


def test_the_scale_is_saved_and_that_of_folds_is_of_all_that_they_held_out(tmp_path: Path) -> None:
    detector = PCA(RECIPE).fit(of(60, seed=0), max_fpr=0.1, folds=4)
    assert detector.heat_ != HeatScale()
    detector.save(tmp_path / "d")
    assert load_detector(tmp_path / "d").heat_ == detector.heat_
    rare = (detector.heat_(detector.heat_maps(of(200, seed=1))) > 0).any((1, 2)).mean()
    assert rare < 0.2


def test_a_detector_saved_before_there_was_a_scale_has_the_usual_one(tmp_path: Path) -> None:
    PCA(RECIPE).fit(of(60, seed=0), max_fpr=0.1).save(tmp_path / "d")
    file = tmp_path / "d" / "detector.json"
    about = json.loads(file.read_text())
    del about["heat"], about["sha256"]
    file.write_text(json.dumps(about))
    assert load_detector(tmp_path / "d").heat_ == HeatScale()


def test_as_typed_a_picture_alone_is_that_among_others_to_the_byte(tmp_path: Path) -> None:
    phantom_folder(tmp_path, tiny_phantoms(), given=80, target=12)
    fit = "fit tiny.yaml --cohort data/manifest.csv --detector autoencoder --max-fpr .1 --out d"
    fitted = typed(fit, tmp_path)
    assert fitted.returncode == 0, fitted.stderr
    files = sorted((tmp_path / "data").glob("*.npz")) or sorted((tmp_path / "data").rglob("*.png"))
    shown = [str(file.relative_to(tmp_path)) for file in files][:6]
    all_of_them = typed(f"score d {' '.join(shown)} --out s.csv --heat-maps maps", tmp_path)
    assert all_of_them.returncode in (0, 1), all_of_them.stderr
    pictures = sorted((tmp_path / "maps").glob("*.png"))
    assert len(pictures) == 6
    for number in (0, 5):
        typed(f"score d {shown[number]} --out {number}.csv --heat-maps m{number}", tmp_path)
        (alone,) = (tmp_path / f"m{number}").glob("*.png")
        assert alone.read_bytes() == pictures[number].read_bytes()
    with PIL.Image.open(pictures[0]) as picture:
        assert picture.height > 384  # there is room for what it says
    with (tmp_path / "s.csv").open(newline="") as table:
        assert len(list(csv.DictReader(table))) == 6
