"""The wrong image: a file that says it is of another kind is no case of the task."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest

from dicom_folders import item
from makers import recipe
from midclass import Cohort, InputError, Recipe, prepare
from midclass.images.formats.holding import plane_in
from midclass.images.formats.read import read
from midclass.recipe.names import shipped
from test_dicom import write_dicom

CHEST = {"modality": ["CR", "DX"], "body_part": ["CHEST", "LUNG"]}
RAMP = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)


def why(folder: Path, accepts: dict[str, list[str]], **says: str) -> str:
    """The reason why a file cannot be prepared, or ""."""
    file = write_dicom(folder / "a.dcm", RAMP, PixelSpacing=[1, 1], **says)
    try:
        prepare(Cohort.from_files([file]), recipe(accepts=accepts), cache=folder / "c")
    except InputError as error:
        return str(error).partition("a.dcm: ")[2]
    return ""


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ({"Modality": "CR", "BodyPartExamined": "CHEST"}, ""),
        ({"Modality": "DX"}, ""),
        ({"BodyPartExamined": "CHESTABDPELVIS"}, ""),
        ({}, ""),
        ({"Modality": "OT"}, ""),
        ({"Modality": "CR", "BodyPartExamined": ""}, ""),
        ({"Modality": "MR"}, "Modality is MR, the recipe accepts CR, DX; take another recipe"),
        ({"Modality": "US", "BodyPartExamined": "CHEST"}, "Modality is US"),
        (
            {"Modality": "CR", "BodyPartExamined": "KNEE"},
            "BodyPartExamined has none of CHEST, LUNG",
        ),
        ({"Modality": "DOE JOHN", "BodyPartExamined": "CHEST"}, ""),  # a name, and no modality
    ],
)
def test_a_file_of_another_kind_fails_and_one_that_says_nothing_does_not(
    tmp_path: Path, says: dict[str, str], reason: str
) -> None:
    found = why(tmp_path, CHEST, **says)
    assert found.startswith(reason)
    assert bool(found) == bool(reason)
    assert "KNEE" not in found  # a header may have a name there


def test_a_recipe_that_accepts_all_and_another_cohort_prepared_before_are_kept_apart(
    tmp_path: Path,
) -> None:
    assert why(tmp_path, {}, Modality="MR") == ""
    assert why(tmp_path, CHEST, Modality="MR").startswith("Modality is MR")
    assert why(tmp_path, {}, Modality="MR") == ""


def test_a_slice_of_a_volume_is_no_projection(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((40, 30, 2)).astype(np.float32)
    for name, slices in (("volume", 2), ("one", 1)):
        nibabel.save(nibabel.Nifti1Image(values[..., :slices], np.eye(4)), tmp_path / f"{name}.nii")
    volume, one = (Cohort.from_files([tmp_path / f"{name}.nii"]) for name in ("volume", "one"))
    with pytest.raises(InputError, match="is a slice of a volume, the recipe accepts CR, DX"):
        prepare(volume, recipe(accepts=CHEST), cache=tmp_path / "c")
    assert len(prepare(one, recipe(accepts=CHEST), cache=tmp_path / "c")) == 1
    for wider in ({"modality": ["CR", "CT"]}, {}, {"body_part": ["CHEST"]}):
        assert len(prepare(volume, recipe(accepts=wider), cache=tmp_path / "c")) == 2


AXIAL, CORONAL, TILTED = [1, 0, 0, 0, 1, 0], [1, 0, 0, 0, 0, -1], [1, 0, 0, 0, 0.8, -0.6]
"""The last is the axial plane of a gantry that is tilted by 37 degrees."""


@pytest.mark.parametrize(
    ("direction", "refused"),
    [
        *((AXIAL, False), (TILTED, False), ([-1, 0, 0, 0, -1, 0], False)),  # on the belly, too
        *((CORONAL, True), ([0, 1, 0, 0, 0, -1], True), ([0, -1, 0, 0, 0, 1], True)),
        *((None, False), ([1, 0, 0], False), ([1, 0, 0, 1, 0, 0], False)),  # these tell of none
    ],
)
def test_a_slice_of_another_plane_fails_and_one_that_tells_of_none_does_not(
    tmp_path: Path, direction: list[float] | None, refused: bool
) -> None:
    says = {"Modality": "CT"} | (
        {} if direction is None else {"ImageOrientationPatient": direction}
    )
    file = write_dicom(tmp_path / "a.dcm", RAMP, PixelSpacing=[1, 1], **says)
    axial = recipe(accepts={"modality": ["CT"], "plane": ["axial"]})
    cohort = Cohort.from_files([file])
    if refused:
        with pytest.raises(InputError, match=r"is a (coronal|sagittal) slice, the recipe accepts"):
            prepare(cohort, axial, cache=tmp_path / "c")
    else:
        assert len(prepare(cohort, axial, cache=tmp_path / "c")) == 1
    assert len(prepare(cohort, recipe(), cache=tmp_path / "c")) == 1


@pytest.mark.parametrize("thick", [0, 1, 2])
@pytest.mark.parametrize("placed", ["sform", "qform", ""])
def test_a_volume_tells_the_plane_of_its_slices_where_it_says_how_the_patient_lies(
    tmp_path: Path, thick: int, placed: str
) -> None:
    edges = [1.0, 1.0, 1.0]
    edges[thick] = 4.0
    values = np.random.default_rng(0).random((20, 20, 20)).astype(np.float32)
    one = nibabel.Nifti1Image(values, np.diag([*edges, 1.0]))
    one.set_sform(one.affine, code=int(placed == "sform"))
    one.set_qform(one.affine, code=int(placed == "qform"))
    nibabel.save(one, tmp_path / "v.nii")
    told = ("sagittal", "coronal", "axial")[thick] if placed else ""
    assert read(tmp_path / "v.nii", frame=3).plane == told
    assert plane_in(tmp_path / "v.nii") == told
    assert read(tmp_path / "v.nii", volume=True).plane == ""


def test_each_frame_of_an_enhanced_file_tells_its_own_plane(tmp_path: Path) -> None:
    groups = [
        item(PlaneOrientationSequence=[item(ImageOrientationPatient=direction)])
        for direction in (AXIAL, CORONAL)
    ]
    file = write_dicom(
        tmp_path / "a.dcm",
        np.stack([RAMP, RAMP]),
        NumberOfFrames=2,
        PerFrameFunctionalGroupsSequence=groups,
    )
    assert [read(file, frame=frame).plane for frame in (0, 1)] == ["axial", "coronal"]


def test_recipes_of_axial_slices_accept_no_other() -> None:
    for name in ("head_ct", "head_ct_control", "stroke_ct", "chest_ct"):
        accepts = Recipe.load(name).accepts
        accepts.refuse("CT", "", "axial")
        with pytest.raises(InputError, match="--where plane!=sagittal,coronal"):
            accepts.refuse("CT", "", "sagittal")
    Recipe.load("brain_mr").accepts.refuse("MR", "", "sagittal")  # of any direction


def test_recipes_that_say_nothing_of_planes_are_written_as_before_there_were_any() -> None:
    assert recipe(accepts=CHEST).to_dict()["accepts"] == CHEST
    both = recipe(accepts={"plane": ["axial", "coronal"]})
    assert Recipe.from_dict(both.to_dict()).accepts.plane == ("axial", "coronal")
    with pytest.raises(InputError, match="--where plane!=sagittal"):
        both.accepts.refuse("MR", "", "sagittal")


@pytest.mark.parametrize(
    ("accepts", "says"),
    [
        ({"plane": ["transverse"]}, "plane 'transverse' is none of sagittal, coronal, axial"),
        ({"modality": ["XRAY"]}, "modality 'XRAY' is none of"),
        ({"body_part": ["Chest"]}, "body_part 'Chest': give it in capitals"),
        ({"modalities": ["CR"]}, "modalities"),
    ],
)
def test_what_no_file_says_is_refused_in_a_recipe(accepts: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        recipe(accepts=accepts)


def test_shipped_recipes_accept_kinds_of_their_own(shared_data: Path) -> None:
    """Of the real files those that say another modality or body part fail, and no other."""
    folder = shared_data / "reader_tests" / "dicom"
    chest, refused = Recipe.load("chest_xray").accepts, 0
    for file in sorted(folder.rglob("*.dcm")):
        try:
            image = read(file, frame=0)
        except InputError:
            continue
        if image.modality in ("MR", "CT", "US", "NM", "XA") or image.body_part == "BREAST":
            with pytest.raises(InputError, match="take another recipe"):
                chest.refuse(image.modality, image.body_part)
            refused += 1
        elif image.body_part == "CHEST":
            chest.refuse(image.modality, image.body_part)
    assert refused > 20


def test_every_shipped_recipe_for_dicom_says_what_it_accepts() -> None:
    without = {name for name in shipped() if not Recipe.load(name).accepts.modality}
    assert without <= {"blank", "phantoms", "phantoms_control"}
