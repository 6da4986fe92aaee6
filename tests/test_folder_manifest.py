"""A folder as a hospital exports it becomes a manifest that the other commands take."""

from __future__ import annotations

import csv
import json
import shutil
import stat
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner, Result

from dicom_folders import BORN, NAME, image_file, slice_file
from makers import typed
from midclass import Cohort, InputError
from midclass.cli.app import app
from midclass.images.case import Case
from midclass.images.columns import KNOWN, REMARKS
from midclass.images.division import divided
from midclass.images.formats import dicom_file
from midclass.images.formats.dicom_header import header_of
from midclass.images.labels import GIVEN, LabelTable, by_folder, label_of, names_of_given
from midclass.images.pseudonyms import Pseudonyms
from midclass.images.where import Condition

NORMALS = 6


@pytest.fixture(autouse=True)
def _own_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keys, cache and working folder of this test alone."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("MIDCLASS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return


def run(arguments: str) -> Result:
    return CliRunner().invoke(app, arguments.split())


def made(arguments: str, code: int = 0) -> Result:
    result = run(f"manifest {arguments}")
    assert result.exit_code == code, result.output
    return result


def rows(file: str = "manifest.csv") -> list[dict[str, str]]:
    with open(file, newline="", encoding="utf-8") as text:
        return list(csv.DictReader(text))


def left_out() -> dict[str, str]:
    return {row["path"]: row["reason"] for row in rows("manifest.left_out.csv")}


