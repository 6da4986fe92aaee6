"""Monitor: drift is found where it is, seldom where it is not, and never by another's table."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_folders import image_file
from makers import discs, recipe, typed
from midclass import Cohort, InputError, ScoreTable, load_detector, prepare_array
from midclass.cli.commands import monitor, score
from midclass.cli.options import Options
from midclass.cli.recognised import no_table
from midclass.detectors.baselines.pca import PCA
from midclass.detectors.cohort_scores import score_table
from midclass.detectors.provenance import beside, write_provenance
from midclass.evaluation.conformal import conformal_p_values, conformal_threshold
from midclass.evaluation.drift import Baseline, by_week, drift, refuse_other
from midclass.evaluation.equipment import first_seen
from midclass.evaluation.exact import binomial_limits

RECIPE = recipe(budget={"standardise": False})


def baseline(m: int = 99, seed: int = 0, not_assessed: int = 1) -> Baseline:
    calibration = np.sort(np.random.default_rng(seed).normal(size=m))
    threshold = conformal_threshold(calibration, 0.05)
    return Baseline(calibration, threshold, 0.05, m + not_assessed, not_assessed)


def table(
    scores: np.ndarray, unseen: int = 0, each: int = 1, start: int = 0, of: Baseline | None = None
) -> ScoreTable:
    """Cases with these scores, so many of a patient, and some that were not assessed."""
    found = np.concatenate([scores, np.full(unseen, np.nan)])
    numbers = np.arange(start, start + len(found))
    extra = {}
    if of is not None:
        p_value = np.full(len(found), np.nan)
        p_value[: len(scores)] = conformal_p_values(of.calibration, scores)
        extra = {"p_value": p_value}
    return ScoreTable.of(
        numbers.astype(str), (numbers // each).astype(str), np.full(len(found), -1), found,
        extra=extra,
        reason=np.where(np.isnan(found), "no anatomy found", ""),
    )  # fmt: skip


def test_where_nothing_differs_a_call_of_many_looks_seldom_says_so() -> None:
    said = 0
    for seed in range(60):
        rng = np.random.default_rng(1000 + seed)
        weeks = {str(week): table(rng.normal(size=25)) for week in range(8)}
        said += any(row.differs for row in drift(weeks, baseline(seed=seed)))
    assert said <= 6  # 5 % at most; 8 weeks x 3 questions without correction would be most


@pytest.mark.parametrize(
    ("scores", "unseen", "said"),
    [
        ((1.5, 1.0), 0, "more flagged than promised"),
        ((0.0, 0.1), 0, "scores are spread otherwise"),
        ((0.0, 1.0), 20, "more not assessed"),
    ],
)
def test_what_differs_is_named(scores: tuple[float, float], unseen: int, said: str) -> None:
    rng = np.random.default_rng(5)
    usual, other = rng.normal(size=60), rng.normal(*scores, size=60)
    first, second = drift({"a": table(usual), "b": table(other, unseen)}, baseline())
    assert first.verdict == "no sign of drift at n=60"
    assert said in second.differs
    assert second.verdict.startswith("differs: ")


def test_slices_of_one_patient_are_not_many_looks() -> None:
    """Forty slices of each of five patients, all slices of a patient being the same."""
    value = np.array([-0.4, 0.2, 0.9, 1.3, 2.5])
    (row,) = drift({"a": table(np.repeat(value, 40), each=40)}, baseline())
    assert (row.cases, row.patients, row.flagged) == (200, 5, 40)
    assert row.verdict == "no sign of drift at n=5"
    assert row.high - row.low > 0.5


@settings(deadline=None, max_examples=25)
@given(st.integers(1, 60), st.integers(0, 40), st.integers(0, 99))
def test_rates_have_exact_intervals(n: int, unseen: int, seed: int) -> None:
    scores = np.random.default_rng(seed).normal(0.5, size=n)
    (row,) = drift({"a": table(scores, unseen)}, baseline())
    assert row.assessed == n
    assert row.flagged == (scores > baseline().threshold).sum()
    assert (row.low, row.high) == pytest.approx(binomial_limits(row.flagged / n, n))
    share = unseen / (n + unseen)
    expected = binomial_limits(share, n + unseen)
    assert (row.not_assessed_low, row.not_assessed_high) == pytest.approx(expected)
    assert all(0 <= p <= 1 for p in (row.p_flagged, row.p_scores, row.p_not_assessed))


def test_known_disease_is_left_out_and_a_table_of_it_alone_says_nothing() -> None:
    usual = np.random.default_rng(3).normal(size=60)
    mixed = table(np.append(usual, np.full(40, 9.0)))
    mixed = replace(mixed, label=np.repeat([0, 1], [60, 40]))
    first, second, nothing = drift(
        {"all": mixed, "given": table(usual), "target": replace(mixed, label=mixed.label * 0 + 1)},
        baseline(),
    )
    assert (first.flagged, first.verdict) == (second.flagged, "no sign of drift at n=60")
    assert nothing.verdict == "no case"
    (unseen,) = drift({"a": table(np.empty(0), 3)}, baseline())
    assert (unseen.p_flagged, unseen.p_scores) == (None, None)


def test_files_of_one_name_in_two_tables_show_two_people() -> None:
    """Two folders of one week, each with a 001.png: of twenty people ten were left."""
    week = np.repeat("2026-W48", 20)
    files = [f"{k // 2:03}.png#{k % 2}" for k in range(20)]
    people = [name.partition("#")[0] for name in files]
    one = ScoreTable.of(files, people, [0] * 20, np.arange(20.0), extra={"week": week})
    (row,) = drift(by_week({"a": one, "b": one}, "week"), baseline())
    assert (row.cases, row.patients) == (40, 20)
    known = replace(one, patient_id=np.array([f"p{k // 2}" for k in range(20)]))
    (row,) = drift(by_week({"a": known, "b": known}, "week"), baseline())
    assert (row.cases, row.patients) == (40, 10)


def test_weeks_are_those_of_iso_and_of_both_ways_to_write_a_date() -> None:
    one = table(np.arange(3.0))
    dated = replace(one, extra={"date": np.array(["2026-01-04", "2026-01-05", "2025-12-29"])})
    other = replace(one, extra={"date": np.array([20260105.0, 20260111.0, 20260112.0])})
    weeks = by_week({"a": dated, "b": other}, "date")
    assert {week: len(found) for week, found in weeks.items()} == {
        "2026-W01": 2,
        "2026-W02": 3,
        "2026-W03": 1,
    }
    times = [
        *("2026-01-04T23:59:59.5+01:00", "2026-01-04 08:00", "2026-01-04T08:00:00Z"),
        *("20260104081500.000000+0100", "2026010408", "20260104081500"),
    ]
    for time in times:  # the day as it is written
        timed = replace(one, extra={"date": np.array([time] * 3)})
        assert list(by_week({"a": timed}, "date")) == ["2026-W01"], time
    for no_day in ("2026-13-04", "2026-0104", "2026-01-04 at eight", "2026-01-04T8", "2026-01"):
        with pytest.raises(InputError, match=f"found '{no_day}'"):
            by_week({"a": replace(one, extra={"date": np.array([no_day] * 3)})}, "date")
    wrong = replace(one, extra={"date": np.array(["2026-01-04", "", "5 May"])})
    with pytest.raises(InputError, match="c: row 3, column date: found ''; give YYYY-MM-DD"):
        by_week({"c": wrong}, "date")


def test_devices_and_spacing_are_told_by_week_and_a_new_device_is_named() -> None:
    one = table(np.arange(4.0))
    weeks = np.array(["2026-W01", "2026-W02", "2026-W02", ""])
    devices, spacing = np.array(["Old", "Old", "New 2", ""]), np.array([0.1, 0.1, 0.4, np.nan])
    extra = {**one.extra, "week": weeks, "device": devices, "spacing_mm": spacing}
    found = by_week({"a": replace(one, extra=extra), "b": replace(one, extra=extra)}, "week")
    rows = drift(found, baseline())
    assert [row.period for row in rows] == ["2026-W01", "2026-W02", "no week"]
    assert [row.devices for row in rows] == ["Old (2)", "New 2 (2); Old (2)", ""]
    told = [(row.spacing_mm, row.spacing_low, row.spacing_high) for row in rows]
    assert told == [(0.1, 0.1, 0.1), (0.25, 0.1, 0.4), (None, None, None)]
    assert first_seen(found) == {"New 2": "2026-W02"}
    with pytest.raises(InputError, match="row 5, column when: found ''"):
        by_week({"a": replace(one, extra={**one.extra, "when": weeks})}, "when")


def test_a_score_table_has_week_and_device_of_the_header_and_no_day(tmp_path: Path) -> None:
    named = {"ManufacturerModelName": "DR 9 ", "StudyDate": "20260101"}
    images = (discs(3, 0)[:, 0] * 4000).astype(np.uint16)
    image_file(tmp_path / "a.dcm", 1, images[0], **named, AcquisitionDate="20260105")
    image_file(tmp_path / "b.dcm", 2, images[1], **named, PixelSpacing=[0.7, 0.7])
    image_file(tmp_path / "c.dcm", 3, images[2], PixelSpacing=None)
    (tmp_path / "d.dcm").write_bytes(b"no image")
    detector = PCA(RECIPE, max_fpr=0.1).fit(discs(60, seed=0))
    detector.save(tmp_path / "d")
    cohort = Cohort.from_files([tmp_path / f"{name}.dcm" for name in "abcd"])
    out = tmp_path / "s.csv"
    options = Options(cache=tmp_path / "cache")
    assert not score.run(tmp_path / "d", cohort, options, out=out, equipment=True)
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["week"] for row in rows] == ["2026-W02", "2026-W01", "", ""]
    assert [row["device"] for row in rows] == ["DR 9", "DR 9", "", ""]
    assert [row["spacing_mm"] for row in rows] == ["0.5", "0.7", "", ""]
    assert "2026010" not in out.read_text()
    assert not no_table(out)  # midclass knows it as its own


def test_a_table_of_another_detector_is_refused() -> None:
    of = baseline()
    one = table(np.arange(3.0), of=of)
    refuse_other(one, of, "a.csv")
    with pytest.raises(InputError, match=r"a.csv: was not made by this detector .row 2 says"):
        refuse_other(one, baseline(seed=4), "a.csv")
    with pytest.raises(InputError, match="no column p_value"):
        refuse_other(table(np.arange(3.0)), of, "a.csv")
    with pytest.raises(InputError, match="table of patients"):
        refuse_other(replace(one, extra={**one.extra, "cases": np.ones(3)}), of, "a.csv")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A detector, and tables of cases like those it learned from, and of others."""
    folder = tmp_path_factory.mktemp("monitor")
    detector = PCA(RECIPE, max_fpr=0.1).fit(discs(300, seed=0))
    detector.save(folder / "d")
    noise = np.random.default_rng(0).normal(0, 0.02, (60, 1, 32, 32))
    for name, images in (("usual", discs(60, 1)), ("other", (discs(60, 2) + noise).clip(0, 1))):
        write_provenance(detector, "d", folder / f"{name}.csv")
        score_table(detector, prepare_array(images, RECIPE)).write(folder / f"{name}.csv")
    return folder


