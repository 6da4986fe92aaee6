"""Cohorts: cases from manifests and files; no patient is ever cut in two."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from makers import manifest
from midclass import Case, Cohort, InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images a.png, b.png, c.png of different brightness, and a splits.csv."""
    for name, value in {"a": 51, "b": 102, "c": 153}.items():
        PIL.Image.new("L", (4, 3), value).save(tmp_path / f"{name}.png")
    (tmp_path / "splits.csv").write_text("path,r0\na.png,train\nb.png,train\nc.png,test\n")
    return tmp_path


def test_every_column_reaches_the_case(folder: Path) -> None:
    path = manifest(
        folder,
        "path,label,patient_id,class_name,spacing_mm,x,y,laterality,radius,split",
        "a.png,0,p1,normal,0.4;0.5,1.5,2,left,7,train",
        "",
        "b.png,1.0,,mass,0.4,,,R,,test",
    )
    first, second = Cohort.from_manifest(path)
    assert first == Case(
        case_id="a.png@1.5,2",
        path=folder / "a.png",
        label=0,
        patient_id="p1",
        class_name="normal",
        part="train",
        spacing_mm=(0.4, 0.5),
        centre=(1.5, 2),
        laterality="L",
        radius=7,
        row=2,
    )
    assert (second.label, second.patient_id, second.spacing_mm) == (1, "b.png", (0.4, 0.4))
    assert (second.centre, second.laterality, second.row) == (None, "R", 4)


def test_case_ids_tell_rows_frames_and_regions_apart(folder: Path) -> None:
    np.savez(folder / "d.npz", train=np.zeros((2, 3, 4), dtype=np.uint8))
    path = manifest(
        folder,
        "path,array,index,frame,x,y,roi_id",
        "d.npz,train,0,,,,",
        "d.npz,train,1,,,,",
        "a.png,,,0,,,",
        "a.png,,,0,1,2,",
        "b.png,,,,1,2,named",
    )
    cohort = Cohort.from_manifest(path)
    assert [case.case_id for case in cohort] == [
        "d.npz#train[0]",
        "d.npz#train[1]",
        "a.png#0",
        "a.png#0@1,2",
        "named",
    ]
    # Regions and frames of one file are one patient; rows of an array are not.
    assert cohort.patients == ("a.png", "b.png", "d.npz#train[0]", "d.npz#train[1]")
    assert cohort.read(1).pixels.shape == (1, 3, 4)


def test_parts_come_from_a_column_or_another_file(folder: Path) -> None:
    path = manifest(folder, "path,split,r1", "a.png,,x", "b.png,,y", "c.png,,y")
    assert Cohort.from_manifest(path).parts == ()
    assert Cohort.from_manifest(path, "r1").parts == ("x", "y")
    cohort = Cohort.from_manifest(path, "splits.csv:r0")
    assert [case.case_id for case in cohort.part("train")] == ["a.png", "b.png"]
    with pytest.raises(InputError, match="no part 'val'; the parts are: test, train"):
        cohort.part("val")


def test_a_split_file_with_case_ids_is_joined_on_them(folder: Path) -> None:
    path = manifest(folder, "roi_id,path,x,y", "r1,a.png,1,1", "r2,b.png,2,2")
    (folder / "rois.csv").write_text("roi_id,path,r0\nr2,a.png,train\nr1,b.png,test\n")
    cohort = Cohort.from_manifest(path, "rois.csv:r0")
    assert [case.part for case in cohort] == ["test", "train"]


def test_classes_and_labels(folder: Path) -> None:
    path = manifest(folder, "path,label", "a.png,0", "b.png,1", "c.png,")
    cohort = Cohort.from_manifest(path)
    with pytest.raises(InputError, match=r"1 of 3 cases have no label, the first is row 4"):
        _ = cohort.labels
    assert cohort[:2].labels.tolist() == [0, 1]
    assert cohort[:2].given_class()[0].case_id == "a.png"
    assert cohort[:2].target_class()[-1].case_id == "b.png"


def test_numbers_and_masks_choose_cases(folder: Path) -> None:
    cohort = Cohort.from_manifest(manifest(folder, "path", "a.png", "b.png", "c.png"))
    for index in ([2, 0], np.array([2, 0])):
        assert [case.path.stem for case in cohort[index]] == ["c", "a"]
    assert [case.path.stem for case in cohort[np.array([True, False, True])]] == ["a", "c"]
    assert cohort[-1].path.stem == cohort[np.int64(2)].path.stem == "c"
    assert len(cohort[[]]) == 0


