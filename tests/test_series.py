"""Series: slices in the order of the body, told apart by headers, and a row for each in tables."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from dicom_folders import image_file, item, slice_file
from makers import recipe
from midclass import Cohort, ScoreTable, prepare_array
from midclass.cli.app import app
from midclass.cli.commands import score
from midclass.cli.options import Options
from midclass.detectors.baselines.pca import PCA
from midclass.detectors.context import neighbours
from midclass.evaluation.calibrated import CalibratedPatients
from midclass.evaluation.patients import patient_table, series_of, series_table
from midclass.images.formats.dicom_header import Header
from midclass.images.series import FoundFile, placed


def files(headers: list[Header], images: int = 1) -> list[FoundFile]:
    return [
        FoundFile(Path(f"{number}"), f"{number}", images, header)
        for number, header in enumerate(headers)
    ]


@settings(max_examples=15, deadline=None)
@given(
    places=st.lists(st.floats(-500, 500), min_size=2, max_size=6, unique=True),
    tilt=st.floats(-1.2, 1.2),
    far=st.tuples(*[st.floats(-300, 300)] * 2),
)
def test_slices_stand_by_their_place_along_the_normal_whatever_their_names(
    places: list[float], tilt: float, far: tuple[float, float]
) -> None:
    """Of any plane: a tilted gantry, another corner; the number of the image does not matter."""
    along = np.array([0, np.cos(tilt), np.sin(tilt)])
    normal = np.cross([1, 0, 0], along)
    corner = far[0] * np.array([1, 0, 0]) + far[1] * along
    with tempfile.TemporaryDirectory() as folder:
        for number, place in enumerate(places):
            slice_file(
                Path(folder) / f"{number:02d}",
                1,
                1,
                place,
                SOPInstanceUID=f"1.2.{number}",
                ImageOrientationPatient=[1, 0, 0, *along.round(9)],
                ImagePositionPatient=[*(corner + place * normal).round(5)],
                InstanceNumber=100 - number,
            )
        found = Cohort.from_files([folder])
    close = np.diff(np.sort(places)).min() < 1e-3
    expected = [f"{number:02d}" for number in np.argsort(places)]
    assert close or [case.case_id for case in found] == expected
    told = [case.slice for case in found]
    assert told[0] == 0
    assert sorted(told) == told  # type: ignore[type-var]
    assert np.diff(np.sort(places)).min() < 0.02 or len(set(told)) == len(told)
    assert len({case.patient_id for case in found}) == len({case.series_id for case in found}) == 1


def test_without_a_place_slices_stand_by_their_number_and_then_by_name(tmp_path: Path) -> None:
    for name, number in (("a", 10), ("b", 9), ("c", 2), ("d", 2)):
        slice_file(
            tmp_path / name, 1, 1, 0, SOPInstanceUID=f"1.2.{ord(name)}", InstanceNumber=number,
            ImagePositionPatient=None,
        )  # fmt: skip
    assert [case.case_id for case in Cohort.from_files([tmp_path])] == [*"cdba"]


def test_slices_of_several_planes_stand_by_their_number(tmp_path: Path) -> None:
    """A scout of three planes: places along different normals are no order."""
    for number, direction in enumerate(([1, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, -1])):
        for k, at in enumerate((30, -30)):
            where = {"ImageOrientationPatient": direction, "ImagePositionPatient": [at, 0, at]}
            where |= {"InstanceNumber": 2 * number + k, "SOPInstanceUID": f"1.2.{number}.{k}"}
            slice_file(tmp_path / f"{number}{k}", 1, 1, at, **where)
    found = Cohort.from_files([tmp_path])
    assert [case.case_id for case in found] == ["00", "01", "10", "11"]
    assert len({case.slice for case in found}) == 1  # and no neighbours


@pytest.mark.parametrize(
    ("positions", "places"),
    [
        ([0, 5, 15, 20], [0, 1, 3, 4]),  # one is missing
        ([0, 0, 5, 5], [0, 0, 1, 1]),  # two echoes
        ([0, 4.8, 10.1, 15], [0, 1, 2, 3]),  # not quite regular
    ],
)
def test_places_lie_as_far_apart_as_slices(
    positions: list[float], places: list[int], tmp_path: Path
) -> None:
    for number, at in enumerate(positions):
        slice_file(tmp_path / f"{number}", 1, 1, at, SOPInstanceUID=f"1.2.{number}")
    assert [case.slice for case in Cohort.from_files([tmp_path])] == places


def test_series_of_a_patient_have_places_of_their_own(tmp_path: Path) -> None:
    for number, (series, at) in enumerate([(1, 0), (1, 5), (1, 10), (1, 20), (2, 0), (2, 5)]):
        slice_file(tmp_path / f"{number}", 1, series, at, SOPInstanceUID=f"1.2.{number}")
    assert [case.slice for case in Cohort.from_files([tmp_path])] == [0, 1, 2, 4, 5, 6]


def test_frames_of_an_enhanced_file_stand_by_their_own_place(tmp_path: Path) -> None:
    frames = [
        item(PlanePositionSequence=[item(ImagePositionPatient=[0, 0, at])]) for at in (8, 2, 5)
    ]
    plane = item(PlaneOrientationSequence=[item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])])
    image_file(
        tmp_path / "e.dcm",
        1,
        np.arange(960).reshape(3, 16, 20),
        Modality="MR",
        SharedFunctionalGroupsSequence=[plane],
        PerFrameFunctionalGroupsSequence=frames,
    )
    found = Cohort.from_files([tmp_path])
    assert [case.frame for case in found] == [1, 2, 0]
    assert [case.case_id for case in found] == ["e.dcm#1", "e.dcm#2", "e.dcm#0"]


def test_views_of_one_series_are_no_neighbours(tmp_path: Path) -> None:
    """Else their scores would be smoothed as those of slices are."""
    for number in range(4):
        view = {"Modality": "MG", "SOPInstanceUID": f"1.2.{number}", "InstanceNumber": number}
        image_file(tmp_path / f"{number}", 1, np.arange(320).reshape(16, 20) + number, **view)
    found = Cohort.from_files([tmp_path])
    assert [case.slice for case in found] == [None] * 4
    assert {case.series_id for case in found} == {"0"}


@pytest.mark.parametrize("number", ["", "ANONYMOUS", "00000", "n/a", "Unknown"])
def test_a_patients_number_that_was_removed_makes_nobody_one_patient(number: str) -> None:
    some = files([Header(number, study=f"1.2.{k // 2}", series=f"1.2.{k}") for k in range(4)])
    told = [image.whose for image in placed(some)]
    assert told == [("study", "1.2.0")] * 2 + [("study", "1.2.1")] * 2
    assert placed(files([Header(number)]))[0].whose == ("file", "0")


def test_one_number_is_one_patient_in_all_studies_and_series_stay_together() -> None:
    order = [("p", "1"), ("q", "9"), ("p", "2"), ("p", "1")]
    some = files([Header(who, study=one, series=one, modality="CT") for who, one in order])
    found = placed(some)
    assert [image.file.called for image in found] == [*"0312"]
    assert [image.place for image in found] == [0, 1, 0, 2]


@st.composite
def tables(draw: st.DrawFn) -> tuple[ScoreTable, list[str]]:
    """Cases of patients with series, some without, and some not assessed."""
    n = draw(st.integers(1, 24))
    patients = draw(st.lists(st.sampled_from("pqr"), min_size=n, max_size=n))
    series = draw(st.lists(st.sampled_from(["", "1", "2", "3"]), min_size=n, max_size=n))
    values = st.floats(-9, 9) | st.just(np.nan)
    scores = draw(st.lists(values, min_size=n, max_size=n))
    names = [str(number) for number in range(n)]
    return ScoreTable.of(names, patients, [0] * n, scores), series


@settings(max_examples=50, deadline=None)
@given(tables(), st.lists(st.floats(-9, 9), max_size=30), st.sampled_from([0.05, 0.2, 0.5]))
def test_no_series_is_flagged_of_a_patient_who_is_not(
    made: tuple[ScoreTable, list[str]], calibration: list[float], max_fpr: float
) -> None:
    """So that the promise of patients holds for all their series at once."""
    table, series = made
    named = series_of(table.patient_id.tolist(), series)
    if not (named != "").any():
        return
    known = CalibratedPatients(np.sort(calibration))
    by_series = series_table(table, named, known, max_fpr)
    by_patient = patient_table(table, known, max_fpr)
    flagged = dict(zip(by_patient.case_id, by_patient.flagged, strict=True))
    p_value = dict(zip(by_patient.case_id, by_patient.extra["p_value"], strict=True))
    assert by_series.extra["cases"].sum() == (named != "").sum()
    for row in range(len(by_series)):
        who = by_series.patient_id[row]
        assert not by_series.flagged[row] or flagged[who]
        own = by_series.extra["p_value"][row]
        assert np.isnan(own) or own >= p_value[who]
        few = by_series.extra["cases"][row] - by_series.extra["cases_not_assessed"][row] < 3
        seen = (table.assessed & (table.patient_id == who)).sum()
        if few and seen > by_series.extra["cases"][row]:
            assert np.isnan(by_series.threshold[row])


def test_two_patients_with_a_series_of_one_name_have_two_rows() -> None:
    cases = ScoreTable.of([*"abcd"], [*"ppqq"], [0, 1, 0, 0], [1, 2, 3, 4])
    found = series_table(
        cases, series_of([*"ppqq"], [*"1112"]), CalibratedPatients(np.empty(0)), 0.05
    )
    assert found.case_id.tolist() == ["2", "p/1", "q/1"]
    assert found.patient_id.tolist() == ["q", "p", "q"]
    assert found.label.tolist() == [0, 1, 0]


RECIPE = recipe(geometry={"size": [16, 16], "spacing_mm": 1.0}, accepts={"modality": ["CT"]})


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series") / "d"
    rng = np.random.default_rng(0)
    images = rng.random((60, 1, 16, 16), np.float32)
    PCA(RECIPE).fit(prepare_array(images, RECIPE, spacing_mm=1.0), max_fpr=0.1).save(folder)
    return folder


def test_what_is_refused_or_cannot_be_read_has_a_row_in_its_place(
    detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "Mustermann"
    for patient in (1, 2):
        for series in (1, 2):
            for at in range(4 if series == 1 else 2):
                slice_file(data / f"{patient}{series}{at}", patient, series, 3 - at)
    image_file(data / "knee", 1, Modality="MR", SeriesInstanceUID="1.2.3")
    whole = (data / "210").read_bytes()
    (data / "210").write_bytes(whole[:-40])
    (data / "text.dcm").write_text("no image")
    options, out = Options(cache=tmp_path / "cache"), tmp_path / "s.csv"
    told = {}
    for block in (512, 2):  # the last blocks have nothing that can be prepared
        monkeypatch.setattr(score, "BLOCK", block)
        cohort = Cohort.from_files([data])
        assert not score.run(detector, cohort, options, out=out)
        told[block] = [path.read_bytes() for path in sorted(tmp_path.glob("s*.csv"))]
        table, by_series = (ScoreTable.read(tmp_path / n) for n in ("s.csv", "s_series.csv"))
        for path in tmp_path.glob("s*.csv"):
            path.unlink()
    assert told[512] == told[2]
    assert table.case_id.tolist() == [case.case_id for case in cohort]
    assert table.case_id.tolist()[:4] == ["113", "112", "111", "110"]
    reasons = dict(zip(table.case_id, table.reason, strict=True))
    assert reasons.pop("knee").startswith("cannot be used: Modality is MR, the recipe accepts CT")
    assert reasons.pop("210").startswith("cannot be used: PixelData is truncated: ")
    assert reasons.pop("text.dcm").startswith("cannot be used: its content is none of PNG")
    assert set(reasons.values()) == {""}
    assert table.review.sum() >= 3
    assert table.extra["series_id"].tolist()[:4] == ["113"] * 4
    rows = dict(zip(by_series.case_id, by_series.extra["cases"], strict=True))
    assert rows == {"113": 4, "121": 2, "213": 4, "221": 2, "knee": 1}
    assert not [one for one in told[2] if b"Mustermann" in one]


def test_left_out_on_demand_such_a_row_goes_to_nobody(detector: Path, tmp_path: Path) -> None:
    slice_file(tmp_path / "a", 1, 1, 0)
    (tmp_path / "text.dcm").write_text("no image")
    options, out = Options(cache=tmp_path / "cache"), tmp_path / "s.csv"
    cohort = Cohort.from_files([tmp_path / "a", tmp_path / "text.dcm"])
    assert not score.run(detector, cohort, options, out=out, not_assessed="leave")
    table = ScoreTable.read(out)
    assert table.assessed.tolist() == [True, False]
    assert table.columns()["review"].tolist()[1] == ""
    out.unlink()
    assert not score.run(detector, cohort[1:], options, out=out, not_assessed="leave")
    assert ScoreTable.read(out).columns()["review"].tolist() == [""]


@pytest.mark.slow
def test_a_folder_of_series_is_learned_from_and_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIDCLASS_CACHE", str(tmp_path / "cache"))
    for patient in range(24):
        for at in range(5):
            slice_file(tmp_path / f"ct/p{patient}/{9 - at}", patient, 1, at)
    lines = [f"{p:08d};{'normal' if p < 20 else 'bleed'}" for p in range(24)]
    Path("ris.csv").write_text("AccessionNumber;label\n" + "\n".join(lines))
    Path("tiny.yaml").write_text(
        "extends: phantoms\nname: tiny\nfloor: 0.0\ngeometry: {size: [16, 16], spacing_mm: 1.0, "
        "field_of_view_mm: null}\nanatomy: anatomy.whole\nbudget: {pretrained: null}\n"
    )

    def run(arguments: str) -> str:
        result = CliRunner().invoke(app, arguments.split())
        assert result.exit_code in (0, 1), result.output
        return " ".join(result.output.split())

    run("manifest ct --labels ris.csv --key key --test .3 --duplicates skip")
    run("fit tiny.yaml --cohort manifest.csv --detector pca --max-fpr .2 --folds 0 --out d")
    measured = run("evaluate d --cohort manifest.csv")
    assert "series.csv" in measured
    as_one = "4 series are of the target class in every image, as if one label were that of the"
    assert as_one in measured
    assert as_one in Path("d/evaluation/page.html").read_text()
    series = ScoreTable.read("d/evaluation/series.csv")
    cases = ScoreTable.read("d/evaluation/scores.csv")
    assert set(series.extra["cases"]) == {5}
    assert cases.extra["slice"].tolist() == [0, 1, 2, 3, 4] * len(series)
    told = run("score d ct --out s.csv")
    assert "24 series scored, " in told
    assert "by the threshold of patients: s_series.csv" in told or "none has a flag" in told


def test_a_copy_of_a_slice_costs_its_neighbours_nothing(tmp_path: Path) -> None:
    """Exported twice into two folders: no slice had neighbours, and a bleed no flag."""
    for number in range(6):
        slice_file(tmp_path / "s" / f"{number}", 1, 1, 5.0 * number, InstanceNumber=number)
    (tmp_path / "again").mkdir()
    shutil.copy(tmp_path / "s" / "2", tmp_path / "again" / "2")
    with pytest.warns(UserWarning, match=r"equal to another file: .*2 \(a copy of .*2\)$"):
        cases = Cohort.from_files([tmp_path]).cases
    assert sorted(case.slice or 0 for case in cases) == [0, 1, 2, 3, 4, 5]
    before, after = neighbours(np.arange(6.0), cases)
    assert np.isnan(before).sum() == np.isnan(after).sum() == 1
    slice_file(tmp_path / "again" / "2", 1, 1, 10.0, InstanceNumber=2, PatientName="Other^Name")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Cohort.from_files([tmp_path])) == 7  # it may be another image
