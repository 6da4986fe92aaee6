"""Masks of the manifest: they replace the anatomy, and go wherever their image goes."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import PIL.Image
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from typer.testing import CliRunner

import makers
from midclass import Case, Cohort, InputError, Prepared, Recipe, prepare
from midclass.cli.app import app
from midclass.detectors.plausible import Plausible
from midclass.detectors.workplace import Workplace
from midclass.images import phantoms
from midclass.images.formats.mask import read_mask

SHAPE = (40, 60)
INSIDE = np.zeros(SHAPE, bool)
INSIDE[5:20, 8:30] = True


def recipe(**fields: Any) -> Recipe:
    """Samples of 40 x 60, one for each pixel."""
    geometry = {"size": list(SHAPE), "spacing_mm": 1.0, **fields.pop("geometry", {})}
    return makers.recipe(geometry=geometry, **fields)


def image(folder: Path, name: str = "a.png", seed: int = 0) -> Path:
    pixels = np.random.default_rng(seed).integers(0, 256, SHAPE).astype(np.uint8)
    PIL.Image.fromarray(pixels).save(folder / name)
    return folder / name


def png(folder: Path, mask: NDArray[Any], name: str = "mask.png", **options: Any) -> Path:
    PIL.Image.fromarray(mask if mask.dtype != bool else mask.astype(np.uint8)).save(
        folder / name, **options
    )
    return folder / name


def case(folder: Path, mask: Path | None, **known: Any) -> Case:
    return Case("a", image(folder), 0, "a", mask=mask, **known)


def prepared(folder: Path, *cases: Case, **fields: Any) -> Prepared:
    return prepare(Cohort(cases), recipe(**fields), cache=folder / "cache")


def test_an_anatomy_that_writes_into_its_image_does_not_change_it(tmp_path: Path) -> None:
    """The same picture was another one with a mask of the manifest's, where nothing is called."""
    own = tmp_path / "own.py"
    own.write_text(
        "import numpy as np\n\n\ndef anatomy(pixels, spacing_mm):\n"
        "    np.subtract(1, pixels, out=pixels)\n    return pixels[0] < 2\n"
    )
    file = png(tmp_path, INSIDE)
    wanted = Recipe.from_dict(
        {**recipe().to_dict(), "anatomy": f"{own}:anatomy"}, (own,), tmp_path / "r.yaml"
    )
    plain = prepared(tmp_path, case(tmp_path, file), anatomy="anatomy.whole")
    found = prepare(Cohort((case(tmp_path, file),)), wanted, cache=tmp_path / "cache")
    np.testing.assert_array_equal(found.images(), plain.images())