def test_spacing_of_the_manifest_is_used(folder: Path) -> None:
    path = manifest(folder, "path,spacing_mm", "a.png,0.4", "b.png,")
    cohort = Cohort.from_manifest(path)
    assert cohort.read(0).spacing_mm == (0.4, 0.4)
    assert cohort.read(1).spacing_mm is None
    assert cohort.read(0, window=(0, 102)).pixels.max() == pytest.approx(0.5)


def test_a_root_allows_paths_anywhere(folder: Path) -> None:
    (folder / "lists").mkdir()
    path = manifest(folder / "lists", "path", "a.png", str(folder / "b.png"))
    cohort = Cohort.from_manifest(path, root=folder)
    assert [case.path for case in cohort] == [folder / "a.png", folder / "b.png"]


def test_files_and_folders_make_an_unlabelled_cohort(folder: Path) -> None:
    deep = folder / "deep" / "er"
    deep.mkdir(parents=True)
    (folder / "a.png").rename(deep / "IM0001")  # an image without a suffix
    (deep / ".hidden.png").write_text("x")
    (deep / "broken.png").write_text("text")
    cohort = Cohort.from_files([folder])
    assert [case.path.name for case in cohort] == ["b.png", "c.png", "IM0001", "broken.png"]
    assert len(cohort.patients) == 4
    with pytest.raises(InputError, match=r"broken\.png"):
        cohort.read(3)
    with pytest.raises(InputError, match="no label"):
        _ = cohort.labels


def test_from_files_refuses_nothing_absent_and_twice(folder: Path) -> None:
    (folder / "empty").mkdir()
    for paths, message in [
        ([], "no image files found"),
        ([folder / "empty"], "empty: no image files found"),
        ([folder / "none.png"], "none.png: no such file or folder"),
        ([folder / "a.png", folder], "a.png: was named twice"),
    ]:
        with pytest.raises(InputError, match=message):
            Cohort.from_files(paths)


def test_a_leak_by_patient_or_by_content_is_found(folder: Path) -> None:
    (folder / "copy.png").write_bytes((folder / "a.png").read_bytes())
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.savez(folder / "d.npz", train=array, test=array[::-1])
    path = manifest(
        folder,
        "path,array,index,patient_id",
        "a.png,,,p",
        "b.png,,,q",
        "c.png,,,p",
        "copy.png,,,r",
        "d.npz,train,0,",
        "d.npz,test,0,",
        "d.npz,test,1,",
    )
    cohort = Cohort.from_manifest(path)
    cohort[[0, 4]].check_no_leak(cohort[[1, 5]])
    with pytest.raises(InputError, match=r"patient p is in both: a\.png .* and c\.png"):
        cohort[[0]].check_no_leak(cohort[[1, 2]])
    with pytest.raises(InputError, match=r"same image is in both: a\.png .* and copy\.png"):
        cohort[[0]].check_no_leak(cohort[[1, 3]])
    with pytest.raises(InputError, match=r"train\[0\] .* and d\.npz#test\[1\]"):
        cohort[[4]].check_no_leak(cohort[[5, 6]])


def cohort_of(patients: list[int]) -> Cohort:
    """One case per number, which is its patient."""
    return Cohort(
        tuple(Case(f"c{k}", Path(f"{k}.png"), 0, f"p{n}") for k, n in enumerate(patients))
    )


@given(
    patients=st.lists(st.integers(0, 12), min_size=3, max_size=60),
    fractions=st.sampled_from(
        [{"fit": 0.8, "calibrate": 0.2}, {"a": 0.98, "b": 0.01, "c": 0.01}, {"all": 1.0}]
    ),
    seed=st.integers(0, 2**32),
)
def test_a_split_keeps_patients_whole_and_loses_nothing(
    patients: list[int], fractions: Mapping[str, float], seed: int
) -> None:
    cohort, n = cohort_of(patients), len(set(patients))
    if n < len(fractions):
        with pytest.raises(InputError, match=f"{n} patients cannot fill {len(fractions)} parts"):
            cohort.split_by_patient(fractions, seed)
        return
    parts = cohort.split_by_patient(fractions, seed)
    assert list(parts) == list(fractions)
    assert sorted(p for part in parts.values() for p in part.patients) == list(cohort.patients)
    assert sorted(c.case_id for part in parts.values() for c in part) == sorted(
        c.case_id for c in cohort
    )
    for name, part in parts.items():
        assert len(part) > 0
        assert abs(len(part.patients) - fractions[name] * n) <= len(fractions)
        again = cohort[::-1].split_by_patient(fractions, seed)[name]
        assert again.patients == part.patients


