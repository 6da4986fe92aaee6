"""Laws of headers and cells: what was meant to be read is read, or named with the way out."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from makers import manifest
from midclass import Cohort, InputError
from midclass.cli.app import app
from midclass.cli.commands.source import Source
from midclass.images.columns import EXACT, KNOWN, OTHER_NAMES, meant, plain
from midclass.images.manifest import unused_columns

LINES = ("a.png,0,p,train", "b.png,0,q,train", "c.png,1,r,test")
HARMLESS = ["age", "sex", "mask_path", "severity", "background", "view", "site", "notes"]
HARMLESS += ["patient_label", "repeat_0", "duplicate_of", "medmnist_label", "density", "Unnamed: 0"]
HARMLESS += [
    "rows",
    "columns",
    "kvp",
    "scanner",
    "date",
    "hospital",
    "breast_mask_path",
    "fracture",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files, which are never opened."""
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(b"\x89PNG")
    return tmp_path


def refused(path: Path, split: str | None = None) -> str:
    with pytest.raises(InputError) as caught:
        Cohort.from_manifest(path, split)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("Split", "split"),
        ("SPLIT", "split"),
        ("splits", "split"),
        ("set", "split"),
        ("PatientID", "patient_id"),
        ("patient-id", "patient_id"),
        ("patient id", "patient_id"),
        ("Patient", "patient_id"),
        ("SubjectID", "patient_id"),
        ("patientt_id", "patient_id"),
        ("spacing", "spacing_mm"),
        ("PixelSpacing", "spacing_mm"),
        ("spacing-mm", "spacing_mm"),
        ("Spacing (mm)", "spacing_mm"),
        ("Label", "label"),
        ("lable", "label"),
        ("target", "label"),
        ("class", "label"),
        ("ClassName", "class_name"),
        ("Laterality", "laterality"),
        ("side", "laterality"),
        ("X", "x"),
        ("cx", "x"),
        ("Mask", "mask"),
        ("label\u200b", "label"),
    ],
)
def test_a_column_that_is_nearly_one_of_ours_is_named_with_it(
    folder: Path, wrong: str, right: str
) -> None:
    said = refused(manifest(folder, f"path,{wrong}", "a.png,"))
    assert repr(wrong) in said
    assert f"nearly {right!r}" in said


LOOKED_FOR = [name for name in KNOWN if name not in EXACT]


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(LOOKED_FOR), st.data())
def test_case_and_separators_never_hide_a_column(name: str, data: st.DataObject) -> None:
    mark = data.draw(st.sampled_from(["", "_", "-", " ", ".", "__"]))
    upper = data.draw(st.lists(st.booleans(), min_size=len(name), max_size=len(name)))
    letters = [
        c.upper() if up else c for c, up in zip(name.replace("_", mark), upper, strict=False)
    ]
    other = "".join(letters)
    assert plain(other) == plain(name) or len(mark) != 1
    if plain(other) == plain(name):
        assert meant(other, ["path"]) == (None if other in KNOWN else name)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from([name for name in LOOKED_FOR if len(plain(name)) >= 5]), st.data())
def test_one_slip_of_the_keyboard_never_hides_a_column(name: str, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(name) - 2))
    kind = data.draw(st.sampled_from(["swapped", "missing", "twice"]))
    first, second = name[place], name[place + 1]
    slip = {"swapped": second + first, "missing": second, "twice": first + first + second}[kind]
    other = name[:place] + slip + name[place + 2 :]
    assert other in KNOWN or meant(other, ["path"]) in KNOWN


def test_other_names_are_errors_only_where_ours_is_not_there(folder: Path) -> None:
    for ours, names in OTHER_NAMES.items():
        for name in names.split():
            assert meant(name, ["a"]) == ours, name
            assert meant(name, ["a", ours]) in (None, *KNOWN)
    path = manifest(folder, "path,label,target,patient_id,subject", "a.png,0,7,p,s")
    assert Cohort.from_manifest(path)[0].patient_id == "p"


def test_two_spellings_of_one_column_are_refused(folder: Path) -> None:
    said = refused(manifest(folder, "path,label,Label", "a.png,0,1"))
    assert "'Label' is not used, it is nearly 'label'" in said


def test_other_columns_are_fine_and_can_be_told(folder: Path) -> None:
    path = manifest(folder, f"path,{','.join(HARMLESS)}", "a.png" + "," * len(HARMLESS))
    assert len(Cohort.from_manifest(path)) == 1
    assert unused_columns(path) == tuple(HARMLESS)


@pytest.mark.parametrize(
    "words", [("train", "test"), ("Training", "TEST"), ("train", "val", "test")]
)
def test_cases_are_not_divided_by_a_column_that_nobody_named(
    folder: Path, words: tuple[str, ...]
) -> None:
    rows = [f"{name}.png,{word}" for name, word in zip("abc", (*words, words[-1]), strict=False)]
    path = manifest(folder, "path,fold", *rows)
    with pytest.raises(InputError, match=r"would be learned from.*--split fold"):
        Source(path).cohort("train")
    assert len(Source(path).cohort("test")) == len(rows)  # which is learned from by nobody
    other = manifest(folder, "path,fold", *[row.split(",")[0] + ",3" for row in rows])
    assert len(Source(other).cohort("train")) == len(rows)