class TestInPreparation:
    def test_a_mask_replaces_the_anatomy(self, tmp_path: Path) -> None:
        wanted = {"geometry": {"outside": "blank"}, "anatomy": "anatomy.foreground"}
        found = prepared(tmp_path, case(tmp_path, png(tmp_path, INSIDE)), **wanted)
        assert (found.masks()[0, 0] == INSIDE).all()
        assert (found.images()[0, 0][~INSIDE] == 0).all()
        assert found.link.tolist() == [-1]

    def test_it_is_mirrored_with_its_image(self, tmp_path: Path) -> None:
        of_right = case(tmp_path, png(tmp_path, INSIDE), laterality="R")
        found = prepared(tmp_path, of_right, geometry={"orient": "laterality"})
        plain = prepared(tmp_path, of_right)
        assert (found.masks() == plain.masks()[..., ::-1]).all()
        assert (found.images() == plain.images()[..., ::-1]).all()

    def test_it_does_not_move_the_crop(self, tmp_path: Path) -> None:
        a = np.full(SHAPE, 10, np.uint8)
        a[10:30, 20:50] = 200
        PIL.Image.fromarray(a).save(tmp_path / "b.png")
        plain = Case("b", tmp_path / "b.png", 0, "b")
        wanted = {"geometry": {"crop": "anatomy.foreground"}}
        masked = prepared(tmp_path, replace(plain, mask=png(tmp_path, INSIDE)), **wanted)
        assert (masked.images() == prepared(tmp_path, plain, **wanted).images()).all()
        assert 0 < masked.covered[0] < 1

    def test_rows_without_one_use_the_recipe_and_each_is_counted(self, tmp_path: Path) -> None:
        png(tmp_path, INSIDE)
        image(tmp_path, "a.png")
        image(tmp_path, "b.png", seed=1)
        lines = ["path,mask", "a.png,mask.png", "b.png,"]
        cohort = Cohort.from_manifest(makers.manifest(tmp_path, *lines))
        found = prepare(cohort, recipe(), cache=tmp_path / "cache")
        assert found.link.tolist() == [-1, 0]
        assert found.masks().mean((1, 2, 3)).tolist() == [INSIDE.mean(), 1]
        assert found.anatomies(["anatomy.whole"]) == {"mask": 1, "anatomy.whole": 1}

    def test_two_regions_of_one_image_keep_their_own(self, tmp_path: Path) -> None:
        one = case(tmp_path, png(tmp_path, INSIDE))
        other = replace(one, case_id="b", mask=png(tmp_path, ~INSIDE, "other.png"))
        masks = prepared(tmp_path, one, other).masks()
        assert (masks[0] == ~masks[1]).all()

    def test_the_stored_rows_count_as_for_images(self, tmp_path: Path) -> None:
        a = np.zeros(SHAPE, np.uint8)
        a[INSIDE] = 200
        exif = PIL.Image.Exif()
        exif[274] = 3  # upside down
        PIL.Image.fromarray(a).save(tmp_path / "turned.jpg", quality=95, exif=exif)
        turned = Case("t", tmp_path / "turned.jpg", 0, "t", mask=png(tmp_path, INSIDE))
        found = prepared(tmp_path, turned)
        bright = found.images()[0, 0] > 30000
        assert makers.dice(bright, found.masks()[0, 0]) > 0.98


class TestMistakes:
    def test_a_mask_of_the_wrong_size_is_an_error_that_names_both_sizes(
        self, tmp_path: Path
    ) -> None:
        wrong = png(tmp_path, INSIDE.T.copy(), "wrong.png")
        with pytest.raises(InputError) as caught:
            prepared(tmp_path, case(tmp_path, wrong))
        for said in ("wrong.png", "a.png", "40 x 60", "60 x 40", "leave the field empty"):
            assert said in str(caught.value)

    def test_a_missing_or_leading_out_mask_is_named_with_its_row(self, tmp_path: Path) -> None:
        image(tmp_path)
        with pytest.raises(InputError, match=r"row 2: no such file .*none\.png"):
            Cohort.from_manifest(makers.manifest(tmp_path, "path,mask", "a.png,none.png"))
        with pytest.raises(InputError, match=r"row 2: mask is '../m.png', which leads out"):
            Cohort.from_manifest(makers.manifest(tmp_path, "path,mask", "a.png,../m.png"))

    def test_a_mask_of_another_format_is_refused(self, tmp_path: Path) -> None:
        lossy = png(tmp_path, INSIDE, "m.jpg")
        with pytest.raises(InputError, match=r"m\.jpg: a mask is PNG, NIfTI or DICOM SEG"):
            prepared(tmp_path, case(tmp_path, lossy))

    def test_a_damaged_mask_is_named(self, tmp_path: Path) -> None:
        broken = png(tmp_path, np.random.default_rng(0).random(SHAPE) > 0.5, "broken.png")
        broken.write_bytes(broken.read_bytes()[:120])
        with pytest.raises(InputError, match=r"broken\.png"):
            prepared(tmp_path, case(tmp_path, broken))

    def test_an_empty_mask_is_not_assessed_and_says_so(self, tmp_path: Path) -> None:
        nothing = case(tmp_path, png(tmp_path, np.zeros(SHAPE, bool)))
        found = prepared(tmp_path, nothing)
        assert found.assessable.tolist() == [False]
        (reason,) = Plausible().not_assessable(found, 0).values()
        assert reason.startswith("empty mask: ")


