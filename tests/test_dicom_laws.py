"""DICOM: what changes pixels or geometry is used whole, or the file is refused by its name."""

from __future__ import annotations

import gzip
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO

from dicom_cases import compressed
from makers import recipe
from midclass import Cohort, InputError, prepare
from midclass.errors import NoImage
from midclass.images.formats import dicom_pixels
from midclass.images.formats.dicom import holds_image
from midclass.images.formats.read import decode, read
from test_dicom import RAMP, item, waves, write_dicom

WORDS = np.arange(4096, dtype=np.uint16).reshape(64, 64)
NAME, BIRTH, NUMBER = "Zwyrtlova^Jadwiga", "19480229", "PID7734512"


OTHER_SIZE = ("JPEG2000Lossless", "JPEGLSLossless", "JPEGLosslessProcess14_1")


def edited(path: Path, old: bytes, new: bytes) -> Path:
    data = path.read_bytes()
    assert data.count(old) == 1
    path.write_bytes(data.replace(old, new))
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_decimal_comma_is_a_point(tmp_path: Path) -> None:
    about = {"WindowCenter": "40.5", "WindowWidth": "80.5", "RescaleSlope": "1.5"}
    path = write_dicom(tmp_path / "x.dcm", WORDS, PixelSpacing=["0.143", "0.25"], **about)
    right = read(path)
    for text in (b"40.5", b"80.5", b"1.5 ", b"0.143\\0.25"):
        edited(path, text, text.replace(b".", b","))
    np.testing.assert_array_equal(read(path).pixels, right.pixels)
    assert read(path).spacing_mm == right.spacing_mm == (0.143, 0.25)


@pytest.mark.parametrize(
    ("keyword", "text", "says"),
    [
        ("PixelSpacing", "0.2", "PixelSpacing is '0.2', expected two numbers"),
        ("PixelSpacing", "0.143,0.143", "PixelSpacing is '0.143,0.143', expected numbers"),
        ("PixelSpacing", "-1\\1", "PixelSpacing is '-1\\1', expected two numbers above 0"),
        ("PixelSpacing", "nan\\1", "PixelSpacing is 'nan\\1', expected numbers"),
        ("WindowCenter", "auto", "WindowCenter is 'auto', expected numbers"),
        ("WindowCenter", "1,024", "WindowCenter is '1,024', which may mean a thousand"),
        ("WindowWidth", "1\\2", "WindowCenter has 1 values, WindowWidth 2"),
        ("WindowWidth", "0", "WindowWidth is 0, expected at least 1"),
        ("RescaleSlope", "0", "RescaleSlope is 0"),
        ("RescaleSlope", "1\\2", "RescaleSlope is '1\\2', expected one number"),
        ("PixelAspectRatio", "2\\0", "PixelAspectRatio is '2\\0', expected two numbers above 0"),
        ("VOILUTFunction", "LOG", "VOILUTFunction is none of LINEAR, LINEAR_EXACT, SIGMOID"),
        ("PresentationLUTShape", "INVERSE", "PresentationLUTShape INVERSE contradicts"),
        ("PixelPresentation", "MIXED", "PixelPresentation MIXED"),
        ("PhotometricInterpretation", "YBR_PARTIAL_420", "PhotometricInterpretation is none of"),
        ("PhotometricInterpretation", "RGB", "SamplesPerPixel is 1, which does not fit"),
        ("BitsStored", 17, "BitsStored is 17, expected 1 to BitsAllocated, 16"),
        ("HighBit", 16, "HighBit is 16, expected 15 to 15"),
        ("BitsAllocated", 12, "BitsAllocated is 12, only"),
        ("Rows", 65, "PixelData holds 8192 bytes, but Rows, Columns"),
        ("Rows", 32, "PixelData holds 2 frames, but NumberOfFrames is 1"),
        ("Rows", 0, "Rows is 0, expected 1 or more"),
        ("PixelData", b"", "PixelData holds 0 bytes"),
        ("NumberOfFrames", "-1", "NumberOfFrames is -1, expected 1 to 2147483647"),
        ("NumberOfFrames", "99999999999", "NumberOfFrames is 1e+11, expected 1 to 2147483647"),
        ("NumberOfFrames", "1e30", "NumberOfFrames is 1e+30, expected 1 to 2147483647"),
    ],
)
def test_an_attribute_that_cannot_be_used_is_named_with_what_it_holds(
    tmp_path: Path, keyword: str, text: Any, says: str
) -> None:
    about = {"WindowCenter": "40", "WindowWidth": "80"}
    path = write_dicom(tmp_path / "x.dcm", WORDS, **about)
    dataset = pydicom.dcmread(path)
    settings = pydicom.config.settings
    before, settings.writing_validation_mode = settings.writing_validation_mode, 0
    try:
        if isinstance(text, str):
            vr = pydicom.datadict.dictionary_VR(pydicom.datadict.tag_for_keyword(keyword))
            raw = text.encode() + b" " * (len(text) % 2)
            tag = pydicom.tag.Tag(keyword)
            dataset[tag] = pydicom.dataelem.RawDataElement(tag, vr, len(raw), raw, 0, False, True)
        else:
            setattr(dataset, keyword, text)
        dataset.save_as(path)
    finally:
        settings.writing_validation_mode = before
    assert refusal(path).startswith(says)