@pytest.fixture
def export(exported: Path) -> Path:
    """A copy of the export in the working folder."""
    return Path(shutil.copytree(exported, "pacs"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Normal chest X-rays, some diseased ones, a report, a text, a knee."""
    folder = tmp_path_factory.mktemp("export") / "pacs"
    for seed in range(NORMALS + 4):
        image_file(
            folder / f"ST{seed:02d}" / "IM1", seed, ViewPosition="PA", BodyPartExamined="CHEST"
        )
    image_file(folder / "ST00" / "IM2", 0, np.full((16, 20), 7) + np.eye(16, 20), ViewPosition="LL")
    image_file(folder / "KNEE", 90, Modality="DX")
    report = {"Modality": "SR", "PixelData": None, "Rows": None, "Columns": None}
    report["SOPClassUID"] = "1.2.840.10008.5.1.4.1.1.88.11"
    image_file(folder / "SR1", 91, **report)
    (folder / "README.TXT").write_text("no image")
    return folder


def ris(file: str = "ris.csv", mark: str = "\ufeff", between: str = ";", end: str = "\r\n") -> None:
    lines = [between.join(("Accession Number", "Name", "Label"))]
    for seed in range(NORMALS + 4):
        label = "normal" if seed < NORMALS else "effusion" if seed < NORMALS + 3 else ""
        lines.append(between.join((f"{seed:08d}", "Erika Mustermann", label)))
    Path(file).write_text(mark + end.join(lines) + end, encoding="utf-8", newline="")


BY_RIS = "--labels ris.csv --on AccessionNumber"


def test_an_export_with_labels_of_the_ris_becomes_a_manifest_that_is_read_back(
    export: Path,
) -> None:
    ris()
    told = made(f"pacs {BY_RIS} --where Modality=CR --test 0.25")
    found = Cohort.from_manifest("manifest.csv")
    assert len(found) == NORMALS + 5
    labels = [case.label for case in found]
    assert (labels.count(0), labels.count(1), labels.count(None)) == (NORMALS + 1, 3, 1)
    assert {case.class_name for case in found if case.label == 1} == {"effusion"}
    assert len(found.patients) == NORMALS + 4
    assert {case.part for case in found if case.label == 1} == {"test"}
    assert {case.part for case in found if case.label is None} == {""}
    assert {case.spacing_mm for case in found} == {(0.5, 0.5)}
    assert len({row["accession_id"] for row in rows()}) == NORMALS + 4
    assert {row["view_position"] for row in rows()} == {"PA", "LL"}
    reasons = left_out()
    assert reasons["pacs/README.TXT"] == "no image, by name and content"
    assert reasons["pacs/SR1"].startswith("it is a report (Modality SR)")
    assert reasons["pacs/KNEE"] == "not Modality=CR"
    assert "left out" in told.stdout
    assert f"told apart by PatientID ({NORMALS + 5} files)" in told.stdout
    assert "1 without a label" in told.stdout


def test_no_name_birth_date_number_or_absolute_path_is_written(
    export: Path, tmp_path: Path
) -> None:
    ris()
    shutil.copytree(export / "ST05", export / "Mustermann_Erika")
    image_file(export / "Mustermann_Erika" / "IM1", 300)
    told = made(f"pacs {BY_RIS} --json")
    assert "hold the patient's name or number" in told.stderr
    said = json.loads(told.stdout)
    assert sum(said["cases"].values()) == len(rows())
    assert sum(said["left_out"].values()) == len(left_out())
    assert NAME.casefold() not in told.stdout.casefold()
    secret = [*NAME.casefold().split("^"), BORN, "pid0", "1.2.826", str(tmp_path).casefold()]
    for file in Path().glob("manifest*.csv"):
        text = file.read_text().casefold().replace("pacs/mustermann_erika/im1", "")
        assert not [word for word in secret if word in text], file
        assert not [f"{seed:08d}" for seed in range(3, 6) if f",{seed:08d}" in text]
    own = [case for case in Cohort.from_manifest("manifest.csv") if "Mustermann" in str(case.path)]
    assert [case.case_id[:2] for case in own] == ["i-"]  # and this stands in score tables


@settings(max_examples=12, deadline=None)
@given(
    mark=st.sampled_from(["", "\ufeff"]),
    between=st.sampled_from([",", ";", "\t"]),
    end=st.sampled_from(["\n", "\r\n"]),
    order=st.permutations(range(5)),
)
def test_a_table_of_labels_is_read_the_same_however_it_is_written(
    mark: str, between: str, end: str, order: list[int]
) -> None:
    body = [("1", "normal"), ("2", "Flu"), ("3", ""), ("4", "unsure"), ("5", "0")]
    lines = [("accession number", "label"), *(body[k] for k in order)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "t.csv"
        text = mark + end.join(map(between.join, lines)) + end
        file.write_text(text, encoding="utf-8", newline="")
        table = LabelTable.read(file, "AccessionNumber", None, GIVEN)
    found = [table.of([key]) for key in "12345"]
    assert [one.label for one in found] == [0, 1, None, None, 0]
    assert [one.class_name for one in found] == ["normal", "Flu", "", "", ""]


@pytest.mark.parametrize(
    "word",
    [
        *("kein Befund", "no metastases", "neg", "normal variant", "False", "Control group"),
        *("healthy_controls", "no_disease", "negativ", "without_tumour", "Normalbefunde", "NO-TB"),
    ],
)
def test_a_word_that_reads_like_the_given_class_is_never_taken_for_disease(word: str) -> None:
    with pytest.raises(InputError, match="may deny disease, be one, or say that nobody looked"):
        label_of(word, GIVEN)
    assert label_of(word, names_of_given([word])).label == 0
    assert label_of(word, names_of_given(["normal"])).label == 1  # the user has named them all


@pytest.mark.parametrize("word", ["not assessed", "keine Angabe", "No label", "not_reported"])
def test_what_says_that_nobody_looked_is_no_class(word: str) -> None:
    assert label_of(word, GIVEN).label is None


@pytest.mark.parametrize("word", ["nodule", "abnormal", "Norovirus", "knot", "notch", "wound"])
def test_a_disease_whose_name_only_contains_such_a_word_is_one(word: str) -> None:
    assert label_of(word, GIVEN).label == 1


def test_the_words_that_were_taken_for_a_class_are_told(export: Path) -> None:
    for n, name in enumerate(["normal", "gesund", "flu", "flu"]):
        folder = Path("classes") / name
        folder.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(n).integers(0, 255, (40, 40), np.uint8)
        Image.fromarray(pixels).save(folder / f"{n}.png")
    told = " ".join(made("classes --labels-by-folder").stdout.split())
    assert "given class gesund (1), normal (1)" in told
    assert "target class flu (2)" in told
    Path("classes/flu").rename("classes/no flu")
    told = made("classes --labels-by-folder --overwrite", code=2).stderr
    assert "'no flu', which may deny disease" in told


def test_rows_that_contradict_each_other_leave_their_images_out_and_say_so(export: Path) -> None:
    ris()
    with open("ris.csv", "a") as file:
        file.write("00000002;x;effusion\n00000003;x;\n00000004;x;normal\n")
    told = made(f"pacs {BY_RIS} --duplicates skip", code=1)
    assert left_out()["pacs/ST02/IM1"] == "rows 4 and 12 of ris.csv contradict each other"
    labels = {row["path"]: row["label"] for row in rows()}
    assert (labels["pacs/ST03/IM1"], labels["pacs/ST04/IM1"]) == ("0", "0")
    assert "failed: pacs/ST02/IM1" in told.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("pacs --labels ris.csv", "say on which column to join with --on"),
        (
            "pacs --labels ris.csv --on Accession",
            "is no attribute of DICOM; did you mean Accession",
        ),
        ("pacs --labels ris.csv --on PatientID", "no column PatientID; if another has it"),
        ("pacs --labels ris.csv --on Name=PatientID", "none of its 2 labelled rows has the Pat"),
        ("pacs --labels ris.csv --on Zeros=AccessionNumber", "2 would be without leading zeros"),
        ("pacs --where Modalty=CR", "'Modalty' is no attribute of DICOM; did you mean Modality?"),
        ("pacs --where Modality", "expected ATTRIBUTE=VALUE, such as Modality=CR"),
        ("pacs --where Modality=PT", "no case is left: "),
        ("pacs --where Rows>=many", "expected a number after >="),
        ("pacs --given-class --labels-by-folder", "labels come from one place"),
        ("pacs --given flu", "--given names a class of --labels-by-folder or --labels"),
        ("pacs --on PatientID", "belong to --labels FILE.csv"),
        ("pacs --labels-by-folder", "no image of the given class (label 0): the classes are ST00"),
        ("pacs --patients name", "--patients name: expected one of header, folder, file"),
        ("pacs --duplicates keep", "--duplicates keep: expected one of drop, tell, skip"),
        ("nowhere", "nowhere: is no folder; give one with images"),
        ("pacs --key short", "a key of 3 bytes, at least 16 are needed"),
    ],
)
def test_what_cannot_be_done_is_one_line_before_anything_is_written(
    export: Path, arguments: str, said: str
) -> None:
    Path("ris.csv").write_text("Zeros;Name;label\n0;a;normal\n3;b;flu\n")
    Path("short").write_text("abc")
    told = made(arguments, code=2)
    assert said in told.stderr
    assert told.stderr.count("\n") <= 2  # a note on a new key, and the error
    assert not list(Path().glob("manifest*"))


def test_judgements_of_a_page_are_taken_back_by_case(export: Path) -> None:
    shutil.move(export / "ST05", export / "Mustermann")
    made("pacs --key key --duplicates skip")
    cases = [row.get("case_id") or row["path"] for row in rows()]
    (hashed,) = [case for case in cases if case.startswith("i-")]
    Path("judgements.csv").write_text(
        f"case_id,patient_id,label,judgement\n{hashed},p,1,agree\npacs/ST01/IM1,p,0,disagree\n"
        "pacs/ST02/IM1,p,,unsure\n"
    )
    judged = "--labels judgements.csv --on case_id"
    made(f"pacs --key key --duplicates skip --overwrite --test 0 {judged}")
    labels = {row["path"]: row["label"] for row in rows() if row["label"]}
    assert labels == {"pacs/Mustermann/IM1": "1", "pacs/ST01/IM1": "0"}


def test_the_folder_that_is_a_person_s_is_named_by_its_level(tmp_path: Path) -> None:
    """p1/left and p1/right are one person; so are normal/p1 and flu/p1."""
    rng = np.random.default_rng(0)
    for k, place in enumerate(f"eyes/p{n}/{side}" for n in range(6) for side in ("left", "right")):
        Path(place).mkdir(parents=True)
        pixels = rng.integers(0, 255, (40, 40), np.uint8)
        Image.fromarray(pixels).save(f"{place}/{k}.png")
    told = made("eyes --given-class --patients folder --test 0.3")
    assert len({row["patient_id"] for row in rows()}) == 12
    assert "folders called left, right lie below several others" in told.stderr
    told = made("eyes --given-class --patients folder:1 --test 0.3 --overwrite")
    assert "lie below several" not in told.stderr
    sides = defaultdict(set)
    for row in rows():
        sides[row["path"].split("/")[1]].add((row["patient_id"], row["split"]))
    assert all(len(of) == 1 for of in sides.values())
    assert len({row["patient_id"] for row in rows()}) == 6
    for n in range(2):
        Path(f"eyes/p{n}/left").rename(f"eyes/p{n}/p9")
    Path("eyes/p0").rename("eyes/normal")
    Path("eyes/p1").rename("eyes/flu")
    made("eyes --labels-by-folder --patients folder:2 --test 0 --overwrite")
    nine = {row["patient_id"] for row in rows() if "/p9/" in row["path"]}
    assert len(nine) == 1
    wrong = made("eyes --given-class --patients folder:0 --overwrite", code=2).stderr
    assert "expected one of header, folder, file, or folder:2" in wrong


def layout(n: int, seed: int = 0) -> Iterator[Image.Image]:
    """Printed maps of one device, which differ little."""
    printed = np.kron(np.random.default_rng(99).integers(0, 200, (12, 12)), np.ones((10, 10)))
    rng = np.random.default_rng(seed)
    for _ in range(n):
        grey = printed + 20 * rng.random() + rng.normal(0, 2, printed.shape)
        yield Image.fromarray(grey.clip(0, 255).astype(np.uint8))


def test_where_all_images_are_alike_by_their_layout_they_are_not_one_patients(
    tmp_path: Path,
) -> None:
    Path("maps").mkdir()
    for k, image in enumerate(layout(14)):
        image.save(f"maps/{k:02}.png")
    shutil.copy("maps/03.png", "maps/copy.png")  # an equal one is
    told = made("maps --given-class --duplicates tell --test 0.3")
    assert "near copies would leave 1 of 14 patients" in told.stderr
    assert "15 of 14 patients" in " ".join(told.stdout.split())
    assert {row["split"] for row in rows()} == {"train", "test"}
    for k in range(40):  # among others they are near copies
        noise = np.random.default_rng(k).integers(0, 255, (64, 64), np.uint8)
        Image.fromarray(noise).save(f"maps/other{k}.png")
    told = made("maps --given-class --duplicates tell --test 0.3 --overwrite")
    assert "near copies would leave" not in told.stderr
    assert "55 of 41 patients" in " ".join(told.stdout.split())


@pytest.mark.parametrize("same", ["blank", "page"])
def test_an_image_that_all_patients_have_makes_nobody_another(tmp_path: Path, same: str) -> None:
    """A frame before the lamp was on, a title page: fourteen people were one."""
    pixels = np.random.default_rng(99).integers(0, 255, (40, 40), np.uint8)
    pixels = np.zeros_like(pixels) if same == "blank" else pixels
    for k in range(14):
        folder = Path("videos", f"p{k:02}")
        folder.mkdir(parents=True)
        Image.fromarray(pixels).save(folder / "0.png")
        noise = np.random.default_rng(k).integers(0, 255, (40, 40), np.uint8)
        Image.fromarray(noise).save(folder / "1.png")
    told = made("videos --patients folder --given-class --duplicates tell")
    assert len({row["patient_id"] for row in rows()}) == 14
    assert ("images of 13 other patients" in told.stderr) == (same == "page")
    (Path("videos") / "p00" / "2.png").write_bytes(Path("videos/p01/1.png").read_bytes())
    made("videos --patients folder --given-class --duplicates tell --overwrite")
    assert len({row["patient_id"] for row in rows()}) == 13  # two who share another are one


def test_large_files_that_begin_alike_are_of_two_patients(tmp_path: Path) -> None:
    """Scans with a wide black border, uncompressed."""
    Path("slides").mkdir()
    for k in range(3):
        pixels = np.zeros((1500, 1000), np.uint8)
        pixels[1200:] = np.random.default_rng(k // 2).integers(0, 255, (300, 1000))
        Image.fromarray(pixels).save(f"slides/{k}.tif")
    made("slides --given-class --duplicates skip")
    one, again, other = (row["patient_id"] for row in rows())
    assert one == again != other


def test_of_images_that_are_taken_for_one_patients_it_is_said_why(tmp_path: Path) -> None:
    for part, seed in (("train", 0), ("test", 1)):
        for name, images in (("NORMAL", layout(1, seed)), ("flu", layout(0))):
            folder = Path("zip") / part / name
            folder.mkdir(parents=True)
            for image in images:
                image.save(folder / f"{part}.png")
    told = made("zip --labels-by-folder", code=2)
    assert "are equal or near copies; --divide divides anew" in told.stderr
    assert "--duplicates skip" in told.stderr
    for part in ("train", "test"):
        Path(f"zip/{part}/NORMAL").rename(f"zip/{part}/p1")
    made("zip --given-class --duplicates skip")
    told = made("zip --given-class --duplicates skip --patients folder --overwrite")
    assert "near copies" not in told.stderr


def test_a_division_that_leaves_nothing_to_learn_from_is_told(tmp_path: Path) -> None:
    """Near copies make one patient of all, and this one is ill."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (40, 40), np.uint8)
    for name, label in (("a", "normal"), ("b", "normal"), ("c", "flu")):
        (Path("copies") / label).mkdir(parents=True, exist_ok=True)
        pixels[0, 0] += np.uint8(1)
        Image.fromarray(pixels).save(Path("copies") / label / f"{name}.png")
    told = made("copies --labels-by-folder --duplicates tell")
    assert "none of 2 cases of the given class is left to learn from" in told.stderr
    assert "midclass score DETECTOR" in told.stdout
    told = made("copies --labels-by-folder --duplicates skip --overwrite")
    assert "left to learn from" not in told.stderr
    assert "midclass fit RECIPE" in told.stdout


@pytest.mark.parametrize("first", ["normal", "train/Healthy controls", "p1"])
def test_folders_that_could_be_classes_are_named_where_no_labels_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, folder in enumerate((first, first, "polyp")):
        file = Path("images", folder, f"{number}.png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (8, 8), np.uint8)).save(file)
    said = made("images --key key").stderr
    named = f"to take the folders {Path(first).name}, polyp for classes, give --labels-by-folder"
    assert (named in said) == (first != "p1")
    assert "for classes" not in made("images --key key --overwrite --given-class").output


def test_folders_are_classes_and_parts_as_collections_come(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number, place in enumerate(("train/NORMAL", "train/flu", "test/NORMAL", "test/flu/p1")):
        folder = Path("zip") / place
        folder.mkdir(parents=True)
        for k in range(2):
            pixels = rng.integers(0, 255, (40, 40), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}{k}.png")
    told = made("zip --labels-by-folder")
    found = {row["path"]: (row["label"], row["split"], row["class_name"]) for row in rows()}
    assert found["zip/train/NORMAL/00.png"] == ("0", "train", "NORMAL")
    assert found["zip/test/flu/p1/30.png"] == ("1", "test", "flu")
    assert "told apart by file (8 files)" in told.stdout
    assert "--patients folder" in told.stderr
    made("zip --labels-by-folder --divide --patients folder --test 0.5 --overwrite")
    assert {row["split"] for row in rows() if row["label"] == "1"} == {"test"}
    assert len({row["patient_id"] for row in rows()}) == 4
    told = made("zip --labels-by-folder --divide --patients folder --positives 1 --overwrite")
    assert {row["split"] for row in rows() if row["label"] == "1"} == {"test", "train"}
    assert "--cohort manifest.csv --positives 1" in told.stdout
    told = made("zip --labels-by-folder --patients folder --positives 1 --overwrite", code=2)
    assert "--positives needs --divide" in told.stderr
    assert by_folder("a.png") == ("", "")


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0, 0, 0, 1, None])), min_size=1),
    test=st.sampled_from([0.0, 0.2, 0.5]),
    seed=st.integers(0, 5),
    positives=st.sampled_from([0, 0, 1, 2]),
)
def test_a_division_cuts_no_patient_and_learns_from_as_few_of_the_target_class_as_are_asked_for(
    labels: list[tuple[int, int | None]], test: float, seed: int, positives: int
) -> None:
    cases = [
        Case(str(n), Path(str(n)), label, f"p{patient}")
        for n, (patient, label) in enumerate(labels)
    ]
    ill = {c.patient_id for c in cases if c.label == 1}
    given_alone = {c.patient_id for c in cases if c.label == 0} - ill
    if positives and positives >= len(ill):
        with pytest.raises(InputError, match=f"leave none to test with, there are {len(ill)}"):
            divided(cases, test, seed, positives)
        return
    if test and len(given_alone) == 1:
        with pytest.raises(InputError, match="cannot be divided"):
            divided(cases, test, seed, positives)
        return
    parts = divided(cases, test, seed, positives)
    of = defaultdict(set)
    for case, part in zip(cases, parts, strict=True):
        assert (part == "") == (case.label is None)
        if part:
            of[case.patient_id].add(part)
    learned = {patient for patient in ill if of[patient] == {"train"}}
    assert len(learned) == positives
    assert all(len(both) == 1 for both in of.values())
    assert divided(cases[::-1], test, seed, positives) == parts[::-1]
    fewer = divided(cases, test, seed, max(positives - 1, 0))
    kept = {c.patient_id for c, part in zip(cases, fewer, strict=True) if part == "train"}
    assert kept & ill <= learned
    tested = sum(of[patient] == {"test"} for patient in given_alone)
    assert (tested == 0) if test == 0 else abs(tested - test * len(given_alone)) <= 1