def test_the_csv_says_what_was_found_and_is_not_lost(folder: Path, tmp_path: Path) -> None:
    tables, out = [folder / "usual.csv", folder / "other.csv"], tmp_path / "m.csv"
    assert not monitor.run(tables, folder / "d", out=out)
    with open(out, newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["period"] for row in rows] == ["usual.csv", "other.csv"]
    assert rows[0]["verdict"] == "no sign of drift at n=60"
    assert rows[1]["verdict"].startswith("differs: scores are spread otherwise")
    assert float(rows[1]["low"]) < float(rows[1]["rate"]) <= float(rows[1]["high"])
    with pytest.raises(InputError, match="is there already"):
        monitor.run(tables[:1], folder / "d", out=out)
    assert monitor.run(tables[:1], folder / "d", Options(overwrite=True), out=out)
    with pytest.raises(InputError, match=r"none\.csv: no such score table"):
        monitor.run([tmp_path / "none.csv"], folder / "d", out=tmp_path / "n.csv")
    with pytest.raises(InputError, match="is read by this command"):
        monitor.run(tables, folder / "d", Options(overwrite=True), out=tables[0])
    with pytest.raises(InputError, match="named twice"):
        monitor.run([tables[0]] * 2, folder / "d", out=tmp_path / "n.csv")