def test_an_intercept_or_a_slope_alone_is_used(tmp_path: Path) -> None:
    alone = write_dicom(tmp_path / "a.dcm", WORDS, RescaleIntercept=-1024)
    both = write_dicom(tmp_path / "b.dcm", WORDS, RescaleIntercept=-1024, RescaleSlope=1)
    for window in (None, (-20.0, 100.0)):
        np.testing.assert_array_equal(
            read(alone, window=window).pixels, read(both, window=window).pixels
        )
    half = write_dicom(tmp_path / "c.dcm", WORDS, RescaleSlope=0.5)
    np.testing.assert_allclose(read(half, window=(0, 2047.5)).pixels[0], WORDS / 4095, atol=1e-6)


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("limit", [None, 3])
def test_padding_is_dark_whatever_happens_to_the_image(
    tmp_path: Path, photometric: str, limit: int | None
) -> None:
    about: dict[str, Any] = {"PhotometricInterpretation": photometric, "PixelPaddingValue": 0}
    without = write_dicom(tmp_path / "a.dcm", WORDS, PhotometricInterpretation=photometric)
    if limit:
        about["PixelPaddingRangeLimit"] = limit
    padded = write_dicom(tmp_path / "b.dcm", WORDS, **about)
    expected = read(without).pixels.copy()
    expected[0][(limit or 0) >= WORDS] = 0
    np.testing.assert_array_equal(read(padded).pixels, expected)


def test_a_table_that_says_16_bits_and_holds_12_is_white_at_its_highest_entry(
    tmp_path: Path,
) -> None:
    curve = (np.linspace(0, 1, 4096) ** 2 * 4095).round().astype("<u2")
    table = item(LUTDescriptor=[4096, 0, 16])
    table.add_new(0x00283006, "OW", curve.tobytes())
    path = write_dicom(tmp_path / "x.dcm", WORDS, VOILUTSequence=[table])
    np.testing.assert_allclose(read(path).pixels[0], curve[WORDS] / 4095, atol=1e-6)


def test_a_table_whose_length_fits_to_nothing_is_refused(tmp_path: Path) -> None:
    table = item(LUTDescriptor=[4096, 0, 12])
    table.add_new(0x00283006, "OW", bytes(6000))
    path = write_dicom(tmp_path / "x.dcm", WORDS, VOILUTSequence=[table])
    assert refusal(path).startswith("LUTData has 6000 bytes, but its descriptor says 4096 entries")