def test_the_fewer_to_learn_from_are_among_the_more() -> None:
    cases = [Case(str(n), Path(str(n)), int(n < 20), f"p{n}") for n in range(30)]
    learned = [
        {
            case.case_id
            for case, part in zip(cases, divided(cases, 0.2, 1, positives), strict=True)
            if case.label == 1 and part == "train"
        }
        for positives in (0, 3, 4, 19)
    ]
    assert [len(some) for some in learned] == [0, 3, 4, 19]
    assert learned[1] < learned[2] < learned[3]


def test_repeats_are_columns_as_in_studies_and_one_seed_gives_one_division(export: Path) -> None:
    ris()
    made(f"pacs {BY_RIS} --repeats 2 --seed 3 --duplicates skip")
    first = Path("manifest.csv").read_bytes()
    assert "split" not in rows()[0]
    parts = [[row[f"repeat_{k}"] for row in rows()] for k in range(2)]
    assert parts[0] != parts[1]
    made(f"pacs {BY_RIS} --repeats 2 --seed 3 --duplicates skip --overwrite")
    assert Path("manifest.csv").read_bytes() == first
    made(f"pacs {BY_RIS} --seed 4 --duplicates skip --overwrite")
    assert [row["split"] for row in rows()] == parts[1]


def test_one_key_gives_one_name_and_another_key_another(export: Path) -> None:
    made("pacs --duplicates skip --key k1")
    first = {row["path"]: row["patient_id"] for row in rows()}
    assert stat.S_IMODE(Path("k1").stat().st_mode) == 0o600
    made("pacs --duplicates skip --key k1 --overwrite")
    assert {row["path"]: row["patient_id"] for row in rows()} == first
    made("pacs --duplicates skip --key k2 --overwrite")
    other = {row["path"]: row["patient_id"] for row in rows()}
    assert not set(other.values()) & set(first.values())
    one = Pseudonyms.of(b"x" * 16)
    assert len({one.patient("1"), one.accession("1"), one.study("1"), one.series("1")}) == 4