class TestChanges:
    def test_changing_a_masks_bytes_prepares_anew(self, tmp_path: Path) -> None:
        one = case(tmp_path, png(tmp_path, INSIDE, compress_level=0))
        before, status = prepared(tmp_path, one).masks(), (tmp_path / "mask.png").stat()
        png(tmp_path, ~INSIDE, compress_level=0)
        assert (tmp_path / "mask.png").stat().st_size == status.st_size
        assert (prepared(tmp_path, one).masks() == ~before).all()

    def test_a_copy_of_the_images_with_other_masks_is_another_cohort(self, tmp_path: Path) -> None:
        found = []
        for name, mask in (("one", INSIDE), ("other", ~INSIDE)):
            (tmp_path / name).mkdir()
            one = case(tmp_path / name, png(tmp_path / name, mask, compress_level=0))
            found.append(prepare(Cohort((one,)), recipe(), cache=tmp_path / "cache").masks())
        assert (found[0] == ~found[1]).all()

    def test_an_interrupted_fit_does_not_go_on_with_other_masks(self, tmp_path: Path) -> None:
        def place() -> Workplace:
            one = case(tmp_path, png(tmp_path, mask))
            return Workplace(tmp_path / "out", recipe(), prepared(tmp_path, one), 0, "intensity")

        mask = INSIDE
        before = place().call["cohort"]
        assert place().call["cohort"] == before
        mask = ~INSIDE
        assert place().call["cohort"] != before


class TestFormats:
    @pytest.mark.parametrize("kind", ["1", "L", "I;16", "P", "RGB", "RGBA"])
    def test_what_is_not_0_is_inside_whatever_the_depth(self, tmp_path: Path, kind: str) -> None:
        if kind == "1":
            drawn = PIL.Image.fromarray(INSIDE)
        elif kind == "I;16":
            drawn = PIL.Image.fromarray(INSIDE.astype(np.uint16))  # 1 of 65535
        elif kind == "P":
            drawn = PIL.Image.fromarray(INSIDE.astype(np.uint8), "P")
            drawn.putpalette([0, 0, 0, 0, 0, 7])
        elif kind == "RGBA":  # black paint on a layer that is transparent elsewhere is not inside
            drawn = PIL.Image.fromarray(
                np.dstack([np.full((*SHAPE, 3), 9, np.uint8), INSIDE.astype(np.uint8) * 255])
            )
        else:
            drawn = PIL.Image.fromarray(INSIDE.astype(np.uint8)).convert(kind)
        drawn.save(tmp_path / "m.png")
        assert (read_mask(case(tmp_path, tmp_path / "m.png"), SHAPE) == INSIDE).all()

    def test_a_nifti_mask_is_seen_as_its_image_is(self, tmp_path: Path) -> None:
        values = np.random.default_rng(0).integers(0, 100, (60, 40, 5)).astype(np.int16)
        inside = (values > 50).astype(np.uint8)
        affine = np.diag([1.0, 1, 3, 1])
        nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "v.nii.gz")
        flipped = affine @ np.diag([-1.0, 1, 1, 1])
        flipped[0, 3] = 59
        nibabel.save(nibabel.Nifti1Image(inside[::-1], flipped), tmp_path / "m.nii.gz")
        for frame in (0, 3):
            one = Case("v", tmp_path / "v.nii.gz", 0, "v", frame=frame, mask=tmp_path / "m.nii.gz")
            pixels = Cohort((one,)).read(0, (0, 100)).pixels[0]
            assert (read_mask(one, SHAPE) == (pixels > 0.505)).all()
        nibabel.save(nibabel.Nifti1Image(inside[..., :3], affine), tmp_path / "short.nii")
        with pytest.raises(
            InputError, match=r"short\.nii: the mask has 60 x 40 x 3 .* 60 x 40 x 5"
        ):
            read_mask(replace(one, mask=tmp_path / "short.nii"), SHAPE)
        with pytest.raises(InputError, match="a mask of 5 slices for an image that is no NIfTI"):
            read_mask(case(tmp_path, tmp_path / "m.nii.gz"), SHAPE)

    def test_a_mask_without_spacing_is_cut_as_its_image_is(self, tmp_path: Path) -> None:
        values = np.random.default_rng(0).integers(0, 100, (6, 60, 60)).astype(np.int16)
        inside = (values > 50).astype(np.uint8)
        sagittal = np.diag([4.0, 1, 1, 1])
        nibabel.save(nibabel.Nifti1Image(values, sagittal), tmp_path / "v.nii")
        nibabel.save(nibabel.Nifti1Image(inside, np.eye(4)), tmp_path / "m.nii")
        one = Case("v", tmp_path / "v.nii", 0, "v", frame=2, mask=tmp_path / "m.nii")
        pixels = Cohort((one,)).read(0, (0, 100)).pixels[0]
        assert pixels.shape == (60, 60)
        assert (read_mask(one, (60, 60)) == (pixels > 0.505)).all()


