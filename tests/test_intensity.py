"""Intensity: a slice in Hounsfield units and a picture of it look the same to a detector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from midclass import Cohort, Recipe, prepare
from midclass.detectors.catalogue import detector_class
from midclass.images import phantoms
from midclass.images.formats.read import read
from test_dicom import write_dicom

Hounsfield = NDArray[np.float64]
FIELD_MM = 225


def as_dicom(hu: Hounsfield, path: Path) -> Path:
    stored = (hu + 1024).round().clip(0, 4095).astype(np.uint16)
    return write_dicom(
        path.with_suffix(".dcm"),
        stored,
        Modality="CT",
        RescaleSlope="1",
        RescaleIntercept="-1024",
        PixelSpacing=[FIELD_MM / len(hu)] * 2,
    )


def as_picture(low: float, high: float) -> Callable[[Hounsfield, Path], Path]:
    """A screenshot of a viewer with this window."""

    def write(hu: Hounsfield, path: Path) -> Path:
        grey = (255 * ((hu - low) / (high - low)).clip(0, 1)).round().astype(np.uint8)
        Image.fromarray(grey).save(path.with_suffix(".png"))
        return path.with_suffix(".png")

    return write


def heads(n: int, seed: int) -> list[Hounsfield]:
    """Phantoms in the window [-20, 100], in Hounsfield units; bone and air lie beyond."""
    shown = phantoms.make("head", n, seed, size=96).astype(float)
    return [np.select([one <= 0, one >= 1], [-1000, 900], 120 * one - 20) for one in shown]


@pytest.mark.slow
def test_a_head_in_hounsfield_units_scores_like_its_picture(tmp_path: Path) -> None:
    """Of the windows that viewers call brain, those near the recipe's."""
    recipe = Recipe.load("head_ct")
    learned = [as_dicom(hu, tmp_path / f"given{i}") for i, hu in enumerate(heads(50, 0))]
    cases = tuple(replace(case, label=0) for case in Cohort.from_files(learned))
    given = prepare(Cohort(cases), recipe)
    detector = detector_class("one_class_svm")(recipe).fit(given, max_fpr=0.1)
    spread = np.subtract(*np.percentile(detector.calibration_, (75, 25)))
    scores = {}
    for name, write in {
        "dicom": as_dicom,
        "same": as_picture(-20, 100),
        "near": as_picture(-15, 95),
        "bone": as_picture(-500, 1500),
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        files = [write(hu, folder / f"{i:02}") for i, hu in enumerate(heads(12, 1))]
        scores[name] = detector.score_samples(prepare(Cohort.from_files(files), recipe))
    for name in ("same", "near"):
        assert np.nanmedian(np.abs(scores[name] - scores["dicom"])) < spread
    assert np.isnan(scores["bone"]).all()  # brain is an even grey there: nothing can be seen in it


@pytest.mark.realdata
@pytest.mark.parametrize("window", [(-1350, 150), (-1250, 250), (-1400, 200)])
def test_a_real_slice_and_its_screenshot_are_prepared_alike(
    shared_data: Path, tmp_path: Path, window: tuple[float, float]
) -> None:
    """Viewers have many lung windows; a picture does not tell which one."""
    file = shared_data / "reader_tests/dicom/wg04/CT1_UNC.dcm"
    low, high = -2000.0, 2000.0
    hu = read(file, window=(low, high)).pixels[0].astype(float) * (high - low) + low
    shot = as_picture(*window)(hu, tmp_path / "shot")
    recipe = Recipe.load("chest_ct")
    prepared = prepare(Cohort.from_files([file, shot]), recipe)
    dicom, picture = prepared.batch([0, 1]).pixels[:, 0]
    first, second = prepared.batch([0, 1]).anatomy[:, 0]
    assert (first & second).sum() > 0.97 * (first | second).sum()
    assert float((dicom - picture).abs().mean()) < 0.06
    assert float(np.corrcoef(dicom.flatten(), picture.flatten())[0, 1]) > 0.97