def test_another_seed_gives_another_split_and_fractions_are_kept() -> None:
    cohort = cohort_of(list(range(100)))
    one, two = (cohort.split_by_patient({"a": 0.75, "b": 0.25}, seed) for seed in (0, 1))
    assert (len(one["a"]), len(one["b"])) == (75, 25)
    assert one["a"].patients != two["a"].patients


def test_fractions_must_add_up_to_one() -> None:
    for fractions in ({"a": 0.5, "b": 0.4}, {"a": 1.5, "b": -0.5}, {}):
        with pytest.raises(InputError, match="expected positive numbers that add up to 1"):
            cohort_of([1, 2, 3]).split_by_patient(fractions, 0)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "split", "sizes", "given_class"),
    [
        ("mini_mias/rois.csv", "repeat_0", {"test": 1255, "train": 512}, 1656),
        ("mini_mias/manifest.csv", "splits.csv:repeat_3", {"test": 258, "train": 64}, 207),
        ("mini_mias/manifest.csv", None, {}, 207),
        ("ct_ich/manifest.csv", "splits.csv:repeat_0", {"test": 1612, "train": 859}, 2168),
        ("kermany_cxr/manifest.csv", None, {"test": 624, "train": 1642}, 1575),
        ("breastmnist/manifest.csv", None, {"test": 156, "train": 546, "val": 78}, 570),
        ("pneumoniamnist/manifest.csv", None, {"test": 624, "train": 4708, "val": 524}, 1583),
    ],
)
def test_real_manifests_load(
    shared_data: Path, name: str, split: str | None, sizes: dict[str, int], given_class: int
) -> None:
    cohort = Cohort.from_manifest(shared_data / name, split)
    assert {part: len(cohort.part(part)) for part in cohort.parts} == sizes
    assert len(cohort.given_class()) == given_class
    for i in (0, len(cohort) - 1):
        pixels = cohort.read(i).pixels
        assert pixels.ndim == 3
        assert 0 <= pixels.min() < pixels.max() <= 1


@pytest.mark.realdata
def test_the_known_duplicate_of_breastmnist_is_found(shared_data: Path) -> None:
    cohort = Cohort.from_manifest(shared_data / "breastmnist" / "manifest.csv")
    with pytest.raises(InputError, match=r"train_images\[115\] .* and .*test_images\[76\]"):
        cohort.part("train").check_no_leak(cohort.part("test"))


@pytest.mark.parametrize(("size", "sizes"), [(1, [1] * 5), (2, [2, 2, 1]), (5, [5]), (9, [5])])
def test_blocks_are_the_cases_in_order_and_each_once(size: int, sizes: list[int]) -> None:
    cohort = Cohort(tuple(Case(str(i), Path(f"{i}.png"), 0, str(i)) for i in range(5)), "five")
    blocks = list(cohort.blocks(size))
    assert [len(block) for block in blocks] == sizes
    assert [case for block in blocks for case in block] == list(cohort)
    assert {block.name for block in blocks} == {"five"}


def test_a_cohort_of_files_says_that_it_is_one(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    assert Cohort.from_files([tmp_path]).name == "files"


@pytest.mark.filterwarnings("ignore:1 file passed over")
@pytest.mark.parametrize(
    "suffix",
    [*(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".dcm", ".nii", ".nii.gz", ".npz"), ".TIF"],
)
def test_a_file_with_the_name_of_an_image_is_a_case_also_where_it_is_none(
    tmp_path: Path, suffix: str
) -> None:
    (tmp_path / f"a{suffix}").write_text("no image")
    (tmp_path / "b.txt").write_text("no image")
    assert [case.path.name for case in Cohort.from_files([tmp_path])] == [f"a{suffix}"]