def slices(folder: Path, series: str, n: int = 3) -> list[Dataset]:
    """A small CT series, saved as ``SERIES_0.dcm`` and so on."""
    made = []
    for z in range(n):
        one = Dataset()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        one.SOPClassUID = one.file_meta.MediaStorageSOPClassUID = pydicom.uid.CTImageStorage
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{series}.{z}"
        one.StudyInstanceUID, one.SeriesInstanceUID = "1.2.3", f"1.2.3.{series}"
        one.FrameOfReferenceUID, one.Modality = "1.2.3.9", "CT"
        one.PatientID = one.StudyID = one.AccessionNumber = "p"
        one.PatientName = "p^"
        one.PatientBirthDate = one.PatientSex = one.StudyDate = one.StudyTime = ""
        one.SeriesNumber, one.InstanceNumber = 1, z
        one.Rows, one.Columns = SHAPE
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation = 15, 0
        one.PixelSpacing, one.SliceThickness = [1, 1], 3
        one.ImageOrientationPatient, one.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 3 * z]
        pixels = np.random.default_rng(z).integers(0, 4096, SHAPE).astype(np.uint16)
        one.PixelData = pixels.tobytes()
        one.save_as(folder / f"{series}_{z}.dcm", enforce_file_format=True)
        made.append(pydicom.dcmread(folder / f"{series}_{z}.dcm"))
    return made


def enhanced(path: Path, parts: list[Dataset]) -> Dataset:
    """The slices as one multi-frame file."""
    many = pydicom.dcmread(Path(parts[0].filename))
    many.SOPClassUID = many.file_meta.MediaStorageSOPClassUID = pydicom.uid.EnhancedCTImageStorage
    many.SOPInstanceUID = many.file_meta.MediaStorageSOPInstanceUID = "1.2.3.77"
    many.NumberOfFrames = len(parts)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        del many[name]
    many.PixelData = b"".join(part.PixelData for part in parts)
    shared, measures, plane = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing, measures.SliceThickness = [1, 1], 3
    plane.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [measures], [plane]
    many.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for part in parts:
        frame, place = Dataset(), Dataset()
        place.ImagePositionPatient = part.ImagePositionPatient
        frame.PlanePositionSequence = [place]
        frames.append(frame)
    many.PerFrameFunctionalGroupsSequence = frames
    many.save_as(path)
    return pydicom.dcmread(path)


def write_seg(path: Path, sources: list[Dataset], masks: NDArray[np.bool_]) -> None:
    hd = pytest.importorskip("highdicom")
    code = hd.sr.CodedConcept("T-D0050", "SRT", "Tissue")
    about = hd.seg.SegmentDescription(
        1, "brain", code, code, hd.seg.SegmentAlgorithmTypeValues.MANUAL
    )
    hd.seg.Segmentation(
        sources,
        masks.astype(np.uint8),
        hd.seg.SegmentationTypeValues.BINARY,
        [about],
        "1.2.3.4.5",
        1,
        "1.2.3.4.5.6",
        1,
        "maker",
        "model",
        "1",
        "1",
    ).save_as(path)