def test_what_stands_beside_a_table_names_the_detector_that_made_it(
    folder: Path, tmp_path: Path
) -> None:
    ScoreTable.read(folder / "usual.csv").write(tmp_path / "usual.csv")
    said = json.loads(beside(folder / "usual.csv").read_text())
    assert said["detector"]["id"] == load_detector(folder / "d").origin_.id
    said["detector"]["id"] = "0123456789abcdef"
    beside(tmp_path / "usual.csv").write_text(json.dumps(said))
    with pytest.raises(InputError, match="was made by the detector 0123456789abcdef, and this is"):
        monitor.run([tmp_path / "usual.csv"], folder / "d", out=tmp_path / "m.csv")


@pytest.mark.slow
def test_the_command_ends_with_1_where_something_differs(folder: Path) -> None:
    done = typed("monitor usual.csv other.csv --detector d --out b.csv --json", folder)
    assert done.returncode == 1, done.stderr
    assert "usual.csv: no sign of drift at n=60" in done.stderr
    assert "other.csv: differs: scores are spread otherwise" in done.stderr
    said = json.loads(done.stdout)
    assert [one["period"] for one in said["periods"]] == ["usual.csv", "other.csv"]
    assert said["periods"][1]["verdict"].startswith("differs: scores are spread otherwise")
    assert said["exit_code"] == 1
    assert "midclass calibrate" in done.stderr