def test_the_same_image_of_two_patients_is_there_once_and_both_are_one(export: Path) -> None:
    ris()
    pixels = pydicom.dcmread(export / "ST03" / "IM1").pixel_array
    image_file(export / "again", 55, pixels, AccessionNumber="00000005")
    told = made(f"pacs {BY_RIS} --where Modality=CR")
    (gone,) = [path for path in left_out() if "another copy of an image" in left_out()[path]]
    assert gone in ("pacs/again", "pacs/ST03/IM1")
    assert "1 pairs of cases of different patients" in told.stdout
    assert [row["kind"] for row in rows("manifest.duplicates.csv")] == ["same pixels"]
    made(f"pacs {BY_RIS} --where Modality=CR --duplicates tell --overwrite")
    names = {row["path"]: row["patient_id"] for row in rows()}
    assert names["pacs/again"] == names["pacs/ST03/IM1"] != names["pacs/ST04/IM1"]


def test_one_image_with_two_labels_is_left_out_twice(export: Path) -> None:
    ris()
    pixels = pydicom.dcmread(export / "ST03" / "IM1").pixel_array
    image_file(export / "again", 55, pixels, AccessionNumber=f"{NORMALS:08d}")
    made(f"pacs {BY_RIS}", code=1)
    both = ("pacs/again", "pacs/ST03/IM1")
    assert all("with another label" in left_out()[path] for path in both)