def test_a_segmented_palette_is_unfolded(tmp_path: Path) -> None:
    about: dict[str, Any] = {}
    line = struct.pack("<4B", 0, 1, 0, 1) + struct.pack("<2B", 255, 255)  # 0, then a line to 255
    for colour in ("Red", "Green", "Blue"):
        about[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 8]
        about[f"Segmented{colour}PaletteColorLookupTableData"] = line
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    path = write_dicom(
        tmp_path / "x.dcm", values, PhotometricInterpretation="PALETTE COLOR", **about
    )
    np.testing.assert_allclose(read(path).pixels, np.stack([values] * 3) / 255, atol=1e-6)


def test_a_circle_of_high_pixels_is_a_circle_in_its_sample(tmp_path: Path) -> None:
    y, x = np.mgrid[:64, :128]
    circle = (((y - 31.5) * 2) ** 2 + (x - 63.5) ** 2 < 40**2) * 3000
    path = write_dicom(tmp_path / "x.dcm", circle.astype(np.uint16), PixelAspectRatio=[2, 1])
    for assumed in ({"field_of_view_mm": 220}, {"spacing_mm": 1.5}):
        wanted = recipe(geometry={"size": [128, 128], **assumed})
        prepared = prepare(Cohort.from_files([path]), wanted, cache=tmp_path / "cache")
        bright = prepared.images()[0, 0] > 1000
        height, width = (int(bright.any(axis).sum()) for axis in (1, 0))
        assert abs(height - width) <= 1, (height, width)


def test_spacing_of_the_manifest_that_contradicts_the_aspect_ratio_is_refused(
    tmp_path: Path,
) -> None:
    write_dicom(tmp_path / "x.dcm", WORDS, PixelAspectRatio=[2, 1])
    for text, good in (("0.5", False), ("1.0;0.5", True)):
        (tmp_path / "m.csv").write_text(f"path,spacing_mm\nx.dcm,{text}\n")
        cohort = Cohort.from_manifest(tmp_path / "m.csv")
        if good:
            assert cohort.read(0).spacing_mm == (1.0, 0.5)
        else:
            with pytest.raises(InputError, match="contradicts PixelAspectRatio"):
                cohort.read(0)


@pytest.mark.parametrize("packed", [False, True])
def test_frames_that_are_not_there_cost_no_time_and_no_memory(tmp_path: Path, packed: bool) -> None:
    about = {"SharedFunctionalGroupsSequence": [item(PixelMeasuresSequence=[item()])]}
    path = write_dicom(tmp_path / "x.dcm", WORDS, NumberOfFrames=2**31 - 1, **about)
    if packed:
        dataset = pydicom.dcmread(path)
        dataset.PixelData = pydicom.encaps.encapsulate([bytes(64)])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.RLELossless
        dataset.save_as(path)
    start = time.process_time()
    with pytest.raises(InputError, match=r"PixelData holds|PixelData does not hold"):
        read(path, frame=7)
    assert time.process_time() - start < 2


def test_frames_that_are_no_stack_are_no_volume(tmp_path: Path) -> None:
    for places, good in (((0, 2, 4), True), ((0, 4, 2), False), ((0, 2, 5), False)):
        groups = [
            item(PlanePositionSequence=[item(ImagePositionPatient=[0, 0, z])]) for z in places
        ]
        path = write_dicom(
            tmp_path / "x.dcm",
            np.stack([RAMP] * 3),
            NumberOfFrames=3,
            PixelSpacing=[1, 1],
            PerFrameFunctionalGroupsSequence=groups,
        )
        if good:
            assert read(path, volume=True).spacing_mm == (2, 1, 1)
        else:
            with pytest.raises(InputError, match="ImagePositionPatient does not go on"):
                read(path, volume=True)
    del groups[2]
    write_dicom(
        path, np.stack([RAMP] * 3), NumberOfFrames=3, PerFrameFunctionalGroupsSequence=groups
    )
    with pytest.raises(InputError, match="PerFrameFunctionalGroupsSequence has 2 items for 3"):
        read(path, frame=0)


