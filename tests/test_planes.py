"""Slices of several planes in one folder: it is said, and one plane can be kept."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from dicom_folders import image_file, item, slice_file
from makers import recipe, typed
from midclass import Cohort, InputError
from midclass.cli.commands.source import tell_kinds
from midclass.images import planes
from midclass.images.formats.dicom_header import header_of
from midclass.images.formats.read import read
from midclass.images.planes import in_words, plane_of_first, plane_told, planes_of
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
    assert "midclass manifest FOLDER --where plane!=sagittal,axial; and before a fit" in said
    assert said.endswith("accepts: {plane: [coronal]}")
    of_one = recipe(accepts={"plane": ["coronal"]})  # the others fail, each with its reason
    tell_kinds(Cohort.from_files([tmp_path / "two"]), of_one)
    assert not capsys.readouterr().err


@pytest.mark.parametrize("ending", ["nii", "nii.gz"])
def test_volumes_that_do_not_say_how_the_patient_lies_are_told(
    tmp_path: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stored the other way around they are upside down, and score as if they were not."""
    for name, affine in (("placed", np.eye(4)), ("anyhow", None)):
        image = nibabel.Nifti1Image(np.zeros((8, 8, 12), np.int16), affine)
        nibabel.save(image, tmp_path / f"{name}.{ending}")
    (tmp_path / "broken.nii").write_bytes(b"\x5c\x01\0\0" + bytes(340) + b"n+1\0")
    cohort = Cohort.from_files([tmp_path])
    for accepted in ({}, {"accepts": {"plane": ["axial"]}}):
        tell_kinds(cohort, recipe(**accepted))
        said = " ".join(capsys.readouterr().err.split())
        assert "note: 1 of 3 NIfTI files looked at do not say how the patient lies" in said
    tell_kinds(Cohort.from_files([tmp_path / f"placed.{ending}"]), recipe())
    assert not capsys.readouterr().err


def test_what_is_said_can_be_typed(tmp_path: Path) -> None:
    examination(tmp_path / "mixed", axial=4, sagittal=3, coronal=2)
    volume(tmp_path / "mixed/sagittal.nii", (4, 1, 1))
    slice_file(tmp_path / "mixed/silent.dcm", 500, 1, 0.0, ImageOrientationPatient=None)
    said = in_words(planes_of(Cohort.from_files([tmp_path / "mixed"])))
    command = said.partition("midclass ")[2].partition(";")[0].replace("FOLDER", "mixed")
    done = typed(f"{command} --given-class --out m.csv --key key", tmp_path)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "m.csv").open(encoding="utf-8", newline="")))
    kept = {Path(row["path"]).name for row in rows}
    assert kept == {*(f"axial{n}.dcm" for n in range(4)), "silent.dcm"}


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


def test_several_planes_can_be_asked_for_and_none() -> None:
    assert Condition.parsed("Plane = axial, Coronal").holds({"plane": ("coronal",)})
    assert Condition.parsed("plane=").holds({"plane": ("",)})
    assert not Condition.parsed("plane!=").holds({"plane": ("",)})


@pytest.mark.parametrize("position", [None, [0, 0]])
def test_a_plane_is_told_also_where_a_position_is_not(
    tmp_path: Path, position: list[int] | None
) -> None:
    file = slice_file(
        tmp_path / "a.dcm",
        *(1, 1, 0.0),
        ImageOrientationPatient=DIRECTIONS["coronal"],
        ImagePositionPatient=position,
    )
    assert read(file).plane == plane_of_first(file) == "coronal"
    assert plane_told(file, header_of(file)) == "coronal"


@pytest.mark.parametrize(
    ("second", "told"), [([1, 0, 0, 0, 1, 1e-6], "axial"), (DIRECTIONS["coronal"], "")]
)
def test_frames_of_one_plane_tell_it_whatever_their_last_digits(
    tmp_path: Path, second: list[float], told: str
) -> None:
    frames = [
        item(PlaneOrientationSequence=[item(ImageOrientationPatient=one)])
        for one in (DIRECTIONS["axial"], second)
    ]
    pixels = np.random.default_rng(0).integers(0, 4096, (2, 16, 20))
    more = {"NumberOfFrames": 2, "PerFrameFunctionalGroupsSequence": frames}
    file = image_file(tmp_path / "a.dcm", 1, pixels, **more)
    assert plane_told(file, header_of(file, 2)) == told
    assert plane_of_first(file) == "axial"


def test_a_damaged_or_absurd_file_tells_of_no_plane_and_ends_nothing(tmp_path: Path) -> None:
    examination(tmp_path, axial=2, coronal=1)
    (tmp_path / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 99)
    (tmp_path / "broken.nii").write_bytes(b"\x5c\x01\0\0" + bytes(340) + b"n+1\0")
    (tmp_path / "broken.nii.gz").write_bytes(b"\x1f\x8b\x08\0" + bytes(9))
    slice_file(tmp_path / "huge.dcm", 9, 1, 0.0, ImageOrientationPatient=["1e200"] * 6)
    slice_file(tmp_path / "word.dcm", 8, 1, 0.0).write_bytes(
        (tmp_path / "axial0.dcm").read_bytes().replace(b"1.0\\0.0", b"one\\0.0")
    )
    found = planes_of(Cohort.from_files([tmp_path]))
    assert found == Counter(axial=2, coronal=1)
    assert plane_of_first(tmp_path / "gone.dcm") == ""


def test_headers_are_not_read_where_no_slice_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = Cohort.from_files([examination(tmp_path / "two", coronal=4, axial=2)])
    monkeypatch.setattr(planes, "planes_of", lambda _: pytest.fail("no slice is accepted"))
    tell_kinds(cohort, recipe(accepts={"modality": ["CR", "DX"]}, intensity={"window": [0, 9]}))


@pytest.mark.slow
def test_the_commands_say_so(tmp_path: Path) -> None:
    examination(tmp_path / "images", axial=30, coronal=10)
    (tmp_path / "own.yaml").write_text(
        "name: own\ngiven_class: normal\ntarget_class: ill\nanatomy: anatomy.whole\n"
        "geometry: {size: [32, 32], field_of_view_mm: 10}\nbudget: {pretrained: null}\n"
        "middle_classes: {spot: {operator: focal.Focal, diameter_mm: [1, 4]}}\n"
    )
    fit = "fit own.yaml images --detector pca --max-fpr 0.2"
    said = "axial (30), coronal (10) of 40 files looked at"
    for command in (f"{fit} --out det", "score det images --out scores.csv"):
        done = typed(command, tmp_path)
        assert done.returncode == 0, done.stderr
        assert said in " ".join(done.stderr.split()), command
    (tmp_path / "own.yaml").write_text(
        (tmp_path / "own.yaml").read_text() + "accepts: {plane: [axial]}\n"
    )
    refused = typed(f"{fit} --out other", tmp_path)
    assert refused.returncode == 2
    assert "is a coronal slice, the recipe accepts axial" in refused.stderr
