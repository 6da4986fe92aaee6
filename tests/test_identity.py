"""Laws of identity: who a patient is, is nowhere in what is written or said."""

from __future__ import annotations

import csv
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.datadict import DicomDictionary, keyword_for_tag
from pydicom.dataset import FileDataset, FileMetaDataset
from typer.testing import CliRunner, Result

from makers import discs
from midclass import Case, Cohort, InputError
from midclass.cli.app import app
from midclass.images.formats.dicom_frames import OF_OTHER_PIPELINES
from midclass.images.identity import (
    FITTED_WITH,
    FittedWith,
    Seal,
    fitted_with,
    refuse_seen,
    seen_by,
)

pytestmark = pytest.mark.usefixtures("coarse_maps")

NAME, BORN, ID, ACCESSION, UID = "QUILLFEATHER", "19431122", "7654321", "ACC998877", "1.2.99.8.7.6"
TOKENS = [NAME, "Quillfeather", BORN, "1943-11-22", ID, ACCESSION, UID]
TEXT = {"PN": f"{NAME}^ZEBULON", "LO": f"{NAME} {ID}", "SH": ACCESSION, "LT": f"{NAME} {BORN}"}
TEXT |= {"ST": f"{NAME} {ID}", "UT": f"{NAME} {ID}", "UC": f"{NAME} {ID}", "DA": BORN}
TEXT |= {"DT": f"{BORN}120000", "UI": UID, "UR": f"http://x/{NAME}", "AE": ACCESSION}
NEEDED = {"SOPClassUID", "SOPInstanceUID", "TransferSyntaxUID"}
REFUSED = {*OF_OTHER_PIPELINES, "PresentationLUTShape"}
"""Attributes that change pixels: with nonsense in them a file is refused."""
RECIPE = """\
name: small
given_class: normal
target_class: disease
geometry: {size: [32, 32], spacing_mm: 1.0}
anatomy: anatomy.foreground
middle_classes: {ball: {operator: focal.Focal, diameter_mm: [5, 12]}}
budget: {steps: 2, batch: 8, width: 8, checkpoints: 1}
"""
STUDY = """\
name: small
repeats: 1
max_fpr: 0.2
tasks: {t: {recipe: r.yaml, cohort: data/manifest.csv}}
detectors: {pca: {detector: pca}, intensity: {detector: intensity}}
"""
PATIENT = "PSEUDONYM"
"""How the manifest's patient ids begin: they stand in the column patient_id of score tables."""


def everything() -> dict[str, Any]:
    """A value that tells who it is for every attribute of the standard that holds text."""
    found = {}
    for tag, (vr, *_) in DicomDictionary.items():
        keyword = keyword_for_tag(tag)
        if keyword and tag >> 16 > 2 and vr in TEXT and keyword not in NEEDED | REFUSED:
            found[keyword] = TEXT[vr]
    return found