def test_an_image_that_cannot_be_decoded_is_found_before_any_fit(export: Path) -> None:
    file = export / "ST04" / "IM1"
    file.write_bytes(file.read_bytes()[:-50])
    (export / "cut.dcm").write_bytes(file.read_bytes()[:600])
    told = made("pacs", code=1)
    assert left_out()["pacs/cut.dcm"].startswith("PixelData is missing: ")
    assert left_out()["pacs/ST04/IM1"].startswith("PixelData is truncated: ")
    assert "failed: pacs/ST04/IM1: PixelData is truncated" in told.stderr
    made("pacs --duplicates skip --overwrite", code=1)
    assert "pacs/ST04/IM1" in {row["path"] for row in rows()}


def test_of_two_copies_of_one_image_the_whole_one_stays(export: Path) -> None:
    whole = (export / "ST06" / "IM1").read_bytes()
    (export / "ST06" / "IM0").write_bytes(whole[:-80])
    made("pacs --duplicates skip")
    assert left_out()["pacs/ST06/IM0"].endswith(": pacs/ST06/IM1")


def test_files_to_which_a_bad_anonymiser_gave_one_uid_are_no_copies() -> None:
    for number in range(3):
        image_file(Path("x") / f"{number}.dcm", 1, SOPInstanceUID="1.2.3", InstanceNumber=number)
    pixels = np.random.default_rng(5).integers(0, 99, (16, 20))
    image_file(Path("x") / "3.dcm", 1, pixels, SOPInstanceUID="1.2.3", InstanceNumber=2)
    made("x --duplicates skip")
    assert [row["path"] for row in rows()] == ["x/0.dcm", "x/1.dcm", "x/2.dcm"]


