"""DICOM out: objects of the image's study that say what the table says, and lie on the image."""

from __future__ import annotations

import csv
import datetime
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pydicom
import pytest
from pydicom.dataset import Dataset
from typer.testing import CliRunner

from dicom_images import KINDS, MARK, NAME, TIMES, knowing_discs, written
from makers import discs, typed
from midclass import InputError, load_detector
from midclass.cli.app import app

pytest.importorskip("highdicom", reason="highdicom is not installed")
from midclass.evaluation.dicom.assessment import RESEARCH, Assessment, header_of
from midclass.evaluation.dicom.segmentation import segmentation

ALL = ("capture.dcm", "report.dcm", "segmentation.dcm")


@dataclass
class Out:
    """What one call wrote: objects by the name of their file, and the score table."""

    folder: Path
    table: list[dict[str, str]]

    def read(self, name: str) -> Dataset:
        return pydicom.dcmread(self.folder / "out" / name)

    @property
    def names(self) -> list[str]:
        return sorted(path.name for path in (self.folder / "out").glob("*.dcm"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector ``d``, and DICOM files of a lesion; ``0.dcm`` is normal."""
    folder = tmp_path_factory.mktemp("dicom_out")
    knowing_discs(folder / "d")
    ill = discs(2, 3, square=0.6, corner=MARK)[:, 0]
    written(folder / "0.dcm", "CT", discs(1, 5)[:, 0])
    for number, kind in enumerate(KINDS, start=1):
        written(folder / f"{number}.dcm", kind, ill if kind in ("US", "ECT") else ill[:1])
    return folder


def scored(folder: Path, to: Path, *files: object, code: int = 0, **more: str) -> Out:
    to.mkdir(exist_ok=True)
    call = ["score", folder / "d", *files, "--out", to / "s.csv", "--dicom", to / "out"]
    call += ["--cache", folder / "cache", "--date", "2024-05-06"]
    call += [word for name, value in more.items() for word in (f"--{name}", value)]
    done = CliRunner().invoke(app, list(map(str, call)))
    assert done.exit_code == code, done.output
    with (to / "s.csv").open(newline="") as table:
        return Out(to, list(csv.DictReader(table)))


@pytest.fixture(scope="module")
def out(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Out:
    files = sorted(folder.glob("*.dcm"))
    return scored(folder, tmp_path_factory.mktemp("all"), *files)


def values_of(report: Dataset) -> dict[str, Any]:
    """What a report says, by the meaning of its names."""
    found: dict[str, Any] = {}

    def walk(item: Dataset) -> None:
        for part in item.get("ContentSequence") or ():
            name = part.ConceptNameCodeSequence[0] if "ConceptNameCodeSequence" in part else None
            key = "" if name is None else name.CodeValue
            if part.ValueType == "NUM":
                found[key] = float(part.MeasuredValueSequence[0].NumericValue)
            elif part.ValueType == "CODE":
                found[key] = part.ConceptCodeSequence[0].CodeValue
            elif part.ValueType == "TEXT":
                found.setdefault(key, []).append(part.TextValue)
            elif part.ValueType == "IMAGE":
                found["image"] = part.ReferencedSOPSequence[0]
            walk(part)

    walk(report)
    return found


def test_a_report_says_what_the_table_says_and_of_which_image(folder: Path, out: Out) -> None:
    reports = [name for name in out.names if name.endswith("_report.dcm")]
    assert len(reports) == len(out.table) == 8
    for name, row in zip(reports, out.table, strict=True):
        report = out.read(name)
        said = values_of(report)
        assert said["score"] == pytest.approx(float(row["score"]), rel=1e-5)
        assert said["p_value"] == pytest.approx(float(row["p_value"]), rel=1e-5)
        assert said["threshold"] == pytest.approx(float(row["threshold"]), rel=1e-5)
        assert said["max_fpr"] == 0.1
        assert said["result"] == ("flagged" if row["flagged"] == "1" else "not_flagged")
        assert RESEARCH in said["121106"]
        file, _, frame = row["case_id"].partition("#")
        source = pydicom.dcmread(folder / file)
        assert said["image"].ReferencedSOPInstanceUID == source.SOPInstanceUID
        if "NumberOfFrames" in source:
            assert said["image"].ReferencedFrameNumber == int(frame) + 1
        assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"


def test_objects_are_of_the_study_and_patient_of_their_source_and_copy_nothing_else(
    folder: Path, out: Out
) -> None:
    source = pydicom.dcmread(folder / "1.dcm")
    for name in out.names:
        made = out.read(name)
        for keyword in ("StudyInstanceUID", "PatientName", "PatientID", "PatientBirthDate"):
            assert made[keyword].value == source[keyword].value
        assert made.AccessionNumber == "A1"
        assert made.SeriesInstanceUID != source.SeriesInstanceUID
        assert "PatientComments" not in made
        assert RESEARCH in made.SeriesDescription
        if "ContentDate" in made:
            assert made.ContentDate == "20240506"
    uids = [out.read(name).SOPInstanceUID for name in out.names]
    assert len(set(uids)) == len(uids)
    assert len({out.read(name).SeriesInstanceUID for name in out.names}) == 3


def warm_pixels(made: Dataset) -> np.ndarray:
    pixels = made.pixel_array
    assert pixels.ndim == 2  # of one frame
    return np.argwhere(pixels)


@pytest.mark.parametrize(("number", "kind"), list(enumerate(KINDS, start=1)))
def test_a_segmentation_lies_on_the_mark_of_its_source(
    folder: Path, out: Out, number: int, kind: str
) -> None:
    source = pydicom.dcmread(folder / f"{number}.dcm")
    names = [n for n in out.names if f"{number}.dcm" in n and n.endswith("segmentation.dcm")]
    assert len(names) == int(source.get("NumberOfFrames", 1))
    for frame, name in enumerate(names):
        made = out.read(name)
        assert (made.Rows, made.Columns) == (source.Rows, source.Columns)
        found = warm_pixels(made)
        top, left = TIMES * MARK[0], TIMES * MARK[1]
        square = np.zeros((source.Rows, source.Columns), bool)
        square[top : top + 6 * TIMES, left : left + 6 * TIMES] = True
        inside = square[tuple(found.T)]
        assert inside.sum() > 0.5 * square.sum()
        assert np.abs(found[inside].mean(0) - (top + 11.5, left + 11.5)).max() < TIMES
        (derived,) = made.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence
        (origin,) = derived.SourceImageSequence
        assert origin.ReferencedSOPInstanceUID == source.SOPInstanceUID
        assert origin.ReferencedSOPClassUID == source.SOPClassUID
        assert origin.get("ReferencedFrameNumber", 1) == frame + 1
        if kind in ("CT", "ECT"):
            assert made.FrameOfReferenceUID == source.FrameOfReferenceUID
            (place,) = made.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence
            assert place.ImagePositionPatient == [10.0, -20.0, 30.0 + 2 * frame]
            (measures,) = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence
            assert measures.PixelSpacing == [0.25, 0.25]
        else:
            assert "FrameOfReferenceUID" not in made


def test_only_what_is_warm_has_a_segmentation(out: Out) -> None:
    flagged = {row["case_id"].partition("#")[0] for row in out.table if row["flagged"] == "1"}
    assert {f"{number}.dcm" for number in range(1, 6)} <= flagged
    assert not any("_0.dcm_segmentation" in name for name in out.names)


def test_a_capture_is_the_picture_with_its_heat_and_caption(folder: Path, out: Out) -> None:
    made = out.read("00001_1.dcm_capture.dcm")
    pixels = made.pixel_array.astype(int)
    height = 384
    width = pixels.shape[1] // 2
    right = pixels[:height, width:]
    coloured = np.argwhere(np.ptp(right, axis=-1) > 15)
    middle = (np.array(MARK) + 3) * (height / 32)
    assert np.abs(coloured.mean(0) - middle).max() < height / 32
    assert np.ptp(pixels[:height, : width - 5], axis=-1).max() == 0  # the image itself is grey
    assert pixels[height:].max() == 255
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == "1.2.3.2.1"


def test_the_same_call_again_alone_or_later_writes_the_same(
    folder: Path, out: Out, tmp_path: Path
) -> None:
    alone = scored(folder, tmp_path / "alone", folder / "1.dcm")
    for kind in ("report", "segmentation", "capture"):
        one = (alone.folder / "out" / f"00000_1.dcm_{kind}.dcm").read_bytes()
        assert one == (out.folder / "out" / f"00001_1.dcm_{kind}.dcm").read_bytes()
    later = scored(folder, tmp_path / "later", folder / "1.dcm", date="2030-01-01")
    stricter = scored(folder, tmp_path / "stricter", folder / "1.dcm", **{"max-fpr": "0.05"})
    for name in alone.names:
        assert later.read(name).SOPInstanceUID == alone.read(name).SOPInstanceUID
        assert stricter.read(name).SOPInstanceUID != alone.read(name).SOPInstanceUID


def test_what_is_not_assessed_has_a_report_that_says_so(folder: Path, tmp_path: Path) -> None:
    dark = np.full((1, 32, 32), 0.1)
    dark[0, :2, :2] = 0.9
    file = written(tmp_path / "8.dcm", "CR", dark, ImagerPixelSpacing=[0.01, 0.01])
    made = scored(folder, tmp_path / "x", file, code=1)
    assert made.names == ["00000_8.dcm_capture.dcm", "00000_8.dcm_report.dcm"]
    said = values_of(made.read("00000_8.dcm_report.dcm"))
    assert said["result"] == "not_assessed"
    assert "score" not in said
    assert made.table[0]["reason"] in said["121106"][0]


def test_other_images_and_files_to_which_nothing_can_refer_are_named(
    folder: Path, tmp_path: Path
) -> None:
    picture = (discs(1, 3)[0, 0] * 255).astype(np.uint8)
    PIL.Image.fromarray(picture).save(tmp_path / "a.png")
    call = f"score {folder}/d a.png --dicom o --cache cache"
    (tmp_path / "o").mkdir()
    none = CliRunner().invoke(
        app, [w if w != "a.png" else f"{tmp_path}/a.png" for w in call.split()]
    )
    assert none.exit_code == 2
    assert "none of the images is DICOM" in none.output
    bare = written(tmp_path / "9.dcm", "CR", discs(1, 3)[:, 0], StudyInstanceUID=None)
    call_of = ["score", folder / "d", tmp_path / "a.png", bare, folder / "1.dcm"]
    call_of += ["--out", tmp_path / "s.csv", "--dicom", tmp_path / "x", "--cache", tmp_path / "c"]
    done = CliRunner().invoke(app, list(map(str, call_of)))
    assert done.exit_code == 1
    assert "images that are not DICOM" in done.output
    assert "has no StudyInstanceUID" in done.output
    assert NAME not in done.output
    assert len(list((tmp_path / "x").glob("*.dcm"))) == 3
    again = CliRunner().invoke(app, [*map(str, call_of)])
    assert again.exit_code == 2  # nothing is replaced unasked


def test_a_slice_whose_header_is_silent_on_thickness_has_its_segmentation(
    folder: Path, tmp_path: Path
) -> None:
    """Type 2 or absent in practice; the report was lost with the segmentation."""
    file = tmp_path / "1.dcm"
    written(file, "CT", discs(1, 3, square=0.6, corner=MARK)[:, 0], SliceThickness=None)
    header = pydicom.dcmread(file)
    assert "SliceThickness" not in header
    made = scored(folder, tmp_path / "to", file)
    assert [name.rpartition("_")[2] for name in made.names] == list(ALL)
    assert made.read(made.names[-1]).FrameOfReferenceUID == header.FrameOfReferenceUID


def test_an_object_that_cannot_be_made_costs_the_others_nothing(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError(NAME)

    monkeypatch.setattr("midclass.evaluation.dicom.segmentation.segmentation", broken)
    made = scored(folder, tmp_path / "to", folder / "1.dcm", code=1)
    assert [name.rpartition("_")[2] for name in made.names] == ["capture.dcm", "report.dcm"]


def test_values_that_the_standard_does_not_know_become_empty() -> None:
    about = Dataset()
    for name in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        setattr(about, name, "1.2")
    about.PatientSex, about.PatientName = "X", NAME
    header = header_of(about)
    assert (header.PatientSex, header.PatientID, header.PatientName) == ("", "", NAME)
    assert about.PatientSex == "X"
    del about.SOPClassUID
    with pytest.raises(InputError, match="has no SOPClassUID"):
        header_of(about)


def complaints(files: Sequence[Path]) -> list[str]:
    said = []
    for file in files:
        done = subprocess.run(
            ["dciodvfy", "-new", str(file)], capture_output=True, text=True, check=False
        )
        said += [f"{file.name}: {x}" for x in done.stderr.splitlines() if x.startswith("Error")]
    return said


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_dciodvfy_finds_no_error(out: Out) -> None:
    assert complaints([out.folder / "out" / name for name in out.names]) == []


REAL = Path(__file__).parents[2] / "shared" / "data" / "reader_tests"


@pytest.mark.realdata
@pytest.mark.slow
@pytest.mark.skipif(not REAL.exists(), reason="the development data are not there")
@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dicom3tools is not installed")
def test_about_real_files_too(tmp_path: Path) -> None:
    from midclass.evaluation.dicom.capture import capture
    from midclass.evaluation.dicom.report import report
    from midclass.images.formats.dicom_file import open_header

    files = []
    for name in ("pydicom/MR_small.dcm", "pydicom/CT_small.dcm", "pydicom-data/emri_small.dcm"):
        path = REAL / "dicom" / name
        if not path.exists():
            continue
        header = header_of(open_header(path))
        assessment = Assessment(
            header,
            "a" * 64,
            "x",
            1,
            0.1,
            datetime.datetime(2024, 1, 1),
            2,
            0.5,
            True,
            frame=2 if header.get("NumberOfFrames") else None,
        )
        warm = np.zeros((header.Rows, header.Columns), bool)
        warm[3:9, 5] = True
        picture = np.zeros((20, 30, 3), np.uint8)
        made = report(assessment), segmentation(assessment, warm), capture(assessment, picture)
        for number, one in enumerate(made):
            files.append(tmp_path / f"{path.stem}{number}.dcm")
            one.save_as(files[-1], enforce_file_format=True)
    assert files
    assert complaints(files) == []


@pytest.mark.parametrize("why", ["moved by unlabelled cases", "set by few patients"])
def test_where_a_rate_is_aimed_at_a_report_promises_nothing(
    folder: Path, out: Out, tmp_path: Path, why: str
) -> None:
    detector = load_detector(folder / "d")
    before = {"name": "d", "sha256": "0" * 64, "max_fpr": 0.1, "threshold": detector.threshold_}
    if why == "set by few patients":
        detector.independent_ = 2.0
    else:
        detector.parent_ = before | {"unknown": 60, "shift": 0.0}
    detector.save(tmp_path / "d")
    moved = scored(tmp_path, tmp_path / "moved", folder / "0.dcm")
    for made, name in ((out, "max_fpr"), (moved, "aimed_fpr")):
        values = values_of(made.read("00000_0.dcm_report.dcm"))
        assert values[name] == 0.1
        assert len({"max_fpr", "aimed_fpr"} & values.keys()) == 1


@pytest.mark.slow
def test_as_typed(folder: Path, tmp_path: Path) -> None:
    done = typed(f"score {folder}/d {folder}/1.dcm --dicom out --heat-maps maps", tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "out").glob("*.dcm"))) == 3
    assert "DICOM objects about 1 images: out" in done.stdout
