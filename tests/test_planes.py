"""Slices of several planes in one folder: it is said, and one plane can be kept."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from dicom_folders import slice_file
from makers import recipe, typed
from midclass import Cohort, InputError
from midclass.cli.commands.source import tell_kinds
from midclass.images.planes import in_words, planes_of
from midclass.images.where import Condition

DIRECTIONS = {
    "axial": [1, 0, 0, 0, 1, 0],
    "sagittal": [0, 1, 0, 0, 0, -1],
    "coronal": [1, 0, 0, 0, 0, -1],
}
TILTED = [1, 0, 0, 0, 0.8, -0.6]
"""An axial plane of a gantry that is tilted by 37 degrees."""


def examination(folder: Path, **counts: int) -> Path:
    """A folder with so many DICOM files of each plane, each of its own patient."""
    folder.mkdir(exist_ok=True)
    for name, count in counts.items():
        for number in range(count):
            seed = 100 * list(DIRECTIONS).index(name) + number
            slice_file(
                folder / f"{name}{number}.dcm",
                *(seed, 1, 0.0),
                Modality="MR",
                ImageOrientationPatient=DIRECTIONS[name],
            )
    return folder


def volume(path: Path, edges_mm: tuple[float, float, float]) -> None:
    values = np.random.default_rng(0).integers(0, 100, (12, 12, 12)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([*edges_mm, 1.0])), path)  # with an sform


def test_files_are_counted_by_the_plane_that_their_header_says(tmp_path: Path) -> None:
    examination(tmp_path, axial=3, sagittal=2, coronal=1)
    slice_file(tmp_path / "tilted.dcm", 400, 1, 0.0, ImageOrientationPatient=TILTED)
    slice_file(tmp_path / "silent.dcm", 401, 1, 0.0, ImageOrientationPatient=None)
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "picture.png")
    found = planes_of(Cohort.from_files([tmp_path]))
    assert found == Counter(axial=4, sagittal=2, coronal=1)


@pytest.mark.parametrize(
    ("edges_mm", "plane"),
    [((4, 1, 1), "sagittal"), ((1, 4, 1), "coronal"), ((1, 1, 4), "axial"), ((1, 1, 1), "axial")],
)
@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_a_volume_counts_once_by_the_plane_in_which_it_is_cut(
    tmp_path: Path, edges_mm: tuple[float, float, float], plane: str, ending: str
) -> None:
    volume(tmp_path / f"v.{ending}", edges_mm)
    cohort = Cohort.from_files([tmp_path])
    assert len(cohort) == 12
    assert planes_of(cohort) == Counter({plane: 1})


def test_of_several_planes_it_is_said_and_of_one_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tell_kinds(Cohort.from_files([examination(tmp_path / "one", coronal=4)]), recipe())
    assert not capsys.readouterr().err
    tell_kinds(Cohort.from_files([examination(tmp_path / "two", coronal=4, axial=2)]), recipe())
    said = " ".join(capsys.readouterr().err.split())
    assert "coronal (4), axial (2) of 6 files looked at" in said
    assert said.endswith("midclass manifest FOLDER --where plane=coronal")
    of_one = recipe(accepts={"plane": ["coronal"]})  # the others fail, each with its reason
    tell_kinds(Cohort.from_files([tmp_path / "two"]), of_one)
    assert not capsys.readouterr().err


def test_what_is_said_can_be_typed(tmp_path: Path) -> None:
    examination(tmp_path / "mixed", axial=4, sagittal=3, coronal=2)
    volume(tmp_path / "mixed/sagittal.nii", (4, 1, 1))
    said = in_words(planes_of(Cohort.from_files([tmp_path / "mixed"])))
    command = said.partition("midclass ")[2].replace("FOLDER", "mixed")
    done = typed(f"{command} --given-class --out m.csv --key key", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "m.csv").open(encoding="utf-8", newline="")))
    assert {Path(row["path"]).name for row in rows} == {f"axial{n}.dcm" for n in range(4)}


def test_files_of_another_plane_are_left_out_and_those_that_tell_of_none_are_none(
    tmp_path: Path,
) -> None:
    examination(tmp_path / "mixed", axial=2, sagittal=3)
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "mixed/picture.png")
    volume(tmp_path / "mixed/volume.nii", (1, 1, 4))
    done = typed(
        "manifest mixed --where plane!=axial --given-class --out m.csv --key key", tmp_path
    )
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "m.csv").open(encoding="utf-8", newline="")))
    names = Counter(Path(row["path"]).stem.rstrip("012") for row in rows)
    assert names == Counter(sagittal=3, picture=1)


@pytest.mark.parametrize("text", ["plane=transverse", "plane<axial", "PLANE=axial,oblique"])
def test_another_plane_than_three_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="expected plane= or plane!= and of sagittal, coronal"):
        Condition.parsed(text)


def test_several_planes_can_be_asked_for() -> None:
    assert Condition.parsed("Plane = axial, coronal").holds({"plane": ("coronal",)})
