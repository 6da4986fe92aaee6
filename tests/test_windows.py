"""CT files are shown by windows of their own where a recipe gives none, and it is said."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom.dataset import Dataset

from dicom_folders import image_file
from makers import recipe, typed
from midclass import Cohort
from midclass.cli.commands.source import tell_windows
from midclass.images.windows import LOOKED_AT, in_words, windows_of


def series(folder: Path, *windows: tuple[object, object] | None, modality: str = "CT") -> Cohort:
    """A file for each window."""
    folder.mkdir(exist_ok=True)
    for number, window in enumerate(windows):
        tags = {} if window is None else {"WindowCenter": window[0], "WindowWidth": window[1]}
        image_file(folder / f"{number}.dcm", number, Modality=modality, **tags)
    return Cohort.from_files([folder])


def test_windows_are_counted_by_what_they_show_and_not_by_how_they_are_written(
    tmp_path: Path,
) -> None:
    windows = [(40, 400), ("40.0", "400.00"), (-600, 1500), None, ([40, -600], [400, 1500])]
    found = windows_of(series(tmp_path, *windows))
    assert found == Counter({"40/400": 3, "-600/1500": 1, "none": 1})


def test_the_window_is_that_by_which_the_file_is_shown(tmp_path: Path) -> None:
    table = Dataset()
    table.LUTDescriptor, table.LUTData = [2, 0, 16], bytes([0, 0, 255, 255])
    inner, outer = Dataset(), Dataset()
    inner.WindowCenter, inner.WindowWidth = -600, 1500
    outer.FrameVOILUTSequence = [inner]
    tags: list[dict[str, Any]] = [
        {"VOILUTSequence": [table], "WindowCenter": 40, "WindowWidth": 400},
        {"SharedFunctionalGroupsSequence": [outer]},
        {"WindowCenter": 40},
    ]
    for number, one in enumerate(tags):
        image_file(tmp_path / f"{number}.dcm", number, Modality="CT", **one)
    found = windows_of(Cohort.from_files([tmp_path]))
    assert found == Counter({"a table": 1, "-600/1500": 1, "none": 1})


def test_other_files_have_no_window_of_ct(tmp_path: Path) -> None:
    cohort = series(tmp_path, (40, 400), modality="MR")
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "picture.png")
    (tmp_path / "9.dcm").write_bytes(bytes(128) + b"DICM")
    assert not windows_of(Cohort.from_files([tmp_path]))
    assert not in_words(windows_of(cohort))


def test_of_many_files_some_are_looked_at_from_the_first_to_the_last(tmp_path: Path) -> None:
    first = [(40, 400)] * LOOKED_AT
    found = windows_of(series(tmp_path, *first, *[(-600, 1500)] * LOOKED_AT))
    assert found == Counter({"40/400": LOOKED_AT // 2, "-600/1500": LOOKED_AT // 2})


@pytest.mark.parametrize(
    ("windows", "said"),
    [
        ([(40, 400), (-600, 1500)], "the same tissue is not as bright in all of them"),
        ([(40, 400), (40, 400)], "40/400 (2) of 2 looked at; files of another window would be"),
    ],
)
def test_where_the_recipe_gives_no_window_it_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], windows: list[tuple[int, int]], said: str
) -> None:
    cohort = series(tmp_path, *windows)
    tell_windows(cohort, recipe(intensity={"rule": "none"}))
    note = " ".join(capsys.readouterr().err.split())
    assert said in note
    assert "set intensity.window of the recipe" in note
    tell_windows(cohort, recipe(intensity={"rule": "none", "window": [-160, 240]}))
    assert not capsys.readouterr().err


@pytest.mark.slow
def test_whoever_fits_on_ct_without_a_window_is_told(tmp_path: Path) -> None:
    series(tmp_path / "images", *[(40, 400), (-600, 1500)] * 20)
    (tmp_path / "own.yaml").write_text(
        "name: own\ngiven_class: normal\ntarget_class: ill\nanatomy: anatomy.whole\n"
        "geometry: {size: [32, 32], field_of_view_mm: 10}\nbudget: {pretrained: null}\n"
        "middle_classes: {spot: {operator: focal.Focal, diameter_mm: [1, 4]}}\n"
    )
    done = typed("fit own.yaml images --detector pca --max-fpr 0.2 --out det", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "-600/1500 (20)" in done.stderr
    done = typed("score det images/0.dcm --out scores.csv", tmp_path)
    assert "40/400 (1) of 1 looked at" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("window", [True, False])
def test_whoever_fits_on_12_bits_in_files_of_16_is_told(tmp_path: Path, window: bool) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(40):
        pixels = rng.normal(600, 200, (32, 32)).clip(0, 4095).astype(np.uint16)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    (tmp_path / "own.yaml").write_text(
        "name: own\ngiven_class: normal\ntarget_class: ill\nanatomy: anatomy.whole\n"
        "geometry: {size: [32, 32], field_of_view_mm: 10}\nbudget: {pretrained: null}\n"
        f"intensity: {{window: {'[0, 4095]' if window else 'null'}}}\n"
        "middle_classes: {spot: {operator: focal.Focal, diameter_mm: [1, 4]}}\n"
    )
    done = typed("fit own.yaml images --detector pca --max-fpr 0.2 --out det", tmp_path)
    assert done.returncode == 0, done.stderr
    assert ("the images hardly differ, by 0.3% of the range" in done.stderr) != window