def write(file: Path, pixels: np.ndarray, number: int) -> None:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    meta.MediaStorageSOPInstanceUID = f"{UID}.{number}"
    one = FileDataset(str(file), {}, file_meta=meta, preamble=b"\0" * 128)
    few = ("PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "ImageComments")
    for keyword, value in everything().items():
        if number % 16 == 0 or keyword in few:  # all of them take long to read
            setattr(one, keyword, value)
    one.SOPClassUID, one.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", f"{UID}.{number}"
    one.SpecificCharacterSet = "ISO_IR 100"
    one.Rows, one.Columns = pixels.shape
    one.BitsAllocated = one.BitsStored = 16
    one.HighBit, one.PixelRepresentation, one.SamplesPerPixel = 15, 0, 1
    one.PhotometricInterpretation, one.PixelSpacing = "MONOCHROME2", [1, 1]
    one.PixelData = (pixels * 65535).astype("<u2").tobytes()
    one.save_as(file)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, below folders that tell who it is."""
    top = tmp_path_factory.mktemp("home") / f"{NAME}_Zebulon" / f"born_{BORN}" / ACCESSION / ID
    (top / "data" / "i").mkdir(parents=True)
    images = np.concatenate([discs(60, 0), discs(6, 1, square=0.4)])[:, 0]
    with (top / "data" / "manifest.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["path", "label", "patient_id", "split"])
        for number, pixels in enumerate(images):
            write(top / "data" / "i" / f"{number}.dcm", pixels, number)
            part = "train" if number < 48 else "test"
            rows.writerow([f"i/{number}.dcm", int(number >= 60), f"{PATIENT}{number}", part])
    (top / "r.yaml").write_text(RECIPE)
    (top / "study.yaml").write_text(STUDY)
    return top


def run(command: str, place: Path, monkeypatch: pytest.MonkeyPatch, cache: str = "cache") -> Result:
    monkeypatch.chdir(place)
    monkeypatch.setenv("MIDCLASS_CACHE", str(place / cache))
    return CliRunner().invoke(app, command.split())


def written(place: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file that a command wrote, and what pictures say beside their pixels."""
    for file in sorted(place.rglob("*")):
        ours = file.relative_to(place).parts[0] not in ("data", "r.yaml", "study.yaml", "broken")
        if file.is_file() and ours:
            yield file, file.name.encode() + file.read_bytes()
            if file.suffix == ".png":
                with PIL.Image.open(file) as picture:
                    yield file, repr({**picture.info, **getattr(picture, "text", {})}).encode()


def told(raw: bytes, tokens: list[str] = TOKENS) -> list[str]:
    ways = [(one, one.encode(), one.encode("utf-16-le")) for one in tokens]
    return [one for one, plain, wide in ways if plain in raw or wide in raw]


def without_patient_ids(raw: bytes) -> bytes:
    """A score table without its column ``patient_id``."""
    head, *rows = list(csv.reader(raw.decode().splitlines()))
    column = head.index("patient_id")
    return repr([head, *[row[:column] + row[column + 1 :] for row in rows]]).encode()


COMMANDS = [
    "show r.yaml --cohort data/manifest.csv --out out/sheet.svg --n 2",
    "check r.yaml --cohort data/manifest.csv",
    "audit r.yaml --cohort data/manifest.csv --out out/a.json --outlines out/a.svg --n 20",
    "fit r.yaml --cohort data/manifest.csv --out out/pca --max-fpr 0.2 --detector pca",
    "fit r.yaml --cohort data/manifest.csv --out out/m --max-fpr 0.2",
    "score out/pca data/i --out out/files.csv --heat-maps out/maps",
    "score out/pca --cohort data/manifest.csv --out out/cohort.csv",
    "evaluate out/m --cohort data/manifest.csv",
    "evaluate out/pca --cohort data/manifest.csv --out out/e",
]


@pytest.mark.slow
def test_who_a_patient_is_is_nowhere_in_what_is_written_or_said(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(everything()) > 900
    for command in COMMANDS:
        done = run(command, place, monkeypatch)
        assert done.exception is None or isinstance(done.exception, SystemExit), command
        assert done.exit_code in (0, 1), (command, done.output)
        assert not told(done.output.encode()), (command, done.output)
        assert PATIENT not in done.output
    files = list(written(place))
    assert len(files) > 40
    assert {".json", ".csv", ".svg", ".png", ".safetensors"} <= {file.suffix for file, _ in files}
    for file, raw in files:
        assert not told(raw), file
        rest = without_patient_ids(raw.partition(b".csv")[2]) if file.suffix == ".csv" else raw
        if file.suffix == ".html":  # lists cases as the score table does, by the manifest's ids
            rest = raw.replace(PATIENT.encode(), b"")
        assert not told(rest, [PATIENT]), file
        assert not told(raw, [str(place), "/home/"]), file


def test_who_a_patient_is_is_nowhere_in_a_manifest(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in (
        "manifest data/i --out out/made.csv --key out/key --duplicates skip",
        "manifest data/i --out out/where.csv --key out/key --duplicates skip --patients file "
        f"--where PatientName={NAME}^ZEBULON --where ViewPosition!=PA --overwrite",
    ):
        done = run(command, place, monkeypatch)
        assert done.exit_code == 0, (command, done.output)
        assert not told(done.output.encode()), (command, done.output)
    made = list(written(place))
    assert len(made) >= 6
    for file, raw in made:
        assert not told(raw), file
        assert not told(raw, [str(place), "/home/"]), file


@pytest.mark.slow
def test_who_a_patient_is_is_nowhere_in_a_study(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = place / "study_bad.yaml"
    bad.write_text(STUDY.replace("r.yaml", "r.yaml, change: {geometry: {crop: anatomy.breast}}"))
    for command in (
        "study study.yaml --data . --out out/study",
        "report study.yaml --out out/study --ours pca",
    ):
        done = run(command, place, monkeypatch)
        assert done.exit_code in (0, 1), (command, done.output)
        assert not told(done.output.encode()), (command, done.output)
    for file, raw in written(place):
        assert not told(raw), file


def test_absolute_paths_are_cut_in_what_is_written(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, out = place / "data", place / "abs"
    for command in (
        f"fit {place}/r.yaml --cohort {data}/manifest.csv --out {out}/d --max-fpr 0.2 "
        "--detector pca",
        f"score {out}/d {data}/i --out {out}/s.csv --heat-maps {out}/maps",
        f"score {out}/d {data}/i/0.dcm {data}/i/1.dcm --out {out}/t.csv",
        f"score {out}/d {data}/i/../i/2.dcm --out {out}/u.csv",
        f"evaluate {out}/d --cohort {data}/manifest.csv",
    ):
        done = run(command, place, monkeypatch)
        assert done.exit_code in (0, 1), (command, done.output)
    with (out / "s.csv").open() as file:
        assert {row["case_id"] for row in csv.DictReader(file)} == {f"{i}.dcm" for i in range(66)}
    for file, raw in written(place):
        assert not told(raw), file


def test_why_a_file_failed_is_kept_without_its_folders(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "broken").mkdir(exist_ok=True)
    (place / "broken" / "a.png").write_bytes(b"\x89PNG")
    if not (place / "out" / "pca").exists():
        run(COMMANDS[3], place, monkeypatch)
    files = f"{place}/broken/a.png {place}/data/i/3.dcm"
    run(f"score out/pca {files} --out out/failed.csv --overwrite", place, monkeypatch)
    for file, raw in written(place):
        assert not told(raw), file


def test_a_damaged_header_is_told_without_what_it_says(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = (place / "data" / "i" / "0.dcm").read_bytes()
    (place / "broken").mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(40):
        raw = bytearray(whole)
        for at in rng.integers(132, len(raw) - 2048, 30):
            raw[at] = rng.integers(256)
        size = int(rng.integers(200, len(raw))) if number % 2 else len(raw)
        (place / "broken" / f"{number}.dcm").write_bytes(raw[:size])
    if not (place / "out" / "pca").exists():
        run(COMMANDS[3], place, monkeypatch)
    done = run("score out/pca broken --out out/broken.csv --overwrite", place, monkeypatch)
    assert not told(done.output.encode()), done.output
    for file, raw in written(place):
        assert not told(raw), file


def test_how_many_images_a_detector_was_fitted_with_is_known_of_new_and_old_ones(
    tmp_path: Path,
) -> None:
    shown = [f"{i:064x}" for i in range(4)]
    (tmp_path / FITTED_WITH).write_text(fitted_with(cohort_of([*"abcd"]), shown))
    assert seen_by(tmp_path, [*shown[:3], "f" * 64, ""]) == 3
    plain = {"patients": [], "contents": [one[:16] for one in shown]}  # of earlier versions
    (tmp_path / FITTED_WITH).write_text(json.dumps(plain))
    assert seen_by(tmp_path, [*shown, "f" * 64]) == 4
    assert seen_by(tmp_path / "none", shown) == 0


IDS = st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=12)


def cohort_of(ids: list[str]) -> Cohort:
    return Cohort(tuple(Case(f"c{i}", Path(f"{i}.png"), 0, one) for i, one in enumerate(ids)))


@settings(max_examples=12, deadline=None)
@given(st.lists(IDS, min_size=1, max_size=4, unique=True), IDS)
def test_patients_and_images_of_the_fit_are_refused_and_no_others(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], other: str
) -> None:
    folder = tmp_path_factory.getbasetemp()
    shown = [f"{i:064x}" for i in range(len(ids))]
    text = fitted_with(cohort_of(ids), shown)
    assert not any(len(one) > 3 and one in text for one in ids)
    (folder / FITTED_WITH).write_text(text)
    for one in ids:
        with pytest.raises(InputError, match="was used to fit"):
            refuse_seen(folder, cohort_of([one]))
    if other not in ids:
        refuse_seen(folder, cohort_of([other]), ["f" * 64])
        with pytest.raises(InputError, match="under another name"):
            refuse_seen(folder, cohort_of([other]), [shown[-1]])


def test_hashes_of_a_patient_differ_from_cohort_to_cohort_and_repeat_within_one() -> None:
    one, again, other = (
        json.loads(fitted_with(cohort_of(["1234567"]), [shown * 64])) for shown in "aab"
    )
    assert one == again
    for name in ("salt", "patients", "contents"):
        assert one[name] != other[name]


def test_all_ids_of_seven_digits_take_hours_of_one_core() -> None:
    seal = Seal.of(["a" * 64], 100)
    start = time.process_time()
    for number in range(20):
        seal.of_patient(f"{number:07d}")
    assert (time.process_time() - start) / 20 * 1e7 > 3600


def test_very_many_patients_take_minutes_and_not_hours() -> None:
    assert [Seal.of([], n).cost for n in (10, 900, 1500, 3000, 10**6)] == [
        2048,
        2048,
        1024,
        512,
        256,
    ]


def test_what_earlier_versions_wrote_refuses_as_before(tmp_path: Path) -> None:
    from hashlib import sha256

    known = sha256(b"p1").hexdigest()[:16]
    old = {"patients": [known], "contents": ["c" * 16], "pixels": ["d" * 16], "perceptual": []}
    (tmp_path / FITTED_WITH).write_text(json.dumps(old))
    with pytest.raises(InputError, match="patient p1 "):
        refuse_seen(tmp_path, cohort_of(["p1"]))
    with pytest.raises(InputError, match="under another name"):
        refuse_seen(tmp_path, cohort_of(["p2"]), ["c" * 64])
    refuse_seen(tmp_path, cohort_of(["p2"]), ["e" * 64])
    read = FittedWith.read(tmp_path)
    assert read is not None
    assert read.seal.of_image("d" * 64) in read.pixels


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"patients": 3, "contents": []}',
        '{"patients": [1], "contents": []}',
        '{"patients": [], "contents": null}',
        '{"patients": []}',
        '{"patients": [], "contents": [], "pixels": "x"}',
        '{"patients": [], "contents": [], "perceptual": ["xy"]}',
        '{"patients": [], "contents": [], "salt": "x", "cost": 2048}',
        '{"patients": [], "contents": [], "salt": "' + "a" * 32 + '", "cost": 1000000000}',
        '{"patients": [], "contents": [], "salt": "' + "a" * 32 + '"}',
        "[" * 100_000,
        "\xff",
    ],
)
def test_a_damaged_file_of_them_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / FITTED_WITH).write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match="is damaged") as caught:
        refuse_seen(tmp_path, cohort_of(["p"]))
    assert "\n" not in str(caught.value)
    assert re.match(rf"{re.escape(str(tmp_path))}.*{FITTED_WITH}", str(caught.value))
