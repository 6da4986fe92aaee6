"""Manifests: every mistake is an error of one line that names the file, the row and the field."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from makers import manifest
from midclass import Cohort, InputError
from midclass.cli.commands.source import Source, cases_to_score


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files, which are never opened, and a splits.csv."""
    for name in "abc":
        (tmp_path / f"{name}.png").write_bytes(b"\x89PNG")
    (tmp_path / "splits.csv").write_text("path,r0\na.png,train\nb.png,train\nc.png,test\n")
    return tmp_path


NFC, NFD = (unicodedata.normalize(form, "köpfe.png") for form in ("NFC", "NFD"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([""], "manifest.csv: is empty"),
        (["path,label"], "has a header but no rows"),
        (["file,label", "a.png,0"], "column 'file' is not used, it is nearly 'path'"),
        (["where,label", "a.png,0"], "no column 'path'; the columns are where, label"),
        (["path,path", "a.png,0"], "column 'path' stands twice"),
        (["path,label", "a.png,0,1"], "row 2: 3 fields, the header has 2"),
        (["path,label", "a.png,0", "", "b.png,2"], "row 4: label is '2', expected 0"),
        (["path,x,y", "a.png,one,2"], "row 2: x is 'one', expected a number"),
        (["path,x,y", "a.png,1,nan"], "row 2: y is 'nan', expected a number"),
        (["path,x,y", "a.png,1,"], "row 2: y is '', expected both x and y"),
        (["path,spacing_mm", "a.png,0"], "row 2: spacing_mm is '0', expected mm above 0"),
        (["path,spacing_mm", "a.png,1;2;3"], "row 2: spacing_mm is '1;2;3'"),
        (["path,spacing_mm", "a.png,1;b"], "row 2: spacing_mm is '1;b', expected a number"),
        (["path,frame", "a.png,-1"], "row 2: frame is '-1', expected a whole number"),
        (["path,array,index", "a.npz,train,"], "row 2: index is '', expected the row"),
        (["path,laterality", "a.png,up"], "row 2: laterality is 'up'"),
        (["path,label", ",0"], "row 2: path is ''"),
        (["path", "a.png", "../b.png"], r"row 3: path is '../b.png', which leads out"),
        (["path", "/etc/hosts"], "row 2: path is '/etc/hosts', which leads out"),
        (["path", "a.png", "x.png", "y.png"], r"row 3: no such file .*x\.png \(and 1 more"),
        (["path", "a.png", "b.png", "a.png"], r"rows 2 and 4: the same case 'a\.png'"),
        (
            ["path,patient_id,split", "a.png,p,train", "b.png,q,test", "c.png,p,test"],
            r"patient p is in train \(row 2\) and in test \(row 4\)",
        ),
    ],
)
def test_a_mistake_is_named_with_its_row(folder: Path, lines: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Cohort.from_manifest(manifest(folder, *lines))
    assert "\n" not in str(caught.value)
    assert "manifest.csv" in str(caught.value)


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("told", ["sep={}", '"sep={}"'])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_line_that_tells_a_spreadsheet_the_separator_is_no_header(
    folder: Path, mark: str, told: str, end: str
) -> None:
    rows = [told.format(mark), mark.join(["path", "label"]), mark.join(["a.png", "0"])]
    file = folder / "manifest.csv"
    file.write_bytes(("\ufeff" + end.join([*rows, ""])).encode())
    assert [case.case_id for case in Cohort.from_manifest(file)] == ["a.png"]
    file.write_bytes(end.join([*rows, mark.join(["b.png", "2"])]).encode())
    with pytest.raises(InputError, match="row 4: label is '2'"):  # as the spreadsheet counts
        Cohort.from_manifest(file)


def test_a_name_that_only_looks_like_that_of_a_file_is_told(folder: Path) -> None:
    (folder / "ct").mkdir()
    (folder / "ct" / "a.png").touch()
    with pytest.raises(InputError, match="write slashes for its backslashes"):
        Cohort.from_manifest(manifest(folder, "path", "ct\\a.png"))
    for written, there in ((NFC, NFD), (NFD, NFC)):
        (folder / there).touch()
        if (folder / written).exists():
            pytest.skip("to this file system both forms are one name")
        with pytest.raises(InputError, match="accents in another form of Unicode"):
            Cohort.from_manifest(manifest(folder, "path", written))
        (folder / there).unlink()


def test_what_programs_write_for_nobody_is_nobody_in_particular(folder: Path) -> None:
    rows = ["path,patient_id", "a.png,nan", "b.png,N/A", "c.png,p"]
    assert Cohort.from_manifest(manifest(folder, *rows)).patients == ("a.png", "b.png", "p")


def test_files_of_a_part_that_is_not_read_need_not_be_there(folder: Path) -> None:
    rows = ["path,split", "a.png,test", "gone.png,train", "b.png,"]
    file = manifest(folder, *rows)
    with pytest.raises(InputError, match=r"row 3: no such file .*gone\.png"):
        Cohort.from_manifest(file)
    with pytest.raises(InputError, match=r"row 3: no such file .*gone\.png"):
        Cohort.from_manifest(file, needed="train")
    whole = Cohort.from_manifest(file, needed="test")
    assert [case.case_id for case in whole] == ["a.png", "gone.png", "b.png"]
    assert [case.case_id for case in Source(file).cohort("test")] == ["a.png"]
    assert [case.case_id for case in cases_to_score([], file, None, "test", None)] == ["a.png"]
    with pytest.raises(InputError, match="no such file"):
        Source(file).cohort("train")
    of_no_part = manifest(folder, "path,split", "a.png,test", "gone.png,")
    with pytest.raises(InputError, match=r"row 3: no such file .*gone\.png"):
        Cohort.from_manifest(of_no_part, needed="test")


@pytest.mark.parametrize(
    ("one", "other"), [("7", "7.0"), ("007", "7"), ("P1", "p1"), ("0", "0.0"), ("10", "0010.")]
)
def test_a_patient_that_is_written_in_two_ways_is_no_two_patients(
    folder: Path, one: str, other: str
) -> None:
    """pandas makes 7.0 of 7, a spreadsheet 7 of 007: one person would be on both sides."""
    rows = ["path,patient_id,split", f"a.png,{one},train", f"b.png,{other},test"]
    with pytest.raises(InputError, match=rf"row 3: patient_id is .*{other}.*in row 2 '{one}'"):
        Cohort.from_manifest(manifest(folder, *rows))


@given(st.lists(st.from_regex(r"[a-z]{0,2}[1-9][0-9]{0,2}(\.[1-9])?", fullmatch=True), max_size=9))
def test_patients_that_differ_by_more_are_several(tmp_path_factory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("patients")
    (folder / "a.png").touch()
    rows = [f"a.png,{k},{name}" for k, name in enumerate(["p", *names])]
    found = Cohort.from_manifest(manifest(folder, "path,case_id,patient_id", *rows))
    assert set(found.patients) == {"p", *names}


def test_of_files_to_score_half_may_be_missing_and_to_learn_from_none(folder: Path) -> None:
    """One file that was moved does not stop a night's work; another folder is told at once."""
    file = manifest(folder, "path,split", "a.png,test", "gone.png,test", "b.png,train")
    for read in (Source(file).cohort, lambda part: cases_to_score([], file, None, part, None)):
        assert [case.case_id for case in read("test")] == ["a.png", "gone.png"]
    with pytest.raises(InputError, match=r"row 3: no such file .*gone\.png; leave such rows out"):
        Source(file, part="test").cohort("train")
    some = ["a.png,test", "gone.png,test", "lost.png,test", *["b.png,"] * 9]
    rows = [f"{number},{one}" for number, one in enumerate(some)]
    file = manifest(folder, "case_id,path,split", *rows)  # the nine are of no part
    for read in (Source(file).cohort, lambda part: cases_to_score([], file, None, part, None)):
        with pytest.raises(InputError, match=r"row 3: .*\(and 1 more rows\).*--root"):
            read("test")


def test_a_missing_or_binary_manifest_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        Cohort.from_manifest(folder / "none.csv")
    with pytest.raises(InputError, match=r"a\.png: is not a CSV file"):
        Cohort.from_manifest(folder / "a.png")


def test_mistakes_in_the_split_are_named(folder: Path) -> None:
    path = manifest(folder, "path,patient_id", "a.png,p", "b.png,q", "c.png,q")
    with pytest.raises(InputError, match="no column 'r9'; the columns are path, patient_id"):
        Cohort.from_manifest(path, "r9")
    with pytest.raises(InputError, match=r"splits\.csv: no column 'r9'; the columns are path, r0"):
        Cohort.from_manifest(path, "splits.csv:r9")
    with pytest.raises(InputError, match=r"patient q is in train \(row 3\) and in test \(row 4\)"):
        Cohort.from_manifest(path, "splits.csv:r0")
    (folder / "short.csv").write_text("path,r0\na.png,train\n")
    with pytest.raises(InputError, match=r"row 3: path is 'b\.png', which has no row in .*short"):
        Cohort.from_manifest(path, "short.csv:r0")
    (folder / "torn.csv").write_text("path,r0\na.png,train\na.png,test\n")
    with pytest.raises(InputError, match=r"torn\.csv, row 3: r0 is 'test', but row 2"):
        Cohort.from_manifest(path, "torn.csv:r0")


def test_a_split_in_another_file_is_by_a_name_that_both_have(folder: Path) -> None:
    file = manifest(folder, "path,roi_id", "a.png,one", "b.png,two")
    parts = [case.part for case in Cohort.from_manifest(file, "splits.csv:r0")]
    assert parts == ["train", "train"]
    (folder / "other.csv").write_text("path,roi_id,r0\nb.png,one,test\na.png,two,train\n")
    parts = [case.part for case in Cohort.from_manifest(file, "other.csv:r0")]
    assert parts == ["test", "train"]


def test_what_a_manifest_does_not_say_of_a_case_is_empty(folder: Path) -> None:
    (case,) = Cohort.from_manifest(manifest(folder, "path", "a.png"))
    assert (case.laterality, case.class_name, case.part) == ("", "", "")
    assert case.label is case.spacing_mm is case.centre is case.array is case.slice is None
    assert case.case_id == case.patient_id == "a.png"
    assert case.path == folder / "a.png"
