"""Folders as they are: burnt on a CD, exported, full of links, pipes and odd names."""

from __future__ import annotations

import gzip
import os
import struct
import warnings
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

from makers import recipe
from midclass import Cohort, InputError, prepare
from midclass.cli.commands.source import cases_to_score
from midclass.errors import NoImage
from midclass.images.formats.holding import images_in

CT = "1.2.840.10008.5.1.4.1.1.2"
PRIVATE = "1.3.12.2.1107.5.9.1"


def dicom(path: Path, sop: str = CT, frames: int = 1, **tags: Any) -> Path:
    """An image of 16 x 20 pixels, or with ``Rows=None`` something without any."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = sop, generate_uid()
    meta.TransferSyntaxUID = tags.pop("syntax", ExplicitVRLittleEndian)
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.Modality = sop, "CT"
    shape = (frames, 16, 20)
    stored = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape)
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = 16, 20, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 16, 15
    dataset.PixelSpacing = [1, 1]
    if frames > 1:
        dataset.NumberOfFrames = frames
    dataset.PixelData = stored.tobytes()
    for name, value in tags.items():
        setattr(dataset, name, value)
    if tags.get("Rows", 1) is None:
        del dataset.Rows, dataset.Columns, dataset.PixelData
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    return path


def picture(path: Path, seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 255, (32, 40), np.uint8)
    Image.fromarray(pixels).save(path, "PNG")
    return path


def names(*paths: Path) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return [case.path.name for case in Cohort.from_files(paths)]


def test_a_cd_gives_its_images_and_one_note_on_what_holds_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cd = tmp_path / "cd"
    (cd / "__MACOSX").mkdir(parents=True)
    for name in ("IM0001", "IM0002", "._IM0001", ".hidden", "__MACOSX/IM0003"):
        dicom(cd / name)
    dicom(cd / "DICOMDIR", "1.2.840.10008.1.3.10", Rows=None, Modality=None)
    dicom(cd / "SR0001", "1.2.840.10008.5.1.4.1.1.88.11", Rows=None, Modality="SR")
    dicom(cd / "PR0001.dcm", Rows=None, Modality="PR")  # of the class of an image, by mistake
    dicom(cd / "CSA0001", PRIVATE, Rows=None, Modality="MR", RequestedProcedureID="1")
    for name in ("autorun.inf", "README.TXT", "Thumbs.db"):
        (cd / name).write_text("no image")
    cohort = cases_to_score([cd], None)
    assert [case.path.name for case in cohort] == ["IM0001", "IM0002"]
    said = capsys.readouterr().err
    assert said.count("note:") == 1
    assert "7 files passed over" in said
    assert "and 4 more" in said


def test_pictures_of_a_format_that_is_not_read_are_a_patients_and_fail(tmp_path: Path) -> None:
    """Without a row in the table nobody would know that they were not looked at."""
    picture(tmp_path / "a.png")
    for name in ("scan.bmp", "scan.WEBP", "notes.txt", "b/scan.mgz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"BM" + bytes(60))
    with pytest.warns(UserWarning, match=r"1 file passed over.*notes\.txt$"):
        cohort = Cohort.from_files([tmp_path])
    assert [case.case_id for case in cohort] == ["a.png", "scan.WEBP", "scan.bmp", "b/scan.mgz"]
    for row in (1, 2, 3):
        with pytest.raises(InputError, match="scan"):
            cohort.read(row)


def test_pictures_beside_dicom_files_are_those_of_a_viewer(tmp_path: Path) -> None:
    dicom(tmp_path / "IM0001")
    for name in ("scan.bmp", "scan.WEBP", "notes.txt"):
        (tmp_path / name).write_bytes(b"BM" + bytes(60))
    with pytest.warns(UserWarning, match="3 files passed over") as said:
        assert len(Cohort.from_files([tmp_path])) == 1
    told = str(said[0].message)
    assert "scan.bmp (.bmp is not read; save it as PNG or TIFF)" in told
    assert "scan.WEBP (.WEBP is not read; save it as PNG or TIFF)" in told
    assert "notes.txt (" not in told


def test_a_folder_as_cohort_is_scored_as_one_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "ct").mkdir()
    dicom(tmp_path / "ct" / "b")
    picture(tmp_path / "a.png")
    named, as_cohort = cases_to_score([tmp_path], None), cases_to_score((), tmp_path)
    assert as_cohort.cases == named.cases
    assert [case.case_id for case in as_cohort] == ["a.png", "ct/b"]


@pytest.mark.parametrize("name", ["split", "part", "root"])
def test_what_is_of_a_manifest_is_refused_with_files(tmp_path: Path, name: str) -> None:
    picture(tmp_path / "a.png")
    for files, cohort in (([tmp_path / "a.png"], None), ((), tmp_path)):
        with pytest.raises(InputError, match=r"of a manifest.* midclass manifest FOLDER"):
            cases_to_score(files, cohort, **{name: tmp_path})  # type: ignore[arg-type]


@pytest.mark.parametrize("tags", [{"Modality": "CT"}, {"sop": "", "Modality": None}])
def test_an_image_that_lost_its_rows_is_a_failure_and_is_not_passed_over(
    tmp_path: Path, tags: dict[str, Any]
) -> None:
    sop = tags.pop("sop", CT)
    picture(tmp_path / "a.png")
    file = dicom(tmp_path / "lost", Rows=None, **tags)
    if not sop:
        dataset = pydicom.dcmread(file)
        del dataset.SOPClassUID, dataset.file_meta.MediaStorageSOPClassUID
        pydicom.dcmwrite(file, dataset, enforce_file_format=False)
    assert names(tmp_path) == ["a.png", "lost"]


@pytest.mark.parametrize("sop", [CT, PRIVATE, "1.2.840.10008.5.1.4.1.1.77.1.5.1"])
def test_an_image_that_was_cut_anywhere_is_never_passed_over(tmp_path: Path, sop: str) -> None:
    whole = dicom(tmp_path / "IM0001", sop).read_bytes()
    for length in range(140, len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        assert images_in(tmp_path / "cut") == 1


def test_a_report_that_was_named_alone_is_an_error_that_says_so(tmp_path: Path) -> None:
    file = dicom(tmp_path / "SR0001", "1.2.840.10008.5.1.4.1.1.88.11", Rows=None, Modality="SR")
    with pytest.raises(InputError, match=r"no image files found; .*SR0001.*\(Modality SR\)"):
        Cohort.from_files([file])
    with pytest.raises(NoImage):
        images_in(file)


@pytest.mark.parametrize("inside", [True, False])
def test_frames_and_slices_are_cases_of_one_patient_named_as_in_a_manifest(
    tmp_path: Path, inside: bool
) -> None:
    files = [dicom(tmp_path / "cine.dcm", frames=3), tmp_path / "v.nii.gz"]
    volume = np.random.default_rng(0).random((20, 4, 24))  # from left to right, head to feet, back
    affine = np.array([[1, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1]], float)
    nibabel.save(nibabel.Nifti1Image(volume, affine), files[1])
    cohort = Cohort.from_files([tmp_path] if inside else files)
    cine, slices = (file.name for file in files)  # below the folder that is common to all
    expected = [*(f"{cine}#{k}" for k in range(3)), *(f"{slices}#{k}" for k in range(4))]
    assert [case.case_id for case in cohort] == expected
    assert [case.frame for case in cohort] == [0, 1, 2, 0, 1, 2, 3]
    assert cohort.patients == (cine, slices)
    wanted = recipe(geometry={"size": [16, 16], "spacing_mm": 1.0})
    prepared = prepare(cohort, wanted, cache=tmp_path / "cache")
    assert len(np.unique(prepared.images().reshape(7, -1), axis=0)) == 7


def tiff(path: Path, sizes: list[tuple[int, int]], **tags: Any) -> Path:
    """Pages of random pixels."""
    rng = np.random.default_rng(0)
    first, *others = [Image.fromarray(rng.integers(0, 255, size, np.uint8)) for size in sizes]
    first.save(path, save_all=True, append_images=others, **tags)
    return path


@pytest.mark.parametrize("big", [False, True])
def test_pages_of_one_size_are_cases_with_the_scores_of_single_files(
    tmp_path: Path, big: bool
) -> None:
    stack = tiff(tmp_path / "stack.tif", [(32, 40)] * 3, big_tiff=big)
    found = Cohort.from_files([stack])
    assert [case.case_id for case in found] == [f"stack.tif#{k}" for k in range(3)]
    assert len(found.patients) == 1
    alone = []
    with Image.open(stack) as pages:
        for k in range(3):
            pages.seek(k)
            pages.save(tmp_path / f"{k}.png")
            alone.append(tmp_path / f"{k}.png")
    wanted = recipe(geometry={"size": [16, 16], "spacing_mm": 1.0})
    together, apart = (
        prepare(cohort, wanted, cache=tmp_path / "cache").images().tobytes()
        for cohort in (found, Cohort.from_files(alone))
    )
    assert together == apart


@pytest.mark.parametrize(("order", "name"), [("<", b"II*\0"), (">", b"MM\0*")])
def test_thumbnails_masks_and_pages_of_other_sizes_are_no_images_of_their_own(
    tmp_path: Path, order: str, name: bytes
) -> None:
    """Directories alone: which pages there are is told without pixels."""

    def of(*pages: tuple[int, int, int]) -> int:
        written = name + struct.pack(f"{order}I", 8)
        for kind, width, length in pages:
            entries = ((254, 4, kind), (256, 3, width), (257, 4, length))
            last = (kind, width, length) == pages[-1] and len(written) > 8
            directory = struct.pack(f"{order}H", 3)
            for tag, form, value in entries:
                single = struct.pack(f"{order}{'H' if form == 3 else 'I'}", value).ljust(4, b"\0")
                directory += struct.pack(f"{order}HHI", tag, form, 1) + single
            following = 0 if last else len(written) + len(directory) + 4
            written += directory + struct.pack(f"{order}I", following)
        (tmp_path / "a.tif").write_bytes(written)
        return images_in(tmp_path / "a.tif")

    assert of((0, 40, 32), (0, 40, 32)) == 2
    assert of((0, 40, 32), (0, 40, 31)) == 1
    assert of((0, 40, 32), (1, 40, 32)) == 1
    assert of((4, 40, 32), (4, 40, 32)) == 1
    assert of((2, 40, 32), (2, 40, 32)) == 2  # pages of a document


def test_a_tiff_that_was_cut_anywhere_is_never_passed_over(tmp_path: Path) -> None:
    whole = tiff(tmp_path / "a.tif", [(8, 8)] * 3).read_bytes()
    assert images_in(tmp_path / "a.tif") == 3
    for length in range(4, len(whole)):
        (tmp_path / "cut.tif").write_bytes(whole[:length])
        assert images_in(tmp_path / "cut.tif") in (1, 3)


def test_a_gzipped_dicom_file_is_found_by_its_name_and_its_frames_are_counted(
    tmp_path: Path,
) -> None:
    plain = dicom(tmp_path / "cine.dcm", frames=3)
    (tmp_path / "x.dcm.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert names(tmp_path) == ["x.dcm.gz"] * 3


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless])
def test_a_number_of_frames_that_a_file_cannot_hold_makes_no_cases(
    tmp_path: Path, syntax: str
) -> None:
    file = dicom(tmp_path / "a.dcm")
    dataset = pydicom.dcmread(file)
    dataset.NumberOfFrames = 2_000_000_000
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == RLELossless:
        dataset.PixelData = pydicom.encaps.encapsulate([dataset.PixelData])
        dataset["PixelData"].is_undefined_length = True
    pydicom.dcmwrite(file, dataset, enforce_file_format=True)
    assert images_in(file) == 1


@pytest.mark.skipif(os.name == "nt", reason="no such files on Windows")
def test_pipes_loops_and_dead_links_hang_nothing_and_stop_nobody(tmp_path: Path) -> None:
    there = tmp_path / "in"
    (there / "deep").mkdir(parents=True)
    picture(there / "a.png")
    (tmp_path / "elsewhere").mkdir()
    picture(tmp_path / "elsewhere" / "linked.png", seed=1)
    os.mkfifo(there / "pipe")
    os.mkfifo(there / "pipe.png")
    (there / "deep" / "up").symlink_to(there)
    (there / "self").symlink_to(there / "self")
    (there / "self.png").symlink_to(there / "self.png")
    (there / "gone.png").symlink_to(tmp_path / "nowhere")
    (there / "outside").symlink_to(tmp_path / "elsewhere")
    (there / "again.png").symlink_to(there / "a.png")
    with pytest.warns(UserWarning, match=r"3 files passed over.*again.png|a.png \(a link"):
        cohort = Cohort.from_files([there])
    found = sorted(case.path.name for case in cohort)
    taken = {"a.png", "again.png"} & set(found)
    assert len(taken) == 1
    assert [n for n in found if n not in taken] == [
        "gone.png",
        "linked.png",
        "pipe.png",
        "self.png",
    ]
    wanted = recipe(geometry={"size": [16, 16], "spacing_mm": 1.0})
    prepared = prepare(cohort, wanted, cache=tmp_path / "cache", keep_going=True)
    assert sorted(case.path.name for case in prepared.cases) == [*taken, "linked.png"]
    assert sorted(case.path.name for case, _ in prepared.failed) == [
        "gone.png",
        "pipe.png",
        "self.png",
    ]
    for case, reason in prepared.failed:
        assert str(case.path) in reason
        assert "\n" not in reason


@pytest.mark.skipif(os.name == "nt", reason="names are text on Windows")
def test_a_name_that_is_not_utf_8_can_be_written_and_two_stay_apart(tmp_path: Path) -> None:
    for seed, name in enumerate((b"\xff.png", b"\xfe.png", b"\\udcff.png")):
        file = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), name)))
        picture(file, seed)
    cohort = Cohort.from_files([tmp_path])
    assert len({case.case_id.encode("utf-8") for case in cohort}) == 3
    wanted = recipe(geometry={"size": [16, 16], "spacing_mm": 1.0})
    assert len(prepare(cohort, wanted, cache=tmp_path / "cache")) == 3


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may list every folder")
def test_a_folder_that_cannot_be_listed_is_a_failure(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    (tmp_path / "shut").mkdir(mode=0)
    assert names(tmp_path) == ["a.png", "shut"]


def test_a_folder_in_a_folder_that_were_both_named_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    picture(tmp_path / "in" / "a.png")
    for paths in ([tmp_path, tmp_path / "in"], [tmp_path / "in", tmp_path / "in"]):
        with pytest.raises(InputError, match=r"a\.png: was named twice"):
            Cohort.from_files(paths)