def test_a_gzipped_file_is_the_file(tmp_path: Path) -> None:
    path, packed = write_dicom(tmp_path / "x.dcm", WORDS), tmp_path / "x.dcm.gz"
    data = gzip.compress(path.read_bytes())
    packed.write_bytes(data)
    np.testing.assert_array_equal(read(packed).pixels, read(path).pixels)
    packed.write_bytes(data[:-100])
    with pytest.raises(InputError, match=r"x\.dcm\.gz: is truncated or damaged"):
        read(packed)


def test_what_holds_no_image_by_its_own_words_is_told_from_what_lost_it(tmp_path: Path) -> None:
    for modality, gone, expected in (
        ("SR", ("PixelData", "Rows", "Columns"), NoImage),
        ("PR", ("PixelData", "Rows", "Columns"), NoImage),
        ("SR", ("PixelData",), InputError),
        ("CT", ("PixelData", "Rows", "Columns"), InputError),
    ):
        path = write_dicom(tmp_path / "x.dcm", RAMP, Modality=modality)
        dataset = pydicom.dcmread(path)
        for keyword in gone:
            del dataset[keyword]
        dataset.save_as(path)
        with pytest.raises(InputError) as caught:
            read(path)
        assert type(caught.value) is expected
        assert holds_image(path) == (expected is InputError)
    index = write_dicom(tmp_path / "DICOMDIR", RAMP)
    dataset = pydicom.dcmread(index)
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = "1.2.840.10008.1.3.10"
    del dataset.PixelData
    dataset.save_as(index)
    assert not holds_image(index)