class TestDicomSeg:
    @pytest.fixture
    def series(self, tmp_path: Path) -> Path:
        masks = np.stack([INSIDE, np.zeros(SHAPE, bool), ~INSIDE])
        write_seg(tmp_path / "seg.dcm", slices(tmp_path, "7"), masks)
        return tmp_path

    def test_each_slice_finds_its_own_segments(self, series: Path) -> None:
        for z, wanted in enumerate((INSIDE, np.zeros(SHAPE, bool), ~INSIDE)):
            one = Case("s", series / f"7_{z}.dcm", 0, "s", mask=series / "seg.dcm")
            for frame in (None, 0):  # the only one may be named
                assert (read_mask(replace(one, frame=frame), SHAPE) == wanted).all()

    def test_a_frame_of_an_image_of_several_finds_its_own(self, tmp_path: Path) -> None:
        source = enhanced(tmp_path / "many.dcm", slices(tmp_path, "9"))
        write_seg(tmp_path / "seg.dcm", [source], np.stack([INSIDE, ~INSIDE, INSIDE]))
        for frame, wanted in enumerate((INSIDE, ~INSIDE, INSIDE)):
            one = Case("m", tmp_path / "many.dcm", 0, "m", frame=frame, mask=tmp_path / "seg.dcm")
            assert (read_mask(one, SHAPE) == wanted).all()

    def test_a_segmentation_of_other_images_is_refused(self, series: Path) -> None:
        slices(series, "8")
        one = Case("s", series / "8_0.dcm", 0, "s", mask=series / "seg.dcm")
        with pytest.raises(InputError, match=r"seg\.dcm: is a segmentation of other images"):
            read_mask(one, SHAPE)
        with pytest.raises(InputError, match=r"refers to DICOM images, and .*a\.png is none"):
            read_mask(case(series, series / "seg.dcm"), SHAPE)
        with pytest.raises(InputError, match=r"7_1\.dcm: a DICOM mask must be a segmentation"):
            read_mask(replace(one, mask=series / "7_1.dcm"), SHAPE)

    def test_without_the_library_the_way_out_is_said(
        self, series: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "highdicom.seg", None)
        one = Case("s", series / "7_0.dcm", 0, "s", mask=series / "seg.dcm")
        with pytest.raises(InputError, match=r"pip install 'midclass\[seg\]'"):
            read_mask(one, SHAPE)


@pytest.mark.slow
def test_commands_before_training_say_how_many_masks_there_are(tmp_path: Path) -> None:
    phantoms.write(tmp_path / "data", "breast", 0, 24, 0, size=48)
    first, *rows = (tmp_path / "data" / "manifest.csv").read_text().splitlines()
    square = np.zeros((48, 48), bool)
    square[8:40, 4:30] = True
    png(tmp_path / "data", square)
    masks = ["mask.png"] * 20 + [""] * 4
    lines = [f"{row},{mask}" for row, mask in zip(rows, masks, strict=True)]
    makers.manifest(tmp_path / "data", f"{first},mask", *lines)
    place = ["--cohort", f"{tmp_path}/data/manifest.csv"]
    run = CliRunner().invoke
    said = run(app, ["check", "phantoms", *place]).stdout
    assert re.search(r"anatomy: \d+ cases with a mask of the manifest, which nothing moves", said)
    said = run(app, ["audit", "phantoms", *place, "--cache", f"{tmp_path}/cache"]).stdout
    assert re.search(r"anatomy +mask 20, anatomy\.breast 4", said), said
    sheet = ["--out", f"{tmp_path}/s.png", "--cache", f"{tmp_path}/cache"]
    assert run(app, ["show", "phantoms", *place, *sheet]).exit_code == 0


def test_an_image_is_not_opened_again_for_its_mask(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, opened = case(tmp_path, png(tmp_path, INSIDE)), list[str]()
    read_bytes = Path.read_bytes

    def noted(path: Path) -> bytes:
        opened.append(os.path.basename(path))
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", noted)
    prepared(tmp_path, one)
    assert [opened.count(name) for name in ("a.png", "mask.png")] == [1, 1]