def test_a_manifest_elsewhere_is_read_with_the_root_that_it_says(export: Path) -> None:
    Path("out").mkdir()
    told = made("pacs --out out/m.csv --given-class --duplicates skip")
    assert f"split            train {NORMALS + 6} of " in told.stdout  # nobody to test for
    assert "--root pacs" in told.stdout
    assert len(Cohort.from_manifest("out/m.csv", root="pacs")) == NORMALS + 6


def test_a_name_in_place_of_a_word_of_the_standard_is_not_repeated() -> None:
    words = {"BodyPartExamined": "DOE", "ViewPosition": "DOE", "Modality": "DOE"}
    image_file(Path("x") / "0.dcm", 1, ImageLaterality="DOE", **words)
    made("x --duplicates skip")
    assert "DOE" not in Path("manifest.csv").read_text()


def test_a_picture_without_a_patient_is_known_by_what_it_shows_wherever_it_lies() -> None:
    """Else an evaluation would refuse another picture that has the same name."""
    for folder, seeds in (("one", {"a": 1, "b": 2}), ("two", {"a": 2, "b": 3})):
        Path(folder).mkdir()
        for name, seed in seeds.items():
            pixels = np.random.default_rng(seed).integers(0, 255, (40, 40), np.uint8)
            Image.fromarray(pixels).save(Path(folder) / f"{name}.png")
        made(f"{folder} --key key --duplicates skip --out {folder}.csv")
    one, two = (
        {row["path"][4:]: row["patient_id"] for row in rows(f"{n}.csv")} for n in ("one", "two")
    )
    assert one["b.png"] == two["a.png"]
    assert len({*one.values(), *two.values()}) == 3