def test_an_image_cut_off_anywhere_is_never_taken_for_no_image(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "x.dcm", RAMP, Modality="CT")
    data = path.read_bytes()
    for length in range(140, len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(InputError) as caught:
            decode(path)
        assert type(caught.value) is InputError, length


def test_no_error_repeats_what_identifies_a_patient(tmp_path: Path) -> None:
    path = write_dicom(
        tmp_path / "x.dcm",
        WORDS,
        PatientName=NAME,
        PatientBirthDate=BIRTH,
        PatientID=NUMBER,
        WindowCenter="40",
        WindowWidth="80",
        PixelSpacing=["0.5", "0.5"],
        Modality="CT",
    )
    good, rng = path.read_bytes(), np.random.default_rng(0)
    header = len(good) - WORDS.nbytes
    told = 0
    for k in range(300):
        data = bytearray(good)
        if k < 100:  # the identity, where something else should be
            at = int(rng.integers(132, header))
            text = (NAME, BIRTH, NUMBER)[k % 3].encode()
            data[at : at + len(text)] = text
        elif k < 200:  # lengths that reach into other attributes
            for at in rng.integers(132, header, 3):
                data[at] = int(rng.integers(256))
        else:  # the header shifted by some bytes
            at = int(rng.integers(132, header))
            del data[at : at + int(rng.integers(1, 9))]
        path.write_bytes(data)
        try:
            read(path)
        except InputError as error:
            told += 1
            text = str(error) + repr(error.__cause__)
            assert not any(word in text for word in ("Zwyrt", "Jadwiga", BIRTH, "7734512")), text
    assert told > 100


def test_more_pixels_than_the_limit_are_refused_by_the_header(tmp_path: Path) -> None:
    for syntax in (None, "RLELossless", "JPEG2000Lossless"):
        path = write_dicom(tmp_path / "x.dcm", waves(4095), BitsStored=12, HighBit=11)
        path = compressed(path, syntax) if syntax else path
        dataset = pydicom.dcmread(path)
        dataset.Rows = dataset.Columns = 60000
        dataset.save_as(path)
        assert "MIDCLASS_MAX_MEGAPIXELS" in refusal(path)


@pytest.mark.parametrize("syntax", OTHER_SIZE)
def test_a_stream_of_another_size_than_the_header_is_refused_undecoded(
    tmp_path: Path, syntax: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = compressed(
        write_dicom(tmp_path / "x.dcm", waves(4095), BitsStored=12, HighBit=11), syntax
    )
    dataset = pydicom.dcmread(path)
    dataset.Rows = 65
    dataset.save_as(path)
    monkeypatch.setattr(dicom_pixels, "_decompressed", None)
    assert refusal(path).startswith("PixelData holds 64 x 48 pixels of 1 samples, but Rows")


def of_rle(path: Path, *segments: bytes) -> Path:
    starts = [64 + sum(map(len, segments[:k])) for k in range(len(segments))]
    head = struct.pack("<16I", len(segments), *starts, *[0] * (15 - len(segments)))
    dataset = pydicom.dcmread(write_dicom(path, WORDS))
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.5"
    dataset.PixelData = encapsulate([head + b"".join(segments)])
    dataset["PixelData"].is_undefined_length = True
    dataset["PixelData"].VR = "OB"
    dataset.save_as(path)
    return path


def test_rle_that_unfolds_to_more_than_the_image_is_refused(tmp_path: Path) -> None:
    bomb = b"\x81\0" * 2**19
    path = of_rle(tmp_path / "x.dcm", bomb, bomb)
    assert refusal(path).startswith("PixelData is RLE that unfolds to more than Rows x Columns")
    path = of_rle(tmp_path / "x.dcm", bomb[:64])
    assert refusal(path).startswith("PixelData is RLE of 1 segments, expected 2")


def test_a_panic_of_a_decoder_is_the_failure_of_one_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Panic(BaseException):
        """As a decoder in Rust raises it."""

    def fail(with_what: type[BaseException]) -> Any:
        class Broken:
            def as_array(self, *arguments: Any, **options: Any) -> None:
                raise with_what

        return lambda syntax: Broken()

    path = write_dicom(tmp_path / "x.dcm", RAMP)
    monkeypatch.setattr(pydicom.pixels, "get_decoder", fail(Panic))
    assert "cannot be decoded" in refusal(path)
    for kind in (KeyboardInterrupt, SystemExit):
        monkeypatch.setattr(pydicom.pixels, "get_decoder", fail(kind))
        with pytest.raises(kind):
            read(path)


def deflated(path: Path, tail: int) -> Path:
    """A deflated file with so many MiB of zeros behind its pixels."""
    dataset = pydicom.dcmread(write_dicom(path, WORDS))
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
    buffer = DicomBytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    data = buffer.getvalue()
    start = data.index(zlib_start(data))
    body = zlib.decompress(data[start:], -15)
    pack = zlib.compressobj(1, zlib.DEFLATED, -15)
    packed = pack.compress(body)
    for _ in range(tail):
        packed += pack.compress(bytes(2**20))
    path.write_bytes(data[:start] + packed + pack.flush())
    return path


def zlib_start(data: bytes) -> bytes:
    """The first bytes behind the file meta information."""
    length = struct.unpack("<I", data[140:144])[0]
    return data[144 + length : 144 + length + 16]


def test_a_deflated_file_is_inflated_no_further_than_its_header_promises(tmp_path: Path) -> None:
    np.testing.assert_array_equal(decode(deflated(tmp_path / "a.dcm", 1)), WORDS)
    assert "holds more than Rows, Columns" in refusal(deflated(tmp_path / "b.dcm", 100))


def test_a_tail_is_not_read_and_a_header_without_end_is_given_up(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "x.dcm", WORDS)
    data = path.read_bytes()
    # Each value of undefined length is searched for its end to the end of the file.
    link = b"\x11\x00\x10\x00OB\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0" + struct.pack("<I", 20)
    chain = (link + b"\xfe\xff\xdd\xe0\0\0\0\0") * 20_000
    path.write_bytes(data + chain)
    np.testing.assert_array_equal(decode(path), WORDS)
    start = data.index(b"\xe0\x7f\x10\x00")
    path.write_bytes(data[:start] + chain + data[start:])
    assert "its header has no end" in refusal(path)
    inside = b"\x11\x00\x12\x00SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" + chain
    path.write_bytes(data[:start] + inside + data[start:])
    assert "its header has no end" in refusal(path)
    path.write_bytes(data[:start] + bytes(2**20) + data[start:])
    assert "more than 100000 attributes" in refusal(path)