@pytest.mark.parametrize("part", ["Train", "TRAIN", "training", "Test", "TEST", "testing"])
def test_a_part_that_is_nearly_train_or_test_is_named_with_its_row(folder: Path, part: str) -> None:
    path = manifest(folder, "path,label,patient_id,split", *LINES[:2], f"c.png,1,r,{part}")
    said = refused(path)
    assert f"row 4: split is {part!r}" in said
    assert "write tr" in said or "write te" in said
    (folder / "splits.csv").write_text(f"path,r0\na.png,train\nb.png,train\nc.png,{part}\n")
    with pytest.raises(InputError, match=r"splits\.csv, row 4: r0 is"):
        Cohort.from_manifest(manifest(folder, "path", "a.png", "b.png", "c.png"), "splits.csv:r0")


def test_blanks_around_a_part_or_a_column_do_not_count(folder: Path) -> None:
    path = manifest(folder, "path , label,patient_id, split ", *(f"{line} " for line in LINES))
    assert Cohort.from_manifest(path).parts == ("test", "train")


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("label", "normal", "expected 0 (given class), 1 (target class)"),
        ("label", "yes", "expected 0"),
        ("label", "2", "expected 0"),
        ("label", "0,0", "expected 0"),
        ("spacing_mm", "0,7", "expected a number with a point: 0.7"),
        ("spacing_mm", "0,7;0,7", "expected a number with a point: 0.7"),
        ("spacing_mm", "1_0", "expected a number"),
        ("spacing_mm", "inf", "expected a number"),
        ("spacing_mm", "1e-9", "from 1e-05 to 100000"),
        ("spacing_mm", "1e300", "from 1e-05 to 100000"),
        ("spacing_mm", "1" * 400, "expected a number"),
        ("frame", "1.0", "expected a whole number"),
        ("frame", "9" * 5000, "expected a whole number"),
        ("frame", "²", "expected a whole number"),
        ("label", "\x1b[31m1", "cannot be printed"),
        ("class_name", "two\nlines", "cannot be printed"),
        ("patient_id", "a\x00", "manifest.csv"),
    ],
)
def test_a_cell_that_is_wrong_is_named_with_its_row(
    folder: Path, column: str, value: str, message: str
) -> None:
    said = refused(manifest(folder, f"path,{column}", "a.png,", f'b.png,"{value}"'))
    assert message in said
    assert len(said) < len(str(folder)) + 300


@pytest.mark.parametrize("value", ["0", "0.0", "1.0", "1", ""])
def test_a_label_may_have_been_written_by_a_table_with_gaps(folder: Path, value: str) -> None:
    (case,) = Cohort.from_manifest(manifest(folder, "path,label", f"a.png,{value}"))
    assert case.label == (None if not value else int(float(value)))


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_what_a_spreadsheet_writes_is_read(folder: Path, coding: str, mark: str, end: str) -> None:
    text = end.join(["path,label,patient_id,split", *LINES, ""]).replace(",", mark)
    raw = text.encode(coding)
    path = folder / "m.csv"
    path.write_bytes((b"\xfe\xff" if coding == "utf-16-be" else b"") + raw)
    cohort = Cohort.from_manifest(path)
    assert [(c.case_id, c.label, c.patient_id, c.part) for c in cohort] == [
        ("a.png", 0, "p", "train"),
        ("b.png", 0, "q", "train"),
        ("c.png", 1, "r", "test"),
    ]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"PK\x03\x04rest", "save it as CSV (UTF-8)"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "is an Excel file; save it as CSV (UTF-8)"),
        ("path,class_name\na.png,Müller\n".encode("cp1252"), "save it as CSV (UTF-8)"),
        (b"path\n\xff\xff\xff", "save it as CSV (UTF-8)"),
        (b"\xff\xfep\x00a", "UTF-16"),
        (b"\xff\xfe\x00", "UTF-16"),
        (b"path\na.png\x00\n", "m.csv"),
        (b'path\n"a.png\n', "is not a CSV file"),
    ],
)
def test_what_is_no_text_is_told_with_the_way_out(folder: Path, raw: bytes, message: str) -> None:
    path = folder / "m.csv"
    path.write_bytes(raw)
    assert message in refused(path)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_are_a_manifest_or_one_line(folder: Path, raw: bytes, head: bool) -> None:
    path = folder / "m.csv"
    path.write_bytes((b"path,label,spacing_mm\n" if head else b"") + raw)
    refused_or_read = []
    try:
        refused_or_read.append(str(len(Cohort.from_manifest(path))))
    except InputError as error:
        refused_or_read.append(str(error))
    assert "\n" not in refused_or_read[0]


def test_the_command_says_it_before_any_work(folder: Path) -> None:
    path = manifest(folder, "path,label,patient_id,Split", *LINES)
    done = CliRunner().invoke(app, ["fit", "phantoms", "--cohort", str(path)])
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert "'Split' is not used, it is nearly 'split'" in done.stderr


def test_columns_that_are_not_read_are_told_in_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"a{i}" for i in range(10)]
    path = manifest(folder, f"path,label,{','.join(names)}", "a.png,0" + "," * 10)
    Source(path).tell_unused()
    said = capsys.readouterr().err
    assert said == "note: columns not used: a0, a1, a2, a3, a4, a5, a6, a7 and 2 more\n"
    Source(manifest(folder, "path,label,r0", "a.png,0,train"), split="r0").tell_unused()
    assert not capsys.readouterr().err