def test_names_that_a_table_would_spoil_are_kept_or_named() -> None:
    for seed, name in enumerate(("=1+2.png", "-a.png", " b.png", "c .png", "Ü ß.png")):
        pixels = np.random.default_rng(seed).integers(0, 255, (40, 40), np.uint8)
        Path("odd").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(Path("odd") / name)
    made("odd --given-class --out odd/manifest.csv", code=1)
    found = Cohort.from_manifest("odd/manifest.csv")
    assert sorted(case.path.name for case in found) == ["-a.png", "=1+2.png", "c .png", "Ü ß.png"]
    with open("odd/manifest.csv", encoding="utf-8") as text:
        assert not [line for line in text if line[0] in "=-"]
    (gone,) = rows("odd/manifest.left_out.csv")
    assert gone["reason"].startswith("its name has signs that a table cannot hold")


def test_nothing_of_the_users_is_replaced(export: Path) -> None:
    made("pacs --duplicates skip")
    before = Path("manifest.csv").read_bytes()
    assert "is there already" in made("pacs", code=2).stderr
    Path("manifest.left_out.csv").write_text("my notes\n")
    told = made("pacs --overwrite", code=2)
    assert "was not written by midclass manifest" in told.stderr
    assert Path("manifest.csv").read_bytes() == before


def test_headers_alone_are_read_where_duplicates_are_not_asked_for(
    export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        pytest.fail("pixels were read")

    monkeypatch.setattr(dicom_file, "_add_pixels", fail)
    made("pacs --duplicates skip")


def test_of_a_large_file_only_its_beginning_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.zeros((800, 800))
    file = image_file(tmp_path / "a.dcm", 1, pixels)
    monkeypatch.setattr(dicom_file, "contents", lambda path: pytest.fail("all of it was read"))
    assert header_of(file).accession == "00000001"


def test_a_manifests_columns_are_known_to_whoever_reads_it(export: Path) -> None:
    ris()
    slice_file(export / "ct", 70, 1, 0)
    made(f"pacs {BY_RIS} --duplicates skip")
    assert set(rows()[0]) <= {*KNOWN, *REMARKS}


@settings(max_examples=40, deadline=None)
@given(word=st.sampled_from(["normal", "No finding", "NONE", "?", "flu", "0", "1", ""]) | st.text())
def test_a_word_is_one_class_whatever_its_case_and_separators(word: str) -> None:
    try:
        found = label_of(word, GIVEN)
    except InputError as error:
        reads = "may deny disease" in str(error)
        assert reads or word.strip().casefold() in ("none", "nil")
        return
    assert found.label in (0, 1, None)
    assert (found.label is None) or found.class_name.isprintable()
    if word.isascii():
        assert label_of(f" {word.upper()} ", GIVEN).label == found.label


@pytest.mark.parametrize(
    ("text", "values", "holds"),
    [
        ("Modality=CR,DX", ("DX",), True),
        ("modality = cr", ("CR",), True),
        ("Modality!=CR", ("CR",), False),
        ("Modality!=CR", (), True),
        ("ImageType!=LOCALIZER", ("ORIGINAL", "PRIMARY", "LOCALIZER"), False),
        ("ViewPosition=", (), True),
        ("SliceThickness<=1.5", ("1.50",), True),
        ("SliceThickness<=1.5", (), False),
        ("KVP=120", ("120.0",), True),
    ],
)
def test_a_condition_means_what_it_says(text: str, values: tuple[str, ...], holds: bool) -> None:
    condition = Condition.parsed(text)
    assert condition.holds({condition.keyword: values}) is holds


@pytest.mark.parametrize("inside", ["normal flu", "Normal_cases flu", "train", "Validation x"])
def test_a_folder_of_classes_is_not_taken_for_normal(inside: str) -> None:
    for seed, name in enumerate(inside.split()):
        image_file(Path("in") / name / "a", seed)
    told = run("fit chest_xray in --key key")
    assert told.exit_code == 2
    assert "all images would be taken for the given class" in told.stderr
    assert not Path("runs").exists()


@pytest.mark.slow
def test_as_typed_a_folder_becomes_a_detector_and_scores(tmp_path: Path) -> None:
    for seed in range(36):
        y, x = np.mgrid[-1:1:24j, -1:1:24j]
        rng = np.random.default_rng(seed)
        body = 2000.0 * (np.hypot(x, y) < rng.uniform(0.7, 0.9)) + rng.normal(500, 40, (24, 24))
        place = "normal" if seed < 30 else "flu"
        image_file(Path("in") / place / f"{seed}.dcm", seed, body, PixelSpacing=[1, 1])
    Path("tiny.yaml").write_text(
        "extends: phantoms\nname: tiny\nfloor: 0.0\ngeometry: {size: [24, 24]}\n"
        "anatomy: anatomy.whole\nbudget: {pretrained: null}\n"
    )
    done = typed("manifest in --labels-by-folder --key key", Path.cwd())
    assert done.returncode == 0, done.stderr
    whole = run("fit tiny.yaml in --key key --detector pca --out e")
    assert whole.exit_code == 2
    assert "name in/normal, or make a manifest of it" in whole.stderr
    for wrong in ("", "in/normal --cohort manifest.csv", "manifest.csv", "--cohort m --key key"):
        assert run(f"fit tiny.yaml {wrong}").exit_code == 2
    options = "--key key --detector pca --max-fpr .2 --folds 0 --out e"
    alone = run(f"fit tiny.yaml in/normal {options}")
    assert alone.exit_code == 0, alone.stderr
    assert "given class      30 cases of 30 patients: all of the folder" in alone.stdout
    assert "told apart by PatientID (30 files)" in alone.stdout
    assert "midclass score e NEW_IMAGES" in alone.stdout
    again = run("evaluate e --cohort manifest.csv")
    assert again.exit_code == 2
    assert "was used to fit e; give patients that it has not seen" in again.stderr
    scored = run("score e in/flu --out s.csv")
    assert scored.exit_code in (0, 1), scored.stderr


@pytest.mark.realdata
@pytest.mark.slow
def test_real_files_of_many_makers_are_cases_or_are_named_with_a_reason(shared_data: Path) -> None:
    real = shared_data / "reader_tests" / "dicom" / "pydicom"
    made(f"{real} --out m.csv", code=1)
    found = Cohort.from_manifest("m.csv", root=real)
    gone = {row["path"]: row["reason"] for row in rows("m.left_out.csv")}
    files = {file.name for file in real.iterdir()}
    assert {case.path.name for case in found} | set(gone) == files
    assert gone["liver_1frame.dcm"] == "holds a segmentation (Modality SEG)"
    assert gone["rtdose.dcm"] == "holds a dose distribution (Modality RTDOSE)"
    assert "by its SOPInstanceUID" in gone["MR_truncated.dcm"]
    assert gone["no_meta.dcm"].startswith("its content is none of PNG")
